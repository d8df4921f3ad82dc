"""The dependencies between parts of the package. The table lists the parts that a part may import.
Every other import is refused, in functions as well as at the top of a file.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "meet_trio"

MAY_IMPORT = {
    "__init__": set(),
    "__main__": {"cli"},
    "errors": set(),
    "rates": set(),
    "lag": set(),
    "collector": set(),
    "logs": {"rates"},
    "config": {"errors"},
    "cli": {"", "app", "config", "errors", "logs", "rates"},
    "app": {
        "",
        "collector",
        "config",
        "edge",
        "engine",
        "errors",
        "lag",
        "live",
        "media",
        "ortc",
        "rates",
        "room",
        "socketio",
    },
    # of ortc only the type of parsed JSON
    "edge": {"errors", "lag", "live", "ortc", "rates", "room", "socketio"},
    # of the engine only the records of its events, see test_one_door_to_the_engine
    "live": {"engine", "errors", "media", "ortc", "rates", "room", "socketio"},
    "media": {"engine", "errors", "ortc"},
    "room": {"errors", "ortc"},
    "ortc": {"errors"},
    "socketio": set(),
    "engine": set(),
}

# Only this file imports asyncio.
ASYNCIO = {"aiortc", "aioice", "asyncio", "trio_asyncio", "OpenSSL", "pylibsrtp"}
ASYNCIO_DOOR = {"media/dtls.py"}


def sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[str]:
    """Full names of all modules that a file imports, relative ones resolved."""
    package = ("meet_trio", *path.relative_to(PACKAGE).parts[:-1])
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(filter(None, (base, node.module)))
            # ``from meet_trio import x`` and ``from . import x`` may mean the module x.
            yield from (
                f"{module}.{alias.name}" if module == "meet_trio" else module
                for alias in node.names
            )


def used_parts(path: Path) -> set[str]:
    """The imported parts; "" stands for the names of ``meet_trio/__init__.py`` itself."""
    found = set()
    for name in imports(path):
        top, _, rest = name.partition(".")
        if top == "meet_trio":
            part = rest.partition(".")[0]
            found.add(part if part in MAY_IMPORT else "")
    return found - {part_of(path)}


def test_every_part_is_in_the_table() -> None:
    assert {part_of(path) for path in sources()} == set(MAY_IMPORT)


@pytest.mark.parametrize("part", MAY_IMPORT)
def test_imports_run_one_way(part: str) -> None:
    wrong = {
        str(path.relative_to(PACKAGE)): beyond
        for path in sources()
        if part_of(path) == part
        if (beyond := used_parts(path) - MAY_IMPORT[part])
    }
    assert not wrong


def test_asyncio_stays_behind_its_door() -> None:
    users = {
        str(path.relative_to(PACKAGE))
        for path in sources()
        if ASYNCIO & {name.partition(".")[0] for name in imports(path)}
    }
    assert users == ASYNCIO_DOOR


def test_one_door_to_the_engine() -> None:
    users = {
        str(path.relative_to(PACKAGE))
        for path in sources()
        if part_of(path) != "engine"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and (node.module or "").endswith("engine")
        if "Engine" in {alias.name for alias in node.names}
    }
    assert users == {"media/engines.py"}


def test_the_table_has_no_circles() -> None:
    done: set[str] = set()
    rest = {part: used - {""} for part, used in MAY_IMPORT.items()}
    while ready := {part for part, used in rest.items() if used <= done}:
        done |= ready
        for part in ready:
            del rest[part]
    assert not rest

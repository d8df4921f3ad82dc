"""The dependencies between parts of the package. The table lists the parts that a part may import.
Every other import is refused, in functions and under ``TYPE_CHECKING`` as well as at the top of a
file. The modules of one part may import each other, but not in a circle.
"""

import ast
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "meet_trio"

MAY_IMPORT = {
    "__init__": set(),
    "__main__": {"cli"},
    "errors": set(),
    "kept_sockets": set(),
    # the server's command is all that it knows of the server
    "supervisor": set(),
    "rates": set(),
    "json_text": set(),
    # of ortc only the reader of JSON
    "records": {"errors", "json_text", "ortc"},
    "lag": set(),
    "collector": set(),
    "deadlines": set(),
    "tallies": set(),
    "turns": set(),
    "logs": {"rates", "settings"},
    "settings": set(),
    # of packages their settings only, see test_settings_are_light
    "config": {
        "admin",
        "console",
        "edge",
        "engine",
        "errors",
        "journal",
        "live",
        "logs",
        "media",
        "operator",
        "redis_state",
        "room",
        "settings",
        "socketio",
        "upgrade",
    },
    "cli": {
        "",
        "app",
        "bench",
        "collector",
        "config",
        "console",
        "daemon",
        "doctor",
        "errors",
        "kept_sockets",
        "late",
        "logs",
        "operator",
        "upgrade",
    },
    "daemon": {
        "",
        "app",
        "collector",
        "config",
        "console",
        "errors",
        "kept_sockets",
        "operator",
        "upgrade",
    },
    # of the engine the crowd only, and of the doctor the building of STUN messages
    "bench": {"doctor", "engine", "errors", "lag"},
    # it needs nothing of a running server but its settings and the recipe of TURN credentials
    "doctor": {"config", "errors", "media"},
    "app": {
        "config",
        "console",
        "edge",
        "errors",
        "kept_sockets",
        "live",
        "media",
        "meetings",
        "operator",
        "parts",
        "reload",
        "resume",
        "continuity",
        "journal",
        "records",
        "redis_state",
        "upgrade",
    },
    "parts": {
        "",
        "admin",
        "config",
        "console",
        "edge",
        "lag",
        "meetings",
        "operator",
        "reload",
        "socketio",
        "upgrade",
    },
    "meetings": {
        "",
        "config",
        "continuity",
        "edge",
        "live",
        "media",
        "operator",
        "ortc",
        "redis_state",
    },
    "resume": {"edge", "engine", "live", "meetings", "operator", "records"},
    "reload": {"config", "edge"},
    "admin": {
        "",
        "edge",
        "errors",
        "lag",
        "live",
        "media",
        "operator",
        "ortc",
        "rates",
        "settings",
        "turns",
    },
    "console": {
        "",
        "collector",
        "errors",
        "kept_sockets",
        "live",
        "logs",
        "media",
        "operator",
        "settings",
        "turns",
    },
    # of the engine the records of its figures only
    "operator": {
        "",
        "collector",
        "edge",
        "engine",
        "errors",
        "lag",
        "live",
        "media",
        "ortc",
        "records",
        "room",
        "settings",
        "tallies",
        "turns",
    },
    # of ortc only the type of parsed JSON
    "edge": {
        "",
        "errors",
        "kept_sockets",
        "lag",
        "live",
        "logs",
        "ortc",
        "rates",
        "records",
        "room",
        "settings",
        "socketio",
    },
    # of the engine the records of its events only, see test_one_door_to_the_engine
    "live": {
        "engine",
        "errors",
        "json_text",
        "logs",
        "media",
        "ortc",
        "rates",
        "records",
        "room",
        "settings",
        "socketio",
        "tallies",
        "turns",
    },
    "media": {
        "deadlines",
        "engine",
        "errors",
        "kept_sockets",
        "ortc",
        "records",
        "settings",
        "tallies",
        "turns",
    },
    "journal": {"errors", "settings"},
    "continuity": {"engine", "errors", "journal", "kept_sockets", "media", "records"},
    "redis_state": {"engine", "errors", "journal", "media", "settings"},
    "late": {"config"},
    # of edge the front door and its connections
    "upgrade": {
        "",
        "continuity",
        "edge",
        "errors",
        "kept_sockets",
        "live",
        "media",
        "operator",
        "settings",
    },
    "room": {"errors", "json_text", "ortc", "records", "settings"},
    "ortc": {"errors"},
    "socketio": {"deadlines", "json_text"},
    "engine": set(),
}

# Only these files import asyncio.
ASYNCIO = {"aiortc", "aioice", "asyncio", "trio_asyncio", "pylibsrtp"}
ASYNCIO_DOOR = {"media/dtls.py", "media/dtls_server.py"}
# The ends of DTLS: the server's, and the load generator's.
OPENSSL_DOOR = {"media/dtls_server.py", "bench/dtls.py"}


def sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[str]:
    """Full names of all that a file imports: of modules, and of names in modules."""
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


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


def test_openssl_stays_behind_its_doors() -> None:
    users = {
        str(path.relative_to(PACKAGE))
        for path in sources()
        if "OpenSSL" in {name.partition(".")[0] for name in imports(path)}
    }
    assert users == OPENSSL_DOOR


def test_one_door_to_the_engine() -> None:
    users = {
        str(path.relative_to(PACKAGE))
        for path in sources()
        if part_of(path) != "engine"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and (node.module or "").endswith("engine")
        if "Engine" in {alias.name for alias in node.names}
    }
    assert users == {"media/engines.py", "media/successor.py"}


def in_circles(uses: Mapping[str, Collection[str]]) -> dict[str, set[str]]:
    """What is left when all that use nothing, and all that nothing uses, are taken away."""
    rest = {name: set(used) for name, used in uses.items()}
    while True:
        used_by_some = set().union(*rest.values())
        left = {name: used & rest.keys() for name, used in rest.items() if name in used_by_some}
        left = {name: used for name, used in left.items() if used}
        if left == rest:
            return rest
        rest = left


def test_the_table_has_no_circles() -> None:
    assert not in_circles({part: used - {""} for part, used in MAY_IMPORT.items()})


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def used_modules(path: Path, modules: Collection[str]) -> set[str]:
    """Those of ``modules`` that a file imports, whole or names of them."""
    found = {name if name in modules else name.rpartition(".")[0] for name in imports(path)}
    return found & set(modules)


def test_modules_import_one_way() -> None:
    modules = {module_name(path): path for path in sources()}
    assert not in_circles({name: used_modules(path, modules) for name, path in modules.items()})


def test_the_second_opinion_is_independent() -> None:
    """The C code is checked against the Python of ``support.wire``, which must share nothing with
    the package.
    """
    files = sorted((Path(__file__).parent / "support" / "wire").glob("*.py"))
    assert files
    shared = {
        path.name: used
        for path in files
        if (used := {name for name in imports(path) if name.partition(".")[0] == "meet_trio"})
    }
    assert not shared


def loaded_by(modules: str) -> set[str]:
    code = f"import sys, {modules}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_settings_are_light() -> None:
    """The table of all settings is made without loading the parts that heed them."""
    loaded = loaded_by("meet_trio.config")
    assert not loaded & {
        "trio",
        "starlette",
        "httpx",
        "prometheus_client",
        "hypercorn",
        "h11",
        "OpenSSL",
        "asyncio",
    }
    heavy = [
        name
        for name in loaded
        if name.startswith(
            (
                "meet_trio.admin.",
                "meet_trio.console.",
                "meet_trio.edge.",
                "meet_trio.journal.",
                "meet_trio.live.",
                "meet_trio.media.",
                "meet_trio.operator.",
            )
        )
        if not name.endswith("settings")
    ]
    assert not heavy


def test_a_server_at_rest_is_light() -> None:
    """The DTLS library comes with the first room, the HTTP client with a URL of webhooks."""
    loaded = loaded_by("meet_trio.app, meet_trio.parts")
    assert not loaded & {"aiortc", "av", "OpenSSL", "cryptography", "httpx"}


def test_no_front_door_is_loaded_before_the_engines_begin() -> None:
    assert not loaded_by("meet_trio.daemon") & {
        "hypercorn",
        "starlette",
        "meet_trio.admin.server",
        "meet_trio.console.server",
        "meet_trio.edge.front_door",
        "meet_trio.parts",
        "meet_trio.socketio.server",
    }

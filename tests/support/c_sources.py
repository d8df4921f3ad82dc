"""The engine's C sources. ``C`` is also the include path."""

from pathlib import Path

C = Path(__file__).parents[2] / "src" / "meet_trio" / "engine" / "c"
INCLUDES = f"-I{C}"
SHELL = ("io", "thread.c")
"""The parts that are not the core: sockets and the thread."""


def engine_sources(root: Path = C) -> list[Path]:
    """All sources of the engine: no tests, no fuzz targets."""
    apart = ("fuzz", "tests")
    return [p for p in sorted(root.rglob("*.c")) if p.relative_to(root).parts[0] not in apart]


def core_sources(root: Path = C) -> list[Path]:
    """The sources of the core alone, which has no sockets, clock or thread."""
    return [p for p in engine_sources(root) if p.relative_to(root).parts[0] not in SHELL]

"""Where the engine's C sources are, by what they are for; the include path is ``C`` itself."""

from pathlib import Path

C = Path(__file__).parents[2] / "src" / "meet_trio" / "engine" / "c"
INCLUDES = f"-I{C}"
SHELL = ("io", "thread.c")
"""What is not the core: sockets and the thread."""


def engine_sources() -> list[Path]:
    """All that the engine is made of: no tests, no fuzz targets."""
    apart = ("fuzz", "tests")
    return [p for p in sorted(C.rglob("*.c")) if p.relative_to(C).parts[0] not in apart]


def core_sources() -> list[Path]:
    """The core alone, which has no sockets, clock or thread."""
    return [p for p in engine_sources() if p.relative_to(C).parts[0] not in SHELL]

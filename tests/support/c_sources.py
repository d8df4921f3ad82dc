"""The engine's C sources. ``C`` is also the include path."""

import ctypes
import os
import subprocess
from pathlib import Path

C = Path(__file__).parents[2] / "src" / "meet_trio" / "engine" / "c"
INCLUDES = f"-I{C}"
SHELL = ("io", "crowd", "thread.c")
"""The parts that are not the core: sockets, threads, and the clients of the load generator."""


def engine_sources(root: Path = C) -> list[Path]:
    """All sources of the engine: no tests, no fuzz targets."""
    apart = ("fuzz", "tests")
    return [p for p in sorted(root.rglob("*.c")) if p.relative_to(root).parts[0] not in apart]


def core_sources(root: Path = C) -> list[Path]:
    """The sources of the core alone, which has no sockets, clock or thread."""
    return [p for p in engine_sources(root) if p.relative_to(root).parts[0] not in SHELL]


def load_units(folder: Path, *units: str) -> ctypes.CDLL:
    """Sources of ``formats`` as one shared library, which is compiled in ``folder``."""
    path = folder / "units.so"
    command = [os.environ.get("CC", "cc"), "-std=gnu11", "-O1", "-shared", "-fPIC", INCLUDES]
    sources = [C / "formats" / f"{unit}.c" for unit in units]
    subprocess.run([*command, *sources, "-o", path, "-lcrypto"], check=True)
    return ctypes.CDLL(str(path))

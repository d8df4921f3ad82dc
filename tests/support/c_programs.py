"""Builds test programs from the engine's C sources, with warnings as errors.

A source is compiled once for all programs with the same flags, and all cores compile. The objects
live as long as this process.
"""

import atexit
import functools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from support.c_sources import INCLUDES, C

T = TypeVar("T")
R = TypeVar("R")
Flags = tuple[str, ...]

MEMORY: Flags = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
THREADS: Flags = ("-fsanitize=thread", "-fno-sanitize-recover=all")
NO_SANITIZER: Flags = ()
"""For figures of time and memory."""

_COMPILE = (
    *("-std=gnu11", "-g", "-O1", "-Wall", "-Wextra", "-Werror"),
    *("-ffunction-sections", INCLUDES),
)
_KEPT = Path(tempfile.mkdtemp(prefix="meet-trio-objects-"))
atexit.register(shutil.rmtree, _KEPT, ignore_errors=True)

_LIBRARIES = ("-lcrypto", "-lm", "-lpthread")


def build(
    program: Path, sources: Iterable[Path], flags: Flags = MEMORY, *, in_part: bool = False
) -> Path:
    """Build ``program`` from ``sources``; returns its path. Raises RuntimeError with the compiler's
    messages. ``in_part``: what the program does not call is not linked, and may need other sources.
    """
    objects = in_parallel(functools.partial(_object, flags), sources)
    link = ["-Wl,--gc-sections"] if in_part else []
    run([cc(), *flags, *link, *map(str, objects), "-o", str(program), *_LIBRARIES])
    return program


def in_parallel(compile: Callable[[T], R], sources: Iterable[T]) -> list[R]:
    """The results of ``compile`` for all sources, in their order. As many run at once as there are
    cores.
    """
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(compile, sources))


def run(command: list[str]) -> None:
    """Run a compiler. Raises RuntimeError with its messages."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{done.stderr}")


def cc() -> str:
    return os.environ.get("CC", "cc")


def has(flags: Flags) -> bool:
    """Whether programs built with these flags run here: a sanitizer may be missing, or the kernel
    may not suit it.
    """
    folder = _folder(flags)
    source, program = folder / "empty.c", folder / "empty"
    source.write_text("int main(void) { return 0; }\n")
    built = subprocess.run([cc(), *flags, source, "-o", program], capture_output=True)
    return built.returncode == 0 and subprocess.run([program], capture_output=True).returncode == 0


@functools.cache
def _object(flags: Flags, source: Path) -> Path:
    name = "-".join(source.relative_to(C).with_suffix(".o").parts)
    compiled = _folder(flags) / name
    run([cc(), *_COMPILE, *flags, "-c", str(source), "-o", str(compiled)])
    return compiled


def _folder(flags: Flags) -> Path:
    folder = _KEPT / ("-".join(flags).replace("/", "") or "no-sanitizer")
    folder.mkdir(exist_ok=True)
    return folder

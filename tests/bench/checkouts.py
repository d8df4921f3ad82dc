"""The checkouts that benches compare, and the server of one of them."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

from support.daemon import Daemon, start_daemon

HERE = Path(__file__).parents[2]


def python_of(checkout: Path) -> str:
    """Its interpreter: ``tools/test`` has made its ``.venv``. Of this one it is our own."""
    return sys.executable if checkout == HERE else str(checkout / ".venv" / "bin" / "python")


def name_of(checkout: Path) -> str:
    return "here" if checkout == HERE else checkout.resolve().name


@contextlib.contextmanager
def open_daemon(*flags: str, checkout: Path = HERE, **environ: str) -> Iterator[Daemon]:
    """Each measurement has a server of its own: memory that one leaves to the allocator does not
    help the next.
    """
    daemon = start_daemon(*flags, wrapper=(), python=python_of(checkout), **environ)
    try:
        yield daemon
    finally:
        daemon.stop(deadline=20)

"""Python imports this at its start if this folder is on ``PYTHONPATH``: samples of the stacks of
the process's main thread, taken by its CPU time, are written to the file ``FLAMES`` at its end.

Each line is a stack from its root, functions separated by ``;``, and how often it was seen.
"""

import atexit
import collections
import os
import signal
import types
from pathlib import Path

INTERVAL = 0.002  # seconds of CPU time; the kernel rounds it up to its tick

_seen: collections.Counter[str] = collections.Counter()


def _name(frame: types.FrameType) -> str:
    code = frame.f_code
    module = frame.f_globals.get("__name__", "?")
    return f"{module}:{code.co_qualname}"


def _take(number: int, frame: types.FrameType | None) -> None:
    stack = []
    while frame is not None:
        stack.append(_name(frame))
        frame = frame.f_back
    _seen[";".join(reversed(stack))] += 1


def _write(path: str) -> None:
    signal.setitimer(signal.ITIMER_PROF, 0)
    Path(path).write_text("".join(f"{stack} {count}\n" for stack, count in _seen.items()))


if path := os.environ.pop("FLAMES", None):
    atexit.register(_write, path)
    signal.signal(signal.SIGPROF, _take)
    signal.setitimer(signal.ITIMER_PROF, INTERVAL, INTERVAL)

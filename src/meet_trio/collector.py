"""When Python looks for cycles of garbage: seldom, and at a time of our choice.

A full collection visits every object that may be part of a cycle, and nothing else runs meanwhile:
0.2 s with 500 peers. Left alone, Python does it whenever a quarter more objects are there than
after the last time, so whoever makes many, by joining or by knocking, holds up everybody. Nearly
all garbage is none of it: it is freed at once when the last reference goes, or by collections of
the young, which take less than a millisecond.

Therefore:

- What the start has made is never looked at again.
- Full collections come from ``run`` alone: at most every ``interval`` seconds, and so seldom that
  they take no more than ``share`` of the time. The 99th percentile of the loop's lag knows nothing
  of them.
- Unless the process has grown by ``growth`` bytes since the last one: garbage in cycles is bounded
  by that, whoever makes it.

This is about the whole process, so it is the command's to start, not the server's.
"""

import gc
import resource
import time
from collections.abc import Callable
from pathlib import Path

import trio

_YOUNG, _MIDDLE, _NEVER = 700, 10, 1_000_000  # Python's own: objects, collections of the younger
_LOOK = 5.0  # seconds between two looks at the process's size


def resident() -> int:
    """Bytes of memory that the process has."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


async def run(
    *,
    interval: float = 60.0,
    share: float = 0.0005,
    growth: int = 200_000_000,
    collect: Callable[[], object] = gc.collect,
    size: Callable[[], int] = resident,
    clock: Callable[[], float] = time.perf_counter,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Until cancelled; then everything is as it was. Seconds, by ``clock``."""
    before = gc.get_threshold()
    gc.set_threshold(_YOUNG, _MIDDLE, _NEVER)
    collect()
    gc.freeze()
    try:
        task_status.started()
        pause = interval
        while True:
            limit = size() + growth
            with trio.move_on_after(pause):
                while size() < limit:  # noqa: ASYNC110  # nothing tells of growth
                    await trio.sleep(_LOOK)
            began = clock()
            collect()
            pause = max(interval, (clock() - began) / share)
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)

"""When Python looks for cycles of garbage: seldom, and at a time of our choice.

A full collection visits every object that may be part of a cycle, and nothing else runs meanwhile:
0.2 s with 500 peers. Left alone, Python does it whenever a quarter more objects are there than
after the last time, so whoever makes many, by joining or by knocking, holds up everybody. Nearly
all garbage is none of it: it is freed at once when the last reference goes, or by collections of
the young, which take less than a millisecond.

Therefore:

- What the start has made is never looked at again.
- Full collections come from ``run``, at most every ``interval`` seconds, and so seldom that they
  take no more than ``share`` of the time: the 99th percentile of the loop's lag knows nothing of
  them.
- By itself Python does one only after ``_NET_NEW`` objects more were made than freed, which is
  what keeps memory bounded between two of ours.

This is about the whole process, so it is the command's to start, not the server's.
"""

import gc
import time
from collections.abc import Callable

import trio

_YOUNG, _MIDDLE = 700, 10  # Python's own: objects, and collections of the young
_NET_NEW = 1_400_000  # objects; a few hundred MB at the very most


async def run(
    *,
    interval: float = 60.0,
    share: float = 0.0005,
    collect: Callable[[], object] = gc.collect,
    clock: Callable[[], float] = time.perf_counter,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Until cancelled; then everything is as it was. Seconds, by ``clock``."""
    before = gc.get_threshold()
    gc.set_threshold(_YOUNG, _MIDDLE, _NET_NEW // (_YOUNG * _MIDDLE))
    collect()
    gc.freeze()
    try:
        task_status.started()
        pause = interval
        while True:
            await trio.sleep(pause)
            began = clock()
            collect()
            pause = max(interval, (clock() - began) / share)
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)

"""Makes Python's full garbage collections rare.

A full collection visits every object that may be part of a cycle, and nothing else runs meanwhile:
0.2 s with 500 peers. By default Python makes one whenever there are a quarter more objects than
after the last one. So a client that makes the server create many objects, by joining or by opening
connections, would hold up all others. Full collections free little: nearly all garbage is freed at
once when its last reference goes, or by collections of the young generations, which take less than
a millisecond.

Therefore:

- Objects that exist when ``run`` starts are never visited again.
- Only ``run`` makes full collections: at most one every ``interval`` seconds, and so few that they
  take no more than ``share`` of the time. They do not show in the 99th percentile of the loop's
  lag.
- If the process has grown by ``growth`` bytes since the last full collection, the next one is made
  early. That bounds the memory of garbage in cycles.

This affects the whole process, so the command starts it and not the server.
"""

import gc
import resource
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import trio

# For ``gc.set_threshold``. New objects until a collection of the youngest generation: Python's
# default. Collections of that until one of the middle generation: Python's default is 10, and one
# of those took 20 to 40 ms while four thousand connections came. The third is so high that Python
# makes no full collection by itself.
_YOUNG, _MIDDLE, _NEVER = 700, 2, 1_000_000
_SIZE_CHECK_INTERVAL = 5.0  # seconds


def resident_memory() -> int:
    """The resident memory of the process in bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def hold() -> None:
    """No collections until ``run`` starts: nearly all that is made before it stays. They would take
    7 % of the time of the imports, and 40 % of what it takes to go on with large rooms.
    """
    gc.disable()


async def freeze_when(loaded: Callable[[], Awaitable[None]]) -> None:
    """Once ``loaded`` returns, the objects that exist then are never visited again either. This is
    for a library that is loaded after ``run`` has started.
    """
    await loaded()
    gc.freeze()


async def run(
    *,
    interval: float = 60.0,
    share: float = 0.0005,
    growth: int = 200_000_000,
    collect: Callable[[], object] = gc.collect,
    size: Callable[[], int] = resident_memory,
    clock: Callable[[], float] = time.perf_counter,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Make full collections until cancelled, then restore Python's settings. ``interval`` is in
    seconds, ``growth`` in bytes.
    """
    before = gc.get_threshold()
    gc.set_threshold(_YOUNG, _MIDDLE, _NEVER)
    gc.enable()
    collect()
    gc.freeze()
    try:
        task_status.started()
        pause = interval
        while True:
            limit = size() + growth
            with trio.move_on_after(pause):
                while size() < limit:  # noqa: ASYNC110  # there is no event for growth
                    await trio.sleep(_SIZE_CHECK_INTERVAL)
            began = clock()
            collect()
            pause = max(interval, (clock() - began) / share)
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)

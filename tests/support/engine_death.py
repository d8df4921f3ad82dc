"""The death of an engine's thread, by a fault of its epoll descriptor.

Something that epoll cannot wait for takes the place of the descriptor, in one step and under the
same number. So the thread's next wait fails, no other descriptor is touched, and who closes the
number closes what is there.
"""

import os
from pathlib import Path

import trio

from meet_trio.engine import Engine
from meet_trio.media.engines import EngineHost

_OWN = Path("/proc/self")


def break_engine(engine: Engine) -> None:
    """The thread ends at the end of its turn: at its next event, or within a second."""
    other = os.eventfd(0)
    try:
        os.dup2(other, epoll_of(engine), inheritable=False)
    finally:
        os.close(other)
    engine.request_stats(0)  # wakes it


def epoll_of(engine: Engine) -> int:
    """The number of the epoll descriptor that watches the engine's sockets."""
    ((udp, _), *_) = engine.sockets
    for entry in os.listdir(_OWN / "fd"):
        try:
            watched = (_OWN / "fdinfo" / entry).read_text()
        except FileNotFoundError:  # of the listing itself
            continue
        if any(line.split()[:2] == ["tfd:", str(udp)] for line in watched.splitlines()):
            return int(entry)
    raise LookupError("no descriptor watches the engine's sockets")


async def let_die(host: EngineHost) -> None:
    """Break the host's engine, and wait until another one is in its place."""
    before = host.restarts
    break_engine(host.engine)
    with trio.fail_after(10):
        while host.restarts == before:
            assert not host.failed
            await trio.sleep(0.001)

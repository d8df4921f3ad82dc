"""Measures what people cost: ``PYTHONPATH=tests python tests/bench/people.py [PEOPLE]``.

Participants of a process of their own send audio and simulcast video and receive each other: once
in rooms of two, once all in one room. Both have as many people; they differ in the consumers. From
this follow the memory and the CPU time of a person, and of a consumer: a stream that one person
gets. CPU time is that of the process, so that what else runs on the machine does not count. What is
not the engines' threads' is Python's. Each figure is the median of ``RUNS``. Memory has the packets
that are kept to be sent again.
"""

import argparse
import statistics
import subprocess
import sys
import time

import attrs
import trio
from checkouts import open_daemon
from cpu_time import cpu_time
from support.api import MeetApi
from support.daemon import Daemon, api_of

from meet_trio.bench.process import usage

ROOMS = 1000  # empty ones, for the memory of one
STEADY = 5.0  # seconds of the meeting that are measured
STREAMS = 2  # of each person
RUNS = 3


@attrs.frozen
class Usage:
    """CPU seconds of the server's threads, and resident bytes."""

    python: float
    engines: float
    memory: int

    @classmethod
    def of(cls, daemon: Daemon) -> "Usage":
        now = usage([daemon.process.pid])
        engines = sum(t for (*_, name), t in now.cpu.items() if name.startswith("meet-engine"))
        return cls(cpu_time(daemon.process.pid) - engines, engines, now.memory)

    def __sub__(self, before: "Usage") -> "Usage":
        return Usage(
            self.python - before.python,
            self.engines - before.engines,
            self.memory - before.memory,
        )


@attrs.frozen
class Meeting:
    """What joining has cost, and the CPU seconds of a second afterwards."""

    consumers: int
    joined: Usage
    second: Usage


def meet(people: int, size: int) -> Meeting:
    """``people`` in rooms of ``size``, on a server of their own that has had a room before."""
    with open_daemon("--process-log-level", "warning", "--media-workers", "1") as daemon:
        api = api_of(daemon)
        with_crowd(daemon, api, 2, 2, 0)
        return with_crowd(daemon, api, people, size, STEADY)


def with_crowd(daemon: Daemon, api: MeetApi, people: int, size: int, steady: float) -> Meeting:
    before = Usage.of(daemon)
    crowds = [
        subprocess.Popen(
            [sys.executable, "-m", "support.crowd", *trio.run(invite, api, size)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for _ in range(people // size)
    ]
    try:
        for crowd in crowds:
            assert crowd.stdout is not None
            assert crowd.stdout.readline() == b"ready\n"
        joined = Usage.of(daemon)
        start = time.monotonic()
        time.sleep(steady)
        used, seconds = Usage.of(daemon) - joined, max(steady, time.monotonic() - start)
    finally:
        for crowd in crowds:
            crowd.communicate()
    second = Usage(used.python / seconds, used.engines / seconds, 0) if steady else used
    return Meeting(people * (size - 1) * STREAMS, joined - before, second)


async def invite(api: MeetApi, size: int) -> list[str]:
    room = await api.create_room()
    return [await api.create_peer(room, 3) for _ in range(size)]


def empty_rooms() -> float:
    """Bytes of a room without people."""
    with open_daemon("--process-log-level", "warning") as daemon:
        api = api_of(daemon)

        async def make() -> None:
            for _ in range(ROOMS):
                await api.create_room()

        trio.run(api.create_room)
        time.sleep(2)  # the library for DTLS is loaded with the first room
        before = Usage.of(daemon)
        trio.run(make)
        return (Usage.of(daemon) - before).memory / ROOMS


def median(meetings: list[Meeting]) -> Meeting:
    """Each figure for itself."""

    def of(usages: list[Usage]) -> Usage:
        return Usage(
            statistics.median(u.python for u in usages),
            statistics.median(u.engines for u in usages),
            round(statistics.median(u.memory for u in usages)),
        )

    joined, second = of([m.joined for m in meetings]), of([m.second for m in meetings])
    return Meeting(meetings[0].consumers, joined, second)


def main() -> None:
    parser = argparse.ArgumentParser(description="What people cost.")
    parser.add_argument("people", nargs="?", type=int, default=16)
    people = parser.parse_args().people
    print(f"{'memory of an empty room':<44} {empty_rooms() / 1024:>8.1f} kB")
    runs = [(meet(people, 2), meet(people, people)) for _ in range(RUNS)]
    pairs, room = (median(list(each)) for each in zip(*runs, strict=True))
    more = room.consumers - pairs.consumers
    both = {"rooms of two": pairs, f"one room of {people}": room}
    for what, meeting in both.items():
        print(f"{people} people in {what}, {meeting.consumers} consumers")
        for name, value, unit in [
            ("memory of a person", meeting.joined.memory / people / 1024, "kB"),
            ("join of a person, Python", 1e3 * meeting.joined.python / people, "ms CPU"),
            ("join of a person, engine", 1e3 * meeting.joined.engines / people, "ms CPU"),
            ("a second of all, Python", 1e3 * meeting.second.python, "ms CPU"),
            ("a second of all, engine", 1e3 * meeting.second.engines, "ms CPU"),
        ]:
            print(f"  {name:<42} {value:>8.1f} {unit}", flush=True)
    memory = (room.joined.memory - pairs.joined.memory) / more / 1024
    python = 1e3 * (room.joined.python - pairs.joined.python) / more
    print(f"{'memory of a further consumer':<44} {memory:>8.1f} kB")
    print(f"{'offer of a further consumer, Python':<44} {python:>8.2f} ms CPU")


if __name__ == "__main__":
    main()

"""The gap that an upgrade leaves in the media of a call, as its people measure it.

    PYTHONPATH=tests python tests/bench/upgrades.py [--upgrades N] [--rooms N] [--people N]

All people of a room have a microphone, and all receive all others. Two of each room send a packet
every 5 ms, or every 20 ms if there are more than two people, the others one each second: the people
are Python programs on the same machine. For each upgrade and each stream of the two the gap is the
longest time between two packets at the receiver, around the moment of the upgrade. The same without
an upgrade is what the machine does by itself. Prints a line of the new process and the longest gap
for each upgrade, then p50, p99 and the longest.
"""

import argparse
import contextlib
import tempfile
import time
from collections.abc import Collection, Sequence
from pathlib import Path

import trio
from support.daemon import api_of
from support.meeting import enter
from support.participant import Participant
from support.upgrade import upgradable

from meet_trio.bench.dtls import Identity

TALKERS = 2  # of a room
INTERVAL, INTERVAL_OF_MANY, INTERVAL_OF_OTHERS = 0.005, 0.02, 1.0  # seconds between two packets
LOOK = 0.001


class Gaps:
    """The longest time between two packets of each stream of these producers."""

    def __init__(self, people: Sequence[Participant], producers: Collection[str]) -> None:
        consumers = [c for person in people for c in person.consumers.values()]
        self._all = [c.stream for c in consumers]
        self._streams = [c.stream for c in consumers if c.producer_id in producers]
        self.longest: list[float] = []
        self.begin()

    def begin(self) -> None:
        now = time.monotonic()
        self._counts = [stream.packets for stream in self._streams]
        self._last = [now] * len(self._streams)
        self.longest = [0.0] * len(self._streams)

    async def watch(self) -> None:
        while True:
            await trio.sleep(LOOK)
            now = time.monotonic()
            for index, stream in enumerate(self._streams):
                if stream.packets != self._counts[index]:
                    gap = now - self._last[index]
                    self.longest[index] = max(self.longest[index], gap)
                    self._counts[index], self._last[index] = stream.packets, now

    def faults(self) -> tuple[int, int, int]:
        """Packets lost, packets that came twice, other faults."""
        return (
            sum(stream.lost for stream in self._all),
            sum(stream.duplicates for stream in self._all),
            sum(len(stream.faults) for stream in self._all),
        )


async def run(upgrades: int, rooms: int, people_of_room: int) -> None:
    often = INTERVAL if people_of_room <= TALKERS else INTERVAL_OF_MANY
    with (
        tempfile.TemporaryDirectory() as folder,
        upgradable(Path(folder), supervised=True) as server,
    ):
        api, identity = api_of(server.daemon), Identity.generate()
        async with contextlib.AsyncExitStack() as stack:
            people: list[Participant] = []
            talking: set[str] = set()
            for _ in range(rooms):
                room = await api.create_room()
                here = [
                    await enter(stack, api, room, f"person {number}", identity=identity)
                    for number in range(people_of_room)
                ]
                for number, person in enumerate(here):
                    talks = number < TALKERS
                    producer = await person.produce_audio(
                        interval=often if talks else INTERVAL_OF_OTHERS
                    )
                    if talks:
                        talking.add(producer.id)
                for person in here:
                    while len(person.consumers) < people_of_room - 1:
                        await trio.sleep(0.05)
                people += here
            await trio.sleep(2)
            gaps = Gaps(people, talking)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(gaps.watch)
                await trio.sleep(2)
                still = list(gaps.longest)
                found: list[float] = []
                for number in range(upgrades):
                    gaps.begin()
                    done = await server.upgrade()
                    assert done.returncode == 0, done
                    await trio.sleep(0.5)
                    found += gaps.longest
                    print(
                        *[
                            line.split("process")[1].strip()
                            for line in server.daemon.log
                            if "stood still" in line
                        ][-1:],
                        flush=True,
                    )
                    print(f"upgrade {number + 1}: {1e3 * max(gaps.longest):.0f} ms", flush=True)
                nursery.cancel_scope.cancel()
            print(f"without an upgrade: {1e3 * max(still):.0f} ms")
            found.sort()
            for name, share in (("p50", 0.5), ("p99", 0.99), ("longest", 1.0)):
                at = min(len(found) - 1, int(share * len(found)))
                print(f"{name}: {1e3 * found[at]:.0f} ms")
            print("lost {}, twice {}, faults {}".format(*gaps.faults()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--upgrades", type=int, default=20)
    parser.add_argument("--rooms", type=int, default=1)
    parser.add_argument("--people", type=int, default=2)
    arguments = parser.parse_args()
    trio.run(run, arguments.upgrades, arguments.rooms, arguments.people)


if __name__ == "__main__":
    main()

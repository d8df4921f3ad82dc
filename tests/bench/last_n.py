"""What last-N saves, and what it costs: ``PYTHONPATH=tests python tests/bench/last_n.py``.

*Engine*: a room of 50 people with cameras on one core, without sockets. The packets of all cameras
are forwarded to all others, and then with the consumers of all but N of them paused. The runs take
turns. Printed are CPU time and forwarded packets for one frame of all cameras, and the ratio.

*Loop*: what it costs to find the speakers of ten rooms, in CPU time of Python's thread.
"""

import argparse
import gc
import random
import statistics
import time
from functools import partial

import attrs
import trio
from support.engine_world import Camera, EngineClient, World, video
from support.live_scenes import join, open_world, produce
from trio.testing import MockClock

from meet_trio.engine import AudioLevel, EncodingSpec

FRAMES = 12
RUNS = 5
ROOMS = 10
SECONDS = 30


@attrs.define
class Room:
    """``cameras`` has the encrypted packets of each frame of all cameras."""

    world: World
    clients: list[EngineClient]
    consumers: dict[int, list[int]]
    frames: list[list[tuple[EngineClient, bytes]]]

    @classmethod
    def open(cls, people: int, frames: int) -> "Room":
        world = World()
        clients = [world.client() for _ in range(people)]
        cameras = [Camera(ssrc=1000 + 10 * i) for i in range(people)]
        producers = [
            world.produce(c, video(encodings=(EncodingSpec(ssrc=camera.ssrc),)))
            for c, camera in zip(clients, cameras, strict=True)
        ]
        consumers = {
            producer: [
                world.consume(client, producer, nack=False)
                for viewer, client in enumerate(clients)
                if viewer != owner
            ]
            for owner, producer in enumerate(producers)
        }
        made = [
            [
                (client, client.protect(packet))
                for client, camera in zip(clients, cameras, strict=True)
                for packet in camera.frame(key=True)
            ]
            for _ in range(frames)
        ]
        return cls(world, clients, consumers, made)

    def forward(self, frames: list[list[tuple[EngineClient, bytes]]]) -> tuple[float, int]:
        """CPU time and forwarded packets."""
        core, sent = self.world.core, 0
        core.take_sent()
        before = time.process_time()
        for frame in frames:
            core.now += 33_000
            for client, data in frame:
                core.datagram(*client.address, data)
            core.tick()
            sent += len(core.take_sent())
        return time.process_time() - before, sent

    def hold_back(self, seen: int) -> None:
        for place, consumers in enumerate(self.consumers.values()):
            for consumer in consumers:
                self.world.core.set_consumer_paused(consumer, place >= seen)


def engine(people: int, n: int) -> None:
    room = Room.open(people, FRAMES * RUNS * 2)
    ratios, lines = [], []
    for run in range(RUNS):
        found = []
        for turn, seen in enumerate((people, n)):
            room.hold_back(seen)
            at = (2 * run + turn) * FRAMES
            room.forward(room.frames[at : at + 2])  # key frames begin the resumed ones
            found.append(room.forward(room.frames[at + 2 : at + FRAMES]))
        (all_time, all_sent), (few_time, few_sent) = found
        ratios.append(few_time / all_time)
        per = 1000 / (FRAMES - 2)
        lines.append(
            f"all: {all_time * per:.2f} ms, {all_sent // (FRAMES - 2)} packets; "
            f"N = {n}: {few_time * per:.2f} ms, {few_sent // (FRAMES - 2)} packets"
        )
    print(*lines, sep="\n")
    print(f"ratio of CPU time: {statistics.median(ratios):.3f}")


async def rooms(people: int, count: int, *, listen: bool) -> float:
    """CPU seconds for each second in which three speak in every room. Engine and sockets are fakes;
    the levels come as from an engine, in batches. A clock that jumps leaves out the waiting.
    """
    async with open_world() as world:
        clients = []
        for _ in range(count):
            room = await world.registry.create_room()
            for number in range(people):
                client = await world.enter(room)
                await join(client, f"Guest {number}")
                await produce(client)
                if listen:
                    await client.socket.ask("subscribeSpeakers")
                clients.append((room, client))
        voices = [
            [p.number for p in room.producers.values()] for room in world.registry.rooms.values()
        ]
        dice = random.Random(1)
        talking: list[int] = []
        gc.collect()
        before = time.process_time()
        for turn in range(10 * SECONDS):
            if turn % 30 == 0:
                talking = [n for numbers in voices for n in dice.sample(numbers, 3)]
            for number in talking:
                world.hear(AudioLevel(number, dice.choice((-25, -30, -60, -90))))
            await trio.sleep(0.1)
        return (time.process_time() - before) / SECONDS


def loop(people: int) -> None:
    for listen in (False, True):
        clock = MockClock(autojump_threshold=0)
        cpu = trio.run(partial(rooms, people, ROOMS, listen=listen), clock=clock)
        asked = "all have asked" if listen else "nobody has asked"
        print(f"{ROOMS} rooms of {people}, {asked}: {cpu * 1000:.1f} ms of the loop a second")


def main() -> None:
    parser = argparse.ArgumentParser(description="What last-N saves and costs.")
    parser.add_argument("--people", type=int, default=50)
    parser.add_argument("-n", type=int, default=9)
    arguments = parser.parse_args()
    engine(arguments.people, arguments.n)
    loop(arguments.people)


if __name__ == "__main__":
    main()

"""Memory that the core gives back to the system when rooms have ended."""

import subprocess
import sys
from pathlib import Path

from support.engine_world import Camera, World, video

TESTS = Path(__file__).parents[1]

ROOMS = """
import itertools
from pathlib import Path
import attrs
from meet_trio.engine import Core, EngineSettings
from support.engine_world import audio, simulcast, viewed

core = Core(EngineSettings())
numbers = itertools.count(1)

def open_room():
    transports = [next(numbers) for _ in range(9)]
    producers = []
    for number in transports:
        core.add_transport(number, f"ufrag{number}", "password-of-24-characters")
        core.set_srtp(number, 7, bytes(28), bytes(28))
        for spec in (simulcast(), audio()):
            producers.append(next(numbers))
            core.add_producer(producers[-1], number, spec)
    for number in transports:
        for producer in producers:
            core.add_consumer(consumer := next(numbers), number, producer,
                              viewed(2 * consumer, rtx_ssrc=2 * consumer + 500_001))
    return transports

def close(rooms):
    for number in itertools.chain(*rooms):
        core.remove_transport(number)
    for _ in range(500):  # 50 seconds
        core.now += 100_000
        core.tick()
    core.take_events()

def megabytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6

close([open_room()])
one = megabytes()
close([open_room() for _ in range(15)])
fifteen = megabytes()
for _ in range(85):
    close([open_room()])
print(one, fifteen, megabytes())
"""


def test_a_hundred_rooms_leave_little_behind() -> None:
    """15 rooms at once, whose 60 MB go back to the system, then 85 rooms one after the other."""
    done = subprocess.run(
        [sys.executable, "-c", ROOMS], cwd=TESTS, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    one, fifteen, hundred = map(float, done.stdout.split())
    assert fifteen - one < 15
    assert hundred - fifteen < 2


def test_buffers_of_a_burst_go_back() -> None:
    world = World()
    alice = world.client()
    producer = world.produce(alice, video())
    camera = Camera(parts=900)
    alice.send(*camera.frame(key=True))
    burst = world.stats()["engine"]
    assert burst["packet_buffers_used"] == 900
    world.run(5, step=0.05)
    rest = world.stats()["engine"]
    assert rest["packet_buffers_used"] == 1  # the newest packet always stays
    per_block = rest["packet_buffers"] // 3
    assert burst["packet_buffers"] >= 900 > 3 * per_block
    # Packets that reuse the buffers are sent unchanged.
    bob = world.client()
    world.consume(bob, producer)
    alice.send(*camera.frame(key=True))
    assert len(bob.rtp) == 900
    assert [b"%d" % i in p.payload for i, p in enumerate(bob.rtp)] == [True] * 900

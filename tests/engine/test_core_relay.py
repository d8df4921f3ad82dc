"""A room over two cores: packets of a producer of one cross to its mirror on the other.

The link is memory; nothing crosses but in ``cross`` and ``run``.
"""

from collections.abc import Sequence
from typing import Any

import attrs
import pytest
from support.engine_world import Camera, EngineClient, World, of, video

from meet_trio.engine import EngineSettings, ProducerSpec
from meet_trio.wire.rtp import RtpPacket
from meet_trio.wire.vp8 import parse_vp8_untrusted


@attrs.define(eq=False)
class Pair:
    """``a`` has the publishers."""

    settings: EngineSettings = attrs.field(factory=EngineSettings)
    a: World = attrs.field(init=False)
    b: World = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.a = World(self.settings)
        self.b = World(self.settings, numbers=self.a._numbers)

    def produce(self, client: EngineClient, spec: ProducerSpec) -> int:
        """A producer of ``a`` with its mirror on ``b``."""
        producer = self.a.produce(client, spec)
        self.b.core.add_mirror(producer, spec)
        self.a.core.relay_producer(producer, self.b.core)
        self.cross()
        return producer

    def consume(self, client: EngineClient, producer: int, **changes: Any) -> int:
        consumer = client.world.consume(client, producer, **changes)
        self.cross()
        return consumer

    def cross(self) -> None:
        """Both threads take a turn, twice: a wish, and what comes of it."""
        for world in (self.b, self.a) * 2:
            world.core.cross()
            world.core.tick()
            world.deliver()

    def run(self, seconds: float, step: float = 0.005) -> None:
        end = self.a.core.now + round(seconds * 1e6)
        while self.a.core.now < end:
            now = min(self.a.core.now + round(step * 1e6), end)
            self.a.core.now = self.b.core.now = now
            self.cross()

    def send(self, client: EngineClient, *packets: RtpPacket) -> None:
        client.send(*packets)
        self.cross()

    def send_frames(
        self, client: EngineClient, cameras: Sequence[Camera], count: int, *, key: bool = False
    ) -> None:
        for i in range(count):
            self.run(1 / 30)
            for camera in cameras:
                self.send(client, *camera.frame(key=key and i == 0))


@pytest.fixture
def pair() -> Pair:
    return Pair()


def assert_gapless(packets: Sequence[RtpPacket]) -> None:
    first = packets[0].sequence_number
    numbers = [(p.sequence_number - first) & 0xFFFF for p in packets]
    assert numbers == list(range(len(packets)))


def test_a_packet_crosses_once_and_reaches_every_viewer(pair: Pair) -> None:
    alice, bob, carol, dave = pair.a.client(), pair.b.client(), pair.b.client(), pair.a.client()
    producer = pair.produce(alice, video())
    consumers = [pair.consume(c, producer) for c in (bob, carol, dave)]
    camera = Camera(tag=b"r0")
    pair.send_frames(alice, [camera], 10, key=True)
    for viewer, consumer in zip((bob, carol, dave), consumers, strict=True):
        packets = of(viewer.rtp, consumer + 50_000)
        assert len(packets) == 20
        assert_gapless(packets)
    payloads = [parse_vp8_untrusted(p.payload)[1] for p in dave.rtp]
    assert [parse_vp8_untrusted(p.payload)[1] for p in bob.rtp] == payloads
    assert pair.a.counter("relay_packets_out") == pair.b.counter("relay_packets_in") == 20
    assert pair.a.counter("relay_bytes_out") == pair.b.counter("relay_bytes_in") > 0
    mirror = pair.b.stats()["mirrors"][str(producer)]
    assert mirror["streams"][0]["packetCount"] == 20
    assert mirror["streams"][0]["ssrc"] == 1000
    assert pair.b.stats()["producers"] == {}

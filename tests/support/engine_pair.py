"""Two cores that are linked: a room over two engines; the test controls the link.

Packets cross only in ``cross``, ``send``, ``consume``, ``produce`` and ``run``. A client's own
``send`` puts packets into the link and leaves them there.
"""

from collections.abc import Sequence
from typing import Any

import attrs
from support.engine_world import Camera, EngineClient, World
from support.wire.rtp import RtpPacket

from meet_trio.engine import EngineSettings, ProducerSpec


@attrs.define(eq=False)
class Pair:
    """Two worlds; ``a`` has the publishers."""

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
        """Both threads take a turn, twice: for a request, and for its effects."""
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


def assert_gapless(packets: Sequence[RtpPacket]) -> None:
    first = packets[0].sequence_number
    numbers = [(p.sequence_number - first) & 0xFFFF for p in packets]
    assert numbers == list(range(len(packets)))

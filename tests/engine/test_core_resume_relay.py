"""A room over two engines whose process is killed: the mirror's viewers notice nothing either."""

import attrs
import pytest
from support.engine_kept import KeptWorld
from support.engine_pair import Pair
from support.engine_world import Camera, EngineClient, video
from support.wire.rtcp import Fir, Pli


@attrs.define(eq=False)
class KeptPair(Pair):
    def __attrs_post_init__(self) -> None:
        self.a = KeptWorld(self.settings)
        self.b = KeptWorld(self.settings, numbers=self.a._numbers)

    def kill(self, producer: int, *, source_first: bool) -> None:
        """Both engines were of one process; they begin one after the other."""
        assert isinstance(self.a, KeptWorld)
        assert isinstance(self.b, KeptWorld)
        for world in (self.a, self.b):
            world.kill(after=0, begin=False)
        self.a.core.relay_producer(producer, self.b.core)
        self.source_first = source_first

    source_first: bool = True


def scene(killed_at: int, *, source_first: bool = True) -> tuple[list[tuple[int, bytes]], int]:
    pair = KeptPair()
    alice, bob, carol = pair.a.client(), pair.b.client(), pair.b.client()
    producer = pair.produce(alice, video())
    for viewer in (bob, carol):
        pair.consume(viewer, producer)
    camera = Camera(parts=3)
    pair.send_frames(alice, [camera], 10, key=True)
    asked = requests(alice)
    packets = [packet for _ in range(10) for packet in camera.frame()]
    for i, packet in enumerate(packets):
        if i == killed_at:
            pair.kill(producer, source_first=source_first)
            first, second = (pair.a, pair.b) if source_first else (pair.b, pair.a)
            first.core.begin()
            if source_first:
                alice.send(packet)  # it waits in the ring for the engine that is held
                second.core.begin()
                pair.cross()
                continue
            first.core.cross()
            second.core.begin()
        pair.send(alice, packet)
        if i % 3 == 2:
            pair.run(1 / 30)
    pair.run(0.5)
    assert [p.payload for p in bob.rtp] == [p.payload for p in carol.rtp]
    return [(p.sequence_number, p.payload) for p in bob.rtp], requests(alice) - asked


def requests(client: EngineClient) -> int:
    return len(client.rtcp_of(Pli)) + len(client.rtcp_of(Fir))


@pytest.mark.parametrize("source_first", [True, False])
@pytest.mark.parametrize("killed_at", [0, 1, 14])
def test_viewers_at_a_mirror_see_one_continuous_stream(killed_at: int, source_first: bool) -> None:
    stream, asked = scene(killed_at, source_first=source_first)
    assert stream == scene(-1)[0]
    assert asked == 0
    assert len(stream) == 60

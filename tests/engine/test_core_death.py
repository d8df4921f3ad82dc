"""A room over two engines of which one dies, and another one takes its place."""

import attrs
import pytest
from support.engine_kept import KeptWorld, RecordedCore
from support.engine_pair import Pair
from support.engine_world import Camera, EngineClient, video
from support.wire.rtcp import Fir, Pli


@attrs.define(eq=False)
class MortalPair(Pair):
    def __attrs_post_init__(self) -> None:
        self.a = KeptWorld(self.settings)
        self.b = KeptWorld(self.settings, numbers=self.a._numbers)

    def die(self, *, source: bool) -> None:
        """``a`` dies, or ``b``; the one in its place is held."""
        world = self.a if source else self.b
        assert isinstance(world, KeptWorld)
        world.kill(after=0, begin=False)
        dead = world.dead[-1]
        assert isinstance(dead, RecordedCore)
        dead.die()


@attrs.define(eq=False)
class Scene:
    pair: MortalPair = attrs.field(factory=MortalPair)
    alice: EngineClient = attrs.field(init=False)
    bob: EngineClient = attrs.field(init=False)
    producer: int = attrs.field(init=False)
    camera: Camera = attrs.field(factory=lambda: Camera(parts=3))

    def __attrs_post_init__(self) -> None:
        self.alice, self.bob = self.pair.a.client(), self.pair.b.client()
        self.producer = self.pair.produce(self.alice, video())
        self.pair.consume(self.bob, self.producer)
        self.frames(10, key=True)

    def frames(self, count: int, *, key: bool = False) -> None:
        self.pair.send_frames(self.alice, [self.camera], count, key=key)

    def relay(self) -> None:
        self.pair.a.core.relay_producer(self.producer, self.pair.b.core)

    def seen(self) -> list[tuple[int, bytes]]:
        return [(p.sequence_number, p.payload) for p in self.bob.rtp]

    def asked(self) -> int:
        """Key frames that were asked for."""
        return len(self.alice.rtcp_of(Pli)) + len(self.alice.rtcp_of(Fir))


def undisturbed() -> list[tuple[int, bytes]]:
    scene = Scene()
    scene.frames(10)
    return scene.seen()


@pytest.mark.parametrize("noticed", [False, True])
def test_viewers_elsewhere_see_one_stream_when_the_source_dies(noticed: bool) -> None:
    """Whether or not their engine has looked before there is another source."""
    scene = Scene()
    pair, asked = scene.pair, scene.asked()
    waiting = scene.camera.frame()
    pair.die(source=True)
    if noticed:
        pair.b.core.now += 300_000
        pair.b.core.tick()
        pair.a.core.now = pair.b.core.now
    scene.relay()
    pair.a.core.begin()
    pair.send(scene.alice, *waiting)
    scene.frames(9)
    assert scene.seen() == undisturbed()
    assert scene.asked() == asked


def test_what_has_crossed_before_the_death_is_not_lost() -> None:
    scene = Scene()
    pair = scene.pair
    scene.alice.send(*scene.camera.frame())  # it waits in the ring
    pair.die(source=True)
    pair.b.core.now += 300_000
    pair.b.core.tick()  # a round, which leaves links that are closed
    pair.a.core.now = pair.b.core.now
    scene.relay()
    pair.a.core.begin()
    scene.frames(9)
    assert scene.seen() == undisturbed()


def test_viewers_of_an_engine_that_dies_get_a_key_frame() -> None:
    """What came to the source meanwhile was not relayed, and nobody can send it again."""
    scene = Scene()
    pair, asked = scene.pair, scene.asked()
    before = scene.seen()
    pair.die(source=False)
    pair.send(scene.alice, *scene.camera.frame())
    scene.relay()
    pair.b.core.begin()
    pair.cross()
    scene.frames(1)
    pair.run(1.2)  # the least time between two requests
    assert scene.asked() > asked
    scene.frames(9, key=True)
    assert scene.seen()[: len(before)] == before
    # the same numbers as if the frame had been lost on the way
    assert [number for number, _ in scene.seen()[len(before) :]] == [
        (before[-1][0] + 4 + i) & 0xFFFF for i in range(30)
    ]


def test_no_key_frame_is_asked_for_if_nothing_was_missed() -> None:
    scene = Scene()
    pair, asked = scene.pair, scene.asked()
    pair.die(source=False)
    scene.relay()
    pair.b.core.begin()
    pair.cross()
    scene.frames(10)
    pair.run(1.2)
    assert scene.asked() == asked
    assert scene.seen() == undisturbed()


def test_a_relay_that_ends_in_order_ends_the_streams_of_its_mirror() -> None:
    """Only a death lets them wait."""
    scene = Scene()
    pair, asked = scene.pair, scene.asked()
    pair.a.core.stop_relaying(scene.producer, pair.b.core)
    pair.cross()
    scene.relay()
    pair.cross()
    pair.run(1.2)
    assert scene.asked() > asked

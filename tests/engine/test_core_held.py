"""A core that is held sends what it has received, and then nothing; another core goes on."""

from support.engine_kept import KeptWorld
from support.engine_pair import Pair, assert_gapless
from support.engine_world import VIEWED_ADAPTED, Camera, World, video
from support.wire.rtcp import Pli

from meet_trio.engine import EngineHeld, EngineSettings, IceSilent

SLOW = EngineSettings(initial_outgoing_bitrate=100_000)


def hold(world: World, token: int = 1) -> None:
    world.core.hold(token)
    world.deliver()
    assert world.events[-1] == EngineHeld(token)  # a held core has no ticks


def test_what_waits_for_the_pacer_is_sent() -> None:
    world = KeptWorld(SLOW)
    alice, bob = world.client(), world.client()
    producer = world.produce(alice, video())
    world.consume(bob, producer, header_extensions=VIEWED_ADAPTED)
    camera = Camera(parts=200)
    alice.send(*camera.frame(key=True))
    assert len(bob.rtp) < 100
    hold(world)
    assert len(bob.rtp) == 200
    world.kill(after=0)
    alice.send(*camera.frame())
    world.run(1)
    assert len(bob.rtp) == 400
    assert_gapless(bob.rtp)


def test_what_crosses_to_a_held_core_is_sent_by_a_second_hold() -> None:
    pair = Pair()
    alice, bob = pair.a.client(), pair.b.client()
    producer = pair.produce(alice, video())
    pair.consume(bob, producer)
    camera = Camera(parts=4)
    pair.send_frames(alice, [camera], 2, key=True)
    alice.send(*camera.frame())  # it is in the link
    hold(pair.b)
    assert len(bob.rtp) == 12
    alice.send(*camera.frame())
    hold(pair.a)
    assert len(bob.rtp) == 12
    hold(pair.b, 2)
    assert len(bob.rtp) == 16
    assert_gapless(bob.rtp)
    pair.a.core.begin()
    pair.b.core.begin()
    pair.send_frames(alice, [camera], 2)
    assert len(bob.rtp) == 24
    assert_gapless(bob.rtp)


def test_a_consumer_that_is_added_meanwhile_begins_with_the_core() -> None:
    world = World()
    alice, bob, carol = world.client(), world.client(), world.client()
    producer = world.produce(alice, video())
    world.consume(bob, producer)
    camera = Camera()
    alice.send(*camera.frame(key=True))
    hold(world)
    world.consume(carol, producer)
    world.deliver()
    assert not carol.rtp
    world.core.begin()
    world.deliver()
    assert len(carol.rtp) == len(bob.rtp)  # the key frame has just come
    alice.send(*camera.frame())
    assert len(carol.rtp) == len(bob.rtp) == 4


def test_a_key_frame_that_is_wanted_meanwhile_is_asked_for_afterwards() -> None:
    world = World()
    alice, bob = world.client(), world.client()
    producer = world.produce(alice, video())
    world.consume(bob, producer)
    camera = Camera()
    alice.send(*camera.frame(key=True))
    world.run(5)
    asked = len(alice.rtcp_of(Pli))
    hold(world)
    world.core.request_keyframe(producer)
    world.deliver()
    assert len(alice.rtcp_of(Pli)) == asked
    world.core.begin()
    world.run(0.1)
    assert len(alice.rtcp_of(Pli)) == asked + 1


def test_timers_that_have_passed_meanwhile_fire_afterwards() -> None:
    world = World(EngineSettings(consent_timeout=5))
    alice = world.client()
    hold(world)
    world.core.now += 6_000_000
    world.core.restart_ice(alice.number, "new", "password-for-new")
    world.deliver()
    assert not any(isinstance(event, IceSilent) for event in world.events)
    world.core.begin()
    world.run(0.2)
    assert world.take_events(IceSilent) == [IceSilent(alice.number)]


def test_of_a_core_that_has_begun_nothing_is_resumed() -> None:
    world = KeptWorld()
    alice = world.client()
    kept = world.kill()
    hold(world)
    world.core.resume_transport(alice.number, kept.transports[alice.number])
    assert world.refused() == 1

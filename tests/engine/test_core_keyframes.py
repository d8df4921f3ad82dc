"""Limits on the key frames that viewers may request from a publisher."""

import itertools
from collections.abc import Callable, Sequence
from itertools import pairwise

import pytest
from support.engine_world import Camera, EngineClient, World, layer_cameras, simulcast, video
from support.wire.rtcp import Fir, Pli

from meet_trio.engine import EngineSettings

BURST, EVERY = 10, 3.0
"""Key frames that one viewer may request at once, and seconds until it may request another."""
PATIENCE = 1.5
"""Seconds that a viewer with a larger picture than it wants waits for a smaller one."""


@pytest.fixture
def world() -> World:
    return World(EngineSettings(consent_timeout=600, keyframe_interval=0.1))


def follow(
    world: World,
    alice: EngineClient,
    cameras: Sequence[Camera],
    seconds: float,
    ask: Callable[[], object] = lambda: None,
) -> int:
    """The number of requests that reach ``alice`` while ``ask`` is called 20 times a second. She
    sends a key frame for each.
    """
    count = 0
    for _ in range(round(seconds * 20)):
        ask()
        alice.rtcp.clear()
        world.run(0.05, step=0.01)
        asked = len(alice.rtcp_of(Pli))
        count += asked
        for camera in cameras:
            alice.send(*camera.frame(key=asked > 0))
    return count


def begin(world: World) -> tuple[EngineClient, EngineClient, list[Camera], int, int]:
    """A publisher and a viewer that have started; returns both, the cameras, the producer, the
    consumer.
    """
    alice, bob = world.client(), world.client()
    producer = world.produce(alice, simulcast(2))
    cameras = layer_cameras(2)
    for camera in cameras:
        alice.send(*camera.frame(key=True))
    consumer = world.consume(bob, producer)
    follow(world, alice, cameras, 1)
    return alice, bob, cameras, producer, consumer


@pytest.mark.parametrize("how", ["pli", "fir", "request", "resume", "layers"])
def test_who_asks_without_end_gets_few(world: World, how: str) -> None:
    alice, bob, cameras, producer, consumer = begin(world)
    cy = world.client()
    other = world.consume(cy, producer)
    layers = itertools.cycle((0, 1))

    def ask() -> None:
        match how:
            case "pli":
                bob.send_rtcp(Pli(1, consumer + 50_000))
            case "fir":
                bob.send_rtcp(Fir(1, ((consumer + 50_000, 3),)))
            case "request":
                world.core.request_consumer_keyframe(consumer)
            case "resume":
                world.core.set_consumer_paused(consumer, True)
                world.core.set_consumer_paused(consumer, False)
            case _:
                world.core.set_preferred_layers(consumer, next(layers))

    follow(world, alice, cameras, 1)
    count = follow(world, alice, cameras, 60, ask)
    assert BURST + 12 <= count <= BURST + 60 / EVERY + 1
    # Other viewers do not wait because of it.
    follow(world, alice, cameras, 0.2)
    cy.send_rtcp(Pli(1, other + 50_000))
    assert follow(world, alice, cameras, 0.05) == 1


def spend(
    world: World, alice: EngineClient, bob: EngineClient, cameras: list[Camera], consumer: int
) -> None:
    """Use up all requests that the viewer may make at once."""
    for _ in range(BURST):
        bob.send_rtcp(Pli(1, consumer + 50_000))
        assert follow(world, alice, cameras, 0.15) == 1
    bob.send_rtcp(Pli(1, consumer + 50_000))
    assert world.counter("keyframe_requests_put_off") == 1
    assert follow(world, alice, cameras, 0) == 0


def test_what_is_put_off_is_not_forgotten(world: World) -> None:
    alice, bob, cameras, _, consumer = begin(world)
    spend(world, alice, bob, cameras, consumer)
    assert follow(world, alice, cameras, 20) == 1
    assert world.counter("keyframe_requests_put_off") == 1


@pytest.mark.parametrize("what", ["another's", "unasked", "paused", "no consumer", "no producer"])
def test_what_is_put_off_may_become_needless(world: World, what: str) -> None:
    alice, bob, cameras, producer, consumer = begin(world)
    spend(world, alice, bob, cameras, consumer)
    match what:
        case "another's":
            world.core.request_keyframe(producer)
            assert follow(world, alice, cameras, 0.05) > 0
        case "unasked":
            for camera in cameras:
                alice.send(*camera.frame(key=True))
        case "paused":
            world.core.set_consumer_paused(consumer, True)
        case "no consumer":
            world.core.remove_consumer(consumer)
        case _:
            world.core.remove_producer(producer)
    assert follow(world, alice, cameras, 20) == 0


def test_a_request_by_command_is_as_good_as_a_pli(world: World) -> None:
    alice, _, cameras, producer, consumer = begin(world)
    world.consume(world.client(), producer)
    follow(world, alice, cameras, 1)
    world.core.request_consumer_keyframe(consumer)
    assert follow(world, alice, cameras, 0.05) == 1
    follow(world, alice, cameras, 1)
    world.core.set_consumer_paused(consumer, True)
    world.core.request_consumer_keyframe(consumer)
    assert follow(world, alice, cameras, 0.2) == 0


def test_what_is_asked_for_already_costs_nothing(world: World) -> None:
    alice, bob = world.client(), world.client()
    consumer = world.consume(bob, world.produce(alice, video()))
    camera = Camera()
    for _ in range(100):  # no key frame comes, so the viewer keeps asking
        bob.send_rtcp(Pli(1, consumer + 50_000))
        alice.send(*camera.frame())
        world.run(0.1)
    assert world.counter("keyframe_requests_put_off") == 0
    alice.send(*camera.frame(key=True))
    for _ in range(BURST - 1):
        world.run(0.12)
        bob.send_rtcp(Pli(1, consumer + 50_000))
        assert follow(world, alice, [camera], 0.15) == 1


def test_a_request_that_a_key_frame_has_just_answered_is_not_made(world: World) -> None:
    """It left before the key frame came. A client without one repeats it."""
    alice, bob, cameras, _, consumer = begin(world)
    for camera in cameras:
        alice.send(*camera.frame(key=True))
    world.run(0.09)
    bob.send_rtcp(Pli(1, consumer + 50_000))
    assert follow(world, alice, cameras, 0.5) == 0
    bob.send_rtcp(Pli(1, consumer + 50_000))
    assert follow(world, alice, cameras, 0.5) == 1


def test_ten_that_join_within_a_second_cost_one_key_frame() -> None:
    world = World(EngineSettings(consent_timeout=600))
    alice = world.client()
    producer = world.produce(alice, video())
    camera = Camera()
    asked, viewers = 0, []
    for frame in range(150):
        if frame % 3 == 0 and frame < 30:
            viewers.append(world.client())
            consumer = world.consume(viewers[-1], producer)
            world.run(0.01)
            viewers[-1].send_rtcp(Pli(1, consumer + 50_000))
        world.run(1 / 30)
        requests = len(alice.rtcp_of(Pli))
        asked += requests
        alice.rtcp.clear()
        alice.send(*camera.frame(key=requests > 0 or frame == 0))
    assert asked <= 1
    for joined, viewer in enumerate(viewers):
        first, *others = [p for p in viewer.rtp if p.ssrc > 50_000]
        assert first.payload[6:9] != b"\x01\0\0"  # a key frame
        assert len(others) + 1 == 300  # all since the key frame
        # What is past is shown at once: only the present has its true time.
        past = (others[2 * 3 * joined].timestamp - first.timestamp) % 2**32
        assert 0 <= past <= 100 * 90
        assert all(
            0 <= (b.timestamp - a.timestamp) % 2**32 <= 3000 for a, b in pairwise(viewer.rtp)
        )


def watch(world: World, consumer: int) -> int | None:
    layer: int | None = world.stats()["consumers"][str(consumer)]["spatialLayer"]
    return layer


@pytest.mark.parametrize("other", [True, False], ids=["another's", "its own"])
def test_a_smaller_picture_waits_for_a_key_frame(world: World, other: bool) -> None:
    """A larger picture does not wait."""
    alice, _, cameras, producer, consumer = begin(world)
    assert watch(world, consumer) == 1
    world.core.set_preferred_layers(consumer, 0)
    assert follow(world, alice, cameras, PATIENCE - 0.3) == 0
    if other:
        world.core.request_keyframe(producer)
    asked = follow(world, alice, cameras, 0.7)
    assert watch(world, consumer) == 0
    assert asked == (2 if other else 1)  # one for each encoding of another's
    assert follow(world, alice, cameras, 3) == 0
    world.core.set_preferred_layers(consumer, 1)
    assert follow(world, alice, cameras, 0.2) == 1
    assert watch(world, consumer) == 1


def test_losses_that_the_engine_gives_up_are_not_the_viewers(world: World) -> None:
    alice, bob, cameras, _, consumer = begin(world)
    spend(world, alice, bob, cameras, consumer)
    cameras[1].sequence += 600  # too many losses to be asked for one by one
    alice.send(*cameras[1].frame())
    assert follow(world, alice, cameras, 0.05) == 1


@pytest.mark.parametrize("lost", [False, True])
def test_a_past_with_a_gap_is_not_sent(world: World, lost: bool) -> None:
    """A decoder could not use it, so a newcomer waits for the next key frame."""
    alice, bob = world.client(), world.client()
    producer = world.produce(alice, video())
    camera = Camera()
    alice.send(*camera.frame(key=True))
    first, *rest = camera.frame()
    alice.send(*([] if lost else [first]), *rest)
    world.consume(bob, producer)
    assert len(bob.rtp) == (0 if lost else 4)
    world.core.tick()
    world.deliver()
    assert len(alice.rtcp_of(Pli)) == lost

"""What a publisher is asked for when its packets are lost or come out of order."""

import attrs
from support.engine_world import Camera, EngineClient, World, audio, of, video
from support.wire.rtcp import Nack
from support.wire.rtp import RtpPacket, wrap_rtx

from meet_trio.engine import EngineSettings


def meet(*, lossy: bool) -> tuple[World, EngineClient, EngineClient, Camera, int]:
    """A camera whose packets were lost for some seconds, if ``lossy``: every tenth."""
    world = World(EngineSettings(consent_timeout=600))
    alice, bob = world.client(), world.client()
    consumer = world.consume(bob, world.produce(alice, video()))
    camera = Camera(parts=4)
    alice.send(*camera.frame(key=True))
    for _ in range(120):
        world.run(1 / 30, step=1 / 30)
        for packet in camera.frame():
            if not lossy or packet.sequence_number % 10:
                alice.send(packet)
    world.run(0.5)
    alice.rtcp.clear()
    return world, alice, bob, camera, consumer


def test_the_lost_end_of_a_frame_is_asked_for_without_waiting_for_the_next_frame() -> None:
    world, alice, bob, camera, consumer = meet(lossy=True)
    *begin, end = camera.frame()
    alice.send(*begin)
    world.run(0.014, step=0.001)
    assert alice.rtcp_of(Nack) == []
    world.run(0.006, step=0.001)
    assert [n.lost for n in alice.rtcp_of(Nack)] == [(end.sequence_number,)]
    before = len(bob.rtp)
    alice.send(wrap_rtx(end, payload_type=97, ssrc=1001, sequence_number=7))
    (got,) = of(bob.rtp[before:], consumer + 50_000)
    assert got.marker
    world.run(0.5)
    assert len(alice.rtcp_of(Nack)) == 1
    assert world.counter("dropped_rtx_unwanted") == 0


def test_it_is_asked_for_again_as_any_other_packet() -> None:
    world, alice, _, camera, _ = meet(lossy=True)
    *begin, end = camera.frame()
    alice.send(*begin)
    world.run(0.033, step=0.001)
    assert len(alice.rtcp_of(Nack)) == 1
    alice.send(*camera.frame())
    world.run(0.01, step=0.001)
    assert len(alice.rtcp_of(Nack)) == 1  # the answer to the first request is under way
    world.run(0.1, step=0.001)
    assert {n.lost for n in alice.rtcp_of(Nack)} == {(end.sequence_number,)}
    assert 3 <= len(alice.rtcp_of(Nack)) <= 4


def test_a_client_that_loses_nothing_is_not_asked_for_what_it_has_not_sent_yet() -> None:
    world, alice, _, camera, _ = meet(lossy=False)
    alice.send(*camera.frame()[:-1])
    world.run(0.1, step=0.001)
    assert alice.rtcp_of(Nack) == []


def test_nobody_is_asked_for_the_end_of_what_nobody_watches() -> None:
    world, alice, _, camera, consumer = meet(lossy=True)
    world.core.set_consumer_paused(consumer, True)
    alice.send(*camera.frame()[:-1])
    world.run(0.1, step=0.001)
    assert alice.rtcp_of(Nack) == []


def scattered(world: World, alice: EngineClient, camera: Camera, late: float) -> None:
    """Every fifth frame's first packet comes ``late`` after the others."""
    for i in range(20):
        first, *others = camera.frame()
        alice.send(*others) if i % 5 == 0 else alice.send(first, *others)
        world.run(late, step=0.001)
        if i % 5 == 0:
            alice.send(first)
        world.run(1 / 30 - late, step=0.001)


def test_a_network_that_reorders_is_given_time() -> None:
    world, alice, _, camera, _ = meet(lossy=False)
    scattered(world, alice, camera, 0.025)
    assert 1 <= len(alice.rtcp_of(Nack)) <= 2  # until it is known
    alice.rtcp.clear()
    for _ in range(5):
        scattered(world, alice, camera, 0.025)
    assert alice.rtcp_of(Nack) == []
    # What is lost is still asked for, a little later.
    _, *others = camera.frame()
    alice.send(*others)
    world.run(0.02, step=0.001)
    assert alice.rtcp_of(Nack) == []
    world.run(0.02, step=0.001)
    assert len(alice.rtcp_of(Nack)) == 1
    # Without reordering the time falls again.
    alice.rtcp.clear()
    for _ in range(600):
        world.run(1 / 30, step=1 / 30)
        alice.send(*camera.frame())
    alice.rtcp.clear()
    alice.send(*camera.frame()[1:])
    world.run(0.012, step=0.001)
    assert len(alice.rtcp_of(Nack)) == 1


def test_audio_that_is_sent_again_tells_the_round_trip_and_no_reordering() -> None:
    """Without RTX a packet that was asked for comes under its own SSRC and number."""
    world = World(EngineSettings(consent_timeout=600))
    alice, bob = world.client(), world.client()
    microphone = world.produce(alice, audio(nack=True))
    world.consume(bob, microphone, rtx_ssrc=None, rtx_payload_type=None)
    sound = RtpPacket(
        payload_type=111, sequence_number=1, timestamp=960, ssrc=2000, payload=b"opus"
    )

    def packet(number: int) -> RtpPacket:
        return attrs.evolve(sound, sequence_number=number, timestamp=960 * number)

    alice.send(packet(1))
    for i in range(2, 40, 2):
        alice.send(packet(i + 1))
        world.run(0.04, step=0.001)
        alice.send(packet(i))
    assert len(alice.rtcp_of(Nack)) >= 19
    alice.rtcp.clear()
    alice.send(packet(42))
    world.run(0.012, step=0.001)
    assert len(alice.rtcp_of(Nack)) == 1  # it waits no longer than for the first
    world.run(0.037, step=0.001)
    assert len(alice.rtcp_of(Nack)) == 1

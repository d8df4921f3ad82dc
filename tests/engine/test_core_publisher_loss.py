"""What a publisher is asked for when its packets are lost or come out of order."""

import attrs
from support.engine_world import (
    Camera,
    EngineClient,
    World,
    audio,
    layer_cameras,
    of,
    simulcast,
    video,
)
from support.wire.rtcp import Nack, ReceiverReport, ReportBlock
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


def test_losses_are_counted_once_and_outlive_their_streams() -> None:
    world = World()
    alice = world.client()
    producer = world.produce(alice, video())
    camera = Camera(parts=1)

    def film(*, lost: int) -> list[bytes]:
        alice.send(*camera.frame())
        missing = [alice.protect(*camera.frame()) for _ in range(lost)]
        alice.send(*camera.frame())
        return missing

    alice.send(*camera.frame(key=True))
    _, late, later = film(lost=3)
    world.run(2.5)  # until a report
    assert world.counter("rtp_lost_in") == 3
    for data in (late, later):
        alice.send_raw(data)
    world.run(2.5)  # until a report
    assert world.counter("rtp_lost_in") == 3
    film(lost=2)
    world.run(2.5)  # until a report
    assert world.counter("rtp_lost_in") == 3
    film(lost=1)
    world.core.remove_producer(producer)  # before the next report
    assert world.counter("rtp_lost_in") == 4


def test_an_ssrc_that_ends_takes_no_losses_away() -> None:
    world = World()
    alice = world.client()
    world.produce(alice, simulcast())
    for ssrc in (5001, 5002, 5003):
        camera = attrs.evolve(layer_cameras()[0], ssrc=ssrc)
        alice.send(*camera.frame(key=True))
        camera.frame()  # two packets
        alice.send(*camera.frame())
    assert world.counter("rtp_lost_in") == 4
    world.run(2.5)  # until a report
    assert world.counter("rtp_lost_in") == 6


def test_what_viewers_report_as_lost_is_counted_once() -> None:
    world = World(EngineSettings(consent_timeout=600))
    alice, bob = world.client(), world.client()
    producer = world.produce(alice, video())
    camera = Camera(parts=1)
    consumer = world.consume(bob, producer)

    def report(lost: int) -> int:
        ssrc = consumer + 50_000
        bob.send_rtcp(ReceiverReport(1, (ReportBlock(ssrc=ssrc, cumulative_lost=lost),)))
        return world.counter("rtp_lost_out")

    alice.send(*camera.frame(key=True))
    for number in range(30):
        packets = camera.frame()
        if number not in (10, 11):  # these the publisher's network has lost
            alice.send(*packets)
        world.run(1 / 30, step=1 / 30)
    assert report(2) == 0
    assert report(7) == 5
    assert report(6) == 5
    assert report(-100) == 5
    assert report(9) == 7
    sent = world.stats()["consumers"][str(consumer)]["packetCount"]
    assert report(8_000_000) == sent == 29
    world.core.remove_consumer(consumer)
    consumer = world.consume(bob, producer)
    alice.send(*camera.frame(key=True))
    assert report(1) == sent + 1


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

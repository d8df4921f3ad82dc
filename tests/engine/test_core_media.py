"""Forwarding: packets that a viewer gets of a publisher's stream, and retransmissions."""

import random
from typing import Any

import pytest
from support.engine_world import (
    PROFILES,
    VIEWED_ADAPTED,
    Camera,
    EngineClient,
    World,
    audio,
    layer_cameras,
    of,
    simulcast,
    video,
)
from support.wire.rtcp import Nack, Pli
from support.wire.rtp import RtpPacket, unwrap_rtx_untrusted, wrap_rtx
from support.wire.vp8 import parse_vp8_untrusted

from meet_trio.engine import ConsumerStarted, EncodingSpec, EngineSettings, StreamStarted


def rtp(payload_type: int, sequence: int, timestamp: int, ssrc: int, **more: Any) -> RtpPacket:
    return RtpPacket(
        payload_type=payload_type,
        sequence_number=sequence,
        timestamp=timestamp,
        ssrc=ssrc,
        **more,
    )


def begin() -> tuple[World, EngineClient, EngineClient, Camera, int, int]:
    """A publisher with a camera and a viewer; the first key frame is sent."""
    world = World()
    alice, bob = world.client(), world.client()
    producer = world.produce(alice, video())
    consumer = world.consume(bob, producer)
    camera = Camera()
    alice.send(*camera.frame(key=True))
    return world, alice, bob, camera, producer, consumer


@pytest.mark.parametrize("profile", PROFILES)
def test_everything_is_rewritten(profile: int) -> None:
    world = World(EngineSettings(initial_outgoing_bitrate=10**9))  # so that nothing waits
    alice, bob = world.client(profile), world.client(profile)
    producer = world.produce(alice, video())
    consumer = world.consume(bob, producer, header_extensions=VIEWED_ADAPTED)
    camera = Camera(extensions={9: b"v0", 4: b"\x01", 3: b"\x12\x34", 2: b"abc", 14: b"?"})
    sent = [p for i in range(40) for p in camera.frame(key=i == 0)]  # the numbers wrap at 65536
    alice.send(*sent)
    assert len(bob.rtp) == len(sent) == 80
    first, first_sent = bob.rtp[0], sent[0]
    assert first.sequence_number < 0x8000
    for i, (got, was) in enumerate(zip(bob.rtp, sent, strict=True)):
        assert (got.ssrc, got.payload_type) == (consumer + 50_000, 101)
        assert got.sequence_number == first.sequence_number + i
        assert got.marker == was.marker
        assert (
            got.timestamp - first.timestamp
        ) & 0xFFFFFFFF == was.timestamp - first_sent.timestamp
        descriptor, data = parse_vp8_untrusted(got.payload)
        _, data_sent = parse_vp8_untrusted(was.payload)
        assert data == data_sent
        assert (descriptor.picture_id or 0) - (
            parse_vp8_untrusted(first.payload)[0].picture_id or 0
        ) == i // 2
        assert set(got.extensions) == {1, 4, 5, 11}  # MID, send time, transport-cc, orientation
        assert got.extensions[1] == str(consumer).encode()
        assert got.extensions[5] == i.to_bytes(2, "big")
        assert got.extensions[11] == b"\x01"


def test_send_time_is_that_of_sending() -> None:
    world, alice, bob, camera, *_ = begin()
    world.run(1)
    alice.send(*camera.frame())
    times = [int.from_bytes(p.extensions[4], "big") / (1 << 18) for p in bob.rtp]
    assert times[-1] - times[0] == pytest.approx(1, abs=0.001)


def test_many_viewers_get_the_same_with_their_own_numbers() -> None:
    world = World()
    alice = world.client()
    viewers = [world.client() for _ in range(5)]
    producer = world.produce(alice, video())
    consumers = [world.consume(v, producer) for v in viewers]
    camera = Camera()
    for i in range(10):
        alice.send(*camera.frame(key=i == 0))
    for viewer, consumer in zip(viewers, consumers, strict=True):
        assert {p.ssrc for p in viewer.rtp} == {consumer + 50_000}
        assert len(viewer.rtp) == 20


def test_audio_needs_no_key_frame() -> None:
    world = World()
    alice, bob = world.client(), world.client()
    consumer = world.consume(bob, world.produce(alice, audio()), nack=False)
    for i in range(3):
        alice.send(rtp(111, 7 + i, 960 * i, 2000, payload=b"opus", extensions={1: b"\x85"}))
    assert [p.payload for p in bob.rtp] == [b"opus"] * 3
    assert {p.ssrc for p in bob.rtp} == {consumer + 50_000}
    assert bob.rtp[0].extensions[10] == b"\x85"


def test_video_begins_with_a_key_frame() -> None:
    world = World()
    alice, bob = world.client(), world.client()
    world.consume(bob, world.produce(alice, video()))
    camera = Camera()
    alice.send(*camera.frame(), *camera.frame())
    assert bob.rtp == []
    alice.send(*camera.frame(key=True))
    assert len(bob.rtp) == 2


@pytest.mark.parametrize("order", ["late", "retransmitted", "both"])
def test_gaps_keep_their_place(order: str) -> None:
    _, alice, bob, camera, _, consumer = begin()
    frames = [camera.frame() for _ in range(4)]
    lost = frames[1][0]
    for frame in frames:
        alice.send(*(p for p in frame if p is not lost))
    assert len(bob.rtp) == 9
    if order in ("late", "both"):
        alice.send(lost)
    if order in ("retransmitted", "both"):
        alice.send(wrap_rtx(lost, payload_type=97, ssrc=1001, sequence_number=5))
    got = sorted(bob.rtp, key=lambda p: p.sequence_number)
    first = got[0].sequence_number
    assert [p.sequence_number - first for p in got] == list(range(10))
    late = got[4]
    assert late is bob.rtp[-1]
    assert (late.ssrc, late.payload_type, late.timestamp) == (
        consumer + 50_000,
        101,
        got[5].timestamp,
    )
    assert parse_vp8_untrusted(late.payload)[1] == parse_vp8_untrusted(lost.payload)[1]


def test_what_is_too_late_for_the_history_is_dropped() -> None:
    world = World(EngineSettings(history_packets=16))
    alice, bob = world.client(), world.client()
    consumer = world.consume(bob, world.produce(alice, video()))
    camera = Camera()
    alice.send(*camera.frame(key=True))
    lost, last = camera.frame()
    alice.send(last)
    for _ in range(20):
        alice.send(*camera.frame())
    count = len(bob.rtp)
    alice.send(lost)
    assert len(bob.rtp) == count
    newest = bob.rtp[-8:]
    bob.send_rtcp(Nack(9, consumer + 50_000, tuple(p.sequence_number for p in newest)))
    assert len(of(bob.rtp, consumer + 60_000)) == 8


def test_retransmissions_that_nobody_misses_are_dropped() -> None:
    world, alice, bob, camera, *_ = begin()
    frame = camera.frame()
    alice.send(*frame)
    before = len(bob.rtp)
    alice.send(wrap_rtx(frame[0], payload_type=97, ssrc=1001, sequence_number=5))
    alice.send(rtp(97, 6, 0, 1001, padding=200))
    assert len(bob.rtp) == before
    assert world.counter("dropped_rtx_unwanted") == 2


def test_a_replayed_packet_is_dropped() -> None:
    world, alice, bob, camera, *_ = begin()
    data = alice.protect(camera.frame()[0])
    alice.send_raw(data)
    count = len(bob.rtp)
    alice.send_raw(data)
    alice.send_raw(data[:-1] + bytes([data[-1] ^ 1]))
    assert len(bob.rtp) == count
    assert (
        world.counter("dropped_rtp_replayed") == 2
    )  # the replay is detected by its number before the tag is checked


def test_media_before_produce_is_found_afterwards() -> None:
    world = World()
    alice, bob = world.client(), world.client()
    camera = Camera()
    alice.send(*camera.frame(key=True))
    assert world.counter("dropped_rtp_unknown_stream") == 2
    producer = world.produce(alice, video())
    world.consume(bob, producer)
    alice.send(*camera.frame(key=True))
    assert len(bob.rtp) == 2
    assert world.take_events(StreamStarted) == [StreamStarted(producer, 0, 1000)]


@pytest.mark.parametrize("kind", ["audio", "video", "simulcast"])
def test_a_consumer_has_started_once_a_packet_was_sent(kind: str) -> None:
    world = World()
    alice, bob = world.client(), world.client()
    spec = {"audio": audio, "video": video, "simulcast": simulcast}[kind]()
    camera = layer_cameras()[0] if kind == "simulcast" else Camera()
    sounds = (rtp(111, n, 960 * n, 2000) for n in range(3))
    producer = world.produce(alice, spec)
    consumer = world.consume(bob, producer, paused=True)

    def send() -> None:
        alice.send(*([next(sounds)] if kind == "audio" else camera.frame(key=True)))
        world.run(0.3)

    send()
    assert world.take_events(ConsumerStarted) == []
    world.core.set_consumer_paused(consumer, False)
    for _ in range(2):
        send()
    assert bob.rtp
    assert world.take_events(ConsumerStarted) == [ConsumerStarted(consumer)]


def test_a_stream_is_found_by_mid_and_remembered() -> None:
    world = World()
    alice, bob = world.client(), world.client()
    producer = world.produce(alice, video(encodings=(EncodingSpec(),)))
    world.consume(bob, producer)
    camera = Camera(ssrc=4242, extensions={9: b"other"})
    alice.send(*camera.frame(key=True))
    assert bob.rtp == []
    camera.extensions = {9: b"v0"}
    alice.send(*camera.frame(key=True))
    camera.extensions = {}
    alice.send(*camera.frame())
    assert len(bob.rtp) == 4
    lost = camera.frame()[0]
    alice.send(*camera.frame())
    rtx = wrap_rtx(lost, payload_type=97, ssrc=4243, sequence_number=1)
    alice.send(rtp(97, 1, lost.timestamp, 4243, payload=rtx.payload, extensions={9: b"v0"}))
    assert len(bob.rtp) == 7


def test_padding_is_taken_off_and_empty_packets_keep_their_place() -> None:
    _, alice, bob, camera, *_ = begin()
    packet = camera.frame()[0]
    alice.send(rtp(96, packet.sequence_number, packet.timestamp, 1000, padding=100))
    assert (bob.rtp[-1].payload, bob.rtp[-1].padding) == (b"", 0)
    assert bob.rtp[-1].sequence_number == bob.rtp[-2].sequence_number + 1


def test_pause_and_resume_go_on_without_a_gap() -> None:
    world, alice, bob, camera, _, consumer = begin()
    alice.send(*camera.frame())
    world.core.set_consumer_paused(consumer, True)
    for _ in range(30):
        world.run(1 / 30)
        alice.send(*camera.frame())
    assert len(bob.rtp) == 4
    world.core.set_consumer_paused(consumer, False)
    alice.send(*camera.frame())
    assert len(bob.rtp) == 4
    alice.send(*camera.frame(key=True))
    before, after = bob.rtp[3], bob.rtp[4]
    assert after.sequence_number == before.sequence_number + 1
    assert (after.timestamp - before.timestamp) & 0xFFFFFFFF == 3000 * 32
    pictures = [parse_vp8_untrusted(p.payload)[0] for p in (before, after)]
    assert (pictures[1].picture_id or 0) - (pictures[0].picture_id or 0) == 1
    assert (pictures[1].tl0_picture_index or 0) - (pictures[0].tl0_picture_index or 0) == 1


def test_a_paused_producer_is_silent() -> None:
    world, alice, bob, camera, producer, _ = begin()
    world.core.set_producer_paused(producer, True)
    alice.send(*camera.frame(key=True))
    assert len(bob.rtp) == 2
    world.core.set_producer_paused(producer, False)
    alice.send(*camera.frame(), *camera.frame(key=True))
    assert len(bob.rtp) == 4
    assert bob.rtp[2].sequence_number == bob.rtp[1].sequence_number + 1


def test_another_ssrc_of_the_same_encoding_goes_on_with_its_key_frame() -> None:
    world = World()
    alice, bob = world.client(), world.client()
    world.consume(bob, world.produce(alice, video(encodings=(EncodingSpec(),))))
    first = Camera(ssrc=1, extensions={9: b"v0"})
    alice.send(*first.frame(key=True))
    world.run(0.5)
    second = Camera(ssrc=2, extensions={9: b"v0"}, sequence=7, timestamp=99, picture=3, tl0=9)
    alice.send(*second.frame(), *second.frame(key=True), *second.frame())
    assert len(bob.rtp) == 6
    numbers = [p.sequence_number for p in bob.rtp]
    assert numbers == list(range(numbers[0], numbers[0] + 6))
    assert (bob.rtp[2].timestamp - bob.rtp[0].timestamp) & 0xFFFFFFFF == 45_000
    pictures = [parse_vp8_untrusted(p.payload)[0].picture_id or 0 for p in bob.rtp]
    assert [p - pictures[0] for p in pictures] == [0, 0, 1, 1, 2, 2]


# Retransmission to viewers


def test_nack_is_answered_through_rtx() -> None:
    world, alice, bob, camera, _, consumer = begin()
    for _ in range(5):
        alice.send(*camera.frame())
    wanted = bob.rtp[3:6]
    bob.send_rtcp(Nack(9, consumer + 50_000, tuple(p.sequence_number for p in wanted)))
    again = of(bob.rtp, consumer + 60_000)
    assert [p.sequence_number - again[0].sequence_number for p in again] == [0, 1, 2]
    for got, was in zip(again, wanted, strict=True):
        assert got.payload_type == 102
        original = unwrap_rtx_untrusted(got, payload_type=101, ssrc=consumer + 50_000)
        assert (
            original.sequence_number,
            original.timestamp,
            original.marker,
            original.payload,
        ) == (
            was.sequence_number,
            was.timestamp,
            was.marker,
            was.payload,
        )
    # a request at once is ignored: the first answer is still under way
    bob.send_rtcp(Nack(9, consumer + 50_000, (wanted[0].sequence_number,)))
    assert len(of(bob.rtp, consumer + 60_000)) == 3
    world.run(0.05)
    bob.send_rtcp(Nack(9, consumer + 50_000, (wanted[0].sequence_number,)))
    assert len(of(bob.rtp, consumer + 60_000)) == 4


def test_without_rtx_the_very_same_datagram_is_sent_again() -> None:
    world = World()
    alice, bob = world.client(), world.client()
    consumer = world.consume(
        bob, world.produce(alice, video()), rtx_ssrc=None, rtx_payload_type=None
    )
    camera = Camera()
    alice.send(*camera.frame(key=True), *camera.frame())
    sent = list(bob.raw)
    received = [p.sequence_number for p in bob.rtp]
    bob.drop = lambda _: True  # libsrtp would reject it as a replay
    world.run(0.1)
    bob.send_rtcp(Nack(9, consumer + 50_000, (received[2],)))
    assert bob.raw[4:] == [sent[2]]


def test_the_same_bytes_of_earlier_epochs_are_sent_again() -> None:
    """Each key frame after a pause begins an epoch, in which all numbers are moved anew."""
    world = World()
    alice, bob = world.client(), world.client()
    consumer = world.consume(
        bob, world.produce(alice, video()), rtx_ssrc=None, rtx_payload_type=None
    )
    camera = Camera(parts=20)
    for _ in range(5):
        alice.send(*camera.frame(key=True), *camera.frame())
        world.core.set_consumer_paused(consumer, True)
        world.run(0.1)
        alice.send(*camera.frame())
        world.core.set_consumer_paused(consumer, False)
    sent = list(bob.raw)
    received = [p.sequence_number for p in bob.rtp]
    assert len({p.timestamp for p in bob.rtp}) == 10
    assert len(sent) == 200
    bob.drop = lambda _: True  # libsrtp would reject them as replays
    for at in range(0, len(received), 100):
        bob.send_rtcp(Nack(9, consumer + 50_000, tuple(received[at : at + 100])))
    assert bob.raw[200:] == sent


def outage(
    world: World, alice: EngineClient, bob: EngineClient, camera: Camera, seconds: float
) -> tuple[int, ...]:
    """The numbers of the packets that are sent to ``bob`` in that time; none arrives."""
    lost: list[int] = []
    bob.drop = lambda data: lost.append(int.from_bytes(data[2:4], "big")) is None
    for _ in range(round(seconds * 30)):
        world.run(1 / 30)
        alice.send(*camera.frame())
    bob.drop = lambda _: False
    alice.rtcp.clear()
    return tuple(lost)


def ask_again(
    world: World, bob: EngineClient, consumer: int, lost: tuple[int, ...]
) -> list[RtpPacket]:
    before = len(bob.rtp)
    for at in range(0, len(lost), 100):
        bob.send_rtcp(Nack(9, consumer + 50_000, lost[at : at + 100]))
    world.run(0.01)
    return of(bob.rtp[before:], consumer + 60_000)


def test_an_outage_of_two_seconds_is_sent_again_as_a_whole() -> None:
    world, alice, bob, camera, _, consumer = begin()
    camera.parts, camera.tag = 8, b"x" * 1000  # 1.9 Mbit/s
    lost = outage(world, alice, bob, camera, 2)
    assert len(lost) == 480
    assert len(ask_again(world, bob, consumer, lost)) == len(lost)
    assert alice.rtcp_of(Pli) == []


def test_what_is_too_old_to_be_sent_again_needs_a_key_frame() -> None:
    world, alice, bob, camera, _, consumer = begin()
    lost = outage(world, alice, bob, camera, 5)
    again = ask_again(world, bob, consumer, lost)
    assert 170 < len(again) < 190
    assert world.counter("retransmissions_missed") == len(lost) - len(again)
    (pli,) = alice.rtcp_of(Pli)
    assert pli.media_ssrc == camera.ssrc
    alice.send(*camera.frame(key=True))
    alice.rtcp.clear()
    # what is before that key frame is not needed any more
    world.run(1.5)
    ask_again(world, bob, consumer, lost[:50])
    assert alice.rtcp_of(Pli) == []


def test_the_numbers_that_a_viewer_remembers_are_bounded() -> None:
    world, alice, bob, camera, _, consumer = begin()
    camera.parts = 400
    lost = outage(world, alice, bob, camera, 0.1)
    assert len(lost) == 1200
    assert len(ask_again(world, bob, consumer, lost)) == 768
    assert len(alice.rtcp_of(Pli)) == 1


def test_what_the_publisher_lost_needs_no_key_frame() -> None:
    """It may still come: the engine asks the publisher for it."""
    world, alice, bob, camera, _, consumer = begin()
    first, second = camera.frame()
    alice.send(second, *camera.frame())
    alice.rtcp.clear()
    number = (bob.rtp[1].sequence_number + 1) & 0xFFFF
    assert ask_again(world, bob, consumer, (number,)) == []
    assert world.counter("retransmissions_missed") == 1
    assert alice.rtcp_of(Pli) == []
    assert alice.rtcp_of(Nack) != []
    alice.send(first)
    assert number in [p.sequence_number for p in bob.rtp]


def nack_all(
    world: World, client: EngineClient, consumer: int, packets: list[RtpPacket], times: int
) -> list[bytes]:
    """Send NACKs for each packet, up to ``times`` of them; return the datagrams that came."""
    before = len(client.raw)
    numbers = tuple(p.sequence_number for p in packets)
    for _ in range(times):
        world.run(0.025)
        for at in range(0, len(numbers), 100):
            client.send_rtcp(Nack(9, consumer + 50_000, numbers[at : at + 100]))
    return client.raw[before:]


def test_nacks_bring_no_more_than_was_sent() -> None:
    world, alice, bob, camera, _, consumer = begin()
    camera.tag = b"x" * 1000
    for _ in range(50):
        alice.send(*camera.frame())
    media = sum(map(len, bob.raw))
    resent = nack_all(world, bob, consumer, bob.rtp, 10)
    assert media < sum(map(len, resent)) < media + 1200
    assert world.counter("retransmissions_refused") > 800
    camera.sequence, before = (camera.sequence + 1) & 0xFFFF, len(bob.rtp)
    alice.send(*camera.frame())  # the budget grows by as much again
    again = nack_all(world, bob, consumer, bob.rtp[before:], 3)
    assert 1 <= len(again) <= 3


def test_a_key_frame_that_is_lost_as_a_whole_is_sent_again_at_once() -> None:
    world, alice, bob, camera, _, consumer = begin()
    camera.tag, camera.parts = b"x" * 1000, 200
    before = len(bob.rtp)
    alice.send(*camera.frame(key=True))
    lost = bob.rtp[before:]
    assert len(nack_all(world, bob, consumer, lost, 1)) == 200


def test_what_may_be_sent_again_does_not_pile_up() -> None:
    world, alice, bob, camera, _, consumer = begin()
    camera.tag = b"x" * 1000
    for _ in range(350):
        alice.send(*camera.frame())
    resent = nack_all(world, bob, consumer, bob.rtp, 10)
    assert 512 * 1024 <= sum(map(len, resent)) < 512 * 1024 + 1200


def test_all_streams_of_a_viewer_together_have_a_budget() -> None:
    world = World()
    alice, bob = world.client(), world.client()
    cameras = [Camera(ssrc=100 + i, parts=250, tag=b"x" * 1000) for i in range(8)]
    consumers = []
    for i, camera in enumerate(cameras):
        encodings = (EncodingSpec(ssrc=camera.ssrc),)
        producer = world.produce(alice, video(mid=f"v{i}", encodings=encodings))
        consumers.append(world.consume(bob, producer))
        alice.send(*camera.frame(key=True))
    resent = sum(
        len(data)
        for consumer in consumers
        for data in nack_all(world, bob, consumer, of(bob.rtp, consumer + 50_000), 1)
    )
    assert 1024 * 1024 <= resent < 1024 * 1024 + 1200


def test_a_viewer_that_loses_a_third_gets_everything_in_the_end() -> None:
    world, alice, bob, camera, _, consumer = begin()
    camera.tag, camera.parts = b"x" * 1000, 8
    dice = random.Random(1)
    bob.drop = lambda _: dice.random() < 1 / 3
    seen: set[int] = {p.sequence_number for p in bob.rtp}
    newest = first = max(seen)
    for i in range(300):  # ten seconds at 1.9 Mbit/s; a key frame of 60 packets each second
        camera.parts = 60 if i % 30 == 0 else 8
        alice.send(*camera.frame(key=i % 30 == 0))
        world.run(1 / 30)
        for packet in bob.rtp:
            if packet.ssrc == consumer + 60_000:
                packet = unwrap_rtx_untrusted(packet, payload_type=101, ssrc=1)
            seen.add(packet.sequence_number)
        bob.rtp.clear()
        newest = max(seen)
        missing = tuple(n for n in range(max(first, newest - 200), newest) if n not in seen)
        if missing and dice.random() > 1 / 3:
            bob.send_rtcp(Nack(9, consumer + 50_000, missing))
    assert world.counter("retransmissions_refused") == 0
    assert world.counter("retransmissions") > 1000
    lost = [n for n in range(first, newest - 100) if n not in seen]
    assert lost == []


# Ends


def test_everything_can_go_in_any_order() -> None:
    world, alice, bob, camera, producer, consumer = begin()
    world.core.remove_producer(producer)
    alice.send(*camera.frame(key=True))
    assert len(bob.rtp) == 2
    world.core.set_consumer_paused(consumer, True)
    world.core.set_consumer_paused(consumer, False)
    world.core.set_preferred_layers(consumer, 0)
    bob.send_rtcp(Nack(9, consumer + 50_000, (bob.rtp[0].sequence_number,)))
    world.run(3, step=0.05)
    stats = world.stats()
    assert (list(stats["producers"]), list(stats["consumers"])) == ([], [str(consumer)])
    assert stats["engine"]["packet_buffers_used"] == 0
    # The same stream is produced again under another id.
    producer = world.produce(alice, video())
    world.consume(bob, producer)
    alice.send(*camera.frame(key=True))
    assert len(bob.rtp) == 4
    world.core.remove_transport(bob.number)
    alice.send(*camera.frame())
    world.core.remove_transport(alice.number)
    world.run(3, step=0.05)
    stats = world.stats()
    assert (stats["transports"], stats["producers"], stats["consumers"]) == ({}, {}, {})


def test_an_srtp_index_is_never_used_twice_by_a_new_consumer_with_an_old_ssrc() -> None:
    world, alice, bob, camera, producer, consumer = begin()
    alice.send(*camera.frame())
    last, count = bob.rtp[-1].sequence_number, len(bob.rtp)
    world.core.remove_consumer(consumer)
    world.consume(bob, producer, ssrc=consumer + 50_000)
    alice.send(*camera.frame(key=True))
    assert bob.rtp[count].sequence_number == last + 1

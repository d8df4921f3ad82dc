"""A room over two cores: packets of a producer of one cross to its mirror on the other.

The link is in memory; packets cross only in ``cross`` and ``run``.
"""

from typing import Any

import attrs
import pytest
from support.engine_pair import Pair, assert_gapless
from support.engine_world import (
    AUDIO_LEVEL_URI,
    Camera,
    World,
    audio,
    changes_of_ssrc,
    layer_cameras,
    layers_of,
    of,
    sender_report,
    simulcast,
    video,
)
from support.wire.rtcp import Bye, Nack, Pli, ReceiverReport, ReportBlock, SenderReport
from support.wire.rtp import RtpPacket, unwrap_rtx_untrusted, wrap_rtx
from support.wire.vp8 import parse_vp8_untrusted

from meet_trio.engine import (
    AudioLevel,
    ConsumerScore,
    EncodingSpec,
    EngineSettings,
    LayerChanged,
    ProducerScore,
    StreamStarted,
)


@pytest.fixture
def pair() -> Pair:
    return Pair()


def crossed(pair: Pair) -> int:
    return pair.a.counter("relay_packets_out")


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


# ---- what crosses ----


def test_only_encodings_that_somebody_listens_to_cross(pair: Pair) -> None:
    alice, bob = pair.a.client(), pair.b.client()
    producer = pair.produce(alice, simulcast())
    cameras = layer_cameras()
    pair.send_frames(alice, cameras, 10, key=True)
    assert crossed(pair) == 0  # there is no viewer
    consumer = pair.consume(bob, producer)
    pair.b.core.set_preferred_layers(consumer, 1)
    pair.run(0.2)
    pair.send_frames(alice, cameras, 10, key=True)
    assert crossed(pair) == 20
    assert layers_of(bob.rtp) == [b"r1"]
    streams = pair.b.stats()["mirrors"][str(producer)]["streams"]
    assert [s["packetCount"] for s in streams] == [0, 20, 0]
    assert [s["active"] for s in streams] == [True] * 3
    pair.b.core.set_consumer_paused(consumer, True)
    pair.run(0.2)
    pair.send_frames(alice, cameras, 5)
    assert crossed(pair) == 20


def test_audio_crosses_while_somebody_listens(pair: Pair) -> None:
    alice, bob = pair.a.client(), pair.b.client()
    producer = pair.produce(alice, audio())
    pair.send(alice, *(opus(i) for i in range(5)))
    consumer = pair.consume(bob, producer, nack=False)
    pair.send(alice, *(opus(i) for i in range(5, 10)))
    assert [p.payload for p in bob.rtp] == [b"opus %d" % i for i in range(5, 10)]
    pair.b.core.remove_consumer(consumer)
    pair.run(0.2)
    pair.send(alice, *(opus(i) for i in range(10, 15)))
    assert crossed(pair) == 5


def opus(i: int, **changes: Any) -> RtpPacket:
    packet = RtpPacket(
        payload_type=111,
        sequence_number=100 + i,
        timestamp=960 * i,
        ssrc=2000,
        payload=b"opus %d" % i,
        extensions={1: bytes([30])},
    )
    return attrs.evolve(packet, **changes)


def test_header_extensions_cross(pair: Pair) -> None:
    alice, bob = pair.a.client(), pair.b.client()
    producer = pair.produce(alice, audio())
    pair.consume(bob, producer, nack=False, header_extensions={AUDIO_LEVEL_URI: 7})
    pair.send(alice, opus(0))
    assert bob.rtp[0].extensions == {7: bytes([30])}


def test_both_directions_and_three_engines(pair: Pair) -> None:
    third = World(pair.settings, numbers=pair.a._numbers)
    alice, bob, carol = pair.a.client(), pair.b.client(), third.client()
    of_alice = pair.produce(alice, video())
    of_bob = pair.b.produce(bob, video())
    third.core.add_mirror(of_alice, video())
    pair.a.core.relay_producer(of_alice, third.core)
    pair.a.core.add_mirror(of_bob, video())
    pair.b.core.relay_producer(of_bob, pair.a.core)
    pair.consume(bob, of_alice)
    pair.consume(alice, of_bob)
    third.consume(carol, of_alice)
    third.core.cross()
    pair.cross()
    third.core.cross()
    pair.cross()
    alice_camera, bob_camera = Camera(tag=b"alice"), Camera(tag=b"bob")
    for i in range(5):
        pair.send(alice, *alice_camera.frame(key=i == 0))
        pair.send(bob, *bob_camera.frame(key=i == 0))
    third.core.cross()
    third.deliver()
    assert all(b"bob" in p.payload for p in alice.rtp)
    for viewer in (alice, bob, carol):
        assert len(viewer.rtp) == 10
    assert all(b"alice" in p.payload for p in bob.rtp + carol.rtp)


# ---- key frames and layers ----


def test_a_viewer_that_comes_gets_a_key_frame_as_quickly_as_on_one_engine(pair: Pair) -> None:
    alice, bob = pair.a.client(), pair.b.client()
    producer = pair.produce(alice, video())
    camera = Camera()
    pair.send_frames(alice, [camera], 3)
    alice.rtcp.clear()
    pair.consume(bob, producer)  # no time passes
    assert [p.media_ssrc for p in alice.rtcp_of(Pli)] == [1000]
    pair.send(alice, *camera.frame(key=True))
    assert len(bob.rtp) == 2


def test_a_relay_of_running_layers_begins_at_once(pair: Pair) -> None:
    alice, bob = pair.a.client(), pair.b.client()
    producer = pair.a.produce(alice, simulcast())
    cameras = layer_cameras()
    pair.send_frames(alice, cameras, 3)
    pair.b.core.add_mirror(producer, simulcast())
    pair.consume(bob, producer)
    assert alice.rtcp_of(Pli) == []
    pair.a.core.relay_producer(producer, pair.b.core)
    pair.cross()
    assert {p.media_ssrc for p in alice.rtcp_of(Pli)} == {3002}


def test_the_client_is_asked_no_more_often_than_by_one_engine(pair: Pair) -> None:
    alice = pair.a.client()
    producer = pair.produce(alice, video())
    camera = Camera()
    pair.send_frames(alice, [camera], 3)
    pair.run(1)
    alice.rtcp.clear()
    for _ in range(10):  # each viewer needs a key frame
        pair.consume(pair.b.client(), producer)
        pair.send(alice, *camera.frame(key=True))
        pair.run(0.01)
    assert len(alice.rtcp_of(Pli)) == 1
    pair.run(1.2)
    pair.consume(pair.b.client(), producer)  # an unanswered request is repeated
    pair.run(4.5)
    assert 3 <= len(alice.rtcp_of(Pli)) <= 6


def test_a_viewer_of_a_mirror_catches_up(pair: Pair) -> None:
    alice, bob, cy = pair.a.client(), pair.b.client(), pair.b.client()
    producer = pair.produce(alice, video())
    first = pair.consume(bob, producer)
    camera = Camera()
    pair.run(0.2)
    pair.send_frames(alice, [camera], 1, key=True)
    pair.send_frames(alice, [camera], 5)
    pair.run(0.1)
    alice.rtcp.clear()
    second = pair.consume(cy, producer)
    assert [p.payload for p in cy.rtp] == [p.payload for p in bob.rtp]
    assert len(cy.rtp) == 12
    pair.run(0.1)
    assert alice.rtcp_of(Pli) == []
    # While nobody listens the packets do not cross, so the mirror has a gap.
    for consumer in (first, second):
        pair.b.core.remove_consumer(consumer)
    pair.run(0.2)
    pair.send_frames(alice, [camera], 5)
    dan = pair.b.client()
    pair.consume(dan, producer)
    assert dan.rtp == []


def test_layers_that_begin_need_no_wish(pair: Pair) -> None:
    alice, bob = pair.a.client(), pair.b.client()
    pair.consume(bob, pair.produce(alice, simulcast()))
    cameras = layer_cameras()
    for i in range(3):  # browsers begin with the lowest layer, and each layer with a key frame
        pair.send_frames(alice, cameras[:i], 10)
        pair.send_frames(alice, cameras[i : i + 1], 1, key=True)
    pair.send_frames(alice, cameras, 1)
    assert layers_of(bob.rtp) == [b"r0", b"r1", b"r2"]
    assert_gapless(bob.rtp)
    assert alice.rtcp_of(Pli) == []


def test_a_wish_of_a_decoder_crosses(pair: Pair) -> None:
    alice, bob = pair.a.client(), pair.b.client()
    consumer = pair.consume(bob, pair.produce(alice, video()))
    camera = Camera()
    pair.send_frames(alice, [camera], 20, key=True)
    pair.run(1.2)
    alice.rtcp.clear()
    bob.send_rtcp(Pli(1, consumer + 50_000))
    pair.cross()
    assert [p.media_ssrc for p in alice.rtcp_of(Pli)] == [1000]


def test_a_key_frame_may_be_asked_of_the_mirror(pair: Pair) -> None:
    alice = pair.a.client()
    producer = pair.produce(alice, video())
    pair.send_frames(alice, [Camera()], 3)
    pair.b.core.request_keyframe(producer)
    pair.run(2)
    # Without a viewer the key frame does not cross, and the request is not repeated.
    assert len(alice.rtcp_of(Pli)) >= 1
    pair.send_frames(alice, [Camera(sequence=65_510)], 1, key=True)
    alice.rtcp.clear()
    pair.run(2)
    assert alice.rtcp_of(Pli) == []


def test_layers_are_switched_where_the_viewer_is(pair: Pair) -> None:
    alice, bob = pair.a.client(), pair.b.client()
    producer = pair.produce(alice, simulcast())
    consumer = pair.consume(bob, producer)
    cameras = layer_cameras()
    pair.b.core.set_preferred_layers(consumer, 0)
    pair.send_frames(alice, cameras, 10, key=True)
    assert layers_of(bob.rtp)[-1] == b"r0"
    alice.rtcp.clear()
    pair.b.core.set_preferred_layers(consumer, 2)
    pair.cross()
    assert {p.media_ssrc for p in alice.rtcp_of(Pli)} == {3002}
    pair.send_frames(alice, cameras, 5)
    assert layers_of(bob.rtp)[-1] == b"r0"  # until the key frame of r2 comes
    pair.send_frames(alice, cameras, 5, key=True)
    assert layers_of(bob.rtp)[-2:] == [b"r0", b"r2"]
    assert_gapless(bob.rtp)
    assert pair.b.take_events(LayerChanged)[-1] == LayerChanged(consumer, 2, 0)


def test_a_layer_that_falls_silent_is_replaced(pair: Pair) -> None:
    alice, bob = pair.a.client(), pair.b.client()
    pair.consume(bob, pair.produce(alice, simulcast()))
    cameras = layer_cameras()
    pair.send_frames(alice, cameras, 2, key=True)
    pair.send_frames(alice, cameras, 20, key=True)
    assert layers_of(bob.rtp)[-1] == b"r2"
    alice.rtcp.clear()
    pair.send_frames(alice, cameras[:2], 18)
    assert {p.media_ssrc for p in alice.rtcp_of(Pli)} == {3001}
    pair.send_frames(alice, cameras[:2], 5, key=True)
    assert layers_of(bob.rtp)[-1] == b"r1"
    assert_gapless(bob.rtp)


def test_a_layer_that_says_bye_is_left_at_once(pair: Pair) -> None:
    alice, bob = pair.a.client(), pair.b.client()
    pair.consume(bob, pair.produce(alice, simulcast()))
    cameras = layer_cameras()
    pair.send_frames(alice, cameras, 2, key=True)
    pair.send_frames(alice, cameras, 5, key=True)
    assert layers_of(bob.rtp)[-1] == b"r2"
    alice.send_rtcp(Bye((3002,)))
    pair.cross()
    pair.send_frames(alice, cameras[:2], 3, key=True)
    assert layers_of(bob.rtp)[-1] == b"r1"
    assert_gapless(bob.rtp)


def test_an_encoding_that_gets_another_ssrc_goes_on(pair: Pair) -> None:
    alice, bob = pair.a.client(), pair.b.client()
    producer = pair.produce(alice, simulcast(1))
    pair.consume(bob, producer)
    (camera,) = layer_cameras(1)
    pair.send_frames(alice, [camera], 5, key=True)
    alice.rtcp.clear()
    camera.ssrc, camera.sequence = 4000, 9
    pair.send_frames(alice, [camera], 1)
    assert {p.media_ssrc for p in alice.rtcp_of(Pli)} == {4000}
    assert len(bob.rtp) == 10
    pair.send_frames(alice, [camera], 5, key=True)
    assert len(bob.rtp) == 20
    assert_gapless(bob.rtp)
    assert pair.b.stats()["mirrors"][str(producer)]["streams"][0]["ssrc"] == 4000


def test_no_number_is_sent_twice_however_often_the_ssrc_changes(pair: Pair) -> None:
    alice, bob = pair.a.client(), pair.b.client()
    pair.consume(bob, pair.produce(alice, simulcast(1)))
    (camera,) = layer_cameras(1)
    pair.send_frames(alice, [camera], 20, key=True)
    for packet in changes_of_ssrc(camera, 256):
        pair.send(alice, packet)
    assert len(bob.rtp) == 40
    camera.ssrc = 6000
    pair.send_frames(alice, [camera], 5, key=True)
    assert len(bob.rtp) == 50
    assert_gapless(bob.rtp)


def test_pause_and_resume_of_a_consumer(pair: Pair) -> None:
    alice, bob = pair.a.client(), pair.b.client()
    consumer = pair.consume(bob, pair.produce(alice, video()))
    camera = Camera()
    pair.send_frames(alice, [camera], 10, key=True)
    pair.b.core.set_consumer_paused(consumer, True)
    pair.send_frames(alice, [camera], 20)
    assert len(bob.rtp) == 20
    pair.run(1.2)
    alice.rtcp.clear()
    pair.b.core.set_consumer_paused(consumer, False)
    pair.cross()
    assert len(alice.rtcp_of(Pli)) == 1
    pair.send_frames(alice, [camera], 5)
    assert len(bob.rtp) == 20
    pair.send_frames(alice, [camera], 5, key=True)
    assert len(bob.rtp) == 30
    assert_gapless(bob.rtp)


@pytest.mark.parametrize("first", ["a", "b"])
def test_pause_and_resume_of_a_producer(pair: Pair, first: str) -> None:
    alice, bob = pair.a.client(), pair.b.client()
    producer = pair.produce(alice, simulcast())
    consumer = pair.consume(bob, producer)
    cameras = layer_cameras()
    order = [pair.a, pair.b] if first == "a" else [pair.b, pair.a]
    pair.send_frames(alice, cameras, 2, key=True)
    pair.send_frames(alice, cameras, 5, key=True)
    sent, over = len(bob.rtp), crossed(pair)
    for world in order:
        world.core.set_producer_paused(producer, True)
        pair.cross()
    pair.b.take_events(LayerChanged)
    pair.send_frames(alice, cameras, 60)
    assert (len(bob.rtp), crossed(pair)) == (sent, over)
    alice.rtcp.clear()
    for world in order:
        world.core.set_producer_paused(producer, False)
        pair.cross()
    assert {p.media_ssrc for p in alice.rtcp_of(Pli)} == {3002}
    pair.send_frames(alice, cameras, 5, key=True)
    assert len(bob.rtp) == sent + 10
    assert layers_of(bob.rtp)[-1] == b"r2"
    assert_gapless(bob.rtp)
    assert pair.b.take_events(LayerChanged) == [LayerChanged(consumer, 2, 0)]


# ---- loss ----


def test_a_viewers_loss_is_served_where_the_viewer_is(pair: Pair) -> None:
    alice, bob = pair.a.client(), pair.b.client()
    consumer = pair.consume(bob, pair.produce(alice, video()))
    pair.send_frames(alice, [Camera()], 10, key=True)
    alice.rtcp.clear()
    lost = bob.rtp[7]
    bob.send_rtcp(Nack(1, consumer + 50_000, (lost.sequence_number,)))
    pair.cross()
    again = unwrap_rtx_untrusted(bob.rtp[-1], payload_type=101, ssrc=consumer + 50_000)
    assert (again.payload, again.sequence_number) == (lost.payload, lost.sequence_number)
    assert pair.b.counter("retransmissions") == 1
    assert alice.rtcp_of(Nack) == []


def test_a_publishers_loss_is_repaired_where_the_publisher_is(pair: Pair) -> None:
    alice, bob = pair.a.client(), pair.b.client()
    pair.consume(bob, pair.produce(alice, video()))
    camera = Camera()
    pair.send_frames(alice, [camera], 3, key=True)
    lost, rest = camera.frame()
    pair.send(alice, rest)
    pair.send_frames(alice, [camera], 3)
    # Viewers on the other engine need it.
    assert {n.lost for n in alice.rtcp_of(Nack)} == {(lost.sequence_number,)}
    rtx = wrap_rtx(lost, payload_type=97, ssrc=1001, sequence_number=1)
    pair.send(alice, rtx)
    assert bob.rtp[-1].sequence_number == (bob.rtp[6].sequence_number - 1) & 0xFFFF
    pair.send(alice, lost)  # again, too late
    assert len(bob.rtp) == 14


def test_a_full_ring_loses_packets_and_asks_for_a_key_frame() -> None:
    pair = Pair(EngineSettings(relay_packets=16))
    alice, bob = pair.a.client(), pair.b.client()
    pair.consume(bob, pair.produce(alice, video()))
    camera = Camera()
    pair.send_frames(alice, [camera], 5, key=True)
    for _ in range(20):  # the other engine does not read its ring
        alice.send(*camera.frame())
    assert pair.a.counter("dropped_relay_full") > 20
    assert len(bob.rtp) == 10
    pair.run(1.2)
    alice.rtcp.clear()
    pair.send(alice, *camera.frame())
    assert [p.media_ssrc for p in alice.rtcp_of(Pli)] == [1000]
    pair.send(alice, *camera.frame(key=True))
    last = bob.rtp[-1]
    # The numbers have a gap, so the decoder sees the loss.
    assert (last.sequence_number - bob.rtp[0].sequence_number) & 0xFFFF == 2 * 27 - 1
    alice.rtcp.clear()
    pair.send_frames(alice, [camera], 20)
    assert alice.rtcp_of(Pli) == []


def test_all_that_has_come_is_taken_in_one_turn(pair: Pair) -> None:
    alice, bob = pair.a.client(), pair.b.client()
    pair.consume(bob, pair.produce(alice, video()))
    camera = Camera()
    for i in range(200):
        alice.send(*camera.frame(key=i == 0))
    pair.b.core.cross()
    pair.b.deliver()
    assert len(bob.rtp) == 400


def test_a_long_gap_is_closed() -> None:
    pair = Pair(EngineSettings(relay_packets=16))
    alice, bob = pair.a.client(), pair.b.client()
    pair.consume(bob, pair.produce(alice, video()))
    camera = Camera()
    pair.send_frames(alice, [camera], 5, key=True)
    for _ in range(300):
        alice.send(*camera.frame())
    pair.cross()
    got = len(bob.rtp)
    pair.send_frames(alice, [camera], 3)
    assert len(bob.rtp) == got
    pair.send_frames(alice, [camera], 3, key=True)
    assert len(bob.rtp) == got + 6
    assert_gapless(bob.rtp)


def test_a_relay_that_finds_the_ring_full_is_announced_later() -> None:
    pair = Pair(EngineSettings(relay_packets=16))
    alice, bob = pair.a.client(), pair.b.client()
    producers = []
    for i in range(20):
        spec = video(encodings=(EncodingSpec(ssrc=1000 + i),), mid=f"v{i}")
        producer = pair.a.produce(alice, spec)
        pair.b.core.add_mirror(producer, spec)
        pair.b.consume(bob, producer)
        pair.a.core.relay_producer(producer, pair.b.core)
        producers.append(producer)
    assert pair.a.counter("dropped_relay_full") > 0
    pair.run(0.5)
    for i in range(20):
        pair.send(alice, *Camera(ssrc=1000 + i).frame(key=True))
    mirrors = pair.b.stats()["mirrors"]
    assert [mirrors[str(p)]["streams"][0]["packetCount"] for p in producers] == [2] * 20


def test_states_do_not_fill_the_ring() -> None:
    """A client sends many reports and changes its SSRC often."""
    pair = Pair(EngineSettings(relay_packets=64))
    alice, bob = pair.a.client(), pair.b.client()
    pair.consume(bob, pair.produce(alice, simulcast(1)))
    (camera,) = layer_cameras(1)
    pair.send_frames(alice, [camera], 3, key=True)
    pair.run(0.2)
    reports = [sender_report(camera.ssrc, i << 32, i) for i in range(1, 45)]
    for _ in range(24):
        alice.send_rtcp(*reports)
    for i in range(500):
        camera.ssrc, camera.parts = 4000 + i % 2, 1
        if i % 50 == 49:
            pair.cross()  # the packets themselves are few
        alice.send(*camera.frame())
    assert pair.a.counter("dropped_relay_full") == 0
    # The last report is delivered nevertheless.
    camera.ssrc, camera.parts = 4001, 2
    pair.send(alice, *camera.frame(key=True))
    alice.send_rtcp(sender_report(4001, 77 << 32, camera.timestamp))
    pair.send_frames(alice, [camera], 60)
    assert_gapless(bob.rtp)
    assert bob.rtcp_of(SenderReport)[-1].ntp - (77 << 32) < 3 << 32


def test_packets_that_waited_for_longer_than_the_history_keeps_them(pair: Pair) -> None:
    """The other engine stood still. The packets are sent nevertheless, also those out of order."""
    alice, bob = pair.a.client(), pair.b.client()
    pair.consume(bob, pair.produce(alice, video()))
    camera = Camera()
    pair.send_frames(alice, [camera], 5, key=True)
    first, second = camera.frame()
    alice.send(second, first)
    pair.b.core.now += 2_000_000
    pair.cross()
    assert len(bob.rtp) == 12
    begin = bob.rtp[0].sequence_number
    numbers = [(p.sequence_number - begin) & 0xFFFF for p in bob.rtp]
    assert numbers == [*range(10), 11, 10]
    assert [p.marker for p in bob.rtp[-2:]] == [True, False]


def test_an_end_that_found_no_room_is_noticed_at_the_next_beginning() -> None:
    pair = Pair(EngineSettings(relay_packets=16))
    alice, bob = pair.a.client(), pair.b.client()
    producer = pair.produce(alice, video())
    pair.consume(bob, producer)
    camera = Camera()
    pair.send_frames(alice, [camera], 5, key=True)
    spec = audio()
    others = [pair.a.produce(alice, attrs.evolve(spec, mid=f"a{i}")) for i in range(20)]
    for other in others:  # the states of these fill the ring
        pair.a.core.relay_producer(other, pair.b.core)
    pair.a.core.stop_relaying(producer, pair.b.core)
    pair.a.core.relay_producer(producer, pair.b.core)
    for _ in range(20):
        alice.send(*camera.frame())
    pair.run(0.3)
    pair.send_frames(alice, [camera], 3)
    assert len(bob.rtp) == 10  # frames that refer to lost ones are useless
    pair.send_frames(alice, [camera], 3, key=True)
    assert len(bob.rtp) == 16
    assert_gapless(bob.rtp)


# ---- reports ----


def test_a_report_from_the_future_is_one_of_now(pair: Pair) -> None:
    alice, bob = pair.a.client(), pair.b.client()
    pair.consume(bob, pair.produce(alice, video()))
    camera = Camera()
    pair.send_frames(alice, [camera], 3, key=True)
    # The other thread may have read its clock a moment earlier; here the difference is long.
    pair.a.core.now += 10_000_000
    alice.send_rtcp(sender_report(1000, 3_900_000_000 << 32, camera.timestamp))
    for _ in range(300):
        pair.b.core.now += 5_000
        pair.cross()
    report = bob.rtcp_of(SenderReport)[-1]
    assert 0 <= report.ntp - (3_900_000_000 << 32) < 2 << 32


def test_sender_reports_keep_the_publishers_clock(pair: Pair) -> None:
    alice, bob = pair.a.client(), pair.b.client()
    pair.consume(bob, pair.produce(alice, video()))
    camera = Camera()
    pair.send_frames(alice, [camera], 3, key=True)
    ntp, timestamp = 3_900_000_000 << 32, camera.timestamp
    alice.send_rtcp(sender_report(1000, ntp, timestamp))
    sent = pair.a.now
    pair.cross()
    pair.send_frames(alice, [camera], 60)
    report = bob.rtcp_of(SenderReport)[-1]
    delta = (bob.rtp[-1].timestamp - (camera.timestamp - 3000)) & 0xFFFFFFFF
    passed = (report.ntp - ntp) / 2**32
    assert 0 < passed <= pair.a.now - sent
    expected = (timestamp + round(passed * 90_000) + delta) & 0xFFFFFFFF
    assert report.rtp_timestamp == pytest.approx(expected, abs=2)


def test_a_mirror_tells_python_and_the_publisher_nothing(pair: Pair) -> None:
    alice, bob = pair.a.client(), pair.b.client()
    camera = Camera()
    producers = [pair.produce(alice, spec) for spec in (video(), audio())]
    consumers = [pair.consume(bob, producer, nack=False) for producer in producers]
    for world in (pair.a, pair.b):
        world.core.watch_audio_level(producers[1])
    for i in range(50):
        pair.send_frames(alice, [camera], 1, key=i == 0)
        pair.send(alice, opus(i))
    pair.run(2)
    block = ReportBlock(ssrc=consumers[0] + 50_000, fraction_lost=64)
    bob.send_rtcp(ReceiverReport(1, (block,)))
    for kind in (StreamStarted, ProducerScore, AudioLevel):
        assert pair.a.take_events(kind) != []
        assert pair.b.take_events(kind) == []
    # Events about the viewer are reported here.
    assert [e.consumer for e in pair.b.take_events(ConsumerScore)] == [consumers[0]]
    assert bob.rtcp_of(ReceiverReport) == []

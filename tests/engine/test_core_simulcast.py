"""Simulcast: the layer that a viewer gets, and switches that no viewer notices."""

from collections.abc import Sequence

import pytest
from support.engine_world import (
    Camera,
    EngineClient,
    World,
    changes_of_ssrc,
    layer_cameras,
    layers_of,
    sender_report,
    simulcast,
)
from support.wire.rtcp import Bye, Pli
from support.wire.rtp import RtpPacket, wrap_rtx
from support.wire.vp8 import parse_vp8_untrusted

from meet_trio.engine import LayerChanged, StreamStarted


@pytest.fixture
def world() -> World:
    return World()


def publish(world: World, layers: int = 3) -> tuple[EngineClient, EngineClient, int, int]:
    alice, bob = world.client(), world.client()
    producer = world.produce(alice, simulcast(layers))
    return alice, bob, producer, world.consume(bob, producer)


def send_frames(
    world: World, client: EngineClient, cameras: Sequence[Camera], count: int, *, key: bool = False
) -> None:
    """Send ``count`` frames of each camera, 30 a second; the first is a key frame if ``key``."""
    for i in range(count):
        world.run(1 / 30)
        for camera in cameras:
            client.send(*camera.frame(key=key and i == 0))


def assert_seamless(packets: Sequence[RtpPacket]) -> None:
    """Assert that all numbers rise by one, timestamps rise, and frames are whole."""
    first = packets[0].sequence_number
    assert [p.sequence_number - first for p in packets] == list(range(len(packets)))
    descriptors = [parse_vp8_untrusted(p.payload)[0] for p in packets]
    for i in range(0, len(packets), 2):
        assert descriptors[i].start_of_partition
        assert not packets[i].marker
        assert packets[i + 1].marker
        assert descriptors[i].picture_id == descriptors[i + 1].picture_id
        assert packets[i].timestamp == packets[i + 1].timestamp
    for i in range(2, len(packets), 2):
        before, now = descriptors[i - 2], descriptors[i]
        assert now.picture_id == ((before.picture_id or 0) + 1) & 0x7FFF
        assert now.tl0_picture_index == ((before.tl0_picture_index or 0) + 1) & 0xFF
        assert 0 < (packets[i].timestamp - packets[i - 2].timestamp) & 0xFFFFFFFF < 90_000


def test_the_highest_layer_is_forwarded_once_it_has_a_key_frame(world: World) -> None:
    alice, bob, producer, consumer = publish(world)
    cameras = layer_cameras()
    send_frames(world, alice, cameras[:1], 1, key=True)
    send_frames(world, alice, cameras, 5)
    assert layers_of(bob.rtp) == [b"r0"]
    send_frames(world, alice, cameras, 30, key=True)
    assert layers_of(bob.rtp) == [b"r0", b"r2"]
    assert_seamless(bob.rtp)
    assert world.take_events(LayerChanged) == [
        LayerChanged(consumer, 0, 0),
        LayerChanged(consumer, 2, 0),
    ]
    assert sorted(e.encoding for e in world.take_events(StreamStarted)) == [0, 1, 2]
    assert world.stats()["producers"][str(producer)]["streams"][1]["rid"] == "r1"


def test_a_key_frame_is_asked_of_the_layer_that_is_wanted(world: World) -> None:
    alice, _, _, _ = publish(world)
    cameras = layer_cameras()
    send_frames(world, alice, cameras[:1], 3, key=True)
    alice.rtcp.clear()
    send_frames(world, alice, cameras, 3)
    assert {p.media_ssrc for p in alice.rtcp_of(Pli)} == {3002}


def test_a_layer_that_falls_silent_is_replaced_and_comes_back(world: World) -> None:
    alice, bob, _, _ = publish(world)
    cameras = layer_cameras()
    send_frames(world, alice, cameras, 30, key=True)
    alice.rtcp.clear()
    send_frames(world, alice, cameras[:2], 11)
    assert alice.rtcp_of(Pli) == []
    # The other layers have left it behind, long before it counts as silent.
    send_frames(world, alice, cameras[:2], 6)
    assert {p.media_ssrc for p in alice.rtcp_of(Pli)} == {3001}
    send_frames(world, alice, cameras[:2], 10, key=True)
    send_frames(world, alice, cameras, 10)
    send_frames(world, alice, cameras, 10, key=True)
    assert layers_of(bob.rtp)[-3:] == [b"r2", b"r1", b"r2"]
    assert [e.spatial for e in world.take_events(LayerChanged)][-3:] == [None, 1, 2]
    numbers = [p.sequence_number for p in bob.rtp]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def test_the_preferred_layer_is_the_highest_that_is_sent(world: World) -> None:
    alice, bob, _, consumer = publish(world)
    cameras = layer_cameras()
    world.core.set_preferred_layers(consumer, 1)
    send_frames(world, alice, cameras, 10, key=True)
    assert layers_of(bob.rtp)[-1] == b"r1"
    world.core.set_preferred_layers(consumer, 0)
    send_frames(world, alice, cameras, 3)
    assert layers_of(bob.rtp)[-1] == b"r1"  # until there is a key frame
    send_frames(world, alice, cameras, 3, key=True)
    assert layers_of(bob.rtp)[-1] == b"r0"
    world.core.set_preferred_layers(consumer, 9)
    send_frames(world, alice, cameras, 3, key=True)
    assert layers_of(bob.rtp)[-1] == b"r2"
    assert_seamless(bob.rtp)


def test_what_a_viewer_wishes_is_within_bounds(world: World) -> None:
    _, bob, _, consumer = publish(world)

    def wishes() -> tuple[object, ...]:
        figures = world.stats()["consumers"][str(consumer)]
        return tuple(
            figures[key] for key in ("preferredLayer", "preferredTemporalLayer", "priority")
        )

    assert wishes() == (3, 3, 1)
    world.core.set_preferred_layers(consumer, 1, 0)
    world.core.set_consumer_priority(consumer, 255)
    assert wishes() == (1, 0, 255)
    world.core.set_preferred_layers(consumer, 2**32 - 1, 2**32 - 1)
    assert wishes() == (3, 3, 255)
    for priority in (0, 256, -1):
        with pytest.raises(ValueError, match="priority"):
            world.core.set_consumer_priority(consumer, priority)
    world.core.set_max_outgoing_bitrate(bob.number, 2**64 - 1)
    assert world.stats()["transports"][str(bob.number)]["maxOutgoingBitrate"] == 2**64 - 1


def test_a_switch_waits_for_the_end_of_the_frame(world: World) -> None:
    alice, bob, _, consumer = publish(world)
    cameras = layer_cameras()
    world.core.set_preferred_layers(consumer, 0)
    send_frames(world, alice, cameras, 10, key=True)
    world.core.set_preferred_layers(consumer, 2)
    world.run(0.03)
    # interleaved as by a pacer
    (low1, low2), (high1, high2) = cameras[0].frame(), cameras[2].frame(key=True)
    alice.send(low1, high1)
    assert layers_of(bob.rtp)[-1] == b"r0"
    alice.send(low2, high2)
    assert layers_of(bob.rtp)[-1] == b"r2"
    assert_seamless(bob.rtp)


def test_a_switch_does_not_wait_for_ever(world: World) -> None:
    alice, bob, _, consumer = publish(world)
    cameras = layer_cameras()
    world.core.set_preferred_layers(consumer, 0)
    send_frames(world, alice, cameras, 10, key=True)
    world.core.set_preferred_layers(consumer, 2)
    world.run(0.03)
    alice.send(cameras[0].frame()[0])  # the end of this frame is lost
    alice.send(*cameras[2].frame(key=True))
    world.run(0.06)
    alice.send(*cameras[2].frame())
    assert layers_of(bob.rtp)[-1] == b"r2"
    numbers = [p.sequence_number for p in bob.rtp]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def test_late_packets_of_the_layer_before_keep_their_numbers(world: World) -> None:
    alice, bob, _, _ = publish(world)
    cameras = layer_cameras()
    send_frames(world, alice, cameras[:1], 5, key=True)
    first, last = cameras[0].frame()
    alice.send(last)  # the packet before it is missing
    send_frames(world, alice, cameras, 1)
    send_frames(world, alice, cameras, 5, key=True)
    assert layers_of(bob.rtp)[-1] == b"r2"
    rtx = wrap_rtx(first, payload_type=97, ssrc=3100, sequence_number=1)
    alice.send(
        RtpPacket(
            payload_type=97,
            sequence_number=1,
            timestamp=rtx.timestamp,
            ssrc=3100,
            payload=rtx.payload,
            extensions={9: b"v0", 11: b"r0"},
        )
    )
    late = bob.rtp[-1]
    assert layers_of([late]) == [b"r0"]
    assert_seamless(sorted(bob.rtp, key=lambda p: p.sequence_number))


def test_a_nameless_retransmission_goes_where_it_is_missed(world: World) -> None:
    alice, bob, producer, _ = publish(world)
    cameras = layer_cameras()
    send_frames(world, alice, cameras, 1, key=True)
    send_frames(world, alice, cameras, 1, key=True)
    cameras[2].extensions = {}
    lost, last = cameras[2].frame()
    alice.send(last)
    alice.send(wrap_rtx(lost, payload_type=97, ssrc=3200, sequence_number=1))
    assert_seamless(sorted(bob.rtp, key=lambda p: p.sequence_number))
    streams = world.stats()["producers"][str(producer)]["streams"]
    assert [s["rtxSsrc"] for s in streams] == [None, None, 3200]
    # No stream misses this packet, so it does not show which stream its SSRC belongs to.
    alice.send(wrap_rtx(last, payload_type=97, ssrc=3201, sequence_number=1))
    assert world.counter("dropped_rtp_unknown_stream") == 1


def test_a_nameless_retransmission_that_two_streams_miss_is_dropped(world: World) -> None:
    alice, _, _, _ = publish(world)
    cameras = layer_cameras()
    cameras[1].sequence = cameras[2].sequence
    send_frames(world, alice, cameras, 2, key=True)
    lost = None
    for camera in cameras[1:]:
        camera.extensions = {}
        lost, last = camera.frame()
        alice.send(last)
    assert lost is not None
    alice.send(wrap_rtx(lost, payload_type=97, ssrc=3200, sequence_number=1))
    assert world.counter("dropped_rtp_unknown_stream") == 1


@pytest.mark.parametrize(("with_reports", "apart"), [(True, 0), (False, 0), (True, 100)])
def test_timestamps_go_on_with_the_common_clock(
    world: World, with_reports: bool, apart: int
) -> None:
    alice, bob, _, consumer = publish(world)
    cameras = layer_cameras()
    world.core.set_preferred_layers(consumer, 0)
    send_frames(world, alice, cameras, 5, key=True)
    if with_reports:
        for camera in cameras:
            # each report gives the time of the layer's clock at this moment
            ntp = round((3_900_000_000 + world.now + apart * (camera is cameras[2])) * 2**32)
            alice.send_rtcp(sender_report(camera.ssrc, ntp, camera.timestamp))
    send_frames(world, alice, cameras, 20)
    old = bob.rtp[-1].timestamp
    world.core.set_preferred_layers(consumer, 2)
    for camera in cameras:  # a jitter of 20 ms that arrival times would include
        camera.timestamp = (camera.timestamp + (1800 if with_reports else 0)) & 0xFFFFFFFF
    send_frames(world, alice, cameras, 1, key=True)
    assert layers_of(bob.rtp)[-1] == b"r2"
    step = (bob.rtp[-1].timestamp - old) & 0xFFFFFFFF
    # Clocks that are 100 s apart are not used.
    assert step == pytest.approx(4800 if with_reports else 3000, abs=10)


def test_a_layer_that_says_bye_is_left_at_once(world: World) -> None:
    alice, bob, _, _ = publish(world)
    cameras = layer_cameras()
    send_frames(world, alice, cameras, 10, key=True)
    alice.send_rtcp(Bye((3002,)))
    send_frames(world, alice, cameras[:2], 5, key=True)
    assert layers_of(bob.rtp)[-2:] == [b"r2", b"r1"]
    assert_seamless(bob.rtp)


def test_goodbyes_without_end_are_told_ten_times_a_second_at_most(world: World) -> None:
    alice, _, _, _ = publish(world)
    cameras = layer_cameras()
    send_frames(world, alice, cameras, 10, key=True)
    world.take_events(LayerChanged)
    for _ in range(200):  # one second
        alice.send_rtcp(Bye(tuple(camera.ssrc for camera in cameras)))
        world.run(0.0025, step=0.0025)
        alice.send(*[packet for camera in cameras for packet in camera.frame(key=True)])
        world.run(0.0025, step=0.0025)
    assert len(world.take_events(LayerChanged)) <= 2 * 11


def test_after_a_silence_of_all_layers_the_lowest_is_not_taken_for_the_only_one(
    world: World,
) -> None:
    alice, bob, _, _ = publish(world)
    cameras = layer_cameras()
    send_frames(world, alice, cameras, 2, key=True)
    send_frames(world, alice, cameras, 2, key=True)
    alice.rtcp.clear()
    for _ in range(3):
        world.run(2)
        for camera in cameras:
            alice.send(*camera.frame())
            world.run(0.002)
    assert alice.rtcp_of(Pli) == []
    assert layers_of(bob.rtp)[-1] == b"r2"


def test_a_layer_of_few_frames_is_not_left_behind(world: World) -> None:
    alice, bob, _, _ = publish(world)
    cameras = layer_cameras()
    send_frames(world, alice, cameras, 2, key=True)
    send_frames(world, alice, cameras, 2, key=True)
    alice.rtcp.clear()
    for _ in range(20):  # 4 frames a second beside 30
        send_frames(world, alice, cameras[:2], 7)
        send_frames(world, alice, cameras, 1)
    assert alice.rtcp_of(Pli) == []
    assert layers_of(bob.rtp)[-1] == b"r2"
    # Padding does not keep a layer alive.
    number = cameras[2].sequence
    for _ in range(15):
        send_frames(world, alice, cameras[:2], 1)
        padding = RtpPacket(
            payload_type=96, sequence_number=number, timestamp=0, ssrc=3002, padding=99
        )
        number += 1
        alice.send(padding)
    assert {p.media_ssrc for p in alice.rtcp_of(Pli)} == {3001}


def test_each_viewer_has_its_own_layer(world: World) -> None:
    alice, bob, producer, _ = publish(world)
    carol = world.client()
    low = world.consume(carol, producer)
    world.core.set_preferred_layers(low, 0)
    cameras = layer_cameras()
    send_frames(world, alice, cameras, 10, key=True)
    send_frames(world, alice, cameras, 10, key=True)
    assert layers_of(bob.rtp)[-1] == b"r2"
    assert layers_of(carol.rtp) == [b"r0"]


def test_pause_and_silence_are_no_layer(world: World) -> None:
    alice, _, producer, consumer = publish(world)
    cameras = layer_cameras()
    send_frames(world, alice, cameras, 10, key=True)
    send_frames(world, alice, cameras, 10, key=True)
    world.take_events(LayerChanged)
    world.core.set_consumer_paused(consumer, True)
    assert world.take_events(LayerChanged) == [LayerChanged(consumer, None, None)]
    world.core.set_consumer_paused(consumer, False)
    send_frames(world, alice, cameras, 5, key=True)
    assert world.take_events(LayerChanged) == [LayerChanged(consumer, 2, 0)]
    world.core.set_producer_paused(producer, True)
    assert world.take_events(LayerChanged) == [LayerChanged(consumer, None, None)]
    world.core.set_producer_paused(producer, False)
    send_frames(world, alice, cameras, 5, key=True)
    assert world.take_events(LayerChanged) == [LayerChanged(consumer, 2, 0)]
    world.run(2)
    assert world.take_events(LayerChanged) == [LayerChanged(consumer, None, None)]


# Limits of a publisher's effect on its viewers


def test_no_number_is_sent_twice_however_often_the_ssrc_changes(world: World) -> None:
    """Decryption with a repeated SRTP index fails at the viewer, see ``EngineClient``."""
    alice, bob, _, _ = publish(world, 1)
    (camera,) = layer_cameras(1)
    send_frames(world, alice, [camera], 20, key=True)
    alice.send(*changes_of_ssrc(camera, 256))
    assert len(bob.rtp) == 40
    camera.ssrc = 6000
    send_frames(world, alice, [camera], 5, key=True)
    assert len(bob.rtp) == 50
    assert_seamless(bob.rtp)


def test_a_change_of_ssrc_ends_what_waits_for_the_end_of_a_frame(world: World) -> None:
    alice, bob, _, consumer = publish(world)
    cameras = layer_cameras()
    world.core.set_preferred_layers(consumer, 0)
    send_frames(world, alice, cameras, 10, key=True)
    world.core.set_preferred_layers(consumer, 2)
    (low1, low2), key = cameras[0].frame(), cameras[2].frame(key=True)
    alice.send(low1, *key)
    cameras[2].ssrc, cameras[2].sequence = 4002, key[0].sequence_number
    alice.send(*cameras[2].frame(), low2)
    assert layers_of(bob.rtp)[-1] == b"r0"
    send_frames(world, alice, cameras, 2, key=True)
    assert layers_of(bob.rtp)[-1] == b"r2"
    assert_seamless(bob.rtp)


def test_a_viewer_is_not_sent_a_long_backlog_at_once(world: World) -> None:
    """A frame of the lower layer stays open while the upper layer goes on."""
    alice, bob, _, consumer = publish(world, 2)
    cameras = layer_cameras(2)
    world.core.set_preferred_layers(consumer, 0)
    send_frames(world, alice, cameras, 10, key=True)
    world.core.set_preferred_layers(consumer, 1)
    low1, low2 = cameras[0].frame()
    alice.send(low1, *cameras[1].frame(key=True))
    for _ in range(200):
        alice.send(*cameras[1].frame())
    before = len(bob.rtp)
    alice.rtcp.clear()
    alice.send(low2)
    assert len(bob.rtp) == before + 1
    world.run(0.2)
    assert [p.media_ssrc for p in alice.rtcp_of(Pli)] == [cameras[1].ssrc]
    send_frames(world, alice, cameras, 2, key=True)
    assert layers_of(bob.rtp)[-1] == b"r1"
    assert_seamless(bob.rtp)


def test_a_long_gap_is_closed(world: World) -> None:
    """Numbers far ahead make a receiver lose count of the roll-overs."""
    alice, bob, _, _ = publish(world, 1)
    (camera,) = layer_cameras(1)
    send_frames(world, alice, [camera], 5, key=True)
    for _ in range(5):
        camera.sequence = (camera.sequence + 32_000) & 0xFFFF
        send_frames(world, alice, [camera], 2)
    assert len(bob.rtp) == 10
    send_frames(world, alice, [camera], 5, key=True)
    assert len(bob.rtp) == 20
    assert_seamless(bob.rtp)

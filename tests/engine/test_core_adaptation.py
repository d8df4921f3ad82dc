"""The layers that a viewer gets follow what its link can carry, in virtual time."""

import itertools
import re
from collections import Counter
from typing import Any

import pytest
from support.engine_link import LinkedViewer
from support.engine_world import VIEWED_ADAPTED, World, simulcast
from support.layered_camera import FPS, LayeredCamera
from support.wire.rtcp import Pli, ReceiverReport, Remb, ReportBlock
from support.wire.rtp import RtpPacket
from support.wire.vp8 import parse_vp8_untrusted

from meet_trio.engine import EngineSettings, LayerChanged


class Call:
    """Alice publishes three layers, Bob watches behind a link."""

    def __init__(self, *, start: int = 1_000_000, **link: float | bool | None) -> None:
        self.world = World(EngineSettings(initial_outgoing_bitrate=start))
        alice, bob = self.world.client(), self.world.client()
        self.producer = self.world.produce(alice, simulcast(3))
        self.camera = LayeredCamera(alice)
        self.bob = LinkedViewer.behind(bob, **link)
        self.run(1)
        self.consumer = self.world.consume(bob, self.producer, header_extensions=VIEWED_ADAPTED)

    def run(self, seconds: float) -> float:
        """Let time pass; returns the time at which that began."""
        begun = self.world.now
        self.bob.run(seconds, self.camera.step)
        return begun

    def frames(self, since: float) -> "Counter[tuple[int, int]]":
        """Whole frames that arrived, by spatial and temporal layer."""
        return frames_of(self.bob.media(since))

    def completed(self, since: float) -> list[float]:
        """Times at which the last packet of a frame arrived, not counting retransmissions."""
        wanted: dict[int, int] = {}
        parts: Counter[int] = Counter()
        done = []
        for at, packet in self.bob.received:
            if at < since or packet.ssrc >= RTX:
                continue
            parts[packet.timestamp] += 1
            if packet.marker:
                wanted[packet.timestamp] = int(picture_of(packet)[3]) + 1
            if parts[packet.timestamp] == wanted.get(packet.timestamp):
                done.append(at)
        return done

    def figures(self) -> dict[str, Any]:
        stats = self.world.stats()
        consumer: dict[str, Any] = stats["consumers"][str(self.consumer)]
        return consumer | stats["transports"][str(self.bob.client.number)]


PICTURE = re.compile(rb"r(\d) t(\d) \d+\.(\d+)")
LARGEST_PICTURE = re.compile(rb"r2 t\d (\d+)\.")
RTX = 60_000  # the first SSRC of retransmissions


def picture_of(packet: RtpPacket) -> "re.Match[bytes]":
    """The layer, the temporal layer and the number of the packet in its frame."""
    found = PICTURE.search(parse_vp8_untrusted(packet.payload)[1])
    assert found
    return found


def frames_of(packets: list[RtpPacket]) -> "Counter[tuple[int, int]]":
    found: Counter[tuple[int, int]] = Counter()
    parts: Counter[int] = Counter()
    for packet in packets:
        parts[packet.timestamp] += 1
    for packet in packets:
        if packet.marker:
            layer, temporal, part = map(int, picture_of(packet).groups())
            if parts[packet.timestamp] == part + 1:
                found[layer, temporal] += 1
    return found


def assert_continuous(packets: list[RtpPacket]) -> None:
    """No number and no picture id is missing or used twice, whatever was left out."""
    numbers = sorted({p.sequence_number for p in packets})
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    pictures: dict[int, set[int]] = {}
    for packet in packets:
        picture = parse_vp8_untrusted(packet.payload)[0].picture_id
        assert picture is not None
        pictures.setdefault(picture, set()).add(packet.timestamp)
    assert all(len(timestamps) == 1 for timestamps in pictures.values())
    ids = sorted(pictures)
    assert ids == list(range(ids[0], ids[0] + len(ids)))


def test_a_link_without_limit_gets_everything() -> None:
    call = Call()
    call.run(3)
    since = call.run(10)
    frames = call.frames(since)
    assert frames[2, 0] + frames[2, 1] + frames[2, 2] == pytest.approx(10 * FPS, abs=2)
    assert call.bob.dropped == 0
    assert call.figures()["temporalLayer"] == 2
    assert_continuous(call.bob.media())


def test_a_slow_link_gets_a_layer_that_fits() -> None:
    call = Call(rate=300_000, start=300_000)
    call.run(8)
    since, through = call.world.now, call.bob.bytes_through
    call.run(20)
    frames = call.frames(since)
    print(frames, call.bob.worst_wait(since), call.figures())
    assert frames[1, 0] + frames[1, 1] >= 0.9 * 20 * FPS / 2  # the half of the middle layer's
    assert frames[2, 0] == 0
    assert call.bob.worst_wait(since) < 0.2
    assert (call.bob.bytes_through - through) * 8 / 20 > 0.6 * 300_000
    assert call.figures()["estimateCause"] in ("delay", "growth", "probe")


def test_frames_of_a_temporal_layer_are_left_out_without_a_gap() -> None:
    call = Call(rate=None)
    call.run(1)
    call.world.core.set_preferred_layers(call.consumer, 2, 1)
    since = call.run(3)
    frames = call.frames(since + 0.2)
    assert frames[2, 2] == 0
    assert frames[2, 0] + frames[2, 1] == pytest.approx(2.8 * FPS / 2, abs=2)
    assert call.figures()["temporalLayer"] == 1
    call.world.core.set_preferred_layers(call.consumer, 2)
    since = call.run(2)
    assert call.frames(since)[2, 2] > 15
    assert_continuous(call.bob.media())


def test_lost_packets_find_their_place_when_frames_are_left_out() -> None:
    """Loss before the server, and frames that the server leaves out, in the same stream."""
    call = Call(rate=None, nack=False)
    call.run(1)
    call.world.core.set_preferred_layers(call.consumer, 2, 1)
    alice = call.camera.client
    held: list[bytes] = []
    count = itertools.count()

    def late(*packets: RtpPacket) -> None:
        for packet in packets:
            data = alice.protect(packet)
            if next(count) % 7 == 0:
                held.append(data)
                continue
            alice.send_raw(data)
            if len(held) > 3:
                alice.send_raw(held.pop(0))

    alice.send = late  # type: ignore[method-assign]
    call.run(5)
    for data in held:
        alice.send_raw(data)
    call.bob.run(0.1)
    packets = call.bob.media()
    numbers = sorted({p.sequence_number for p in packets})
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert len(numbers) == len(packets)


def test_a_fall_of_the_link_is_followed_within_seconds() -> None:
    call = Call(rate=3_000_000)
    call.run(10)
    assert call.figures()["spatialLayer"] == 2
    call.bob.rate = 500_000
    fallen = call.run(2)
    lower = next((at, p) for at, p in call.bob.received if at > fallen and b"r1" in p.payload)
    assert not [
        number
        for at, number in call.bob.sent_again(since=lower[0])
        if (number - lower[1].sequence_number) & 0x8000
    ]
    since = call.run(3)
    assert call.bob.worst_wait(since) < 0.3
    assert call.frames(since)[2, 2] == 0
    call.bob.rate = 3_000_000
    call.run(3)
    since = call.run(1)
    frames = call.frames(since)
    assert frames[2, 0] + frames[2, 1] + frames[2, 2] > 0.8 * FPS


@pytest.mark.parametrize("after", [0.0, 0.013, 0.03, 0.07, 0.11])
def test_a_fall_of_the_link_leaves_no_long_gap(after: float) -> None:
    """The publisher is at another place of its cycle of frames each time."""
    call = Call(rate=3_000_000)
    call.camera.answers_after = 0.1
    call.run(10 + after)
    call.bob.rate, call.bob.queue = 500_000, 0.2
    fallen = call.run(3)
    gaps = [b - a for a, b in itertools.pairwise(call.completed(fallen - 0.2))]
    print(max(gaps), call.bob.dropped)
    assert max(gaps) < 0.39
    assert call.bob.dropped <= 9


@pytest.mark.parametrize("soon", [True, False])
def test_the_larger_picture_ends_at_once_if_the_smaller_one_comes_soon(soon: bool) -> None:
    """It goes on if the publisher was asked a moment ago, and may not be asked again yet."""
    call = Call(rate=3_000_000)
    call.camera.answers_after = 0.1 if soon else 0.6
    carol = call.world.client()
    other = call.world.consume(carol, call.producer)
    call.world.core.set_preferred_layers(other, 1)
    call.run(10)
    call.bob.rate, call.bob.queue = 500_000, 0.2
    if not soon:
        call.run(0.1)
        call.world.core.request_consumer_keyframe(other)
    while call.figures()["allowedLayer"] == 2:
        call.run(0.005)
    newest = call.camera.frames[2]
    call.world.take_events(LayerChanged)
    since = call.run(1)
    found = [LARGEST_PICTURE.search(packet.payload) for packet in call.bob.media(since)]
    later = [match for match in found if match and int(match[1]) - 2000 > newest]
    assert bool(later) != soon
    assert all(event.spatial is not None for event in call.world.take_events(LayerChanged))
    assert call.figures()["spatialLayer"] == 1


@pytest.mark.parametrize("congested", [True, False])
def test_nobody_waits_for_a_smaller_picture_on_a_congested_link(congested: bool) -> None:
    call = Call(rate=3_000_000)
    call.run(10)
    call.bob.rate = 500_000 if congested else 2_500_000
    call.run(2)
    call.world.core.set_preferred_layers(call.consumer, 0)
    call.run(0.4)
    assert (call.figures()["spatialLayer"] == 0) == congested


def test_without_room_for_any_layer_video_pauses_and_comes_back() -> None:
    call = Call(rate=30_000, start=100_000)
    call.run(5)  # after ten it tries again
    assert call.figures()["allowedLayer"] is None
    since = call.run(2)
    assert not call.frames(since)
    call.bob.rate = 2_000_000
    call.run(8)
    assert call.figures()["spatialLayer"] is not None


def test_random_loss_is_no_congestion() -> None:
    call = Call(rate=20_000_000, loss=0.1)
    call.run(3)
    call.run(10)
    assert call.figures()["allowedLayer"] == 2
    assert call.figures()["allowedTemporalLayer"] == 2
    assert call.figures()["outgoingLoss"] == pytest.approx(0.1, abs=0.06)


def test_packets_that_wait_for_the_pacer_are_no_losses() -> None:
    """Every second report comes while packets wait."""
    call = Call(rate=None)
    call.run(3)
    for turn in range(10):
        call.run(1)
        if turn % 2:
            call.world.core.request_keyframe(call.producer)
            while call.figures()["pacerBytes"] < 5000:
                call.run(0.005)
        report = ReportBlock(ssrc=call.consumer + 50_000, cumulative_lost=0)
        call.bob.client.send_rtcp(ReceiverReport(1, (report,)))
    figures = call.figures()
    assert (figures["packetsRedundant"], figures["redundancy"]) == (0, 0)


def test_remb_allocates_too() -> None:
    world = World()
    alice, bob = world.client(), world.client()
    producer = world.produce(alice, simulcast(3))
    camera = LayeredCamera(alice)
    consumer = world.consume(bob, producer)

    def run(seconds: float) -> None:
        for _ in range(int(seconds * 100)):
            world.run(0.01)
            camera.step(world.now)

    run(2)
    assert world.stats()["consumers"][str(consumer)]["spatialLayer"] == 2
    bob.send_rtcp(Remb(1, 350_000, (consumer + 50_000,)))
    run(1)
    assert world.stats()["consumers"][str(consumer)]["spatialLayer"] == 1
    bob.send_rtcp(Remb(1, 5_000_000, (consumer + 50_000,)))
    run(2)
    assert world.stats()["consumers"][str(consumer)]["spatialLayer"] == 2


def test_who_makes_its_estimate_swing_pays_for_the_key_frames() -> None:
    world = World(EngineSettings(consent_timeout=600))
    alice, bob = world.client(), world.client()
    camera = LayeredCamera(alice)
    consumer = world.consume(bob, world.produce(alice, simulcast(3)))
    asked = 0
    for turn in range(300):
        bitrate = 200_000 if turn % 2 else 5_000_000
        bob.send_rtcp(Remb(1, bitrate, (consumer + 50_000,)))
        for _ in range(20):
            world.run(0.01)
            asked += len(alice.rtcp_of(Pli))
            camera.step(world.now)
            alice.rtcp.clear()
            camera.forget_rtcp()
    # Ten at once and one every three seconds, in a minute; and what a new stream costs.
    assert 10 < asked <= 10 + 60 / 3 + 3


def test_a_publisher_that_reports_bandwidth_has_no_downlink() -> None:
    world = World()
    alice = world.client()
    world.produce(alice, simulcast(3))
    alice.send_rtcp(Remb(1, 350_000, (1,)))
    assert world.stats()["transports"][str(alice.number)]["availableOutgoingBitrate"] == 0


def test_a_large_stream_does_not_take_the_room_of_small_ones() -> None:
    world = World()
    bob = world.client()
    cameras, consumers = [], []
    for rate in (900_000, 100_000, 100_000):
        publisher = world.client()
        cameras.append(LayeredCamera(publisher, rates=(rate,)))
        producer = world.produce(publisher, simulcast(1))
        consumers.append(world.consume(bob, producer))

    def run(seconds: float) -> None:
        for _ in range(int(seconds * 100)):
            world.run(0.01)
            for camera in cameras:
                camera.step(world.now)

    def allowed() -> list[bool]:
        figures = world.stats()["consumers"]
        return [figures[str(c)]["allowedLayer"] is not None for c in consumers]

    run(2)
    assert allowed() == [True, True, True]
    bob.send_rtcp(Remb(1, 350_000, (consumers[0] + 50_000,)))
    run(1)
    assert allowed() == [False, True, True]
    world.core.set_consumer_priority(consumers[0], 128)
    bob.send_rtcp(Remb(1, 418_000, (consumers[0] + 50_000,)))
    run(5)
    assert allowed() == [True, True, False]
    assert world.stats()["consumers"][str(consumers[0])]["allowedTemporalLayer"] < 2

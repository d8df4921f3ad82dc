"""What a viewer who loses packets is sent beside its media: packets twice, and a playout delay."""

from collections.abc import Iterable
from itertools import pairwise

import attrs
import pytest
from support.engine_world import (
    VIEWED,
    Camera,
    EngineClient,
    World,
    audio,
    of,
    sender_report,
    video,
)
from support.wire.rtcp import Nack, ReceiverReport, ReportBlock, SenderReport
from support.wire.rtp import RtpPacket, unwrap_rtx_untrusted

from meet_trio.engine import EngineSettings

PLAYOUT_URI = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay"
PLAYOUT_ID = 12


@attrs.define(eq=False)
class Call:
    """Alice's camera and microphone, and Bob, who reports a loss once a second."""

    world: World = attrs.field(factory=lambda: World(EngineSettings(consent_timeout=600)))
    camera: Camera = attrs.field(factory=lambda: Camera(tag=b"x" * 1000, parts=4))
    sound: RtpPacket = attrs.field(
        factory=lambda: RtpPacket(
            payload_type=111, sequence_number=7, timestamp=48_000, ssrc=2000, payload=b"opus"
        )
    )
    with_sound: bool = False
    loss: float = 0
    """That Bob reports."""
    last_sr: int = 0
    """That Bob reports, without a delay."""
    lost: int = 0
    """Alice loses one packet of this number; 0: none."""
    heard_before: set[bytes] = attrs.field(factory=set)
    reported: dict[int, float] = attrs.field(factory=dict)
    counted: dict[int, int] = attrs.field(factory=dict)
    copies: int = 0
    """Copies of sound in the last ``run``."""
    alice: EngineClient = attrs.field(init=False)
    bob: EngineClient = attrs.field(init=False)
    picture: int = attrs.field(init=False)
    heard: int = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.alice, self.bob = self.world.client(), self.world.client()
        extensions = {**VIEWED, PLAYOUT_URI: PLAYOUT_ID}
        camera = self.world.produce(self.alice, video())
        self.picture = self.world.consume(self.bob, camera, header_extensions=extensions)
        microphone = self.world.produce(self.alice, audio())
        self.heard = self.world.consume(self.bob, microphone, rtx_ssrc=None, rtx_payload_type=None)
        self.alice.send(*self.camera.frame(key=True))

    def report(self) -> None:
        """Like libwebrtc's: what the publisher lost is lost for Bob, too."""
        blocks = []
        for number in (self.picture, self.heard):
            got = of(self.bob.rtp, number + 50_000)
            self.reported[number] = self.reported.get(number, 0.0) + self.loss * (
                len(got) - self.counted.get(number, 0)
            )
            self.counted[number] = len(got)
            numbers = [p.sequence_number for p in got]
            holes = numbers[-1] - numbers[0] + 1 - len(numbers) if numbers else 0
            lost = round(self.reported[number]) + holes
            blocks.append(
                ReportBlock(ssrc=number + 50_000, cumulative_lost=lost, last_sr=self.last_sr)
            )
        self.bob.send_rtcp(ReceiverReport(1, tuple(blocks)))

    def run(self, seconds: float) -> list[RtpPacket]:
        """30 frames a second; returns what Bob got. Copies of sound are dropped before libsrtp,
        which rejects them as replays.
        """
        before = len(self.bob.rtp)
        self.copies = 0

        def drop(data: bytes) -> bool:
            again = data in self.heard_before
            self.heard_before.add(data)
            self.copies += again
            return again

        self.bob.drop = drop
        for i in range(round(seconds * 30)):
            if i % 30 == 0:
                self.report()
            self.world.run(1 / 30, step=1 / 30)
            for packet in self.camera.frame():
                if not self.lost or packet.sequence_number % self.lost:
                    self.alice.send(packet)
            if self.with_sound:
                self.alice.send(self.sound)
                number = self.sound.sequence_number + 1
                self.sound = attrs.evolve(self.sound, sequence_number=number)
        return self.bob.rtp[before:]

    def figures(self) -> dict[str, float]:
        figures: dict[str, float] = self.world.stats()["consumers"][str(self.picture)]
        return figures

    def twice(self, packets: Iterable[RtpPacket]) -> list[RtpPacket]:
        return [
            unwrap_rtx_untrusted(p, payload_type=101, ssrc=self.picture + 50_000)
            for p in of(packets, self.picture + 60_000)
        ]


def test_a_clean_way_gets_nothing_beside_its_media() -> None:
    call = Call(with_sound=True)
    packets = call.run(5)
    assert {p.ssrc for p in packets} == {call.picture + 50_000, call.heard + 50_000}
    assert all(PLAYOUT_ID not in p.extensions for p in packets)
    assert call.copies == 0
    assert call.world.counter("redundant_packets") == 0


def test_the_end_of_each_frame_is_sent_twice_to_who_loses_some() -> None:
    call = Call(with_sound=True, loss=0.015)
    call.run(5)
    packets = call.run(5)
    ends = [p for p in of(packets, call.picture + 50_000) if p.marker]
    assert [p.sequence_number for p in call.twice(packets)] == [p.sequence_number for p in ends]
    assert [p.payload for p in call.twice(packets)] == [p.payload for p in ends]
    assert call.copies >= 100  # sound costs little
    assert call.figures()["redundancy"] == pytest.approx(0.25, abs=0.03)


def test_small_frames_are_sent_twice_as_a_whole_to_who_loses_much() -> None:
    call = Call(loss=0.06)
    call.run(5)
    assert len(call.twice(call.run(1))) == 30
    call.camera.parts = 3
    call.camera.tag = b"x" * 50
    call.loss, before = 0.06, call.world.counter("redundant_packets")
    packets = call.twice(call.run(1))
    assert 35 <= len(packets) <= 90
    assert call.world.counter("redundant_packets") - before == len(packets)
    assert call.figures()["packetsRedundant"] == call.world.counter("redundant_packets")


def frames_of_layers(camera: Camera, count: int) -> list[list[RtpPacket]]:
    """Frames of the temporal layers 0, 2, 1, 2 and so on: bits 7 and 6 of the last byte of the
    descriptor, which Camera sets to 0.
    """
    frames = []
    for i in range(count):
        layer = (0, 2, 1, 2)[i % 4]
        frames.append(
            [
                attrs.evolve(
                    p, payload=p.payload[:5] + bytes([p.payload[5] | layer << 6]) + p.payload[6:]
                )
                for p in camera.frame()
            ]
        )
    return frames


def test_the_lowest_layer_is_sent_twice_to_who_loses_very_much() -> None:
    call = Call(loss=0.2)
    call.run(5)
    lowest, others = 0, 0
    for i, frame in enumerate(frames_of_layers(call.camera, 40)):
        before = len(call.bob.rtp)
        call.world.run(1 / 30)
        call.alice.send(*frame)
        again = len(call.twice(call.bob.rtp[before:]))
        if i % 4 == 0:
            lowest += again
        else:
            others += again
    assert lowest > 10 + 5
    assert others <= 30


@pytest.mark.parametrize(("loss", "share"), [(0.08, 0.3), (0.3, 0.5)])
def test_redundancy_has_a_budget(loss: float, share: float) -> None:
    call = Call(loss=loss)
    call.camera.parts = 2
    call.run(6)
    before = len(call.bob.raw)
    call.run(4)
    sizes = {True: 0, False: 0}
    for data in call.bob.raw[before:]:
        ssrc = int.from_bytes(data[8:12], "big")
        sizes[ssrc == call.picture + 60_000] += len(data)
    assert share - 0.03 < sizes[True] / sizes[False] < share + 0.02


def test_copies_of_retransmissions_do_not_wait_for_the_budget() -> None:
    """Frames of two packets, sent twice as a whole, have used it up."""
    call = Call(loss=0.08)
    call.camera.parts = 2
    call.run(6)
    before = len(call.bob.rtp)
    wanted = [p.sequence_number for p in of(call.bob.rtp, call.picture + 50_000)[-40:]]
    call.bob.send_rtcp(Nack(9, call.picture + 50_000, tuple(wanted)))
    again = [p.sequence_number for p in call.twice(call.bob.rtp[before:])]
    copies = len(again) - len(set(again))
    assert len(set(again)) == 40
    assert 4 <= copies <= 10  # 8 KiB


def test_a_retransmission_is_sent_twice_to_who_loses_much() -> None:
    for loss, times in ((0.015, 1), (0.06, 2)):
        call = Call(loss=loss)
        call.run(6)
        first = of(call.bob.rtp, call.picture + 50_000)[-2]
        before = len(call.bob.rtp)
        call.bob.send_rtcp(Nack(9, call.picture + 50_000, (first.sequence_number,)))
        again = call.twice(call.bob.rtp[before:])
        assert [p.payload for p in again] == [first.payload] * times
        assert call.world.counter("retransmissions") == 1


def test_sound_is_sent_again_one_packet_later() -> None:
    call = Call(with_sound=True, loss=0.06)
    call.run(5)
    before = len(call.bob.raw)
    call.run(2)
    assert call.copies == 60
    sound = [
        data
        for data in call.bob.raw[before:]
        if int.from_bytes(data[8:12], "big") == call.heard + 50_000
    ]
    assert len(sound) == 120
    assert all(sound[i] == sound[i - 3] for i in range(3, 120, 2))


def test_sound_is_sent_three_times_to_who_loses_very_much() -> None:
    call = Call(with_sound=True, loss=0.2)
    call.run(6)
    call.run(2)
    assert call.copies == 120


def test_sound_after_a_pause_is_not_sent_again() -> None:
    """With DTX packets are 400 ms apart: the copy would come too late."""
    call = Call(with_sound=True, loss=0.06)
    call.run(5)
    before = call.world.counter("redundant_packets")
    call.world.run(0.4)
    call.alice.send(call.sound)
    assert call.world.counter("redundant_packets") == before


def test_redundancy_ends_when_the_loss_has_ended() -> None:
    call = Call(loss=0.06)
    call.run(5)
    call.loss = 0
    call.run(4)
    assert call.twice(call.run(1))
    call.run(30)
    assert call.twice(call.run(1)) == []


# Playout delay


def delays(packets: Iterable[RtpPacket]) -> list[int]:
    """The least delays in ms, one for each packet, 0 where it carries none."""
    found = []
    for p in packets:
        value = int.from_bytes(p.extensions.get(PLAYOUT_ID, b"\0\x0f\xff"), "big")
        assert value & 0xFFF == 0xFFF
        found.append((value >> 12) * 10)
    return found


def test_a_playout_delay_follows_the_loss_in_small_steps() -> None:
    call = Call(loss=0.08)
    rising = delays(of(call.run(6), call.picture + 50_000))
    assert rising[0] == 0
    assert all(b - a in (0, 10) for a, b in pairwise(rising))
    assert rising[-1] == 80  # soon; clients delay sound only slowly
    wanted = 150  # 40 ms to notice a loss, and 110 ms for a second request
    assert set(delays(of(call.run(30), call.picture + 50_000))) == {80, 90, 100, 110}
    call.run(50)
    assert call.figures()["playoutDelay"] == wanted
    call.loss = 0
    falling = delays(of(call.run(90), call.picture + 50_000))
    assert all(b - a in (0, -10) for a, b in pairwise(falling))
    assert falling[-1] == 0
    call.run(10)
    assert all(PLAYOUT_ID not in p.extensions for p in call.run(1))


def test_retransmissions_carry_the_playout_delay_too() -> None:
    call = Call(loss=0.08)
    call.run(6)
    again = of(call.run(1), call.picture + 60_000)
    assert again
    assert set(delays(again)) == {80}


def test_a_playout_delay_has_a_bound() -> None:
    call = Call(loss=0.5)
    call.alice.send_rtcp(sender_report(call.camera.ssrc, 5 << 32, call.camera.timestamp))
    call.run(3)
    call.last_sr = call.bob.rtcp_of(SenderReport)[-1].ntp >> 16 & 0xFFFFFFFF
    call.run(2)
    assert call.figures()["roundTripTime"] > 1000
    call.run(400)
    assert call.figures()["playoutDelay"] == 400


def test_loss_on_the_publishers_way_counts_too() -> None:
    """Packets that the publisher sends again come late, too."""
    call = Call(lost=15)
    call.run(6)
    assert call.figures()["playoutDelay"] == 60  # 40 ms to notice a loss, two more requests
    assert call.world.counter("redundant_packets") == 0


def test_without_rtx_no_playout_delay_is_written() -> None:
    """The same bytes must be sent again, so they must not change."""
    world = World()
    alice, bob = world.client(), world.client()
    camera = Camera(parts=4)
    consumer = world.consume(
        bob,
        world.produce(alice, video()),
        rtx_ssrc=None,
        rtx_payload_type=None,
        header_extensions={**VIEWED, PLAYOUT_URI: PLAYOUT_ID},
    )
    alice.send(*camera.frame(key=True))
    for second in range(10):
        for _ in range(30):
            world.run(1 / 30, step=1 / 30)
            alice.send(*camera.frame())
        block = ReportBlock(ssrc=consumer + 50_000, cumulative_lost=15 * second)
        bob.send_rtcp(ReceiverReport(1, (block,)))
    assert world.stats()["consumers"][str(consumer)]["playoutDelay"] == 0
    assert all(PLAYOUT_ID not in p.extensions for p in bob.rtp)

"""RTCP in both directions: key frame requests, NACK, reports, transport-cc, REMB; levels and
scores.
"""

import pytest
from support.engine_world import Camera, EngineClient, World, audio, sender_report, simulcast, video
from support.wire.rtcp import (
    Fir,
    Nack,
    Pli,
    ReceiverReport,
    Remb,
    ReportBlock,
    Sdes,
    SenderReport,
)
from support.wire.rtp import RtpPacket, wrap_rtx
from support.wire.transport_cc import TransportFeedback

from meet_trio.engine import (
    AudioLevel,
    ConsumerScore,
    EncodingSpec,
    EngineSettings,
    ProducerScore,
)


def meet(world: World, **changes: object) -> tuple[EngineClient, EngineClient, Camera, int]:
    alice, bob = world.client(), world.client()
    producer = world.produce(alice, video(**changes))
    return alice, bob, Camera(), world.consume(bob, producer)


def send_for(world: World, alice: EngineClient, camera: Camera, seconds: float) -> None:
    for _ in range(round(seconds * 30)):
        world.run(1 / 30)
        alice.send(*camera.frame())


# Key frames


def test_a_key_frame_is_asked_for_until_it_comes() -> None:
    world = World(EngineSettings(keyframe_interval=0.5))
    alice, _, camera, _ = meet(world)
    world.run(3)
    assert alice.rtcp_of(Pli) == []  # there is no stream to ask for yet
    alice.send(*camera.frame())
    world.run(0.01)
    assert [p.media_ssrc for p in alice.rtcp_of(Pli)] == [1000]
    send_for(world, alice, camera, 1.6)
    assert len(alice.rtcp_of(Pli)) == 4
    alice.send(*camera.frame(key=True))
    send_for(world, alice, camera, 2)
    assert len(alice.rtcp_of(Pli)) == 4


def test_requests_of_many_viewers_become_few() -> None:
    world = World()
    alice, bob, camera, consumer = meet(world)
    alice.send(*camera.frame(key=True))
    for _ in range(50):
        world.run(0.01)
        bob.send_rtcp(Pli(1, consumer + 50_000))
        bob.send_rtcp(Fir(1, ((consumer + 50_000, 3),)))
        alice.send(*camera.frame())
    assert 1 <= len(alice.rtcp_of(Pli)) <= 3


def test_fir_where_the_publisher_does_not_know_pli() -> None:
    world = World(EngineSettings(keyframe_interval=0.3))
    alice, _, camera, _ = meet(world, pli=False)
    alice.send(*camera.frame())
    send_for(world, alice, camera, 0.5)
    assert [f.requests for f in alice.rtcp_of(Fir)] == [((1000, 0),), ((1000, 1),)]
    assert alice.rtcp_of(Pli) == []


def test_resuming_asks_and_so_does_python() -> None:
    world = World()
    alice, _, camera, consumer = meet(world)
    alice.send(*camera.frame(key=True))
    world.core.set_consumer_paused(consumer, True)
    send_for(world, alice, camera, 1.2)
    assert alice.rtcp_of(Pli) == []
    world.core.set_consumer_paused(consumer, False)
    world.run(0.01)
    assert len(alice.rtcp_of(Pli)) == 1
    alice.send(*camera.frame(key=True))
    send_for(world, alice, camera, 1.2)
    producer = int(next(iter(world.stats()["producers"])))
    world.core.request_keyframe(producer)
    world.run(0.01)
    assert len(alice.rtcp_of(Pli)) == 2


def test_a_viewer_that_connects_later_gets_its_key_frame() -> None:
    world = World()
    alice, bob = world.client(), world.client(profile=None)
    world.consume(bob, world.produce(alice, video()))
    camera = Camera()
    alice.send(*camera.frame(key=True))
    send_for(world, alice, camera, 1.2)
    assert (bob.rtp, alice.rtcp_of(Pli)) == ([], [])
    bob.set_keys()
    world.run(0.01)
    assert len(alice.rtcp_of(Pli)) == 1
    alice.send(*camera.frame(key=True))
    assert len(bob.rtp) == 2


def test_a_viewer_right_behind_a_key_frame_gets_it_at_once() -> None:
    world = World()
    alice, bob, camera, _ = meet(world)
    producer = int(next(iter(world.stats()["producers"])))
    alice.send(*camera.frame(key=True))
    send_for(world, alice, camera, 0.2)
    cy = world.client()
    paused = world.consume(cy, producer, paused=True)
    assert cy.rtp == []
    world.core.set_consumer_paused(paused, False)
    world.run(0.001)
    # The second viewer gets the first one's packets under its own numbers; the publisher is not
    # asked.
    assert [p.payload[-50:] for p in cy.rtp] == [p.payload[-50:] for p in bob.rtp]
    assert len(cy.rtp) == 14
    numbers = [p.sequence_number for p in cy.rtp]
    assert numbers == list(range(numbers[0], numbers[0] + 14))
    send_for(world, alice, camera, 0.1)
    assert len(cy.rtp) == len(bob.rtp) == 20
    assert alice.rtcp_of(Pli) == []
    # After the pause it has had that key frame already.
    world.core.set_consumer_paused(paused, True)
    world.core.set_consumer_paused(paused, False)
    world.run(0.01)
    assert len(cy.rtp) == 20
    assert len(alice.rtcp_of(Pli)) == 1


@pytest.mark.parametrize("why", ["too long ago", "too much", "a gap", "paused", "no path"])
def test_otherwise_a_key_frame_is_asked_for(why: str) -> None:
    world = World()
    alice, _, camera, _ = meet(world)
    producer = int(next(iter(world.stats()["producers"])))
    alice.send(*camera.frame(key=True))
    match why:
        case "too long ago":
            send_for(world, alice, camera, 1.2)
        case "too much":
            camera.tag = b"x" * 1100
            for _ in range(130):
                alice.send(*camera.frame())
        case "a gap":
            alice.send(camera.frame()[0])
            alice.send(camera.frame()[1])
        case "paused":
            world.core.set_producer_paused(producer, True)
    cy = world.client(profile=None) if why == "no path" else world.client()
    world.consume(cy, producer)
    world.run(0.01)
    assert cy.rtp == []
    if why == "paused":
        world.core.set_producer_paused(producer, False)
        world.run(0.01)
        assert cy.rtp != []
    elif why != "no path":
        assert len(alice.rtcp_of(Pli)) == 1


# NACK to publishers


def lose_one(world: World, alice: EngineClient, camera: Camera) -> RtpPacket:
    alice.send(*camera.frame(key=True))
    lost, other = camera.frame()
    alice.send(other)
    return lost


def test_a_missing_packet_is_asked_for_again_and_then_given_up() -> None:
    world = World(EngineSettings(nack_tries=4))
    alice, _, camera, _ = meet(world)
    lost = lose_one(world, alice, camera)
    world.run(0.009, step=0.001)
    assert alice.rtcp_of(Nack) == []
    world.run(0.006, step=0.001)
    assert [n.lost for n in alice.rtcp_of(Nack)] == [(lost.sequence_number,)]
    world.run(0.040)
    assert len(alice.rtcp_of(Nack)) == 1
    world.run(0.015)
    assert len(alice.rtcp_of(Nack)) == 2
    assert alice.rtcp_of(Pli) == []
    world.run(1)
    assert len(alice.rtcp_of(Nack)) == 4
    assert len(alice.rtcp_of(Pli)) >= 1


def test_three_later_packets_are_enough_to_ask() -> None:
    world = World()
    alice, _, camera, _ = meet(world)
    lost = lose_one(world, alice, camera)
    alice.send(camera.frame()[0])
    world.run(0.001, step=0.001)
    assert alice.rtcp_of(Nack) == []
    camera.sequence = (camera.sequence - 1) & 0xFFFF
    alice.send(camera.frame()[0])
    world.run(0.001, step=0.001)
    assert [n.lost for n in alice.rtcp_of(Nack)] == [(lost.sequence_number,)]


def test_what_comes_late_is_not_asked_for() -> None:
    world = World()
    alice, _, camera, _ = meet(world)
    lost = lose_one(world, alice, camera)
    world.run(0.005)
    alice.send(lost)
    world.run(0.5)
    assert alice.rtcp_of(Nack) == []


def test_a_retransmission_ends_it_and_tells_the_round_trip() -> None:
    world = World()
    alice, _, camera, _ = meet(world)

    def requests_until_answer() -> int:
        lost, other = camera.frame()
        alice.rtcp.clear()
        alice.send(other)
        world.run(0.17)
        asked = len(alice.rtcp_of(Nack))
        alice.send(wrap_rtx(lost, payload_type=97, ssrc=1001, sequence_number=camera.sequence))
        world.run(0.5)
        assert len(alice.rtcp_of(Nack)) == asked
        return asked

    alice.send(*camera.frame(key=True))
    # With a round trip of 150 ms a second request for the same packet is useless, once the round
    # trip is known.
    assert [requests_until_answer() for _ in range(10)] == [4] + 9 * [1]
    stats = next(iter(world.stats()["producers"].values()))["streams"][0]
    assert (stats["packetsRecovered"], stats["packetsMissing"]) == (10, 0)


def test_nobody_is_asked_for_what_nobody_watches() -> None:
    world = World()
    alice, _, camera, consumer = meet(world)
    world.core.set_consumer_paused(consumer, True)
    lose_one(world, alice, camera)
    world.run(0.5)
    assert alice.rtcp_of(Nack) == []


def test_a_long_gap_asks_for_a_key_frame_instead() -> None:
    world = World()
    alice, _, camera, _ = meet(world)
    alice.send(*camera.frame(key=True))
    camera.sequence = (camera.sequence + 800) & 0xFFFF
    alice.send(*camera.frame())
    world.run(0.1)
    assert alice.rtcp_of(Nack) == []
    assert len(alice.rtcp_of(Pli)) == 1


def test_losses_of_a_gap_are_asked_for_together() -> None:
    world = World()
    alice, _, camera, _ = meet(world)
    alice.send(*camera.frame(key=True))
    missing = [p.sequence_number for _ in range(20) for p in camera.frame()]
    alice.send(*camera.frame())
    world.run(0.02)
    (nack,) = alice.rtcp_of(Nack)
    assert list(nack.lost) == missing


# Reports


def test_publishers_get_receiver_reports() -> None:
    world = World()
    alice, _, camera, _ = meet(world)
    alice.send(*camera.frame(key=True))
    ntp = 0x1234_5678_9ABC_DEF0
    alice.send_rtcp(sender_report(1000, ntp, camera.timestamp))
    sent_at = world.now
    for _ in range(60):
        world.run(1 / 30)
        _, last = camera.frame()
        alice.send(last)  # half of the packets are lost for good
    world.run(1.2)
    reports = alice.rtcp_of(ReceiverReport)
    assert 2 <= len(reports) <= 5
    assert reports[1].reports[0].fraction_lost == pytest.approx(128, abs=8)
    (block,) = reports[-1].reports
    assert block.ssrc == 1000
    assert block.cumulative_lost == 60
    assert block.highest_sequence == 0x10000 + camera.sequence - 1
    assert block.last_sr == ntp >> 16 & 0xFFFFFFFF
    assert block.delay_since_last_sr / 65536 <= world.now - sent_at
    assert block.delay_since_last_sr > 65536
    assert any(isinstance(p, Sdes) for p in alice.rtcp)


def test_jitter_is_that_of_the_rfc() -> None:
    world = World()
    alice, _, camera, _ = meet(world)
    for i in range(300):
        world.run(1 / 30 + (0.004 if i % 2 else -0.004), step=1)
        alice.send(*camera.frame(key=i == 0))
    (stream,) = next(iter(world.stats()["producers"].values()))["streams"]
    # 4 ms at a frame's first packet, 0 at its second, smoothed by 1/16
    assert stream["jitter"] == pytest.approx(2, abs=0.3)


def test_viewers_get_the_publishers_clock() -> None:
    world = World()
    alice, bob = world.client(), world.client()
    picture = world.consume(bob, world.produce(alice, video()))
    sound = world.consume(bob, world.produce(alice, audio()), nack=False, rtx_ssrc=None)
    camera = Camera()
    microphone = RtpPacket(
        payload_type=111, sequence_number=1, timestamp=48_000, ssrc=2000, payload=b"opus"
    )
    alice.send(*camera.frame(key=True), microphone)
    shift = {
        p.ssrc: p.timestamp - sent for p, sent in zip(bob.rtp[1:], (1_000_000, 48_000), strict=True)
    }
    ntp = 3_900_000_000 << 32
    alice.send_rtcp(sender_report(1000, ntp, 1_000_000))
    alice.send_rtcp(sender_report(2000, ntp, 48_000))
    world.run(3)
    for consumer, rate, start in ((picture, 90_000, 1_000_000), (sound, 48_000, 48_000)):
        reports = [r for r in bob.rtcp_of(SenderReport) if r.ssrc == consumer + 50_000]
        assert 2 <= len(reports) <= 4
        for report in reports:
            elapsed = (report.ntp - ntp) / 2**32
            assert 0 < elapsed < 3.1
            expected = start + elapsed * rate + shift[consumer + 50_000]
            assert (report.rtp_timestamp - expected) % 2**32 == pytest.approx(0, abs=2) or (
                (expected - report.rtp_timestamp) % 2**32 == pytest.approx(0, abs=2)
            )
    names = {c.ssrc: dict(c.items)[1] for s in bob.rtcp_of(Sdes) for c in s.chunks}
    assert names == {picture + 50_000: b"publisher", sound + 50_000: b"publisher"}


def test_reports_of_viewers_become_figures_and_scores() -> None:
    world = World()
    alice, bob, camera, consumer = meet(world)
    alice.send(*camera.frame(key=True))
    alice.send_rtcp(sender_report(1000, 5 << 32, camera.timestamp))
    world.run(1.6)
    report = bob.rtcp_of(SenderReport)[-1]
    world.run(0.2)
    middle = report.ntp >> 16 & 0xFFFFFFFF
    for fraction in (0, 26, 255):
        block = ReportBlock(
            ssrc=consumer + 50_000,
            fraction_lost=fraction,
            cumulative_lost=7,
            jitter=900,
            last_sr=middle,
            delay_since_last_sr=6554,
        )
        bob.send_rtcp(ReceiverReport(1, (block,)))
    assert [e.score for e in world.take_events(ConsumerScore)] == [0]  # the last score
    figures = world.stats()["consumers"][str(consumer)]
    assert (figures["packetsLost"], figures["jitter"]) == (7, 10)
    assert 50 < figures["roundTripTime"] < 1700
    world.run(1.1)
    block = ReportBlock(ssrc=consumer + 50_000, fraction_lost=26)
    bob.send_rtcp(ReceiverReport(1, (block,)))
    assert world.take_events(ConsumerScore) == [ConsumerScore(consumer, 7)]
    bob.send_rtcp(ReceiverReport(1, (block,)))
    world.run(1.1)
    assert world.take_events(ConsumerScore) == []


def test_scores_are_told_once_a_second_and_the_newest_is_not_lost() -> None:
    world = World()
    alice, bob, camera, consumer = meet(world)
    alice.send(*camera.frame(key=True))
    for i in range(200):  # one second
        fraction = (255, 0)[i % 2] if i < 199 else 26
        bob.send_rtcp(
            ReceiverReport(1, (ReportBlock(ssrc=consumer + 50_000, fraction_lost=fraction),))
        )
        world.run(0.005)
    world.run(0.3)
    assert [e.score for e in world.take_events(ConsumerScore)] == [0, 7]
    # the score returns to its old value within the second, so it is not reported
    for fraction in (255, 26):
        bob.send_rtcp(
            ReceiverReport(1, (ReportBlock(ssrc=consumer + 50_000, fraction_lost=fraction),))
        )
        world.run(0.1)
    world.run(2)
    assert world.take_events(ConsumerScore) == []
    bob.send_rtcp(ReceiverReport(1, (ReportBlock(ssrc=consumer + 50_000, fraction_lost=0),)))
    assert [e.score for e in world.take_events(ConsumerScore)] == [
        10
    ]  # at once, after a quiet time
    bob.send_rtcp(ReceiverReport(1, (ReportBlock(ssrc=consumer + 50_000, fraction_lost=255),)))
    world.core.remove_consumer(consumer)  # within one second of the report
    world.run(2)
    assert world.take_events(ConsumerScore) == []


def test_one_datagram_asks_for_no_more_than_a_consumer_remembers() -> None:
    world = World()
    alice, bob, camera, consumer = meet(world)
    alice.send(*camera.frame(key=True))
    for _ in range(2):
        bob.send_rtcp(*[Nack(1, consumer + 50_000, tuple(range(200))) for _ in range(20)])
    assert world.stats()["consumers"][str(consumer)]["nackCount"] == 2 * 1024


def test_scores_of_streams() -> None:
    world = World()
    alice, _ = world.client(), world.client()
    producer = world.produce(alice, simulcast(2))
    camera = Camera(ssrc=3000, extensions={9: b"v0", 10: b"r0"})
    send_for(world, alice, camera, 2)
    assert world.take_events(ProducerScore)[-1] == ProducerScore(producer, (10, 0))
    world.run(4)
    assert world.take_events(ProducerScore)[-1] == ProducerScore(producer, (0, 0))


# Congestion control


def test_transport_cc_says_what_came_and_when() -> None:
    world = World()
    alice, _, camera, _ = meet(world)
    arrivals: dict[int, float] = {}
    number = 65_400  # the numbers wrap
    for i in range(300):
        world.run(0.01)
        number = (number + 1) & 0xFFFF
        if i % 7 == 3:
            continue  # lost
        camera.parts = 1
        camera.extensions = {3: number.to_bytes(2, "big")}
        alice.send(*camera.frame(key=i == 0))
        arrivals[number] = world.now
    world.run(0.2)
    feedback = alice.rtcp_of(TransportFeedback)
    assert 25 <= len(feedback) <= 35  # every 100 ms
    assert [f.feedback_count for f in feedback] == list(range(len(feedback)))
    told: dict[int, float | None] = {}
    for one in feedback:
        at = one.reference_time * 0.064
        for i, delta in enumerate(one.deltas):
            if delta is not None:
                at += delta * 0.00025
            told[(one.base_sequence + i) & 0xFFFF] = None if delta is None else at
    assert len(told) == 300
    lost = [n for n, at in told.items() if at is None]
    assert len(lost) == 43
    origin = arrivals[number] - (told[number] or 0)
    for n, at in told.items():
        if at is not None:
            assert arrivals[n] - at - origin == pytest.approx(0, abs=0.0006)


def test_transport_cc_of_many_packets_at_once() -> None:
    world = World()
    alice, _, camera, _ = meet(world)
    camera.parts = 1
    for number in range(1700):
        camera.extensions = {3: number.to_bytes(2, "big")}
        alice.send(*camera.frame(key=number == 0))
    world.run(0.2)
    feedback = alice.rtcp_of(TransportFeedback)
    told = [f.base_sequence + i for f in feedback for i, d in enumerate(f.deltas) if d is not None]
    assert told == list(range(1700))


@pytest.mark.parametrize(
    "steps",
    [
        (2047, *range(-2047 - 64, -2047 - 2048, -64)),
        (2048, *range(-64, -2048, -64)),
        (32767, -1, -2, -63, 32767, -64),
        (1, 2, 5000, -3, -2046, -2047, -2048, 2047, -64),
    ],
    ids=str,
)
def test_transport_cc_of_numbers_that_a_client_chose(steps: tuple[int, ...]) -> None:
    """Feedback never reports a packet that did not come, nor a wrong arrival time."""
    world = World()
    alice, _, camera, _ = meet(world)
    camera.parts = 1
    arrivals: dict[int, list[float]] = {}
    newest = 10_000
    for turn in range(4):
        for step in (0, *steps):
            number = (newest + step) & 0xFFFF
            newest = max(newest, newest + step)
            camera.extensions = {3: number.to_bytes(2, "big")}
            alice.send(*camera.frame(key=turn == 0))
            arrivals.setdefault(number, []).append(world.now)
            if step == steps[-1] or turn % 2:
                world.run(0.11)
        newest += 1
    told: dict[int, float] = {}
    feedback = alice.rtcp_of(TransportFeedback)
    for one in feedback:
        at = one.reference_time * 0.064
        for i, delta in enumerate(one.deltas):
            if delta is not None:
                at += delta * 0.00025
                told[(one.base_sequence + i) & 0xFFFF] = at
    assert told
    assert len(feedback) <= 4 * (len(steps) + 1) * 4
    for number, at in told.items():
        assert number in arrivals
        assert min(abs(at - arrival) for arrival in arrivals[number]) < 0.001


def test_no_feedback_without_packets() -> None:
    world = World()
    alice, _, camera, _ = meet(world)
    camera.extensions = {3: b"\0\1"}
    alice.send(*camera.frame(key=True))
    world.run(0.2)
    count = len(alice.rtcp_of(TransportFeedback))
    world.run(2)
    assert len(alice.rtcp_of(TransportFeedback)) == count == 1


def test_remb_says_the_limit_beside_transport_cc() -> None:
    world = World()
    alice, _, camera, _ = meet(world)
    world.core.set_max_incoming_bitrate(alice.number, 1_500_000)
    camera.extensions = {3: b"\0\1"}
    alice.send(*camera.frame(key=True))
    world.run(2)
    limits = alice.rtcp_of(Remb)
    assert [r.bitrate for r in limits] == [pytest.approx(1_500_000, rel=0.01)] * len(limits)
    assert limits[0].ssrcs == (1000,)


def test_remb_alone_yields_to_loss_and_recovers() -> None:
    world = World(EngineSettings(nack_tries=0))
    alice, _, camera, _ = meet(world, transport_cc=False, pli=False, nack=False)
    world.core.set_max_incoming_bitrate(alice.number, 1_000_000)
    camera.tag = b"x" * 1000
    send_for(world, alice, camera, 2)
    assert alice.rtcp_of(Remb)[-1].bitrate == pytest.approx(1_000_000, rel=0.01)
    for _ in range(60):
        world.run(1 / 30)
        alice.send(camera.frame()[1])
    low = alice.rtcp_of(Remb)[-1].bitrate
    assert low < 500_000
    send_for(world, alice, camera, 25)
    assert alice.rtcp_of(Remb)[-1].bitrate > 1.5 * low


def test_no_remb_where_it_was_not_negotiated() -> None:
    world = World()
    alice, _, camera, _ = meet(world, remb=False)
    world.core.set_max_incoming_bitrate(alice.number, 1_000_000)
    send_for(world, alice, camera, 2)
    assert alice.rtcp_of(Remb) == []


# Levels


class Voice:
    """A publisher's microphone that is as loud as ``speak`` says, in -dBov."""

    def __init__(self, world: World, alice: EngineClient) -> None:
        self.world, self.alice = world, alice
        self.number = 0

    def speak(self, level: int, seconds: float) -> None:
        for _ in range(round(seconds * 50)):
            self.world.run(0.02)
            self.number += 1
            self.alice.send(
                RtpPacket(
                    payload_type=111,
                    sequence_number=self.number,
                    timestamp=960 * self.number,
                    ssrc=2000,
                    payload=b"opus",
                    extensions={1: bytes([0x80 | level])},
                )
            )


def test_the_level_is_told_when_it_changes() -> None:
    world = World()
    alice = world.client()
    producer = world.produce(alice, audio())
    world.core.watch_audio_level(producer)
    voice = Voice(world, alice)
    voice.speak(127, 1)
    assert world.take_events(AudioLevel) == []
    voice.speak(30, 1)
    voice.speak(32, 1)
    levels = [e.dbov for e in world.take_events(AudioLevel)]
    assert 1 <= len(levels) <= 2
    assert levels[-1] == pytest.approx(-30, abs=2)
    voice.speak(90, 1)
    assert world.take_events(AudioLevel)[-1] == AudioLevel(producer, -90)
    voice.speak(20, 1)
    world.take_events(AudioLevel)
    world.run(1)
    assert world.take_events(AudioLevel) == [AudioLevel(producer, -127)]


def test_a_level_that_changes_all_the_time_is_told_ten_times_a_second() -> None:
    world = World()
    alice = world.client()
    world.core.watch_audio_level(world.produce(alice, audio()))
    voice = Voice(world, alice)
    for i in range(100):
        voice.speak(20 if i // 6 % 2 else 90, 0.02)
    assert 15 <= len(world.take_events(AudioLevel)) <= 21


def test_a_level_that_nobody_watches_makes_no_event() -> None:
    world = World()
    alice = world.client()
    producer = world.produce(alice, audio())
    voice = Voice(world, alice)
    voice.speak(30, 1)
    voice.speak(90, 1)
    voice.speak(40, 1)
    assert world.take_events(AudioLevel) == []
    assert world.stats()["producers"][str(producer)]["audioLevel"] == -40
    world.core.watch_audio_level(producer)
    voice.speak(40, 0.2)
    assert world.take_events(AudioLevel) == [AudioLevel(producer, -40)]


def test_a_stream_without_announced_encoding_needs_a_mid() -> None:
    world = World()
    alice, bob = world.client(), world.client()
    world.consume(bob, world.produce(alice, video(mid=None, encodings=(EncodingSpec(),))))
    alice.send(*Camera().frame(key=True))
    assert bob.rtp == []
    assert world.counter("dropped_rtp_unknown_stream") == 2

"""A traced transport: its RTP and RTCP of both directions, as they are without SRTP."""

import itertools

import pytest
from support.engine_plain import PlainClient
from support.engine_world import (
    VIEWED_ADAPTED,
    Camera,
    EngineClient,
    World,
    audio,
    sender_report,
    simulcast,
    video,
)
from support.wire.rtcp import (
    Nack,
    Pli,
    ReceiverReport,
    SenderReport,
    build_rtcp,
    parse_rtcp_untrusted,
)
from support.wire.rtp import RtpPacket, build_rtp, parse_rtp_untrusted

from meet_trio.engine import IceMoved, PacketsTraced, TracedPacket

BUFFER = 128 * 1024  # MT_TRACE_BYTES
MOST = 8  # MT_MAX_TRACES


def packet(number: int, ssrc: int, payload: bytes) -> RtpPacket:
    return RtpPacket(
        payload_type=111,
        sequence_number=number,
        timestamp=960 * number,
        ssrc=ssrc,
        payload=payload,
    )


def traced(world: World, transport: int) -> list[TracedPacket]:
    world.run(0.1)
    events = world.take_events(PacketsTraced)
    assert {event.transport for event in events} <= {transport}
    return [each for event in events for each in event]


def meeting() -> tuple[World, EngineClient, EngineClient, int]:
    world = World()
    alice, bob = world.client(), world.client()
    producer = world.produce(alice, video())
    return world, alice, bob, world.consume(bob, producer)


def test_nothing_is_told_before_and_after() -> None:
    world, alice, bob, _ = meeting()
    camera = Camera()
    alice.send(*camera.frame(key=True))
    assert not traced(world, 0)
    world.core.trace_transport(bob.number, True)
    alice.send(*camera.frame())
    assert len(traced(world, bob.number)) == 2
    alice.send(*camera.frame())
    world.core.trace_transport(bob.number, False)
    alice.send(*camera.frame())
    assert not traced(world, 0)


def test_a_publishers_packets_are_those_that_it_protected() -> None:
    world, alice, _, _ = meeting()
    world.core.trace_transport(alice.number, True)
    camera = Camera(extensions={3: b"\0\1"})
    frames = [each for _ in range(3) for each in camera.frame(key=True)]
    report = sender_report(1000, 5 << 32, 1)
    before = world.core.now
    alice.send(*frames)
    alice.send_rtcp(report)
    alice.send_raw(alice.protect(camera.frame()[0])[:-1] + b"?")  # is not authentic
    alice.send(packet(1, 77, b"nobody has this SSRC"))
    found = traced(world, alice.number)
    came = [p for p in found if not p.outgoing]
    assert [p.data for p in came if not p.rtcp] == [
        *map(build_rtp, frames),
        build_rtp(packet(1, 77, b"nobody has this SSRC")),
    ]
    assert [p.data for p in came if p.rtcp] == [build_rtcp([report])]
    assert {p.time for p in came} == {before}
    sent = [p for p in found if p.outgoing]
    assert sent
    assert all(p.rtcp for p in sent)
    assert [x for p in sent for x in parse_rtcp_untrusted(p.data)] == alice.rtcp[-len(sent) :]


def test_a_viewers_packets_are_those_that_it_unprotects() -> None:
    world, alice, bob, consumer = meeting()
    alice.send(*Camera(sequence=1).frame(key=True))
    world.run(0.1)
    bob.rtp.clear()
    bob.rtcp.clear()
    world.core.trace_transport(bob.number, True)
    camera = Camera(sequence=3, picture=101, timestamp=1_003_000)
    for _ in range(10):
        alice.send(*camera.frame())
        world.run(0.03)
    alice.send_rtcp(sender_report(1000, 5 << 32, camera.timestamp))
    ssrc = consumer + 50_000
    asked = [Nack(1, ssrc, (bob.rtp[-2].sequence_number,)), Pli(1, ssrc)]
    bob.send_rtcp(*asked)
    world.run(1.3)
    found = traced(world, bob.number)
    sent = [p for p in found if p.outgoing]
    rtp = [parse_rtp_untrusted(p.data) for p in sent if not p.rtcp]
    assert rtp == bob.rtp
    assert {p.ssrc for p in rtp} == {ssrc, consumer + 60_000}  # RTX is among them
    rtcp = [x for p in sent if p.rtcp for x in parse_rtcp_untrusted(p.data)]
    assert rtcp == bob.rtcp
    assert any(isinstance(x, SenderReport) for x in rtcp)
    assert [p.data for p in found if not p.outgoing] == [build_rtcp(asked)]
    assert [p.time for p in found] == sorted(p.time for p in found)


def test_padding_of_probes_and_copies_for_lossy_viewers_are_in_it() -> None:
    world = World()
    alice, bob = world.client(), world.client()
    producer = world.produce(alice, simulcast(1))
    world.consume(bob, producer, header_extensions=VIEWED_ADAPTED)
    world.core.trace_transport(bob.number, True)
    camera = Camera(ssrc=3000, extensions={9: b"v0", 10: b"r0"}, tag=b"x" * 900)
    for _ in range(30):
        alice.send(*camera.frame(key=True))
        world.run(0.033)
    found = [parse_rtp_untrusted(p.data) for p in traced(world, bob.number) if not p.rtcp]
    assert found == bob.rtp
    counters = world.stats()["engine"]
    assert len(found) == sum(
        counters[name]
        for name in (
            *("rtp_forwarded", "retransmissions", "packets_repeated"),
            *("padding_sent", "redundant_packets"),
        )
    )


def test_plain_rtp() -> None:
    world = World()
    alice = PlainClient.open(world, comedia=True)
    producer = world.produce(alice, audio())
    bob = PlainClient.open(world).connect()
    world.consume(bob, producer, rtx_ssrc=None, rtx_payload_type=None, header_extensions={})
    world.core.trace_transport(bob.number, True)
    for number in range(5):
        alice.send(packet(number, 2000, b"sound"))
    bob.send_rtcp(ReceiverReport(1, ()))
    found = traced(world, bob.number)
    assert [parse_rtp_untrusted(p.data) for p in found if p.outgoing] == bob.rtp
    assert [p.data for p in found if not p.outgoing] == [build_rtcp([ReceiverReport(1, ())])]


def test_what_does_not_leave_is_not_in_it() -> None:
    """A transport that has keys and no path yet."""
    world = World()
    alice, bob = world.client(), world.new_client()
    bob.set_keys()
    producer = world.produce(alice, video())
    world.consume(bob, producer)
    world.core.trace_transport(bob.number, True)
    camera = Camera()
    alice.send(*camera.frame(key=True))
    world.run(0.1)
    assert not traced(world, bob.number)
    world.core.send_dtls(bob.number, b"\x16no media")
    bob.check()
    world.core.send_dtls(bob.number, b"\x16no media")
    found = traced(world, bob.number)
    assert [parse_rtp_untrusted(p.data) for p in found if not p.rtcp] == bob.rtp
    assert bob.dtls


def test_reports_without_a_path_are_not_in_it() -> None:
    """The client has fallen silent. What was not sent does not come with what is sent next."""
    world, alice, _, _ = meeting()
    alice.send(*Camera().frame(key=True))
    world.run(31)
    before = world.counter("dropped_no_path")
    alice.rtcp.clear()
    world.core.trace_transport(alice.number, True)
    world.run(2)
    assert world.counter("dropped_no_path") > before
    alice.check()
    world.core.send_dtls(alice.number, b"\x16no media")
    found = traced(world, alice.number)
    assert [x for p in found for x in parse_rtcp_untrusted(p.data)] == alice.rtcp
    assert alice.dtls


def test_a_reader_that_is_late_loses_packets_and_media_goes_on() -> None:
    world, alice, bob, _ = meeting()
    world.core.trace_transport(bob.number, True)
    camera = Camera(tag=b"x" * 1000)
    world.core.take_events_in = False
    for _ in range(100):
        alice.send(*camera.frame(key=True))
        world.run(0.01)
    assert len(bob.rtp) == 200
    bob.check(address=("10.9.9.9", 9))  # another event
    world.core.take_events_in = True
    world.core.tick()
    world.run(0.1)
    kinds = [type(event) for event in world.events]
    assert kinds.index(IceMoved) < kinds.index(PacketsTraced)  # the others come first
    events = world.take_events(PacketsTraced)
    kept = [each for event in events for each in event]
    assert BUFFER - 2000 < len(events[0].records) <= BUFFER
    rtp = [each for each in kept if not each.rtcp]
    assert [parse_rtp_untrusted(p.data) for p in rtp] == bob.rtp[: len(rtp)]
    assert 0 < events[0].lost == 200 - len(rtp)
    alice.send(*camera.frame())
    world.run(0.1)
    (event,) = world.take_events(PacketsTraced)
    assert event.lost == events[0].lost
    assert len(list(event)) == 2


def test_the_number_of_traces_is_bounded() -> None:
    world, alice, bob, _ = meeting()
    others = [world.client() for _ in range(MOST)]
    for client in others:
        world.core.trace_transport(client.number, True)
        world.core.trace_transport(client.number, True)
    assert world.counter("commands_refused") == 0
    world.core.trace_transport(bob.number, True)
    assert world.counter("commands_refused") == 1
    alice.send(*Camera().frame(key=True))
    assert not traced(world, 0)
    world.core.trace_transport(others[0].number, False)
    world.core.remove_transport(others[1].number)
    world.core.trace_transport(bob.number, True)
    world.core.trace_transport(alice.number, True)
    assert world.counter("commands_refused") == 1
    world.core.trace_transport(4711, True)
    assert world.counter("commands_for_unknown_ids") == 1


@pytest.mark.parametrize("size", [1, 8, 12, 500])
def test_records_are_read_as_they_were_written(size: int) -> None:
    world = World()
    alice = PlainClient.open(world, comedia=True)
    world.produce(alice, audio())
    world.core.trace_transport(alice.number, True)
    sent = [packet(i, 2000, bytes(size + i)) for i in range(5)]
    for each in sent:
        world.run(0.01)
        alice.send(each)
    found = traced(world, alice.number)
    assert [p.data for p in found if not p.rtcp] == [build_rtp(p) for p in sent]
    assert all(b.time - a.time == 10_000 for a, b in itertools.pairwise(found[:5]))

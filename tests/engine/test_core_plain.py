"""Plain RTP transports: the addresses that are heard, the addresses that get media, and streams
without names.
"""

from typing import Any

import attrs
import pytest
from support.engine_plain import LOOPBACK, PlainClient
from support.engine_world import Camera, World, audio, of, sender_report, video
from support.wire.rtcp import (
    Nack,
    Pli,
    ReceiverReport,
    ReportBlock,
    Sdes,
    SenderReport,
    build_rtcp,
)
from support.wire.rtp import RtpPacket, build_rtp

from meet_trio.engine import EncodingSpec, PlainConnected, StreamStarted

NAMELESS: dict[str, Any] = {
    "mid": None,
    "encodings": (EncodingSpec(),),
    "header_extensions": {},
    "rtx_payload_type": None,
    "transport_cc": False,
}
"""A program that knows only RTP has nothing but its payload type."""


def packet(sequence: int, **changes: Any) -> RtpPacket:
    """A packet of a microphone, 20 ms each."""
    fields = {
        "payload_type": 111,
        "sequence_number": sequence & 0xFFFF,
        "timestamp": sequence * 960 & 0xFFFFFFFF,
        "ssrc": 2000,
        "payload": b"sound %d" % sequence,
    }
    return RtpPacket(**{**fields, **changes})


def strangers(world: World) -> tuple[int, int]:
    return world.counter("dropped_plain_not_allowed"), world.counter("dropped_plain_stranger")


def test_both_ways_between_plain_and_webrtc() -> None:
    world = World()
    alice = PlainClient.open(world, comedia=True)
    bob = world.client()
    carol = PlainClient.open(world).connect()
    microphone = world.produce(alice, audio())
    world.consume(bob, microphone)
    to_carol = world.consume(carol, microphone, mid="", header_extensions={}, rtx_ssrc=None)
    camera = world.produce(bob, video())
    camera_to_carol = world.consume(carol, camera)
    for i in range(20):
        alice.send(packet(65_530 + i))
    shots = Camera()
    sent = [p for i in range(5) for p in shots.frame(key=i == 0)]
    bob.send(*sent)
    assert [p.payload for p in bob.rtp] == [b"sound %d" % (65_530 + i) for i in range(20)]
    heard = of(carol.rtp, to_carol + 50_000)
    assert [p.payload for p in heard] == [p.payload for p in bob.rtp]
    assert not heard[0].extensions
    first = heard[0].sequence_number
    assert [p.sequence_number for p in heard] == list(range(first, first + 20))
    assert [p.marker for p in of(carol.rtp, camera_to_carol + 50_000)] == [p.marker for p in sent]
    assert not alice.astray
    assert not carol.astray
    assert strangers(world) == (0, 0)


def test_the_first_packets_tell_where_the_client_is() -> None:
    """RTP and RTCP each tell their own address, in any order."""
    world = World()
    alice = PlainClient.open(world, comedia=True)
    bob = world.client()
    world.consume(bob, world.produce(alice, audio()))
    # The RTCP socket does not tell the address of RTP.
    alice.send_rtcp(sender_report(2000, 1 << 32, 0))
    assert not world.take_events(PlainConnected)
    assert world.stats()["transports"][str(alice.number)]["address"] is None
    alice.send(packet(1))
    assert world.take_events(PlainConnected) == [PlainConnected(alice.number, "127.0.0.1", 7000)]
    figures = world.stats()["transports"][str(alice.number)]
    assert (figures["address"], figures["secure"]) == (["127.0.0.1", 7000], False)
    for address in (("127.0.0.1", 7002), ("127.0.0.2", 7000)):
        alice.send_raw(build_rtp(packet(2, payload=b"forged")), address=address)
    assert strangers(world) == (0, 2)
    assert world.counter("dropped_plain_stranger") == 2
    alice.send_raw(b"\x80\xc8" + bytes(26), rtcp=True, address=("127.0.0.1", 7003))
    assert strangers(world) == (0, 3)
    alice.send(packet(2))
    assert [p.payload for p in bob.rtp] == [b"sound 1", b"sound 2"]
    assert not world.take_events(PlainConnected)


def test_rubbish_tells_nothing() -> None:
    """Only a well-formed packet may be the first one."""
    world = World()
    alice = PlainClient.open(world, comedia=True)
    rubbish = [b"", b"\x80", b"hello", bytes(40), b"\x16\xfe\xfd" + bytes(30), b"\x9f" + bytes(12)]
    for data in rubbish:
        alice.send_raw(data, address=("127.0.0.9", 9))
        alice.send_raw(data, rtcp=True, address=("127.0.0.9", 9))
    broken_report = b"\x80\xc8\xff\xff" + bytes(8)
    alice.send_raw(broken_report, rtcp=True, address=("127.0.0.9", 9))
    # RTP at the RTCP socket and the reverse
    alice.send_raw(build_rtp(packet(1)), rtcp=True, address=("127.0.0.9", 9))
    alice.send_raw(b"\x81\xc9\x00\x07" + bytes(28), address=("127.0.0.9", 9))
    assert world.counter("dropped_unknown_kind") == 2 * len(rubbish) + 3
    assert not world.take_events(PlainConnected)
    alice.send(packet(1))
    assert world.take_events(PlainConnected) == [PlainConnected(alice.number, "127.0.0.1", 7000)]


@pytest.mark.parametrize(
    ("allowed", "inside", "outside"),
    [
        (("10.1.2.3/32",), ["10.1.2.3"], ["10.1.2.2", "10.1.3.3", "127.0.0.1"]),
        (("10.1.0.0/20",), ["10.1.0.0", "10.1.15.255"], ["10.1.16.0", "10.0.255.255", "::1"]),
        (("0.0.0.0/0",), ["1.2.3.4", "255.255.255.255"], ["::1", "2001:db8::1"]),
        (("2001:db8::/33",), ["2001:db8::1"], ["2001:db8:8000::1", "2001:db9::1", "32.1.13.184"]),
        (("::1", "10.0.0.9"), ["::1", "10.0.0.9"], ["::2", "10.0.0.8", "::ffff:10.0.0.9"]),
        ((), [], ["127.0.0.1"]),
        (tuple(f"10.0.0.{i}" for i in range(16)), ["10.0.0.15"], ["10.0.0.16"]),
    ],
)
def test_networks(allowed: tuple[str, ...], inside: list[str], outside: list[str]) -> None:
    """Addresses outside the networks are neither heard nor sent to."""
    for ip in inside + outside:
        world = World()
        alice = PlainClient.open(world, comedia=True, allowed=allowed)
        alice.send_raw(build_rtp(packet(1)), address=(ip, 5))
        assert bool(world.take_events(PlainConnected)) == (ip in inside)
        assert strangers(world) == (int(ip in outside), 0)
        bob = PlainClient.open(world, allowed=allowed)
        bob.ip = ip
        bob.connect()
        assert world.counter("commands_refused") == int(ip in outside)
        assert bool(world.take_events(PlainConnected)) == (ip in inside)


def test_too_many_networks_are_refused() -> None:
    world = World()
    with pytest.raises(ValueError, match="17 networks"):
        PlainClient.open(world, allowed=tuple(f"10.0.0.{i}" for i in range(17)))
    with pytest.raises(ValueError, match="host bits"):
        PlainClient.open(world, allowed=("10.0.0.1/8",))
    assert world.stats()["transports"] == {}


def test_a_connected_transport_listens_to_its_client_alone() -> None:
    world = World()
    carol = PlainClient.open(world)
    alice = world.client()
    consumer = world.consume(carol, world.produce(alice, audio(mid=None)))
    carol.send(packet(1))  # without connect and comedia no address is heard
    assert strangers(world) == (0, 1)
    alice.send(packet(1, extensions={9: b"a0"}))
    assert carol.rtp == []
    carol.connect()
    alice.send(packet(2, extensions={9: b"a0"}))
    assert len(carol.rtp) == 1
    report = ReceiverReport(1, (ReportBlock(ssrc=consumer + 50_000, fraction_lost=64),))
    carol.send_rtcp(report)
    assert world.stats()["consumers"][str(consumer)]["fractionLost"] == 0.25
    other = ReceiverReport(1, (ReportBlock(ssrc=consumer + 50_000, fraction_lost=128),))
    carol.rtcp_port += 2
    carol.send_rtcp(other)
    assert world.stats()["consumers"][str(consumer)]["fractionLost"] == 0.25
    carol.rtcp_port -= 2
    assert strangers(world) == (0, 2)
    # The transport cannot be connected to another address.
    carol.world.core.connect_plain_transport(carol.number, "127.0.0.1", 99, 98)
    alice.send(packet(3, extensions={9: b"a0"}))
    assert len(carol.rtp) == 2
    assert not carol.astray


def test_a_comedia_transport_may_be_pointed_too_and_packets_say_it_better() -> None:
    world = World()
    alice = PlainClient.open(world, comedia=True)
    bob = world.client()
    world.consume(alice, world.produce(bob, audio()))
    alice.connect()
    assert [e.port for e in world.take_events(PlainConnected)] == [7000]
    bob.send(packet(1))
    assert len(alice.rtp) == 1
    alice.port = 7500
    alice.send(packet(1, ssrc=77))
    bob.send(packet(2))
    assert len(alice.rtp) == 2
    assert not alice.astray
    assert [e.port for e in world.take_events(PlainConnected)] == [7500]


def test_reports_go_by_the_other_socket() -> None:
    world = World()
    alice = PlainClient.open(world, comedia=True)
    carol = PlainClient.open(world).connect()
    producer = world.produce(alice, video(**NAMELESS))
    consumer = world.consume(carol, producer)
    camera = Camera(sequence=10)
    alice.send(*camera.frame(key=True))
    world.run(3)
    assert alice.rtcp == []  # its RTCP address is not known yet
    alice.send_rtcp(sender_report(1000, 0x1234_5678_0000_0000, 1_000_000))
    alice.send(*camera.frame())
    world.run(1.5)
    (block,) = alice.rtcp_of(ReceiverReport)[-1].reports
    assert (block.ssrc, block.last_sr) == (1000, 0x5678_0000)
    report = carol.rtcp_of(SenderReport)[-1]
    assert (report.ssrc, report.packets) == (consumer + 50_000, 4)
    assert carol.rtcp_of(Sdes)
    assert not alice.astray
    assert not carol.astray


def test_losses_and_key_frames_are_asked_for() -> None:
    """Requests need negotiated feedback. A viewer's NACK brings the same packet again."""
    world = World()
    alice = PlainClient.open(world, comedia=True)
    carol = PlainClient.open(world).connect()
    producer = world.produce(alice, video(**NAMELESS))
    alice.send_rtcp(sender_report(1000, 1 << 32, 0))
    camera = Camera(sequence=10)
    alice.send(*camera.frame(key=True))
    world.run(1.2)
    world.consume(carol, producer, rtx_ssrc=None, rtx_payload_type=None)
    world.run(0.01)
    assert alice.rtcp_of(Pli)[0].media_ssrc == 1000
    alice.send(*camera.frame(key=True))
    first, lost, last = (camera.frame() for _ in range(3))
    alice.send(*first, *last)
    world.run(0.1)
    assert alice.rtcp_of(Nack)[0].lost == tuple(p.sequence_number for p in lost)
    alice.send(*lost)
    assert len(carol.rtp) == 8
    got = carol.rtp[3]
    carol.send_rtcp(Nack(1, got.ssrc, (got.sequence_number,)))
    assert carol.rtp[8] == got


def test_who_is_connected_gets_a_key_frame_soon() -> None:
    world = World()
    alice = world.client()
    carol = PlainClient.open(world)
    world.consume(carol, world.produce(alice, video()))
    alice.send(*Camera().frame(key=True))
    world.run(1.2)
    before = len(alice.rtcp_of(Pli))
    carol.connect()
    world.run(0.01)
    assert len(alice.rtcp_of(Pli)) == before + 1


def test_media_by_the_rtcp_socket_is_no_media() -> None:
    world = World()
    alice = PlainClient.open(world, comedia=True)
    bob = world.client()
    world.consume(bob, world.produce(alice, audio()))
    alice.send(packet(1))
    alice.send_rtcp(sender_report(2000, 1 << 32, 0))
    alice.send_raw(build_rtp(packet(2)), rtcp=True)
    assert len(bob.rtp) == 1
    assert world.counter("dropped_unknown_kind") == 1


def test_ports_are_checked() -> None:
    world = World()
    alice = PlainClient.open(world)
    for ports in ((0, 1), (65536, 1), (1, 0), (1, 65536)):
        with pytest.raises(ValueError, match="is no port"):
            world.core.connect_plain_transport(alice.number, "127.0.0.1", *ports)


def test_multiplexed_rtcp_is_taken() -> None:
    world = World()
    carol = PlainClient.open(world).connect()
    alice = world.client()
    consumer = world.consume(carol, world.produce(alice, audio()))
    report = ReceiverReport(1, (ReportBlock(ssrc=consumer + 50_000, fraction_lost=64),))
    carol.send_raw(build_rtcp([report]))
    assert world.stats()["consumers"][str(consumer)]["fractionLost"] == 0.25


def test_one_port_for_rtp_and_rtcp() -> None:
    """The client multiplexes (RFC 5761). The server still has two sockets, and the client may send
    to either.
    """
    world = World()
    carol = PlainClient.open(world)
    carol.rtcp_port = carol.port
    alice = world.client()
    consumer = world.consume(carol, world.produce(alice, audio(mid=None)))
    carol.connect()
    alice.send(packet(1, extensions={9: b"a0"}))
    alice.send_rtcp(sender_report(2000, 1 << 40, 0))
    world.run(2)
    alice.send(packet(2, extensions={9: b"a0"}))
    world.run(2)
    assert len(carol.rtp) == 2
    assert carol.rtcp_of(SenderReport)[-1].ssrc == consumer + 50_000
    assert not carol.astray
    for lost, by_rtcp in ((64, True), (128, False)):
        block = ReportBlock(ssrc=consumer + 50_000, fraction_lost=lost)
        carol.send_raw(build_rtcp([ReceiverReport(1, (block,))]), rtcp=by_rtcp)
        assert world.stats()["consumers"][str(consumer)]["fractionLost"] == lost / 256
    assert strangers(world) == (0, 0)


def test_a_sender_that_multiplexes_is_told_where_it_was_pointed() -> None:
    """The address must be given: packets alone do not show that the sender takes RTCP at its RTP
    port.
    """
    world = World()
    alice = PlainClient.open(world, comedia=True)
    alice.rtcp_port = alice.port
    world.consume(PlainClient.open(world).connect(), world.produce(alice, video(**NAMELESS)))
    camera = Camera(sequence=10)
    alice.send(*camera.frame(key=True))
    alice.send_raw(build_rtcp([sender_report(1000, 1 << 40, 0)]))
    world.run(2)
    assert alice.rtcp == []
    alice.connect()
    alice.send(*camera.frame())
    world.run(2)
    assert alice.rtcp_of(ReceiverReport)[-1].reports[0].ssrc == 1000
    assert not alice.astray


# Streams without names


def test_found_by_payload_type() -> None:
    world = World()
    alice = PlainClient.open(world, comedia=True)
    bob = world.client()
    sound = world.produce(alice, audio(**NAMELESS))
    picture = world.produce(alice, video(**NAMELESS))
    hears, sees = world.consume(bob, sound), world.consume(bob, picture)
    alice.send(packet(1, ssrc=1), packet(2, ssrc=1), packet(3, payload_type=50, ssrc=3))
    alice.send(*Camera(ssrc=2, sequence=5).frame(key=True))
    assert len(of(bob.rtp, hears + 50_000)) == 2
    assert len(of(bob.rtp, sees + 50_000)) == 2
    started = {e.producer: e.ssrc for e in world.take_events(StreamStarted)}
    assert started == {sound: 1, picture: 2}
    assert world.counter("dropped_rtp_unknown_stream") == 1


@pytest.mark.parametrize(
    "others",
    [
        [audio(**NAMELESS), audio(**NAMELESS)],  # ambiguous
        [audio(**{**NAMELESS, "encodings": (EncodingSpec(ssrc=5),)})],  # another SSRC is announced
        [audio(**{**NAMELESS, "encodings": (EncodingSpec(rid="a"),)})],
        [audio(**{**NAMELESS, "encodings": (EncodingSpec(), EncodingSpec())})],
        [audio(**{**NAMELESS, "payload_type": 96})],
    ],
)
def test_not_found_by_payload_type(others: list[Any]) -> None:
    world = World()
    alice = PlainClient.open(world, comedia=True)
    for spec in others:
        world.produce(alice, spec)
    alice.send(packet(1))
    assert not world.take_events(StreamStarted)
    assert world.counter("dropped_rtp_unknown_stream") == 1


def test_payload_type_is_no_name_for_what_has_another() -> None:
    """Another producer's MID excludes this producer; a missing MID excludes nothing."""
    world = World()
    alice = PlainClient.open(world, comedia=True)
    world.produce(alice, audio(encodings=(EncodingSpec(),)))
    alice.send(packet(1, extensions={9: b"b0"}))
    assert not world.take_events(StreamStarted)
    alice.send(packet(2))
    assert len(world.take_events(StreamStarted)) == 1


def test_payload_type_is_no_name_with_webrtc() -> None:
    world = World()
    alice = world.client()
    world.produce(alice, audio(**NAMELESS))
    alice.send(packet(1))
    assert not world.take_events(StreamStarted)


def test_another_ssrc_takes_over_when_the_one_before_is_silent() -> None:
    """This is a restarted sender. Two senders at once would take the stream from each other."""
    world = World()
    alice = PlainClient.open(world, comedia=True)
    bob = world.client()
    world.consume(bob, world.produce(alice, audio(**NAMELESS)))
    alice.send(packet(1, ssrc=1), packet(2, ssrc=2), packet(2, ssrc=1), packet(9, ssrc=2))
    assert [p.payload for p in bob.rtp] == [b"sound 1", b"sound 2"]
    world.run(2)
    alice.send(packet(50_000, ssrc=2), packet(50_001, ssrc=2))
    assert [p.payload for p in bob.rtp[2:]] == [b"sound 50000", b"sound 50001"]
    numbers = [p.sequence_number for p in bob.rtp]
    assert numbers == list(range(numbers[0], numbers[0] + 4))


@pytest.mark.parametrize("anew", [100, 40_000, 29_000 - 1024, 30_002 + 3000, 63_000])
def test_a_sender_that_begins_anew_with_its_old_ssrc(anew: int) -> None:
    """The new numbers are behind the old ones or ahead: two packets in a row show it, and viewers
    see no gap.
    """
    world = World()
    alice = PlainClient.open(world, comedia=True)
    bob = world.client()
    world.consume(bob, world.produce(alice, audio()))
    for i in range(3):
        alice.send(packet(30_000 + i))
    for i in range(5):
        alice.send(packet(anew + i))
    assert [p.payload for p in bob.rtp[3:]] == [b"sound %d" % (anew + 1 + i) for i in range(4)]
    numbers = [p.sequence_number for p in bob.rtp]
    assert numbers == list(range(numbers[0], numbers[0] + 7))
    stamps = [p.timestamp - bob.rtp[0].timestamp & 0xFFFFFFFF for p in bob.rtp]
    assert stamps == sorted(stamps)
    assert world.counter("dropped_rtp_astray") == 1


@pytest.mark.parametrize("anew", [100, 29_990, 30_002, 40_000])
def test_after_a_silence_the_first_packet_is_a_beginning(anew: int) -> None:
    world = World()
    alice = PlainClient.open(world, comedia=True)
    bob = world.client()
    world.consume(bob, world.produce(alice, audio()))
    for i in range(3):
        alice.send(packet(30_000 + i))
    world.run(2, step=0.1)
    for i in range(3):
        alice.send(packet(anew + i))
    assert [p.payload for p in bob.rtp[3:]] == [b"sound %d" % (anew + i) for i in range(3)]
    numbers = [p.sequence_number for p in bob.rtp]
    assert numbers == list(range(numbers[0], numbers[0] + 6))


def test_what_is_no_beginning() -> None:
    world = World()
    alice = PlainClient.open(world, comedia=True)
    bob = world.client()
    world.consume(bob, world.produce(alice, audio()))
    alice.send(packet(30_000))
    # packets that are very late
    alice.send(packet(20_000), packet(30_001), packet(20_001), packet(30_002))
    alice.send(packet(200), packet(190), packet(210))  # late packets that do not follow each other
    assert len(bob.rtp) == 3
    assert world.counter("dropped_rtp_astray") == 5
    # The network duplicates packets, singly and in pairs.
    for i in range(2000):
        alice.send(packet(30_003 + i), packet(30_003 + i))
    for _ in range(2):
        alice.send(packet(32_000), packet(32_001))
    assert len(bob.rtp) == 3 + 2000
    # a loss
    alice.send(packet(32_002 + 2999), packet(32_002 + 3000))
    gap = bob.rtp[-2].sequence_number - bob.rtp[-3].sequence_number
    assert gap == 2999
    # After a silence the stream goes on.
    world.run(2, step=0.1)
    alice.send(packet(32_002 + 3010))
    assert bob.rtp[-1].sequence_number == bob.rtp[-2].sequence_number + 10


def test_with_srtp_nothing_begins_anew() -> None:
    """Old packets sent again stay old, even two in a row."""
    world = World()
    alice, bob = world.client(), world.client()
    world.consume(bob, world.produce(alice, audio()))
    old = [alice.protect(packet(i)) for i in range(3)]
    for data in old:
        alice.send_raw(data)
    for i in range(3, 1500):
        alice.send(packet(i))
    for data in old:
        alice.send_raw(data)
    assert len(bob.rtp) == 1500
    assert world.counter("dropped_rtp_replayed") == 3


def test_a_sender_may_begin_anew_as_often_as_it_likes() -> None:
    """Each restart has another SSRC, as programs do it; nothing is kept of the earlier ones."""
    world = World()
    alice = PlainClient.open(world, comedia=True)
    bob = world.client()
    world.consume(bob, world.produce(alice, audio(**NAMELESS)))
    for i in range(600):
        alice.send(packet(i, ssrc=10_000 + i))
        world.run(1.6, step=0.2)
        bob.check()
    assert [p.payload for p in bob.rtp] == [b"sound %d" % i for i in range(600)]
    assert world.counter("dropped_rtp_too_many_sources") == 0
    # Running streams are not forgotten.
    running = range(1, 101)
    for ssrc in running:
        world.produce(alice, audio(mid=None, encodings=(EncodingSpec(ssrc=ssrc),)))
        alice.send(packet(1, ssrc=ssrc))
    for i in range(600):
        alice.send(packet(1, ssrc=20_000 + i, payload_type=50))
    for ssrc in running:
        alice.send(packet(1, ssrc=ssrc))
    assert world.counter("dropped_rtp_replayed") == len(running)


# Life


def test_commands_of_the_other_kind_are_refused() -> None:
    world = World()
    alice, bob = world.client(), PlainClient.open(world, comedia=True)
    bob.connect()
    world.core.connect_plain_transport(alice.number, "127.0.0.1", 1, 2)
    world.core.restart_ice(bob.number, "ufrag", "password")
    world.core.set_srtp(bob.number, 0x0007, bytes(28), bytes(28))
    world.core.send_dtls(bob.number, b"\x16hello")
    world.core.add_plain_transport(alice.number, -1, -1, LOOPBACK, True)
    assert world.counter("commands_refused") == 5
    world.deliver()
    assert bob.rtp == []
    assert bob.astray == []
    # No STUN check reaches it.
    alice.check(ufrag="ufrag", password="password", address=("10.9.9.9", 1))
    assert world.counter("dropped_stun_unknown_ufrag") == 1


def test_removed_with_all_that_is_on_it() -> None:
    world = World()
    alice = PlainClient.open(world, comedia=True)
    bob = world.client()
    producer = world.produce(alice, audio())
    world.consume(bob, producer)
    world.consume(alice, world.produce(bob, audio()))
    alice.send(packet(1))
    world.core.remove_transport(alice.number)
    stats = world.stats()
    assert list(stats["transports"]) == [str(bob.number)]
    assert len(stats["producers"]) == len(stats["consumers"]) == 1
    alice.send(packet(2))
    assert world.counter("dropped_unknown_address") == 1
    world.core.connect_plain_transport(alice.number, "127.0.0.1", 1, 2)
    assert world.counter("commands_for_unknown_ids") == 1


def test_silence_ends_nothing_and_costs_nothing() -> None:
    world = World()
    alice = PlainClient.open(world, comedia=True)
    bob = world.client(None)
    world.core.remove_transport(bob.number)
    alice.connect()
    world.run(120, step=0.5)
    assert list(world.stats()["transports"]) == [str(alice.number)]
    assert (alice.rtp, alice.rtcp, alice.astray) == ([], [], [])
    assert [type(e) for e in world.events] == [PlainConnected]


def test_what_is_too_large_for_the_history_moves_nothing() -> None:
    """If numbers went on without the history, starting a viewer would have to visit them all."""
    world = World()
    alice, bob = PlainClient.open(world, comedia=True), world.client()
    world.consume(bob, world.produce(alice, video()))
    camera = Camera()
    alice.send(*camera.frame(key=True))
    alice.send_rtcp(ReceiverReport(1, ()))
    world.run(0.1)
    alice.rtcp.clear()
    for ahead in (200, 2900):
        number = (camera.sequence + ahead) & 0xFFFF
        alice.send(attrs.evolve(camera.frame()[0], payload=bytes(1600), sequence_number=number))
        world.run(0.1)
    assert world.counter("dropped_rtp_too_large") == 2
    assert alice.rtcp_of(Nack) == []
    assert alice.rtcp_of(Pli) == []
    assert len(bob.rtp) == 2

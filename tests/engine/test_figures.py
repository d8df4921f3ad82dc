"""The figures as Python gets them: every key of every record, in order and in its unit, and None
for what is not known. Users of the API read them, so a change here belongs in the changelog.
"""

import ctypes
import gc
import json
import re
import sys
from bisect import bisect_left
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest
from support.engine_pair import Pair
from support.engine_plain import PlainClient
from support.engine_world import Camera, EngineClient, World, audio, sender_report, simulcast, video
from support.wire.rtcp import (
    Nack,
    OtherRtcp,
    Pli,
    ReceiverReport,
    Remb,
    ReportBlock,
    SenderReport,
)
from support.wire.rtp import RtpPacket, wrap_rtx
from support.wire.stun import binding_request, build_stun

from meet_trio.engine import EncodingSpec, Summary

SILENT_TRANSPORT: dict[str, Any] = {
    "protocol": "udp",
    "address": None,
    "secure": False,
    "packetsReceived": 0,
    "bytesReceived": 0,
    "packetsSent": 0,
    "bytesSent": 0,
    "recvBitrate": 0,
    "sendBitrate": 0,
    "maxIncomingBitrate": 0,
    "maxOutgoingBitrate": 0,
    "remb": 0,
    "roundTripTime": 0.0,
    "availableOutgoingBitrate": 0,
    "estimateCause": None,
    "estimateCauseAge": None,
    "lastProbe": None,
    "lastProbeBitrate": 0,
    "lastProbeAge": None,
    "wantedBitrate": 0,
    "allocatedBitrate": 0,
    "outgoingLoss": 0.0,
    "queueDelay": 0.0,
    "reordering": 0.0,
    "pacerBytes": 0,
    "transportCcSent": 0,
    "transportCcReceived": 0,
}
SILENT_STREAM: dict[str, Any] = {
    "ssrc": None,
    "rtxSsrc": None,
    "rid": None,
    "active": False,
    "packetCount": 0,
    "byteCount": 0,
    "bitrate": 0,
    "packetsLost": 0,
    "packetsRecovered": 0,
    "packetsDuplicated": 0,
    "packetsMissing": 0,
    "jitter": 0.0,
    "nackCount": 0,
    "pliCount": 0,
    "keyFrameCount": 0,
    "width": 0,
    "height": 0,
    "spatialLayers": 0,
    "temporalLayers": 0,
    "score": 0,
}
SILENT_CONSUMER: dict[str, Any] = {
    "transport": 0,
    "producer": 0,
    "ssrc": 0,
    "paused": False,
    "spatialLayer": None,
    "temporalLayer": None,
    "targetLayer": None,
    "allowedLayer": 3,
    "allowedTemporalLayer": 3,
    "allowedAge": None,
    "layerAge": None,
    "nextLayer": None,
    "nextTemporalLayer": 0,
    "nextLayerBitrate": 0,
    "nextLayerNeeds": 0,
    "nextLayerWait": 0.0,
    "preferredLayer": 3,
    "preferredTemporalLayer": 3,
    "priority": 1,
    "packetCount": 0,
    "byteCount": 0,
    "bitrate": 0,
    "packetsRetransmitted": 0,
    "packetsRedundant": 0,
    "redundancy": 0.0,
    "packetsLost": 0,
    "fractionLost": 0.0,
    "jitter": 0.0,
    "roundTripTime": 0.0,
    "playoutDelay": 0.0,
    "nackCount": 0,
    "pliCount": 0,
    "layerSwitches": 0,
    "freezeCount": 0,
    "freezeDuration": 0,
    "score": 10,
}
GAUGES = [
    "packet_buffers",
    "packet_buffers_used",
    "tcp_connections",
    "tcp_strangers",
    "longest_turn_us",
    "longest_recent_turn_us",
    "transports",
    "producers",
    "mirrors",
    "consumers",
]


def assert_told(figures: object, expected: object) -> None:
    """As JSON: a key's place counts, and so does whether a number is an int, a float or a bool."""
    if isinstance(figures, Mapping):
        figures = dict(figures)
    assert json.dumps(figures, indent=1) == json.dumps(expected, indent=1)


@attrs.define(eq=False)
class Meeting:
    """Alice publishes, Bob watches on her engine, Carol on another. Some of Alice's packets are
    lost and repaired by RTX; two of them come once more. Bob reports loss and sends NACKs.

    The worlds own the clock and the seed, so the numbers are the same in each run.
    """

    pair: Pair = attrs.field(factory=Pair)
    alice: EngineClient = attrs.field(init=False)
    bob: EngineClient = attrs.field(init=False)
    carol: EngineClient = attrs.field(init=False)
    picture: int = attrs.field(init=False)
    sound: int = attrs.field(init=False)
    viewed: int = attrs.field(init=False)
    viewed_there: int = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        pair, world = self.pair, self.pair.a
        self.alice, self.bob, self.carol = world.client(), world.client(), pair.b.client()
        encoding = EncodingSpec(ssrc=1000, rtx_ssrc=1001, rid="high")
        self.picture = pair.produce(self.alice, video(encodings=(encoding,)))
        self.sound = pair.produce(self.alice, audio())
        self.viewed = pair.consume(self.bob, self.picture)
        self.viewed_there = pair.consume(self.carol, self.picture)
        world.core.set_preferred_layers(self.viewed, 2, 1)
        world.core.set_consumer_priority(self.viewed, 200)
        world.core.set_max_outgoing_bitrate(self.bob.number, 5_000_000)
        world.core.set_max_incoming_bitrate(self.alice.number, 1_500_000)
        self.publish()
        self.report()

    def publish(self) -> None:
        camera = Camera(tag=b"x" * 500, extensions={3: b"\0\1"})
        for _ in range(2):
            self.pair.send_frames(self.alice, [camera], 45, key=True)
        late = []
        for _ in range(3):
            first, last = camera.frame()
            late.append(first)
            self.alice.send(last)
        self.pair.run(0.1)
        for packet in late:
            number = camera.sequence - packet.sequence_number
            rtx = wrap_rtx(packet, payload_type=97, ssrc=1001, sequence_number=number)
            self.alice.send(rtx)
        self.pair.send(self.alice, *late[:2])
        self.pair.send(self.alice, camera.frame()[1])
        for number in range(10):
            voice = RtpPacket(
                payload_type=111,
                sequence_number=number,
                timestamp=960 * number,
                ssrc=2000,
                payload=b"a" * 80,
                extensions={1: b"\x1e"},
            )
            self.pair.send(self.alice, voice)
            self.pair.run(0.02)
        self.alice.send_rtcp(sender_report(1000, 5 << 32, camera.timestamp))
        self.pair.run(0.5)

    def report(self) -> None:
        report = self.bob.rtcp_of(SenderReport)[-1]
        ssrc = self.viewed + 50_000
        block = ReportBlock(
            ssrc=ssrc,
            fraction_lost=26,
            cumulative_lost=7,
            jitter=900,
            last_sr=report.ntp >> 16 & 0xFFFFFFFF,
            delay_since_last_sr=6554,
        )
        lost = tuple(p.sequence_number for p in self.bob.rtp[-5:-2])
        self.bob.send_rtcp(
            ReceiverReport(1, (block,)),
            Nack(1, ssrc, lost),
            Pli(1, ssrc),
            Remb(1, 900_000, (ssrc,)),
            OtherRtcp(205, 15, bytes(16)),
        )
        self.pair.run(0.02)


@pytest.fixture(scope="module")
def meeting() -> Meeting:
    return Meeting()


def test_transports(meeting: Meeting) -> None:
    transports = meeting.pair.a.stats()["transports"]
    assert list(transports) == [str(meeting.alice.number), str(meeting.bob.number)]
    publisher = SILENT_TRANSPORT | {
        "address": ["10.0.0.1", 5001],
        "secure": True,
        "packetsReceived": 200,
        "bytesReceived": 105085,
        "packetsSent": 45,
        "bytesSent": 2060,
        "recvBitrate": 256929,
        "sendBitrate": 5472,
        "maxIncomingBitrate": 1500000,
        "transportCcSent": 30,
    }
    viewer = SILENT_TRANSPORT | {
        "address": ["10.0.0.2", 5002],
        "secure": True,
        "packetsReceived": 1,
        "bytesReceived": 128,
        "packetsSent": 191,
        "bytesSent": 105253,
        "sendBitrate": 169238,
        "maxOutgoingBitrate": 5000000,
        "remb": 900000,
        "roundTripTime": 164.994,
        "availableOutgoingBitrate": 900000,
        "estimateCause": "remb",
        "estimateCauseAge": 0.015,
        "wantedBitrate": 117888,
        "allocatedBitrate": 117888,
        "transportCcReceived": 1,
    }
    assert_told(list(transports.values()), [publisher, viewer])


def test_producers(meeting: Meeting) -> None:
    picture = SILENT_STREAM | {
        "ssrc": 1000,
        "rtxSsrc": 1001,
        "rid": "high",
        "active": True,
        "packetCount": 189,
        "byteCount": 97067,
        "bitrate": 234189,
        "packetsLost": 2,
        "packetsRecovered": 3,
        "packetsDuplicated": 2,
        "packetsMissing": 1,
        "jitter": 20.109,
        "nackCount": 13,
        "pliCount": 1,
        "keyFrameCount": 2,
        "width": 640,
        "height": 360,
        "spatialLayers": 1,
        "temporalLayers": 1,
        "score": 9,
    }
    sound = SILENT_STREAM | {
        "ssrc": 2000,
        "active": True,
        "packetCount": 10,
        "byteCount": 800,
        "bitrate": 4328,
        "spatialLayers": 1,
        "temporalLayers": 1,
        "score": 10,
    }
    transport = meeting.alice.number
    assert_told(
        meeting.pair.a.stats()["producers"],
        {
            str(meeting.picture): {
                "transport": transport,
                "paused": False,
                "audioLevel": None,
                "streams": [picture],
            },
            str(meeting.sound): {
                "transport": transport,
                "paused": False,
                "audioLevel": -30,
                "streams": [sound],
            },
        },
    )


def test_mirrors(meeting: Meeting) -> None:
    picture = SILENT_STREAM | {
        "ssrc": 1000,
        "rid": "high",
        "active": True,
        "packetCount": 187,
        "byteCount": 96037,
        "bitrate": 249240,
        "pliCount": 1,
        "keyFrameCount": 2,
        "width": 640,
        "height": 360,
        "spatialLayers": 1,
        "temporalLayers": 1,
    }
    sound = SILENT_STREAM | {"ssrc": 2000}
    assert_told(
        meeting.pair.b.stats()["mirrors"],
        {
            str(meeting.picture): {"paused": False, "streams": [picture]},
            str(meeting.sound): {"paused": False, "streams": [sound]},
        },
    )


def test_consumers(meeting: Meeting) -> None:
    here = SILENT_CONSUMER | {
        "transport": meeting.bob.number,
        "producer": meeting.picture,
        "ssrc": meeting.viewed + 50_000,
        "spatialLayer": 0,
        "temporalLayer": 0,
        "targetLayer": 0,
        "allowedLayer": 0,
        "allowedTemporalLayer": 0,
        "allowedAge": 0.015,
        "preferredLayer": 2,
        "preferredTemporalLayer": 1,
        "priority": 200,
        "packetCount": 187,
        "byteCount": 96037,
        "bitrate": 157007,
        "packetsRetransmitted": 3,
        "packetsLost": 7,
        "fractionLost": 0.1015625,
        "jitter": 10.0,
        "roundTripTime": 164.994,
        "nackCount": 3,
        "pliCount": 1,
        "score": 7,
    }
    there = SILENT_CONSUMER | {
        "transport": meeting.carol.number,
        "producer": meeting.picture,
        "ssrc": meeting.viewed_there + 50_000,
        "spatialLayer": 0,
        "temporalLayer": 0,
        "targetLayer": 0,
        "packetCount": 187,
        "byteCount": 96037,
        "bitrate": 226227,
    }
    assert_told(meeting.pair.a.stats()["consumers"], {str(meeting.viewed): here})
    assert_told(meeting.pair.b.stats()["consumers"], {str(meeting.viewed_there): there})


def test_the_engine(meeting: Meeting) -> None:
    """Counters, then gauges."""
    figures = meeting.pair.a.stats()["engine"]
    assert list(figures)[:4] == ["datagrams_in", "bytes_in", "datagrams_out", "bytes_out"]
    assert_told(
        {name: figures[name] for name in list(figures)[-len(GAUGES) :]},
        dict(zip(GAUGES, (320, 153, 0, 0, 0, 0, 2, 2, 0, 1), strict=True)),
    )


def test_what_is_not_known_is_none_or_0() -> None:
    world = World()
    client = world.new_client()
    producer = world.produce(client, simulcast(2))
    consumer = world.consume(client, producer, paused=True)
    stats = world.stats()
    assert_told(stats["transports"], {str(client.number): SILENT_TRANSPORT})
    (figures,) = stats["producers"].values()
    assert_told(figures["streams"], [SILENT_STREAM | {"rid": rid} for rid in ("r0", "r1")])
    expected = SILENT_CONSUMER | {
        "transport": client.number,
        "producer": producer,
        "ssrc": consumer + 50_000,
        "paused": True,
    }
    assert_told(stats["consumers"], {str(consumer): expected})
    world.core.set_producer_paused(producer, True)
    assert world.stats()["producers"][str(producer)]["paused"] is True


def test_a_freeze_is_a_gap_that_nobody_asked_for() -> None:
    world = World()
    alice, bob = world.client(), world.client()
    picture, sound = world.produce(alice, video()), world.produce(alice, audio())
    consumers = {world.consume(bob, picture): picture, world.consume(bob, sound): sound}
    viewed, _ = consumers
    camera = Camera()

    def send(after: float, *, key: bool = False) -> list[tuple[int, int]]:
        world.run(after)
        alice.send(*camera.frame(key=key), voice(camera.sequence))
        figures = world.stats()["consumers"]
        return [
            (figures[str(c)]["freezeCount"], figures[str(c)]["freezeDuration"]) for c in consumers
        ]

    send(0.1, key=True)
    assert send(0.5) == [(0, 0), (0, 0)]
    assert send(0.75) == [(1, 750), (0, 0)]
    # pauses of either side are none, nor is the time until the picture comes back
    for pause in (world.core.set_producer_paused, world.core.set_consumer_paused):
        number = picture if pause == world.core.set_producer_paused else viewed
        pause(number, True)
        world.run(2)
        pause(number, False)
        assert send(1, key=True) == [(1, 750), (0, 0)]
        assert send(0.1) == [(1, 750), (0, 0)]
    assert send(1) == [(2, 1750), (0, 0)]


def voice(number: int) -> RtpPacket:
    return RtpPacket(
        payload_type=111,
        sequence_number=number & 0xFFFF,
        timestamp=960 * number,
        ssrc=2000,
        payload=b"a" * 80,
    )


def test_only_audio_has_a_level() -> None:
    world = World()
    client = world.client()
    levels = [world.produce(client, spec) for spec in (audio(), video())]
    figures = world.stats()["producers"]
    assert [figures[str(number)]["audioLevel"] for number in levels] == [-127, None]


def test_the_address_and_the_protocol_of_a_path() -> None:
    world = World()
    client = world.new_client()
    request = binding_request(
        remote_ufrag=client.ufrag, local_ufrag="theirs", tie_breaker=1, nominate=True
    )
    world.core.tcp_datagram(9, "2001:db8::9", 99, build_stun(request, client.password))
    plain = PlainClient.open(world).connect()
    figures = world.stats()["transports"]
    by_tcp, by_plain_rtp = figures[str(client.number)], figures[str(plain.number)]
    assert_told(by_tcp, SILENT_TRANSPORT | {"protocol": "tcp", "address": ["2001:db8::9", 99]})
    assert_told(by_plain_rtp, SILENT_TRANSPORT | {"address": ["127.0.0.1", 7000]})


def test_counters_are_those_of_the_header_in_its_order() -> None:
    engine = Path(__file__).parents[2] / "src" / "meet_trio" / "engine"
    (header,) = (p for p in engine.rglob("*.h") if "#define MT_COUNTERS" in p.read_text())
    table = header.read_text().split("#define MT_COUNTERS(X)")[1].split("clang-format on")[0]
    counters = re.findall(r"X\((\w+)\)", table)
    assert len(counters) > 40
    assert list(World().stats()["engine"]) == counters + GAUGES


def test_tables_are_read_only_mappings(meeting: Meeting) -> None:
    stats = meeting.pair.a.stats()
    assert list(stats) == ["transports", "producers", "mirrors", "consumers", "engine"]
    producers = stats["producers"]
    keys = [str(meeting.picture), str(meeting.sound)]
    assert (list(producers), len(producers)) == (keys, 2)
    assert keys[0] in producers
    for other in ("", "x", f"0{keys[0]}", f" {keys[0]}", "-1", "999", meeting.picture, None):
        assert other not in producers
        assert producers.get(other) is None
    producers[keys[0]]["paused"] = "changed"
    assert producers[keys[0]]["paused"] is False
    with pytest.raises(KeyError):
        stats["nothing"]


def many_consumers(count: int) -> World:
    world = World()
    publisher, viewer = world.client(), world.client()
    producer = world.produce(publisher, simulcast(2))
    for _ in range(count):
        world.consume(viewer, producer, paused=True)
    return world


def test_reading_one_object_converts_one() -> None:
    """Each figure is an object, and most of them live as long as the dictionary."""
    world = many_consumers(300)
    gc.disable()
    try:
        before = sys.getallocatedblocks()
        stats = world.stats()
        consumers = stats["consumers"]
        assert len(consumers) == 300
        assert sys.getallocatedblocks() - before < 100
        kept = [consumers[next(iter(consumers))]]
        one = sys.getallocatedblocks() - before
        kept += consumers.values()
        assert sys.getallocatedblocks() - before - one > 300
    finally:
        gc.enable()


class _Allocated(ctypes.Structure):
    """The first members of glibc's ``struct mallinfo2``; ``uordblks`` are the bytes in use."""

    _fields_ = [(name, ctypes.c_size_t) for name in ("arena", *"abcdef", "uordblks", *"gh")]


def test_figures_are_freed_once_with_their_last_reader() -> None:
    """A second time would end the process."""
    allocated = ctypes.CDLL(None).mallinfo2
    allocated.restype = _Allocated
    world = many_consumers(300)
    table = world.stats()["consumers"]  # outlives the whole
    assert len(list(table.values())) == 300
    rounds, before = 200, allocated().uordblks
    for _ in range(rounds):
        world.stats()
    kept = 300 * 100  # bytes, and more, of one record
    assert allocated().uordblks - before < 2 * kept < rounds * kept
    with pytest.raises(ValueError, match="figures"):
        world.core.event(13, 1)  # MT_EVENT_STATS without figures


def test_sums_of_a_transport(meeting: Meeting) -> None:
    """They are those that its own figures and those of its consumers give."""
    meeting.pair.consume(meeting.bob, meeting.sound)
    stats = meeting.pair.a.stats()
    for client in (meeting.alice, meeting.bob):
        own = stats["transports"][str(client.number)]
        consumers = [c for c in stats["consumers"].values() if c["transport"] == client.number]
        names = ("packetsReceived", "bytesReceived", "packetsSent", "bytesSent")
        expected = {name: own[name] for name in names}
        for name in ("packetsLost", "nackCount", "pliCount"):
            expected[name] = sum(consumer[name] for consumer in consumers)
        assert_told(stats.sums_of(client.number), expected)
    assert stats.sums_of(meeting.bob.number)["nackCount"] == 3
    assert stats.sums_of(999) == {}


def test_the_summary() -> None:
    meeting = Meeting()
    world = meeting.pair.a
    world.new_client()
    world.core.set_producer_paused(meeting.sound, True)
    world.consume(meeting.bob, meeting.sound, paused=True)
    summary = world.stats().summary()
    present = {name: {k: n for k, n in value.items() if n} for name, value in tables(summary)}
    assert present == {
        "transports": {("udp", True): 2, ("none", False): 1},
        "producers": {("audio", True): 1, ("video", False): 1},
        "active_streams": {("audio", 0): 1, ("video", 0): 1},
        "consumers": {("video", 0): 1, ("audio", None): 1},
        "paused_consumers": {"audio": 1},
    }
    assert (sum(summary.estimate.counts), summary.estimate.sum) == (1, 900_000 / 8)
    assert summary.round_trip.sum == pytest.approx(0.164994)
    place = bisect_left(summary.estimate.bounds, 900_000 / 8)
    assert summary.estimate.counts[place] == 1
    world.core.remove_producer(meeting.sound)
    assert world.stats().summary().consumers["unknown", None] == 1  # until it is removed too


def tables(summary: Summary) -> list[tuple[str, Mapping[Any, int]]]:
    return [(n, v) for n, v in attrs.asdict(summary, recurse=False).items() if isinstance(v, dict)]


def test_requests_of_and_to_clients_are_counted(meeting: Meeting) -> None:
    """Other than the figures of objects, these outlive them."""
    figures = Meeting().pair.a.stats()["engine"]
    assert (figures["nacks_in"], figures["nacks_out"]) == (3, 13)
    assert (figures["keyframe_requests_in"], figures["keyframe_requests_out"]) == (1, 1)

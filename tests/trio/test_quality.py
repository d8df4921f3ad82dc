"""The record of each call: what is counted, why peers and rooms ended, and its bounds."""

import contextlib
import json
import logging
import time
from collections.abc import Mapping
from typing import Any

import attrs
import jsonschema_rs
import pytest
import trio
from support.kept_worlds import DictStore, Past, open_kept_world, open_next
from support.live_fakes import Client, FakeEngine, World
from support.live_scenes import join, open_world, pair, produce, transport
from support.logs import open_log
from support.loop_turns import counting
from support.peers import EVERYTHING, PARTICIPANT
from support.quality import check_record
from trio.testing import MockClock

from meet_trio import records as kept_records
from meet_trio.engine import IceMoved, LayerChanged, StatsReady
from meet_trio.errors import RecordError
from meet_trio.live.attendance import MOST_TRANSPORTS, Attendance, StayRecord, TransportStay
from meet_trio.live.settings import PeerSettings
from meet_trio.live.stays import TOLD_PER_TURN
from meet_trio.logs.settings import LogSettings
from meet_trio.operator.quality import Quality, _time, peer_record
from meet_trio.operator.quality_sums import (
    QUALITY_RECORDS,
    MeetingSums,
    MeetingSumsRecord,
    PeerSums,
    PeerSumsRecord,
)
from meet_trio.operator.settings import QualitySettings
from meet_trio.records import of_kinds, read_records

Record = Mapping[str, Any]


class MeasuredEngine(FakeEngine):
    """Each object has the figures in ``figures``, by kind and number, or those of ``usual``."""

    world: World

    def __init__(self) -> None:
        super().__init__()
        self.figures: dict[tuple[str, int], dict[str, object]] = {}
        self.asked = 0

    def request_stats(self, token: int) -> None:
        self.asked += 1
        objects = {
            "transports": self.transports,
            "producers": self.producers,
            "consumers": self.consumers,
        }
        stats: dict[str, object] = {
            kind: {
                str(number): USUAL[kind] | self.figures.get((kind, number), {}) for number in table
            }
            for kind, table in objects.items()
        }
        self.world.hear(StatsReady(token, stats))


STREAM = {
    "active": True,
    "packetCount": 95,
    "packetsLost": 5,
    "packetsRecovered": 4,
    "nackCount": 3,
    "pliCount": 1,
    "jitter": 2.5,
    "score": 9,
}
USUAL: dict[str, dict[str, object]] = {
    "transports": {
        "address": ["192.0.2.7", 7],
        "protocol": "udp",
        "packetsReceived": 10,
        "bytesReceived": 1000,
        "packetsSent": 20,
        "bytesSent": 2000,
        "roundTripTime": 30.0,
        "outgoingLoss": 0.25,
    },
    "producers": {"streams": [STREAM]},
    "consumers": {
        "paused": False,
        "packetCount": 50,
        "packetsLost": 1,
        "packetsRetransmitted": 2,
        "packetsRedundant": 3,
        "nackCount": 4,
        "pliCount": 5,
        "freezeCount": 1,
        "freezeDuration": 1500,
        "jitter": 4.0,
        "score": 8,
    },
}


@attrs.define(eq=False)
class Kept:
    """A world whose calls are recorded. ``look`` looks at the engine's figures."""

    world: World
    engine: MeasuredEngine
    quality: Quality
    records: list[Record]

    async def look(self) -> None:
        await self.quality.look(self.world.registry.rooms)

    def of(self, kind: str) -> list[Record]:
        for record in self.records:
            check_record(record)
        return [record for record in self.records if record["record"] == kind]

    def peer(self, peer_id: str) -> Record:
        (found,) = [record for record in self.of("peer") if record["peer"] == peer_id]
        return found


def kept_world(world: World, engine: MeasuredEngine, **settings: Any) -> Kept:
    records: list[Record] = []
    quality = Quality(QualitySettings(**settings), records.append, world.keeper.store)
    engine.world = world
    world.registry.context = attrs.evolve(world.registry.context, recorder=quality)
    return Kept(world, engine, quality, records)


async def test_figures_of_a_call(autojump_clock: MockClock) -> None:
    async with open_world(engines=[engine := MeasuredEngine()]) as world:
        kept = kept_world(world, engine)
        room, ada, bob = await pair(world)
        await produce(ada, "audio")
        await produce(ada, "video")
        consumers = {c.rtp.kind: c for c in room.consumers.values()}
        await kept.look()
        (transport_number,) = [t.number for t in room.peers[bob.id].transports.values()]
        engine.figures["transports", transport_number] = {"roundTripTime": 90.0, "bytesSent": 5000}
        engine.figures["consumers", consumers["video"].number] = {
            "packetCount": 100,
            "packetsLost": 19,
            "jitter": 8.0,
        }
        await kept.look()
        # what has gone is not forgotten, and what has come since is added
        producer_id = consumers["video"].state.producer_id
        assert await ada.socket.ask("closeProducer", producerId=producer_id) == []
        await kept.look()
        await produce(ada, "screen")
        await kept.look()
        bob.socket.go()
        await trio.testing.wait_all_tasks_blocked()
        record = kept.peer(bob.id)
        assert record["why"] == "left"
        assert record["samples"] == 4
        assert record["roundTripMs"] == {"last": 90.0, "mean": 75.0, "max": 90.0}
        sent = record["sent"]
        assert (sent["packets"], sent["bytes"]) == (20, 5000)
        assert sent["lost"] == 1 + 19 + 1
        assert sent["loss"] == round(21 / 200, 4)
        assert sent["worstLoss"] == 0.25
        assert (sent["retransmitted"], sent["redundant"]) == (6, 9)
        assert sent["jitterMs"]["max"] == 8.0
        # a screen that stands still is no freeze; the fake engine gives audio one
        assert (record["video"]["freezes"], record["video"]["frozenSeconds"]) == (2, 3.0)
        assert record["audioScore"] == {"sent": None, "received": {"mean": 8.0, "min": 8}}
        ada.socket.go()
        await trio.sleep(11)
        record = kept.peer(ada.id)
        received = record["received"]
        assert (received["lost"], received["loss"], received["recovered"]) == (15, 0.05, 12)
        assert record["audioScore"]["sent"] == {"mean": 9.0, "min": 9}
        (meeting,) = kept.of("meeting")
        assert (meeting["why"], meeting["joined"], meeting["mostAtOnce"]) == ("empty", 2, 2)
        assert meeting["sums"]["lostSent"] == 21
        assert meeting["worst"]["roundTripMs"] == {"peer": bob.id, "value": 90.0}
        assert meeting["worst"]["lossReceived"] == {"peer": ada.id, "value": 0.05}
    assert not kept.quality._peers
    assert not kept.quality._meetings


async def test_layers_over_time(autojump_clock: MockClock) -> None:
    async with open_world(engines=[engine := MeasuredEngine()]) as world:
        kept = kept_world(world, engine)
        room, ada, bob = await pair(world)
        await produce(ada, "video")
        (consumer,) = room.consumers.values()

        async def layer(spatial: int | None, seconds: float) -> None:
            temporal = None if spatial is None else 0
            world.hear(LayerChanged(consumer.number, spatial, temporal))
            await trio.sleep(seconds)

        await trio.sleep(100)  # before the first picture nothing counts
        await layer(0, 3)
        await layer(2, 20)
        await layer(None, 4)  # nothing fits
        await layer(0, 1)
        assert await bob.socket.ask("pauseConsumer", consumerId=consumer.state.id) == []
        await layer(None, 500)
        assert await bob.socket.ask("resumeConsumer", consumerId=consumer.state.id) == []
        await layer(1, 6)
        bob.socket.go()
        await trio.testing.wait_all_tasks_blocked()
        video = kept.peer(bob.id)["video"]
        assert video["layerSeconds"] == {"0": 4.0, "1": 6.0, "2": 20.0, "none": 4.0}
        assert video["switches"] == 1


async def test_transports(autojump_clock: MockClock) -> None:
    async with open_world(engines=[engine := MeasuredEngine()]) as world:
        kept = kept_world(world, engine)
        room, _, bob = await pair(world)
        (moved,) = room.peers[bob.id].transports.values()
        fingerprint = {"algorithm": "sha-256", "value": ":".join(["AA"] * 32)}
        answer = await bob.socket.ask(
            "connectWebRtcTransport",
            transportId=moved.id,
            dtlsParameters={"role": "client", "fingerprints": [fingerprint]},
        )
        assert answer == []
        await trio.sleep(0.25)
        world.bridge.sessions[-1].complete()
        await trio.testing.wait_all_tasks_blocked()
        for port in (1, 2):
            world.hear(IceMoved(moved.number, "192.0.2.7", port))
        engine.figures["transports", moved.number] = {"protocol": "tcp"}
        await kept.look()
        world.bridge.sessions[-1].say_goodbye()
        await trio.testing.wait_all_tasks_blocked()
        await transport(bob.socket, consuming=False)
        bob.socket.go()
        await trio.testing.wait_all_tasks_blocked()
        record = kept.peer(bob.id)
        assert record["transportsMade"] == 2
        assert record["transports"] == [
            {
                "kind": "webrtc",
                "protocol": "tcp",
                "producing": False,
                "consuming": True,
                "connectMs": 250,
                "moves": 2,
                "why": "the client sent close_notify",
            },
            {
                "kind": "webrtc",
                "protocol": None,
                "producing": True,
                "consuming": False,
                "connectMs": None,
                "moves": 0,
                "why": "closed",
            },
        ]


async def test_transports_that_come_and_go_do_not_pile_up(autojump_clock: MockClock) -> None:
    async with open_world(engines=[engine := MeasuredEngine()]) as world:
        kept = kept_world(world, engine)
        room, _, bob = await pair(world)
        for _ in range(2 * MOST_TRANSPORTS):
            await transport(bob.socket, consuming=False)
            await kept.look()
            list(room.peers[bob.id].transports.values())[1].close()
            await trio.testing.wait_all_tasks_blocked()
        sums = kept.quality._peers[bob.id]
        assert len(sums.present) == 2
        assert len(sums.protocols) <= MOST_TRANSPORTS + 2
        room.close()
        await trio.sleep(1)
        record = kept.peer(bob.id)
        assert record["transportsMade"] == 2 * MOST_TRANSPORTS + 1
        assert len(record["transports"]) == MOST_TRANSPORTS
        # the bytes of all of them count: each was seen once, and the first one again and again
        assert record["sent"]["bytes"] == 2000 * (2 * MOST_TRANSPORTS + 1)


@pytest.mark.parametrize("interval", [1, 10])
async def test_the_engines_are_asked_now_and_then(
    autojump_clock: MockClock, interval: float
) -> None:
    async with open_world(engines=[engine := MeasuredEngine()]) as world:
        kept = kept_world(world, engine, interval=interval)
        await pair(world)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(kept.quality.run, world.registry.rooms)
            await trio.sleep(10 * interval + interval / 2)
            assert engine.asked == 10
            world.host._fail("test")
            await trio.sleep(3 * interval)
            assert engine.asked == 10
            nursery.cancel_scope.cancel()


async def test_why_peers_left_and_rooms_ended(autojump_clock: MockClock) -> None:
    settings = PeerSettings(max_backlog=3)
    async with open_world(peer_settings=settings, engines=[engine := MeasuredEngine()]) as world:
        kept = kept_world(world, engine)
        room = await world.registry.create_room()
        owner = await world.enter(room, EVERYTHING)
        left, kicked, lost, full = [await world.enter(room) for _ in range(4)]
        for client in (owner, left, kicked, lost, full):
            await join(client)
        never = room.invite(PARTICIPANT)
        left.socket.go()
        await owner.socket.ask("moderator:kickPeer", peerId=kicked.id)
        lost.socket.lose()
        await trio.sleep(5)
        await lost.connect()
        lost.socket.lose()
        await trio.sleep(5.5)
        await lost.connect()
        lost.socket.lose()
        await trio.sleep(11)
        full.socket.lose()
        for _ in range(5):
            await owner.socket.ask("chatMessage", message="x")
        await trio.sleep(61)
        assert await owner.socket.ask("moderator:closeRoom") == []
        await trio.sleep(1)
        why = {record["peer"]: record["why"] for record in kept.of("peer")}
        assert why == {
            owner.id: "room_closed",
            left.id: "left",
            kicked.id: "kicked",
            lost.id: "socket_lost",
            full.id: "backlog_full",
            never.peer_id: "never_connected",
        }
        assert kept.peer(lost.id)["connections"] == 3
        (meeting,) = kept.of("meeting")
        assert (meeting["why"], meeting["invited"], meeting["joined"]) == ("closed_by_owner", 6, 5)
        assert meeting["mostAtOnce"] == 5
        kept.records.clear()

        await world.registry.create_room()
        await trio.sleep(301)
        (meeting,) = kept.of("meeting")
        assert meeting["why"] == "nobody_came"
        kept.records.clear()

        for end in ("closed", "engine_failed"):
            room = await world.registry.create_room()
            client = await world.enter(room)
            room.close(end)
            await trio.sleep(1)
            assert kept.peer(client.id)["why"] == "room_closed"
            (meeting,) = kept.of("meeting")
            assert meeting["why"] == end
            kept.records.clear()

        room = await world.registry.create_room()
        client = await world.enter(room)
    assert kept.peer(client.id)["why"] == "shutdown"
    (meeting,) = kept.of("meeting")
    assert meeting["why"] == "shutdown"


@pytest.mark.parametrize("end", ["by its owner", "by the server", "with the server"])
async def test_a_room_is_recorded_in_turns(autojump_clock: MockClock, end: str) -> None:
    """A stop of the server meanwhile takes nothing away, and the webhook comes last."""
    async with open_world(engines=[engine := MeasuredEngine()]) as world:
        kept = kept_world(world, engine, webhook=True)
        room = await world.registry.create_room()
        clients = [await world.enter(room, EVERYTHING) for _ in range(30)]
        for client in clients:
            await join(client)
        peers, told_at = list(room.peers.values()), list[float]()
        with counting() as turns:

            def write(record: Record) -> None:
                assert not world.webhooks
                told_at.append(time.time())
                turns.count()
                kept.records.append(record)
                if len(kept.records) == 3 and end != "with the server":
                    world.nursery.cancel_scope.cancel()

            kept.quality.write = write
            with trio.CancelScope(shield=True):
                match end:
                    case "by its owner":
                        await clients[0].socket.ask("moderator:closeRoom")
                    case "by the server":
                        room.close()
                    case _:
                        world.nursery.cancel_scope.cancel()
                await trio.sleep(1)
    assert turns.most <= TOLD_PER_TURN + 1  # and the meeting's
    left = {record["peer"]: record["why"] for record in kept.of("peer")}
    why = "shutdown" if end == "with the server" else "room_closed"
    assert left == {client.id: why for client in clients}
    meeting = kept.records[-1]
    assert (meeting["record"], meeting["joined"]) == ("meeting", 30)
    (webhook,) = world.webhooks
    assert webhook.quality == meeting
    assert all(peer.attendance.left <= told_at[0] for peer in peers)  # type: ignore[operator]


@pytest.mark.parametrize("wanted", [False, True])
async def test_the_webhook_has_the_meeting_if_that_is_wanted(
    autojump_clock: MockClock, wanted: bool
) -> None:
    async with open_world(engines=[engine := MeasuredEngine()]) as world:
        kept = kept_world(world, engine, webhook=wanted)
        room, ada, _ = await pair(world)
        await ada.socket.ask("moderator:closeRoom")
        await trio.sleep(1)
    (webhook,) = world.webhooks
    body = webhook.to_json()
    usual = {"roomId": room.id, "event": "roomClosed"}
    if not wanted:
        assert json.dumps(body) == json.dumps(usual)
        return
    (meeting,) = kept.of("meeting")
    assert body == {**usual, "quality": meeting}
    assert meeting["joined"] == 2  # peers that are there when the room closes too


async def test_a_fault_of_a_record_is_its_own(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_world(engines=[engine := MeasuredEngine()]) as world:
        kept = kept_world(world, engine)
        room, ada, bob = await pair(world)
        del engine.figures, kept.quality.write
        async with trio.open_nursery() as nursery:
            nursery.start_soon(kept.quality.run, world.registry.rooms)
            await trio.sleep(11)
            bob.socket.go()
            await trio.sleep(11)
            assert await ada.socket.ask("ping") == [None]
            assert set(room.peers) == {ada.id}
            nursery.cancel_scope.cancel()
    assert [hook.event for hook in world.webhooks] == ["roomClosed"]
    assert "looking at the figures of calls failed" in caplog.text
    assert "the record of the peer failed" in caplog.text


async def test_a_look_lets_others_run(autojump_clock: MockClock) -> None:
    async with open_world(engines=[engine := MeasuredEngine()]) as world:
        kept = kept_world(world, engine)
        for _ in range(3):
            room, _, bob = await pair(world)
            for _ in range(3):
                await transport(bob.socket, consuming=False)
        clients = [await world.enter(room, EVERYTHING) for _ in range(20)]
        for client in clients:
            for _ in range(8):
                await transport(client.socket, consuming=False)
        with counting() as turns:
            await kept.look()
        assert turns.number >= 3  # 172 objects, 64 in a turn


def test_the_longest_record_is_one_line_of_the_log() -> None:
    """With the longest numbers of all."""
    sums = PeerSums(samples=10**6)
    for running in (
        sums.round_trip,
        sums.sent_jitter,
        sums.received_jitter,
        sums.sent_score,
        sums.received_score,
    ):
        running.add(4_294_967.1)
    for kind in ("transports", "producers", "consumers"):
        sums.gone[kind] = (2**63,) * len(sums.sums(kind))
    peer: Any = attrs.make_class("Peer", ["id", "attendance", "transports"])
    room: Any = attrs.make_class("Room", ["id"])
    stay = Attendance(joined=0.0, left=1e9, why="never_connected", connections=10**6)
    for number in range(MOST_TRANSPORTS):
        stay.ended_transports.append(
            TransportStay(number, "webrtc", False, False, 999.0, 10**6, "x" * 200)
        )
        sums.protocols[number] = "udp"
    stay.video.seconds = dict.fromkeys((None, 0, 1, 2, 3), 99999999.9)
    record = peer_record(room("r" * 36), peer("p" * 36, stay, {}), sums)
    check_record(record)
    with open_log(LogSettings(format="json")) as log:
        ids = {"room": "r" * 36, "peer": "p" * 36}
        extra = {**ids, "quality": record}
        logging.getLogger("meet_trio.quality").info("quality of a peer", extra=extra)
    (line,) = log.lines
    assert json.loads(line)["quality"] == record


def test_the_schema_refuses_what_it_does_not_name() -> None:
    with pytest.raises(jsonschema_rs.ValidationError):
        check_record({"record": "peer", "version": 1})


async def test_a_meeting_over_a_restart_has_one_record(autojump_clock: MockClock) -> None:
    """With the times and counts of both processes."""
    async with open_kept_world([engine := MeasuredEngine()]) as world:
        kept = kept_world(world, engine)
        room, ada, bob = await pair(world)
        await produce(ada, "audio")
        await produce(ada, "simulcast")
        gone = await world.enter(room)
        await join(gone)
        first = await transport(gone.socket, consuming=True)
        room.peers[gone.id].transports[first].close()
        video = next(c for c in room.consumers.values() if c.rtp.kind == "video")
        assert video.state.peer_id == bob.id
        world.hear(LayerChanged(video.number, 0, 2))
        await trio.sleep(3)
        world.hear(LayerChanged(video.number, 1, 2))
        await trio.sleep(5)
        await kept.look()
        gone.socket.go()
        await trio.sleep(1)
        before, created = room.peers[bob.id].attendance, room.created_at
        past = Past(world)
    quality_entries = of_kinds(past.entries, QUALITY_RECORDS)
    assert len(quality_entries) == 3  # two peers, and the meeting
    rooms_entries = {k: v for k, v in past.entries.items() if k not in quality_entries}
    async with open_next(past, rooms_entries, [engine := MeasuredEngine()]) as world:
        kept = kept_world(world, engine)
        (room,) = world.registry.rooms.values()
        room.context = world.registry.context
        records = read_records(quality_entries, QUALITY_RECORDS, [])
        kept.quality.resume(records, world.registry.rooms)
        for client in (ada, bob):
            again = Client(world, room, client.id, client.token)
            await again.connect()
        await trio.sleep(2)
        await kept.look()
        again.socket.go()
        await trio.sleep(1)
        record = kept.peer(bob.id)
        assert before.joined is not None
        assert record["invited"] == _time(before.invited)
        assert record["joined"] == _time(before.joined)
        assert (record["why"], record["connections"], record["samples"]) == ("left", 2, 2)
        assert record["transportsMade"] == 1
        assert record["sent"]["packets"] == 20 + 20
        assert record["sent"]["jitterMs"] == {"last": 4.0, "mean": 4.0, "max": 4.0}
        assert record["video"]["layerSeconds"] == {"0": 3.0, "1": 5.0}
        assert record["video"]["switches"] == 1
        assert [each["protocol"] for each in record["transports"]] == ["udp"]
        room.close()
        await trio.sleep(1)
        (meeting,) = kept.of("meeting")
        assert (meeting["invited"], meeting["joined"], meeting["mostAtOnce"]) == (3, 3, 3)
        assert meeting["created"] == _time(created)
        assert not kept.quality._peers
        assert not kept.quality._meetings
        store = world.keeper.store
        assert isinstance(store, DictStore)
        store.flush()
        assert store.written == {}


async def test_ended_transports_are_not_forgotten(autojump_clock: MockClock) -> None:
    async with open_kept_world() as world:
        room, _, bob = await pair(world)
        (own,) = room.peers[bob.id].transports.values()
        own.close()
        await trio.sleep(1)
        stays = room.peers[bob.id].attendance.ended_transports
        past = Past(world)
    for _ in range(2):
        async with open_next(past) as world:
            (room,) = world.registry.rooms.values()
            attendance = room.peers[bob.id].attendance
            assert attendance.ended_transports == stays
            assert attendance.transports_made == 1
            assert stays
            await trio.sleep(1)
            past = Past(world)


def sums_records() -> list[kept_records.Record]:
    sums = PeerSums(3)
    sums.round_trip.add(5.0)
    sums.protocols[7] = "udp"
    meeting = MeetingSums(2, 1, 5.0)
    meeting.worst["roundTripMs"] = {"peer": "p", "value": 5.0}
    meeting.sums["freezes"] = 3
    seconds = {None: 1.5, 0: 2.0}
    stays = (TransportStay(5, "webrtc", True, False, 0.5, 1, "why"),)
    return [
        PeerSumsRecord("r", "p", sums),
        MeetingSumsRecord("r", meeting),
        StayRecord("r", "p", stays, seconds, 4),
    ]


@pytest.mark.parametrize("record", sums_records(), ids=lambda record: record.KIND)
def test_records_are_read_as_they_were_written(record: kept_records.Record) -> None:
    assert type(record).from_json(record.to_json()).to_json() == record.to_json()


@pytest.mark.parametrize("record", sums_records(), ids=lambda record: record.KIND)
@pytest.mark.parametrize("wrong", [None, "x", -1, 2**70, [5], {"a": 5}])
def test_a_damaged_record_is_refused(record: kept_records.Record, wrong: object) -> None:
    """Or it is read as what could have been written. The fields of deeper objects are tried too."""
    good = json.loads(record.to_json())
    refused = 0
    for key, inner in [(None, None), *good.items()]:
        for inner_key in inner if isinstance(inner, dict) else [None]:
            damaged = json.loads(record.to_json())
            if inner_key is not None:
                damaged[key][inner_key] = wrong
            elif key is not None:
                damaged[key] = wrong
            payload, read = json.dumps(damaged).encode(), None
            with contextlib.suppress(RecordError):
                read = type(record).from_json(payload)
            if read is None:
                refused += 1
            else:
                type(record).from_json(read.to_json())
    assert refused >= 2


async def test_who_has_joined_and_made_no_transport_since(autojump_clock: MockClock) -> None:
    async with open_kept_world() as world:
        room, ada, _ = await pair(world)
        joined = room.peers[ada.id].attendance.joined
        assert joined is not None
        past = Past(world)
    async with open_next(past) as world:
        (room,) = world.registry.rooms.values()
        assert room.peers[ada.id].attendance.joined == joined
        assert room.stays.joined == 2


async def test_sums_of_peers_and_rooms_that_are_not_there(autojump_clock: MockClock) -> None:
    async with open_world(engines=[engine := MeasuredEngine()]) as world:
        kept = kept_world(world, engine)
        await pair(world)
        kept.quality.resume(sums_records()[:2], world.registry.rooms)
        assert not kept.quality._peers
        assert not kept.quality._meetings

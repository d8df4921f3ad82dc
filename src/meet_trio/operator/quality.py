"""The quality of each call, kept after it: a record of each peer when it leaves, and of each
meeting when its room ends.

An engine's figures of an object vanish with the object. So all figures are looked at every
``interval`` seconds, and the newest of each object are kept, until its peer leaves. What happened
after the last look is not in the record. A peer that was there for less than one interval may have
no figures at all; ``samples`` says how many looks there were. What the server itself sees happen
(sockets, transports, layers) is exact.

A peer costs the numbers of its present objects and a fixed rest. What has gone is added up. One
turn of the loop looks at ``OBJECTS_PER_TURN`` objects.

The shapes are in docs/quality.md, as a JSON schema.
"""

import datetime
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping

import attrs
import trio

from meet_trio.live.attendance import MOST_TRANSPORTS, Attendance, TransportStay
from meet_trio.live.figures import OBJECTS_PER_TURN, EngineFigures, ask_engines, figures_of
from meet_trio.live.peer import LivePeer, transport_stay
from meet_trio.live.room import LiveRoom
from meet_trio.live.streams import LiveConsumer, LiveProducer
from meet_trio.media.plain import Transport
from meet_trio.operator.quality_sums import (
    SUMS,
    WORST,
    Counted,
    MeetingSums,
    MeetingSumsRecord,
    PeerSums,
    PeerSumsRecord,
)
from meet_trio.operator.settings import QualitySettings
from meet_trio.ortc.fields import Json
from meet_trio.records import Record, RecordStore, key_text
from meet_trio.turns import Turns

logger = logging.getLogger("meet_trio.quality")

VERSION = 1
"""Of the records' shapes. It rises when a key changes its meaning or goes; keys may be added."""

_Object = Transport | LiveProducer | LiveConsumer


@attrs.define(eq=False)
class Quality:
    """Keeps the records. ``write`` gets each when it is complete. ``store`` has the sums meanwhile,
    for a later process. ``settings`` may be replaced by
    others; the rooms whose recorder this is are recorded in any case.
    """

    settings: QualitySettings
    write: Callable[[Mapping[str, object]], None]
    store: RecordStore | None = None
    _peers: dict[str, PeerSums] = attrs.field(factory=dict)
    _meetings: dict[str, MeetingSums] = attrs.field(factory=dict)

    async def run(self, rooms: Mapping[str, LiveRoom]) -> None:
        """Look at all objects of the rooms that are recorded every ``interval`` seconds, until
        cancelled.
        """
        while True:
            await trio.sleep(self.settings.interval)
            try:
                await self.look({k: r for k, r in rooms.items() if r.context.recorder is self})
            except Exception:
                # no call may suffer from a fault of its record
                logger.exception("looking at the figures of calls failed")

    async def look(self, rooms: Mapping[str, LiveRoom]) -> None:
        """Look at all objects once."""
        hosts = {host for room in rooms.values() for host in room.placement.used}
        engines = await ask_engines(host for host in hosts if not host.failed)
        turns = Turns(OBJECTS_PER_TURN)
        for room in list(rooms.values()):
            for peer in list(room.peers.values()):
                if peer.attendance.left is not None:
                    continue
                objects = list(_objects(room, peer))
                sums = self._peers.setdefault(peer.id, PeerSums())
                sums.begin(
                    [(kind, o.number) for kind, o in objects], peer.attendance.ended_transports
                )
                for kind, each in objects:
                    _see(sums, kind, each, engines)
                    await turns.spend()
                self._keep_peer(room, peer, sums)
                await turns.spend()

    def resume(self, records: Iterable[Record], rooms: Mapping[str, LiveRoom]) -> None:
        """Go on with the sums of an earlier process, as far as its ``rooms`` and their peers are
        there.
        """
        for record in records:
            match record:
                case PeerSumsRecord(room_id=room_id, peer_id=peer_id, sums=sums):
                    if room_id in rooms and peer_id in rooms[room_id].peers:
                        self._peers[peer_id] = sums
                        self._put(record)
                case MeetingSumsRecord(room_id=room_id, sums=meeting) if room_id in rooms:
                    self._meetings[room_id] = meeting
                    self._put(record)

    def _keep_peer(self, room: LiveRoom, peer: LivePeer, sums: PeerSums) -> None:
        if self.store is None or peer.attendance.left is not None:
            return  # it has left meanwhile
        self._put(PeerSumsRecord(room.id, peer.id, sums))
        room.stay_changed(peer)

    def _put(self, record: Record) -> None:
        if self.store is not None:
            self.store.put(key_text(record.key), record.to_json())

    def _drop(self, *key: str) -> None:
        if self.store is not None:
            self.store.drop(key_text(key))

    # Called by rooms

    def peer_left(self, room: LiveRoom, peer: LivePeer) -> None:
        """A peer has left: its record is complete."""
        sums = self._peers.pop(peer.id, None) or PeerSums()
        record = peer_record(room, peer, sums)
        meeting = self._meetings.setdefault(room.id, MeetingSums())
        meeting.add(peer.id, record)
        self._drop(PeerSumsRecord.KIND, peer.id)
        self._put(MeetingSumsRecord(room.id, meeting))
        self._tell(record, {"room": room.id, "peer": peer.id})

    def room_closed(self, room: LiveRoom) -> dict[str, Json] | None:
        """A room has closed, after all of its peers have left. Returns the meeting's record if the
        webhook is to have it.
        """
        meeting = self._meetings.pop(room.id, MeetingSums())
        self._drop(MeetingSumsRecord.KIND, room.id)
        record = meeting_record(room, meeting)
        self._tell(record, {"room": room.id})
        return record if self.settings.webhook else None

    def _tell(self, record: dict[str, Json], ids: Mapping[str, str]) -> None:
        self.write(record)
        if self.settings.log:
            logger.info("quality of a %s", record["record"], extra={**ids, "quality": record})


def _objects(room: LiveRoom, peer: LivePeer) -> Iterator[tuple[Counted, _Object]]:
    for transport in peer.transports.values():
        yield "transports", transport
    if (state := room.state.peers.get(peer.id)) is not None:
        for producer_id in state.producers:
            yield "producers", room.producers[producer_id]
        for consumer in state.consumers.values():
            yield "consumers", room.consumers[consumer.id]


def _see(sums: PeerSums, kind: Counted, each: _Object, engines: EngineFigures) -> None:
    host = each.transport.host if isinstance(each, LiveProducer | LiveConsumer) else each.host
    figures = figures_of(engines, host, kind, each.number)
    if not figures:  # the engine has not answered, or has no such object yet
        return
    match each:
        case LiveProducer():
            sums.see_producer(each.number, each.state.rtp.kind, figures)
        case LiveConsumer():
            each.viewing.count(trio.current_time())
            screen = each.producer.state.source == "screen"
            sums.see_consumer(each.number, each.rtp.kind, screen, figures)
        case _:
            sums.see_transport(each.number, figures)


def peer_record(room: LiveRoom, peer: LivePeer, sums: PeerSums) -> dict[str, Json]:
    """The record of a peer that has left."""
    stay = peer.attendance
    assert stay.left is not None
    transports, consumers = sums.sums("transports"), sums.sums("consumers")
    producers = sums.sums("producers")
    return {
        "record": "peer",
        "version": VERSION,
        "room": room.id,
        "peer": peer.id,
        "role": int(stay.role),
        "invited": _time(stay.invited),
        "joined": None if stay.joined is None else _time(stay.joined),
        "left": _time(stay.left),
        "seconds": round(stay.left - stay.joined, 1) if stay.joined is not None else 0.0,
        "why": stay.why,
        "connections": stay.connections,
        "samples": sums.samples,
        "transportsMade": stay.transports_made,
        "transports": [_transport(each, sums.protocols) for each in _stays(peer)],
        "roundTripMs": sums.round_trip.told("last", "mean", "max"),
        "sent": {
            "packets": transports["packetsSent"],
            "bytes": transports["bytesSent"],
            "lost": consumers["packetsLost"],
            "loss": _share(consumers["packetsLost"], consumers["packetCount"]),
            "worstLoss": round(max(0.0, sums.outgoing_loss.most), 3),
            "jitterMs": sums.sent_jitter.told("last", "mean", "max"),
            "retransmitted": consumers["packetsRetransmitted"],
            "redundant": consumers["packetsRedundant"],
            "nacks": consumers["nackCount"],
            "plis": consumers["pliCount"],
        },
        "received": {
            "packets": transports["packetsReceived"],
            "bytes": transports["bytesReceived"],
            "lost": producers["packetsLost"],
            "loss": _share(
                producers["packetsLost"], producers["packetsLost"] + producers["packetCount"]
            ),
            "jitterMs": sums.received_jitter.told("last", "mean", "max"),
            "recovered": producers["packetsRecovered"],
            "nacks": producers["nackCount"],
            "plis": producers["pliCount"],
        },
        "video": {
            **_video(stay),
            "freezes": consumers["freezeCount"],
            "frozenSeconds": round(consumers["freezeDuration"] / 1000, 1),
        },
        "audioScore": {
            "sent": sums.sent_score.told("mean", "min"),
            "received": sums.received_score.told("mean", "min"),
        },
    }


def meeting_record(room: LiveRoom, meeting: MeetingSums) -> dict[str, Json]:
    """The record of a meeting that is over."""
    ended = time.time()
    return {
        "record": "meeting",
        "version": VERSION,
        "room": room.id,
        "created": _time(room.created_at),
        "ended": _time(ended),
        "seconds": round(ended - room.created_at, 1),
        "why": room.why,
        "invited": meeting.invited,
        "joined": meeting.joined,
        "mostAtOnce": room.stays.most_joined,
        "peerMinutes": round(meeting.seconds / 60, 2),
        "sums": {name: meeting.sums[name] for name in SUMS},
        "worst": {name: meeting.worst.get(name) for name in WORST},
    }


def _stays(peer: LivePeer) -> list[TransportStay]:
    """The transports that have ended, then those that end with the peer."""
    present = [transport_stay(each, "closed") for each in peer.transports.values()]
    return [*peer.attendance.ended_transports, *present][-MOST_TRANSPORTS:]


def _transport(stay: TransportStay, protocols: Mapping[int, str]) -> dict[str, Json]:
    after = stay.connected_after
    return {
        "kind": stay.kind,
        "protocol": protocols.get(stay.number),
        "producing": stay.producing,
        "consuming": stay.consuming,
        "connectMs": None if after is None else round(1000 * after),
        "moves": stay.moves,
        "why": stay.why[:100],
    }


def _video(stay: Attendance) -> dict[str, Json]:
    seconds = sorted(stay.video.seconds.items(), key=lambda each: (each[0] is None, each[0]))
    return {
        "layerSeconds": {
            "none" if layer is None else str(layer): round(length, 1) for layer, length in seconds
        },
        "switches": stay.video.switches,
    }


def _share(lost: int, of: int) -> float:
    return round(min(1.0, lost / of), 4) if of else 0.0


def _time(unix: float) -> str:
    when = datetime.datetime.fromtimestamp(unix, datetime.UTC)
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")

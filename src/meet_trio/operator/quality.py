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
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import attrs
import trio

from meet_trio.live.attendance import MOST_TRANSPORTS, Attendance, TransportStay
from meet_trio.live.figures import OBJECTS_PER_TURN, EngineFigures, ask_engines, figures_of
from meet_trio.live.peer import LivePeer, transport_stay
from meet_trio.live.room import LiveRoom
from meet_trio.live.streams import LiveConsumer, LiveProducer
from meet_trio.media.plain import Transport
from meet_trio.operator.settings import QualitySettings
from meet_trio.ortc.fields import Json
from meet_trio.turns import Turns

logger = logging.getLogger("meet_trio.quality")

VERSION = 1
"""Of the records' shapes. It rises when a key changes its meaning or goes; keys may be added."""

_TRANSPORT = ("packetsReceived", "bytesReceived", "packetsSent", "bytesSent")
_STREAM = ("packetCount", "packetsLost", "packetsRecovered", "nackCount", "pliCount")
_CONSUMER = (
    "packetCount",
    "packetsLost",
    "packetsRetransmitted",
    "packetsRedundant",
    "nackCount",
    "pliCount",
    "freezeCount",
    "freezeDuration",
)
_FREEZES = 2  # the last ones of a consumer
_NAMES = {"transports": _TRANSPORT, "producers": _STREAM, "consumers": _CONSUMER}
"""The counters that are kept, by kind of object."""


@attrs.define(eq=False)
class Looks:
    """A value that is looked at again and again."""

    last: float = 0.0
    least: float = float("inf")
    most: float = float("-inf")
    total: float = 0.0
    count: int = 0

    def add(self, value: float) -> None:
        self.last = value
        self.least, self.most = min(self.least, value), max(self.most, value)
        self.total += value
        self.count += 1

    def told(self, *names: str) -> dict[str, Json] | None:
        """``last``, ``mean``, ``min`` and ``max``, or those of ``names``. None: no value yet."""
        if not self.count:
            return None
        values = {
            "last": self.last,
            "mean": self.total / self.count,
            "min": self.least,
            "max": self.most,
        }
        return {name: round(values[name], 1) for name in names}


_Object = Transport | LiveProducer | LiveConsumer
_Kind = str  # of counters: transports, producers, consumers


@attrs.define(eq=False)
class PeerSums:
    """What the looks at a peer's objects have shown. ``present``: the counters of each object at
    the last look, in the order of ``_NAMES``. ``gone``: the sums of those that are no longer there.
    """

    samples: int = 0
    present: dict[tuple[_Kind, int], tuple[int, ...]] = attrs.field(factory=dict)
    gone: dict[_Kind, tuple[int, ...]] = attrs.field(factory=dict)
    protocols: dict[int, str] = attrs.field(factory=dict)
    """By number of a transport: the present ones, and those that have ended since the last look."""
    round_trip: Looks = attrs.field(factory=Looks)
    outgoing_loss: Looks = attrs.field(factory=Looks)
    sent_jitter: Looks = attrs.field(factory=Looks)
    received_jitter: Looks = attrs.field(factory=Looks)
    sent_score: Looks = attrs.field(factory=Looks)
    received_score: Looks = attrs.field(factory=Looks)

    def begin(self, objects: Iterable[tuple[_Kind, int]], ended: Iterable[TransportStay]) -> None:
        """A look begins, at a peer with these objects and ended transports. The counters of the
        objects that are not there any more are added up.
        """
        self.samples += 1
        for gone in self.present.keys() - set(objects):
            kind, counters = gone[0], self.present.pop(gone)
            self.gone[kind] = _sum([self.gone[kind], counters] if kind in self.gone else [counters])
        known = {number for kind, number in objects if kind == "transports"}
        known.update(stay.number for stay in ended)
        self.protocols = {n: text for n, text in self.protocols.items() if n in known}

    def see_transport(self, number: int, figures: Mapping[str, Any]) -> None:
        self._keep("transports", number, _counters(figures, _TRANSPORT))
        if figures["address"] is not None:
            self.protocols[number] = figures["protocol"]
        if figures["roundTripTime"]:
            self.round_trip.add(figures["roundTripTime"])
            self.outgoing_loss.add(figures["outgoingLoss"])

    def see_producer(self, number: int, kind: str, figures: Mapping[str, Any]) -> None:
        streams = figures["streams"]
        for stream in streams:
            if stream["active"]:
                self.received_jitter.add(stream["jitter"])
                if kind == "audio" and ("producers", number) in self.present:  # known by now
                    self.sent_score.add(stream["score"])
        self._keep("producers", number, _sum([_counters(each, _STREAM) for each in streams]))

    def see_consumer(
        self, number: int, kind: str, screen: bool, figures: Mapping[str, Any]
    ) -> None:
        # A screen that does not change sends next to nothing, which is no freeze.
        names = _CONSUMER[:-_FREEZES] if screen else _CONSUMER
        counters = _counters(figures, names)
        self._keep("consumers", number, (*counters, 0, 0) if screen else counters)
        if figures["packetCount"] and not figures["paused"]:
            self.sent_jitter.add(figures["jitter"])
            if kind == "audio":
                self.received_score.add(figures["score"])

    def _keep(self, kind: _Kind, number: int, counters: tuple[int, ...]) -> None:
        """Those that have fallen were counted by an engine that has died, and go to ``gone``. Loss
        may fall by itself.
        """
        before = self.present.get((kind, number))
        if before is not None:
            rows = zip(_NAMES[kind], before, counters, strict=True)
            lost = tuple(b if n < b and name != "packetsLost" else 0 for name, b, n in rows)
            if any(lost):
                self.gone[kind] = _sum([self.gone[kind], lost] if kind in self.gone else [lost])
        self.present[kind, number] = counters

    def sums(self, kind: _Kind) -> dict[str, int]:
        """The sums over all objects of a kind, by name."""
        found = [counters for (of, _), counters in self.present.items() if of == kind]
        if kind in self.gone:
            found.append(self.gone[kind])
        names = _NAMES[kind]
        return dict(zip(names, _sum(found) or (0,) * len(names), strict=True))


def _counters(figures: Mapping[str, Any], names: Iterable[str]) -> tuple[int, ...]:
    # the loss of RFC 3550 is negative if packets came twice
    return tuple([max(0, figures[name]) for name in names])


def _sum(counters: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    return tuple(map(sum, zip(*counters, strict=True)))


@attrs.define(eq=False)
class MeetingSums:
    """The sums of the peers that have left, and the worst among them."""

    invited: int = 0
    joined: int = 0
    seconds: float = 0.0
    sums: Counter[str] = attrs.field(factory=Counter)
    worst: dict[str, dict[str, Json]] = attrs.field(factory=dict)

    def add(self, peer_id: str, record: Mapping[str, Any]) -> None:
        self.invited += 1
        if record["joined"] is None:
            return
        self.joined += 1
        self.seconds += record["seconds"]
        sent, received = record["sent"], record["received"]
        for name in ("packets", "bytes", "lost"):
            self.sums[f"{name}Sent"] += sent[name]
            self.sums[f"{name}Received"] += received[name]
        self.sums["packetsRetransmitted"] += sent["retransmitted"]
        self.sums["packetsRedundant"] += sent["redundant"]
        self.sums["freezes"] += record["video"]["freezes"]
        round_trip = record["roundTripMs"]
        self._compare("lossSent", sent["loss"], peer_id)
        self._compare("lossReceived", received["loss"], peer_id)
        self._compare("roundTripMs", round_trip and round_trip["max"], peer_id)
        self._compare("frozenSeconds", record["video"]["frozenSeconds"], peer_id)

    def _compare(self, what: str, value: float | None, peer_id: str) -> None:
        if value and value > self.worst.get(what, {"value": 0})["value"]:  # type: ignore[operator]
            self.worst[what] = {"peer": peer_id, "value": value}


@attrs.define(eq=False)
class Quality:
    """Keeps the records. ``write`` gets each when it is complete. ``settings`` may be replaced by
    others; the rooms whose recorder this is are recorded in any case.
    """

    settings: QualitySettings
    write: Callable[[Mapping[str, object]], None]
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
                await turns.spend()

    # Called by rooms

    def peer_left(self, room: LiveRoom, peer: LivePeer) -> None:
        """A peer has left: its record is complete."""
        sums = self._peers.pop(peer.id, None) or PeerSums()
        record = peer_record(room, peer, sums)
        self._meetings.setdefault(room.id, MeetingSums()).add(peer.id, record)
        self._tell(record, {"room": room.id, "peer": peer.id})

    def room_closed(self, room: LiveRoom) -> dict[str, Json] | None:
        """A room has closed, after all of its peers have left. Returns the meeting's record if the
        webhook is to have it.
        """
        meeting = self._meetings.pop(room.id, MeetingSums())
        record = meeting_record(room, meeting)
        self._tell(record, {"room": room.id})
        return record if self.settings.webhook else None

    def _tell(self, record: dict[str, Json], ids: Mapping[str, str]) -> None:
        self.write(record)
        if self.settings.log:
            logger.info("quality of a %s", record["record"], extra={**ids, "quality": record})


def _objects(room: LiveRoom, peer: LivePeer) -> Iterator[tuple[_Kind, _Object]]:
    for transport in peer.transports.values():
        yield "transports", transport
    if (state := room.state.peers.get(peer.id)) is not None:
        for producer_id in state.producers:
            yield "producers", room.producers[producer_id]
        for consumer in state.consumers.values():
            yield "consumers", room.consumers[consumer.id]


def _see(sums: PeerSums, kind: _Kind, each: _Object, engines: EngineFigures) -> None:
    host = each.transport.host if isinstance(each, LiveProducer | LiveConsumer) else each.host
    figures = figures_of(engines, host, kind, each.number)
    if not figures:  # the engine has not answered, or has no such object yet
        return
    match each:
        case LiveProducer():
            sums.see_producer(each.number, each.state.rtp.kind, figures)
        case LiveConsumer():
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
        "sums": {name: meeting.sums[name] for name in _SUMS},
        "worst": {name: meeting.worst.get(name) for name in _WORST},
    }


_SUMS = (
    *("packetsSent", "bytesSent", "lostSent", "packetsReceived", "bytesReceived", "lostReceived"),
    *("packetsRetransmitted", "packetsRedundant", "freezes"),
)
_WORST = ("lossSent", "lossReceived", "roundTripMs", "frozenSeconds")


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

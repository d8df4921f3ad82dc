"""The sums of the figures of calls, which ``quality`` makes, and how a later process goes on with
them.

A peer's sums are kept at each look, a meeting's when a peer has left. The objects of an engine
count from zero in a later process. So the counters at the last look are added to what has gone.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Final, Self, TypeAlias

import attrs

from meet_trio.live.attendance import TransportStay
from meet_trio.ortc.fields import Fields, Json
from meet_trio.records import Key, Record

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


Counted: TypeAlias = str
"""Of counters: transports, producers, consumers."""


@attrs.define(eq=False)
class PeerSums:
    """What the looks at a peer's objects have shown. ``present``: the counters of each object at
    the last look, in the order of ``_NAMES``. ``gone``: the sums of those that are no longer there.
    """

    samples: int = 0
    present: dict[tuple[Counted, int], tuple[int, ...]] = attrs.field(factory=dict)
    gone: dict[Counted, tuple[int, ...]] = attrs.field(factory=dict)
    protocols: dict[int, str] = attrs.field(factory=dict)
    """By number of a transport: the present ones, and those that have ended since the last look."""
    round_trip: Looks = attrs.field(factory=Looks)
    outgoing_loss: Looks = attrs.field(factory=Looks)
    sent_jitter: Looks = attrs.field(factory=Looks)
    received_jitter: Looks = attrs.field(factory=Looks)
    sent_score: Looks = attrs.field(factory=Looks)
    received_score: Looks = attrs.field(factory=Looks)

    def begin(self, objects: Iterable[tuple[Counted, int]], ended: Iterable[TransportStay]) -> None:
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

    def _keep(self, kind: Counted, number: int, counters: tuple[int, ...]) -> None:
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

    def sums(self, kind: Counted) -> dict[str, int]:
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


_MAX_ID: Final = 256
_MAX_COUNT: Final = 2**63 - 1
_MAX_PROTOCOLS: Final = 64
_LOOKS = (
    "round_trip",
    "outgoing_loss",
    "sent_jitter",
    "received_jitter",
    "sent_score",
    "received_score",
)


@attrs.frozen
class PeerSumsRecord(Record):
    """What the looks at a peer have shown. ``sums.present`` is part of ``sums.gone``."""

    KIND: ClassVar[str] = "peer_sums"
    VERSION: ClassVar[int] = 1

    room_id: str
    peer_id: str
    sums: PeerSums

    @property
    def key(self) -> Key:
        return self.KIND, self.peer_id

    def fields(self) -> Mapping[str, Json]:
        sums = self.sums
        return {
            "room": self.room_id,
            "peer": self.peer_id,
            "samples": sums.samples,
            "sums": {kind: sums.sums(kind) for kind in _NAMES},
            "protocols": [
                {"number": number, "protocol": text} for number, text in sums.protocols.items()
            ],
            "looks": {
                name: attrs.asdict(looks) if (looks := getattr(sums, name)).count else None
                for name in _LOOKS
            },
        }

    @classmethod
    def read(cls, fields: Fields, version: int) -> Self:
        sums = PeerSums(fields.integer("samples", 0, _MAX_COUNT))
        counters, looks = fields.object("sums"), fields.object("looks")
        for kind, names in _NAMES.items():
            of_kind = counters.object(kind)
            sums.gone[kind] = tuple(of_kind.integer(name, 0, _MAX_COUNT) for name in names)
        sums.protocols = dict(fields.each("protocols", _MAX_PROTOCOLS, _read_protocol))
        for name in _LOOKS:
            if (kept := looks.opt_object(name)) is not None:
                setattr(sums, name, _read_looks(kept))
        return cls(fields.text("room", _MAX_ID, 1), fields.text("peer", _MAX_ID, 1), sums)


def _read_protocol(fields: Fields) -> tuple[int, str]:
    return fields.integer("number", 1, 2**32 - 1), fields.name("protocol", 16)


def _read_looks(fields: Fields) -> Looks:
    last, least, most, total = (
        float(fields.required(key, fields.opt_number(key)))
        for key in ("last", "least", "most", "total")
    )
    return Looks(last, least, most, total, fields.integer("count", 1, _MAX_COUNT))


@attrs.frozen
class MeetingSumsRecord(Record):
    """The sums of the peers of a meeting that have left."""

    KIND: ClassVar[str] = "meeting_sums"
    VERSION: ClassVar[int] = 1

    room_id: str
    sums: MeetingSums

    @property
    def key(self) -> Key:
        return self.KIND, self.room_id

    def fields(self) -> Mapping[str, Json]:
        sums = self.sums
        return {
            "room": self.room_id,
            "invited": sums.invited,
            "joined": sums.joined,
            "seconds": sums.seconds,
            "sums": {name: sums.sums[name] for name in SUMS},
            "worst": sums.worst,
        }

    @classmethod
    def read(cls, fields: Fields, version: int) -> Self:
        counters, worst = fields.object("sums"), fields.object("worst")
        sums = MeetingSums(
            fields.integer("invited", 0, _MAX_COUNT),
            fields.integer("joined", 0, _MAX_COUNT),
            fields.required("seconds", fields.opt_number("seconds")),
            Counter({name: counters.opt_integer(name, 0, _MAX_COUNT) or 0 for name in SUMS}),
        )
        for what in WORST:
            if (kept := worst.opt_object(what)) is not None:
                value = kept.required("value", kept.opt_number("value"))
                sums.worst[what] = {"peer": kept.text("peer", _MAX_ID, 1), "value": value}
        return cls(fields.text("room", _MAX_ID, 1), sums)


SUMS = (
    *("packetsSent", "bytesSent", "lostSent", "packetsReceived", "bytesReceived", "lostReceived"),
    *("packetsRetransmitted", "packetsRedundant", "freezes"),
)
WORST = ("lossSent", "lossReceived", "roundTripMs", "frozenSeconds")

QUALITY_RECORDS: Final[Mapping[str, type[Record]]] = {
    kind.KIND: kind for kind in (PeerSumsRecord, MeetingSumsRecord)
}

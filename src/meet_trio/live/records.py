"""The records of live objects: what a later process needs beside the room's pure state.

SSRCs and MIDs count up and are used once, so a later process must not begin below those of this
one. Each counter is kept as the end of a block (``Counter``): it is written once for many.
"""

from collections.abc import Mapping
from typing import ClassVar, Final, Self

import attrs

from meet_trio.ortc.fields import Fields, Json
from meet_trio.records import Key, Record

_MAX_ID: Final = 256
_MAX_COUNT: Final = 2**53
_MAX_NUMBER: Final = 2**32 - 1
_MAX_PEERS: Final = 100_000  # of a notice
_MAX_DATA: Final = 2**20  # bytes of a notice; the log has no place for more


@attrs.frozen
class MeetingRecord(Record):
    """``ssrcs``: all SSRCs before this one may have been used. ``was_joined``: somebody has come.
    ``listening``: who speaks is followed. ``most_joined``: peers at once.
    """

    KIND: ClassVar[str] = "meeting"
    VERSION: ClassVar[int] = 1

    room_id: str
    created_at: float
    was_joined: bool
    listening: bool
    most_joined: int
    ssrcs: int

    @property
    def key(self) -> Key:
        return self.KIND, self.room_id

    def fields(self) -> Mapping[str, Json]:
        return {
            "room": self.room_id,
            "created_at": self.created_at,
            "was_joined": self.was_joined,
            "listening": self.listening,
            "most_joined": self.most_joined,
            "ssrcs": self.ssrcs,
        }

    @classmethod
    def read(cls, fields: Fields, version: int) -> Self:
        return cls(
            _id(fields, "room"),
            fields.required("created_at", fields.opt_number("created_at")),
            _flag(fields, "was_joined"),
            _flag(fields, "listening"),
            fields.integer("most_joined", 0, _MAX_COUNT),
            fields.integer("ssrcs", 0, _MAX_NUMBER),
        )


@attrs.frozen
class SeatRecord(Record):
    """A peer's place in the server. ``engine``: the index of its engine, None before its first
    transport. ``mids``: all MIDs below this number may have been used. ``joined``: when, in Unix
    seconds. ``connections``: sockets that it had. ``transports_made``: by its client.
    """

    KIND: ClassVar[str] = "seat"
    VERSION: ClassVar[int] = 1

    room_id: str
    peer_id: str
    engine: int | None
    address: str
    mids: int
    invited: float
    joined: float | None
    connections: int
    transports_made: int

    @property
    def key(self) -> Key:
        return self.KIND, self.peer_id

    def fields(self) -> Mapping[str, Json]:
        return {
            "room": self.room_id,
            "peer": self.peer_id,
            "engine": self.engine,
            "address": self.address,
            "mids": self.mids,
            "invited": self.invited,
            "joined": self.joined,
            "connections": self.connections,
            "transports_made": self.transports_made,
        }

    @classmethod
    def read(cls, fields: Fields, version: int) -> Self:
        return cls(
            _id(fields, "room"),
            _id(fields, "peer"),
            fields.opt_integer("engine", 0, 1023),
            fields.text("address", _MAX_ID),
            fields.integer("mids", 0, _MAX_COUNT),
            fields.required("invited", fields.opt_number("invited")),
            fields.opt_number("joined"),
            fields.integer("connections", 0, _MAX_COUNT),
            fields.integer("transports_made", 0, _MAX_COUNT),
        )


@attrs.frozen
class SendingRecord(Record):
    """A producer in its engine: its number there, and the id of its transport."""

    KIND: ClassVar[str] = "sending"
    VERSION: ClassVar[int] = 1

    room_id: str
    id: str
    transport_id: str
    number: int

    @property
    def key(self) -> Key:
        return self.KIND, self.id

    def fields(self) -> Mapping[str, Json]:
        return {
            "room": self.room_id,
            "id": self.id,
            "transport": self.transport_id,
            "number": self.number,
        }

    @classmethod
    def read(cls, fields: Fields, version: int) -> Self:
        return cls(
            _id(fields, "room"),
            _id(fields, "id"),
            _id(fields, "transport"),
            fields.integer("number", 1, _MAX_NUMBER),
        )


@attrs.frozen
class ViewingRecord(Record):
    """A consumer in its engine. ``accepted``: its client has answered the offer."""

    KIND: ClassVar[str] = "viewing"
    VERSION: ClassVar[int] = 1

    room_id: str
    id: str
    transport_id: str
    number: int
    accepted: bool

    @property
    def key(self) -> Key:
        return self.KIND, self.id

    def fields(self) -> Mapping[str, Json]:
        return {
            "room": self.room_id,
            "id": self.id,
            "transport": self.transport_id,
            "number": self.number,
            "accepted": self.accepted,
        }

    @classmethod
    def read(cls, fields: Fields, version: int) -> Self:
        return cls(
            _id(fields, "room"),
            _id(fields, "id"),
            _id(fields, "transport"),
            fields.integer("number", 1, _MAX_NUMBER),
            _flag(fields, "accepted"),
        )


@attrs.frozen
class NoticeRecord(Record):
    """A notice that the peers ``to`` may not have received. Peers get the notices of their room in
    the order of the numbers.
    """

    KIND: ClassVar[str] = "notice"
    VERSION: ClassVar[int] = 1

    room_id: str
    number: int
    method: str
    data: Json
    to: frozenset[str]

    @property
    def key(self) -> Key:
        return self.KIND, self.room_id, str(self.number)

    def fields(self) -> Mapping[str, Json]:
        return {
            "room": self.room_id,
            "number": self.number,
            "method": self.method,
            "data": self.data,
            "to": sorted(self.to),
        }

    @classmethod
    def read(cls, fields: Fields, version: int) -> Self:
        return cls(
            _id(fields, "room"),
            fields.integer("number", 0, _MAX_COUNT),
            fields.text("method", _MAX_ID, 1),
            fields.json("data", _MAX_DATA),
            fields.texts("to", _MAX_PEERS, _MAX_ID),
        )


LIVE_RECORDS: Final[Mapping[str, type[Record]]] = {
    kind.KIND: kind
    for kind in (MeetingRecord, SeatRecord, SendingRecord, ViewingRecord, NoticeRecord)
}


@attrs.define(eq=False)
class Counter:
    """Counts up. ``reserved`` is what a later process begins with; it rises by blocks."""

    next: int = 0
    block: int = 256
    reserved: int = 0

    def take(self) -> tuple[int, bool]:
        """A number that was not taken before, and whether ``reserved`` has risen."""
        number = self.next
        self.next += 1
        risen = number >= self.reserved
        if risen:
            self.reserved = number + self.block
        return number, risen


def _id(fields: Fields, key: str) -> str:
    return fields.text(key, _MAX_ID, 1)


def _flag(fields: Fields, key: str) -> bool:
    return fields.required(key, fields.opt_flag(key))

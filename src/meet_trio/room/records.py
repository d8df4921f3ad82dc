"""The records of a meeting's pure state, one class for each kind of object.

A record has what cannot be worked out from other records. So a producer's ``paused`` is not in it,
which follows from ``paused_by_peer`` and the role of its peer, and neither are the sets of what a
peer lacks. ``recorded.py`` makes the records of a room, ``restore.py`` makes a room of them.

Negotiated parameters are kept as they are, because clients have their numbers. Three things would
be repeated in many records, so they have records of their own, which others name:

- A peer names its capabilities. They take four times the bytes of all else, and most peers of a
  room have equal ones.
- A consumer's parameters are a template with a MID and SSRCs. The template is that of its producer
  and of the capabilities of its peer.
- A consumer that a client has refused is a record, and no part of the peer's: a client may refuse
  one after the other, and what that writes must not grow with those before.

Texts and lists have the highest limits that the settings allow, not the present ones: a record of a
process with other settings is read too.
"""

from collections.abc import Mapping
from typing import ClassVar, Final, Literal, Self, cast

import attrs

from meet_trio.errors import BadRequest
from meet_trio.ortc import ConsumerRtp, ProducerRtp, RtpCapabilities
from meet_trio.ortc.fields import Fields, Json
from meet_trio.ortc.kept import (
    consumer_to_json,
    producer_to_json,
    read_capabilities,
    read_consumer,
    read_producer,
)
from meet_trio.records import Key, Record
from meet_trio.room.last_n import MAX_LAST_N, KeptLastN
from meet_trio.room.limits import RoomLimits
from meet_trio.room.peer import Layers, Source
from meet_trio.room.roles import Role, parse_role

Hears = Literal["nothing", "speakers", "levels"]

_MAX_ID: Final = 256
_MAX_TEXT: Final = 10**6  # characters, or bytes of JSON
_MAX_COUNT: Final = 10**6
_MAX_PINNED: Final = 1000
_MAX_SSRC: Final = 2**32 - 1
_MAX_NUMBER: Final = 2**53
_MAX_MID: Final = 64  # bytes, as the engine


@attrs.frozen
class RoomRecord(Record):
    """The room keeps the limits that it began with, as it does when the settings are read again. A
    limit that the older server did not have is the default one.
    """

    KIND: ClassVar[str] = "room"
    VERSION: ClassVar[int] = 1

    id: str
    created_at: int
    limits: RoomLimits

    @property
    def key(self) -> Key:
        return self.KIND, self.id

    def fields(self) -> Mapping[str, Json]:
        return {"id": self.id, "created_at": self.created_at, "limits": attrs.asdict(self.limits)}

    @classmethod
    def read(cls, fields: Fields, version: int) -> Self:
        limits = fields.object("limits")
        kept = {
            field.name: limit
            for field in attrs.fields(RoomLimits)
            if (limit := limits.opt_integer(field.name, 1, _MAX_COUNT)) is not None
        }
        created_at = fields.integer("created_at", 0, _MAX_NUMBER)
        return cls(_id(fields, "id"), created_at, RoomLimits(**kept))


@attrs.frozen
class LastNRecord(Record):
    KIND: ClassVar[str] = "last_n"
    VERSION: ClassVar[int] = 1

    room_id: str
    kept: KeptLastN

    @property
    def key(self) -> Key:
        return self.KIND, self.room_id

    def fields(self) -> Mapping[str, Json]:
        return {"room": self.room_id, **attrs.asdict(self.kept)}

    @classmethod
    def read(cls, fields: Fields, version: int) -> Self:
        front = _ids(fields, "front", MAX_LAST_N + 1)
        return cls(
            _id(fields, "room"),
            KeptLastN(
                n=fields.opt_integer("n", 0, MAX_LAST_N),
                front=front,
                latest=_ids(fields, "latest", _MAX_COUNT),
                is_on=_flag(fields, "is_on"),
                wide=fields.integer("wide", 0, len(front)),
                lingering=_ids(fields, "lingering", _MAX_COUNT),
            ),
        )


@attrs.frozen
class CapabilitiesRecord(Record):
    """What ``PeerRecord.capabilities`` and ``TemplateRecord.capabilities`` name."""

    KIND: ClassVar[str] = "capabilities"
    VERSION: ClassVar[int] = 1

    room_id: str
    name: str
    capabilities: RtpCapabilities

    @property
    def key(self) -> Key:
        return self.KIND, self.room_id, self.name

    def fields(self) -> Mapping[str, Json]:
        return {"room": self.room_id, "name": self.name, **self.capabilities.to_json()}

    @classmethod
    def read(cls, fields: Fields, version: int) -> Self:
        return cls(_id(fields, "room"), _id(fields, "name"), read_capabilities(fields))


@attrs.frozen
class PeerRecord(Record):
    """``hears``: what it has subscribed to. The others are as in ``Peer``."""

    KIND: ClassVar[str] = "peer"
    VERSION: ClassVar[int] = 1

    room_id: str
    id: str
    order: int
    role: Role
    token: str = attrs.field(repr=False)
    connected: bool
    joined: bool
    nickname: str | Literal[False]
    language: str | None
    raised_hand: bool
    capabilities: str | None
    receiving: bool
    pinned: frozenset[str]
    hears: Hears

    @property
    def key(self) -> Key:
        return self.KIND, self.id

    def fields(self) -> Mapping[str, Json]:
        return {
            "room": self.room_id,
            "id": self.id,
            "order": self.order,
            "role": int(self.role),
            "token": self.token,
            "connected": self.connected,
            "joined": self.joined,
            "nickname": None if self.nickname is False else self.nickname,
            "language": self.language,
            "raised_hand": self.raised_hand,
            "capabilities": self.capabilities,
            "receiving": self.receiving,
            "pinned": sorted(self.pinned),
            "hears": self.hears,
        }

    @classmethod
    def read(cls, fields: Fields, version: int) -> Self:
        nickname = fields.opt_text("nickname", _MAX_TEXT)
        return cls(
            room_id=_id(fields, "room"),
            id=_id(fields, "id"),
            order=_order(fields),
            role=parse_role(fields.required("role", fields.data.get("role"))),
            token=fields.text("token", _MAX_ID),
            connected=_flag(fields, "connected"),
            joined=_flag(fields, "joined"),
            nickname=False if nickname is None else nickname,
            language=fields.opt_text("language", _MAX_ID),
            raised_hand=_flag(fields, "raised_hand"),
            capabilities=fields.opt_text("capabilities", _MAX_ID, 1),
            receiving=_flag(fields, "receiving"),
            pinned=fields.texts("pinned", _MAX_PINNED, _MAX_ID),
            hears=cast(Hears, fields.choice("hears", ("nothing", "speakers", "levels"))),
        )


@attrs.frozen
class ProducerRecord(Record):
    KIND: ClassVar[str] = "producer"
    VERSION: ClassVar[int] = 1

    room_id: str
    id: str
    peer_id: str
    order: int
    rtp: ProducerRtp
    source: Source
    app_data: Mapping[str, Json]
    layers_wanted: bool
    paused_by_peer: bool

    @property
    def key(self) -> Key:
        return self.KIND, self.id

    def fields(self) -> Mapping[str, Json]:
        return {
            "room": self.room_id,
            "id": self.id,
            "peer": self.peer_id,
            "order": self.order,
            "rtp": producer_to_json(self.rtp),
            "source": self.source,
            "app_data": self.app_data,
            "layers_wanted": self.layers_wanted,
            "paused_by_peer": self.paused_by_peer,
        }

    @classmethod
    def read(cls, fields: Fields, version: int) -> Self:
        app_data = fields.object("app_data")
        fields.json("app_data", _MAX_TEXT)
        return cls(
            room_id=_id(fields, "room"),
            id=_id(fields, "id"),
            peer_id=_id(fields, "peer"),
            order=_order(fields),
            rtp=read_producer(fields.object("rtp")),
            source=cast(Source, fields.choice("source", ("mic", "webcam", "screen"))),
            app_data=cast(Mapping[str, Json], app_data.data),
            layers_wanted=_flag(fields, "layers_wanted"),
            paused_by_peer=_flag(fields, "paused_by_peer"),
        )


@attrs.frozen
class TemplateRecord(Record):
    """The template of the consumers of a producer for clients with these capabilities. Its
    parameters have placeholders for the MID and the SSRCs.
    """

    KIND: ClassVar[str] = "template"
    VERSION: ClassVar[int] = 1

    room_id: str
    producer_id: str
    capabilities: str
    rtp: ConsumerRtp

    @property
    def key(self) -> Key:
        return self.KIND, self.producer_id, self.capabilities

    def fields(self) -> Mapping[str, Json]:
        return {
            "room": self.room_id,
            "producer": self.producer_id,
            "capabilities": self.capabilities,
            "rtp": consumer_to_json(self.rtp),
        }

    @classmethod
    def read(cls, fields: Fields, version: int) -> Self:
        return cls(
            _id(fields, "room"),
            _id(fields, "producer"),
            _id(fields, "capabilities"),
            read_consumer(fields.object("rtp")),
        )


@attrs.frozen
class ConsumerRecord(Record):
    """``mid``, ``ssrc`` and ``rtx_ssrc`` are what its client's parameters have beside those of the
    template.
    """

    KIND: ClassVar[str] = "consumer"
    VERSION: ClassVar[int] = 1

    room_id: str
    id: str
    peer_id: str
    producer_id: str
    order: int
    mid: str
    ssrc: int
    rtx_ssrc: int | None
    priority: int
    paused: bool
    preferred: Layers | None
    held_back: bool

    @property
    def key(self) -> Key:
        return self.KIND, self.id

    def fields(self) -> Mapping[str, Json]:
        layers = self.preferred
        return {
            "room": self.room_id,
            "id": self.id,
            "peer": self.peer_id,
            "producer": self.producer_id,
            "order": self.order,
            "mid": self.mid,
            "ssrc": self.ssrc,
            "rtx_ssrc": self.rtx_ssrc,
            "priority": self.priority,
            "paused": self.paused,
            "preferred": None
            if layers is None
            else {"spatial": layers.spatial, "temporal": layers.temporal},
            "held_back": self.held_back,
        }

    @classmethod
    def read(cls, fields: Fields, version: int) -> Self:
        layers = fields.opt_object("preferred")
        return cls(
            room_id=_id(fields, "room"),
            id=_id(fields, "id"),
            peer_id=_id(fields, "peer"),
            producer_id=_id(fields, "producer"),
            order=_order(fields),
            mid=fields.name("mid", _MAX_MID),
            ssrc=fields.integer("ssrc", 1, _MAX_SSRC),
            rtx_ssrc=fields.opt_integer("rtx_ssrc", 1, _MAX_SSRC),
            priority=fields.integer("priority", 1, 255),
            paused=_flag(fields, "paused"),
            preferred=None
            if layers is None
            else Layers(layers.integer("spatial", 0, 255), layers.opt_integer("temporal", 0, 255)),
            held_back=_flag(fields, "held_back"),
        )


@attrs.frozen
class RefusalRecord(Record):
    """The peer's client has refused its consumer of the producer."""

    KIND: ClassVar[str] = "refusal"
    VERSION: ClassVar[int] = 1

    room_id: str
    peer_id: str
    producer_id: str

    @property
    def key(self) -> Key:
        return self.KIND, self.peer_id, self.producer_id

    def fields(self) -> Mapping[str, Json]:
        return {"room": self.room_id, "peer": self.peer_id, "producer": self.producer_id}

    @classmethod
    def read(cls, fields: Fields, version: int) -> Self:
        return cls(_id(fields, "room"), _id(fields, "peer"), _id(fields, "producer"))


ROOM_RECORDS: Final[Mapping[str, type[Record]]] = {
    kind.KIND: kind
    for kind in (
        RoomRecord,
        LastNRecord,
        CapabilitiesRecord,
        PeerRecord,
        ProducerRecord,
        TemplateRecord,
        ConsumerRecord,
        RefusalRecord,
    )
}
"""The records that ``restore_room`` takes, by their kind."""


def _id(fields: Fields, key: str) -> str:
    return fields.text(key, _MAX_ID, 1)


def _order(fields: Fields) -> int:
    return fields.integer("order", 0, _MAX_NUMBER)


def _flag(fields: Fields, key: str) -> bool:
    return fields.required(key, fields.opt_flag(key))


def _ids(fields: Fields, key: str, most: int) -> tuple[str, ...]:
    """Different ids, in their order."""
    value = fields.required(key, fields.data.get(key))
    found = fields.texts(key, most, _MAX_ID)
    if not isinstance(value, list) or len(found) != len(value):
        raise BadRequest(f"{fields.path(key)}: an id is there twice")
    return tuple(value)

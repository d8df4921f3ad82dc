"""The records of transports, and of the certificate that they have in common.

What the engine alone knows of a transport, such as its path and its replay windows, is in the
engine's region (``engine/c/base/region.h``).

A handshake that was not done is not kept: OpenSSL's state cannot be. Its transport ends with the
process.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self

import attrs

from meet_trio.errors import BadRequest
from meet_trio.media.handshake import SrtpKeys
from meet_trio.ortc.fields import Fields, Json
from meet_trio.records import Key, Record, bytes_to_json, read_bytes

if TYPE_CHECKING:
    from meet_trio.media.association import Association

_MAX_ID: Final = 256
_MAX_NUMBER: Final = 2**32 - 1
_MAX_ENGINE: Final = 1023
_MAX_KEYING: Final = 46  # bytes, as the engine
_MAX_DATAGRAM: Final = 2**16
_MAX_COUNT: Final = 2**53
_MAX_PEM: Final = 2**16


@attrs.frozen
class IdentityRecord(Record):
    """The certificate of this server's DTLS and its key, in PEM. Clients were told its fingerprint
    and may use it hours later.
    """

    KIND: ClassVar[str] = "identity"
    VERSION: ClassVar[int] = 1

    pem: bytes = attrs.field(repr=False)

    @property
    def key(self) -> Key:
        return (self.KIND,)

    def fields(self) -> Mapping[str, Json]:
        return {"pem": bytes_to_json(self.pem)}

    @classmethod
    def read(cls, fields: Fields, version: int) -> Self:
        return cls(read_bytes(fields, "pem", 1, _MAX_PEM))


@attrs.frozen
class TransportRecord(Record):
    """What transports of both kinds have. ``engine`` is the index of the transport's engine."""

    room_id: str
    peer_id: str
    id: str
    number: int
    engine: int
    producing: bool
    consuming: bool
    connected_after: float | None
    moves: int

    @property
    def key(self) -> Key:
        return self.KIND, self.id

    def fields(self) -> Mapping[str, Json]:
        return {
            "room": self.room_id,
            "peer": self.peer_id,
            "id": self.id,
            "number": self.number,
            "engine": self.engine,
            "producing": self.producing,
            "consuming": self.consuming,
            "connected_after": self.connected_after,
            "moves": self.moves,
        }


@attrs.frozen(kw_only=True)
class WebRtcRecord(TransportRecord):
    """``keys`` and ``association`` are None until the handshake is done."""

    KIND: ClassVar[str] = "webrtc"
    VERSION: ClassVar[int] = 1

    force_tcp: bool
    username_fragment: str
    password: str = attrs.field(repr=False)
    keys: SrtpKeys | None
    association: "Association | None"

    def fields(self) -> Mapping[str, Json]:
        return {
            **super().fields(),
            "force_tcp": self.force_tcp,
            "ufrag": self.username_fragment,
            "password": self.password,
            "keys": None if self.keys is None else _keys_to_json(self.keys),
            "association": None
            if self.association is None
            else _association_to_json(self.association),
        }

    @classmethod
    def read(cls, fields: Fields, version: int) -> Self:
        keys, association = fields.opt_object("keys"), fields.opt_object("association")
        if (keys is None) is not (association is None):
            raise BadRequest("keys, association: expected both or none")
        return cls(
            **_read_common(fields),
            force_tcp=_flag(fields, "force_tcp"),
            username_fragment=fields.name("ufrag", 256),
            password=fields.name("password", 256),
            keys=None if keys is None else _read_keys(keys),
            association=None if association is None else _read_association(association),
        )


@attrs.frozen(kw_only=True)
class PlainRecord(TransportRecord):
    """``ip`` is the announced address, ``listen_ip`` the one that its sockets are bound to.
    ``remote``: the client's address, RTP port and RTCP port, if it has told them.
    """

    KIND: ClassVar[str] = "plain"
    VERSION: ClassVar[int] = 1

    ip: str
    listen_ip: str
    port: int
    rtcp_port: int
    allowed: tuple[str, ...]
    remote: tuple[str, int, int] | None

    def fields(self) -> Mapping[str, Json]:
        return {
            **super().fields(),
            "ip": self.ip,
            "listen_ip": self.listen_ip,
            "port": self.port,
            "rtcp_port": self.rtcp_port,
            "allowed": list(self.allowed),
            "remote": None
            if self.remote is None
            else dict(zip(("ip", "port", "rtcp_port"), self.remote, strict=True)),
        }

    @classmethod
    def read(cls, fields: Fields, version: int) -> Self:
        remote = fields.opt_object("remote")
        return cls(
            **_read_common(fields),
            ip=fields.name("ip", 256),
            listen_ip=fields.name("listen_ip", 64),
            port=_port(fields, "port"),
            rtcp_port=_port(fields, "rtcp_port"),
            allowed=tuple(sorted(fields.texts("allowed", 16, 64))),
            remote=None
            if remote is None
            else (remote.name("ip", 64), _port(remote, "port"), _port(remote, "rtcp_port")),
        )


TRANSPORT_RECORDS: Final[Mapping[str, type[Record]]] = {
    kind.KIND: kind for kind in (WebRtcRecord, PlainRecord)
}


def _keys_to_json(keys: SrtpKeys) -> dict[str, Json]:
    return {
        "profile": keys.profile,
        "tx": bytes_to_json(keys.tx),
        "rx": bytes_to_json(keys.rx),
    }


def _read_keys(fields: Fields) -> SrtpKeys:
    return SrtpKeys(
        fields.integer("profile", 1, 0xFFFF),
        read_bytes(fields, "tx", 1, _MAX_KEYING),
        read_bytes(fields, "rx", 1, _MAX_KEYING),
    )


def _association_to_json(association: "Association") -> dict[str, Json]:
    secrets = association.secrets
    return {
        "last_flight": bytes_to_json(association.last_flight),
        "goodbye": bytes_to_json(association.goodbye),
        "suite": secrets.suite,
        "master": bytes_to_json(secrets.master),
        "client_random": bytes_to_json(secrets.client_random),
        "server_random": bytes_to_json(secrets.server_random),
    }


def _read_association(fields: Fields) -> "Association":
    # imported here, because it loads much that a start without calls does not need
    from meet_trio.media.association import CIPHER_SUITES, Association, Secrets

    return Association(
        read_bytes(fields, "last_flight", 0, _MAX_DATAGRAM),
        read_bytes(fields, "goodbye", 0, _MAX_DATAGRAM),
        Secrets(
            fields.choice("suite", CIPHER_SUITES),
            read_bytes(fields, "master", 48, 48),  # RFC 5246 section 8.1
            read_bytes(fields, "client_random", 32, 32),
            read_bytes(fields, "server_random", 32, 32),
        ),
    )


def _read_common(fields: Fields) -> dict[str, Any]:
    return {
        "room_id": fields.text("room", _MAX_ID, 1),
        "peer_id": fields.text("peer", _MAX_ID, 1),
        "id": fields.text("id", _MAX_ID, 1),
        "number": fields.integer("number", 1, _MAX_NUMBER),
        "engine": fields.integer("engine", 0, _MAX_ENGINE),
        "producing": _flag(fields, "producing"),
        "consuming": _flag(fields, "consuming"),
        "connected_after": fields.opt_number("connected_after"),
        "moves": fields.integer("moves", 0, _MAX_COUNT),
    }


def _port(fields: Fields, key: str) -> int:
    return fields.integer(key, 1, 65535)


def _flag(fields: Fields, key: str) -> bool:
    return fields.required(key, fields.opt_flag(key))

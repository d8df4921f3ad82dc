"""The requests of a client as frozen records.

``parse_request`` makes all of them from JSON. The fields of a record have the declared types and
are within the limits; anything else raises a ``BadRequest`` that names the field. There is one
record and one parser for each method; the table at the end lists the methods. Unknown fields are
ignored, as the original server does.
"""

import ipaddress
import json
import re
from collections.abc import Callable, Mapping
from typing import TypeAlias, cast

import attrs

from meet_trio.errors import BadRequest
from meet_trio.ortc import (
    DtlsFingerprint,
    MediaKind,
    RtpCapabilities,
    RtpParameters,
    parse_rtp_capabilities,
    parse_rtp_parameters,
)
from meet_trio.ortc.fields import Fields, Json
from meet_trio.room.last_n import MAX_LAST_N
from meet_trio.room.limits import RoomLimits
from meet_trio.room.peer import Layers, Source
from meet_trio.room.roles import Role, parse_role

_DEFAULTS = RoomLimits()
_MAX_ID = 128
_MAX_METHOD = 100
_MAX_LAYER = 255  # as in mediasoup; an engine has fewer
_MAX_BITRATE = 10**10
# The least that mediasoup accepts: below it the bandwidth could not be estimated
_LEAST_BITRATE = 30_000
_LANGUAGE = re.compile(r"[a-z]{2}\Z")
_DIGEST_BYTES = {"sha-1": 20, "sha-224": 28, "sha-256": 32, "sha-384": 48, "sha-512": 64}


class UnknownMethod(BadRequest):
    """The client asked for a method that does not exist. The message is that of the original."""

    def __init__(self, method: object) -> None:
        super().__init__(f'unknown request.method "{method_name(method)}"')


@attrs.frozen
class Ping:
    pass


@attrs.frozen
class DumpStats:
    pass


@attrs.frozen
class GetRouterRtpCapabilities:
    pass


@attrs.frozen
class Join:
    """``nickname`` None keeps the present one. Without capabilities the peer gets no consumers."""

    nickname: str | None
    rtp_capabilities: RtpCapabilities | None


@attrs.frozen
class CreateWebRtcTransport:
    force_tcp: bool
    producing: bool
    consuming: bool


@attrs.frozen
class ConnectWebRtcTransport:
    transport_id: str
    fingerprints: tuple[DtlsFingerprint, ...]


@attrs.frozen
class RestartIce:
    transport_id: str


@attrs.frozen
class CreatePlainTransport:
    producing: bool
    consuming: bool


@attrs.frozen
class ConnectPlainTransport:
    """``ip`` is a valid IPv4 or IPv6 address. Whether media may be sent there is not checked here,
    but in ``media.plain``.
    """

    transport_id: str
    ip: str
    port: int
    rtcp_port: int


@attrs.frozen
class Produce:
    """``app_data`` is the client's whole ``appData``, including ``source``. ``layers_wanted``: the
    client gets ``producerLayersWanted``.
    """

    transport_id: str
    kind: MediaKind
    rtp_parameters: RtpParameters
    source: Source
    app_data: Mapping[str, Json]
    layers_wanted: bool = False


@attrs.frozen
class CloseProducer:
    producer_id: str


@attrs.frozen
class PauseProducer:
    producer_id: str


@attrs.frozen
class ResumeProducer:
    producer_id: str


@attrs.frozen
class PauseConsumer:
    consumer_id: str


@attrs.frozen
class ResumeConsumer:
    consumer_id: str


@attrs.frozen
class SetConsumerPreferredLayers:
    consumer_id: str
    layers: Layers


@attrs.frozen
class SetConsumerPriority:
    consumer_id: str
    priority: int


@attrs.frozen
class RequestConsumerKeyFrame:
    consumer_id: str


@attrs.frozen
class SetTransportMaxBitrate:
    """``transport_id`` None: the transport that the peer's consumers are on. ``max_bitrate`` is in
    bit/s; 0 is no limit.
    """

    transport_id: str | None
    max_bitrate: int


@attrs.frozen
class ChangeNickname:
    nickname: str


@attrs.frozen
class RaisedHand:
    raised_hand: bool


@attrs.frozen
class ChatMessage:
    message: str


@attrs.frozen
class AddRole:
    peer_id: str
    role: Role


@attrs.frozen
class RemoveRole:
    peer_id: str
    role: Role


@attrs.frozen
class ChangeLanguage:
    """Two lower-case letters, or None or "" for no language."""

    peer_id: str
    language: str | None


@attrs.frozen
class JoinRequestAccept:
    request_id: str


@attrs.frozen
class JoinRequestDeny:
    request_id: str


@attrs.frozen
class KickPeer:
    peer_id: str


@attrs.frozen
class CloseRoom:
    pass


@attrs.frozen
class SubscribeSpeakers:
    """``audio_levels``: audio levels too, not only who speaks."""

    audio_levels: bool


@attrs.frozen
class UnsubscribeSpeakers:
    pass


@attrs.frozen
class SetPinnedPeers:
    peer_ids: frozenset[str]


@attrs.frozen
class SetLastN:
    """``n`` None: last-N is off."""

    n: int | None


Request: TypeAlias = (
    Ping
    | DumpStats
    | GetRouterRtpCapabilities
    | Join
    | CreateWebRtcTransport
    | ConnectWebRtcTransport
    | RestartIce
    | CreatePlainTransport
    | ConnectPlainTransport
    | Produce
    | CloseProducer
    | PauseProducer
    | ResumeProducer
    | PauseConsumer
    | ResumeConsumer
    | SetConsumerPreferredLayers
    | SetConsumerPriority
    | RequestConsumerKeyFrame
    | SetTransportMaxBitrate
    | ChangeNickname
    | RaisedHand
    | ChatMessage
    | AddRole
    | RemoveRole
    | ChangeLanguage
    | JoinRequestAccept
    | JoinRequestDeny
    | KickPeer
    | CloseRoom
    | SubscribeSpeakers
    | UnsubscribeSpeakers
    | SetPinnedPeers
    | SetLastN
)
CapabilityParser: TypeAlias = Callable[[object], RtpCapabilities]
_Parser: TypeAlias = Callable[[Fields, RoomLimits, CapabilityParser], Request]


def method_name(method: object) -> str:
    """The method for answers and for the log: its first ``_MAX_METHOD`` characters. If the client
    has sent something else than a string, its JSON is taken.
    """
    name = method if isinstance(method, str) else json.dumps(method)
    return name[:_MAX_METHOD].encode(errors="replace").decode()


def parse_request(
    method: object,
    data: object,
    limits: RoomLimits = _DEFAULTS,
    parse_capabilities: CapabilityParser = parse_rtp_capabilities,
) -> Request:
    """The record for ``method``; raises ``UnknownMethod`` or another ``BadRequest``.
    ``parse_capabilities`` parses those of a ``Join``.

    Methods without fields ignore ``data``.
    """
    if isinstance(method, str):
        bare = _WITHOUT_DATA.get(method)
        if bare is not None:
            return bare
        parser = _PARSERS.get(method)
        if parser is not None:
            # messages name top-level fields without the prefix "data."
            fields = Fields(Fields.of(data, "data").data)
            return parser(fields, limits, parse_capabilities)
    raise UnknownMethod(method)


def _join(fields: Fields, limits: RoomLimits, parse_capabilities: CapabilityParser) -> Join:
    capabilities = fields.data.get("rtpCapabilities")
    return Join(
        nickname=fields.opt_text("nickname", limits.nickname),
        rtp_capabilities=None if capabilities is None else parse_capabilities(capabilities),
    )


def _create_webrtc_transport(fields: Fields, *_: object) -> CreateWebRtcTransport:
    return CreateWebRtcTransport(
        force_tcp=fields.flag("forceTcp", False),
        producing=fields.flag("producing", False),
        consuming=fields.flag("consuming", False),
    )


def _connect_webrtc_transport(fields: Fields, *_: object) -> ConnectWebRtcTransport:
    dtls = fields.object("dtlsParameters")
    if dtls.data.get("role") is not None:
        dtls.choice("role", ("auto", "client", "server"))
    fingerprints = dtls.each("fingerprints", 16, _fingerprint)
    if not fingerprints:
        dtls.fail("fingerprints", "expected at least one")
    return ConnectWebRtcTransport(
        transport_id=_id(fields, "transportId"),
        fingerprints=fingerprints,
    )


def _fingerprint(fields: Fields) -> DtlsFingerprint:
    algorithm = fields.choice("algorithm", tuple(_DIGEST_BYTES))
    value = fields.text("value", 256).upper()
    if not re.fullmatch(f"[0-9A-F]{{2}}(:[0-9A-F]{{2}}){{{_DIGEST_BYTES[algorithm] - 1}}}", value):
        fields.fail("value", f"expected {_DIGEST_BYTES[algorithm]} bytes in hex with colons")
    return DtlsFingerprint(algorithm, value)


def _create_plain_transport(fields: Fields, *_: object) -> CreatePlainTransport:
    return CreatePlainTransport(fields.flag("producing", False), fields.flag("consuming", False))


def _connect_plain_transport(fields: Fields, *_: object) -> ConnectPlainTransport:
    ip = fields.text("ip", 64)
    try:
        ipaddress.ip_address(ip)
    except ValueError:
        fields.fail("ip", "expected an IP address")
    return ConnectPlainTransport(
        transport_id=_id(fields, "transportId"),
        ip=ip,
        port=fields.integer("port", 1, 65535),
        rtcp_port=fields.integer("rtcpPort", 1, 65535),
    )


def _produce(fields: Fields, limits: RoomLimits, *_: object) -> Produce:
    app_data = fields.object("appData")
    fields.json("appData", limits.app_data)
    return Produce(
        transport_id=_id(fields, "transportId"),
        kind=cast(MediaKind, fields.choice("kind", ("audio", "video"))),
        rtp_parameters=parse_rtp_parameters(fields.data.get("rtpParameters")),
        source=cast(Source, app_data.choice("source", ("mic", "webcam", "screen"))),
        app_data=cast(Mapping[str, Json], app_data.data),
        layers_wanted=fields.flag("layersWanted", False),
    )


def _preferred_layers(fields: Fields, *_: object) -> SetConsumerPreferredLayers:
    return SetConsumerPreferredLayers(
        consumer_id=_id(fields, "consumerId"),
        layers=Layers(
            fields.integer("spatialLayer", 0, _MAX_LAYER),
            fields.opt_integer("temporalLayer", 0, _MAX_LAYER),
        ),
    )


def _consumer_priority(fields: Fields, *_: object) -> SetConsumerPriority:
    return SetConsumerPriority(_id(fields, "consumerId"), fields.integer("priority", 1, 255))


def _transport_max_bitrate(fields: Fields, *_: object) -> SetTransportMaxBitrate:
    bitrate = fields.integer("maxBitrate", 0, _MAX_BITRATE)
    if 0 < bitrate < _LEAST_BITRATE:
        fields.fail("maxBitrate", f"expected 0 or at least {_LEAST_BITRATE}")
    return SetTransportMaxBitrate(fields.opt_text("transportId", _MAX_ID, 1), bitrate)


def _change_language(fields: Fields, *_: object) -> ChangeLanguage:
    language = fields.opt_text("language", 2)
    if language and not _LANGUAGE.match(language):
        fields.fail("language", "expected two lower-case letters")
    return ChangeLanguage(_id(fields, "peerId"), language)


def _raised_hand(fields: Fields, *_: object) -> RaisedHand:
    return RaisedHand(fields.required("raisedHand", fields.opt_flag("raisedHand")))


def _role(fields: Fields) -> tuple[str, Role]:
    role = fields.required("role", fields.data.get("role"))
    return _id(fields, "peerId"), parse_role(role)


def _set_pinned_peers(fields: Fields, limits: RoomLimits, *_: object) -> SetPinnedPeers:
    return SetPinnedPeers(fields.texts("peerIds", limits.pinned_peers, _MAX_ID))


def _id(fields: Fields, key: str) -> str:
    return fields.text(key, _MAX_ID, 1)


_WITHOUT_DATA: Mapping[str, Request] = {
    "ping": Ping(),
    "dumpStats": DumpStats(),
    "getRouterRtpCapabilities": GetRouterRtpCapabilities(),
    "moderator:closeRoom": CloseRoom(),
    "unsubscribeSpeakers": UnsubscribeSpeakers(),
}
_PARSERS: Mapping[str, _Parser] = {
    "join": _join,
    "createWebRtcTransport": _create_webrtc_transport,
    "connectWebRtcTransport": _connect_webrtc_transport,
    "restartIce": lambda fields, *_: RestartIce(_id(fields, "transportId")),
    "createPlainTransport": _create_plain_transport,
    "connectPlainTransport": _connect_plain_transport,
    "produce": _produce,
    "closeProducer": lambda fields, *_: CloseProducer(_id(fields, "producerId")),
    "pauseProducer": lambda fields, *_: PauseProducer(_id(fields, "producerId")),
    "resumeProducer": lambda fields, *_: ResumeProducer(_id(fields, "producerId")),
    "pauseConsumer": lambda fields, *_: PauseConsumer(_id(fields, "consumerId")),
    "resumeConsumer": lambda fields, *_: ResumeConsumer(_id(fields, "consumerId")),
    "setConsumerPreferredLayers": _preferred_layers,
    "setConsumerPriority": _consumer_priority,
    "requestConsumerKeyFrame": lambda fields, *_: RequestConsumerKeyFrame(
        _id(fields, "consumerId")
    ),
    "setTransportMaxBitrate": _transport_max_bitrate,
    "changeNickname": lambda fields, limits, *_: ChangeNickname(
        fields.text("nickname", limits.nickname)
    ),
    "raisedHand": _raised_hand,
    "chatMessage": lambda fields, limits, *_: ChatMessage(
        fields.text("message", limits.chat_message)
    ),
    "moderator:addRole": lambda fields, *_: AddRole(*_role(fields)),
    "moderator:removeRole": lambda fields, *_: RemoveRole(*_role(fields)),
    "moderator:changeLanguage": _change_language,
    "moderator:joinRequestAccept": lambda fields, *_: JoinRequestAccept(_id(fields, "requestId")),
    "moderator:joinRequestDeny": lambda fields, *_: JoinRequestDeny(_id(fields, "requestId")),
    "moderator:kickPeer": lambda fields, *_: KickPeer(_id(fields, "peerId")),
    "subscribeSpeakers": lambda fields, *_: SubscribeSpeakers(fields.flag("audioLevels", False)),
    "setPinnedPeers": _set_pinned_peers,
    "moderator:setLastN": lambda fields, *_: SetLastN(fields.opt_integer("n", 0, MAX_LAST_N)),
}

"""Negotiates the RTP parameters of producers and consumers: pure functions, mediasoup 3's rules
except that a client may ask for lost audio packets (NACK) if it offers to.

``negotiate_producer`` checks the publisher's parameters and translates them into *consumable*
parameters: the same stream with the router's payload types and header extension ids, and with SSRCs
of the router. ``negotiate_consumer`` reduces these to what one client supports: the codecs that it
knows, the header extensions that it listed, one kind of bandwidth feedback, and RTX if both sides
support it. A consumer has one encoding, in place of all encodings of the producer.

The caller passes a function that returns a new SSRC at each call. Its SSRCs have to be unique in
the room.
"""

import re
from collections.abc import Callable, Iterable, Mapping

import attrs

from meet_trio.errors import BadRequest
from meet_trio.ortc.h264 import answer_profile_level
from meet_trio.ortc.match import same_codec
from meet_trio.ortc.records import (
    Codec,
    CodecCapability,
    Encoding,
    HeaderExtension,
    MediaKind,
    Rtcp,
    RtpCapabilities,
    RtpParameters,
    StreamType,
    Uri,
    is_rtx,
)

# like L1T3, L3T2_KEY, L2T2h (W3C webrtc-svc section 5)
_SCALABILITY_MODE = re.compile(r"[LS]([1-9][0-9]?)T([1-9][0-9]?)(h|_KEY(_SHIFT)?)?\Z")


@attrs.frozen
class ProducerRtp:
    """A negotiated producer.

    ``params`` are the publisher's parameters, ``consumable`` the router's. The encoding
    ``params.encodings[i]`` has the router's SSRC ``consumable.encodings[i].ssrc``.
    ``payload_types`` maps the publisher's payload types to the router's.
    """

    kind: MediaKind
    type: StreamType
    params: RtpParameters
    consumable: RtpParameters
    payload_types: Mapping[int, int]


@attrs.frozen
class ConsumerRtp:
    """A negotiated consumer. Its client gets ``params``, which have exactly one encoding."""

    kind: MediaKind
    type: StreamType
    params: RtpParameters


def negotiate_producer(
    kind: MediaKind,
    params: RtpParameters,
    router_caps: RtpCapabilities,
    new_ssrc: Callable[[], int],
    *,
    cname: str | None = None,
    by_payload_type: bool = False,
) -> ProducerRtp:
    """Accept the parameters of a client that wants to produce, or raise ``BadRequest``.

    ``cname`` is used if the client sends none. It should be the same for all producers of a peer:
    the CNAME tells viewers that audio and video share a clock. ``by_payload_type``: a single stream
    may be identified by its payload type alone, which is usual in plain RTP.
    """
    caps = _match_codecs(kind, params, router_caps)
    _check_streams(params, by_payload_type)
    _check_extensions(params)
    known = {extension.uri for extension in router_caps.header_extensions}
    params = attrs.evolve(
        params,
        codecs=tuple(_answer(codec, caps[codec.payload_type]) for codec in _in_use(params)),
        header_extensions=tuple(ext for ext in params.header_extensions if ext.uri in known),
        rtcp=Rtcp(params.rtcp.cname or cname or f"{new_ssrc():08x}", params.rtcp.reduced_size),
    )
    return ProducerRtp(
        kind=kind,
        type=_stream_type(params),
        params=params,
        consumable=_consumable(kind, params, caps, router_caps, new_ssrc),
        payload_types={
            codec.payload_type: payload_type
            for codec in params.codecs
            if (payload_type := caps[codec.payload_type].preferred_payload_type) is not None
        },
    )


def usable_capabilities(caps: RtpCapabilities, router_caps: RtpCapabilities) -> RtpCapabilities:
    """The part of ``caps`` that matters to ``can_consume`` and ``negotiate_consumer``: codecs and
    header extensions that the router has, and each codec once.

    Both functions are called for every producer of a room. They are cheaper with this part than
    with all that the client has sent.
    """
    codecs: dict[int, CodecCapability] = {}  # by index, in the client's order
    for ours in router_caps.codecs:
        for index, theirs in enumerate(caps.codecs):
            if same_codec(theirs, ours):
                codecs[index] = theirs
                break
    known = {(extension.uri, extension.preferred_id) for extension in router_caps.header_extensions}
    extensions = {
        (extension.uri, extension.preferred_id): extension
        for extension in caps.header_extensions
        if (extension.uri, extension.preferred_id) in known
    }
    return RtpCapabilities(
        tuple(codecs[index] for index in sorted(codecs)), tuple(extensions.values())
    )


def can_consume(producer: ProducerRtp, caps: RtpCapabilities) -> bool:
    media = producer.consumable.media_codec()
    return any(same_codec(cap, media) for cap in caps.codecs)


def negotiate_consumer(
    producer: ProducerRtp, caps: RtpCapabilities, mid: str, new_ssrc: Callable[[], int]
) -> ConsumerRtp | None:
    """The parameters of a consumer of ``producer`` for a client with ``caps``; None if the client
    knows none of the producer's codecs.
    """
    codecs = _consumer_codecs(producer, caps)
    if not codecs:
        return None
    known = {(extension.uri, extension.preferred_id) for extension in caps.header_extensions}
    consumable = producer.consumable
    extensions = tuple(
        extension
        for extension in consumable.header_extensions
        if (extension.uri, extension.id) in known
    )
    dropped = _superfluous_feedback(extensions)
    params = RtpParameters(
        codecs=tuple(
            attrs.evolve(
                codec,
                rtcp_feedback=tuple(fb for fb in codec.rtcp_feedback if fb.type not in dropped),
            )
            for codec in codecs
        ),
        header_extensions=extensions,
        encodings=(_consumer_encoding(consumable.encodings, codecs, new_ssrc),),
        rtcp=consumable.rtcp,
        mid=mid,
    )
    return ConsumerRtp(producer.kind, producer.type, params)


def _match_codecs(
    kind: MediaKind, params: RtpParameters, router_caps: RtpCapabilities
) -> dict[int, CodecCapability]:
    """A map from the publisher's payload types to the router's codecs."""
    _unique((codec.payload_type for codec in params.codecs), "rtpParameters.codecs", "payload type")
    caps: dict[int, CodecCapability] = {}
    for index, codec in enumerate(params.codecs):
        name = f"rtpParameters.codecs[{index}]"
        if not codec.mime_type.lower().startswith(f"{kind}/"):
            raise BadRequest(f"{name}.mimeType: {codec.mime_type} is not {kind}")
        if codec.is_rtx:
            continue
        match = next((cap for cap in router_caps.codecs if same_codec(codec, cap)), None)
        if match is None:
            raise BadRequest(f"{name}: codec {codec.mime_type} is not supported as it is described")
        caps[codec.payload_type] = match
    if not caps:
        raise BadRequest("rtpParameters.codecs: expected a media codec")
    for index, codec in enumerate(params.codecs):
        if codec.is_rtx:
            apt = codec.parameters.get("apt")
            media = caps.get(apt) if isinstance(apt, int) else None
            rtx = None if media is None else _rtx_of(media, router_caps)
            if rtx is None:
                name = f"rtpParameters.codecs[{index}].parameters.apt"
                raise BadRequest(f"{name}: repairs no known codec")
            caps[codec.payload_type] = rtx
    media_types = {codec.payload_type for codec in params.codecs if not codec.is_rtx}
    named = {encoding.codec_payload_type for encoding in params.encodings}
    if named != {None} and not (len(named) == 1 and named <= media_types):
        name = "rtpParameters.encodings[0].codecPayloadType"
        raise BadRequest(f"{name}: expected one media codec for all")
    return caps


def _rtx_of(media: CodecCapability, router_caps: RtpCapabilities) -> CodecCapability | None:
    for cap in router_caps.codecs:
        if is_rtx(cap.mime_type) and cap.parameters.get("apt") == media.preferred_payload_type:
            return cap
    return None


def _in_use(params: RtpParameters) -> tuple[Codec, ...]:
    """The media codec and its RTX codec. The publisher may list other codecs, but it does not send
    them: the engine accepts one media payload type for each producer, as mediasoup does.
    """
    rtx = params.rtx_codec()
    return (params.media_codec(),) if rtx is None else (params.media_codec(), rtx)


def _answer(codec: Codec, cap: CodecCapability) -> Codec:
    """The codec with the negotiated level if it is H.264. All other parameters stay as the
    publisher wrote them.
    """
    if codec.mime_type.lower() != "video/h264":
        return codec
    level = answer_profile_level(codec.parameters, cap.parameters)
    if level is None:  # same_codec() has compared the profiles
        raise AssertionError("profiles differ")
    return attrs.evolve(codec, parameters={**codec.parameters, "profile-level-id": level})


def _check_streams(params: RtpParameters, by_payload_type: bool) -> None:
    """Check that the engine can identify every stream: by its SSRC or by the MID, and by the RID
    too if there are several encodings.
    """
    encodings = params.encodings
    ssrcs = [ssrc for encoding in encodings for ssrc in (encoding.ssrc, encoding.rtx_ssrc) if ssrc]
    _unique(ssrcs, "rtpParameters.encodings", "ssrc")
    _unique((enc.rid for enc in encodings if enc.rid), "rtpParameters.encodings", "rid")
    ids = params.extension_ids()
    for index, encoding in enumerate(encodings):
        name = f"rtpParameters.encodings[{index}]"
        if encoding.scalability_mode and not _SCALABILITY_MODE.match(encoding.scalability_mode):
            raise BadRequest(f"{name}.scalabilityMode: expected one like L1T3")
        if encoding.ssrc is not None:
            continue
        if by_payload_type and len(encodings) == 1 and encoding.rid is None:
            continue
        if params.mid is None or Uri.MID not in ids:
            raise BadRequest(f"{name}.ssrc: is missing, and there is no mid to know it by")
        if encoding.rid is None and len(encodings) > 1:
            raise BadRequest(f"{name}: expected ssrc or rid")
        if encoding.rid is not None and Uri.RID not in ids:
            raise BadRequest(f"rtpParameters.headerExtensions: expected {Uri.RID} for the rids")


def _check_extensions(params: RtpParameters) -> None:
    name = "rtpParameters.headerExtensions"
    _unique((extension.id for extension in params.header_extensions), name, "id")
    _unique((extension.uri for extension in params.header_extensions), name, "uri")


def _unique(values: Iterable[int | str], where: str, what: str) -> None:
    seen: set[int | str] = set()
    for value in values:
        if value in seen:
            raise BadRequest(f"{where}: {what} {value} is there twice")
        seen.add(value)


def _stream_type(params: RtpParameters) -> StreamType:
    if len(params.encodings) > 1:
        return "simulcast"
    spatial, temporal = _layers(params.encodings[0].scalability_mode)
    if spatial == temporal == 1:
        return "simple"
    name = params.media_codec().mime_type.lower()
    if name in ("video/vp9", "video/av1"):
        return "svc"
    return "simulcast" if name in ("video/vp8", "video/h264") else "simple"


def _layers(scalability_mode: str | None) -> tuple[int, int]:
    """Spatial and temporal layers of a mode like ``L3T2_KEY`` (W3C webrtc-svc)."""
    match = _SCALABILITY_MODE.match(scalability_mode or "")
    return (int(match[1]), int(match[2])) if match else (1, 1)


def _consumable(
    kind: MediaKind,
    params: RtpParameters,
    caps: Mapping[int, CodecCapability],
    router_caps: RtpCapabilities,
    new_ssrc: Callable[[], int],
) -> RtpParameters:
    media = params.media_codec()
    cap = caps[media.payload_type]
    # The codec parameters describe the publisher's bitstream. All else is the router's.
    codecs = [_codec(cap, media.parameters)]
    rtx = _rtx_of(cap, router_caps)
    if rtx is not None:
        codecs.append(_codec(rtx, rtx.parameters))
    return RtpParameters(
        codecs=tuple(codecs),
        header_extensions=tuple(
            HeaderExtension(cap.uri, cap.preferred_id, cap.preferred_encrypt)
            for cap in router_caps.header_extensions
            if cap.kind == kind
            and cap.direction in ("sendrecv", "sendonly")
            and (cap.uri != Uri.DEPENDENCY_DESCRIPTOR or _has_descriptor(media))
        ),
        encodings=tuple(
            attrs.evolve(
                encoding, ssrc=new_ssrc(), rid=None, rtx_ssrc=None, codec_payload_type=None
            )
            for encoding in params.encodings
        ),
        rtcp=Rtcp(params.rtcp.cname, reduced_size=True),
    )


def _has_descriptor(media: Codec) -> bool:
    """Whether viewers get the Dependency Descriptor. For codecs other than AV1 the payload has what
    a viewer needs, and the engine renumbers only that.
    """
    return media.mime_type.lower() == "video/av1"


def _codec(cap: CodecCapability, parameters: Mapping[str, str | int | float]) -> Codec:
    if cap.preferred_payload_type is None:
        raise AssertionError("the router's codecs have payload types")
    return Codec(
        mime_type=cap.mime_type,
        payload_type=cap.preferred_payload_type,
        clock_rate=cap.clock_rate,
        channels=cap.channels,
        parameters=parameters,
        rtcp_feedback=cap.rtcp_feedback,
    )


def _consumer_codecs(producer: ProducerRtp, caps: RtpCapabilities) -> list[Codec]:
    """The codecs of ``producer`` that the client knows, with the client's RTCP feedback. The list
    is empty if the client does not know the media codec.
    """
    # Lost audio is sent again under its own SSRC, so audio needs no RTX. mediasoup removes NACK
    # from audio consumers, too. Here it stays, because most retransmissions come in time: at a loss
    # of 10 % and a round trip of 20 ms it lowers the audio that browsers conceal from 8.8 to 1.2 %.
    with_rtx = producer.kind == "video"
    codecs: list[Codec] = []
    for codec in producer.consumable.codecs:
        if codec.is_rtx and not with_rtx:
            continue
        cap = next((cap for cap in caps.codecs if same_codec(cap, codec)), None)
        if cap is not None:
            codecs.append(attrs.evolve(codec, rtcp_feedback=cap.rtcp_feedback))
    media = {codec.payload_type for codec in codecs if not codec.is_rtx}
    return [codec for codec in codecs if not codec.is_rtx or codec.parameters.get("apt") in media]


def _superfluous_feedback(extensions: Iterable[HeaderExtension]) -> frozenset[str]:
    """The types of bandwidth feedback to leave out. One type stays at most: transport-cc if its
    header extension is there, else REMB if abs-send-time is there.
    """
    uris = {extension.uri for extension in extensions}
    if Uri.TRANSPORT_CC in uris:
        return frozenset({"goog-remb"})
    if Uri.ABS_SEND_TIME in uris:
        return frozenset({"transport-cc"})
    return frozenset({"goog-remb", "transport-cc"})


def _consumer_encoding(
    layers: tuple[Encoding, ...], codecs: Iterable[Codec], new_ssrc: Callable[[], int]
) -> Encoding:
    """The one encoding of a consumer, in place of all encodings of the producer."""
    mode = next((layer.scalability_mode for layer in layers if layer.scalability_mode), None)
    if len(layers) > 1:
        mode = f"L{len(layers)}T{_layers(mode)[1]}"
    return Encoding(
        ssrc=new_ssrc(),
        rtx_ssrc=new_ssrc() if any(codec.is_rtx for codec in codecs) else None,
        scalability_mode=mode,
        max_bitrate=max((layer.max_bitrate or 0 for layer in layers), default=0) or None,
    )

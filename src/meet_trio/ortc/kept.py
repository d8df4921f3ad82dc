"""Negotiated parameters and capabilities as JSON that is kept, and read by a later process.

Clients and engines have the numbers of a negotiation. Another version of the server may negotiate
otherwise, so nothing is negotiated or filtered again here: what is read equals what was written, to
the order of the keys. ``parse.py`` reads what a client asks for, and drops what it does not know.

What is read is well-formed and within the limits of ``parse.py``. Anything else raises a
``BadRequest`` that names the field.
"""

from typing import cast

from meet_trio.ortc.fields import Fields, Json
from meet_trio.ortc.negotiate import ConsumerRtp, ProducerRtp
from meet_trio.ortc.parse import (
    KINDS,
    MAX_CAPABILITIES,
    MAX_CNAME,
    MAX_CODECS,
    MAX_ENCODINGS,
    MAX_EXTENSIONS,
    MAX_FEEDBACK,
    MAX_NAME,
    MAX_SSRC,
    mime_type_of,
    parse_extension,
    parse_extension_capability,
    parse_feedback,
)
from meet_trio.ortc.records import (
    Codec,
    CodecCapability,
    CodecParameters,
    Encoding,
    MediaKind,
    Rtcp,
    RtpCapabilities,
    RtpParameters,
    StreamType,
)

_TYPES = ("simple", "simulcast", "svc")
_MAX_PARAMETERS = 64
_MAX_PARAMETER = 256  # bytes


def producer_to_json(rtp: ProducerRtp) -> dict[str, Json]:
    return {
        "kind": rtp.kind,
        "type": rtp.type,
        "params": rtp.params.to_json(),
        "consumable": rtp.consumable.to_json(),
        "payloadTypes": [
            {"publisher": own, "router": router} for own, router in rtp.payload_types.items()
        ],
    }


def read_producer(fields: Fields) -> ProducerRtp:
    params, consumable = _parameters(fields.object("params")), fields.object("consumable")
    payload_types = dict(fields.each("payloadTypes", MAX_CODECS, _payload_types))
    rtp = ProducerRtp(*_kind_and_type(fields), params, _parameters(consumable), payload_types)
    if len(rtp.consumable.encodings) != len(params.encodings):
        consumable.fail("encodings", f"expected {len(params.encodings)}, as in params")
    if any(encoding.ssrc is None for encoding in rtp.consumable.encodings):
        consumable.fail("encodings", "one has no ssrc")
    return rtp


def consumer_to_json(rtp: ConsumerRtp) -> dict[str, Json]:
    return {"kind": rtp.kind, "type": rtp.type, "params": rtp.params.to_json()}


def read_consumer(fields: Fields) -> ConsumerRtp:
    kept = fields.object("params")
    params = _parameters(kept)
    if len(params.encodings) != 1 or params.encodings[0].ssrc is None:
        kept.fail("encodings", "expected one, with an ssrc")
    return ConsumerRtp(*_kind_and_type(fields), params)


def read_capabilities(fields: Fields) -> RtpCapabilities:
    return RtpCapabilities(
        codecs=fields.each("codecs", MAX_CAPABILITIES, _codec_capability),
        header_extensions=fields.each(
            "headerExtensions", MAX_EXTENSIONS, parse_extension_capability
        ),
    )


def _kind_and_type(fields: Fields) -> tuple[MediaKind, StreamType]:
    kind, type_ = fields.choice("kind", KINDS), fields.choice("type", _TYPES)
    return cast(MediaKind, kind), cast(StreamType, type_)


def _payload_types(fields: Fields) -> tuple[int, int]:
    return fields.integer("publisher", 0, 127), fields.integer("router", 0, 127)


def _parameters(fields: Fields) -> RtpParameters:
    rtcp = fields.object("rtcp")
    params = RtpParameters(
        codecs=fields.each("codecs", MAX_CODECS, _codec),
        header_extensions=fields.each("headerExtensions", MAX_EXTENSIONS, parse_extension),
        encodings=fields.each("encodings", MAX_ENCODINGS, _encoding),
        rtcp=Rtcp(
            rtcp.opt_name("cname", MAX_CNAME, 0),
            rtcp.required("reducedSize", rtcp.opt_flag("reducedSize")),
        ),
        mid=fields.opt_name("mid", MAX_NAME, 0),
    )
    try:
        params.media_codec()
    except LookupError:
        fields.fail("codecs", "expected the media codec that the encodings name")
    if not params.encodings:
        fields.fail("encodings", "expected at least one")
    return params


def _codec(fields: Fields) -> Codec:
    return Codec(
        mime_type=mime_type_of(fields)[1],
        payload_type=fields.integer("payloadType", 0, 127),
        clock_rate=fields.integer("clockRate", 1, 2**31),
        channels=fields.opt_integer("channels", 1, 255),
        parameters=_codec_parameters(fields),
        rtcp_feedback=fields.each("rtcpFeedback", MAX_FEEDBACK, parse_feedback),
    )


def _codec_capability(fields: Fields) -> CodecCapability:
    kind, mime_type = mime_type_of(fields)
    if fields.choice("kind", KINDS) != kind:
        fields.fail("kind", f"expected {kind}, as in mimeType")
    return CodecCapability(
        kind=kind,
        mime_type=mime_type,
        clock_rate=fields.integer("clockRate", 1, 2**31),
        preferred_payload_type=fields.opt_integer("preferredPayloadType", 0, 127),
        channels=fields.opt_integer("channels", 1, 255),
        parameters=_codec_parameters(fields),
        rtcp_feedback=fields.each("rtcpFeedback", MAX_FEEDBACK, parse_feedback),
    )


def _codec_parameters(fields: Fields) -> CodecParameters:
    given = fields.object("parameters")
    if len(given.data) > _MAX_PARAMETERS:
        fields.fail("parameters", f"expected at most {_MAX_PARAMETERS}")
    return {key: _codec_parameter(given, key) for key in given.data}


def _codec_parameter(fields: Fields, key: str) -> str | int | float:
    Fields({"key": key}, fields.where).name("key", MAX_NAME)
    if isinstance(fields.data[key], str):
        return fields.name(key, _MAX_PARAMETER, 0)
    return fields.required(key, fields.opt_number(key))


def _encoding(fields: Fields) -> Encoding:
    rtx = fields.opt_object("rtx")
    return Encoding(
        ssrc=fields.opt_integer("ssrc", 1, MAX_SSRC),
        rid=fields.opt_name("rid", MAX_NAME),
        rtx_ssrc=None if rtx is None else rtx.integer("ssrc", 1, MAX_SSRC),
        codec_payload_type=fields.opt_integer("codecPayloadType", 0, 127),
        dtx=fields.opt_flag("dtx"),
        scalability_mode=fields.opt_name("scalabilityMode", MAX_NAME),
        active=fields.opt_flag("active"),
        max_bitrate=fields.opt_number("maxBitrate"),
        max_framerate=fields.opt_number("maxFramerate"),
        scale_resolution_down_by=fields.opt_number("scaleResolutionDownBy"),
    )

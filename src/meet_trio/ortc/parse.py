"""JSON of a client → records of ``records.py``; ``BadRequest`` names the field that is wrong.

Defaults are mediasoup's. The limits are far above what a browser sends (Chromium: ~40 codecs, 20
header extensions) and keep one request from costing more than a few kilobytes of memory.
"""

from typing import cast

from meet_trio.ortc.fields import Fields, is_sendable
from meet_trio.ortc.records import (
    Codec,
    CodecCapability,
    CodecParameters,
    Direction,
    Encoding,
    Feedback,
    HeaderExtension,
    HeaderExtensionCapability,
    Kind,
    Rtcp,
    RtpCapabilities,
    RtpParameters,
    is_rtx,
)

KINDS = ("audio", "video")
_DIRECTIONS = ("sendrecv", "sendonly", "recvonly", "inactive")
_MAX_CODECS = 128
_MAX_EXTENSIONS = 64
_MAX_ENCODINGS = 4
_MAX_FEEDBACK = 32
_MAX_CODEC_PARAMETERS = 64
_MAX_NAME = 64
_MAX_URI = 256
_MAX_VALUE = 512
_MAX_SSRC = 2**32 - 1


def parse_rtp_capabilities(data: object, where: str = "rtpCapabilities") -> RtpCapabilities:
    """What a client says it can receive."""
    fields = Fields.of(data, where)
    return RtpCapabilities(
        codecs=fields.each("codecs", _MAX_CODECS, _codec_capability),
        header_extensions=fields.each("headerExtensions", _MAX_EXTENSIONS, _extension_capability),
    )


def parse_rtp_parameters(data: object, where: str = "rtpParameters") -> RtpParameters:
    """What a client says it will send; without encodings it is one encoding that says nothing."""
    fields = Fields.of(data, where)
    rtcp = fields.opt_object("rtcp")
    return RtpParameters(
        codecs=fields.each("codecs", _MAX_CODECS, _codec),
        header_extensions=fields.each("headerExtensions", _MAX_EXTENSIONS, _extension),
        encodings=fields.each("encodings", _MAX_ENCODINGS, _encoding) or (Encoding(dtx=False),),
        rtcp=Rtcp()
        if rtcp is None
        else Rtcp(rtcp.opt_text("cname", _MAX_URI), rtcp.flag("reducedSize", True)),
        mid=fields.opt_text("mid", _MAX_NAME, 1),
    )


def _codec_capability(fields: Fields) -> CodecCapability:
    kind, mime_type = _mime_type(fields)
    return CodecCapability(
        kind=kind,
        mime_type=mime_type,
        clock_rate=fields.integer("clockRate", 1, 2**31),
        preferred_payload_type=fields.opt_integer("preferredPayloadType", 0, 127),
        channels=_channels(fields, kind),
        parameters=_codec_parameters(fields, mime_type),
        rtcp_feedback=fields.each("rtcpFeedback", _MAX_FEEDBACK, _feedback),
    )


def _codec(fields: Fields) -> Codec:
    kind, mime_type = _mime_type(fields)
    return Codec(
        mime_type=mime_type,
        payload_type=fields.integer("payloadType", 0, 127),
        clock_rate=fields.integer("clockRate", 1, 2**31),
        channels=_channels(fields, kind),
        parameters=_codec_parameters(fields, mime_type),
        rtcp_feedback=fields.each("rtcpFeedback", _MAX_FEEDBACK, _feedback),
    )


def _mime_type(fields: Fields) -> tuple[Kind, str]:
    mime_type = fields.text("mimeType", _MAX_NAME)
    kind, slash, name = mime_type.partition("/")
    if kind.lower() not in KINDS or not slash or not name:
        fields.fail("mimeType", "expected audio/… or video/…")
    return cast(Kind, kind.lower()), mime_type


def _channels(fields: Fields, kind: Kind) -> int | None:
    """Audio has one channel if nothing is said; video has none."""
    channels = fields.opt_integer("channels", 1, 255)
    return (channels or 1) if kind == "audio" else None


def _codec_parameters(fields: Fields, mime_type: str) -> CodecParameters:
    parameters = fields.opt_object("parameters")
    if parameters is None:
        parameters = Fields({}, fields.path("parameters"))
    if len(parameters.data) > _MAX_CODEC_PARAMETERS:
        fields.fail("parameters", f"expected at most {_MAX_CODEC_PARAMETERS} entries")
    if is_rtx(mime_type):
        parameters.integer("apt", 0, 127)
    result: dict[str, str | int | float] = {}
    for key, value in parameters.data.items():
        if len(key) > _MAX_NAME or not is_sendable(key):
            fields.fail("parameters", f"expected names of at most {_MAX_NAME} characters")
        if isinstance(value, str):
            result[key] = parameters.text(key, _MAX_VALUE)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            if not -(2.0**63) < value < 2.0**63:
                parameters.fail(key, "expected a number below 2^63")
            result[key] = value
        else:
            parameters.fail(key, "expected a string or a number")
    return result


def _feedback(fields: Fields) -> Feedback:
    return Feedback(
        fields.text("type", _MAX_NAME, 1), fields.opt_text("parameter", _MAX_NAME) or ""
    )


def _extension_capability(fields: Fields) -> HeaderExtensionCapability:
    # an empty kind meant "both" in old clients
    kind = fields.choice("kind", KINDS) if fields.data.get("kind") else None
    direction = "sendrecv"
    if fields.data.get("direction") is not None:
        direction = fields.choice("direction", _DIRECTIONS)
    return HeaderExtensionCapability(
        kind=cast(Kind | None, kind),
        uri=fields.text("uri", _MAX_URI, 1),
        preferred_id=fields.integer("preferredId", 1, 255),
        preferred_encrypt=fields.flag("preferredEncrypt", False),
        direction=cast(Direction, direction),
    )


def _extension(fields: Fields) -> HeaderExtension:
    # their "parameters" are not kept: no extension in use has any
    return HeaderExtension(
        uri=fields.text("uri", _MAX_URI, 1),
        id=fields.integer("id", 1, 255),
        encrypt=fields.flag("encrypt", False),
    )


def _encoding(fields: Fields) -> Encoding:
    rtx = fields.opt_object("rtx")
    return Encoding(
        ssrc=fields.opt_integer("ssrc", 1, _MAX_SSRC),
        rid=fields.opt_text("rid", _MAX_NAME, 1),
        rtx_ssrc=None if rtx is None else rtx.integer("ssrc", 1, _MAX_SSRC),
        codec_payload_type=fields.opt_integer("codecPayloadType", 0, 127),
        dtx=fields.flag("dtx", False),
        scalability_mode=fields.opt_text("scalabilityMode", _MAX_NAME, 1),
        active=fields.opt_flag("active"),
        max_bitrate=fields.opt_number("maxBitrate"),
        max_framerate=fields.opt_number("maxFramerate"),
        scale_resolution_down_by=fields.opt_number("scaleResolutionDownBy"),
    )

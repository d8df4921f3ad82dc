"""Parses RTP parameters and capabilities: JSON of a client becomes records of ``records.py``.

``BadRequest`` names the field that is wrong. Defaults are mediasoup's. The limits are far above the
numbers of a browser (Chromium: ~40 codecs, 20 header extensions). They keep the memory for one
request within a few kilobytes. The sizes of names are in bytes, because the engine stores the names
and counts in bytes.

The codec parameters of a publisher go to all of its viewers, who write them into their SDP. So only
the parameters with a known meaning are kept. Each has a form that cannot be long and cannot end a
line. All others are dropped, and so is RTCP feedback that the engine does not support.
"""

import re
from collections.abc import Mapping
from typing import cast

from meet_trio.ortc.fields import Fields
from meet_trio.ortc.records import (
    FEEDBACK,
    Codec,
    CodecCapability,
    CodecParameters,
    Direction,
    Encoding,
    Feedback,
    HeaderExtension,
    HeaderExtensionCapability,
    MediaKind,
    Rtcp,
    RtpCapabilities,
    RtpParameters,
    is_rtx,
)

KINDS = ("audio", "video")
_DIRECTIONS = ("sendrecv", "sendonly", "recvonly", "inactive")
MAX_CAPABILITIES = 128
MAX_CODECS = 32  # listed for one producer; it uses one of them and its RTX
MAX_EXTENSIONS = 64
MAX_ENCODINGS = 4
MAX_FEEDBACK = 32
MAX_NAME = 64  # bytes; the engine's MID and RID
MAX_CNAME = 255  # bytes; of an SDES item (RFC 3550 section 6.5)
_MAX_URI = 256
MAX_SSRC = 2**32 - 1

# Known codec parameters by MIME type. A number may also be a string, as it is in SDP.
_NUMBER = re.compile(r"[0-9]{1,10}")
_HEX = re.compile(r"[0-9A-Fa-f]{6}")
_PARAMETER_SETS = re.compile(r"[A-Za-z0-9+/=,]{0,256}")
_FRAME_SIZES = ("max-fr", "max-fs")
_BITRATES = ("x-google-start-bitrate", "x-google-min-bitrate", "x-google-max-bitrate")
_PARAMETERS: Mapping[str, Mapping[str, re.Pattern[str]]] = {
    # RFC 7587 section 6.1
    "audio/opus": dict.fromkeys(
        (
            "cbr",
            "maxaveragebitrate",
            "maxplaybackrate",
            "maxptime",
            "minptime",
            "ptime",
            "sprop-maxcapturerate",
            "sprop-stereo",
            "stereo",
            "usedtx",
            "useinbandfec",
        ),
        _NUMBER,
    ),
    # RFC 7741 section 6.1, RFC 9628 section 6
    "video/vp8": dict.fromkeys((*_FRAME_SIZES, *_BITRATES), _NUMBER),
    "video/vp9": dict.fromkeys(("profile-id", *_FRAME_SIZES, *_BITRATES), _NUMBER),
    # RTP Payload Format For AV1, section 7.2
    "video/av1": dict.fromkeys(("profile", "level-idx", "tier", *_BITRATES), _NUMBER),
    # RFC 6184 section 8.1
    "video/h264": {
        **dict.fromkeys(
            (
                "packetization-mode",
                "level-asymmetry-allowed",
                "max-mbps",
                "max-cpb",
                "max-dpb",
                "max-br",
                *_FRAME_SIZES,
                *_BITRATES,
            ),
            _NUMBER,
        ),
        "profile-level-id": _HEX,
        "sprop-parameter-sets": _PARAMETER_SETS,
    },
}


def parse_rtp_capabilities(data: object) -> RtpCapabilities:
    """The capabilities that a client declares for receiving."""
    fields = Fields.of(data, "rtpCapabilities")
    return RtpCapabilities(
        codecs=fields.each("codecs", MAX_CAPABILITIES, _codec_capability),
        header_extensions=fields.each(
            "headerExtensions", MAX_EXTENSIONS, parse_extension_capability
        ),
    )


def parse_rtp_parameters(data: object) -> RtpParameters:
    """The parameters of a producer that a client wants to make. Without ``encodings`` there is one
    encoding, with default values.
    """
    fields = Fields.of(data, "rtpParameters")
    rtcp = fields.opt_object("rtcp")
    return RtpParameters(
        codecs=fields.each("codecs", MAX_CODECS, _codec),
        header_extensions=fields.each("headerExtensions", MAX_EXTENSIONS, parse_extension),
        encodings=fields.each("encodings", MAX_ENCODINGS, _encoding) or (Encoding(dtx=False),),
        rtcp=Rtcp()
        if rtcp is None
        else Rtcp(rtcp.opt_name("cname", MAX_CNAME, 0), rtcp.flag("reducedSize", True)),
        mid=fields.opt_name("mid", MAX_NAME),
    )


def _codec_capability(fields: Fields) -> CodecCapability:
    kind, mime_type = mime_type_of(fields)
    return CodecCapability(
        kind=kind,
        mime_type=mime_type,
        clock_rate=fields.integer("clockRate", 1, 2**31),
        preferred_payload_type=fields.opt_integer("preferredPayloadType", 0, 127),
        channels=_channels(fields, kind),
        parameters=_codec_parameters(fields, mime_type),
        rtcp_feedback=_feedback(fields),
    )


def _codec(fields: Fields) -> Codec:
    kind, mime_type = mime_type_of(fields)
    return Codec(
        mime_type=mime_type,
        payload_type=fields.integer("payloadType", 0, 127),
        clock_rate=fields.integer("clockRate", 1, 2**31),
        channels=_channels(fields, kind),
        parameters=_codec_parameters(fields, mime_type),
        rtcp_feedback=_feedback(fields),
    )


def mime_type_of(fields: Fields) -> tuple[MediaKind, str]:
    mime_type = fields.name("mimeType", MAX_NAME, 0)
    kind, slash, name = mime_type.partition("/")
    if kind.lower() not in KINDS or not slash or not name:
        fields.fail("mimeType", "expected audio/… or video/…")
    return cast(MediaKind, kind.lower()), mime_type


def _channels(fields: Fields, kind: MediaKind) -> int | None:
    """The number of channels: 1 by default for audio, None for video."""
    channels = fields.opt_integer("channels", 1, 255)
    return (channels or 1) if kind == "audio" else None


def _codec_parameters(fields: Fields, mime_type: str) -> CodecParameters:
    parameters = fields.opt_object("parameters")
    if is_rtx(mime_type):
        rtx = parameters or Fields({}, fields.path("parameters"))
        return {"apt": rtx.integer("apt", 0, 127)}
    known = _PARAMETERS.get(mime_type.lower(), {})
    given = {} if parameters is None else parameters.data
    return {
        key: _codec_parameter(fields, key, value, known[key])
        for key, value in given.items()
        if key in known and value is not None
    }


def _codec_parameter(
    fields: Fields, key: str, value: object, form: re.Pattern[str]
) -> str | int | float:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, str | int) or isinstance(value, bool) or not _fits(value, form):
        fields.fail(f"parameters.{key}", f"expected {form.pattern}")
    return value


def _fits(value: str | int, form: re.Pattern[str]) -> bool:
    if isinstance(value, int) and not 0 <= value < 2**64:
        return False  # str() refuses integers with too many digits
    return form.fullmatch(str(value)) is not None


def _feedback(fields: Fields) -> tuple[Feedback, ...]:
    given = fields.each("rtcpFeedback", MAX_FEEDBACK, parse_feedback)
    return tuple(dict.fromkeys(feedback for feedback in given if feedback in FEEDBACK))


def parse_feedback(fields: Fields) -> Feedback:
    return Feedback(fields.name("type", MAX_NAME), fields.opt_name("parameter", MAX_NAME, 0) or "")


def parse_extension_capability(fields: Fields) -> HeaderExtensionCapability:
    # old clients send an empty kind for "both"
    kind = fields.choice("kind", KINDS) if fields.data.get("kind") else None
    direction = "sendrecv"
    if fields.data.get("direction") is not None:
        direction = fields.choice("direction", _DIRECTIONS)
    return HeaderExtensionCapability(
        kind=cast(MediaKind | None, kind),
        uri=fields.name("uri", _MAX_URI),
        preferred_id=fields.integer("preferredId", 1, 255),
        preferred_encrypt=fields.flag("preferredEncrypt", False),
        direction=cast(Direction, direction),
    )


def parse_extension(fields: Fields) -> HeaderExtension:
    # "parameters" are dropped: no extension in use has any
    return HeaderExtension(
        uri=fields.name("uri", _MAX_URI),
        id=fields.integer("id", 1, 255),
        encrypt=fields.flag("encrypt", False),
    )


def _encoding(fields: Fields) -> Encoding:
    rtx = fields.opt_object("rtx")
    return Encoding(
        ssrc=fields.opt_integer("ssrc", 1, MAX_SSRC),
        rid=fields.opt_name("rid", MAX_NAME),
        rtx_ssrc=None if rtx is None else rtx.integer("ssrc", 1, MAX_SSRC),
        codec_payload_type=fields.opt_integer("codecPayloadType", 0, 127),
        dtx=fields.flag("dtx", False),
        scalability_mode=fields.opt_name("scalabilityMode", MAX_NAME),
        active=fields.opt_flag("active"),
        max_bitrate=fields.opt_number("maxBitrate"),
        max_framerate=fields.opt_number("maxFramerate"),
        scale_resolution_down_by=fields.opt_number("scaleResolutionDownBy"),
    )

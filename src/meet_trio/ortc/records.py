"""RTP parameters, RTP capabilities and DTLS fingerprints as frozen records, which can be written
as JSON.

The shapes are those of mediasoup 3 (its documentation, "RTP Parameters and Capabilities"), which
follow the ORTC API of the W3C. ``parse.py`` makes the records from JSON and holds the limits. A
parsed record is well-formed. ``negotiate.py`` checks that its fields are consistent.
"""

import hashlib
import json
from collections.abc import Mapping
from functools import cached_property
from typing import Literal, TypeAlias

import attrs

from meet_trio.ortc.fields import Json

MediaKind: TypeAlias = Literal["audio", "video"]
Direction: TypeAlias = Literal["sendrecv", "sendonly", "recvonly", "inactive"]
StreamType: TypeAlias = Literal["simple", "simulcast", "svc"]
CodecParameters: TypeAlias = Mapping[str, str | int | float]


class Uri:
    """The header extensions that the server itself reads or writes."""

    MID = "urn:ietf:params:rtp-hdrext:sdes:mid"
    RID = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"
    REPAIRED_RID = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id"
    ABS_SEND_TIME = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"
    TRANSPORT_CC = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
    AUDIO_LEVEL = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
    DEPENDENCY_DESCRIPTOR = (
        "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension"
    )


@attrs.frozen
class Feedback:
    """One kind of RTCP feedback (RFC 4585 section 4.2), e.g. ``nack`` with parameter ``pli``."""

    type: str
    parameter: str = ""

    def to_json(self) -> dict[str, Json]:
        return {"type": self.type, "parameter": self.parameter}


FEEDBACK = frozenset(
    {
        Feedback("nack"),
        Feedback("nack", "pli"),
        Feedback("ccm", "fir"),
        Feedback("goog-remb"),
        Feedback("transport-cc"),
    }
)
"""All types of feedback that the engine sends or understands."""


@attrs.frozen
class CodecCapability:
    """A codec that one side supports. ``channels`` is None for video."""

    kind: MediaKind
    mime_type: str
    clock_rate: int
    preferred_payload_type: int | None = None
    channels: int | None = None
    parameters: CodecParameters = attrs.field(factory=dict)
    rtcp_feedback: tuple[Feedback, ...] = ()

    def to_json(self) -> dict[str, Json]:
        data: dict[str, Json] = {
            "kind": self.kind,
            "mimeType": self.mime_type,
            "clockRate": self.clock_rate,
            "rtcpFeedback": [feedback.to_json() for feedback in self.rtcp_feedback],
            "parameters": dict(self.parameters),
        }
        _put(data, "channels", self.channels)
        _put(data, "preferredPayloadType", self.preferred_payload_type)
        return data


@attrs.frozen
class HeaderExtensionCapability:
    """A header extension (RFC 8285) that one side supports, and the direction of it."""

    kind: MediaKind | None
    uri: str
    preferred_id: int
    preferred_encrypt: bool = False
    direction: Direction = "sendrecv"

    def to_json(self) -> dict[str, Json]:
        data: dict[str, Json] = {
            "uri": self.uri,
            "preferredId": self.preferred_id,
            "preferredEncrypt": self.preferred_encrypt,
            "direction": self.direction,
        }
        _put(data, "kind", self.kind)
        return data


@attrs.frozen
class RtpCapabilities:
    codecs: tuple[CodecCapability, ...] = ()
    header_extensions: tuple[HeaderExtensionCapability, ...] = ()

    @cached_property
    def name(self) -> str:
        """The same for equal capabilities and for no others: the SHA-256 of their JSON, in hex."""
        text = json.dumps(self.to_json(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def to_json(self) -> dict[str, Json]:
        return {
            "codecs": [codec.to_json() for codec in self.codecs],
            "headerExtensions": [extension.to_json() for extension in self.header_extensions],
        }


@attrs.frozen
class Codec:
    """A codec of one producer or consumer, with its payload type."""

    mime_type: str
    payload_type: int
    clock_rate: int
    channels: int | None = None
    parameters: CodecParameters = attrs.field(factory=dict)
    rtcp_feedback: tuple[Feedback, ...] = ()

    @property
    def is_rtx(self) -> bool:
        return is_rtx(self.mime_type)

    def to_json(self) -> dict[str, Json]:
        data: dict[str, Json] = {
            "mimeType": self.mime_type,
            "payloadType": self.payload_type,
            "clockRate": self.clock_rate,
            "parameters": dict(self.parameters),
            "rtcpFeedback": [feedback.to_json() for feedback in self.rtcp_feedback],
        }
        _put(data, "channels", self.channels)
        return data


@attrs.frozen
class HeaderExtension:
    """A header extension of one producer or consumer. Its id is 1-14 with one-byte headers, and up
    to 255 with two-byte headers (RFC 8285).
    """

    uri: str
    id: int
    encrypt: bool = False

    def to_json(self) -> dict[str, Json]:
        return {"uri": self.uri, "id": self.id, "encrypt": self.encrypt, "parameters": {}}


@attrs.frozen
class Encoding:
    """One RTP stream of the source. Encodings are in order from the lowest to the highest."""

    ssrc: int | None = None
    rid: str | None = None
    rtx_ssrc: int | None = None
    codec_payload_type: int | None = None
    dtx: bool | None = None
    scalability_mode: str | None = None
    active: bool | None = None
    max_bitrate: int | float | None = None
    max_framerate: int | float | None = None
    scale_resolution_down_by: int | float | None = None

    def to_json(self) -> dict[str, Json]:
        data: dict[str, Json] = {}
        _put(data, "ssrc", self.ssrc)
        _put(data, "rid", self.rid)
        if self.rtx_ssrc is not None:
            data["rtx"] = {"ssrc": self.rtx_ssrc}
        _put(data, "codecPayloadType", self.codec_payload_type)
        _put(data, "dtx", self.dtx)
        _put(data, "scalabilityMode", self.scalability_mode)
        _put(data, "active", self.active)
        _put(data, "maxBitrate", self.max_bitrate)
        _put(data, "maxFramerate", self.max_framerate)
        _put(data, "scaleResolutionDownBy", self.scale_resolution_down_by)
        return data


@attrs.frozen
class Rtcp:
    """``cname`` names the clock that all streams of one source share (RFC 3550 section 6.5.1)."""

    cname: str | None = None
    reduced_size: bool = True

    def to_json(self) -> dict[str, Json]:
        data: dict[str, Json] = {"reducedSize": self.reduced_size}
        _put(data, "cname", self.cname)
        return data


@attrs.frozen
class RtpParameters:
    """The RTP parameters of one producer or one consumer."""

    codecs: tuple[Codec, ...]
    encodings: tuple[Encoding, ...] = ()
    header_extensions: tuple[HeaderExtension, ...] = ()
    rtcp: Rtcp = Rtcp()
    mid: str | None = None

    def media_codec(self) -> Codec:
        """The media codec in use: the one that the encodings name, else the first that is not RTX.

        Raises LookupError if there is none. Negotiated parameters always have one.
        """
        wanted = self.encodings[0].codec_payload_type if self.encodings else None
        for codec in self.codecs:
            if not codec.is_rtx and wanted in (None, codec.payload_type):
                return codec
        raise LookupError("no media codec")

    def rtx_codec(self) -> Codec | None:
        """The RTX codec (RFC 4588) that repairs ``media_codec()``."""
        apt = self.media_codec().payload_type
        for codec in self.codecs:
            if codec.is_rtx and codec.parameters.get("apt") == apt:
                return codec
        return None

    def feedback(self, type: str, parameter: str = "") -> bool:
        """Whether this RTCP feedback was negotiated for ``media_codec()``."""
        return Feedback(type, parameter) in self.media_codec().rtcp_feedback

    def extension_ids(self) -> dict[str, int]:
        """The ids of the header extensions, by URI."""
        return {extension.uri: extension.id for extension in self.header_extensions}

    def to_json(self) -> dict[str, Json]:
        data: dict[str, Json] = {
            "codecs": [codec.to_json() for codec in self.codecs],
            "headerExtensions": [extension.to_json() for extension in self.header_extensions],
            "encodings": [encoding.to_json() for encoding in self.encodings],
            "rtcp": self.rtcp.to_json(),
        }
        _put(data, "mid", self.mid)
        return data


@attrs.frozen
class DtlsFingerprint:
    """The fingerprint of a certificate (RFC 8122). ``algorithm`` is like ``sha-256``. ``value`` is
    upper-case hex with colons, and has the length of the digest.
    """

    algorithm: str
    value: str

    def to_json(self) -> dict[str, Json]:
        return {"algorithm": self.algorithm, "value": self.value}


def is_rtx(mime_type: str) -> bool:
    return mime_type.lower() in ("audio/rtx", "video/rtx")


def _put(data: dict[str, Json], key: str, value: Json) -> None:
    """Set ``key`` unless the value is None. mediasoup leaves such keys out, too."""
    if value is not None:
        data[key] = value

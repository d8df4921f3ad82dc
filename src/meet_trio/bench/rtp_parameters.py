"""RTP parameters as mediasoup-client in Chromium offers them: fixed ids and payload types, as
recorded there.
"""

from collections.abc import Mapping, Sequence
from typing import Any

MID = "urn:ietf:params:rtp-hdrext:sdes:mid"
RID = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"
REPAIRED_RID = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id"
ABS_SEND_TIME = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"
TRANSPORT_CC = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
AUDIO_LEVEL = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
VIDEO_ORIENTATION = "urn:3gpp:video-orientation"
TOFFSET = "urn:ietf:params:rtp-hdrext:toffset"

AUDIO_EXTENSIONS = {MID: 4, ABS_SEND_TIME: 2, TRANSPORT_CC: 3, AUDIO_LEVEL: 1}
VIDEO_EXTENSIONS = {
    MID: 4,
    RID: 10,
    REPAIRED_RID: 11,
    ABS_SEND_TIME: 2,
    TRANSPORT_CC: 3,
    VIDEO_ORIENTATION: 13,
    TOFFSET: 14,
}

OPUS_PAYLOAD_TYPE = 111
VP8_PAYLOAD_TYPE = 96
RTX_PAYLOAD_TYPE = 97

_VIDEO_FEEDBACK = [
    {"type": "goog-remb", "parameter": ""},
    {"type": "transport-cc", "parameter": ""},
    {"type": "ccm", "parameter": "fir"},
    {"type": "nack", "parameter": ""},
    {"type": "nack", "parameter": "pli"},
]


def audio_parameters(mid: str, cname: str, ssrc: int) -> dict[str, Any]:
    """The ``rtpParameters`` of ``produce`` for a microphone."""
    return {
        "codecs": [
            {
                "mimeType": "audio/opus",
                "payloadType": OPUS_PAYLOAD_TYPE,
                "clockRate": 48000,
                "channels": 2,
                "parameters": {"minptime": 10, "useinbandfec": 1, "sprop-stereo": 1, "usedtx": 1},
                "rtcpFeedback": [{"type": "transport-cc", "parameter": ""}],
            }
        ],
        "headerExtensions": _extensions(AUDIO_EXTENSIONS),
        "encodings": [{"ssrc": ssrc, "dtx": True}],
        "rtcp": {"cname": cname, "reducedSize": True},
        "mid": mid,
    }


def video_parameters(
    mid: str, cname: str, encodings: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """The ``rtpParameters`` of ``produce`` for a camera; ``encodings`` are mediasoup's, lowest
    layer first.
    """
    return {
        "codecs": [
            {
                "mimeType": "video/VP8",
                "payloadType": VP8_PAYLOAD_TYPE,
                "clockRate": 90000,
                "parameters": {},
                "rtcpFeedback": _VIDEO_FEEDBACK,
            },
            {
                "mimeType": "video/rtx",
                "payloadType": RTX_PAYLOAD_TYPE,
                "clockRate": 90000,
                "parameters": {"apt": VP8_PAYLOAD_TYPE},
                "rtcpFeedback": [],
            },
        ],
        "headerExtensions": _extensions(VIDEO_EXTENSIONS),
        "encodings": list(encodings),
        "rtcp": {"cname": cname, "reducedSize": True},
        "mid": mid,
    }


def simulcast_encodings(count: int) -> list[dict[str, Any]]:
    """Rids ``r0`` … without SSRCs, as Chromium sends simulcast; the last one has the full
    resolution.
    """
    return [
        {
            "active": True,
            "rid": f"r{index}",
            "scaleResolutionDownBy": 1 << count - 1 - index,
            "maxBitrate": 100_000 * 3**index,
            "scalabilityMode": "L1T1",
            "dtx": False,
        }
        for index in range(count)
    ]


def receive_capabilities(router: Mapping[str, Any]) -> dict[str, Any]:
    """The ``rtpCapabilities`` of ``join``: the router's codecs that Chromium could receive (opus,
    VP8).
    """
    codecs = [
        codec
        for codec in router["codecs"]
        if codec["mimeType"].lower() in ("audio/opus", "video/vp8")
    ]
    vp8 = {c["preferredPayloadType"] for c in codecs if c["kind"] == "video"}
    codecs += [c for c in router["codecs"] if c["parameters"].get("apt") in vp8]
    known = {MID, ABS_SEND_TIME, TRANSPORT_CC, AUDIO_LEVEL, VIDEO_ORIENTATION, TOFFSET}
    return {
        "codecs": codecs,
        "headerExtensions": [
            {**extension, "direction": "sendrecv"}
            for extension in router["headerExtensions"]
            if extension["uri"] in known and extension["direction"] == "sendrecv"
        ],
    }


def extension_ids(parameters: Mapping[str, Any]) -> dict[str, int]:
    """The ids of header extensions by URI."""
    return {e["uri"]: e["id"] for e in parameters["headerExtensions"]}


def _extensions(ids: Mapping[str, int]) -> list[dict[str, Any]]:
    return [{"uri": uri, "id": id, "encrypt": False, "parameters": {}} for uri, id in ids.items()]

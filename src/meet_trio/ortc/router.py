"""The RTP capabilities of the router: Kolab's codecs, with the numbers that mediasoup 3 assigns,
and behind them VP9 with profile 0 and AV1.

Clients take the payload types and header extension ids from here. So all consumers of a room use
the same numbers. They equal mediasoup's for the same list of codecs, but nothing depends on that.
"""

from meet_trio.ortc.records import (
    CodecCapability,
    CodecParameters,
    Direction,
    Feedback,
    HeaderExtensionCapability,
    MediaKind,
    RtpCapabilities,
    Uri,
)

_FIRST_PAYLOAD_TYPE = 100
_AUDIO_FEEDBACK = (Feedback("nack"), Feedback("transport-cc"))
_VIDEO_FEEDBACK = (
    Feedback("nack"),
    Feedback("nack", "pli"),
    Feedback("ccm", "fir"),
    Feedback("goog-remb"),
    Feedback("transport-cc"),
)
_START_BITRATE = {"x-google-start-bitrate": 1000}
_H264 = {"packetization-mode": 1, "level-asymmetry-allowed": 1, **_START_BITRATE}
_VIDEO_CODECS: tuple[tuple[str, CodecParameters], ...] = (
    ("video/VP8", _START_BITRATE),
    ("video/VP9", {"profile-id": 2, **_START_BITRATE}),
    ("video/H264", {"profile-level-id": "4d0032", **_H264}),
    ("video/H264", {"profile-level-id": "42e01f", **_H264}),
    # not Kolab's: a client takes the first codec of the list unless it asks for another
    ("video/VP9", {"profile-id": 0, **_START_BITRATE}),
    ("video/AV1", _START_BITRATE),
)
# URI, id, direction for audio, direction for video; None: not for this kind
_EXTENSIONS: tuple[tuple[str, int, Direction | None, Direction | None], ...] = (
    (Uri.MID, 1, "sendrecv", "sendrecv"),
    (Uri.RID, 2, None, "recvonly"),
    (Uri.REPAIRED_RID, 3, None, "recvonly"),
    (Uri.ABS_SEND_TIME, 4, "sendrecv", "sendrecv"),
    (Uri.TRANSPORT_CC, 5, "recvonly", "sendrecv"),
    ("http://tools.ietf.org/html/draft-ietf-avtext-framemarking-07", 6, None, "sendrecv"),
    ("urn:ietf:params:rtp-hdrext:framemarking", 7, None, "sendrecv"),
    (Uri.DEPENDENCY_DESCRIPTOR, 8, None, "sendrecv"),  # not Kolab's
    (Uri.AUDIO_LEVEL, 10, "sendrecv", None),
    ("urn:3gpp:video-orientation", 11, None, "sendrecv"),
    ("urn:ietf:params:rtp-hdrext:toffset", 12, None, "sendrecv"),
    ("http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time", 13, "sendrecv", "sendrecv"),
    ("http://www.webrtc.org/experiments/rtp-hdrext/playout-delay", 14, "sendrecv", "sendrecv"),
)


def router_capabilities() -> RtpCapabilities:
    """The capabilities in the answer to ``getRouterRtpCapabilities``."""
    payload_type = _FIRST_PAYLOAD_TYPE
    codecs = [
        CodecCapability(
            kind="audio",
            mime_type="audio/opus",
            clock_rate=48000,
            channels=2,
            preferred_payload_type=payload_type,
            rtcp_feedback=_AUDIO_FEEDBACK,
        )
    ]
    for mime_type, parameters in _VIDEO_CODECS:
        codecs.append(
            CodecCapability(
                kind="video",
                mime_type=mime_type,
                clock_rate=90000,
                preferred_payload_type=payload_type + 1,
                parameters=parameters,
                rtcp_feedback=_VIDEO_FEEDBACK,
            )
        )
        codecs.append(
            CodecCapability(
                kind="video",
                mime_type="video/rtx",
                clock_rate=90000,
                preferred_payload_type=payload_type + 2,
                parameters={"apt": payload_type + 1},
            )
        )
        payload_type += 2
    extensions: list[HeaderExtensionCapability] = []
    for uri, id_, audio, video in _EXTENSIONS:
        by_kind: tuple[tuple[MediaKind, Direction | None], ...] = (
            ("audio", audio),
            ("video", video),
        )
        extensions.extend(
            HeaderExtensionCapability(kind, uri, id_, direction=direction)
            for kind, direction in by_kind
            if direction is not None
        )
    return RtpCapabilities(tuple(codecs), tuple(extensions))

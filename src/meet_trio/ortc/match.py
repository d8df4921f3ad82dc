"""Compares codecs by mediasoup's rules."""

from meet_trio.ortc.h264 import parse_profile_level
from meet_trio.ortc.records import Codec, CodecCapability


def same_codec(a: Codec | CodecCapability, b: Codec | CodecCapability) -> bool:
    """Whether MIME type, clock rate and channels are equal. For H.264, VP9 and AV1 the parameters
    that change the bitstream have to be equal too.
    """
    name = a.mime_type.lower()
    if name != b.mime_type.lower() or a.clock_rate != b.clock_rate or a.channels != b.channels:
        return False
    if name == "video/h264":
        mine, other = parse_profile_level(a.parameters), parse_profile_level(b.parameters)
        return (
            mine is not None
            and other is not None
            and mine[0] is other[0]
            and _number(a, "packetization-mode") == _number(b, "packetization-mode")
        )
    if name == "video/vp9":
        return _number(a, "profile-id") == _number(b, "profile-id")
    if name == "video/av1":
        return _number(a, "profile") == _number(b, "profile")
    return True


def _number(codec: Codec | CodecCapability, key: str) -> str:
    # a client may write numbers as strings; all parameters read here default to 0
    return str(codec.parameters.get(key, 0))

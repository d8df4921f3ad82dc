"""The kind of a datagram, by its first bytes (RFC 7983 §7, RFC 5761 §4)."""

from enum import Enum


class DatagramKind(Enum):
    STUN = "stun"
    DTLS = "dtls"
    TURN_CHANNEL = "turn channel"
    RTP = "rtp"
    RTCP = "rtcp"
    UNKNOWN = "unknown"


def classify(datagram: bytes) -> DatagramKind:
    """The kind that the first two bytes claim. The rest is not checked."""
    if len(datagram) < 2:
        return DatagramKind.UNKNOWN
    match datagram[0]:
        case first if first <= 3:
            return DatagramKind.STUN
        case first if 20 <= first <= 63:
            return DatagramKind.DTLS
        case first if 64 <= first <= 79:
            return DatagramKind.TURN_CHANNEL
        case first if 128 <= first <= 191:
            # RTCP packet types 192-223 collide only with RTP payload types 64-95, which are not
            # assigned when RTP and RTCP share a port (RFC 5761 §4)
            return DatagramKind.RTCP if 192 <= datagram[1] <= 223 else DatagramKind.RTP
        case _:
            return DatagramKind.UNKNOWN

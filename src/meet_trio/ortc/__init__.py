"""RTP parameters, RTP capabilities and their negotiation: pure functions on frozen records."""

from meet_trio.ortc.known import KnownCapabilities
from meet_trio.ortc.negotiate import (
    ConsumerRtp,
    ProducerRtp,
    can_consume,
    negotiate_consumer,
    negotiate_producer,
    usable_capabilities,
)
from meet_trio.ortc.parse import parse_rtp_capabilities, parse_rtp_parameters
from meet_trio.ortc.records import (
    DtlsFingerprint,
    Encoding,
    MediaKind,
    RtpCapabilities,
    RtpParameters,
    StreamType,
    Uri,
)
from meet_trio.ortc.router import router_capabilities

__all__ = [
    "ConsumerRtp",
    "DtlsFingerprint",
    "Encoding",
    "KnownCapabilities",
    "MediaKind",
    "ProducerRtp",
    "RtpCapabilities",
    "RtpParameters",
    "StreamType",
    "Uri",
    "can_consume",
    "negotiate_consumer",
    "negotiate_producer",
    "parse_rtp_capabilities",
    "parse_rtp_parameters",
    "router_capabilities",
    "usable_capabilities",
]

"""Statistics in the shapes of mediasoup's ``getStats()``: the same keys, with this server's
figures. Figures that mediasoup does not have follow under their own names.

Units are mediasoup's: bitrates in bit/s, round trips in milliseconds, ``fractionLost`` in 256ths,
``jitter`` in units of the RTP clock, timestamps in milliseconds of a monotonic clock.

Where a figure differs from mediasoup's, the reason is this server's way of counting: streams and
consumers count the bytes of payloads, and bytes of retransmissions and of probes are not counted
for each transport (None).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from meet_trio.live.streams import LiveConsumer, LiveProducer
from meet_trio.media.plain import PlainTransport, Transport
from meet_trio.media.transport import WebRtcTransport
from meet_trio.operator.figures import Figures, Reports, streams
from meet_trio.operator.shapes import (
    Shape,
    ice_state,
    plain_rtcp_tuple,
    plain_tuple,
    selected_tuple,
)
from meet_trio.ortc import RtpParameters

_TRANSPORT_EXTRAS = (
    "packetsReceived",
    "packetsSent",
    "roundTripTime",
    "remb",
    "estimateCause",
    "wantedBitrate",
    "allocatedBitrate",
    "queueDelay",
    "reordering",
)
_STREAM_EXTRAS = ("active", "packetsMissing", "keyFrameCount", "width", "height")
_CONSUMER_EXTRAS = (
    "spatialLayer",
    "temporalLayer",
    "targetLayer",
    "allowedLayer",
    "allowedTemporalLayer",
    "preferredLayer",
    "preferredTemporalLayer",
    "packetsRedundant",
    "redundancy",
    "playoutDelay",
    "layerSwitches",
)


def transport_stats(
    transport: Transport,
    producers: Sequence[LiveProducer],
    consumers: Sequence[LiveConsumer],
    reports: Reports,
    now: float,
) -> list[Shape]:
    """``transport.getStats()``. ``producers`` and ``consumers`` are those of the transport, ``now``
    is in seconds.
    """
    figures = reports.transport(transport)
    incoming = [s for producer in producers for s in streams(reports.producer(producer))]
    outgoing = [reports.consumer(consumer) for consumer in consumers]
    received, lost = _sum(incoming, "packetCount"), _sum(incoming, "packetsLost")
    return [
        {
            "transportId": transport.id,
            "timestamp": int(now * 1000),
            "sctpState": None,
            "bytesReceived": figures.get("bytesReceived", 0),
            "recvBitrate": figures.get("recvBitrate", 0),
            "bytesSent": figures.get("bytesSent", 0),
            "sendBitrate": figures.get("sendBitrate", 0),
            "rtpBytesReceived": _sum(incoming, "byteCount"),
            "rtpRecvBitrate": _sum(incoming, "bitrate"),
            "rtpBytesSent": _sum(outgoing, "byteCount"),
            "rtpSendBitrate": _sum(outgoing, "bitrate"),
            "rtxBytesReceived": None,
            "rtxRecvBitrate": None,
            "rtxBytesSent": None,
            "rtxSendBitrate": None,
            "probationBytesSent": None,
            "probationSendBitrate": None,
            "availableOutgoingBitrate": figures.get("availableOutgoingBitrate") or None,
            "availableIncomingBitrate": None,
            "maxIncomingBitrate": figures.get("maxIncomingBitrate") or None,
            "maxOutgoingBitrate": figures.get("maxOutgoingBitrate") or None,
            "minOutgoingBitrate": None,
            "rtpPacketLossReceived": max(0, lost) / (received + lost) if received else None,
            "rtpPacketLossSent": figures.get("outgoingLoss"),
            **_own(transport, figures),
            **_extras(figures, _TRANSPORT_EXTRAS),
        }
    ]


def _own(transport: Transport, figures: Figures) -> Shape:
    if isinstance(transport, WebRtcTransport):
        return {
            "type": "webrtc-transport",
            "iceRole": "controlled",
            "iceState": ice_state(transport, figures),
            "iceSelectedTuple": selected_tuple(transport, figures),
            "dtlsState": transport.state.value,
        }
    return {
        "type": "plain-rtp-transport",
        "rtcpMux": False,
        "comedia": is_comedia(transport),
        "tuple": plain_tuple(transport, figures),
        "rtcpTuple": plain_rtcp_tuple(transport),
    }


def is_comedia(transport: PlainTransport) -> bool:
    """Whether the transport learns its client's address from the first packets."""
    return transport.producing


def producer_stats(producer: LiveProducer, reports: Reports, now: float) -> list[Shape]:
    """``producer.getStats()``: an entry for each encoding that has had a packet."""
    return [
        _inbound(producer, figures, reports, now)
        for figures in streams(reports.producer(producer))
        if figures["ssrc"] is not None
    ]


def consumer_stats(consumer: LiveConsumer, reports: Reports, now: float) -> list[Shape]:
    """``consumer.getStats()``: the stream to the viewer, then the encoding that it is made of, if
    that one sends.
    """
    figures = reports.consumer(consumer)
    entries = [_outbound(consumer, figures, now)]
    incoming = streams(reports.producer(consumer.producer))
    layer = 0 if len(incoming) == 1 else figures.get("spatialLayer")
    if consumer.rtp.type == "svc":
        layer = 0
    if layer is not None and layer < len(incoming) and incoming[layer]["ssrc"] is not None:
        entries.append(_inbound(consumer.producer, incoming[layer], reports, now))
    return entries


def _inbound(producer: LiveProducer, figures: Figures, reports: Reports, now: float) -> Shape:
    rtp = producer.state.rtp
    clock_rate = rtp.params.media_codec().clock_rate
    transport = reports.transport(producer.transport)
    return {
        **_stream(rtp.kind, rtp.params, figures, now),
        "rid": figures.get("rid"),
        "fractionLost": None,
        "packetsDiscarded": figures.get("packetsDuplicated", 0),
        "packetsRetransmitted": figures.get("packetsRecovered", 0),
        "packetsRepaired": figures.get("packetsRecovered", 0),
        "roundTripTime": transport.get("roundTripTime", 0.0),
        "type": "inbound-rtp",
        "jitter": round(figures.get("jitter", 0) * clock_rate / 1000),
        "bitrateByLayer": {},
        **_extras(figures, _STREAM_EXTRAS),
    }


def _outbound(consumer: LiveConsumer, figures: Figures, now: float) -> Shape:
    (encoding,) = consumer.rtp.params.encodings
    ssrcs = {"ssrc": encoding.ssrc, "rtxSsrc": encoding.rtx_ssrc}
    return {
        **_stream(consumer.rtp.kind, consumer.rtp.params, {**figures, **ssrcs}, now),
        "rid": None,
        "fractionLost": round(figures.get("fractionLost", 0) * 256),
        "packetsDiscarded": 0,
        "packetsRetransmitted": figures.get("packetsRetransmitted", 0),
        "packetsRepaired": figures.get("packetsRetransmitted", 0),
        "roundTripTime": figures.get("roundTripTime", 0.0),
        "type": "outbound-rtp",
        **_extras(figures, _CONSUMER_EXTRAS),
    }


def _stream(kind: str, params: RtpParameters, figures: Figures, now: float) -> Shape:
    """What both directions have. mediasoup counts NACKs and the packets that they ask for apart;
    here the second is known.
    """
    return {
        "timestamp": int(now * 1000),
        "ssrc": figures.get("ssrc"),
        "rtxSsrc": figures.get("rtxSsrc"),
        "rid": None,
        "kind": kind,
        "mimeType": params.media_codec().mime_type,
        "packetsLost": figures.get("packetsLost", 0),
        "fractionLost": 0,
        "packetsDiscarded": 0,
        "packetsRetransmitted": 0,
        "packetsRepaired": 0,
        "nackCount": figures.get("nackCount", 0),
        "nackPacketCount": figures.get("nackCount", 0),
        "pliCount": figures.get("pliCount", 0),
        "firCount": 0,
        "score": figures.get("score", 0),
        "roundTripTime": 0.0,
        "rtxPacketsDiscarded": None,
        "type": "",
        "byteCount": figures.get("byteCount", 0),
        "packetCount": figures.get("packetCount", 0),
        "bitrate": figures.get("bitrate", 0),
    }


def _sum(entries: Sequence[Figures], key: str) -> int:
    return sum(int(entry.get(key, 0)) for entry in entries)


def _extras(figures: Figures, names: Sequence[str]) -> Mapping[str, Any]:
    return {name: figures[name] for name in names if name in figures}

"""Dumps in the shapes of mediasoup's ``dump()``: what an object is and how it is connected with
others, as the server holds it.

A *worker* is an engine here. A *router* is a room: its id is the room's, and it may be on several
engines, where mediasoup has a router for each worker.
"""

import os
from collections.abc import Iterable, Mapping, Sequence

from meet_trio.live.room import LiveRoom
from meet_trio.live.streams import LiveConsumer, LiveProducer
from meet_trio.media.engines import EngineHost
from meet_trio.media.plain import PlainTransport, Transport
from meet_trio.media.transport import TransportState, WebRtcTransport
from meet_trio.operator.figures import Figures, Reports, streams
from meet_trio.operator.shapes import (
    HIDDEN,
    Shape,
    ice_state,
    pairs,
    plain_rtcp_tuple,
    plain_tuple,
    selected_tuple,
)
from meet_trio.operator.stats import is_comedia
from meet_trio.ortc import Encoding, RtpParameters
from meet_trio.ortc.records import Codec, Uri
from meet_trio.turns import Turns

_MAX_SCTP_MESSAGE = 262144  # mediasoup's default, which it also shows without SCTP
_NO_LAYER = -1


def worker_dump(host: EngineHost, rooms: Iterable[LiveRoom], reports: Reports) -> Shape:
    """``worker.dump()`` of an engine, then its port, its state, counters and gauges. The engines
    are threads of one process, so all have its ``pid``.
    """
    return {
        "pid": os.getpid(),
        "webRtcServerIds": [],
        "routerIds": [room.id for room in rooms if host in room.placement.used],
        "channelMessageHandlers": {
            "channelRequestHandlers": [],
            "channelNotificationHandlers": [],
        },
        "port": host.engine.port,
        "failed": host.failed,
        "peers": host.peers,
        "commandsWaiting": host.engine.waiting,
        "figures": dict(reports.engine(host)),
    }


async def router_dump(room: LiveRoom, turns: Turns) -> Shape:
    """``router.dump()`` of a room. A large room takes several turns of the loop."""
    by_producer: dict[str, list[str]] = {}
    by_consumer: dict[object, object] = {}
    for producer_id in list(room.producers):
        by_producer[producer_id] = [c.id for c in room.state.consumers_of(producer_id)]
        by_consumer |= dict.fromkeys(by_producer[producer_id], producer_id)
        await turns.spend(len(by_producer[producer_id]) // 8)
    return {
        "id": room.id,
        "transportIds": [t.id for peer in room.peers.values() for t in peer.transports.values()],
        "rtpObserverIds": [],
        "mapProducerIdConsumerIds": _lists(by_producer),
        "mapConsumerIdProducerId": pairs(by_consumer),
        "mapProducerIdObserverIds": _lists({producer_id: [] for producer_id in by_producer}),
        "mapDataProducerIdDataConsumerIds": [],
        "mapDataConsumerIdDataProducerId": [],
        "workerPorts": [host.engine.port for host in room.placement.used],
    }


def _lists(table: Mapping[str, Sequence[str]]) -> list[Shape]:
    return [{"key": key, "values": values} for key, values in table.items()]


def transport_dump(
    transport: Transport,
    producers: Sequence[LiveProducer],
    consumers: Sequence[LiveConsumer],
    reports: Reports,
) -> Shape:
    """``transport.dump()``. ``producers`` and ``consumers`` are those of the transport."""
    figures = reports.transport(transport)
    return {
        "id": transport.id,
        "direct": False,
        "producerIds": [producer.state.id for producer in producers],
        "consumerIds": [consumer.state.id for consumer in consumers],
        "mapSsrcConsumerId": pairs({_encoding(c).ssrc: c.state.id for c in consumers}),
        "mapRtxSsrcConsumerId": pairs(
            {_encoding(c).rtx_ssrc: c.state.id for c in consumers if _encoding(c).rtx_ssrc}
        ),
        "dataProducerIds": [],
        "dataConsumerIds": [],
        "recvRtpHeaderExtensions": _header_extensions(producers),
        "rtpListener": _listener(producers),
        "maxMessageSize": _MAX_SCTP_MESSAGE,
        "sctpParameters": None,
        "sctpState": None,
        "sctpListener": None,
        "traceEventTypes": [],
        **(
            _webrtc(transport, figures)
            if isinstance(transport, WebRtcTransport)
            else _plain(transport, figures)
        ),
    }


def _webrtc(transport: WebRtcTransport, figures: Figures) -> Shape:
    answer = transport.parameters()
    candidates, dtls = answer["iceCandidates"], answer["dtlsParameters"]
    assert isinstance(candidates, list)
    assert isinstance(dtls, dict)
    role = "auto" if transport.state is TransportState.NEW else "server"
    return {
        "iceRole": "controlled",
        "iceParameters": transport.ice.to_json() | {"password": HIDDEN},
        "iceCandidates": [{"tcpType": None, **candidate} for candidate in candidates],
        "iceState": ice_state(transport, figures),
        "iceSelectedTuple": selected_tuple(transport, figures),
        "dtlsParameters": dtls | {"role": role},
        "dtlsState": transport.state.value,
    }


def _plain(transport: PlainTransport, figures: Figures) -> Shape:
    return {
        "rtcpMux": False,
        "comedia": is_comedia(transport),
        "tuple": plain_tuple(transport, figures),
        "rtcpTuple": plain_rtcp_tuple(transport),
        "srtpParameters": None,
    }


def _header_extensions(producers: Sequence[LiveProducer]) -> Shape:
    ids: dict[str, int] = {}
    for producer in producers:
        ids |= producer.state.rtp.params.extension_ids()
    return {
        "mid": ids.get(Uri.MID),
        "rid": ids.get(Uri.RID),
        "rrid": ids.get(Uri.REPAIRED_RID),
        "absSendTime": ids.get(Uri.ABS_SEND_TIME),
        "transportWideCc01": ids.get(Uri.TRANSPORT_CC),
    }


def _listener(producers: Sequence[LiveProducer]) -> Shape:
    by_ssrc: dict[object, object] = {}
    by_mid: dict[object, object] = {}
    by_rid: dict[object, object] = {}
    for producer in producers:
        params, producer_id = producer.state.rtp.params, producer.state.id
        if params.mid:
            by_mid[params.mid] = producer_id
        for encoding in params.encodings:
            if encoding.ssrc is not None:
                by_ssrc[encoding.ssrc] = producer_id
            if encoding.rid is not None:
                by_rid[encoding.rid] = producer_id
    return {"ssrcTable": pairs(by_ssrc), "midTable": pairs(by_mid), "ridTable": pairs(by_rid)}


def producer_dump(producer: LiveProducer, reports: Reports) -> Shape:
    """``producer.dump()``. ``rtpStreams`` has the encodings that have had a packet."""
    rtp = producer.state.rtp
    figures = streams(reports.producer(producer))
    mapped = [encoding.ssrc for encoding in rtp.consumable.encodings]
    return {
        "id": producer.state.id,
        "kind": rtp.kind,
        "type": rtp.type,
        "rtpParameters": _parameters(rtp.params),
        "rtpMapping": {
            "codecs": [
                {"payloadType": own, "mappedPayloadType": routers}
                for own, routers in rtp.payload_types.items()
            ],
            "encodings": [
                {
                    "rid": encoding.rid or "",
                    "ssrc": encoding.ssrc,
                    "scalabilityMode": encoding.scalability_mode,
                    "mappedSsrc": ssrc,
                }
                for encoding, ssrc in zip(rtp.params.encodings, mapped, strict=True)
            ],
        },
        "rtpStreams": [
            {
                "params": _stream_params(
                    rtp.params,
                    index,
                    stream.get("rid") or "",
                    stream["ssrc"],
                    stream.get("rtxSsrc"),
                    1,
                ),
                "score": stream["score"],
                "rtxStream": _rtx_stream(rtp.params, stream.get("rtxSsrc")),
            }
            for index, stream in enumerate(figures)
            if stream["ssrc"] is not None
        ],
        "traceEventTypes": [],
        "paused": producer.state.paused,
        "peerId": producer.state.peer_id,
        "source": producer.state.source,
    }


def consumer_dump(consumer: LiveConsumer, reports: Reports) -> Shape:
    """``consumer.dump()``. Layers are shown for simulcast and SVC, -1 stands for none. ``paused``
    is what the viewer asked for; last-N and an open offer are shown in ``heldBack`` and
    ``accepted``.
    """
    state, params, encoding = consumer.state, consumer.rtp.params, _encoding(consumer)
    source = consumer.producer.state
    return {
        "id": state.id,
        "producerId": state.producer_id,
        "kind": consumer.rtp.kind,
        "rtpParameters": _parameters(params),
        "consumableRtpEncodings": [
            _dumped_encoding(each, None) for each in source.rtp.consumable.encodings
        ],
        "traceEventTypes": [],
        "supportedCodecPayloadTypes": [params.media_codec().payload_type],
        "paused": state.paused,
        "producerPaused": source.paused,
        "priority": state.priority,
        "type": consumer.rtp.type,
        "rtpStream": {
            "params": _stream_params(
                params, 0, None, encoding.ssrc, encoding.rtx_ssrc, len(source.rtp.params.encodings)
            ),
            "score": consumer.score,
            "rtxStream": _rtx_stream(params, encoding.rtx_ssrc),
        },
        **({} if consumer.rtp.type == "simple" else _layers(reports.consumer(consumer))),
        "peerId": state.peer_id,
        "accepted": consumer.accepted,
        "heldBack": state.held_back,
    }


def _layers(figures: Figures) -> Shape:
    def layer(name: str) -> object:
        value = figures.get(name)
        return _NO_LAYER if value is None else value

    return {
        "preferredSpatialLayer": layer("preferredLayer"),
        "targetSpatialLayer": layer("targetLayer"),
        "currentSpatialLayer": layer("spatialLayer"),
        "preferredTemporalLayer": layer("preferredTemporalLayer"),
        "targetTemporalLayer": layer("allowedTemporalLayer"),
        "currentTemporalLayer": layer("temporalLayer"),
    }


def _encoding(consumer: LiveConsumer) -> Encoding:
    (encoding,) = consumer.rtp.params.encodings
    return encoding


def _parameters(params: RtpParameters) -> Shape:
    """RTP parameters as mediasoup dumps them: with keys for what is not set."""
    payload_type = params.media_codec().payload_type
    return {
        "mid": params.mid or "",
        "codecs": [_dumped_codec(codec) for codec in params.codecs],
        "headerExtensions": [extension.to_json() for extension in params.header_extensions],
        "encodings": [_dumped_encoding(each, payload_type) for each in params.encodings],
        "rtcp": {"cname": "", **params.rtcp.to_json()},
    }


def _dumped_codec(codec: Codec) -> Shape:
    feedback = [{"type": f.type, "parameter": f.parameter or None} for f in codec.rtcp_feedback]
    return {"channels": None, **codec.to_json(), "rtcpFeedback": feedback}


def _dumped_encoding(encoding: Encoding, payload_type: int | None) -> Shape:
    return {
        "ssrc": encoding.ssrc,
        "rid": encoding.rid,
        "codecPayloadType": encoding.codec_payload_type or payload_type,
        "rtx": None if encoding.rtx_ssrc is None else {"ssrc": encoding.rtx_ssrc},
        "dtx": bool(encoding.dtx),
        "scalabilityMode": encoding.scalability_mode or "S1T1",
        "maxBitrate": encoding.max_bitrate,
    }


def _stream_params(
    params: RtpParameters,
    index: int,
    rid: object,
    ssrc: object,
    rtx_ssrc: object,
    spatial_layers: int,
) -> Shape:
    codec, rtx = params.media_codec(), params.rtx_codec()
    return {
        "encodingIdx": index,
        "ssrc": ssrc,
        "payloadType": codec.payload_type,
        "mimeType": codec.mime_type,
        "clockRate": codec.clock_rate,
        "rid": rid,
        "cname": params.rtcp.cname or "",
        "rtxSsrc": rtx_ssrc,
        "rtxPayloadType": None if rtx is None else rtx.payload_type,
        "useNack": params.feedback("nack"),
        "usePli": params.feedback("nack", "pli"),
        "useFir": params.feedback("ccm", "fir"),
        "useInBandFec": codec.parameters.get("useinbandfec") == 1,
        "useDtx": codec.parameters.get("usedtx") == 1,
        "spatialLayers": spatial_layers,
        "temporalLayers": 1,
    }


def _rtx_stream(params: RtpParameters, ssrc: object) -> Shape | None:
    codec = params.rtx_codec()
    if codec is None or ssrc is None:
        return None
    return {
        "params": {
            "ssrc": ssrc,
            "payloadType": codec.payload_type,
            "mimeType": codec.mime_type,
            "clockRate": codec.clock_rate,
            "rrid": None,
            "cname": params.rtcp.cname or "",
        }
    }

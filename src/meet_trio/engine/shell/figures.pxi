# Figures: the C structs of c/stats.h as dictionaries.


cdef dict _transport_figures(const mt_transport_stats *t):
    return {
        "protocol": "tcp" if t.path.kind == MT_PATH_TCP else "udp",
        "address": None if t.path.kind == MT_PATH_NONE else [_ip(&t.path), t.path.port],
        "secure": bool(t.has_srtp),
        "packetsReceived": t.packets_in,
        "bytesReceived": t.bytes_in,
        "packetsSent": t.packets_out,
        "bytesSent": t.bytes_out,
        "recvBitrate": t.bitrate_in,
        "sendBitrate": t.bitrate_out,
        "maxIncomingBitrate": t.max_bitrate,
        "remb": t.remb,
        "roundTripTime": t.rtt_us / 1000,
        "transportCcSent": t.transport_cc_sent,
        "transportCcReceived": t.transport_cc_received,
    }


cdef dict _stream_figures(const mt_stream_stats *s):
    return {
        "ssrc": s.ssrc or None,
        "rtxSsrc": s.rtx_ssrc or None,
        "rid": (<const char *>&s.rid.text[0])[: s.rid.len].decode() or None,
        "active": bool(s.active),
        "packetCount": s.packets,
        "byteCount": s.bytes,
        "bitrate": s.bitrate,
        "packetsLost": s.lost,
        "packetsRecovered": s.recovered,
        "packetsDuplicated": s.duplicates,
        "packetsMissing": s.missing,
        "jitter": s.jitter_us / 1000,
        "nackCount": s.nacks,
        "pliCount": s.plis,
        "keyFrameCount": s.keyframes,
        "width": s.width,
        "height": s.height,
        "score": s.score,
    }


cdef dict _producer_figures(const mt_producer_stats *p):
    return {
        "transport": p.transport,
        "paused": bool(p.paused),
        "audioLevel": None if p.video else p.audio_level,
        "streams": [_stream_figures(&p.streams[0] + <size_t>i) for i in range(p.stream_count)],
    }


cdef dict _mirror_figures(const mt_producer_stats *p):
    figures = _producer_figures(p)
    del figures["transport"], figures["audioLevel"]
    return figures


cdef dict _consumer_figures(const mt_consumer_stats *c):
    return {
        "transport": c.transport,
        "producer": c.producer,
        "ssrc": c.ssrc,
        "paused": bool(c.paused),
        "spatialLayer": None if c.spatial < 0 else c.spatial,
        "targetLayer": None if c.target < 0 else c.target,
        "preferredLayer": c.preferred,
        "packetCount": c.packets,
        "byteCount": c.bytes,
        "bitrate": c.bitrate,
        "packetsRetransmitted": c.retransmissions,
        "packetsLost": c.lost,
        "fractionLost": c.fraction_lost / 256,
        "jitter": c.jitter_us / 1000,
        "roundTripTime": c.rtt_us / 1000,
        "nackCount": c.nacks,
        "pliCount": c.plis,
        "layerSwitches": c.switches,
        "score": c.score,
    }


cdef dict _figures(const mt_stats *s):
    cdef const uint64_t *counters = <const uint64_t *>&s.counters
    engine = {mt_counter_names[i].decode(): counters[i] for i in range(mt_counter_count)}
    engine["packet_buffers"] = s.buffers
    engine["packet_buffers_used"] = s.buffers_used
    engine["tcp_connections"] = s.tcp_connections
    engine["tcp_strangers"] = s.tcp_strangers
    cdef size_t i
    transports = {str(s.transports[i].id): _transport_figures(&s.transports[i]) for i in range(s.transport_count)}
    producers = {str(s.producers[i].id): _producer_figures(&s.producers[i]) for i in range(s.producer_count)}
    mirrors = {str(s.mirrors[i].id): _mirror_figures(&s.mirrors[i]) for i in range(s.mirror_count)}
    consumers = {str(s.consumers[i].id): _consumer_figures(&s.consumers[i]) for i in range(s.consumer_count)}
    engine["transports"] = len(transports)
    engine["producers"] = len(producers)
    engine["mirrors"] = len(mirrors)
    engine["consumers"] = len(consumers)
    return {
        "transports": transports,
        "producers": producers,
        "mirrors": mirrors,
        "consumers": consumers,
        "engine": engine,
    }

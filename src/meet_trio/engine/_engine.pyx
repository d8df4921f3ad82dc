# cython: language_level=3, binding=True, embedsignature=False
"""The thin shell around the C engine: arguments are checked and copied into commands, events and
figures become Python values. Nothing here waits, and nothing here is on a packet's path.
"""

import logging
import os
import secrets
from collections import OrderedDict
from ipaddress import ip_address, ip_network

from libc.errno cimport errno
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from meet_trio.engine import records

include "_engine_c.pxi"


logger = logging.getLogger("meet_trio.engine")

cdef dict _EXTENSIONS = {mt_extension_uris[i].decode(): i for i in range(MT_EXT_COUNT)}
cdef dict _CODECS = {
    "video/vp8": MT_CODEC_VP8,
    "video/vp9": MT_CODEC_VP9,
    "video/h264": MT_CODEC_H264,
}


# ---- Python to C ----


cdef int _text(mt_text *out, object value, str name) except -1:
    cdef bytes raw = (value or "").encode()
    if len(raw) > MT_MAX_TEXT:
        raise ValueError(f"{name}: longer than {MT_MAX_TEXT} bytes")
    out.len = len(raw)
    memcpy(&out.text[0], <const char *>raw, len(raw))
    return 0


cdef uint32_t _ssrc(object value, str name) except? 0:
    if value is None:
        return 0
    if not 0 < value < 1 << 32:
        raise ValueError(f"{name}: {value} is no SSRC")
    return value


cdef int16_t _payload_type(object value, str name, bint optional) except? -1:
    if optional and value is None:
        return -1
    if not 0 <= value <= 127:
        raise ValueError(f"{name}: {value} is no payload type")
    return value


cdef int _extensions(uint8_t *out, object extensions) except -1:
    for uri, number in extensions.items():
        if not 1 <= number <= 255:
            raise ValueError(f"header extension {uri}: {number} is no id")
        if uri in _EXTENSIONS:
            out[<int>_EXTENSIONS[uri]] = number
    return 0


cdef int _producer_spec(mt_producer_spec *out, object spec) except -1:
    if spec.kind not in ("audio", "video"):
        raise ValueError(f"kind: {spec.kind!r} is neither audio nor video")
    if not 1 <= len(spec.encodings) <= MT_MAX_ENCODINGS:
        raise ValueError(f"encodings: {len(spec.encodings)} are not 1 to {MT_MAX_ENCODINGS}")
    if not 1 <= spec.clock_rate <= 1_000_000:
        raise ValueError(f"clock_rate: {spec.clock_rate} Hz")
    out.video = spec.kind == "video"
    out.codec = _CODECS.get(spec.codec, MT_CODEC_OTHER)
    out.payload_type = _payload_type(spec.payload_type, "payload_type", False)
    out.rtx_payload_type = _payload_type(spec.rtx_payload_type, "rtx_payload_type", True)
    out.clock_rate = spec.clock_rate
    _text(&out.mid, spec.mid, "mid")
    _extensions(&out.ext_ids[0], spec.header_extensions)
    out.encoding_count = len(spec.encodings)
    cdef mt_encoding_spec *e
    for i, encoding in enumerate(spec.encodings):
        e = &out.encodings[0] + <size_t>i
        e.ssrc = _ssrc(encoding.ssrc, "ssrc")
        e.rtx_ssrc = _ssrc(encoding.rtx_ssrc, "rtx_ssrc")
        _text(&e.rid, encoding.rid, "rid")
    out.nack, out.pli, out.fir = spec.nack, spec.pli, spec.fir
    out.transport_cc, out.remb, out.paused = spec.transport_cc, spec.remb, spec.paused
    return 0


cdef int _consumer_spec(mt_consumer_spec *out, object spec) except -1:
    if spec.ssrc is None:
        raise ValueError("ssrc: a consumer has one")
    out.ssrc = _ssrc(spec.ssrc, "ssrc")
    out.payload_type = _payload_type(spec.payload_type, "payload_type", False)
    # RTX wants both
    out.rtx_payload_type = _payload_type(spec.rtx_payload_type, "rtx_payload_type", True)
    out.rtx_ssrc = 0 if out.rtx_payload_type < 0 else _ssrc(spec.rtx_ssrc, "rtx_ssrc")
    if out.rtx_ssrc == out.ssrc:
        raise ValueError("rtx_ssrc: the same as ssrc")
    _text(&out.mid, spec.mid, "mid")
    # identifies, and so much of it will do
    _text(&out.cname, spec.cname.encode()[:MT_MAX_TEXT].decode(errors="ignore"), "cname")
    _extensions(&out.ext_ids[0], spec.header_extensions)
    out.nack, out.pli, out.fir, out.paused = spec.nack, spec.pli, spec.fir, spec.paused
    return 0


cdef int _network(mt_network *out, object text) except -1:
    network = ip_network(text)
    cdef bytes raw = network.network_address.packed
    out.family, out.prefix = network.version, network.prefixlen
    memcpy(&out.ip[0], <const char *>raw, len(raw))
    return 0


cdef int _address(mt_path *out, str ip, int port, str name) except -1:
    cdef bytes raw = ip_address(ip).packed
    if not 1 <= port <= 65535:
        raise ValueError(f"{name}: {port} is no port")
    out.family, out.port = 4 if len(raw) == 4 else 6, port
    memcpy(&out.ip[0], <const char *>raw, len(raw))
    return 0


cdef uint32_t _ms(object seconds, str name) except? 0:
    if not 0 <= seconds <= 86400:
        raise ValueError(f"{name}: {seconds} s")
    return round(seconds * 1000)


cdef int _settings(mt_settings *out, object s, uint64_t seed) except -1:
    packets = s.history_packets
    if not 16 <= packets <= 1 << 16 or packets & (packets - 1):
        raise ValueError(f"history_packets: {packets} is no power of two from 16 to 65536")
    out.history_packets = packets
    out.history_ms = _ms(s.history, "history")
    out.dtls_per_second = s.dtls_per_second
    out.consent_ms = _ms(s.consent_timeout, "consent_timeout")
    out.pli_interval_ms = _ms(s.keyframe_interval, "keyframe_interval")
    out.nack_delay_ms = _ms(s.nack_delay, "nack_delay")
    out.nack_interval_ms = _ms(s.nack_interval, "nack_interval")
    out.nack_tries = s.nack_tries
    out.layer_silence_ms = _ms(s.layer_silence, "layer_silence")
    if not 1 <= s.incoming_excess <= 1000:
        raise ValueError(f"incoming_excess: {s.incoming_excess} is not 1 to 1000")
    out.excess_percent = round(s.incoming_excess * 100)
    out.excess_ms = _ms(s.incoming_burst, "incoming_burst")
    out.seed = seed
    return 0


cdef uint32_t _count(object value, str name, uint32_t least, uint32_t most) except? 0:
    if not least <= value <= most:
        raise ValueError(f"{name}: {value} is not {least} to {most}")
    return value


cdef int _tcp_settings(mt_tcp_settings *out, object s) except -1:
    out.max_connections = _count(s.max_tcp_connections, "max_tcp_connections", 0, 1 << 20)
    out.max_strangers = _count(s.max_tcp_strangers, "max_tcp_strangers", 1, 1 << 20)
    out.max_strangers_per_address = _count(
        s.max_tcp_strangers_per_address, "max_tcp_strangers_per_address", 1, 1 << 20
    )
    out.stranger_ms = _ms(s.tcp_stranger_timeout, "tcp_stranger_timeout")
    out.send_buffer = _count(s.tcp_send_buffer, "tcp_send_buffer", 1 << 12, 1 << 26)
    return 0


# ---- C to Python ----


cdef str _ip(const mt_path *path):
    return str(ip_address((<const char *>path.ip)[: 4 if path.family == 4 else 16]))


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


cdef object _record(const mt_event *e):
    cdef bytes data
    kind = e.type
    if kind == MT_EVENT_STATS:
        return records.StatsReady(e.id, _figures(<const mt_stats *>e.data))
    data = (<const char *>e.data)[: e.len] if e.len else b""
    if kind == MT_EVENT_ICE_CONNECTED:
        return records.IceConnected(e.id, _ip(&e.path), e.path.port)
    if kind == MT_EVENT_ICE_MOVED:
        return records.IceMoved(e.id, _ip(&e.path), e.path.port)
    if kind == MT_EVENT_ICE_SILENT:
        return records.IceSilent(e.id)
    if kind == MT_EVENT_PLAIN_CONNECTED:
        return records.PlainConnected(e.id, _ip(&e.path), e.path.port)
    if kind == MT_EVENT_DTLS:
        return records.DtlsDatagram(e.id, data)
    if kind == MT_EVENT_STREAM_STARTED:
        return records.StreamStarted(e.id, e.index, e.number)
    if kind == MT_EVENT_LAYER_CHANGED:
        return records.LayerChanged(e.id, None if e.value < 0 else e.value)
    if kind == MT_EVENT_AUDIO_LEVEL:
        return records.AudioLevel(e.id, e.value)
    if kind == MT_EVENT_PRODUCER_SCORE:
        return records.ProducerScore(e.id, tuple(e.scores[i] for i in range(e.index)))
    if kind == MT_EVENT_CONSUMER_SCORE:
        return records.ConsumerScore(e.id, e.value)
    if kind == MT_EVENT_FAILED:
        return records.EngineFailed(data.decode())
    raise ValueError(f"{kind} is no event's number")


# ---- the classes ----


cdef uint32_t _relay_slots(object s) except? 0:
    packets = s.relay_packets
    if not 16 <= packets <= 1 << 16 or packets & (packets - 1):
        raise ValueError(f"relay_packets: {packets} is no power of two from 16 to 65536")
    return packets


cdef class _Commands:
    cdef mt_links _links
    cdef uint32_t _slots

    def __dealloc__(self):
        mt_links_free(&self._links)

    # Takes over what the command holds, unless it raises.
    cdef int _give(self, mt_command *command) except -1:
        raise NotImplementedError

    # NULL: closed
    cdef mt_bell *_bell(self) except? NULL:
        raise NotImplementedError

    cdef int _give_link(self, mt_command_type kind, uint32_t id, mt_link *link) except -1:
        cdef mt_command c
        memset(&c, 0, sizeof(c))
        c.type, c.id, c.u.link = kind, id, mt_link_hold(link)
        try:
            return self._give(&c)
        except BaseException:
            mt_command_release(&c)
            raise

    cdef int _simple(self, mt_command_type kind, uint32_t id, uint64_t number=0) except -1:
        cdef mt_command c
        memset(&c, 0, sizeof(c))
        c.type, c.id, c.u.number = kind, id, number
        return self._give(&c)

    cdef int _ice(self, mt_command_type kind, uint32_t id, str ufrag, str password) except -1:
        cdef mt_command c
        if not ufrag or not password:
            raise ValueError("ufrag and password must not be empty")
        memset(&c, 0, sizeof(c))
        c.type, c.id = kind, id
        _text(&c.u.ice.ufrag, ufrag, "ufrag")
        _text(&c.u.ice.password, password, "password")
        return self._give(&c)

    def add_transport(self, uint32_t transport, str ufrag, str password):
        self._ice(MT_ADD_TRANSPORT, transport, ufrag, password)

    def restart_ice(self, uint32_t transport, str ufrag, str password):
        self._ice(MT_RESTART_ICE, transport, ufrag, password)

    def set_srtp(self, uint32_t transport, int profile, bytes tx_keying, bytes rx_keying):
        cdef mt_command c
        cdef size_t length = mt_srtp_keying_length(profile)
        if not length:
            raise ValueError(f"profile: {profile:#06x} is not known")
        if len(tx_keying) != length or len(rx_keying) != length:
            raise ValueError(f"keying: profile {profile:#06x} has {length} bytes for each direction")
        memset(&c, 0, sizeof(c))
        c.type, c.id, c.u.srtp.profile = MT_SET_SRTP, transport, profile
        memcpy(&c.u.srtp.tx[0], <const char *>tx_keying, length)
        memcpy(&c.u.srtp.rx[0], <const char *>rx_keying, length)
        self._give(&c)

    def send_dtls(self, uint32_t transport, bytes datagram):
        cdef mt_command c
        if not 0 < len(datagram) <= MT_DATAGRAM_MAX:
            raise ValueError(f"datagram: {len(datagram)} bytes")
        memset(&c, 0, sizeof(c))
        c.type, c.id, c.u.data.len = MT_SEND_DTLS, transport, len(datagram)
        c.u.data.bytes = <uint8_t *>malloc(len(datagram))
        if not c.u.data.bytes:
            raise MemoryError
        memcpy(c.u.data.bytes, <const char *>datagram, len(datagram))
        try:
            self._give(&c)
        except BaseException:
            mt_command_release(&c)
            raise

    def add_plain_transport(
        self, uint32_t transport, int rtp_fd, int rtcp_fd, allowed, bint comedia
    ):
        cdef mt_command c
        networks = list(allowed)
        if len(networks) > MT_MAX_NETWORKS:
            raise ValueError(f"allowed: {len(networks)} networks, {MT_MAX_NETWORKS} is the most")
        memset(&c, 0, sizeof(c))
        c.type, c.id = MT_ADD_PLAIN_TRANSPORT, transport
        c.u.plain.rtp_fd, c.u.plain.rtcp_fd = rtp_fd, rtcp_fd
        c.u.plain.comedia, c.u.plain.network_count = comedia, len(networks)
        for i, network in enumerate(networks):
            _network(&c.u.plain.networks[0] + <size_t>i, network)
        self._give(&c)

    def connect_plain_transport(self, uint32_t transport, str ip, int port, int rtcp_port):
        cdef mt_command c
        memset(&c, 0, sizeof(c))
        c.type, c.id = MT_CONNECT_PLAIN, transport
        _address(&c.u.remote.rtp, ip, port, "port")
        if not 1 <= rtcp_port <= 65535:
            raise ValueError(f"rtcp_port: {rtcp_port} is no port")
        c.u.remote.rtcp_port = rtcp_port
        self._give(&c)

    def set_max_incoming_bitrate(self, uint32_t transport, uint64_t bps):
        self._simple(MT_SET_MAX_BITRATE, transport, bps)

    def remove_transport(self, uint32_t transport):
        self._simple(MT_REMOVE_TRANSPORT, transport)

    def add_producer(self, uint32_t producer, uint32_t transport, spec):
        cdef mt_command c
        memset(&c, 0, sizeof(c))
        c.type, c.id, c.transport = MT_ADD_PRODUCER, producer, transport
        _producer_spec(&c.u.producer_spec, spec)
        self._give(&c)

    def add_mirror(self, uint32_t producer, spec):
        cdef mt_command c
        memset(&c, 0, sizeof(c))
        c.type, c.id = MT_ADD_MIRROR, producer
        _producer_spec(&c.u.producer_spec, spec)
        self._give(&c)

    def relay_producer(self, uint32_t producer, _Commands to not None):
        cdef mt_bell *source = self._bell()
        cdef mt_bell *sink = to._bell()
        if to is self or type(to) is not type(self):
            raise ValueError("to: another engine of the same kind")
        if not source or not sink:
            return
        mt_links_prune(&self._links)
        cdef mt_link *link = mt_links_get(&self._links, source, sink, self._slots)
        if not link:
            raise MemoryError
        to._give_link(MT_ADD_LINK, 0, link)
        self._give_link(MT_RELAY_PRODUCER, producer, link)

    def stop_relaying(self, uint32_t producer, _Commands to not None):
        cdef mt_bell *sink = to._bell()
        cdef mt_link *link = mt_links_find(&self._links, sink) if sink else NULL
        if link:
            self._give_link(MT_STOP_RELAYING, producer, link)

    def set_producer_paused(self, uint32_t producer, bint paused):
        self._simple(MT_PAUSE_PRODUCER, producer, paused)

    def remove_producer(self, uint32_t producer):
        self._simple(MT_REMOVE_PRODUCER, producer)

    def request_keyframe(self, uint32_t producer):
        self._simple(MT_REQUEST_KEYFRAME, producer)

    def add_consumer(self, uint32_t consumer, uint32_t transport, uint32_t producer, spec):
        cdef mt_command c
        memset(&c, 0, sizeof(c))
        c.type, c.id, c.transport, c.producer = MT_ADD_CONSUMER, consumer, transport, producer
        _consumer_spec(&c.u.consumer_spec, spec)
        self._give(&c)

    def set_consumer_paused(self, uint32_t consumer, bint paused):
        self._simple(MT_PAUSE_CONSUMER, consumer, paused)

    def set_preferred_layers(self, uint32_t consumer, uint32_t spatial):
        self._simple(MT_SET_LAYER, consumer, spatial)

    def remove_consumer(self, uint32_t consumer):
        self._simple(MT_REMOVE_CONSUMER, consumer)

    def request_stats(self, uint32_t token):
        self._simple(MT_REQUEST_STATS, token)


cdef int _addresses(mt_addresses *out, object settings) except -1:
    if not 1 <= len(settings.listen_ips) <= MT_MAX_ADDRESSES:
        raise ValueError(f"listen_ips: {len(settings.listen_ips)} are not 1 to {MT_MAX_ADDRESSES}")
    if not 0 <= settings.port <= 65535:
        raise ValueError(f"port: {settings.port}")
    memset(out, 0, sizeof(mt_addresses))
    out.count, out.port = len(settings.listen_ips), settings.port
    cdef bytes raw
    cdef size_t i
    for i in range(out.count):
        raw = str(ip_address(settings.listen_ips[i])).encode()
        if len(raw) >= sizeof(out.ips[0]):
            raise ValueError(f"listen_ips: {settings.listen_ips[i]}")
        memcpy(&(&out.ips[0] + i)[0], <const char *>raw, len(raw))
    return 0


# ---- commands that found the ring full ----
#
# They wait here, in order, and are given as soon as there is room. Of each object only what still
# matters waits: the newest of each setting, and of one that is removed nothing but its removal, or
# nothing at all if the engine has not heard of it. So what waits is bounded by the objects that
# there are, however often somebody changes his mind while the engine is busy.


cdef enum:
    DTLS_WAITING = 8  # datagrams of one transport: a flight; more are lost, and DTLS sends again


# What ends an object → the commands that bring it to life, and those that are about it
cdef dict _ENDS = {
    MT_REMOVE_TRANSPORT: (
        (MT_ADD_TRANSPORT, MT_ADD_PLAIN_TRANSPORT),
        (MT_RESTART_ICE, MT_SET_SRTP, MT_SET_MAX_BITRATE, MT_CONNECT_PLAIN),
    ),
    MT_REMOVE_PRODUCER: (
        (MT_ADD_PRODUCER, MT_ADD_MIRROR),
        (MT_PAUSE_PRODUCER, MT_REQUEST_KEYFRAME),
    ),
    MT_REMOVE_CONSUMER: ((MT_ADD_CONSUMER,), (MT_PAUSE_CONSUMER, MT_SET_LAYER)),
}


cdef class _Waiting:
    """A command, and what it holds until somebody has taken it."""

    cdef mt_command command
    cdef bint taken

    def __dealloc__(self):
        if not self.taken:
            mt_command_release(&self.command)


cdef class _Queue:
    cdef object _waiting  # name → _Waiting

    def __cinit__(self):
        self._waiting = OrderedDict()

    def __len__(self):
        return len(self._waiting)

    # Takes over what the command holds, unless it raises.
    cdef int put(self, mt_command *c) except -1:
        cdef _Waiting waiting
        if self._ends_what_waits(c):
            mt_command_release(c)
            return 0
        name = self._name(c)
        if name is None:
            mt_command_release(c)
            return 0
        waiting = _Waiting.__new__(_Waiting)
        waiting.taken = True  # until it is in its place
        waiting.command = c[0]
        self._waiting[name] = waiting
        waiting.taken = False
        return 0

    # NULL: none. It stays the first until ``taken``.
    cdef mt_command *first(self):
        cdef _Waiting waiting
        for waiting in self._waiting.values():
            return &waiting.command
        return NULL

    cdef int taken(self) except -1:
        cdef _Waiting waiting = self._waiting.popitem(last=False)[1]
        waiting.taken = True
        return 0

    # For an engine that will not take any of it.
    cdef int discard(self) except -1:
        cdef _Waiting waiting
        while self._waiting:
            waiting = self._waiting.popitem(last=False)[1]
            waiting.taken = True
            mt_command_discard(&waiting.command)
        return 0

    # Of one name the newest waits, in the place of the oldest. None: it is lost.
    cdef object _name(self, const mt_command *c):
        if c.type in (MT_ADD_LINK, MT_RELAY_PRODUCER, MT_STOP_RELAYING):
            return (c.type, c.id, <size_t>c.u.link)
        if c.type == MT_REQUEST_STATS:
            return (c.type,)  # the newest answer will do for all
        if c.type == MT_SEND_DTLS:
            for i in range(DTLS_WAITING):
                if (c.type, c.id, i) not in self._waiting:
                    return (c.type, c.id, i)
            return None
        return (c.type, c.id)

    # Drops what the command makes needless; True: itself too, the engine never hears of the object.
    cdef bint _ends_what_waits(self, const mt_command *c) except -1:
        if c.type == MT_STOP_RELAYING:
            return self._drop((MT_RELAY_PRODUCER, c.id, <size_t>c.u.link))
        if c.type not in _ENDS:
            return False
        unknown = False
        births, rest = _ENDS[c.type]
        for kind in births:
            unknown = self._drop((kind, c.id)) or unknown
        for kind in rest:
            self._drop((kind, c.id))
        if c.type == MT_REMOVE_TRANSPORT:
            for i in range(DTLS_WAITING):
                self._drop((MT_SEND_DTLS, c.id, i))
        return unknown

    cdef bint _drop(self, tuple name) except -1:
        return self._waiting.pop(name, None) is not None


cdef class Engine(_Commands):
    cdef mt_engine *_engine
    cdef _Queue _queue
    cdef bint _forsaken  # its thread takes no commands any more
    cdef readonly tuple ips

    def __init__(self, settings):
        cdef mt_settings s
        cdef mt_tcp_settings tcp
        cdef mt_addresses addresses
        if self._engine:
            raise RuntimeError("an Engine is initialised once")
        self._queue = _Queue()
        _addresses(&addresses, settings)
        _settings(&s, settings, secrets.randbits(64))
        _tcp_settings(&tcp, settings)
        self._slots = _relay_slots(settings)
        self.ips = tuple(settings.listen_ips)
        self._engine = mt_engine_open(&s, &tcp, &addresses)
        if not self._engine:
            code = errno
            protocol = "TCP" if addresses.refused_tcp else "UDP"
            where = f"{protocol} {self.ips[addresses.refused]}:{settings.port}"
            raise OSError(code, os.strerror(code), where)

    def __dealloc__(self):
        self._close()

    cdef void _close(self) noexcept:
        cdef mt_engine *engine = self._engine
        self._engine = NULL
        if engine:
            if self._queue is not None:  # the garbage collector may have been there
                self._queue.discard()
            with nogil:
                mt_engine_close(engine)
            mt_links_free(&self._links)

    cdef int _open(self) except -1:
        if not self._engine:
            raise ValueError("the engine is closed")
        return 0

    cdef int _give(self, mt_command *command) except -1:
        # objects outlive the engine by a moment when a server ends, and one that has failed by more
        if not self._engine or self._forsaken:
            mt_command_discard(command)
            return 0
        self._give_waiting()
        if len(self._queue) or not mt_engine_command(self._engine, command):
            self._queue.put(command)
        return 0

    cdef int _give_waiting(self) except -1:
        cdef mt_command *command = self._queue.first()
        while command and mt_engine_command(self._engine, command):
            self._queue.taken()
            command = self._queue.first()
        return 0

    cdef int _forsake(self) except -1:
        self._forsaken = True
        self._queue.discard()
        return 0

    cdef mt_bell *_bell(self) except? NULL:
        return mt_engine_bell(self._engine) if self._engine else NULL

    @property
    def port(self):
        self._open()
        return mt_engine_port(self._engine)

    @property
    def event_fd(self):
        self._open()
        return mt_engine_event_fd(self._engine)

    def read_events(self):
        cdef mt_event e
        cdef list out = []
        self._open()
        mt_links_prune(&self._links)
        mt_engine_reset_events(self._engine)
        self._give_waiting()
        while mt_engine_next_event(self._engine, &e):
            try:
                if e.type == MT_EVENT_FAILED:
                    self._forsake()
                out.append(_record(&e))
            except Exception:
                # one that nobody understands is no reason to lose the others
                logger.exception("event %d about %d is lost", <int>e.type, e.id)
            finally:
                mt_event_release(&e)
        return out

    @property
    def waiting(self):
        return len(self._queue)

    def give_up(self):
        if self._engine:
            mt_engine_give_up(self._engine)
            self._forsake()

    def close(self):
        self._close()


cdef class Core(_Commands):
    cdef mt_core *_core
    cdef mt_bell *_own_bell
    cdef uint8_t _buffer[2048]
    cdef public int64_t now
    cdef public bint take_events_in
    cdef list _sent, _tcp_sent, _plain_sent, _events

    def __init__(self, settings, uint64_t seed=1):
        cdef mt_settings s
        cdef mt_sink sink
        if self._core:
            raise RuntimeError("a Core is initialised once")
        _settings(&s, settings, seed)
        self.now = 1_000_000
        self.take_events_in = True
        self._sent, self._tcp_sent, self._plain_sent, self._events = [], [], [], []
        sink.context = <void *>self
        sink.reserve, sink.send, sink.event = _core_reserve, _core_send, _core_event
        self._slots = _relay_slots(settings)
        self._own_bell = mt_bell_new(-1)
        self._core = mt_core_new(&s, &sink)
        if not self._core or not self._own_bell:
            raise MemoryError

    def __dealloc__(self):
        self._close()

    cdef void _close(self) noexcept:
        # freeing sends and tells nothing, but to linked cores
        mt_core_free(self._core)
        mt_bell_drop(self._own_bell)
        mt_links_free(&self._links)
        self._core = NULL
        self._own_bell = NULL

    cdef int _open(self) except -1:
        if not self._core:
            raise ValueError("the core is closed")
        return 0

    def close(self):
        self._close()

    cdef mt_bell *_bell(self) except? NULL:
        return self._own_bell

    cdef int _give(self, mt_command *command) except -1:
        if self._core:
            mt_core_command(self._core, self.now, command)
        mt_command_release(command)
        return 0

    def event(self, int number, uint32_t id):
        cdef mt_event e
        memset(&e, 0, sizeof(e))
        e.type, e.id = <mt_event_type>number, id
        return _record(&e)

    def cross(self):
        self._open()
        mt_core_look(self._core)
        while mt_core_cross(self._core, self.now):
            pass

    def datagram(self, str ip, uint16_t port, bytes data):
        cdef mt_path path
        memset(&path, 0, sizeof(path))
        path.kind = MT_PATH_UDP
        self._arrive(&path, ip, port, data)

    def tcp_datagram(self, uint32_t connection, str ip, uint16_t port, bytes data):
        cdef mt_path path
        _tcp_path(&path, connection)
        self._arrive(&path, ip, port, data)

    def tcp_closed(self, uint32_t connection, str ip, uint16_t port):
        cdef mt_path path
        _tcp_path(&path, connection)
        _address(&path, ip, port, "port")
        mt_core_path_closed(self._core, self.now, &path)

    def plain_datagram(self, uint32_t transport, str ip, uint16_t port, bytes data, bint rtcp=False):
        cdef mt_path path
        memset(&path, 0, sizeof(path))
        path.kind = MT_PATH_PLAIN_RTCP if rtcp else MT_PATH_PLAIN_RTP
        path.connection = transport
        self._arrive(&path, ip, port, data)

    cdef int _arrive(self, mt_path *path, str ip, int port, bytes data) except -1:
        cdef uint8_t copy[2048]
        if len(data) > sizeof(copy):
            raise ValueError(f"data: {len(data)} bytes")
        _address(path, ip, port, "port")
        memcpy(copy, <const char *>data, len(data))
        self._open()
        mt_core_datagram(self._core, self.now, path, copy, len(data))
        return 0

    def tick(self):
        self._open()
        return mt_core_tick(self._core, self.now)

    def take_sent(self):
        out, self._sent = self._sent, []
        return out

    def take_tcp_sent(self):
        out, self._tcp_sent = self._tcp_sent, []
        return out

    def take_plain_sent(self):
        out, self._plain_sent = self._plain_sent, []
        return out

    def take_events(self):
        out, self._events = self._events, []
        return out


cdef void _tcp_path(mt_path *out, uint32_t connection) noexcept:
    memset(out, 0, sizeof(mt_path))
    out.kind, out.connection = MT_PATH_TCP, connection


cdef uint8_t *_core_reserve(void *context) noexcept:
    return (<Core>context)._buffer


cdef void _core_send(void *context, const mt_path *to, size_t length) noexcept:
    core = <Core>context
    datagram = (<const char *>core._buffer)[:length]
    if to.kind == MT_PATH_PLAIN_RTP or to.kind == MT_PATH_PLAIN_RTCP:
        rtcp = to.kind == MT_PATH_PLAIN_RTCP
        core._plain_sent.append((to.connection, rtcp, _ip(to), to.port, datagram))
    elif to.kind == MT_PATH_TCP:
        core._tcp_sent.append((to.connection, datagram))
    else:
        core._sent.append((_ip(to), to.port, datagram))


cdef bool_t _core_event(void *context, const mt_event *event) noexcept:
    core = <Core>context
    if not core.take_events_in:
        return False
    core._events.append(_record(event))
    if event.type == MT_EVENT_STATS:
        mt_stats_free(<mt_stats *>event.data)
    return True

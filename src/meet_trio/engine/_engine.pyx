# cython: language_level=3, binding=True
"""The thin shell around the C engine: arguments are checked and copied into commands, events become records."""

import ipaddress
import json
import os

from libc.errno cimport errno as c_errno
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memcpy, memset

from . import records


cdef extern from "stdbool.h":
    ctypedef bint bool_t "bool"


cdef extern from "c/core.h":
    enum:
        MT_MAX_DATAGRAM
        MT_MAX_ENCODINGS
        MT_MAX_MID
        MT_MAX_RID
        MT_MAX_CNAME
        MT_MAX_UFRAG
        MT_MAX_PWD
        MT_SRTP_MAX_KEYING

    ctypedef enum mt_srtp_profile:
        pass

    ctypedef struct mt_addr:
        uint8_t ip[16]
        uint16_t port

    ctypedef enum mt_codec:
        MT_CODEC_OPUS
        MT_CODEC_VP8
        MT_CODEC_VP9
        MT_CODEC_H264
        MT_CODEC_OTHER

    ctypedef struct encoding_t "typeof(((mt_producer_spec *)0)->encodings[0])":
        uint32_t ssrc
        uint32_t rtx_ssrc
        char rid[17]

    ctypedef struct mt_producer_spec:
        bool_t audio
        mt_codec codec
        uint8_t payload_type
        uint8_t rtx_payload_type
        uint32_t clock_rate
        char mid[33]
        uint8_t ext_ids[10]
        unsigned encoding_count
        encoding_t encodings[4]
        bool_t nack
        bool_t pli
        bool_t fir
        bool_t transport_cc
        bool_t remb
        bool_t paused

    ctypedef struct mt_consumer_spec:
        uint32_t ssrc
        uint32_t rtx_ssrc
        uint8_t payload_type
        uint8_t rtx_payload_type
        char mid[33]
        char cname[65]
        uint8_t ext_ids[10]
        bool_t nack
        bool_t pli
        bool_t fir
        bool_t paused

    ctypedef enum mt_command_type:
        MT_CMD_ADD_TRANSPORT
        MT_CMD_RESTART_ICE
        MT_CMD_SET_SRTP
        MT_CMD_SEND_DTLS
        MT_CMD_SET_MAX_INCOMING
        MT_CMD_REMOVE_TRANSPORT
        MT_CMD_ADD_PRODUCER
        MT_CMD_PAUSE_PRODUCER
        MT_CMD_REMOVE_PRODUCER
        MT_CMD_REQUEST_KEYFRAME
        MT_CMD_ADD_CONSUMER
        MT_CMD_PAUSE_CONSUMER
        MT_CMD_PREFER_LAYER
        MT_CMD_REMOVE_CONSUMER
        MT_CMD_STATS

    ctypedef struct ice_t "typeof(((mt_command *)0)->ice)":
        char ufrag[65]
        char pwd[129]

    ctypedef struct srtp_t "typeof(((mt_command *)0)->srtp)":
        mt_srtp_profile profile
        uint8_t tx[46]
        uint8_t rx[46]

    ctypedef struct data_t "typeof(((mt_command *)0)->data)":
        uint16_t len
        uint8_t bytes[2048]

    ctypedef struct mt_command:
        mt_command_type type
        uint32_t id
        uint32_t other
        uint64_t number
        ice_t ice
        srtp_t srtp
        data_t data
        mt_producer_spec producer
        mt_consumer_spec consumer

    ctypedef enum mt_event_type:
        MT_EVENT_ICE_CONNECTED
        MT_EVENT_ICE_MOVED
        MT_EVENT_ICE_SILENT
        MT_EVENT_DTLS
        MT_EVENT_STREAM
        MT_EVENT_LAYER
        MT_EVENT_AUDIO_LEVEL
        MT_EVENT_PRODUCER_SCORE
        MT_EVENT_CONSUMER_SCORE
        MT_EVENT_STATS
        MT_EVENT_FAILED

    ctypedef struct mt_event:
        mt_event_type type
        uint32_t id
        uint32_t a
        uint32_t b
        mt_addr addr
        const uint8_t *data
        size_t len

    ctypedef struct mt_sink:
        void *ctx
        uint8_t *(*buffer)(void *ctx) noexcept
        void (*send)(void *ctx, const mt_addr *to, size_t len) noexcept
        bool_t (*event)(void *ctx, const mt_event *event) noexcept

    ctypedef struct mt_core_settings:
        int64_t consent_timeout_us
        int64_t keyframe_interval_us
        int64_t nack_delay_us
        int64_t nack_interval_us
        unsigned nack_tries
        unsigned video_history
        unsigned audio_history
        unsigned dtls_per_second
        unsigned max_transports
        unsigned max_streams

    ctypedef struct mt_core:
        pass

    size_t mt_srtp_keying_length(mt_srtp_profile profile)
    mt_core *mt_core_new(const mt_core_settings *settings, const mt_sink *sink, uint64_t seed)
    void mt_core_free(mt_core *core)
    void mt_core_datagram(
        mt_core *core, int64_t now, uint64_t ntp, const mt_addr *addr, uint8_t *data, size_t len
    )
    void mt_core_command(mt_core *core, int64_t now, const mt_command *command)
    void mt_core_tick(mt_core *core, int64_t now, uint64_t ntp)


cdef extern from "c/thread.h":
    ctypedef struct mt_engine:
        pass

    ctypedef struct mt_queued_event:
        mt_event event

    mt_engine *mt_engine_start(const mt_core_settings *settings, const char *ip, uint16_t port)
    uint16_t mt_engine_port(const mt_engine *e)
    int mt_engine_event_fd(const mt_engine *e)
    bool_t mt_engine_command(mt_engine *e, const mt_command *command)
    void mt_engine_reset_event_fd(mt_engine *e)
    mt_queued_event *mt_engine_next_event(mt_engine *e)
    void mt_engine_stop(mt_engine *e) nogil


class EngineOverloaded(Exception):
    """The command ring is full: the engine's thread does not keep up."""


# in the order of mt_ext
_EXTENSIONS = {
    "urn:ietf:params:rtp-hdrext:sdes:mid": 0,
    "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id": 1,
    "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id": 2,
    "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time": 3,
    "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01": 4,
    "urn:ietf:params:rtp-hdrext:ssrc-audio-level": 5,
    "urn:3gpp:video-orientation": 6,
    "urn:ietf:params:rtp-hdrext:toffset": 7,
    "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time": 8,
    "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay": 9,
}

_CODECS = {
    "audio/opus": MT_CODEC_OPUS,
    "video/vp8": MT_CODEC_VP8,
    "video/vp9": MT_CODEC_VP9,
    "video/h264": MT_CODEC_H264,
}


cdef int _text(char *out, size_t most, object value, str what) except -1:
    cdef bytes raw = value.encode()
    if len(raw) > most or b"\0" in raw:
        raise ValueError(f"{what}: longer than {most} bytes, or with a NUL")
    memcpy(out, <char *>raw, len(raw))
    out[len(raw)] = 0
    return 0


cdef uint8_t _payload_type(object value, str what) except? 255:
    if not 0 <= value <= 127:
        raise ValueError(f"{what}: {value} is no payload type")
    return value


cdef int _extension_ids(uint8_t *out, object extensions) except -1:
    for uri, number in extensions.items():
        if not 1 <= number <= 255:
            raise ValueError(f"header extension {uri}: {number} is no id")
        if uri in _EXTENSIONS:
            out[<int>_EXTENSIONS[uri]] = number
    return 0


cdef int _producer(mt_producer_spec *out, object spec) except -1:
    if not 1 <= len(spec.encodings) <= MT_MAX_ENCODINGS:
        raise ValueError(f"{len(spec.encodings)} encodings, 1 to {MT_MAX_ENCODINGS} are possible")
    if spec.clock_rate < 1:
        raise ValueError("clock_rate must be positive")
    out.audio = spec.kind == "audio"
    out.codec = _CODECS.get(spec.codec, MT_CODEC_OTHER)
    out.payload_type = _payload_type(spec.payload_type, "payload_type")
    out.rtx_payload_type = _payload_type(spec.rtx_payload_type or 0, "rtx_payload_type")
    out.clock_rate = spec.clock_rate
    _text(out.mid, MT_MAX_MID, spec.mid or "", "mid")
    _extension_ids(out.ext_ids, spec.header_extensions)
    out.encoding_count = len(spec.encodings)
    for i, encoding in enumerate(spec.encodings):
        out.encodings[i].ssrc = encoding.ssrc or 0
        out.encodings[i].rtx_ssrc = encoding.rtx_ssrc or 0
        _text(out.encodings[i].rid, MT_MAX_RID, encoding.rid or "", f"encodings[{i}].rid")
    out.nack = spec.nack
    out.pli = spec.pli
    out.fir = spec.fir
    out.transport_cc = spec.transport_cc
    out.remb = spec.remb
    out.paused = spec.paused
    return 0


cdef int _consumer(mt_consumer_spec *out, object spec) except -1:
    out.ssrc = spec.ssrc
    out.rtx_ssrc = spec.rtx_ssrc or 0
    out.payload_type = _payload_type(spec.payload_type, "payload_type")
    out.rtx_payload_type = _payload_type(spec.rtx_payload_type or 0, "rtx_payload_type")
    _text(out.mid, MT_MAX_MID, spec.mid, "mid")
    # a CNAME is an identifier: its beginning tells as much as all of it
    _text(out.cname, MT_MAX_CNAME, spec.cname[: MT_MAX_CNAME // 4], "cname")
    _extension_ids(out.ext_ids, spec.header_extensions)
    out.nack = spec.nack
    out.pli = spec.pli
    out.fir = spec.fir
    out.paused = spec.paused
    return 0


cdef mt_core_settings _settings(object s) except *:
    cdef mt_core_settings out
    for name in ("video_history", "audio_history"):
        value = getattr(s, name)
        if not 16 <= value <= 1 << 16 or value & (value - 1):
            raise ValueError(f"{name}: {value} is no power of two from 16 to 65536")
    out.consent_timeout_us = round(s.consent_timeout * 1e6)
    out.keyframe_interval_us = round(s.keyframe_interval * 1e6)
    out.nack_delay_us = round(s.nack_delay * 1e6)
    out.nack_interval_us = round(s.nack_interval * 1e6)
    out.nack_tries = s.nack_tries
    out.video_history = s.video_history
    out.audio_history = s.audio_history
    out.dtls_per_second = s.dtls_per_second
    out.max_transports = s.max_transports
    out.max_streams = s.max_streams
    return out


cdef object _ip(const uint8_t *ip):
    address = ipaddress.IPv6Address(bytes(ip[:16]))
    return str(address.ipv4_mapped or address)


cdef object _record(const mt_event *e):
    cdef bytes data = e.data[: e.len] if e.len > 0 else b""
    kind = e.type
    if kind == MT_EVENT_ICE_CONNECTED:
        return records.IceConnected(e.id, _ip(e.addr.ip), e.addr.port)
    if kind == MT_EVENT_ICE_MOVED:
        return records.IceMoved(e.id, _ip(e.addr.ip), e.addr.port)
    if kind == MT_EVENT_ICE_SILENT:
        return records.IceSilent(e.id)
    if kind == MT_EVENT_DTLS:
        return records.DtlsDatagram(e.id, data)
    if kind == MT_EVENT_STREAM:
        return records.StreamStarted(e.id, e.a, e.b)
    if kind == MT_EVENT_LAYER:
        return records.LayerChanged(e.id, None if e.a == 0xFFFFFFFF else e.a)
    if kind == MT_EVENT_AUDIO_LEVEL:
        return records.AudioLevel(e.id, -<int>e.a)
    if kind == MT_EVENT_PRODUCER_SCORE:
        return records.ProducerScore(e.id, tuple(data))
    if kind == MT_EVENT_CONSUMER_SCORE:
        return records.ConsumerScore(e.id, e.a)
    if kind == MT_EVENT_STATS:
        return records.StatsReady(e.id, json.loads(data))
    return records.EngineFailed(data.decode())


cdef class _Commands:
    cdef int _give(self, const mt_command *command) except -1:
        raise NotImplementedError

    cdef int _ice(self, mt_command_type kind, uint32_t transport, str ufrag, str password) except -1:
        cdef mt_command c
        if not ufrag or not password:
            raise ValueError("ufrag and password must not be empty")
        memset(&c, 0, sizeof(c))
        c.type = kind
        c.id = transport
        _text(c.ice.ufrag, MT_MAX_UFRAG, ufrag, "ufrag")
        _text(c.ice.pwd, MT_MAX_PWD, password, "password")
        return self._give(&c)

    cdef int _simple(
        self, mt_command_type kind, uint32_t id, uint32_t other=0, uint64_t number=0
    ) except -1:
        cdef mt_command c
        memset(&c, 0, sizeof(c))
        c.type = kind
        c.id = id
        c.other = other
        c.number = number
        return self._give(&c)

    def add_transport(self, uint32_t transport, str ufrag, str password):
        self._ice(MT_CMD_ADD_TRANSPORT, transport, ufrag, password)

    def restart_ice(self, uint32_t transport, str ufrag, str password):
        self._ice(MT_CMD_RESTART_ICE, transport, ufrag, password)

    def set_srtp(self, uint32_t transport, int profile, bytes tx_keying, bytes rx_keying):
        cdef mt_command c
        cdef size_t length = mt_srtp_keying_length(<mt_srtp_profile>profile)
        if length == 0:
            raise ValueError(f"unknown SRTP profile {profile:#06x}")
        if len(tx_keying) != length or len(rx_keying) != length:
            raise ValueError(f"keying of profile {profile:#06x} has {length} bytes")
        memset(&c, 0, sizeof(c))
        c.type = MT_CMD_SET_SRTP
        c.id = transport
        c.srtp.profile = <mt_srtp_profile>profile
        memcpy(c.srtp.tx, <char *>tx_keying, length)
        memcpy(c.srtp.rx, <char *>rx_keying, length)
        try:
            self._give(&c)
        finally:
            memset(&c, 0, sizeof(c))

    def send_dtls(self, uint32_t transport, bytes datagram):
        cdef mt_command c
        if not 0 < len(datagram) <= MT_MAX_DATAGRAM:
            raise ValueError(f"a datagram of {len(datagram)} bytes")
        memset(&c, 0, sizeof(c))
        c.type = MT_CMD_SEND_DTLS
        c.id = transport
        c.data.len = len(datagram)
        memcpy(c.data.bytes, <char *>datagram, len(datagram))
        self._give(&c)

    def set_max_incoming_bitrate(self, uint32_t transport, uint64_t bps):
        self._simple(MT_CMD_SET_MAX_INCOMING, transport, 0, bps)

    def remove_transport(self, uint32_t transport):
        self._simple(MT_CMD_REMOVE_TRANSPORT, transport)

    def add_producer(self, uint32_t producer, uint32_t transport, spec):
        cdef mt_command c
        memset(&c, 0, sizeof(c))
        c.type = MT_CMD_ADD_PRODUCER
        c.id = producer
        c.other = transport
        _producer(&c.producer, spec)
        self._give(&c)

    def set_producer_paused(self, uint32_t producer, bint paused):
        self._simple(MT_CMD_PAUSE_PRODUCER, producer, 0, paused)

    def remove_producer(self, uint32_t producer):
        self._simple(MT_CMD_REMOVE_PRODUCER, producer)

    def request_keyframe(self, uint32_t producer):
        self._simple(MT_CMD_REQUEST_KEYFRAME, producer)

    def add_consumer(self, uint32_t consumer, uint32_t transport, uint32_t producer, spec):
        cdef mt_command c
        memset(&c, 0, sizeof(c))
        c.type = MT_CMD_ADD_CONSUMER
        c.id = consumer
        c.other = transport
        c.number = producer
        _consumer(&c.consumer, spec)
        self._give(&c)

    def set_consumer_paused(self, uint32_t consumer, bint paused):
        self._simple(MT_CMD_PAUSE_CONSUMER, consumer, 0, paused)

    def set_preferred_layers(self, uint32_t consumer, uint32_t spatial):
        self._simple(MT_CMD_PREFER_LAYER, consumer, 0, spatial)

    def remove_consumer(self, uint32_t consumer):
        self._simple(MT_CMD_REMOVE_CONSUMER, consumer)

    def request_stats(self, uint32_t token):
        self._simple(MT_CMD_STATS, token)


cdef class Engine(_Commands):
    cdef mt_engine *_engine
    cdef readonly str ip

    def __init__(self, settings):
        cdef mt_core_settings s = _settings(settings)
        cdef bytes ip = settings.listen_ip.encode()
        ipaddress.ip_address(settings.listen_ip)
        if self._engine != NULL:
            raise RuntimeError("already running")
        self.ip = settings.listen_ip
        self._engine = mt_engine_start(&s, ip, settings.port)
        if self._engine == NULL:
            number = c_errno
            raise OSError(number, os.strerror(number), f"{self.ip}:{settings.port}")

    cdef int _give(self, const mt_command *command) except -1:
        if self._engine == NULL:
            raise ValueError("the engine is closed")
        if not mt_engine_command(self._engine, command):
            raise EngineOverloaded("the engine's command ring is full")
        return 0

    @property
    def port(self):
        if self._engine == NULL:
            raise ValueError("the engine is closed")
        return mt_engine_port(self._engine)

    @property
    def event_fd(self):
        if self._engine == NULL:
            raise ValueError("the engine is closed")
        return mt_engine_event_fd(self._engine)

    def read_events(self):
        cdef mt_queued_event *e
        events = []
        if self._engine == NULL:
            return events
        mt_engine_reset_event_fd(self._engine)
        while True:
            e = mt_engine_next_event(self._engine)
            if e == NULL:
                return events
            try:
                events.append(_record(&e.event))
            finally:
                free(e)

    def close(self):
        cdef mt_engine *engine = self._engine
        self._engine = NULL
        if engine != NULL:
            with nogil:
                mt_engine_stop(engine)

    def __dealloc__(self):
        if self._engine != NULL:
            mt_engine_stop(self._engine)


cdef uint8_t *_core_buffer(void *ctx) noexcept:
    return (<Core>ctx)._out


cdef void _core_send(void *ctx, const mt_addr *to, size_t len) noexcept:
    (<Core>ctx)._sent.append((_ip(to.ip), to.port, (<Core>ctx)._out[:len]))


cdef bool_t _core_event(void *ctx, const mt_event *event) noexcept:
    (<Core>ctx)._events.append(_record(event))
    return True


cdef class Core(_Commands):
    cdef mt_core *_core
    cdef uint8_t _out[2048]
    cdef list _sent
    cdef list _events
    cdef public int64_t now

    def __init__(self, settings, uint64_t seed=1):
        cdef mt_core_settings s = _settings(settings)
        cdef mt_sink sink
        if self._core != NULL:
            raise RuntimeError("already made")
        self._sent = []
        self._events = []
        self.now = 1_000_000
        sink.ctx = <void *>self
        sink.buffer = _core_buffer
        sink.send = _core_send
        sink.event = _core_event
        self._core = mt_core_new(&s, &sink, seed)
        if self._core == NULL:
            raise MemoryError

    cdef int _give(self, const mt_command *command) except -1:
        mt_core_command(self._core, self.now, command)
        return 0

    cdef uint64_t _ntp(self):
        # any wall clock will do: this one started in 2026
        return ((<uint64_t>3_976_000_000 + <uint64_t>(self.now // 1_000_000)) << 32) | (
            (<uint64_t>(self.now % 1_000_000) << 32) // 1_000_000
        )

    def datagram(self, str ip, uint16_t port, bytes data):
        cdef mt_addr addr
        cdef uint8_t buffer[2048]
        if len(data) > sizeof(buffer):
            raise ValueError("longer than a datagram can be")
        address = ipaddress.ip_address(ip)
        if address.version == 4:
            address = ipaddress.IPv6Address(f"::ffff:{address}")
        memset(&addr, 0, sizeof(addr))
        memcpy(addr.ip, <char *>address.packed, 16)
        addr.port = port
        memcpy(buffer, <char *>data, len(data))
        mt_core_datagram(self._core, self.now, self._ntp(), &addr, buffer, len(data))

    def tick(self):
        mt_core_tick(self._core, self.now, self._ntp())

    def take_sent(self):
        sent, self._sent = self._sent, []
        return sent

    def take_events(self):
        events, self._events = self._events, []
        return events

    def __dealloc__(self):
        mt_core_free(self._core)

# Crowd: the clients' side of the media of many transports, see c/crowd/crowd.h.

import time

from meet_trio.engine import crowd_records

_RING_TRIES = 10_000
_RING_WAIT = 0.001  # seconds, until the thread has taken commands


cdef extern from "crowd/crowd.h":
    enum:
        MT_CHECK_BYTES
        MT_HISTOGRAM_BUCKETS
        MT_CROWD_COUNTER_COUNT
        MT_FEED_MAX_PAYLOAD
        MT_FEED_MAX_PACKETS

    ctypedef struct mt_crowd:
        pass

    ctypedef enum mt_crowd_command_type:
        MT_CROWD_ADD_ENDPOINT
        MT_CROWD_SET_KEYS
        MT_CROWD_SEND
        MT_CROWD_ADD_FEED
        MT_CROWD_ADD_VIEWED
        MT_CROWD_SET_SILENT
        MT_CROWD_REPORT

    ctypedef struct mt_endpoint_spec:
        uint32_t ssrc
        uint8_t transport_cc_id
        uint16_t check_len
        uint8_t check[1]  # longer in C; only its address is used

    ctypedef struct mt_feed_spec:
        bool_t video
        uint32_t number
        uint32_t ssrc
        uint32_t rtx_ssrc
        uint8_t payload_type
        uint8_t rtx_payload_type
        uint32_t clock_rate
        uint32_t interval_us
        uint32_t frame_bytes
        uint32_t keyframe_bytes
        uint32_t packet_bytes
        uint32_t keyframe_interval
        uint8_t ext_ids[1]
        mt_text mid
        mt_text rid
        mt_text cname

    ctypedef struct mt_viewed_spec:
        bool_t video
        bool_t nack
        uint32_t ssrc
        uint32_t rtx_ssrc
        uint32_t clock_rate
        uint32_t feed

    ctypedef union mt_crowd_command_u:
        mt_endpoint_spec endpoint
        mt_srtp_spec srtp
        mt_data data
        mt_feed_spec feed
        mt_viewed_spec viewed
        bool_t silent

    ctypedef struct mt_crowd_command:
        mt_crowd_command_type type
        uint32_t id
        int fds[2]
        mt_crowd_command_u u

    ctypedef enum mt_crowd_event_type:
        MT_CROWD_ANSWERED
        MT_CROWD_DTLS
        MT_CROWD_FIRST
        MT_CROWD_TOTALS
        MT_CROWD_FAILED

    ctypedef struct mt_histogram:
        uint64_t counts[1]  # longer in C; only its address is used
        int64_t longest

    ctypedef struct mt_crowd_totals:
        mt_histogram delay

    ctypedef struct mt_crowd_event:
        mt_crowd_event_type type
        uint32_t id
        uint32_t number
        int64_t at
        void *data
        size_t len

    const char *mt_crowd_counter_names[1]  # longer in C
    const uint64_t *mt_crowd_counter_values(const mt_crowd_totals *t)
    mt_crowd *mt_crowd_open(bint join, uint64_t seed)
    void mt_crowd_close(mt_crowd *c) nogil
    int mt_crowd_event_fd(const mt_crowd *c)
    bint mt_crowd_command_put(mt_crowd *c, const mt_crowd_command *command)
    void mt_crowd_command_discard(mt_crowd_command *command)
    void mt_crowd_reset_events(mt_crowd *c)
    bint mt_crowd_next_event(mt_crowd *c, mt_crowd_event *out)



cdef uint32_t _positive(object value, str name, uint32_t most) except? 0:
    if not 1 <= value <= most:
        raise ValueError(f"{name}: {value} is not 1 to {most}")
    return value


cdef int _feed_spec(mt_feed_spec *out, object spec) except -1:
    out.video, out.number = spec.video, spec.number
    out.ssrc, out.rtx_ssrc = _ssrc(spec.ssrc, "ssrc"), spec.rtx_ssrc
    out.payload_type = _payload_type(spec.payload_type, "payload_type", False)
    out.rtx_payload_type = _payload_type(spec.rtx_payload_type, "rtx_payload_type", False)
    out.clock_rate = _positive(spec.clock_rate, "clock_rate", 1_000_000)
    out.interval_us = _positive(round(spec.interval * 1e6), "interval in µs", 1_000_000)
    out.packet_bytes = _positive(spec.packet_size, "packet_size", MT_FEED_MAX_PAYLOAD)
    most = MT_FEED_MAX_PACKETS * out.packet_bytes
    out.frame_bytes = _positive(spec.frame_size, "frame_size", most)
    if spec.video:
        out.keyframe_bytes = _positive(spec.keyframe_size, "keyframe_size", most)
    out.keyframe_interval = spec.keyframe_interval
    _text(&out.mid, spec.mid, "mid")
    _text(&out.rid, spec.rid, "rid")
    _text(&out.cname, spec.cname, "cname")
    return _extensions(&out.ext_ids[0], spec.extensions)


cdef object _crowd_report(mt_crowd_event *e):
    cdef mt_crowd_totals *t = <mt_crowd_totals *>e.data
    cdef const uint64_t *values = mt_crowd_counter_values(t)
    cdef uint64_t *counts = &t.delay.counts[0]
    counters = {
        (&mt_crowd_counter_names[0])[i].decode(): values[i] for i in range(MT_CROWD_COUNTER_COUNT)
    }
    delays = [counts[i] for i in range(MT_HISTOGRAM_BUCKETS)]
    return crowd_records.CrowdReport(e.id, e.at / 1e6, counters, delays, t.delay.longest)


cdef object _crowd_record(mt_crowd_event *e):
    kind = e.type
    if kind == MT_CROWD_ANSWERED:
        return crowd_records.CheckAnswered(e.id)
    elif kind == MT_CROWD_DTLS:
        return crowd_records.DtlsReceived(e.id, (<const char *>e.data)[: e.len])
    elif kind == MT_CROWD_FIRST:
        return crowd_records.StreamBegun(e.id, e.number, e.at / 1e6)
    elif kind == MT_CROWD_TOTALS:
        return _crowd_report(e)
    elif kind == MT_CROWD_FAILED:
        return crowd_records.CrowdFailed((<const char *>e.data)[: e.len].decode())
    raise ValueError(f"{<int>kind} is no event's number")


cdef class Crowd:
    cdef mt_crowd *_crowd
    cdef uint32_t _endpoints

    def __init__(self, bint join=True):
        if self._crowd:
            raise RuntimeError("a Crowd is initialised once")
        self._crowd = mt_crowd_open(join, secrets.randbits(64))
        if not self._crowd:
            raise OSError(errno, os.strerror(errno))

    def __dealloc__(self):
        self.close()

    def close(self):
        cdef mt_crowd *crowd = self._crowd
        self._crowd = NULL
        with nogil:
            mt_crowd_close(crowd)

    cdef int _give(self, mt_crowd_command *c) except -1:
        if not self._crowd:
            mt_crowd_command_discard(c)
            raise ValueError("the crowd is closed")
        for _ in range(_RING_TRIES):
            if mt_crowd_command_put(self._crowd, c):
                return 0
            time.sleep(_RING_WAIT)
        mt_crowd_command_discard(c)
        raise RuntimeError("the crowd's thread takes no commands")

    @property
    def event_fd(self):
        if not self._crowd:
            raise ValueError("the crowd is closed")
        return mt_crowd_event_fd(self._crowd)

    def add_endpoint(self, int rtp_fd, int rtcp_fd, bytes check, int transport_cc_id, uint32_t ssrc):
        cdef mt_crowd_command c
        if len(check) > MT_CHECK_BYTES:
            raise ValueError(f"check: {len(check)} bytes")
        memset(&c, 0, sizeof(c))
        c.type, c.id = MT_CROWD_ADD_ENDPOINT, self._endpoints
        c.fds[0], c.fds[1] = rtp_fd, rtcp_fd
        c.u.endpoint.ssrc, c.u.endpoint.transport_cc_id = ssrc, transport_cc_id
        c.u.endpoint.check_len = len(check)
        memcpy(&c.u.endpoint.check[0], <const char *>check, len(check))
        self._give(&c)
        self._endpoints += 1
        return self._endpoints - 1

    def set_srtp(self, uint32_t endpoint, int profile, bytes tx_keying, bytes rx_keying):
        cdef mt_crowd_command c
        cdef size_t length = mt_srtp_keying_length(profile)
        if not length or len(tx_keying) != length or len(rx_keying) != length:
            raise ValueError(f"profile {profile:#06x}: unknown, or keying of another length")
        memset(&c, 0, sizeof(c))
        c.type, c.id, c.u.srtp.profile = MT_CROWD_SET_KEYS, endpoint, profile
        memcpy(&c.u.srtp.tx[0], <const char *>tx_keying, length)
        memcpy(&c.u.srtp.rx[0], <const char *>rx_keying, length)
        self._give(&c)

    def send(self, uint32_t endpoint, bytes datagram):
        cdef mt_crowd_command c
        if not 0 < len(datagram) <= MT_DATAGRAM_MAX:
            raise ValueError(f"datagram: {len(datagram)} bytes")
        memset(&c, 0, sizeof(c))
        c.type, c.id, c.u.data.len = MT_CROWD_SEND, endpoint, len(datagram)
        c.u.data.bytes = <uint8_t *>malloc(len(datagram))
        if not c.u.data.bytes:
            raise MemoryError
        memcpy(c.u.data.bytes, <const char *>datagram, len(datagram))
        self._give(&c)

    def add_feed(self, uint32_t endpoint, spec):
        cdef mt_crowd_command c
        memset(&c, 0, sizeof(c))
        c.type, c.id = MT_CROWD_ADD_FEED, endpoint
        _feed_spec(&c.u.feed, spec)
        self._give(&c)

    def add_viewed(self, uint32_t endpoint, spec):
        cdef mt_crowd_command c
        memset(&c, 0, sizeof(c))
        c.type, c.id = MT_CROWD_ADD_VIEWED, endpoint
        c.u.viewed.video, c.u.viewed.nack = spec.video, spec.nack
        c.u.viewed.ssrc, c.u.viewed.rtx_ssrc = _ssrc(spec.ssrc, "ssrc"), spec.rtx_ssrc
        c.u.viewed.clock_rate = _positive(spec.clock_rate, "clock_rate", 1_000_000)
        c.u.viewed.feed = spec.number
        self._give(&c)

    def set_silent(self, bint silent):
        cdef mt_crowd_command c
        memset(&c, 0, sizeof(c))
        c.type, c.u.silent = MT_CROWD_SET_SILENT, silent
        self._give(&c)

    def request_report(self, uint32_t token):
        cdef mt_crowd_command c
        memset(&c, 0, sizeof(c))
        c.type, c.id = MT_CROWD_REPORT, token
        self._give(&c)

    def read_events(self):
        cdef mt_crowd_event e
        cdef list out = []
        if not self._crowd:
            raise ValueError("the crowd is closed")
        mt_crowd_reset_events(self._crowd)
        while mt_crowd_next_event(self._crowd, &e):
            try:
                out.append(_crowd_record(&e))
            finally:
                free(e.data)
        return out

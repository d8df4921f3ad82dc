# Commands. Each method of _Commands checks its arguments, copies them into an mt_command and gives
# the command to the engine. One method makes each type of command (tests/engine/test_shell.py).


cdef class _Commands:
    cdef mt_links _links
    cdef uint32_t _slots

    def __dealloc__(self):
        mt_links_free(&self._links)

    # Takes ownership of what the command holds, unless it raises.
    cdef int _give(self, mt_command *command) except -1:
        raise NotImplementedError

    # NULL: the engine is closed.
    cdef mt_waker *_waker(self) except? NULL:
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
            raise ValueError(
                f"keying: profile {profile:#06x} has {length} bytes for each direction"
            )
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

    def set_max_outgoing_bitrate(self, uint32_t transport, uint64_t bps):
        self._simple(MT_SET_TRANSPORT_MAX_OUTGOING, transport, bps)

    def trace_transport(self, uint32_t transport, bint on):
        self._simple(MT_TRACE_TRANSPORT, transport, on)

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
        cdef mt_waker *source = self._waker()
        cdef mt_waker *sink = to._waker()
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
        cdef mt_waker *sink = to._waker()
        cdef mt_link *link = mt_links_find(&self._links, sink) if sink else NULL
        if link:
            self._give_link(MT_STOP_RELAYING, producer, link)

    def set_producer_paused(self, uint32_t producer, bint paused):
        self._simple(MT_PAUSE_PRODUCER, producer, paused)

    def watch_audio_level(self, uint32_t producer):
        self._simple(MT_WATCH_LEVEL, producer)

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

    def set_preferred_layers(
        self, uint32_t consumer, uint32_t spatial, uint32_t temporal=MT_MAX_TEMPORAL - 1
    ):
        cdef mt_command c
        memset(&c, 0, sizeof(c))
        c.type, c.id = MT_SET_PREFERRED_LAYERS, consumer
        c.u.layers.spatial, c.u.layers.temporal = spatial, temporal
        self._give(&c)

    def set_consumer_priority(self, uint32_t consumer, int priority):
        if not 1 <= priority <= 255:
            raise ValueError(f"priority: {priority} is not from 1 to 255")
        self._simple(MT_SET_CONSUMER_PRIORITY, consumer, priority)

    def request_consumer_keyframe(self, uint32_t consumer):
        self._simple(MT_REQUEST_CONSUMER_KEYFRAME, consumer)

    def remove_consumer(self, uint32_t consumer):
        self._simple(MT_REMOVE_CONSUMER, consumer)

    cdef int _resume(self, mt_command_type kind, uint32_t id, bytes blob, bint exact) except -1:
        cdef mt_command c
        if not blob:
            raise ValueError("blob: it is empty")
        memset(&c, 0, sizeof(c))
        c.type, c.id, c.u.resume.exact, c.u.resume.blob.len = kind, id, exact, len(blob)
        c.u.resume.blob.bytes = <uint8_t *>malloc(len(blob))
        if not c.u.resume.blob.bytes:
            raise MemoryError
        memcpy(c.u.resume.blob.bytes, <const char *>blob, len(blob))
        try:
            self._give(&c)
        except BaseException:
            mt_command_release(&c)
            raise

    def resume_transport(self, uint32_t transport, bytes blob, bint exact=True):
        self._resume(MT_RESUME_TRANSPORT, transport, blob, exact)

    def resume_producer(self, uint32_t producer, bytes blob, bint exact=True):
        self._resume(MT_RESUME_PRODUCER, producer, blob, exact)

    def resume_consumer(self, uint32_t consumer, bytes blob, bint exact=True):
        self._resume(MT_RESUME_CONSUMER, consumer, blob, exact)

    def request_snapshot(self, uint32_t token):
        if not token:
            raise ValueError("token: 0 is none")
        self._simple(MT_REQUEST_SNAPSHOT, token)

    def snapshot_stored(self, uint32_t token):
        self._simple(MT_SNAPSHOT_STORED, token)

    def send_until(self, uint64_t time):
        self._simple(MT_SEND_UNTIL, 0, time)

    def begin(self):
        self._simple(MT_BEGIN, 0)

    def hold(self, uint32_t token):
        self._simple(MT_HOLD, token)

    def request_stats(self, uint32_t token):
        self._simple(MT_REQUEST_STATS, token)

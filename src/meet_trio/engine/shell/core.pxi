# Core: the state machine without thread, sockets and clock, for tests. It appends the datagrams that
# it sends, and its events, to lists.


cdef class Core(_Commands):
    cdef mt_core *_core
    cdef mt_waker *_own_waker
    cdef uint8_t _buffer[2048]
    cdef public int64_t now
    cdef public bint take_events_in
    cdef bint _gathering
    cdef list _sent, _tcp_sent, _plain_sent, _events

    def __init__(self, settings, uint64_t seed=1, int region_fd=-1, uint32_t index=0, bint held=False):
        cdef mt_settings s
        cdef mt_sink sink
        if self._core:
            raise RuntimeError("a Core is initialised once")
        _settings(&s, settings, seed)
        s.udp_sockets = 1
        self.now = 1_000_000
        self.take_events_in = True
        self._sent, self._tcp_sent, self._plain_sent, self._events = [], [], [], []
        sink.context = <void *>self
        sink.reserve, sink.send, sink.event = _core_reserve, _core_send, _core_event
        self._slots = _power_of_two(settings.relay_packets, "relay_packets")
        self._own_waker = mt_waker_new(-1)
        self._core = mt_core_new_in(_region(region_fd, index), &s, &sink)
        if not self._core or not self._own_waker:
            raise MemoryError
        if held:
            mt_core_hold_at_first(self._core)

    def __dealloc__(self):
        self._close()

    cdef void _close(self) noexcept:
        # freeing a core sends nothing, and tells only the cores that are linked to it
        mt_core_free(self._core)
        mt_waker_drop(self._own_waker)
        mt_links_free(&self._links)
        self._core = NULL
        self._own_waker = NULL

    cdef int _open(self) except -1:
        if not self._core:
            raise ValueError("the core is closed")
        return 0

    def die(self):
        if self._core:
            mt_core_leave(self._core, True)
        self._close()

    def close(self):
        self._close()

    cdef mt_waker *_waker(self) except? NULL:
        return self._own_waker

    cdef int _give(self, mt_command *command) except -1:
        if self._core:
            mt_core_command(self._core, self.now, command)
            self._end_batch()
            mt_hold_answer(self._core)
        mt_command_release(command)
        return 0

    cdef void _end_batch(self) noexcept:
        # like the thread, which shows other cores a batch's messages before it forwards
        mt_exchange_flush(self._core)
        self._gathering = False

    def event(self, int number, uint32_t id):
        cdef mt_event e
        memset(&e, 0, sizeof(e))
        e.type, e.id = <mt_event_type>number, id
        return _record(&e)

    def cross(self):
        self._open()
        mt_exchange_count(self._core)
        gathering = self._gathering
        while mt_exchange_take(self._core, self.now):
            pass
        if not gathering:
            self.forward()

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

    def plain_datagram(
        self, uint32_t transport, str ip, uint16_t port, bytes data, bint rtcp=False
    ):
        cdef mt_path path
        memset(&path, 0, sizeof(path))
        path.kind = MT_PATH_PLAIN_RTCP if rtcp else MT_PATH_PLAIN_RTP
        path.plain_transport = transport
        self._arrive(&path, ip, port, data)

    cdef int _arrive(self, mt_path *path, str ip, int port, bytes data) except -1:
        cdef uint8_t copy[2048]
        if len(data) > sizeof(copy):
            raise ValueError(f"data: {len(data)} bytes")
        _address(path, ip, port, "port")
        memcpy(copy, <const char *>data, len(data))
        self._open()
        mt_core_datagram(self._core, self.now, path, copy, len(data))
        if not self._gathering:
            self._end_batch()
        return 0

    def gather(self):
        self._open()
        mt_core_gather(self._core)
        self._gathering = True

    def forward(self):
        self._open()
        self._end_batch()
        mt_core_forward(self._core, self.now)

    def tick(self):
        self._open()
        deadline = mt_core_tick(self._core, self.now)
        self._end_batch()
        return deadline

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
    out.kind, out.tcp_connection = MT_PATH_TCP, connection


cdef uint8_t *_core_reserve(void *context) noexcept:
    return (<Core>context)._buffer


cdef void _core_send(void *context, const mt_path *to, size_t length) noexcept:
    core = <Core>context
    datagram = (<const char *>core._buffer)[:length]
    if to.kind == MT_PATH_PLAIN_RTP or to.kind == MT_PATH_PLAIN_RTCP:
        rtcp = to.kind == MT_PATH_PLAIN_RTCP
        core._plain_sent.append((to.plain_transport, rtcp, _ip(to), to.port, datagram))
    elif to.kind == MT_PATH_TCP:
        core._tcp_sent.append((to.tcp_connection, datagram))
    else:
        core._sent.append((_ip(to), to.port, datagram))


cdef bool_t _core_event(void *context, const mt_event *event) noexcept:
    core = <Core>context
    if not core.take_events_in:
        return False
    cdef mt_event taken = event[0]
    core._events.append(_record(&taken))
    return True

# Engine: the thread with its sockets, and the queue of the commands that wait for room in its ring.


cdef class Engine(_Commands):
    cdef mt_engine *_engine
    cdef _Queue _queue
    cdef bint _abandoned  # the thread takes no commands any more
    cdef readonly tuple ips

    def __init__(self, settings, sockets=(), int region_fd=-1, uint32_t index=0):
        cdef mt_settings s
        cdef mt_udp_settings udp
        cdef mt_tcp_settings tcp
        cdef mt_addresses addresses
        if self._engine:
            raise RuntimeError("an Engine is initialised once")
        self._queue = _Queue()
        _addresses(&addresses, settings)
        if sockets:
            _adopt(&addresses, tuple(sockets))
        _settings(&s, settings, secrets.randbits(64))
        udp.gso = settings.gso
        _tcp_settings(&tcp, settings)
        self._slots = _power_of_two(settings.relay_packets, "relay_packets")
        self.ips = tuple(settings.listen_ips)
        self._engine = mt_engine_open(&s, &udp, &tcp, &addresses, _region(region_fd, index))
        if not self._engine:
            code = errno
            protocol = "TCP" if addresses.refused_tcp else "UDP"
            where = f"{protocol} {self.ips[addresses.refused]}:{settings.port}"
            if addresses.adopted and code == EADDRNOTAVAIL:
                raise ValueError(f"sockets: the one for {where} is not bound there")
            raise OSError(code, os.strerror(code), where)

    def __dealloc__(self):
        self._close()

    cdef void _close(self) noexcept:
        cdef mt_engine *engine = self._engine
        self._engine = NULL
        if engine:
            if self._queue is not None:  # the garbage collector may have cleared it
                self._queue.discard()
            with nogil:
                mt_engine_close(engine)
            mt_links_free(&self._links)

    cdef int _open(self) except -1:
        if not self._engine:
            raise ValueError("the engine is closed")
        return 0

    cdef int _give(self, mt_command *command) except -1:
        # When a server ends, its objects outlive the engine by a moment. The objects of a failed
        # engine outlive it for longer.
        if not self._engine or self._abandoned:
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

    cdef int _abandon(self) except -1:
        self._abandoned = True
        self._queue.discard()
        return 0

    cdef mt_waker *_waker(self) except? NULL:
        return mt_engine_waker(self._engine) if self._engine else NULL

    @property
    def port(self):
        self._open()
        return mt_engine_port(self._engine)

    @property
    def sockets(self):
        cdef unsigned int i
        self._open()
        listen = mt_engine_listen(self._engine)
        return tuple((listen.udp[i].fd, listen.tcp[i].fd) for i in range(listen.count))

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
                    self._abandon()
                out.append(_record(&e))
            except Exception:
                # a fault in one event must not lose the others
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
            self._abandon()

    def join(self):
        cdef mt_engine *engine = self._engine
        if engine:
            self._abandon()
            with nogil:
                mt_engine_join(engine)

    def close(self):
        self._close()

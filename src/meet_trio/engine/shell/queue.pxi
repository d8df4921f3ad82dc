# The queue of commands that found the engine's ring full. They wait here, in order, until the ring
# has room.
#
# Of each object only the commands that still matter wait: the newest command for each setting. Of a
# removed object only the removal waits, or nothing if the engine has never got the object. So the
# number of objects bounds the queue, however often a setting changes while the engine is busy.


cdef enum:
    DTLS_WAITING = 8  # datagrams of one transport: one flight; more are lost, and DTLS sends again


# The command that ends an object → the commands that create it, and the commands that change it
cdef dict _ENDS = {
    MT_REMOVE_TRANSPORT: (
        (MT_ADD_TRANSPORT, MT_ADD_PLAIN_TRANSPORT),
        (
            MT_RESTART_ICE,
            MT_SET_SRTP,
            MT_SET_MAX_BITRATE,
            MT_SET_TRANSPORT_MAX_OUTGOING,
            MT_CONNECT_PLAIN,
            MT_TRACE_TRANSPORT,
            MT_RESUME_TRANSPORT,
        ),
    ),
    MT_REMOVE_PRODUCER: (
        (MT_ADD_PRODUCER, MT_ADD_MIRROR),
        (MT_PAUSE_PRODUCER, MT_WATCH_LEVEL, MT_REQUEST_KEYFRAME, MT_RESUME_PRODUCER),
    ),
    MT_REMOVE_CONSUMER: (
        (MT_ADD_CONSUMER,),
        (
            MT_PAUSE_CONSUMER,
            MT_SET_PREFERRED_LAYERS,
            MT_SET_CONSUMER_PRIORITY,
            MT_REQUEST_CONSUMER_KEYFRAME,
            MT_RESUME_CONSUMER,
        ),
    ),
}


cdef class _Waiting:
    """A command. It owns what the command holds until the command is taken."""

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

    # Takes ownership of what the command holds, unless it raises.
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

    # NULL: the queue is empty. The command stays the first one until ``taken``.
    cdef mt_command *first(self):
        cdef _Waiting waiting
        for waiting in self._waiting.values():
            return &waiting.command
        return NULL

    cdef int taken(self) except -1:
        cdef _Waiting waiting = self._waiting.popitem(last=False)[1]
        waiting.taken = True
        return 0

    # For an engine that takes no commands any more.
    cdef int discard(self) except -1:
        cdef _Waiting waiting
        while self._waiting:
            waiting = self._waiting.popitem(last=False)[1]
            waiting.taken = True
            mt_command_discard(&waiting.command)
        return 0

    # Commands of the same name replace each other: the newest waits in the place of the oldest.
    # None: the command is dropped. A type of command that is missing here does not compile.
    cdef object _name(self, const mt_command *c):
        kind = c.type
        if kind in (
            MT_ADD_TRANSPORT,
            MT_ADD_PLAIN_TRANSPORT,
            MT_RESTART_ICE,
            MT_SET_SRTP,
            MT_SET_MAX_BITRATE,
            MT_SET_TRANSPORT_MAX_OUTGOING,
            MT_CONNECT_PLAIN,
            MT_REMOVE_TRANSPORT,
            MT_ADD_PRODUCER,
            MT_ADD_MIRROR,
            MT_PAUSE_PRODUCER,
            MT_WATCH_LEVEL,
            MT_REQUEST_KEYFRAME,
            MT_REMOVE_PRODUCER,
            MT_ADD_CONSUMER,
            MT_PAUSE_CONSUMER,
            MT_SET_PREFERRED_LAYERS,
            MT_SET_CONSUMER_PRIORITY,
            MT_REQUEST_CONSUMER_KEYFRAME,
            MT_REMOVE_CONSUMER,
            MT_TRACE_TRANSPORT,
            MT_RESUME_TRANSPORT,
            MT_RESUME_PRODUCER,
            MT_RESUME_CONSUMER,
        ):
            return (kind, c.id)
        elif kind in (MT_ADD_LINK, MT_RELAY_PRODUCER, MT_STOP_RELAYING):
            return (kind, c.id, <size_t>c.u.link)
        elif kind in (
            MT_REQUEST_STATS,
            MT_REQUEST_SNAPSHOT,
            MT_SNAPSHOT_STORED,
            MT_SEND_UNTIL,
        ):
            return (kind,)  # the newest token's answer is enough
        elif kind in (MT_BEGIN, MT_HOLD):
            return (MT_BEGIN,)  # what came last holds
        elif kind == MT_SEND_DTLS:
            for i in range(DTLS_WAITING):
                if (kind, c.id, i) not in self._waiting:
                    return (kind, c.id, i)
            return None
        raise ValueError(f"{<int>kind} is no command's number")

    # Drops the commands that this one makes needless. True: this one is needless too, because the
    # engine has never got the object.
    cdef bint _ends_what_waits(self, const mt_command *c) except -1:
        if c.type == MT_STOP_RELAYING:
            return self._drop((MT_RELAY_PRODUCER, c.id, <size_t>c.u.link))
        if c.type not in _ENDS:
            return False
        unknown = False
        creates, changes = _ENDS[c.type]
        for kind in creates:
            unknown = self._drop((kind, c.id)) or unknown
        for kind in changes:
            self._drop((kind, c.id))
        if c.type == MT_REMOVE_TRANSPORT:
            for i in range(DTLS_WAITING):
                self._drop((MT_SEND_DTLS, c.id, i))
        return unknown

    cdef bint _drop(self, tuple name) except -1:
        return self._waiting.pop(name, None) is not None

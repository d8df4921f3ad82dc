"""A limit for the work that strangers cause in one turn of Trio's loop, fair to all addresses.

Trio's loop runs all tasks that are ready before it polls for I/O again. So three hundred handshakes
that come together would make all other tasks wait for three hundred handshakes. Here each step of
work waits in the queue of its address until it is released. However many wait, a fixed number of
them is released in each turn of the loop, by round robin over the addresses. Connections with valid
credentials do not wait here.

The work for a client begins with bytes that it has sent. ``PacedStream`` therefore makes the
reading of strangers' bytes wait. A connection that waits has read nothing, so it can be cancelled.

Trio would wake all connections with new bytes, or whose clients have gone, in one turn of the loop.
So ``FairLimiter`` watches their sockets with an epoll of its own, and wakes a connection only when
it is released.
"""

import contextlib
import os
import select

import attrs
import trio

from meet_trio.edge.gate import ALWAYS_OPEN, Gate

_MOST_AT_ONCE = 65536  # bytes that are read


@attrs.define(eq=False)
class FairLimiter:
    """Releases ``per_turn`` waiting steps in a turn of the loop, and ``per_second`` more for each
    second that the turn before took, so that strangers do not starve while the loop is busy.
    ``run`` must be running.
    """

    per_turn: int
    per_second: float = 0.0
    # The queue of each key. A step is the event that releases it.
    _queues: dict[str | None, dict[trio.Event, None]] = attrs.field(factory=dict)
    _watched: dict[int, tuple[str | None, trio.Event]] = attrs.field(factory=dict)
    _epoll: select.epoll = attrs.field(init=False)
    _idle: bool = False
    _ended: bool = False

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Release waiting steps until cancelled. After that no step waits, because only goodbyes
        are left.
        """
        with select.epoll() as self._epoll:
            try:
                task_status.started()
                await self._release_in_turns()
            finally:
                self._ended = True
                queued = [released for queue in self._queues.values() for released in queue]
                for released in (*queued, *(event for _, event in self._watched.values())):
                    released.set()

    async def _release_in_turns(self) -> None:
        before = trio.current_time()
        while True:
            if not self._queues:
                self._idle = True
                with contextlib.suppress(trio.ClosedResourceError):  # ``acquire`` ends the wait
                    await trio.lowlevel.wait_readable(self._epoll.fileno())
                self._idle = False
                before = trio.current_time()
            for fd, _ in self._epoll.poll(0):
                if (watched := self._watched.pop(fd, None)) is not None:
                    self._enqueue(*watched)
            now = trio.current_time()
            allowed, before = self.per_turn + int((now - before) * self.per_second), now
            for _ in range(allowed):
                if self._queues:
                    self._release_first(next(iter(self._queues)))
            if self._queues:
                await trio.lowlevel.checkpoint()

    async def acquire(self, key: str | None) -> None:
        """Wait in the queue of ``key`` until this step is released."""
        if self._ended:
            return
        released = trio.Event()
        self._enqueue(key, released)
        if self._idle:  # nothing is closed: it ends the wait
            trio.lowlevel.notify_closing(self._epoll.fileno())
        try:
            await released.wait()
        finally:
            self._dequeue(key, released)

    async def wait_readable(
        self, socket: trio.socket.SocketType, key: str | None, released: trio.Event
    ) -> None:
        """Wait until the socket has bytes or has ended, and then in the queue of ``key``.

        Setting ``released`` ends the wait at once. This must happen before the socket is closed.
        """
        fd = socket.fileno()
        if self._ended or fd < 0:  # if closed, the read that follows raises
            return
        self._watched[fd] = watched = (key, released)
        try:
            self._epoll.register(fd, select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLONESHOT)
            await released.wait()
        finally:
            self._dequeue(key, released)
            if self._watched.get(fd) is watched:  # else another socket has this number now
                del self._watched[fd]
            # A closed socket is in no epoll any more. After ``run`` the epoll itself is closed.
            if socket.fileno() == fd and not self._epoll.closed:
                self._epoll.unregister(fd)

    def _enqueue(self, key: str | None, released: trio.Event) -> None:
        self._queues.setdefault(key, {})[released] = None

    def _release_first(self, key: str | None) -> None:
        queue = self._queues[key]
        released = next(iter(queue))
        self._dequeue(key, released)
        if queue:  # the next step of this queue comes after those of all others
            self._queues[key] = self._queues.pop(key)
        released.set()

    def _dequeue(self, key: str | None, released: trio.Event) -> None:
        queue = self._queues.get(key, {})
        if queue.pop(released, released) is None and not queue:
            del self._queues[key]


class PacedStream(trio.abc.HalfCloseableStream):
    """A TCP connection that is read as ``limiter`` permits, until ``lift_limit`` is called.

    ``at_boundary``: what comes next begins a request, or is a message of a websocket, so it is read
    only while ``gate`` is open.
    """

    def __init__(self, tcp: trio.SocketStream, key: str | None, gate: Gate = ALWAYS_OPEN) -> None:
        self.gate = gate
        self.at_boundary = True
        self.tcp = tcp
        self.key = key
        self.limiter: FairLimiter | None = None
        self._released = trio.Event()

    def lift_limit(self) -> None:
        """Read without a limit from now on. This also ends a wait."""
        self.limiter = None
        self._released.set()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """Trio's own would try to read first, which needs a further step or system call."""
        while True:
            if self.limiter is not None:
                self._released = trio.Event()
                await self.limiter.wait_readable(self.tcp.socket, self.key, self._released)
            elif self.tcp.socket.fileno() >= 0:
                await trio.lowlevel.wait_readable(self.tcp.socket)
            if not (self.gate.closed and self.at_boundary):
                break
            await self.gate.wait()
        try:
            return os.read(
                self.tcp.socket.fileno(), _MOST_AT_ONCE if max_bytes is None else max_bytes
            )
        except OSError:  # nothing is there after all, or Trio says what is wrong
            return await self.tcp.receive_some(max_bytes)

    async def wait_for_turn(self) -> None:
        """Let other tasks run, as long as ``limiter`` wants."""
        if self.limiter is not None:
            await self.limiter.acquire(self.key)
        else:
            await trio.lowlevel.checkpoint()

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self.tcp.send_all(data)

    def send_now(self, data: bytes) -> int:
        """Write what the kernel takes at once. Returns the number of bytes, 0 after an error."""
        try:
            return os.write(self.tcp.socket.fileno(), data)
        except OSError:
            return 0

    async def wait_send_all_might_not_block(self) -> None:
        await self.tcp.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        await self.tcp.send_eof()

    def close_now(self) -> None:
        """Like ``aclose``, and no checkpoint."""
        self.lift_limit()
        self.tcp.socket.close()

    async def aclose(self) -> None:
        self.lift_limit()
        await self.tcp.aclose()

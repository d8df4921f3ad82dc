"""Turns: a limit for the work that strangers cause in one turn of Trio's loop.

Trio's loop runs all tasks that are ready before it polls for I/O again. So three hundred handshakes
that come together would make all other tasks wait for three hundred handshakes. Here each step
waits in the line of its address until it is released. A fixed number of steps is released in each
turn of the loop, in rotation of the addresses, however many wait. Connections with valid
credentials do not wait here.

The work for a client begins with bytes that it has sent. ``PacedTransport`` therefore makes the
reading of strangers' bytes wait. A connection that waits has read nothing, so it can be cancelled.

Trio would wake all connections with new bytes, or whose clients have gone, in one turn of the loop.
So ``Turns`` watches their sockets with an epoll of its own, and wakes a connection only when it is
released.
"""

import select

import attrs
import trio


@attrs.define(eq=False)
class Turns:
    """Releases ``each`` waiting steps in a turn of the loop, and ``per_second`` more for each
    second that the turn before took, so that strangers do not starve while the loop is busy.
    ``run`` must be running.
    """

    each: int
    per_second: float = 0.0
    _lines: dict[str | None, dict[trio.Event, None]] = attrs.field(factory=dict)
    _watched: dict[int, tuple[str | None, trio.Event]] = attrs.field(factory=dict)
    _epoll: select.epoll = attrs.field(init=False)
    _idle_scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
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
                lines = [turn for line in self._lines.values() for turn in line]
                for turn in (*lines, *(turn for _, turn in self._watched.values())):
                    turn.set()

    async def _release_in_turns(self) -> None:
        before = trio.current_time()
        while True:
            if not self._lines:
                with trio.CancelScope() as self._idle_scope:
                    await trio.lowlevel.wait_readable(self._epoll.fileno())
                before = trio.current_time()
            for fd, _ in self._epoll.poll(0):
                if (watched := self._watched.pop(fd, None)) is not None:
                    self._enqueue(*watched)
            now = trio.current_time()
            allowed, before = self.each + int((now - before) * self.per_second), now
            for _ in range(allowed):
                if self._lines:
                    self._release_first(next(iter(self._lines)))
            await trio.lowlevel.checkpoint()

    async def take(self, key: str | None) -> None:
        """Wait for a turn in the line of ``key``."""
        if self._ended:
            return
        turn = trio.Event()
        self._enqueue(key, turn)
        self._idle_scope.cancel()
        try:
            await turn.wait()
        finally:
            self._dequeue(key, turn)

    async def readable(
        self, socket: trio.socket.SocketType, key: str | None, turn: trio.Event
    ) -> None:
        """Wait until the socket has bytes or has ended, and then for a turn in the line of ``key``.

        Setting ``turn`` ends the wait at once. This must happen before the socket is closed.
        """
        fd = socket.fileno()
        if self._ended or fd < 0:  # if closed, the read that follows raises
            return
        self._watched[fd] = watched = (key, turn)
        try:
            self._epoll.register(fd, select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLONESHOT)
            await turn.wait()
        finally:
            self._dequeue(key, turn)
            if self._watched.get(fd) is watched:  # else another socket has this number now
                del self._watched[fd]
            # A closed socket is in no epoll any more. After ``run`` the epoll itself is closed.
            if socket.fileno() == fd and not self._epoll.closed:
                self._epoll.unregister(fd)

    def _enqueue(self, key: str | None, turn: trio.Event) -> None:
        self._lines.setdefault(key, {})[turn] = None

    def _release_first(self, key: str | None) -> None:
        line = self._lines[key]
        turn = next(iter(line))
        self._dequeue(key, turn)
        if line:  # the next step of this line comes after those of all others
            self._lines[key] = self._lines.pop(key)
        turn.set()

    def _dequeue(self, key: str | None, turn: trio.Event) -> None:
        line = self._lines.get(key, {})
        if line.pop(turn, turn) is None and not line:
            del self._lines[key]


class PacedTransport(trio.abc.HalfCloseableStream):
    """A TCP connection that is read in ``turns`` until ``free`` is called."""

    def __init__(self, tcp: trio.SocketStream, key: str | None) -> None:
        self.tcp = tcp
        self.key = key
        self.turns: Turns | None = None
        self._turn = trio.Event()

    def free(self) -> None:
        """Read without turns from now on. This also ends a wait."""
        self.turns = None
        self._turn.set()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        if self.turns is not None:
            self._turn = trio.Event()
            await self.turns.readable(self.tcp.socket, self.key, self._turn)
        return await self.tcp.receive_some(max_bytes)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self.tcp.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self.tcp.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        await self.tcp.send_eof()

    async def aclose(self) -> None:
        self.free()
        await self.tcp.aclose()

"""The work that strangers make is done in turns: some of it in each turn of Trio's loop, in
rotation of their addresses, however many wait.

A loop runs all that can run before it comes back to anybody, so three hundred handshakes that come
together would make everybody else wait for three hundred. Here each step waits in the line of its
address until it is let go on. Those who have shown who they are do not come by.

What a client makes the server do begins with bytes of it. So ``PacedTransport`` lets strangers'
bytes be read by turns. Nothing has been read of one who waits: it can be cancelled. Trio would wake
all whose bytes have come, or who have gone, in one turn of the loop; so their sockets are watched
by an epoll of the turns' own, and who waits is not woken before it may go on.
"""

import select

import attrs
import trio


@attrs.define(eq=False)
class Turns:
    """``each``: how many are let go on in one turn of the loop; ``per_second``: and for each second
    that the turn before took, so that they do not starve when the loop has much to do. ``run`` must
    be running.
    """

    each: int
    per_second: float = 0.0
    _lines: dict[str | None, dict[trio.Event, None]] = attrs.field(factory=dict)
    _watched: dict[int, tuple[str | None, trio.Event]] = attrs.field(factory=dict)
    _epoll: select.epoll = attrs.field(init=False)
    _waiting: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    _over: bool = False

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Let them go on, until cancelled. After that nobody waits for a turn any more: what is
        left are goodbyes.
        """
        with select.epoll() as self._epoll:
            try:
                task_status.started()
                await self._let_go_on()
            finally:
                self._over = True
                lines = [turn for line in self._lines.values() for turn in line]
                for turn in (*lines, *(turn for _, turn in self._watched.values())):
                    turn.set()

    async def _let_go_on(self) -> None:
        before = trio.current_time()
        while True:
            if not self._lines:
                with trio.CancelScope() as self._waiting:
                    await trio.lowlevel.wait_readable(self._epoll.fileno())
                before = trio.current_time()
            for fd, _ in self._epoll.poll(0):
                if (watched := self._watched.pop(fd, None)) is not None:
                    self._line_up(*watched)
            now = trio.current_time()
            may, before = self.each + int((now - before) * self.per_second), now
            for _ in range(may):
                if self._lines:
                    self._next(next(iter(self._lines)))
            await trio.lowlevel.checkpoint()

    async def take(self, key: str | None) -> None:
        """Wait for one's turn; ``key`` says whose line it is."""
        if self._over:
            return
        turn = trio.Event()
        self._line_up(key, turn)
        self._waiting.cancel()
        try:
            await turn.wait()
        finally:
            self._leave(key, turn)

    async def readable(
        self, socket: trio.socket.SocketType, key: str | None, turn: trio.Event
    ) -> None:
        """Wait until there is something to be read, or the end, and then for one's turn. Setting
        ``turn`` ends it at once, which has to come before the socket is closed.
        """
        fd = socket.fileno()
        if self._over or fd < 0:  # which is for whoever reads it to notice
            return
        self._watched[fd] = watched = (key, turn)
        try:
            self._epoll.register(fd, select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLONESHOT)
            await turn.wait()
        finally:
            self._leave(key, turn)
            if self._watched.get(fd) is watched:  # else it may be another's number now
                del self._watched[fd]
            # one that is closed is in no epoll any more; and at the end of all there is none
            if socket.fileno() == fd and not self._epoll.closed:
                self._epoll.unregister(fd)

    def _line_up(self, key: str | None, turn: trio.Event) -> None:
        self._lines.setdefault(key, {})[turn] = None

    def _next(self, key: str | None) -> None:
        line = self._lines[key]
        turn = next(iter(line))
        self._leave(key, turn)
        if line:  # its next one comes after all others
            self._lines[key] = self._lines.pop(key)
        turn.set()

    def _leave(self, key: str | None, turn: trio.Event) -> None:
        line = self._lines.get(key, {})
        if line.pop(turn, turn) is None and not line:
            del self._lines[key]


class PacedTransport(trio.abc.HalfCloseableStream):
    """A TCP connection that is read by ``turns`` until it is ``free``."""

    def __init__(self, tcp: trio.SocketStream, key: str | None) -> None:
        self.tcp = tcp
        self.key = key
        self.turns: Turns | None = None
        self._turn = trio.Event()

    def free(self) -> None:
        """From now on it is read as bytes come, also by who waits for its turn."""
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

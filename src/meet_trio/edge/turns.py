"""The work that strangers make is done in turns: some of it in each turn of Trio's loop, in
rotation of their addresses, however many wait.

A loop runs all that can run before it comes back to anybody, so three hundred handshakes that come
together would make everybody else wait for three hundred. Here each step waits in the line of its
address until it is let go on. Those who have shown who they are do not come by.

What a client makes the server do begins with bytes of it. So ``PacedTransport`` lets strangers'
bytes be read by turns. Nothing has been read of one who waits: it can be cancelled.
"""

import attrs
import trio


@attrs.define(eq=False)
class Turns:
    """``each``: how many are let go on in one turn of the loop. ``run`` must be running."""

    each: int
    _lines: dict[str | None, dict[trio.Event, None]] = attrs.field(factory=dict)
    _somebody: trio.Event = attrs.field(factory=trio.Event)

    async def take(self, key: str | None) -> None:
        """Wait for one's turn; ``key`` says whose line it is."""
        turn = trio.Event()
        self._lines.setdefault(key, {})[turn] = None
        self._somebody.set()
        try:
            await turn.wait()
        finally:
            if not turn.is_set():
                self._leave(key, turn)

    async def run(self) -> None:
        """Let them go on, until cancelled."""
        while True:
            await self._somebody.wait()
            self._somebody = trio.Event()
            while self._lines:
                for _ in range(self.each):
                    if self._lines:
                        self._next(next(iter(self._lines)))
                await trio.lowlevel.checkpoint()

    def _next(self, key: str | None) -> None:
        line = self._lines[key]
        turn = next(iter(line))
        self._leave(key, turn)
        if line:  # its next one comes after all others
            self._lines[key] = self._lines.pop(key)
        turn.set()

    def _leave(self, key: str | None, turn: trio.Event) -> None:
        line = self._lines[key]
        del line[turn]
        if not line:
            del self._lines[key]


class PacedTransport(trio.abc.HalfCloseableStream):
    """A TCP connection that is read by turns, as long as ``turns`` is not None."""

    def __init__(self, tcp: trio.SocketStream, key: str | None) -> None:
        self.tcp = tcp
        self.key = key
        self.turns: Turns | None = None

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        if self.turns is not None:
            await trio.lowlevel.wait_readable(self.tcp.socket)
            if self.turns is not None:  # what it has said before may have proven it meanwhile
                await self.turns.take(self.key)
        return await self.tcp.receive_some(max_bytes)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self.tcp.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self.tcp.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        await self.tcp.send_eof()

    async def aclose(self) -> None:
        await self.tcp.aclose()

"""A byte stream that somebody has looked into, and whose sends can always be given up.

The front door reads a request's head before it knows who shall serve the connection;
``PeekedStream`` gives those bytes again to whoever does. Every other attribute (``socket``, and
under TLS ``do_handshake``, ``selected_alpn_protocol``, ``transport_stream``) is the real stream's.

Hypercorn shields its sends from cancellation, so a client that stops reading would hold up a
shutdown for as long as it likes. Here each send has a deadline of its own, and ``abort`` ends one
that is under way in spite of the shield.
"""

import trio


class HeadTooLong(Exception):
    """The head did not end within the limit."""


class PeekedStream(trio.abc.Stream):
    """``stream`` with its first bytes put back; ``send_deadline`` in seconds bounds each
    ``send_all``.
    """

    def __init__(self, stream: trio.abc.Stream, *, send_deadline: float) -> None:
        self._stream = stream
        self._send_deadline = send_deadline
        self._head = b""
        self.given_up = trio.Event()
        self._aborted = False
        self._sending: trio.CancelScope | None = None

    async def peek_head(self, limit: int) -> bytes:
        """All bytes up to and with the empty line (RFC 9112 §2.1), which stay to be read again.

        What there is, without an empty line, when the client ends first. Raises HeadTooLong beyond
        ``limit`` bytes.
        """
        head = bytearray()
        while (end := head.find(b"\r\n\r\n")) < 0:
            if len(head) > limit:
                raise HeadTooLong
            chunk = await self._stream.receive_some(limit + 4)
            if not chunk:
                break
            head += chunk
        self._head = bytes(head)
        return self._head if end < 0 else self._head[: end + 4]

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        if not self._head:
            return bytes(await self._stream.receive_some(max_bytes))
        await trio.lowlevel.checkpoint()
        taken = self._head[:max_bytes]
        self._head = self._head[len(taken) :]
        return taken

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        if self._aborted:
            raise trio.BrokenResourceError("this connection is being given up")
        with trio.move_on_after(self._send_deadline) as self._sending:
            await self._stream.send_all(data)
        if self._sending.cancelled_caught:
            self.given_up.set()
            raise trio.BrokenResourceError("the client has stopped reading")

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        if isinstance(self._stream, trio.abc.HalfCloseableStream):
            await self._stream.send_eof()

    async def aclose(self) -> None:
        await self._stream.aclose()

    def abort(self) -> None:
        """End a send that is under way, refuse further ones. Does not block."""
        self._aborted = True
        if self._sending is not None:
            self._sending.cancel()

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)

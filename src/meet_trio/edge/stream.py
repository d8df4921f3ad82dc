"""A byte stream with lookahead, and with a deadline for each send.

The front door reads a request's head before it knows which code serves the request.
``PeekedStream`` then gives the same bytes to that code. A client that stops reading ends its
connection: after a send that was not finished, all further ones are refused.

The bytes are not parsed here, see ``head``.
"""

import json
import math
from collections.abc import Mapping
from http import HTTPStatus

import trio

from meet_trio.edge.fair_limiter import PacedStream
from meet_trio.edge.progress import overhead, progress

_DRAIN_TIME = 1.0  # seconds in which a client that still sends may read its response


_CLIENT_HELLO = b"\x16"  # the first byte of a TLS handshake (RFC 8446 §5.1); no head begins so


class HeadTooLong(Exception):
    """The head did not end within the limit."""


class HeadOfTls(Exception):
    """The client speaks TLS where none is spoken."""


class PeekedStream(trio.abc.Stream):
    """``stream`` with lookahead. Each ``send_all`` takes at most ``send_deadline`` seconds."""

    def __init__(self, stream: trio.abc.Stream, *, send_deadline: float) -> None:
        self._stream = stream
        self._send_deadline = send_deadline
        self._unread = b""
        self._head: bytearray | None = None  # that is being peeked
        self._send_unfinished = False

    async def peek_head(self, limit: int) -> bytes:
        """The bytes up to and including the empty line (RFC 9112 §2.1). They can be read again.

        If the client ends the stream first, all its bytes are returned, without an empty line.
        Raises HeadTooLong above ``limit`` bytes, HeadOfTls at the first byte of a TLS handshake.
        """
        head = self._head = bytearray(self._unread)
        self._paced.at_boundary = True
        try:
            while (end := head.find(b"\r\n\r\n")) < 0:
                if len(head) > limit:
                    raise HeadTooLong
                if head.startswith(_CLIENT_HELLO):
                    raise HeadOfTls  # it has no empty line to wait for
                chunk = await self._stream.receive_some(limit + 4)
                if not chunk:
                    return bytes(head)
                head += chunk
            if end > limit:
                raise HeadTooLong
            return bytes(head[: end + 4])
        finally:
            self._unread, self._head = bytes(head), None
            self._paced.at_boundary = False

    async def peek(self) -> bool:
        """Wait for a byte, which can be read again. Returns False at the end of the stream."""
        if not self._unread:
            self._unread = bytes(await self._stream.receive_some())
        return bool(self._unread)

    def skip_head(self, head: bytes) -> None:
        """What ``peek_head`` has returned last is not read again."""
        self._unread = self._unread[len(head) :]

    @property
    def peeks_head(self) -> bool:
        """Whether a request may begin: somebody waits for its head."""
        return self._head is not None

    @property
    def unread(self) -> bytes:
        """What has been peeked and not read."""
        return self._unread if self._head is None else bytes(self._head)

    def go_on_with(self, unread: bytes) -> None:
        """These bytes of the client were read before, by another process."""
        self._unread = unread

    def begin_messages(self) -> None:
        """A websocket begins: from now on each read begins a message."""
        self._paced.at_boundary = True

    def lift_deadline(self) -> None:
        """Sends have no deadline from now on: the code that serves the stream bounds them."""
        self._send_deadline = math.inf

    def take_unread(self) -> bytes:
        """What has been peeked and not read. Reads it."""
        taken, self._unread = self._unread, b""
        return taken

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        if not self._unread:
            return bytes(await self._stream.receive_some(max_bytes))
        await trio.lowlevel.checkpoint()
        taken = self._unread[:max_bytes]
        self._unread = self._unread[len(taken) :]
        return taken

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        if self._send_unfinished:
            raise trio.BrokenResourceError("an earlier send was not finished")
        if self._send_deadline == math.inf:
            await self._stream.send_all(data)
            return
        self._send_unfinished = True
        with trio.move_on_after(self._send_deadline):
            await self._stream.send_all(data)
            self._send_unfinished = False
        if self._send_unfinished:
            raise trio.BrokenResourceError("the client has stopped reading")

    async def send_at_once(self, data: bytes) -> None:
        """Like ``send_all``, but if the kernel takes all of it this is no checkpoint, and costs no
        more than the system call.
        """
        if isinstance(self._stream, PacedStream) and not self._send_unfinished:
            sent = self._stream.send_now(data)
            if sent == len(data):
                return
            data = data[sent:]
        await self.send_all(data)

    async def wait_for_turn(self) -> None:
        """Wait before more is done with bytes that were read already."""
        await self._paced.wait_for_turn()

    def close_now(self) -> None:
        """Close the connection, without a checkpoint. Whoever reads or sends is told."""
        self._paced.close_now()

    @property
    def _paced(self) -> PacedStream:
        stream = self._stream
        if isinstance(stream, trio.SSLStream):
            stream = stream.transport_stream
        assert isinstance(stream, PacedStream)
        return stream

    @property
    def sends_now(self) -> bool:
        """See ``socketio.websocket.ImmediateStream``. TLS has no way to write a part of a record.
        A deadline needs a task.
        """
        return isinstance(self._stream, PacedStream) and self._send_deadline == math.inf

    def send_now(self, data: bytes) -> int:
        assert isinstance(self._stream, PacedStream)
        return self._stream.send_now(data)

    @property
    def is_tls(self) -> bool:
        return isinstance(self._stream, trio.SSLStream)

    @property
    def overhead(self) -> int:
        """See ``socketio.delivery.AckCountingStream``."""
        return overhead(self._stream)

    def progress(self) -> tuple[int, int] | None:
        return progress(self._stream)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        if isinstance(self._stream, trio.abc.HalfCloseableStream):
            await self._stream.send_eof()

    async def aclose(self) -> None:
        await self._stream.aclose()


async def answer(
    stream: PeekedStream, status: int, why: str, headers: Mapping[str, str] | None = None
) -> None:
    """Send a whole response, the connection's last, with a JSON body that says why."""
    body = json.dumps({"error": why})
    fields = {
        "content-type": "application/json",
        "content-length": str(len(body)),
        "connection": "close",
        **(headers or {}),
    }
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
    lines += [f"{name}: {value}" for name, value in fields.items()]
    await stream.send_all("\r\n".join([*lines, "", body]).encode("latin-1"))
    # Closing with unread bytes would reset the connection before the client has read the response
    # (RFC 9112 §9.6).
    with trio.move_on_after(_DRAIN_TIME):
        await stream.send_eof()
        while await stream.receive_some(65536):
            pass

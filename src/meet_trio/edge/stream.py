"""A byte stream that somebody has looked into, and whose sends have a deadline.

The front door reads a request's head before it knows who shall serve it; ``PeekedStream`` gives
those bytes again to whoever does. A client that stops reading ends its connection: after a send
that was given up half-way, nothing may follow.
"""

import json
import math
from collections.abc import Mapping
from http import HTTPStatus

import trio

from meet_trio.edge.progress import overhead, progress

_LINGER = 1.0  # seconds that a client has to read its answer while it is still sending


class HeadTooLong(Exception):
    """The head did not end within the limit."""


class PeekedStream(trio.abc.Stream):
    """``stream`` with its first bytes put back; ``send_deadline`` in seconds bounds each
    ``send_all``.
    """

    def __init__(self, stream: trio.abc.Stream, *, send_deadline: float) -> None:
        self._stream = stream
        self._send_deadline = send_deadline
        self._ahead = b""
        self._torn = False

    async def peek_head(self, limit: int) -> bytes:
        """All bytes up to and with the empty line (RFC 9112 §2.1), which stay to be read again.

        What there is, without an empty line, when the client ends first. Raises HeadTooLong beyond
        ``limit`` bytes.
        """
        head = bytearray(self._ahead)
        try:
            while (end := head.find(b"\r\n\r\n")) < 0:
                if len(head) > limit:
                    raise HeadTooLong
                chunk = await self._stream.receive_some(limit + 4)
                if not chunk:
                    return bytes(head)
                head += chunk
            if end > limit:
                raise HeadTooLong
            return bytes(head[: end + 4])
        finally:
            self._ahead = bytes(head)

    def lift_deadline(self) -> None:
        """Sends are bounded by whoever serves the stream now."""
        self._send_deadline = math.inf

    def put_back(self, data: bytes) -> None:
        """It will be read next."""
        self._ahead = data + self._ahead

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        if not self._ahead:
            return bytes(await self._stream.receive_some(max_bytes))
        await trio.lowlevel.checkpoint()
        taken = self._ahead[:max_bytes]
        self._ahead = self._ahead[len(taken) :]
        return taken

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        if self._torn:
            raise trio.BrokenResourceError("an earlier send was given up")
        if self._send_deadline == math.inf:
            await self._stream.send_all(data)
            return
        self._torn = True
        with trio.move_on_after(self._send_deadline):
            await self._stream.send_all(data)
            self._torn = False
        if self._torn:
            raise trio.BrokenResourceError("the client has stopped reading")

    @property
    def is_tls(self) -> bool:
        return isinstance(self._stream, trio.SSLStream)

    @property
    def overhead(self) -> int:
        """For the ledger of ``socketio``, as ``progress``."""
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
    """A whole response, the connection's last, with a JSON body that says why."""
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
    # Closing with unread bytes would reset the connection before the client has read the answer
    # (RFC 9112 §9.6).
    with trio.move_on_after(_LINGER):
        await stream.send_eof()
        while await stream.receive_some(65536):
            pass

"""A cheap signaling client, so that a thousand of them fit into one process: it builds websocket
frames by hand, and counts notices instead of keeping them.

It sends what Kolab's client sends, and answers every request of the server. It has no media.
"""

import base64
import contextlib
import json
import os
import re
import ssl
import struct
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import urlsplit

import attrs
import trio

_METHOD = re.compile(rb'"method": ?"([^"]*)"')
_ID = re.compile(rb"4[23](\d*)")


class HandshakeRefused(Exception):
    """The handshake was answered with another status than 101."""

    def __init__(self, status: int, head: str) -> None:
        super().__init__(head)
        self.status = status


class RequestFailed(Exception):
    """A request was answered with an error."""


def _ignore(method: str, frame: bytes) -> None:
    pass


def client_frame(payload: bytes, opcode: int = 1) -> bytes:
    """A whole message in one frame of a client. RFC 6455 §5.3 requires a mask; one of zeros changes
    nothing.
    """
    size = len(payload)
    if size < 126:
        header = struct.pack("!BB", 0x80 | opcode, 0x80 | size)
    elif size < 65536:
        header = struct.pack("!BBH", 0x80 | opcode, 0xFE, size)
    else:
        header = struct.pack("!BBQ", 0x80 | opcode, 0xFF, size)
    return header + b"\0\0\0\0" + payload


@attrs.define(eq=False)
class LightPeer:
    """``notices`` and ``requests`` count messages by method; ``received`` counts bytes."""

    stream: trio.abc.Stream
    on_notice: Callable[[str, bytes], None] = _ignore
    """Called with each notice's method and its Socket.IO message as it came."""
    on_request: Callable[[str, bytes], None] = _ignore
    """Called with each request's method and its JSON, before it is acknowledged."""
    received: int = 0
    notices: Counter[str] = attrs.field(factory=Counter)
    requests: Counter[str] = attrs.field(factory=Counter)
    connected: trio.Event = attrs.field(factory=trio.Event)
    """Set when Socket.IO's connection stands; a packet before it may end the connection."""
    closed: trio.Event = attrs.field(factory=trio.Event)
    _pending: dict[int, trio.Event] = attrs.field(factory=dict)
    _answers: dict[int, Any] = attrs.field(factory=dict)
    _next_id: int = 0
    _buffer: bytearray = attrs.field(factory=bytearray)
    _lock: trio.Lock = attrs.field(factory=trio.Lock)
    _said: bytearray = attrs.field(factory=bytearray)

    async def handshake(self, target: str, headers: dict[str, str]) -> None:
        """Connect the websocket, and ask for Socket.IO's connection. Raises HandshakeRefused."""
        lines = [
            f"GET {target} HTTP/1.1",
            "Host: localhost",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
            *(f"{name}: {value}" for name, value in headers.items()),
        ]
        await self.stream.send_all("\r\n".join([*lines, "", ""]).encode())
        while b"\r\n\r\n" not in self._buffer:
            await self._fill()
        head, _, rest = bytes(self._buffer).partition(b"\r\n\r\n")
        status = int(head.split(b" ")[1])
        if status != 101:
            raise HandshakeRefused(status, head.decode())
        self._buffer = bytearray(rest)
        await self.say("40")

    async def request(self, method: str, data: object = None) -> Any:
        """The result of a request. Raises RequestFailed, trio.BrokenResourceError."""
        answer = await self.ask(method, data)
        if answer and answer[0] is not None:
            raise RequestFailed(f"{method}: {answer}")
        return answer[1] if len(answer) > 1 else None

    async def ask(self, method: str, data: object = None) -> list[Any]:
        """The whole acknowledgement. Raises trio.BrokenResourceError when the
        connection has ended.
        """
        if self.closed.is_set():
            raise trio.BrokenResourceError(f"{method}: the connection has ended")
        id, self._next_id = self._next_id, self._next_id + 1
        came = self._pending[id] = trio.Event()
        message = {"method": method} if data is None else {"method": method, "data": data}
        await self.say(f'42{id}["request",{json.dumps(message)}]')
        await came.wait()
        if id not in self._answers:
            raise trio.BrokenResourceError(f"{method}: the connection has ended")
        answer: list[Any] = json.loads(self._answers.pop(id))
        return answer

    async def say(self, text: str) -> None:
        """Send one text message."""
        self._put(text.encode())
        await self._flush()

    def _put(self, payload: bytes, opcode: int = 1) -> None:
        self._said += client_frame(payload, opcode)

    async def _flush(self) -> None:
        if not self._said:  # after most messages
            return
        async with self._lock:
            if self._said:
                said, self._said = bytes(self._said), bytearray()
                await self.stream.send_all(said)

    async def run(self) -> None:
        """Read until the end of the connection."""
        try:
            while True:
                self._take_frames()
                await self._flush()
                await self._fill()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        finally:
            self.closed.set()
            self.connected.set()  # nobody waits for what will not come
            for waiting in self._pending.values():
                waiting.set()

    async def _fill(self) -> None:
        data = await self.stream.receive_some(262144)
        if not data:
            raise trio.BrokenResourceError
        self._buffer += data
        self.received += len(data)

    def _take_frames(self) -> None:
        buffer, at, end = self._buffer, 0, len(self._buffer)
        while end - at >= 2:
            size, start = buffer[at + 1] & 0x7F, at + 2
            if size == 126:
                start += 2
                size = int.from_bytes(buffer[at + 2 : start], "big")
            elif size == 127:
                start += 8
                size = int.from_bytes(buffer[at + 2 : start], "big")
            if end < start + size or end < start:
                break
            self._take(buffer[at] & 0x0F, bytes(buffer[start : start + size]))
            at = start + size
        del buffer[:at]

    def _take(self, opcode: int, payload: bytes) -> None:
        if opcode == 8:
            self._put(payload, 8)
        elif opcode == 9:
            self._put(payload, 10)
        elif payload == b"2":
            self._put(b"3")
        elif payload.startswith(b"40"):
            self.connected.set()
        elif payload.startswith(b"42["):
            found = _METHOD.search(payload)
            assert found is not None
            self.notices[method := found[1].decode()] += 1
            self.on_notice(method, payload)
        elif payload.startswith(b"42"):
            found, id = _METHOD.search(payload), _ID.match(payload)
            assert found is not None
            assert id is not None
            self.requests[method := found[1].decode()] += 1
            self.on_request(method, payload[id.end() :])
            self._put(b"43" + id[1] + b"[null]")
        elif payload.startswith(b"43"):
            id = _ID.match(payload)
            assert id is not None
            number = int(id[1])
            if (waiting := self._pending.pop(number, None)) is not None:
                self._answers[number] = payload[id.end() :]
                waiting.set()


@contextlib.asynccontextmanager
async def open_light_peer(
    token_url: str,
    *,
    port: int | None = None,
    path: str = "/meetmedia/signaling/",
    headers: dict[str, str] | None = None,
    ssl_context: ssl.SSLContext | None = None,
) -> AsyncIterator[LightPeer]:
    """A connected peer that reads in the background. ``port`` is that of a proxy on this machine.
    ``ssl_context`` is for ``wss`` URLs.
    """
    url = urlsplit(token_url)
    assert url.hostname is not None
    secure = url.scheme == "wss"
    tcp = await trio.open_tcp_stream(url.hostname, port or url.port or (443 if secure else 80))
    async with tcp:
        stream: trio.abc.Stream = tcp
        if secure:
            context = ssl_context or ssl.create_default_context()
            stream = trio.SSLStream(
                tcp, context, server_hostname=url.hostname, https_compatible=True
            )
        peer = LightPeer(stream)
        await peer.handshake(f"{path}?{url.query}&EIO=4&transport=websocket", headers or {})
        async with trio.open_nursery() as nursery:
            nursery.start_soon(peer.run)
            await peer.connected.wait()
            yield peer
            nursery.cancel_scope.cancel()

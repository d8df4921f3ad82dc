"""Bad clients by the hundred: bytes on sockets, without a protocol library."""

import contextlib
import os
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from urllib.parse import parse_qsl

import attrs
import trio
from support.api import MeetApi

PREFIX = "/meetmedia"


@attrs.define(eq=False)
class Target:
    """A server under attack. ``invite`` returns the token URL of a new peer of the meeting."""

    port: int
    media_port: int
    token: str
    invite: Callable[[], Awaitable[str]]
    source: str = "127.0.0.1"
    """The source address of the attack."""
    seen: list[str] = attrs.field(factory=list)
    """What the server did; goes into the report."""

    @property
    def api(self) -> MeetApi:
        return MeetApi("127.0.0.1", self.port, self.token)

    async def connect(self, *, buffer: int | None = None) -> trio.SocketStream:
        """Connect; of what is not read, the kernels of both sides keep some multiple of
        ``buffer``.
        """
        if buffer is None:
            return await trio.open_tcp_stream("127.0.0.1", self.port, local_address=self.source)
        sock = trio.socket.socket()
        # Both options count only before the connection. The kernel makes the buffer of the server's
        # side some ten segments large, and a segment of loopback has 64 kB.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
        await sock.bind((self.source, 0))
        await sock.connect(("127.0.0.1", self.port))
        return trio.SocketStream(sock)

    async def is_connected(self, query: str) -> bool:
        """Whether the peer with this token has a connection."""
        token = dict(parse_qsl(query))
        stats = await self.api.call("GET", "/stats")
        return token["peerId"] in stats[token["roomId"]]

    async def ask(self, request: bytes) -> int:
        """Send a request and read to the end; returns the status, 0 if there was none."""
        answer = b""
        with contextlib.suppress(trio.BrokenResourceError):
            async with await self.connect() as stream:
                await stream.send_all(request)
                answer = await _read(stream)
        return int(answer[9:12]) if answer.startswith(b"HTTP/1.1 ") else 0

    async def hold(self, count: int, first: bytes) -> list[bytes]:
        """Open ``count`` connections at once; each sends ``first`` and reads to its end. Returns
        the bytes that each one got.
        """
        told: list[bytes] = []

        async def one() -> None:
            with contextlib.suppress(trio.BrokenResourceError, OSError):
                async with await self.connect() as stream:
                    await stream.send_all(first)
                    told.append(await _read(stream))
                    return
            told.append(b"")

        async with trio.open_nursery() as nursery:
            for _ in range(count):
                nursery.start_soon(one)
        return told

    async def many(self, count: int, request: bytes | Callable[[int], bytes]) -> dict[int, int]:
        """Send ``count`` requests, twenty at a time; returns the number of answers by status."""
        statuses: dict[int, int] = {}
        limit = trio.CapacityLimiter(20)

        async def one(index: int) -> None:
            async with limit:
                status = await self.ask(request if isinstance(request, bytes) else request(index))
            statuses[status] = statuses.get(status, 0) + 1

        async with trio.open_nursery() as nursery:
            for index in range(count):
                nursery.start_soon(one, index)
        return dict(sorted(statuses.items()))

    @contextlib.asynccontextmanager
    async def websocket(
        self, query: str, *, buffer: int | None = None
    ) -> AsyncIterator[trio.SocketStream]:
        """A websocket whose handshake is answered; the caller reads the answer and sends the
        frames. Frames that come together with the handshake are not read (RFC 6455 §4.1).
        """
        async with await self.connect(buffer=buffer) as stream:
            await stream.send_all(upgrade(query))
            await trio.lowlevel.wait_readable(stream.socket)
            yield stream

    def udp(self, datagrams: Callable[[int], bytes], count: int, sockets: int = 20) -> None:
        """Send ``count`` datagrams to the media port, from ``sockets`` ports."""
        with contextlib.ExitStack() as stack:
            opened = [
                stack.enter_context(socket.socket(type=socket.SOCK_DGRAM)) for _ in range(sockets)
            ]
            for index in range(count):
                with contextlib.suppress(OSError):
                    opened[index % sockets].sendto(datagrams(index), ("127.0.0.1", self.media_port))


async def _read(stream: trio.SocketStream) -> bytes:
    data = bytearray()
    with contextlib.suppress(trio.BrokenResourceError):
        async for chunk in stream:
            data += chunk
    return bytes(data)


def request(method: str, path: str, *fields: str, body: bytes = b"") -> bytes:
    """A whole request; the server closes the connection after it."""
    lines = [
        f"{method} {path} HTTP/1.1",
        "Host: localhost",
        "Connection: close",
        f"Content-Length: {len(body)}",
        *fields,
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


def upgrade(query: str, *fields: str) -> bytes:
    """A websocket's opening handshake on the signaling path."""
    lines = [
        f"GET {PREFIX}/signaling/?{query}&EIO=4&transport=websocket HTTP/1.1",
        "Host: localhost",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        *fields,
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def stun_request(username: str) -> bytes:
    """A binding request with a wrong MESSAGE-INTEGRITY."""
    name = username.encode()
    attributes = struct.pack("!HH", 6, len(name)) + name + b"\0" * (-len(name) % 4)
    attributes += struct.pack("!HH", 8, 20) + os.urandom(20)
    return struct.pack("!HHI", 1, len(attributes), 0x2112A442) + os.urandom(12) + attributes


def dtls_hello() -> bytes:
    """A datagram that begins like a ClientHello (RFC 6347 §4.1)."""
    return b"\x16\xfe\xfd" + bytes(8) + struct.pack("!H", 200) + b"\x01" + os.urandom(199)

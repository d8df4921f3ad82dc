"""Lines: STUN messages to and from one server by UDP, by TCP, or by TLS.

``exchange`` sends a request and waits for its answer. By UDP it repeats the request, as a datagram
may be lost.
"""

import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

import attrs
import trio

from meet_trio.doctor import stun

OPEN_DEADLINE = 1.5  # seconds for a connection, and for a handshake of TLS
_REPEAT = 0.3  # seconds
_MAX_DATAGRAM = 65535


class NoAnswer(OSError):
    """Nothing came in time."""


@attrs.frozen
class Line:
    """``receive`` returns one message. ``repeats``: datagrams may be lost on this line."""

    send: Callable[[bytes], Awaitable[object]]
    receive: Callable[[], Awaitable[bytes]]
    repeats: bool

    async def exchange(
        self, request: stun.StunMessage, key: bytes | None, seconds: float
    ) -> stun.StunMessage:
        """The answer to a request. Raises OSError."""
        data = stun.build(request, key)
        with trio.move_on_after(seconds):
            while True:
                await self.send(data)
                with trio.move_on_after(_REPEAT if self.repeats else seconds):
                    return await self.await_message(lambda m: m.transaction == request.transaction)
        raise NoAnswer("no answer")

    async def await_message(self, wanted: Callable[[stun.StunMessage], bool]) -> stun.StunMessage:
        """The next message that is ``wanted``."""
        while True:
            try:
                message = stun.parse_untrusted(await self.receive())
            except stun.StunError as error:
                if not self.repeats:
                    raise OSError(f"the answer is no STUN: {error}") from None
                continue
            if wanted(message):
                return message


def family_of(address: str) -> socket.AddressFamily:
    is_v6 = ipaddress.ip_address(address).version == 6
    return socket.AF_INET6 if is_v6 else socket.AF_INET


@contextmanager
def _deadline() -> Iterator[None]:
    """Raises NoAnswer after it."""
    try:
        with trio.fail_after(OPEN_DEADLINE):
            yield
    except trio.TooSlowError:
        raise NoAnswer("no answer") from None


@asynccontextmanager
async def open_udp(address: str, port: int) -> AsyncIterator[Line]:
    with trio.socket.socket(family_of(address), socket.SOCK_DGRAM) as udp:
        # Connected: a port without a program answers with an error (ICMP).
        await udp.connect((address, port))
        yield Line(udp.send, lambda: udp.recv(_MAX_DATAGRAM), repeats=True)


@asynccontextmanager
async def open_tcp(
    address: str, port: int, *, tls: ssl.SSLContext | None = None, name: str = ""
) -> AsyncIterator[Line]:
    """STUN messages one behind the other (RFC 8489 §6.2.2), within TLS for ``turns:``."""
    async with _open_stream(address, port) as tcp:
        stream: trio.abc.Stream = tcp
        if tls is not None:
            secure = trio.SSLStream(tcp, tls, server_hostname=name, https_compatible=True)
            with _deadline():
                await secure.do_handshake()
            stream = secure

        async def receive() -> bytes:
            header = await _receive_exactly(stream, stun.HEADER_SIZE)
            return header + await _receive_exactly(stream, stun.body_length_untrusted(header))

        yield Line(stream.send_all, receive, repeats=False)


@asynccontextmanager
async def open_ice_tcp(address: str, port: int) -> AsyncIterator[Line]:
    """Each message behind its length (RFC 4571), as ICE-TCP has it."""
    async with _open_stream(address, port) as tcp:

        async def send(data: bytes) -> None:
            await tcp.send_all(len(data).to_bytes(2, "big") + data)

        async def receive() -> bytes:
            length = await _receive_exactly(tcp, 2)
            return await _receive_exactly(tcp, int.from_bytes(length, "big"))

        yield Line(send, receive, repeats=False)


@asynccontextmanager
async def _open_stream(address: str, port: int) -> AsyncIterator[trio.SocketStream]:
    with trio.socket.socket(family_of(address), socket.SOCK_STREAM) as tcp:
        with _deadline():
            await tcp.connect((address, port))
        yield trio.SocketStream(tcp)


async def _receive_exactly(stream: trio.abc.Stream, size: int) -> bytes:
    data = b""
    while len(data) < size:
        try:
            more = await stream.receive_some(size - len(data))
        except trio.BrokenResourceError as error:
            raise OSError(str(error.__cause__ or "the connection broke")) from None
        if not more:
            raise OSError("the connection was closed")
        data += bytes(more)
    return data

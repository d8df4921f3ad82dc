"""The one listener, TLS or not: looks at a connection's request head and hands the connection to
who serves it.

    accepted ──TLS──▶ head read ──websocket on a signaling path──▶ socketio
                          └──────── everything else ─────────────▶ Hypercorn, ASGI

Websockets do not go through Hypercorn because its sends are shielded from cancellation; see
``stream`` for how the HTTP side is bounded all the same. HTTP/2 is not offered, so that websockets
come as HTTP/1.1.

A connection is one task. Whatever it raises ends that connection alone. Until its head is complete,
a connection is a stranger: strangers have a deadline, and there may be only so many of them at a
time.
"""

import logging
import ssl
from collections.abc import Awaitable, Callable, Sequence

import attrs
import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config as HypercornConfig
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from starlette.types import ASGIApp

from .stream import HeadTooLong, PeekedStream

logger = logging.getLogger("meet_trio.edge.front_door")

_LINGER = 1.0  # seconds that a refused client has to read why


@attrs.frozen
class FrontDoorSettings:
    """Bytes and seconds. ``head_timeout`` covers the TLS handshake and the first request's head."""

    max_head_bytes: int = 16 * 1024
    head_timeout: float = 10.0
    send_timeout: float = 10.0
    keep_alive_timeout: float = 30.0
    max_strangers: int = 1024
    max_connections: int = 8192


@attrs.define(eq=False)
class FrontDoor:
    """``websocket(stream, client)`` serves one websocket connection; ``app`` is the ASGI
    application for the rest.
    """

    app: ASGIApp
    websocket: Callable[[PeekedStream, str], Awaitable[None]]
    websocket_paths: frozenset[str]
    settings: FrontDoorSettings
    tls: ssl.SSLContext | None = None
    strangers: int = 0
    connections: int = 0

    async def serve(
        self,
        listeners: Sequence[trio.SocketListener],
        *,
        task_status: trio.TaskStatus[list[trio.SocketListener]] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Accept and serve until cancelled; closes the listeners."""
        config = HypercornConfig()
        config.h11_max_incomplete_size = self.settings.max_head_bytes
        config.keep_alive_timeout = self.settings.keep_alive_timeout
        config.include_server_header = False
        config.accesslog = None
        config.errorlog = None
        context = WorkerContext(None)
        app = ASGIWrapper(self.app)  # type: ignore[arg-type]  # two typings of the same ASGI

        async def http(stream: PeekedStream) -> None:
            await TCPServer(app, config, context, {}, stream)  # type: ignore[arg-type]

        async def handle(stream: trio.SocketStream) -> None:
            if (
                self.strangers >= self.settings.max_strangers
                or self.connections >= self.settings.max_connections
            ):
                await trio.aclose_forcefully(stream)
                return
            self.connections += 1
            try:
                await self._connection(stream, http)
            except (OSError, trio.BrokenResourceError, trio.ClosedResourceError):
                pass  # the client went away
            except Exception:
                logger.exception("a connection's task failed")
            finally:
                self.connections -= 1
                await trio.aclose_forcefully(stream)

        await trio.serve_listeners(handle, list(listeners), task_status=task_status)

    async def _connection(
        self, transport: trio.SocketStream, http: Callable[[PeekedStream], Awaitable[None]]
    ) -> None:
        client = transport.socket.getpeername()[0]
        stream: trio.abc.Stream = transport
        if self.tls is not None:
            stream = trio.SSLStream(transport, self.tls, server_side=True, https_compatible=True)
        peeked = PeekedStream(stream, send_deadline=self.settings.send_timeout)
        self.strangers += 1
        try:
            with trio.move_on_after(self.settings.head_timeout) as waiting:
                if isinstance(stream, trio.SSLStream):
                    await stream.do_handshake()
                head = await peeked.peek_head(self.settings.max_head_bytes)
        except HeadTooLong:
            await _refuse(peeked, b"431 Request Header Fields Too Large", b"headers too long")
            return
        finally:
            self.strangers -= 1
        if waiting.cancelled_caught or not head:
            return
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_guard, peeked, nursery.cancel_scope)
            if is_websocket_request(head, self.websocket_paths):
                await self.websocket(peeked, client)
            else:
                await http(peeked)
            nursery.cancel_scope.cancel()


def is_websocket_request(head: bytes, paths: frozenset[str]) -> bool:
    """Does the request head ask for a websocket (RFC 6455 §4.1) on one of ``paths``?"""
    request_line, *fields = head.split(b"\r\n")
    parts = request_line.split(b" ")
    if len(parts) != 3 or parts[0] != b"GET":
        return False
    path = parts[1].partition(b"?")[0].decode("latin-1")
    if path not in paths:
        return False
    for field in fields:
        name, _, value = field.partition(b":")
        if name.strip().lower() == b"upgrade" and b"websocket" in value.lower():
            return True
    return False


async def _guard(stream: PeekedStream, connection: trio.CancelScope) -> None:
    """A client that does not read ends the connection; the connection's end ends a send to it."""
    try:
        await stream.given_up.wait()
        connection.cancel()
    finally:
        stream.abort()


async def _refuse(stream: PeekedStream, status: bytes, why: bytes) -> None:
    body = b'{"error":"' + why + b'"}'
    await stream.send_all(
        b"HTTP/1.1 " + status + b"\r\nContent-Type: application/json\r\nConnection: close\r\n"
        b"Content-Length: " + str(len(body)).encode() + b"\r\n\r\n" + body
    )
    # Closing with unread bytes would reset the connection before the client has read the answer
    # (RFC 9112 §9.6).
    await stream.send_eof()
    with trio.move_on_after(_LINGER):
        while await stream.receive_some(65536):
            pass

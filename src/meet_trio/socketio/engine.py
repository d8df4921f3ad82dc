"""The Engine.IO server: makes connections of websockets and polls, and gives each to a handler.

A connection that begins as a websocket lives in the task that called ``serve_websocket_stream``, to
its end.

The handler's return ends the connection, and so does its exception, which is logged. When the task
is cancelled, what waits in the outbox and the goodbye still go out, within ``close_timeout``.
"""

import logging
import secrets
from collections.abc import Awaitable, Callable

import trio

from .connection import Connection
from .errors import Disconnected, Reason
from .request import UNKNOWN_SID, BadRequest, parse_request_untrusted
from .settings import Handshake, Settings
from .websocket import WebSocket, WebSocketGone

logger = logging.getLogger("meet_trio.socketio.engine")

EngineHandler = Callable[[Connection], Awaitable[None]]


class EngineServer:
    """Bare Engine.IO: messages without events. ``Server`` puts Socket.IO on top of it."""

    def __init__(self, settings: Settings, handler: EngineHandler) -> None:
        self._settings = settings
        self._handler = handler
        self._connections: dict[str, Connection] = {}

    async def serve_websocket_stream(self, stream: trio.abc.Stream, *, client: str) -> None:
        """Serve one websocket on a byte stream whose request head is still unread. Closes the
        stream.

        ``client``: address, for the handshake. Returns when all is over, whatever the client does;
        takes at most ``close_timeout`` to be cancelled.
        """
        settings = self._settings
        websocket = WebSocket(
            stream,
            max_message=settings.max_payload,
            send_timeout=settings.send_timeout,
            close_timeout=settings.close_timeout,
        )
        try:
            async with trio.open_nursery() as nursery:
                deadline = trio.current_time() + settings.handshake_timeout
                try:
                    if await websocket.open(nursery, deadline):
                        await self._serve_opened(websocket, client)
                except* WebSocketGone:
                    pass
                finally:
                    await websocket.close()
        finally:
            await trio.aclose_forcefully(stream)

    async def _serve_opened(self, websocket: WebSocket, client: str) -> None:
        try:
            handshake, sid = parse_request_untrusted(
                websocket.path, websocket.headers, client, "websocket"
            )
            if sid is not None:
                raise BadRequest(UNKNOWN_SID)
        except BadRequest as error:
            await websocket.reject(400, error.body)
            return
        await websocket.accept()
        await self._serve_websocket(websocket, handshake)

    async def _serve_websocket(self, websocket: WebSocket, handshake: Handshake) -> None:
        connection = self._new_connection(handshake, websocket=True)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._handle, connection)
                nursery.start_soon(connection.keep_time)
                await connection.websocket_task(websocket)
                await websocket.close()
        finally:
            # here with an open connection only if cancelled
            connection.start_close(Reason.SERVER)
            with trio.move_on_after(self._settings.close_timeout, shield=True):
                await connection.flush(websocket)
            connection.fail(Reason.SERVER)
            del self._connections[connection.id]

    def _new_connection(self, handshake: Handshake, *, websocket: bool) -> Connection:
        # 120 random bits: a session id lets one post into the session
        sid = secrets.token_urlsafe(15)
        connection = Connection(sid, handshake, self._settings, websocket=websocket)
        self._connections[sid] = connection
        return connection

    async def _handle(self, connection: Connection) -> None:
        try:
            await self._handler(connection)
        except Disconnected:
            pass
        except Exception:
            logger.exception("the handler of connection %s failed", connection.id)
        finally:
            connection.start_close(Reason.SERVER)

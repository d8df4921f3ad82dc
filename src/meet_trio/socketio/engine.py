"""The Engine.IO server: makes connections from websockets and polls, and gives each to a handler.

A connection that begins as a websocket lives in the task that called ``serve_websocket_stream``,
until it ends. A connection that begins by polling has no such task: it lives in ``run``. After its
upgrade, ``serve_websocket_stream`` only carries its packets. ``run`` also makes the writes of all
websockets (``write_turns``), so it has to run while there are connections.

A connection ends when its handler returns or raises. The exception is logged. When the task is
cancelled, the outbox and the goodbye are still sent, within ``close_timeout``.

Messages are opaque here; ``server`` puts Socket.IO on top.
"""

import logging
import secrets
from collections.abc import Awaitable, Callable
from urllib.parse import quote

import attrs
import trio

from meet_trio.socketio.allowance import Allowance
from meet_trio.socketio.connection import EngineIOConnection
from meet_trio.socketio.errors import Disconnected, Reason
from meet_trio.socketio.outboxes import Outboxes
from meet_trio.socketio.over_polling import Polling, Receive, Response, Scope, Send
from meet_trio.socketio.over_websocket import carry, say_goodbye, upgrade
from meet_trio.socketio.request import (
    BAD_METHOD,
    BAD_REQUEST,
    UNKNOWN_SID,
    RequestRefused,
    check_origin,
    cors_headers,
    parse_request_untrusted,
)
from meet_trio.socketio.session import State
from meet_trio.socketio.settings import Handshake, Settings
from meet_trio.socketio.websocket import WebSocket, WebSocketGone
from meet_trio.socketio.write_turns import WriteTurns

logger = logging.getLogger("meet_trio.socketio.engine")

EngineIOHandler = Callable[[EngineIOConnection], Awaitable[None]]


class EngineIOServer:
    """Engine.IO alone. ``handler`` serves one connection; the connection ends with it."""

    def __init__(self, settings: Settings, handler: EngineIOHandler) -> None:
        self._settings = settings
        self._handler = handler
        self._connections: dict[str, EngineIOConnection] = {}
        self._polling: dict[str, Polling] = {}
        self._outboxes = Outboxes(settings.max_outboxes_bytes)
        self._write_turns = WriteTurns()
        self._nursery: trio.Nursery | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Make the writes of all websockets, and run the connections that began by polling, until
        cancelled.
        """
        async with trio.open_nursery() as self._nursery:
            self._nursery.start_soon(self._write_turns.run)
            try:
                task_status.started()
                await trio.sleep_forever()
            finally:
                self._nursery = None

    def allow_origins(self, origins: frozenset[str] | None) -> None:
        """Replace ``Settings.origins`` for connections from now on."""
        self._settings = attrs.evolve(self._settings, origins=origins)

    def has_session(self, sid: str) -> bool:
        """Whether a session with this id exists."""
        return sid in self._connections

    async def serve_websocket_stream(self, stream: trio.abc.Stream, *, client: str) -> None:
        """Serve one websocket on a byte stream whose request head is still unread. Closes the
        stream.

        ``client`` is the address that the handshake gets. Returns when the websocket has ended.
        Cancellation takes at most ``close_timeout``, whatever the client does.
        """
        settings = self._settings
        websocket = WebSocket(
            stream,
            Allowance(settings, trio.current_time()),
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

    async def asgi(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application of long-polling; mount it at the path of the websockets. Raises
        RuntimeError unless ``run`` is running.
        """
        if scope["type"] != "http":
            raise ValueError("serves HTTP only; websockets go to serve_websocket_stream")
        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        origin = headers.get("origin")
        try:
            check_origin(self._settings, origin)
            response = await self._respond(scope, headers, receive)
        except RequestRefused as error:
            response = Response(error.status, "application/json", error.body)
        fields = [
            (b"content-type", response.content_type.encode()),
            (b"content-length", str(len(response.body)).encode()),
            (b"cache-control", b"no-store"),
            *cors_headers(self._settings, origin, preflight=scope["method"] == "OPTIONS"),
        ]
        await send({"type": "http.response.start", "status": response.status, "headers": fields})
        await send({"type": "http.response.body", "body": response.body})

    async def _respond(self, scope: Scope, headers: dict[str, str], receive: Receive) -> Response:
        method = scope["method"]
        if method == "OPTIONS":
            return Response(204, "text/plain", b"")
        client = scope["client"][0] if scope.get("client") else ""
        path = scope.get("raw_path") or quote(scope["path"]).encode()
        target = (path + b"?" + scope["query_string"]).decode("latin-1")
        handshake, sid = parse_request_untrusted(target, headers, client, "polling")
        if sid is None:
            if method != "GET":
                raise RequestRefused(BAD_METHOD)
            return self._open_polling(handshake)
        connection = self._find_connection(sid, handshake)
        polling = self._polling.get(connection.id)
        if polling is None:
            raise RequestRefused(BAD_REQUEST)
        if method == "GET":
            return await polling.poll(receive)
        if method == "POST":
            return await polling.post(headers.get("content-type", ""), receive)
        raise RequestRefused(BAD_REQUEST)

    def _open_polling(self, handshake: Handshake) -> Response:
        if self._nursery is None:
            raise RuntimeError("run() is not running")
        if len(self._polling) >= self._settings.max_polling:
            return Response(503, "text/plain", b"")
        connection = self._new_connection(handshake, websocket=False)
        polling = self._polling[connection.id] = Polling(connection)
        self._nursery.start_soon(self._run_polling, connection)
        return polling.answer(connection.session.take())

    async def _run_polling(self, connection: EngineIOConnection) -> None:
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._run_handler, connection)
                nursery.start_soon(connection.run_timers)
                await connection.closed.wait()
                self._forget(connection)
        finally:
            # the session is still open only if this task was cancelled
            connection.start_close(Reason.SERVER)
            with trio.move_on_after(self._settings.close_timeout, shield=True):
                await connection.closed.wait()
            connection.fail(Reason.SERVER)
            self._forget(connection)

    async def _serve_opened(self, websocket: WebSocket, client: str) -> None:
        try:
            handshake, connection = self._read_request(websocket, client)
        except RequestRefused as error:
            await websocket.reject(error.status, error.body)
            return
        await websocket.accept()
        if connection is not None:
            await upgrade(connection, websocket)
        else:
            await self._run_websocket(websocket, handshake)

    def _read_request(
        self, websocket: WebSocket, client: str
    ) -> tuple[Handshake, EngineIOConnection | None]:
        """The handshake, and the connection that is to be upgraded. Raises RequestRefused."""
        headers = websocket.headers
        check_origin(self._settings, headers.get("origin"))
        handshake, sid = parse_request_untrusted(websocket.path, headers, client, "websocket")
        return handshake, None if sid is None else self._find_connection(sid, handshake)

    async def _run_websocket(self, websocket: WebSocket, handshake: Handshake) -> None:
        connection = self._new_connection(handshake, websocket=True)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._run_handler, connection)
                nursery.start_soon(connection.run_timers)
                await carry(connection, websocket)
                self._forget(connection)
        finally:
            self._forget(connection)
            await say_goodbye(connection, websocket)

    def _find_connection(self, sid: str, handshake: Handshake) -> EngineIOConnection:
        connection = self._connections.get(sid)
        if connection is None or connection.session.state is State.CLOSED:
            raise RequestRefused(UNKNOWN_SID)
        if connection.handshake.eio != handshake.eio:
            raise RequestRefused(BAD_REQUEST)
        return connection

    def _new_connection(self, handshake: Handshake, *, websocket: bool) -> EngineIOConnection:
        # 120 random bits: knowing a session id is enough to post into the session
        sid = secrets.token_urlsafe(15)
        connection = EngineIOConnection(
            sid, handshake, self._settings, self._outboxes, self._write_turns, websocket=websocket
        )
        self._connections[sid] = connection
        self._outboxes.add(connection)
        return connection

    def _forget(self, connection: EngineIOConnection) -> None:
        self._connections.pop(connection.id, None)
        self._polling.pop(connection.id, None)
        self._outboxes.remove(connection)

    async def _run_handler(self, connection: EngineIOConnection) -> None:
        try:
            await self._handler(connection)
        except Disconnected:
            pass
        except Exception:
            logger.exception("the handler of a connection failed")
        finally:
            connection.start_close(Reason.SERVER)

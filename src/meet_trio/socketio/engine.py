"""The Engine.IO server: makes connections from websockets and polls, and gives each to its user.

A connection that begins as a websocket lives in the task that called ``serve_websocket``, until it
ends; that task also reads the websocket. A connection that begins by polling has no such task: it
lives in ``run``. After its upgrade, ``serve_websocket`` only carries its packets. ``run`` also
makes the writes of all websockets (``write_turns``) and sees to all deadlines (``deadlines``), so
it has to run while there are connections.

When the task of a connection is cancelled, the outbox and the goodbye are still sent, within
``close_timeout``.

Messages are opaque here; ``server`` puts Socket.IO on top.
"""

import logging
import secrets
from collections.abc import Mapping
from contextlib import suppress
from urllib.parse import quote

import attrs
import trio

from meet_trio.deadlines import Deadlines
from meet_trio.socketio.allowance import Allowance
from meet_trio.socketio.connection import Attach, EngineIOConnection, Shared
from meet_trio.socketio.errors import Reason
from meet_trio.socketio.moved import MovedWebSocket
from meet_trio.socketio.opening import accept_untrusted, read_head, refusal
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
from meet_trio.socketio.websocket import BoundedStream, WebSocket
from meet_trio.socketio.write_turns import WriteTurns

logger = logging.getLogger("meet_trio.socketio.engine")


class EngineIOServer:
    """Engine.IO alone. ``attach`` gives each connection its user, see ``in_task``."""

    def __init__(self, settings: Settings, attach: Attach) -> None:
        self._settings = settings
        self._attach = attach
        self._connections: dict[str, EngineIOConnection] = {}
        self._polling: dict[str, Polling] = {}
        self._websockets: dict[trio.abc.Stream, tuple[EngineIOConnection, WebSocket]] = {}
        self._shared = Shared(
            settings, Outboxes(settings.max_outboxes_bytes), WriteTurns(), Deadlines()
        )
        self._nursery: trio.Nursery | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Make the writes of all websockets, see to all deadlines, and run the connections that
        began by polling, until cancelled.
        """
        async with trio.open_nursery() as self._nursery:
            self._nursery.start_soon(self._shared.write_turns.run)
            self._nursery.start_soon(self._shared.deadlines.run)
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
        """``serve_websocket`` on a byte stream whose request head is still unread. It must come
        within ``handshake_timeout``.
        """
        head = None
        try:
            with trio.move_on_after(self._settings.handshake_timeout):
                head = await read_head(stream)
        except RequestRefused as error:
            await self._refuse(stream, error)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the client is gone
        finally:
            if head is None:
                await trio.aclose_forcefully(stream)
        if head is not None:
            await self.serve_websocket(
                stream, head.target, head.headers, client=client, unread=head.rest
            )

    async def serve_websocket(
        self,
        stream: trio.abc.Stream,
        target: str,
        headers: Mapping[str, str],
        *,
        client: str,
        unread: bytes = b"",
    ) -> None:
        """Serve one websocket, whose request had this target and these headers (names in lower
        case, repeated fields joined with commas). Closes the stream.

        ``stream`` continues behind the request's head and ``unread``. ``client`` is the address
        that the handshake gets. Returns when the websocket has ended. Cancellation takes at most
        ``close_timeout``, whatever the client does.
        """
        settings = self._settings
        try:
            try:
                handshake, connection = self._read_request(target, headers, client)
                answer = accept_untrusted(headers)
            except RequestRefused as error:
                await self._refuse(stream, error)
                return
            bounded = BoundedStream(
                stream, settings.send_timeout, Allowance(settings, trio.current_time()), unread
            )
            await bounded.send_all(answer)
            del target, answer, unread  # the websocket may last for hours
            websocket = WebSocket(bounded, settings.close_timeout)
            try:
                if connection is None:
                    connection = self._new_connection(handshake, websocket=True)
                    await self._run_websocket(connection, websocket, stream)
                else:
                    self._websockets[stream] = connection, websocket
                    await upgrade(connection, websocket)
            finally:
                self._websockets.pop(stream, None)
                await websocket.close()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the client has not read the answer
        finally:
            await trio.aclose_forcefully(stream)

    def move(self, stream: trio.abc.Stream) -> MovedWebSocket | None:
        """What another process needs to go on with the websocket on this stream. None while it is
        not at rest, or if there is none.
        """
        connection, websocket = self._websockets.get(stream, (None, None))
        if connection is None or websocket is None:
            return None
        untaken = websocket.untaken
        return None if untaken is None else connection.move(untaken)

    async def serve_moved(self, stream: trio.abc.Stream, moved: MovedWebSocket) -> None:
        """``serve_websocket`` for one that another process has had."""
        settings = self._settings
        bounded = BoundedStream(
            stream,
            settings.send_timeout,
            Allowance(settings, trio.current_time()),
            moved.unread,
        )
        websocket = WebSocket(bounded, settings.close_timeout)
        try:
            connection = self._new_connection(moved.handshake, websocket=True, sid=moved.sid)
            connection.go_on(moved)
            await self._run_websocket(connection, websocket, stream)
        finally:
            self._websockets.pop(stream, None)
            await websocket.close()
            await trio.aclose_forcefully(stream)

    @property
    def polls(self) -> int:
        """The number of polls that wait for something to be sent."""
        return sum(polling.waits for polling in self._polling.values())

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
                self._attach(connection, nursery)
                await connection.closed.wait()
                self._forget(connection)
        except Exception:
            # ``run`` has this task, and all that other connections need
            logger.exception("the handler of a connection failed")
        finally:
            # the session is still open only if this task was cancelled
            connection.start_close(Reason.SERVER)
            with trio.move_on_after(self._settings.close_timeout, shield=True):
                await connection.closed.wait()
            connection.fail(Reason.SERVER)
            self._forget(connection)

    def _read_request(
        self, target: str, headers: Mapping[str, str], client: str
    ) -> tuple[Handshake, EngineIOConnection | None]:
        """The handshake, and the connection that is to be upgraded. Raises RequestRefused."""
        check_origin(self._settings, headers.get("origin"))
        handshake, sid = parse_request_untrusted(target, headers, client, "websocket")
        return handshake, None if sid is None else self._find_connection(sid, handshake)

    async def _refuse(self, stream: trio.abc.Stream, error: RequestRefused) -> None:
        with (
            trio.move_on_after(self._settings.send_timeout),
            suppress(trio.BrokenResourceError, trio.ClosedResourceError),
        ):
            await stream.send_all(refusal(error))

    async def _run_websocket(
        self, connection: EngineIOConnection, websocket: WebSocket, stream: trio.abc.Stream
    ) -> None:
        self._websockets[stream] = connection, websocket
        try:
            async with trio.open_nursery() as nursery:
                self._attach(connection, nursery)
                await carry(connection, websocket, nursery)
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

    def _new_connection(
        self, handshake: Handshake, *, websocket: bool, sid: str | None = None
    ) -> EngineIOConnection:
        # 120 random bits: knowing a session id is enough to post into the session
        sid = sid or secrets.token_urlsafe(15)
        connection = EngineIOConnection(sid, handshake, self._shared, websocket=websocket)
        self._connections[sid] = connection
        self._shared.outboxes.add(connection)
        return connection

    def _forget(self, connection: EngineIOConnection) -> None:
        self._connections.pop(connection.id, None)
        self._polling.pop(connection.id, None)
        self._shared.outboxes.remove(connection)

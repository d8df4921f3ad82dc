"""The Socket.IO server: runs a handler for each client in each namespace.

    async def chat(socket):
        while True:
            event = await socket.receive()   # Disconnected may end the handler
            socket.emit(event.name, *event.args)

    server = Server(Settings(), {"/": chat})
    await nursery.start(server.run)
    await server.serve_websocket_stream(stream, client="192.0.2.1")

A handler runs in the connection's nursery. When it returns or raises, its client is disconnected
from the namespace. The connection is closed too if that was its last namespace. When the client
goes first, ``receive`` and ``call`` raise ``Disconnected`` in the handler. A handler is cancelled
only if the task that serves its connection is.

A client that is in no namespace for ``connect_timeout`` is closed. A client that breaks the
protocol is closed at once.

Socket.IO's rooms, broadcasts and middleware are left out: the application knows its sockets.
"""

import logging
import math
import secrets
from collections.abc import Awaitable, Callable, Mapping

import attrs
import trio

from meet_trio.socketio.connection import EngineIOConnection
from meet_trio.socketio.engine import EngineIOServer
from meet_trio.socketio.errors import Disconnected, ProtocolError, Reason, Refused
from meet_trio.socketio.moved import MovedNamespace, MovedWebSocket
from meet_trio.socketio.over_polling import Receive, Scope, Send
from meet_trio.socketio.protocol import (
    AckReceived,
    ConnectReceived,
    DisconnectReceived,
    EventReceived,
    Frames,
    NamespaceState,
    ProtocolEvent,
    SocketIOProtocol,
)
from meet_trio.socketio.refusal import refuse_websocket
from meet_trio.socketio.settings import Handshake, Settings
from meet_trio.socketio.socket import Socket
from meet_trio.socketio.strangers import Strangers

logger = logging.getLogger("meet_trio.socketio.server")

Handler = Callable[[Socket], Awaitable[None]]
Admit = Callable[[str, Handshake], Awaitable[None]]


class Server:
    """Serves Socket.IO; ``handlers`` has the handler of each namespace.

    ``admit(namespace, handshake)`` may raise Refused; without ``admit`` every client may connect.
    ``client_key(address)`` is the key by which unconnected connections are counted.
    """

    def __init__(
        self,
        settings: Settings,
        handlers: Mapping[str, Handler],
        *,
        admit: Admit | None = None,
        client_key: Callable[[str], str] = str,
    ) -> None:
        self._handlers = dict(handlers)
        self._admit = admit
        self._settings = settings
        self._unconnected = Unconnected(settings, client_key)
        self._engine = EngineIOServer(settings, self._attach)

    def allow_origins(self, origins: frozenset[str] | None) -> None:
        """Replace ``Settings.origins`` for connections from now on."""
        self._settings = attrs.evolve(self._settings, origins=origins)
        self._engine.allow_origins(origins)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Same as ``EngineIOServer.run``; all connections need it."""
        await self._engine.run(task_status=task_status)

    async def asgi(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Same as ``EngineIOServer.asgi``: long-polling."""
        await self._engine.asgi(scope, receive, send)

    @property
    def polls(self) -> int:
        """Same as ``EngineIOServer.polls``."""
        return self._engine.polls

    def has_session(self, sid: str) -> bool:
        """Same as ``EngineIOServer.has_session``."""
        return self._engine.has_session(sid)

    async def serve_websocket_stream(self, stream: trio.abc.Stream, *, client: str) -> None:
        """Same as ``EngineIOServer.serve_websocket_stream``."""
        await self._engine.serve_websocket_stream(stream, client=client)

    async def serve_websocket(
        self, stream: trio.abc.Stream, target: str, headers: Mapping[str, str], *, client: str
    ) -> None:
        """Same as ``EngineIOServer.serve_websocket``."""
        await self._engine.serve_websocket(stream, target, headers, client=client)

    def move(self, stream: trio.abc.Stream) -> MovedWebSocket | None:
        """Same as ``EngineIOServer.move``."""
        return self._engine.move(stream)

    async def serve_moved(self, stream: trio.abc.Stream, moved: MovedWebSocket) -> None:
        """Same as ``EngineIOServer.serve_moved``. The handlers run anew, with sockets that are
        ``moved``.
        """
        await self._engine.serve_moved(stream, moved)

    async def refuse_websocket(
        self, stream: trio.abc.Stream, target: str, headers: Mapping[str, str]
    ) -> None:
        """Same as ``refusal.refuse_websocket``: the effect of a handler that returns at once."""
        await refuse_websocket(stream, target, headers, self._settings)

    def _attach(self, connection: EngineIOConnection, nursery: trio.Nursery) -> None:
        client = _Client(
            connection, nursery, self._settings, self._handlers, self._admit, self._unconnected
        )
        client.begin()


class Unconnected:
    """The connections that have not yet been in a namespace, limited in all and for each client.

    ``strangers`` says which connection is closed above a limit. An honest client is in a namespace
    after one round trip.
    """

    def __init__(self, settings: Settings, client_key: Callable[[str], str]) -> None:
        self._client_key = client_key
        self._strangers = Strangers[EngineIOConnection](
            settings.max_unconnected, settings.max_unconnected_per_client
        )
        self._keys: dict[EngineIOConnection, str] = {}

    def add(self, connection: EngineIOConnection) -> None:
        key = self._client_key(connection.handshake.client)
        if (oldest := self._strangers.to_evict(key)) is not None:
            logger.info(
                "too many unconnected sockets, one of %s is closed", oldest.handshake.client
            )
            self.remove(oldest)
            oldest.start_close(Reason.OVERFLOW)
        self._keys[connection] = key
        self._strangers.add(key, connection)

    def remove(self, connection: EngineIOConnection) -> None:
        """The connection is in a namespace, or has ended. Idempotent. It is not added again when it
        leaves its last namespace.
        """
        key = self._keys.pop(connection, None)
        if key is not None:
            self._strangers.remove(key, connection)


class _Client:
    """One connection and its sockets, one for each namespace."""

    __slots__ = (
        "_admit",
        "_connect_timer",
        "_connection",
        "_handlers",
        "_nursery",
        "_protocol",
        "_settings",
        "_sockets",
        "_unconnected",
    )

    def __init__(
        self,
        connection: EngineIOConnection,
        nursery: trio.Nursery,
        settings: Settings,
        handlers: Mapping[str, Handler],
        admit: Admit | None,
        unconnected: Unconnected,
    ) -> None:
        self._unconnected = unconnected
        self._connection = connection
        self._settings = settings
        self._handlers = handlers
        self._admit = admit
        self._protocol = SocketIOProtocol(connection.handshake.eio, settings, handlers)
        self._sockets: dict[str, Socket] = {}
        self._connect_timer = connection.deadlines.timer(self._connect_timed_out)
        self._nursery = nursery

    def begin(self) -> None:
        """Take the connection's messages until it ends."""
        self._connection.attach(self)
        if self._connection.moved:
            self._go_on()
            return
        self._unconnected.add(self._connection)
        self._start_connect_timeout()
        self._act_on(self._protocol.start())

    def _go_on(self) -> None:
        """Serve the namespaces of a connection that another process had."""
        for namespace, moved in self._connection.moved.items():
            self._protocol.go_on(namespace, moved.calls)
            self._open_socket(namespace, moved.id, moved.auth, moved=True)

    def move(self) -> Mapping[str, MovedNamespace] | None:
        """See ``connection.User``."""
        found: dict[str, MovedNamespace] = {}
        if self._protocol.namespaces != self._sockets.keys():
            return None
        for namespace, socket in self._sockets.items():
            calls = self._protocol.move(namespace) if socket.at_rest else None
            if calls is None:
                return None
            found[namespace] = MovedNamespace(socket.id, socket.handshake.auth, calls)
        return found or None

    def take(self, message: str | bytes) -> None:
        """Act on a message in the step of the task that has read it: a task between the reader and
        the handlers would be woken for each message.
        """
        try:
            self._act_on(self._protocol.receive(message))
        except ProtocolError as error:
            logger.debug("the client broke the protocol: %s", error)
            self._connection.fail(Reason.PARSE_ERROR)
        except Exception:
            logger.exception("the handler of a connection failed")
            self._connection.start_close(Reason.SERVER)

    def ended(self) -> None:
        """The connection ends: the handlers are told by their sockets."""
        self._connect_timer.cancel()
        self._unconnected.remove(self._connection)
        for socket in self._sockets.values():
            socket.end(self._connection.reason)

    def _leave_all_sockets(self) -> None:
        for socket in self._sockets.values():
            socket.leave()

    def _act_on(self, received: ProtocolEvent | Frames | None) -> None:
        match received:
            case ConnectReceived():
                if self._admit is None:  # the next message may be an event already
                    self._connect(received)
                else:
                    self._nursery.start_soon(self._ask, received, self._admit)
            case EventReceived(namespace=namespace):
                self._sockets[namespace].take_event(received)
            case AckReceived(namespace=namespace):
                self._sockets[namespace].take_ack(received)
            case DisconnectReceived(namespace=namespace):
                self._client_left(namespace)
            case list():
                self._connection.send(*received)

    async def _ask(self, received: ConnectReceived, admit: Admit) -> None:
        handshake = attrs.evolve(self._connection.handshake, auth=received.auth)
        try:
            await admit(received.namespace, handshake)
        except Refused as refused:
            if self._protocol.state(received.namespace) is NamespaceState.CONNECTING:
                frames = self._protocol.refuse(received.namespace, refused.message, refused.data)
                self._connection.send(*frames)
            return
        except Exception:
            logger.exception("the handler of a connection failed")
            self._connection.start_close(Reason.SERVER)
            return
        if (
            self._connection.is_open
            and self._protocol.state(received.namespace) is NamespaceState.CONNECTING
        ):  # else the client left in the meantime
            self._connect(received)

    def _connect(self, received: ConnectReceived) -> None:
        namespace, sid = received.namespace, secrets.token_urlsafe(15)
        self._connect_timer.set(math.inf)
        self._unconnected.remove(self._connection)
        self._connection.send(*self._protocol.accept(namespace, sid))
        self._open_socket(namespace, sid, received.auth)

    def _open_socket(self, namespace: str, sid: str, auth: object, *, moved: bool = False) -> None:
        socket = self._sockets[namespace] = Socket(
            sid,
            namespace,
            attrs.evolve(self._connection.handshake, auth=auth),
            self._connection,
            self._protocol,
            self._leave_all_sockets,
            moved=moved,
        )
        self._nursery.start_soon(self._handle, socket)

    async def _handle(self, socket: Socket) -> None:
        try:
            await self._handlers[socket.namespace](socket)
        except Disconnected:
            pass
        except Exception:
            logger.exception("the handler of namespace %s failed", socket.namespace)
        finally:
            socket.leave()
            self._forget(socket)
            if not self._sockets and socket.reason is Reason.SERVER:
                self._connection.start_close(Reason.SERVER)

    def _client_left(self, namespace: str) -> None:
        socket = self._sockets[namespace]
        socket.end(Reason.CLIENT)
        self._forget(socket)

    def _forget(self, socket: Socket) -> None:
        if self._sockets.get(socket.namespace) is socket:
            del self._sockets[socket.namespace]
            if not self._sockets:
                self._start_connect_timeout()

    def _start_connect_timeout(self) -> None:
        self._connect_timer.set(trio.current_time() + self._settings.connect_timeout)

    def _connect_timed_out(self) -> None:
        self._connection.start_close(Reason.CONNECT_TIMEOUT)

"""HTTP/1.1 on one connection, by Hypercorn's protocol and streams, until it ends or a websocket
follows.

Hypercorn's ``H11Protocol`` and ``HTTPStream`` make ASGI of bytes and bytes of ASGI. Its own server
runs them in a nursery, with a task for the application, one for idleness and a channel between.
Here the connection's task does it all in turn:

    bytes ──▶ h11 ──▶ messages ──▶ the application, once the bytes that have come are parsed
      ▲                                 │ asks for more of the body: more bytes are read
      └──────── the next head ◀─────────┘

It differs from Hypercorn's own server in more:

- It serves HTTP/1.1 only. Hypercorn would switch to HTTP/2 for ``Upgrade: h2c`` and for HTTP/2's
  preface. A proxy that passes an upgrade on cannot see the requests that follow, so a client could
  set the headers that only the proxy should set. An upgrade is ignored (RFC 9110 §7.8).
- Its sends can be cancelled, and the stream bounds them. Hypercorn shields them from cancellation,
  so a client that stops reading could delay a shutdown without limit.
- Between two requests it looks at the next head. If the front door serves that request (a websocket
  that a proxy sends over a connection that it keeps alive), the front door continues with it.
- The head of a response leaves with what follows it.

An application that waits for more than its request hears of a client that has ended the stream or
is gone. What the client sends in the meantime is its next request, which waits. An application that
does not wait hears of it when it sends.

TLS, the first head and websockets are the front door's.

``H11Protocol``, ``HTTPStream`` and their collaborators are private to Hypercorn: the minor version
is pinned.
"""

import math
import time
from collections.abc import Awaitable, Callable
from email.utils import formatdate

import attrs
import h11
import trio
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData
from hypercorn.protocol.events import Request
from hypercorn.protocol.h11 import STREAM_ID, H11Protocol
from hypercorn.protocol.http_stream import HTTPStream
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState
from starlette.types import Message, Scope, Send

from meet_trio.edge.settings import FrontDoorSettings
from meet_trio.edge.stream import HeadOfTls, HeadTooLong, PeekedStream

Application = Callable[[Scope, "Inbox", Send], Awaitable[None]]
_AppSend = Callable[[Message | None], Awaitable[None]]

_MOST_AT_ONCE = 65536  # bytes that are read, and so the most of a body that waits to be asked for
_EVENTS_PER_TURN = 8  # of h11, in a turn of the loop: a body may have chunks of one byte


class _Config(Config):
    """Hypercorn's settings. All connections share them."""

    def __init__(self, settings: FrontDoorSettings) -> None:
        super().__init__()
        self.h11_max_incomplete_size = settings.max_head_bytes
        self.accesslog = self.errorlog = None
        self._second = 0
        self._headers: list[tuple[bytes, bytes]] = []

    def response_headers(self, protocol: str) -> list[tuple[bytes, bytes]]:
        if (second := int(time.time())) != self._second:
            self._second = second
            self._headers = [(b"date", formatdate(second, usegmt=True).encode())]
        return self._headers


@attrs.frozen
class HttpServer:
    """What all connections with these settings share."""

    settings: FrontDoorSettings
    config: Config
    context: WorkerContext = attrs.field(factory=lambda: WorkerContext(None))

    @classmethod
    def of(cls, settings: FrontDoorSettings) -> "HttpServer":
        return cls(settings, _Config(settings))

    async def serve(
        self,
        app: Application,
        stream: PeekedStream,
        scope: trio.CancelScope,
        for_front_door: Callable[[bytes], bool],
    ) -> bool:
        """Serve requests until the connection ends, or until a head comes that is
        ``for_front_door`` or too long. Returns True in the second case; the stream then continues
        with that head. The first head has been peeked. ``scope`` is the connection's; it has a
        deadline while the connection is idle.
        """
        return await _Connection(self, app, stream, scope, for_front_door).run()


class _H11Connection(h11.Connection):
    """It does not wait for a response: PAUSED is no event. Bytes that follow the connection's last
    request are dropped. They would be an error for Hypercorn, which would end the connection before
    the response. After ``events_left`` it says that it needs data.
    """

    events_left = 0

    def receive_data(self, data: bytes) -> None:
        if self.their_state is not h11.MUST_CLOSE:
            super().receive_data(data)

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        if self.their_state is h11.MUST_CLOSE or not self.events_left:
            return h11.NEED_DATA
        self.events_left -= 1
        event = super().next_event()
        return h11.NEED_DATA if event is h11.PAUSED else event


class Inbox:
    """ASGI's ``receive`` of one request: its messages, in order. Several tasks may receive. After
    the disconnect all get it. ``read`` reads more of the body, or waits for a message of another
    task.

    A disconnect that is put between ``hold`` and ``release`` waits for the latter. Hypercorn puts
    it when it has made the last bytes of a response, and an application may end with it.
    """

    def __init__(self, read: Callable[[], Awaitable[None]]) -> None:
        self._read = read
        self._messages: list[Message] = []
        self._holds = False
        self._held: Message | None = None  # a disconnect
        self._waiting: set[trio.CancelScope] = set()

    @property
    def ready(self) -> bool:
        """Whether a message is there, so that receiving it does not wait."""
        return bool(self._messages)

    async def __call__(self) -> Message:
        while not self._messages:
            await self._read()
        if self._messages[0]["type"] == "http.disconnect":
            return self._messages[0]
        return self._messages.pop(0)

    def hold(self) -> None:
        """A part of the response is being sent."""
        self._holds = True

    def release(self) -> None:
        """It was sent."""
        self._holds = False
        if self._held is not None:
            self._messages.append(self._held)
            self._held = None
            self.wake()

    async def put(self, message: Message) -> None:
        if self._holds and message["type"] == "http.disconnect":
            self._held = message
            return
        last = self._messages[-1] if self._messages else None
        if last is not None and message["type"] == "http.request" and not message["body"]:
            last["more_body"] = message["more_body"]  # the end of the body, which came with it
        else:
            self._messages.append(message)
        self.wake()

    async def wait(self, doing: Callable[[], Awaitable[None]] = trio.sleep_forever) -> None:
        """Do this until a message is put, or until ``wake``."""
        with trio.CancelScope() as scope:
            self._waiting.add(scope)
            try:
                await doing()
            finally:
                self._waiting.remove(scope)

    def wake(self) -> None:
        for scope in self._waiting:
            scope.cancel()


class _Connection(H11Protocol):
    connection: _H11Connection

    def __init__(
        self,
        server: HttpServer,
        app: Application,
        stream: PeekedStream,
        scope: trio.CancelScope,
        for_front_door: Callable[[bytes], bool],
    ) -> None:
        """Instead of Hypercorn's own, which makes a connection of h11 that would not be used."""
        config = server.config
        self.app = self._app = app  # type: ignore[assignment]  # Hypercorn would wrap it
        self.can_read = server.context.event_class()
        self.client = self.server = None  # the doorkeeper sets the client's address
        self.config = config
        self.connection = _H11Connection(
            h11.SERVER, max_incomplete_event_size=config.h11_max_incomplete_size
        )
        self.context = server.context
        self.keep_alive_requests = 0
        self.ssl = stream.is_tls
        self.stream = None
        self.connection_state = ConnectionState({})
        self._settings = server.settings
        self._bytes = stream
        self._scope = scope
        self._for_front_door = for_front_door
        self._begun: tuple[Scope, Inbox, _AppSend] | None = None
        self._inbox: Inbox | None = None  # of the request that is served
        self._unsent: list[bytes] = []
        self._reads = False  # a task reads the body
        self._over = False
        self._idle_since = trio.current_time()

    @property
    def task_group(self) -> "_Connection":  # type: ignore[override]
        """It has what Hypercorn's streams need of it."""
        return self

    async def run(self) -> bool:
        """Returns whether the front door continues with the stream."""
        data = self._bytes.take_unread()
        while True:
            await self._parse(data)
            while self._begun is not None:
                await self._run_app()
                self._idle_since = trio.current_time()
                if self._over or not isinstance(self.connection, h11.Connection):
                    return False
                if self.connection.trailing_data[0]:
                    await trio.lowlevel.checkpoint()  # the client has sent several requests
                    await self._parse(None)
            if self._over or not data:
                return False
            self._scope.deadline = self._idle_since + self._settings.keep_alive_timeout
            next_bytes = await self._next_bytes()
            if next_bytes is None:
                return True
            if next_bytes:
                self._scope.deadline = math.inf
            data = next_bytes

    async def _next_bytes(self) -> bytes | None:
        """Bytes of the next head, ``b""`` at the end. None: the front door serves that head."""
        stream = self._bytes
        try:
            head = await stream.peek_head(self._settings.max_head_bytes)
        except (HeadTooLong, HeadOfTls):
            return None
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return b""
        return None if head and self._for_front_door(head) else stream.take_unread()

    async def _parse(self, data: bytes | None) -> None:
        """Let Hypercorn parse bytes of the client, or with None those that h11 has already. It
        begins a request, or gives the present one its messages. Answers bytes that are no request,
        and sends 100 (Continue). The head of a response is left to the task that sends the rest.
        """
        head_waits = bool(self._unsent)
        self.connection.events_left = _EVENTS_PER_TURN
        if data is None:
            await self._handle_events()
        else:
            await self.handle(RawData(data))
        if self._unsent and not head_waits:
            await self._flush(self._bytes.send_all)

    async def _check_protocol(self, event: h11.Request) -> None:
        """Hypercorn's own switches to HTTP/2 here."""

    async def _create_stream(self, request: h11.Request) -> None:
        """Hypercorn's own looks through all headers for a websocket."""
        headers = list(request.headers)
        if any(name == b"upgrade" for name, _ in headers):
            await super()._create_stream(request)
            return
        self.stream = HTTPStream(
            self.app,
            self.config,
            self.context,
            self.task_group,  # type: ignore[arg-type]
            self.ssl,
            self.client,
            self.server,
            self.stream_send,
            STREAM_ID,
        )
        await self.stream.handle(
            Request(
                stream_id=STREAM_ID,
                headers=headers,
                http_version=request.http_version.decode(),
                method=request.method.decode("ascii").upper(),
                raw_path=request.target,
                state=self.connection_state,
            )
        )
        self.keep_alive_requests += 1

    async def spawn_app(
        self, app: object, config: Config, scope: Scope, send: "_AppSend"
    ) -> Callable[[Message], Awaitable[None]]:
        """A request has begun: a part of Hypercorn's ``TaskGroup``, without a task."""
        inbox = Inbox(self._read_body)
        self._begun = scope, inbox, send
        return inbox.put

    async def _run_app(self) -> None:
        assert self._begun is not None
        (scope, inbox, send), self._begun = self._begun, None
        self._inbox = inbox

        async def send_message(message: Message) -> None:
            if self._over:  # an application that only sends would never end, nor wait
                raise trio.BrokenResourceError("the client has gone")
            inbox.hold()
            try:
                await send(message)
                if message["type"] == "http.response.start":
                    return  # its bytes leave with what follows
                last = not message.get("more_body", False)
                await self._flush(self._bytes.send_at_once if last else self._bytes.send_all)
            finally:
                inbox.release()

        try:
            await self._app(scope, inbox, send_message)
        except Exception:
            await self._end_response(send)
            raise
        else:
            await self._end_response(send)
        finally:
            self._inbox = None  # it refers to this connection

    async def _end_response(self, send: _AppSend) -> None:
        """Hypercorn ends a response that is not whole."""
        if self.stream is not None:
            await send(None)
            await self._flush(self._bytes.send_all)

    async def _read_body(self) -> None:
        """Read a part of the body of the request that is served, or wait for one of its messages.
        Only one task reads.
        """
        inbox = self._inbox
        assert inbox is not None
        if self._reads or self.stream is None:  # without a stream the disconnect comes
            await inbox.wait()
            return
        self._reads = True
        try:
            if self.connection.their_state is h11.SEND_BODY and not self.connection.events_left:
                await self._bytes.wait_for_turn()
                await self._parse(None)
            elif self.connection.their_state is h11.SEND_BODY:
                await self._parse(await self._bytes.receive_some(_MOST_AT_ONCE))
            else:
                await inbox.wait(self._watch_client)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            await self.handle(Closed())
        finally:
            self._reads = False
            inbox.wake()  # another task may have to read on

    async def _watch_client(self) -> None:
        """Return when the client has gone. If it sends its next request, nothing more is read."""
        if await self._bytes.peek():
            await trio.sleep_forever()
        await self.handle(Closed())

    async def send(self, event: Event) -> None:
        """From Hypercorn: bytes for the client, and what becomes of the connection."""
        if isinstance(event, RawData):
            if event.data:
                self._unsent.append(event.data)
        elif isinstance(event, Closed):
            await self._flush(self._bytes.send_at_once)
            self._end()
            await self.handle(event)

    async def _flush(self, send: Callable[[bytes], Awaitable[None]]) -> None:
        unsent, self._unsent = self._unsent, []
        if not unsent or self._over:
            return
        try:
            await send(unsent[0] if len(unsent) == 1 else b"".join(unsent))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self._end()
            await self.handle(Closed())

    def _end(self) -> None:
        self._over = True
        self._bytes.close_now()

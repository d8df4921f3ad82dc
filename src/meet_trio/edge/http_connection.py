"""HTTP/1.1 on one connection, served by Hypercorn until it ends or a websocket follows.

Hypercorn serves whole connections. Here it differs from Hypercorn's own server in four ways:

- It serves HTTP/1.1 only. Hypercorn would switch to HTTP/2 for ``Upgrade: h2c`` and for HTTP/2's
  preface. A proxy that passes an upgrade on cannot see the requests that follow, so a client could
  set the headers that only the proxy should set. An upgrade is ignored (RFC 9110 §7.8).
- Its sends can be cancelled, and the stream bounds them. Hypercorn shields them from cancellation,
  so a client that stops reading could delay a shutdown without limit.
- Between two requests the stream looks at the next head. If the front door serves that request (a
  websocket that a proxy sends over a connection that it keeps alive), Hypercorn is told that the
  connection has ended, and the front door continues with it.
- Its timer for idleness ends with the connection and does not outlive it.

TLS, the first head and websockets are the front door's.

``TCPServer``, ``H11Protocol``, ``TaskGroup`` and ``ASGIWrapper`` are private to Hypercorn: the
minor version is pinned.
"""

from collections.abc import Callable

import h11
import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.trio.task_group import TaskGroup
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState
from starlette.types import ASGIApp

from meet_trio.edge.settings import FrontDoorSettings
from meet_trio.edge.stream import HeadOfTls, HeadTooLong, PeekedStream


async def serve_http(
    app: ASGIApp,
    stream: PeekedStream,
    settings: FrontDoorSettings,
    for_front_door: Callable[[bytes], bool],
) -> bool:
    """Serve requests until the connection ends, or until a head comes that is ``for_front_door`` or
    too long. Returns True in the second case; the stream then continues with that head.
    """
    config = Config()
    config.h11_max_incomplete_size = settings.max_head_bytes
    config.keep_alive_timeout = settings.keep_alive_timeout
    config.include_server_header = False
    config.accesslog = config.errorlog = None
    adapter = _HypercornStream(stream, settings.max_head_bytes, for_front_door)
    wrapped = ASGIWrapper(app)  # type: ignore[arg-type]  # two typings of the same ASGI
    await _Connection(wrapped, config, WorkerContext(None), {}, adapter)  # type: ignore[arg-type]
    return adapter.taken


class _HypercornStream(trio.abc.Stream):
    """The stream as Hypercorn sees it."""

    def __init__(
        self, stream: PeekedStream, max_head_bytes: int, for_front_door: Callable[[bytes], bool]
    ) -> None:
        self._stream = stream
        self._max_head_bytes = max_head_bytes
        self._for_front_door = for_front_door
        self._first = True
        self._answered = trio.Event()
        self.request_is_whole: Callable[[], bool] = lambda: False
        self.is_tls = stream.is_tls
        self.taken = False

    def is_idle(self, idle: bool) -> None:
        """Hypercorn has completed a response (``idle``), or has begun to read a request."""
        if idle:
            self._answered.set()
        else:
            self._answered = trio.Event()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        data = await self._stream.receive_some(max_bytes)
        if not data or self._first or not (self._answered.is_set() or self.request_is_whole()):
            self._first = False
            return data
        # A request begins. The client may have read the response to the one before although
        # Hypercorn has not yet completed it here.
        self._stream.put_back(data)
        await self._answered.wait()
        try:
            head = await self._stream.peek_head(self._max_head_bytes)
            self.taken = self._for_front_door(head)
        except (HeadTooLong, HeadOfTls):
            self.taken = True
        return b"" if self.taken else await self._stream.receive_some(max_bytes)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        if not self.taken:
            await self._stream.send_eof()

    async def aclose(self) -> None:
        self._answered.set()
        if not self.taken:
            await self._stream.aclose()


class _H11Connection(h11.Connection):
    """Drops bytes that follow the connection's last request. They would be an error for Hypercorn,
    which would end the connection before the response.
    """

    def receive_data(self, data: bytes) -> None:
        if self.their_state is not h11.MUST_CLOSE:
            super().receive_data(data)

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        return h11.NEED_DATA if self.their_state is h11.MUST_CLOSE else super().next_event()


class _OnlyHttp1(H11Protocol):
    async def initiate(self) -> None:
        most = self.config.h11_max_incomplete_size
        self.connection = _H11Connection(h11.SERVER, max_incomplete_event_size=most)

    async def _check_protocol(self, event: h11.Request) -> None:
        """Hypercorn's own switches to HTTP/2 here."""


class _Connection(TCPServer):
    stream: _HypercornStream  # type: ignore[assignment]
    protocol: _OnlyHttp1  # type: ignore[assignment]
    _reading_ended = False

    async def run(self) -> None:
        """Like Hypercorn's own, but without a choice of protocols and after the TLS handshake."""
        self.stream.request_is_whole = self._request_is_whole
        try:
            async with TaskGroup() as self._task_group:
                self.protocol = _OnlyHttp1(
                    self.app,
                    self.config,
                    self.context,
                    self._task_group,
                    ConnectionState({}),
                    self.stream.is_tls,
                    None,  # the client's address; the doorkeeper sets it
                    None,
                    self.protocol_send,
                )
                await self.protocol.initiate()
                await self.idle_task.restart(self._task_group, self._idle_timeout)
                await self._read_data()
        except OSError:
            pass
        finally:
            await self._close()

    def _request_is_whole(self) -> bool:
        return self.protocol.connection.their_state is h11.DONE

    async def protocol_send(self, event: Event) -> None:
        if isinstance(event, Updated):
            self.stream.is_idle(event.idle)
            if self._reading_ended:
                return  # the timer for idleness has ended
        if not isinstance(event, RawData):
            await super().protocol_send(event)
            return
        async with self.send_lock:
            try:
                await self.stream.send_all(event.data)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                await self.protocol.handle(Closed())
                await self.stream.aclose()  # also ends the reading

    async def _read_data(self) -> None:
        await super()._read_data()
        self._reading_ended = True
        await self.idle_task.stop()

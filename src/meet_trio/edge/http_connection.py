"""HTTP/1.1 on one connection, by Hypercorn, until it ends or a websocket comes that is not for it.

Hypercorn takes whole connections. Four things are done around it here:

- It speaks HTTP/1.1 and nothing else. Hypercorn would go over to HTTP/2 for ``Upgrade: h2c`` and
  for HTTP/2's preface. A proxy that passes an upgrade on sees nothing of what follows, so a client
  would write the headers that the proxy sets. An upgrade is ignored (RFC 9110 §7.8).
- Its sends are shielded from cancellation, so a client that stops reading could hold up a shutdown
  for as long as it likes. Here they are not, and the stream bounds them.
- Between two requests the stream looks at what comes next. If that is a request of the front door's
  (a websocket, sent by a proxy over a connection that it keeps), Hypercorn is told that the
  connection has ended, and the front door goes on with it.
- Its timer for idleness ends with the connection instead of outliving it.

``TCPServer``, ``H11Protocol``, ``TaskGroup`` and ``ASGIWrapper`` are private to Hypercorn: the
minor version is pinned.
"""

from collections.abc import Callable

import attrs
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

from meet_trio.edge.stream import HeadTooLong, PeekedStream


@attrs.frozen
class HttpSettings:
    """Bytes and seconds; idle time covers the next request's head."""

    max_head_bytes: int
    keep_alive_timeout: float


async def serve_http(
    app: ASGIApp, stream: PeekedStream, settings: HttpSettings, mine: Callable[[bytes], bool]
) -> bool:
    """Serve requests until the connection ends, or until one comes whose head is ``mine`` or too
    long: then True, and the stream stands before that head.
    """
    config = Config()
    config.h11_max_incomplete_size = settings.max_head_bytes
    config.keep_alive_timeout = settings.keep_alive_timeout
    config.include_server_header = False
    config.accesslog = config.errorlog = None
    side = _HttpSide(stream, settings.max_head_bytes, mine)
    wrapped = ASGIWrapper(app)  # type: ignore[arg-type]  # two typings of the same ASGI
    await _Connection(wrapped, config, WorkerContext(None), {}, side)  # type: ignore[arg-type]
    return side.taken


class _HttpSide(trio.abc.Stream):
    """The stream as Hypercorn sees it."""

    def __init__(
        self, stream: PeekedStream, max_head_bytes: int, mine: Callable[[bytes], bool]
    ) -> None:
        self._stream = stream
        self._max_head_bytes = max_head_bytes
        self._mine = mine
        self._first = True
        self._answered = trio.Event()
        self.request_is_whole: Callable[[], bool] = lambda: False
        self.is_tls = stream.is_tls
        self.taken = False

    def is_idle(self, idle: bool) -> None:
        """A request has been answered, or one has begun."""
        if idle:
            self._answered.set()
        else:
            self._answered = trio.Event()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        data = await self._stream.receive_some(max_bytes)
        if not data or self._first or not (self._answered.is_set() or self.request_is_whole()):
            self._first = False
            return data
        # the beginning of a request; the answer to the one before may have been read already, and
        # yet not be over here
        self._stream.put_back(data)
        await self._answered.wait()
        try:
            head = await self._stream.peek_head(self._max_head_bytes)
            self.taken = self._mine(head)
        except HeadTooLong:
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


class _Reading(h11.Connection):
    """What follows the connection's last request is dropped. To Hypercorn it would be an error, for
    which it would end the connection before the answer.
    """

    def receive_data(self, data: bytes) -> None:
        if self.their_state is not h11.MUST_CLOSE:
            super().receive_data(data)

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        return h11.NEED_DATA if self.their_state is h11.MUST_CLOSE else super().next_event()


class _OnlyHttp1(H11Protocol):
    async def initiate(self) -> None:
        most = self.config.h11_max_incomplete_size
        self.connection = _Reading(h11.SERVER, max_incomplete_event_size=most)

    async def _check_protocol(self, event: h11.Request) -> None:
        """Hypercorn's goes over to HTTP/2 here."""


class _Connection(TCPServer):
    stream: _HttpSide  # type: ignore[assignment]
    protocol: _OnlyHttp1  # type: ignore[assignment]
    _over = False

    async def run(self) -> None:
        """As Hypercorn's own, without its choice of protocols and with TLS's handshake done."""
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
                    None,  # who the client is, is the doorkeeper's to say
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
            if self._over:
                return  # nobody is waited for any more
        if not isinstance(event, RawData):
            await super().protocol_send(event)
            return
        async with self.send_lock:
            try:
                await self.stream.send_all(event.data)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                await self.protocol.handle(Closed())
                await self.stream.aclose()  # ends the reading, too

    async def _read_data(self) -> None:
        await super()._read_data()
        self._over = True
        await self.idle_task.stop()

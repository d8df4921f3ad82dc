"""The client's side of Kolab's signaling: Engine.IO 4 and Socket.IO over one websocket.

``open_signaling`` connects a token URL as the page of Kolab 4 does (``/meetmedia/signaling/``) and
reads until its end. Requests wait for their acknowledgement. Notices are kept in ``notices`` in the
order of arrival, and ``wait_notice`` waits for one. Requests of the server go to ``on_request``,
whose result is the acknowledgement.

The connection ends by ``leave`` (on purpose, Socket.IO disconnect), by ``abort`` (the TCP
connection is reset, as when a process dies), or by leaving the ``async with`` (closes the websocket
without a Socket.IO disconnect: a lost socket). ``stop_reading`` leaves everything that the server
sends in the kernel's buffers.
"""

import contextlib
import json
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import attrs
import trio
from support.news import News
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_client_stream

SIGNALING_PATH = "/meetmedia/signaling/"


class RequestFailed(Exception):
    """The server answered a request with an error."""

    def __init__(self, method: str, code: int, reason: str) -> None:
        super().__init__(f"{method}: {code} {reason}")
        self.code = code
        self.reason = reason


class SignalingClosed(Exception):
    """The connection is gone."""


@attrs.frozen
class Notice:
    """A notification of the server."""

    method: str
    data: Any


async def _refuse(method: str, data: Any) -> object:
    raise NotImplementedError(method)


@attrs.define(eq=False)
class Signaling:
    """One connection. ``data`` of requests, results and notices is decoded JSON."""

    websocket: WebSocketConnection
    tcp: trio.SocketStream
    on_request: Callable[[str, Any], Awaitable[object]] = _refuse
    """Called with method and data; an exception goes back as an error acknowledgement. No other
    message is read before it returns.
    """
    on_notice: Callable[[Notice], None] = lambda _: None
    notices: list[Notice] = attrs.field(factory=list)
    requests: list[Notice] = attrs.field(factory=list)
    """The server's requests, including repeated ones."""
    opened: dict[str, Any] = attrs.field(factory=dict)
    """The data of the Engine.IO handshake."""
    closed: trio.Event = attrs.field(factory=trio.Event)
    disconnected_by_server: bool = False
    """The server sent a Socket.IO disconnect."""
    _next_id: int = 0
    _pending: dict[int, trio.MemorySendChannel[list[Any]]] = attrs.field(factory=dict)
    _news: News = attrs.field(factory=News)
    _reading: trio.Event = attrs.field(factory=trio.Event)

    async def request(self, method: str, data: object = None) -> Any:
        """The result of a request. Raises RequestFailed, SignalingClosed."""
        id, self._next_id = self._next_id, self._next_id + 1
        message: dict[str, object] = {"method": method}
        if data is not None:
            message["data"] = data
        send, receive = trio.open_memory_channel[list[Any]](1)
        self._pending[id] = send
        try:
            with send, receive:
                await self._send(f"42{id}" + json.dumps(["request", message]))
                try:
                    answer = await receive.receive()
                except trio.EndOfChannel:
                    raise SignalingClosed(f"{method}: no answer") from None
        finally:
            self._pending.pop(id, None)
        error, result = ([*answer, None, None])[:2]
        if error is not None:
            raise RequestFailed(method, error, str(result))
        return result

    async def notify(self, event: str, message: object) -> None:
        """Send an event without an acknowledgement."""
        await self._send("42" + json.dumps([event, message]))

    async def send_raw(self, frame: str | bytes) -> None:
        """Send any websocket message, valid or not."""
        await self._send(frame)

    async def wait_notice(self, method: str, **fields: object) -> Notice:
        """The first notice of ``method`` whose data has all ``fields``; waits for one if there is
        none.
        """
        seen = 0
        while True:
            for notice in self.notices[seen:]:
                if notice.method == method and all(
                    notice.data.get(key) == value for key, value in fields.items()
                ):
                    return notice
            seen = len(self.notices)
            if self.closed.is_set():
                raise SignalingClosed(f"no {method} came")
            await self._news.wait()

    async def leave(self) -> None:
        """Disconnect on purpose and wait until the server has closed the connection."""
        with contextlib.suppress(SignalingClosed):
            await self._send("41")
        await self.closed.wait()

    def abort(self) -> None:
        """Reset the TCP connection, as the kernel does for a killed process."""
        self.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.tcp.socket.close()

    def stop_reading(self) -> None:
        """Stop reading from the socket for good."""
        self._reading = trio.Event()

    async def _send(self, frame: str | bytes) -> None:
        try:
            await self.websocket.send_message(frame)
        except (ConnectionClosed, trio.ClosedResourceError, trio.BrokenResourceError):
            raise SignalingClosed("the connection is closed") from None

    async def run(self) -> None:
        """Read until the end of the connection."""
        self._reading.set()
        try:
            while True:
                await self._reading.wait()
                frame = await self.websocket.get_message()
                if not isinstance(frame, str):
                    raise AssertionError(f"the server sent a binary message: {frame[:40]!r}")
                await self._handle(frame)
                if frame == "41":
                    self.disconnected_by_server = True
        except (ConnectionClosed, SignalingClosed, trio.BrokenResourceError):
            pass
        finally:
            self.closed.set()
            self._news.tell()
            for waiting in self._pending.values():
                waiting.close()

    async def _handle(self, frame: str) -> None:
        match frame[:1], frame[1:2]:
            case "0", _:
                self.opened.update(json.loads(frame[1:]))
                await self._send("40")
            case "2", _:
                await self._send("3" + frame[1:])
            case "4", "2":
                id, payload = _split_id(frame[2:])
                await self._handle_event(id, *payload)
            case "4", "3":
                id, payload = _split_id(frame[2:])
                if id is not None and (waiting := self._pending.get(id)):
                    waiting.send_nowait(payload)
            case ("4", "0" | "1") | ("6", _):
                pass
            case _:
                raise AssertionError(f"the server sent {frame[:80]!r}")

    async def _handle_event(self, id: int | None, event: str, message: dict[str, Any]) -> None:
        notice = Notice(message["method"], message.get("data"))
        if event == "notification":
            self.notices.append(notice)
            self.on_notice(notice)
            self._news.tell()
            return
        self.requests.append(notice)
        try:
            answer = [None, await self.on_request(notice.method, notice.data)]
        except Exception as error:
            answer = [500, repr(error)]
        await self._send(f"43{id}" + json.dumps(answer))


@contextlib.asynccontextmanager
async def open_signaling(
    token_url: str, *, ssl_context: ssl.SSLContext | None = None, path: str = SIGNALING_PATH
) -> AsyncIterator[Signaling]:
    """A connection to the URL that ``POST sessions/{id}/connection`` gave.

    ``run`` it in a task: requests and notices need it.
    """
    url = urlsplit(token_url)
    assert url.hostname is not None
    secure = url.scheme == "wss"
    port = url.port or (443 if secure else 80)
    tcp = await trio.open_tcp_stream(url.hostname, port)
    stream: trio.SocketStream | trio.SSLStream[trio.SocketStream] = tcp
    if secure:
        context = ssl_context or ssl.create_default_context()
        stream = trio.SSLStream(tcp, context, server_hostname=url.hostname, https_compatible=True)
    with _closing(tcp):
        async with trio.open_nursery() as nursery:
            # The reader of trio-websocket runs inside this.
            resource = f"{path}?{url.query}&EIO=4&transport=websocket"
            websocket = await wrap_client_stream(
                nursery, stream, f"{url.hostname}:{port}", resource
            )
            yield Signaling(websocket, tcp)
            with trio.CancelScope(shield=True), trio.move_on_after(1):
                await websocket.aclose()
            nursery.cancel_scope.cancel()


@contextlib.contextmanager
def _closing(tcp: trio.SocketStream) -> Iterator[None]:
    try:
        yield
    finally:
        tcp.socket.close()


def _split_id(text: str) -> tuple[int | None, list[Any]]:
    start = len(text) - len(text.lstrip("0123456789"))
    return (int(text[:start]) if start else None), json.loads(text[start:])

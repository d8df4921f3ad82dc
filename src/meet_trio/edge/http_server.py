"""One HTTP/1.1 request on a byte stream, answered by an ASGI application.

The parsing and the framing are h11's, with a fresh h11 connection for each request, so that the
front door can decide anew who gets the next one. What is left in the buffer is put back into the
stream.

Nothing here is shielded: whoever is cancelled ends, also in the middle of a send. A request's body
has a deadline, a send has the stream's. The application hears of a client that has gone by
``http.disconnect``, and by an OSError when it sends, as ASGI wants it.
"""

import logging
import time
from collections.abc import Sequence
from email.utils import formatdate
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote, urlsplit

import attrs
import h11
import trio
from starlette.types import ASGIApp, Message, Scope

from .stream import PeekedStream

logger = logging.getLogger("meet_trio.edge.http_server")

_LINGER = 1.0  # seconds that a client has to read its answer while it is still sending
_AHEAD = 65536  # what is read beyond a request while it is being answered
_CLOSE = (b"connection", b"close")

Headers = Sequence[tuple[bytes, bytes]]


@attrs.frozen
class HttpSettings:
    """Bytes and seconds."""

    max_head_bytes: int = 16 * 1024
    body_timeout: float = 30.0


class ClientGone(OSError):
    """Raised to the application when it sends to somebody who is no longer there."""


@attrs.frozen
class Ends:
    """The two ends of a connection, as the application shall see them."""

    client: tuple[str, int]
    server: tuple[str, int]
    scheme: str


async def serve_request(
    app: ASGIApp, stream: PeekedStream, ends: Ends, settings: HttpSettings, *, keep: bool
) -> bool:
    """Serve the next request of the stream; whether another one may follow on it.

    ``keep`` False: the client is told that this was the last. Raises trio.BrokenResourceError when
    the client is gone.
    """
    exchange = Exchange(stream, settings, keep=keep)
    try:
        request = await exchange.read_head()
        if request is None:
            return False
        scope = _scope(request, ends)
    except (h11.RemoteProtocolError, ValueError) as error:
        status = getattr(error, "error_status_hint", 400)
        await answer(stream, status, str(error) or "malformed request")
        return False
    try:
        await app(scope, exchange.receive, exchange.send)
    except Exception:
        if not exchange.is_over:
            logger.exception("%s %s failed", scope["method"], scope["path"])
    return await exchange.finish()


async def answer(
    stream: PeekedStream, status: int, why: str, headers: Headers = (), *, last: bool = True
) -> None:
    """A whole response with a JSON body that says why; ``last``: then wait until the client has
    read it.
    """
    body = b'{"error":"%s"}' % why.replace("\\", "\\\\").replace('"', '\\"').encode()
    lines = [
        b"HTTP/1.1 %d %s" % (status, HTTPStatus(status).phrase.encode()),
        b"content-type: application/json",
        b"content-length: %d" % len(body),
        *(b"%s: %s" % field for field in (headers if not last else (*headers, _CLOSE))),
    ]
    await stream.send_all(b"\r\n".join(lines) + b"\r\n\r\n" + body)
    if last:
        await linger(stream)


async def linger(stream: PeekedStream) -> None:
    """Closing with unread bytes would reset the connection before the client has read the answer
    (RFC 9112 §9.6).
    """
    with trio.move_on_after(_LINGER):
        await stream.send_eof()
        while await stream.receive_some(65536):
            pass


class Exchange:
    """One request and its response."""

    def __init__(self, stream: PeekedStream, settings: HttpSettings, *, keep: bool) -> None:
        self._stream = stream
        self._settings = settings
        self._keep = keep
        # what the front door has read is within its limit already
        self._http = h11.Connection(
            h11.SERVER, max_incomplete_event_size=settings.max_head_bytes + 65536
        )
        self._deadline = trio.current_time() + settings.body_timeout
        self._method = b""
        self._body_over = False
        self._ahead = b""
        self._response: h11.Response | None = None
        self._started = False
        self._trouble: tuple[int, str] | None = None  # what to say if nothing has been said
        self._gone = False
        self._finished = trio.Event()

    @property
    def is_over(self) -> bool:
        """The client is gone, or there is nothing more to be said to it: what the application
        raises now is no news.
        """
        return self._gone or self._trouble is not None

    async def read_head(self) -> h11.Request | None:
        """None if the client has gone without one. Raises h11.RemoteProtocolError."""
        event = await self._next_event()
        if not isinstance(event, h11.Request):
            return None
        self._method = event.method
        return event

    async def receive(self) -> Message:
        """ASGI's ``receive``."""
        if self._body_over or self.is_over:
            await self._wait_until_over()
            return {"type": "http.disconnect"}
        try:
            with trio.move_on_at(self._deadline) as waiting:
                if self._http.they_are_waiting_for_100_continue:
                    go_on = h11.InformationalResponse(status_code=100, headers=[])
                    await self._stream.send_all(self._http.send(go_on) or b"")
                event = await self._next_event()
        except h11.RemoteProtocolError as error:
            self._trouble = (400, str(error))
            return {"type": "http.disconnect"}
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self._gone = True
            return {"type": "http.disconnect"}
        if waiting.cancelled_caught:
            self._trouble = (408, f"the body took longer than {self._settings.body_timeout:g} s")
            return {"type": "http.disconnect"}
        if isinstance(event, h11.Data):
            return {"type": "http.request", "body": bytes(event.data), "more_body": True}
        self._body_over = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(self, message: Message) -> None:
        """ASGI's ``send``. Raises ClientGone."""
        if self.is_over:
            raise ClientGone("the client has gone")
        if message["type"] == "http.response.start":
            self._response = h11.Response(
                status_code=message["status"], headers=self._headers(message.get("headers", ()))
            )
            return
        assert self._response is not None, "http.response.start comes first"
        data = b""
        if not self._started:
            self._started = True
            data += self._http.send(self._response) or b""
        body = message.get("body", b"")
        if body and self._method != b"HEAD":
            data += self._http.send(h11.Data(data=body)) or b""
        if not message.get("more_body", False):
            data += self._http.send(h11.EndOfMessage()) or b""
        try:
            await self._stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self._gone = True
            raise ClientGone("the client has gone") from None
        finally:
            if not message.get("more_body", False):
                self._finished.set()

    async def finish(self) -> bool:
        """After the application; whether the stream may carry another request."""
        if self._gone:
            return False
        if not self._started:
            await answer(self._stream, *(self._trouble or (500, "internal error")))
            return False
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._stream.put_back(self._http.trailing_data[0] + self._ahead)
            return True
        if self._http.our_state is h11.MUST_CLOSE:
            await linger(self._stream)
        return False  # a response that the application has not finished ends with the connection

    def _headers(self, headers: Headers) -> list[tuple[bytes, bytes]]:
        fields = [(b"date", formatdate(time.time(), usegmt=True).encode()), *headers]
        if not self._keep or not self._request_is_over():
            fields.append(_CLOSE)
        return fields

    def _request_is_over(self) -> bool:
        """Its body has been read, or the rest of it is here and can be dropped."""
        try:
            while not self._body_over:
                match self._http.next_event():
                    case h11.EndOfMessage():
                        self._body_over = True
                    case h11.Data():
                        pass
                    case _:
                        return False
        except h11.RemoteProtocolError:
            return False
        return True

    async def _next_event(self) -> Any:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            data = await self._stream.receive_some(65536)
            self._http.receive_data(data)
        return event

    async def _wait_until_over(self) -> None:
        """Until the client is gone or the response is complete."""
        if self.is_over:
            return
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch_client, nursery.cancel_scope)
            await self._finished.wait()
            nursery.cancel_scope.cancel()

    async def _watch_client(self, scope: trio.CancelScope) -> None:
        try:
            while len(self._ahead) < _AHEAD:
                data = await self._stream.receive_some(_AHEAD)
                if not data:
                    self._gone = True
                    break
                self._ahead += data
            else:
                return  # it has more to say than is listened to now
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self._gone = True
        scope.cancel()


def _scope(request: h11.Request, ends: Ends) -> Scope:
    """Raises ValueError."""
    target = request.target
    if not target.startswith(b"/") and target != b"*":
        # RFC 9112 §3.2.2: the absolute form must be taken
        parts = urlsplit(target.decode("ascii"))
        if not parts.scheme:
            raise ValueError("malformed request target")
        target = f"{parts.path or '/'}?{parts.query}".encode()
    raw_path, _, query = target.partition(b"?")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": request.http_version.decode(),
        "method": request.method.decode().upper(),
        "scheme": ends.scheme,
        "path": unquote(raw_path.decode("ascii")),
        "raw_path": raw_path,
        "query_string": query,
        "root_path": "",
        "headers": list(request.headers),
        "client": ends.client,
        "server": ends.server,
    }

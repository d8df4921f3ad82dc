"""The doorkeeper: checks each HTTP request before the application gets it.

- A request that is not HTTP/1.1, or whose end a proxy may see elsewhere, is refused.
- The front door judges each request (``Verdict``): which address it is from, whether that address
  exceeds its rate, and whether the ``Host`` is allowed.
- The body has a deadline. If the application does not read it, it is dropped.

Websockets do not pass here. The rules behind a verdict are the front door's.
"""

import logging
import math
from collections.abc import Awaitable, Callable

import attrs
import trio
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Scope, Send

from meet_trio.edge.head import RequestHead, head_of_scope
from meet_trio.edge.http_connection import Inbox

logger = logging.getLogger("meet_trio.edge.doorkeeper")

MISDIRECTED = (
    "Host: in demo mode this server answers as localhost and to addresses, and to other names only "
    "as http.public_domain says"
)
TOO_MANY = "too many requests of your address without a right token (http.requests_per_second)"
_DRAIN_TIME = 1.0  # seconds in which the rest of an unread body is dropped


@attrs.frozen
class Verdict:
    """The front door's decision on a request.

    ``client``: the client's address. ``wait``: 0 if the request is allowed, else the seconds until
    one is. ``keep``: the connection may serve another request. ``authenticated``: the request has
    valid credentials. ``misdirected``: the request names a host that is not allowed.
    """

    client: str
    wait: float = 0.0
    keep: bool = True
    authenticated: bool = False
    misdirected: bool = False


@attrs.frozen
class Doorkeeper:
    """The ASGI application in front of ``app``. ``judge`` gives the verdict on each request."""

    app: ASGIApp
    judge: Callable[[RequestHead], Awaitable[Verdict]]
    body_timeout: float

    async def __call__(self, scope: Scope, receive: Inbox, send: Send) -> None:
        if scope["type"] != "http":
            # The front door serves the websockets itself. This one asks for another path.
            await receive()
            await send({"type": "websocket.close"})
            return
        if (framing_refusal := _framing_refusal(scope)) is not None:
            exchange = _Exchange(receive, send, self.body_timeout, keep=False)
            await framing_refusal(scope, exchange.receive, exchange.send)
            return
        verdict = await self.judge(head_of_scope(scope))
        scope = {**scope, "client": (verdict.client, 0), **_origin_form(scope)}
        exchange = _Exchange(receive, send, self.body_timeout, keep=verdict.keep)
        if verdict.wait > 0:
            logger.info("too many requests from %s", verdict.client)
            refusal = refuse(429, TOO_MANY, {"retry-after": retry_after(verdict.wait)})
            await refusal(scope, exchange.receive, exchange.send)
            return
        if verdict.misdirected:
            await refuse(421, MISDIRECTED)(scope, exchange.receive, exchange.send)
            return
        try:
            await self.app(scope, exchange.receive, exchange.send)
        except Exception:
            if not exchange.is_over:
                logger.exception("%s %s failed", scope["method"], scope["path"])
        if exchange.late and not exchange.started:
            why = f"the body took longer than {self.body_timeout:g} s (http.body_timeout)"
            await refuse(408, why)(scope, receive, send)


def _framing_refusal(scope: Scope) -> JSONResponse | None:
    """The refusal of a request whose end a proxy may see elsewhere; None for any other request.

    The proxy would forward bytes as a part of the body, and this server would read them as the next
    request (RFC 9112 §2.3, §6.1).
    """
    if scope["http_version"] not in ("1.0", "1.1"):
        return refuse(505, "this is not HTTP/1.1")
    names = {name for name, _ in scope["headers"]}
    if {b"content-length", b"transfer-encoding"} <= names:
        return refuse(400, "both Content-Length and Transfer-Encoding")
    return None


def refuse(status: int, why: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """A refusal. It is the last response on its connection."""
    return JSONResponse({"error": why}, status, {"connection": "close", **(headers or {})})


def retry_after(wait: float) -> str:
    """The value of ``Retry-After`` (RFC 9110 §10.2.3)."""
    return str(math.ceil(wait))


def _origin_form(scope: Scope) -> Scope:
    """The path of a target that is a whole URL, which servers must accept (RFC 9112 §3.2.2)."""
    path = scope["path"]
    for scheme in ("http://", "https://"):
        if path.lower().startswith(scheme):
            return {"path": "/" + path[len(scheme) :].partition("/")[2]}
    return {}


class ClientGone(OSError):
    """Raised to the application when it sends to a client that has gone."""


class _Exchange:
    """One request, whose body has a deadline, and its response."""

    def __init__(self, receive: Inbox, send: Send, body_timeout: float, *, keep: bool) -> None:
        self._receive = receive
        self._send = send
        self._deadline = trio.current_time() + body_timeout
        self._keep = keep
        self._body_over = False
        self._client_gone = False
        self.late = False
        self.started = False

    @property
    def is_over(self) -> bool:
        """Whether the body was late or the client has gone. The application's errors are a
        consequence then, and not logged.
        """
        return self.late or self._client_gone

    async def receive(self) -> Message:
        if self.late:
            return {"type": "http.disconnect"}
        if self._receive.ready or self._body_over:
            message = await self._receive()
        else:
            with trio.move_on_at(self._deadline) as waiting:
                message = await self._receive()
            if waiting.cancelled_caught:
                self.late = True
                return {"type": "http.disconnect"}
        self._body_over = not message.get("more_body", False)
        self._client_gone = message["type"] == "http.disconnect"
        return message

    async def send(self, message: Message) -> None:
        if self.late and not self.started:
            return  # the doorkeeper will answer with 408
        if message["type"] == "http.response.start":
            self.started = True
            if not self._keep:
                headers = [*message.get("headers", ()), (b"connection", b"close")]
                message = {**message, "headers": headers}
        elif not message.get("more_body", False) and not self._body_over:
            await self._pass_on({**message, "more_body": True})
            await self._drain_body()
            message = {"type": "http.response.body"}
        await self._pass_on(message)

    async def _pass_on(self, message: Message) -> None:
        try:
            await self._send(message)
        except Exception as error:
            # Hypercorn and h11 raise various errors when the client goes during a response.
            self._client_gone = True
            raise ClientGone(str(error)) from error

    async def _drain_body(self) -> None:
        """Read and drop the rest of a body that the application did not read. Closing with unread
        bytes would reset the connection before the client has read the response (RFC 9112 §9.6).
        """
        with trio.move_on_after(_DRAIN_TIME):
            while not self._body_over:
                message = await self._receive()
                self._body_over = not message.get("more_body", False)

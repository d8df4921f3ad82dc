"""What the front door asks of each HTTP request before the application sees it: that it is HTTP/1.1
which nobody on its way can have read in another way, whom it is from, how many of those there have
been, and that its body comes in time.
"""

import logging
import math
from collections.abc import Awaitable, Callable

import attrs
import trio
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from meet_trio.edge.head import RequestHead, head_of_scope

logger = logging.getLogger("meet_trio.edge.doorkeeper")

MISDIRECTED = (
    "Host: in demo mode this server answers as localhost and to addresses, and to other names only "
    "as http.public_domain says"
)
_LINGER = 1.0  # seconds that a client has to stop sending what nobody wants


@attrs.frozen
class Verdict:
    """``client``: the address that a request is from. ``wait``: seconds until one may come again, 0
    if this one may. ``keep``: whether the connection may serve another. ``proven``: the request
    shows that somebody was let in who may. ``misdirected``: it is not meant for this server.
    """

    client: str
    wait: float = 0.0
    keep: bool = True
    proven: bool = False
    misdirected: bool = False


@attrs.frozen
class Doorkeeper:
    """An ASGI application in front of ``app``. ``judge`` is asked for each request."""

    app: ASGIApp
    judge: Callable[[RequestHead], Awaitable[Verdict]]
    body_timeout: float

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            # a websocket that the front door has not taken is for nobody
            await receive()
            await send({"type": "websocket.close"})
            return
        if (wrong := _ambiguous(scope)) is not None:
            exchange = _Exchange(receive, send, self.body_timeout, keep=False)
            await wrong(scope, exchange.receive, exchange.send)
            return
        verdict = await self.judge(head_of_scope(scope))
        scope = {**scope, "client": (verdict.client, 0), **_origin_form(scope)}
        exchange = _Exchange(receive, send, self.body_timeout, keep=verdict.keep)
        if verdict.wait > 0:
            logger.info("too many requests from %s", verdict.client)
            refusal = refuse(429, "too many requests", {"retry-after": retry_after(verdict.wait)})
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
            why = f"the body took longer than {self.body_timeout:g} s"
            await refuse(408, why)(scope, receive, send)


def _ambiguous(scope: Scope) -> JSONResponse | None:
    """The answer to a request whose end a proxy may see elsewhere: what it takes for a body would
    be read as the next request. RFC 9112 §2.3, §6.1.
    """
    if scope["http_version"] not in ("1.0", "1.1"):
        return refuse(505, "this is not HTTP/1.1")
    names = {name for name, _ in scope["headers"]}
    if {b"content-length", b"transfer-encoding"} <= names:
        return refuse(400, "both Content-Length and Transfer-Encoding")
    return None


def refuse(status: int, why: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """A refusal, the last answer on its connection."""
    return JSONResponse({"error": why}, status, {"connection": "close", **(headers or {})})


def retry_after(wait: float) -> str:
    """The value of ``Retry-After`` (RFC 9110 §10.2.3)."""
    return str(math.ceil(wait))


def _origin_form(scope: Scope) -> Scope:
    """RFC 9112 §3.2.2: a target that is a whole URL must be taken, too."""
    path = scope["path"]
    for scheme in ("http://", "https://"):
        if path.lower().startswith(scheme):
            return {"path": "/" + path[len(scheme) :].partition("/")[2]}
    return {}


class ClientGone(OSError):
    """Raised to the application when it sends to somebody who is no longer there."""


class _Exchange:
    """A request whose body has a deadline, and its response."""

    def __init__(self, receive: Receive, send: Send, body_timeout: float, *, keep: bool) -> None:
        self._receive = receive
        self._send = send
        self._deadline = trio.current_time() + body_timeout
        self._keep = keep
        self._body_over = False
        self._gone = False
        self.late = False
        self.started = False

    @property
    def is_over(self) -> bool:
        """There is nothing more to be said: what the application raises now is no news."""
        return self.late or self._gone

    async def receive(self) -> Message:
        if self.late:
            return {"type": "http.disconnect"}
        deadline = math.inf if self._body_over else self._deadline
        with trio.move_on_at(deadline) as waiting:
            message = await self._receive()
        if waiting.cancelled_caught:
            self.late = True
            return {"type": "http.disconnect"}
        self._body_over = not message.get("more_body", False)
        self._gone = message["type"] == "http.disconnect"
        return message

    async def send(self, message: Message) -> None:
        if self.late and not self.started:
            return  # another answer will be given
        if message["type"] == "http.response.start":
            self.started = True
            if not self._keep:
                headers = [*message.get("headers", ()), (b"connection", b"close")]
                message = {**message, "headers": headers}
        elif not message.get("more_body", False) and not self._body_over:
            await self._pass_on({**message, "more_body": True})
            await self._drop_body()
            message = {"type": "http.response.body"}
        await self._pass_on(message)

    async def _pass_on(self, message: Message) -> None:
        try:
            await self._send(message)
        except Exception as error:
            # whatever Hypercorn and h11 make of a client that has gone in the middle
            self._gone = True
            raise ClientGone(str(error)) from error

    async def _drop_body(self) -> None:
        """The rest of a body that the application has answered without: closing with unread bytes
        would reset the connection before the client has read the answer (RFC 9112 §9.6).
        """
        with trio.move_on_after(_LINGER):
            while not self._body_over:
                message = await self._receive()
                self._body_over = not message.get("more_body", False)

"""The one listener, TLS or not: reads each request's head and hands the connection, or the one
request, to who serves it.

    accepted ──TLS──▶ head read ──websocket on one of its paths──▶ its own handler, to the end
                        ▲  └───── everything else ──▶ Hypercorn ──▶ doorkeeper ──▶ ASGI application
                        └──────────────── a websocket follows ◀──┘

A proxy sends requests of many clients over one connection, a websocket's among them, so it is each
request that is looked at, not each connection. Websockets do not go through Hypercorn, whose own
cannot be cancelled while they send. HTTP/2 is not offered: websockets come as HTTP/1.1.

Who may have how much:

- A connection that has proven nothing is a stranger, from being accepted on. There may be only so
  many strangers, in all and of one address; in a crowd of them, they are not kept alive after their
  answer. A websocket is no stranger any more; who serves it counts in its own way.
- A request that ``proves`` nothing is taken from the rate of its address. Above the rate it is
  answered with 429.
- TLS handshake and first head have a deadline, so have the heads that follow, and idleness.

A connection is one task. Whatever it raises ends that connection alone.
"""

import logging
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence

import attrs
import trio
from starlette.types import ASGIApp

from meet_trio.rates import Rate

from .addresses import AddressCounts, AddressRates, Proxies, address_key
from .doorkeeper import Doorkeeper, Verdict, retry_after
from .head import RequestHead, parse_head_untrusted
from .http_connection import HttpSettings, serve_http
from .stream import HeadTooLong, PeekedStream, answer

logger = logging.getLogger("meet_trio.edge.front_door")

WebSocketHandler = Callable[[PeekedStream, str], Awaitable[None]]


@attrs.frozen
class FrontDoorSettings:
    """Bytes and seconds. ``head_timeout`` covers the TLS handshake and the first request's head."""

    max_head_bytes: int = 16 * 1024
    head_timeout: float = 10.0
    body_timeout: float = 30.0
    send_timeout: float = 10.0
    keep_alive_timeout: float = 30.0
    max_connections: int = 8192
    max_strangers: int = 4096
    max_strangers_per_address: int = 1024
    requests: Rate = attrs.field(default=Rate(per_second=100, burst=2000))
    max_addresses: int = 10_000
    proxies: Proxies = attrs.field(factory=Proxies)


def _nobody(head: RequestHead) -> bool:
    return False


@attrs.define(eq=False)
class FrontDoor:
    """``websockets``: by path, what serves one websocket, ``handler(stream, client)``, and bounds
    its sends; ``app``: the ASGI application for the rest. ``proves(head)``: whether a request shows
    that somebody was let in who may.
    """

    app: ASGIApp
    websockets: Mapping[str, WebSocketHandler]
    settings: FrontDoorSettings
    tls: ssl.SSLContext | None = None
    proves: Callable[[RequestHead], bool] = _nobody
    connections: int = 0
    strangers: AddressCounts = attrs.field(init=False)
    _rates: AddressRates = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        settings = self.settings
        self.strangers = AddressCounts(settings.max_strangers, settings.max_strangers_per_address)
        self._rates = AddressRates(settings.requests, settings.max_addresses)

    async def serve(
        self,
        listeners: Sequence[trio.SocketListener],
        *,
        task_status: trio.TaskStatus[list[trio.SocketListener]] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Accept and serve until cancelled; closes the listeners."""
        await trio.serve_listeners(self._accepted, list(listeners), task_status=task_status)

    async def _accepted(self, transport: trio.SocketStream) -> None:
        try:
            address = transport.socket.getpeername()[0]
        except OSError:
            address = ""  # gone already
        # whom a trusted proxy's connection is for is not known yet
        key = None if self.settings.proxies.trusted(address) else address_key(address)
        if self.connections >= self.settings.max_connections or self.strangers.full(key):
            logger.info("too many connections, one more from %s", address)
            await trio.aclose_forcefully(transport)
            return
        self.connections += 1
        try:
            await _Visit(self, transport, address, key).run()
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the client went away
        except Exception:
            logger.exception("a connection's task failed")
        finally:
            self.connections -= 1
            await trio.aclose_forcefully(transport)

    def rate(self, client: str) -> float:
        """Count a request that proves nothing; 0, or seconds after which one may come again."""
        return self._rates.take(address_key(client), trio.current_time())


class _Visit:
    """One connection."""

    def __init__(
        self, door: FrontDoor, transport: trio.SocketStream, address: str, key: str | None
    ) -> None:
        self._door = door
        self._settings = door.settings
        self._address = address
        self._key = key
        self._stranger = False
        self._transport = transport
        self._tls: trio.SSLStream[trio.SocketStream] | None = None
        stream: trio.abc.Stream = transport
        if door.tls is not None:
            stream = self._tls = trio.SSLStream(
                transport, door.tls, server_side=True, https_compatible=True
            )
        self._stream = PeekedStream(stream, send_deadline=self._settings.send_timeout)
        self._http = HttpSettings(self._settings.max_head_bytes, self._settings.keep_alive_timeout)

    async def run(self) -> None:
        self._door.strangers.add(self._key)
        self._stranger = True
        try:
            app = Doorkeeper(self._door.app, self._judge, self._settings.body_timeout)
            head = await self._next_head(self._tls)
            if head and not self._for_websocket(head):
                more = await serve_http(app, self._stream, self._http, self._for_websocket)
                head = await self._next_head() if more else None
            if head:
                await self._serve_websocket(head)
        finally:
            self._known()

    def _known(self) -> None:
        """No stranger any more."""
        if self._stranger:
            self._stranger = False
            self._door.strangers.remove(self._key)

    async def _next_head(
        self, handshake: trio.SSLStream[trio.SocketStream] | None = None
    ) -> bytes | None:
        """None when none has come in time, or was too long, or was none and there are too many."""
        with trio.move_on_after(self._settings.head_timeout):
            try:
                if handshake is not None:
                    await handshake.do_handshake()
                head = await self._stream.peek_head(self._settings.max_head_bytes)
            except HeadTooLong:
                await answer(self._stream, 431, "headers too long")
                return None
            # Hypercorn says what is wrong with one that cannot be read, but it counts
            unreadable = head and parse_head_untrusted(head) is None
            if unreadable and (wait := self._door.rate(self._address)) > 0:
                await self._refuse(wait)
                return None
            return head or None
        return None

    def _for_websocket(self, raw_head: bytes) -> bool:
        head = parse_head_untrusted(raw_head)
        return head is not None and head.asks_for_websocket and head.path in self._door.websockets

    async def _serve_websocket(self, raw_head: bytes) -> None:
        head = parse_head_untrusted(raw_head)
        assert head is not None  # _for_websocket looked
        verdict = self._judge(head)
        if verdict.wait > 0:
            logger.info("too many requests from %s", verdict.client)
            await self._refuse(verdict.wait)
            return
        self._known()
        self._stream.lift_deadline()
        await self._door.websockets[head.path](self._stream, verdict.client)

    async def _refuse(self, wait: float) -> None:
        await answer(self._stream, 429, "too many requests", {"retry-after": retry_after(wait)})

    def _judge(self, head: RequestHead) -> Verdict:
        """Count a request, and tell whether it is too much."""
        door = self._door
        client = self._settings.proxies.client(self._address, head)
        if door.proves(head):
            self._known()
            return Verdict(client)
        keep = not (self._stranger and door.strangers.crowded(self._key))
        return Verdict(client, door.rate(client), keep)

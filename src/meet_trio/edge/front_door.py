"""The front door: the one listener, with or without TLS.

It reads the head of each request and hands the connection, or this one request, to the code that
serves it.

    accepted ──TLS──▶ head read ──websocket on one of its paths──▶ its own handler, to the end
                        ▲  └───── everything else ──▶ Hypercorn ──▶ doorkeeper ──▶ ASGI application
                        └──────────────── a websocket follows ◀──┘

A proxy may send requests of many clients, websockets among them, over one connection. So the front
door looks at each request and not only at each connection. Websockets do not go through Hypercorn,
because its own websockets cannot be cancelled while they send. HTTP/2 is left out: websockets come
as HTTP/1.1.

The limits:

- A connection is a stranger from being accepted until a request on it has valid credentials
  (``authenticates``). The number of strangers is limited, in all and for each address. Above a
  limit the oldest stranger is closed. From half of a limit on, strangers are not kept alive after a
  response. A websocket that is not refused is no stranger any more: the code that serves it has its
  own limits.
- The work for strangers is limited in each turn of the loop, see ``fair_limiter``. One turn reads
  several heads and does one larger step: a TLS handshake, the response to a request, or a message
  of a websocket that will be refused. Connections with valid credentials do not wait.
- A request without valid credentials is counted in the rate of its address. So is a TLS handshake,
  since no credentials can come before its end. Above the rate the answer to a request is 429, and a
  connection that begins a handshake is closed without an answer.
- The TLS handshake and the first head share a deadline. Each later head and idleness have one too.

A connection is one task. An exception ends only its own connection.
"""

import contextlib
import errno
import ipaddress
import logging
import math
import os
import socket
import ssl
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import attrs
import trio
from starlette.types import ASGIApp

from meet_trio.edge.addresses import AddressRates, Proxies, address_key
from meet_trio.edge.allowed_hosts import AllowedHosts
from meet_trio.edge.doorkeeper import MISDIRECTED, TOO_MANY, Doorkeeper, Verdict, retry_after
from meet_trio.edge.fair_limiter import FairLimiter, PacedStream
from meet_trio.edge.gate import Gate
from meet_trio.edge.head import RequestHead, parse_head_untrusted
from meet_trio.edge.http_connection import HttpServer
from meet_trio.edge.moving import MovedConnection
from meet_trio.edge.settings import FrontDoorSettings
from meet_trio.edge.stream import HeadOfTls, HeadTooLong, PeekedStream, answer
from meet_trio.socketio import Strangers

logger = logging.getLogger("meet_trio.edge.front_door")

_ACCEPTS_PER_TURN = 4  # connections in a turn of the loop
# The work for strangers: how much in a turn of the loop, and how much more for each second that the
# turn before took. Together this is about a third of the loop's time.
_HEADS_PER_TURN = (8, 2000.0)  # heads that are read
_STEPS_PER_TURN = (1, 300.0)  # larger steps: handshakes, responses, refusals
_OUT_OF_RESOURCES = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS}
_ACCEPT_PAUSE = 0.1  # seconds without accepting, if there is no room and no stranger to close

WebSocketMover = Callable[[trio.abc.Stream], Mapping[str, Any] | None]
MovedHandler = Callable[[trio.abc.Stream, Mapping[str, Any]], Awaitable[None]]
WebSocketHandler = Callable[[PeekedStream, RequestHead, str], Awaitable[None]]
Refusal = Callable[[PeekedStream], Awaitable[None]]


def _authenticates_nothing(head: RequestHead) -> bool:
    return False


def _refuses_nothing(head: RequestHead) -> Refusal | None:
    return None


def _moves_nothing(stream: trio.abc.Stream) -> None:
    return None


async def _serves_nothing(stream: trio.abc.Stream, moved: Mapping[str, Any]) -> None:
    raise RuntimeError("no websocket was moved")


def _proxies(settings: FrontDoorSettings) -> Proxies:
    networks = tuple(map(ipaddress.ip_network, settings.trusted_proxies))
    return Proxies(networks, settings.forwarded_header)


@attrs.define(eq=False)
class FrontDoor:
    """Serves the connections of all clients.

    ``app`` is the ASGI application for all requests but websockets. ``websockets`` has the handler
    of each path: ``handler(stream, head, client)`` serves one websocket, on the stream behind the
    head of its request, and bounds its sends.
    ``authenticates(head)`` tells whether a request has valid credentials. ``refusal(head)`` returns
    None, or, if the head shows that a websocket cannot be admitted, a function that refuses it on
    the stream behind its head. A websocket that is being refused is still a stranger.
    ``move(stream)`` returns what another process needs to go on with the websocket on this stream,
    None while it cannot. ``serve_moved(stream, moved)`` goes on with it.
    ``allowed_hosts`` None: every ``Host`` is accepted.
    """

    app: ASGIApp
    websockets: Mapping[str, WebSocketHandler]
    settings: FrontDoorSettings
    tls: ssl.SSLContext | None = None
    authenticates: Callable[[RequestHead], bool] = _authenticates_nothing
    refusal: Callable[[RequestHead], Refusal | None] = _refuses_nothing
    allowed_hosts: AllowedHosts | None = None
    move: WebSocketMover = _moves_nothing
    serve_moved: MovedHandler = _serves_nothing
    gate: Gate = attrs.field(factory=Gate)
    proxies: Proxies = attrs.field(init=False)
    strangers: Strangers["_Connection"] = attrs.field(init=False)
    head_limiter: FairLimiter = attrs.field(factory=lambda: FairLimiter(*_HEADS_PER_TURN))
    work_limiter: FairLimiter = attrs.field(factory=lambda: FairLimiter(*_STEPS_PER_TURN))
    http: HttpServer = attrs.field(init=False)
    _rates: AddressRates = attrs.field(init=False)
    _open: set["_Connection"] = attrs.field(factory=set)
    _nursery: trio.Nursery | None = None

    def __attrs_post_init__(self) -> None:
        settings = self.settings
        self.proxies = _proxies(settings)
        self.http = HttpServer.of(settings)
        self.strangers = Strangers(settings.max_strangers, settings.max_strangers_per_address)
        self._rates = AddressRates(settings.requests, settings.max_addresses)

    @property
    def connections(self) -> int:
        """The number of open connections."""
        return len(self._open)

    def replace(self, settings: FrontDoorSettings, tls: ssl.SSLContext | None) -> None:
        """Use other settings and another certificate for connections from now on. The limits of
        strangers and of requests stay.
        """
        self.proxies = _proxies(settings)
        self.http = HttpServer.of(settings)
        self.settings = settings
        self.tls = tls

    async def serve(
        self,
        listeners: Sequence[trio.SocketListener],
        *,
        task_status: trio.TaskStatus[list[trio.SocketListener]] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Accept and serve until cancelled; closes the listeners."""
        async with contextlib.AsyncExitStack() as stack:
            for listener in listeners:
                stack.push_async_callback(listener.aclose)
            stack.callback(setattr, self, "_nursery", None)
            nursery = await stack.enter_async_context(trio.open_nursery())
            self._nursery = nursery
            await nursery.start(self.head_limiter.run)
            await nursery.start(self.work_limiter.run)
            for listener in listeners:
                nursery.start_soon(self._listen, listener, nursery)
            task_status.started(list(listeners))

    async def _listen(self, listener: trio.SocketListener, nursery: trio.Nursery) -> None:
        """Accept several connections in a turn of the loop. Trio's own listener accepts one. Then
        the last of many waiting connections would wait for as many turns.
        """
        with socket.socket(fileno=os.dup(listener.socket.fileno())) as door:
            while True:
                await trio.lowlevel.wait_readable(door)
                try:
                    for _ in range(_ACCEPTS_PER_TURN):
                        self._accepted(*door.accept(), nursery)
                except BlockingIOError:
                    pass  # no more connections wait
                except OSError as error:
                    if error.errno in _OUT_OF_RESOURCES and not self._evict(
                        self.strangers.oldest_of_largest_key()
                    ):
                        logger.warning("no connection can be accepted: %s", error)
                        await trio.sleep(_ACCEPT_PAUSE)

    def _accepted(
        self, accepted: socket.socket, peer: tuple[str, int], nursery: trio.Nursery
    ) -> None:
        address = peer[0]
        try:
            transport = trio.SocketStream(trio.socket.from_stdlib_socket(accepted))
        except OSError:
            accepted.close()  # the client is gone already
            return
        # The connection of a trusted proxy does not tell the client's address.
        key = None if self.proxies.trusted(address) else address_key(address)
        if self.connections >= self.settings.max_connections:
            if not self._evict(self.strangers.oldest_of_largest_key()):
                logger.info("too many connections, refused one from %s", address)
                transport.socket.close()
                return
        else:
            self._evict(self.strangers.to_evict(key))
        connection = _Connection(self, transport, address, key)
        self._open.add(connection)
        self.strangers.add(key, connection)
        nursery.start_soon(self._serve, connection)

    def moving(self) -> Iterator[MovedConnection | None]:
        """What another process needs to go on with each connection. None: it cannot be moved now,
        because a request is being answered or something waits to be sent; one with TLS never can.
        """
        for connection in self._open:
            yield connection.move()

    def restless(self, among: "Collection[_Connection] | None" = None) -> "list[_Connection]":
        """The connections that are not at rest: a request is being answered, or something waits to
        be sent. While the gate is closed, no other gets so but by what is sent to it.
        """
        return [one for one in (self._open if among is None else among) if not one.at_rest]

    def adopt(self, moved: MovedConnection) -> None:
        """Go on with a connection that another process has accepted. Its descriptor is this
        process's from now on.
        """
        assert self._nursery is not None, "not running"
        accepted = socket.socket(fileno=moved.descriptor)
        try:
            address = accepted.getpeername()[0]
            transport = trio.SocketStream(trio.socket.from_stdlib_socket(accepted))
        except OSError:
            accepted.close()  # the client is gone already
            return
        key = None if self.proxies.trusted(address) else address_key(address)
        connection = _Connection(self, transport, address, key)
        self._open.add(connection)
        self.strangers.add(key, connection)
        connection.go_on(moved)
        self._nursery.start_soon(self._serve, connection)

    def _evict(self, connection: "_Connection | None") -> bool:
        """Close a stranger. Returns whether there was one."""
        if connection is None:
            return False
        logger.info("too many strangers, closed one from %s", connection.address)
        connection.evict()
        return True

    async def _serve(self, connection: "_Connection") -> None:
        try:
            await connection.run()
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the client went away
        except Exception:
            logger.exception("a connection's task failed")
        finally:
            self._open.discard(connection)
            connection.tcp.socket.close()

    def count_request(self, client: str) -> float:
        """Count a request without valid credentials. Returns 0 if it is allowed, else the seconds
        until one is.
        """
        return self._rates.take(address_key(client), trio.current_time())

    def uncount_request(self, client: str) -> None:
        """Take back the count of a TLS handshake: the request has valid credentials."""
        self._rates.give_back(address_key(client))


class _Connection:
    """One accepted connection, until it ends."""

    def __init__(
        self, door: FrontDoor, tcp: trio.SocketStream, address: str, key: str | None
    ) -> None:
        self.tcp = tcp
        self.address = address
        self._door = door
        self._settings = door.settings
        self._key = key
        self._stranger = True
        self._parsed: tuple[bytes, RequestHead | None] = b"", None
        # The TLS handshake was counted. It counts in place of the first request.
        self._handshake_counted = False
        # Its deadline is that of a head, or of idleness.
        deadline = trio.current_time() + self._settings.head_timeout
        self._scope = trio.CancelScope(deadline=deadline)
        self._paced = PacedStream(tcp, key, door.gate)
        self._is_websocket = False
        self._websocket: Mapping[str, Any] | None = None  # that another process had
        self._tls: trio.SSLStream[PacedStream] | None = None
        stream: trio.abc.Stream = self._paced
        if door.tls is not None:
            stream = self._tls = trio.SSLStream(
                self._paced, door.tls, server_side=True, https_compatible=True
            )
        self._stream = PeekedStream(stream, send_deadline=self._settings.send_timeout)

    async def run(self) -> None:
        try:
            with self._scope:
                await self._run()
        finally:
            self._leave_strangers()

    @property
    def at_rest(self) -> bool:
        """Whether no request that was read waits for its answer."""
        if self._is_websocket:
            return self._door.move(self._stream) is not None
        return self._paced.at_boundary or self.tcp.socket.fileno() < 0

    def move(self) -> MovedConnection | None:
        """See ``FrontDoor.moving``."""
        stream = self._stream
        if stream.is_tls or self.tcp.socket.fileno() < 0:
            return None
        if not self._is_websocket:
            if not stream.peeks_head:
                return None
            return MovedConnection(self.tcp.socket.fileno(), stream.unread)
        websocket = self._door.move(stream)
        if websocket is None:
            return None
        return MovedConnection(self.tcp.socket.fileno(), stream.unread, websocket)

    def go_on(self, moved: MovedConnection) -> None:
        """Another process has had the connection. Comes before ``run``."""
        self._stream.go_on_with(moved.unread)
        self._websocket = moved.websocket

    def evict(self) -> None:
        """End at once, to make room for another connection."""
        self._leave_strangers()
        self._scope.cancel()
        self.tcp.socket.close()

    async def _run(self) -> None:
        if self._websocket is not None:
            await self._serve_moved(self._websocket)
            return
        serve = await self._find_handler()
        if serve is not None:
            await serve()

    async def _serve_moved(self, websocket: Mapping[str, Any]) -> None:
        self._websocket, self._is_websocket = None, True
        self._scope.deadline = math.inf
        self._leave_strangers()
        self._stream.lift_deadline()
        self._stream.begin_messages()
        await self._door.serve_moved(self._stream, websocket)

    async def _find_handler(self) -> Callable[[], Awaitable[None]] | None:
        """Serve requests until one asks for a websocket. Returns what serves that one."""
        app = Doorkeeper(self._door.app, self._judge, self._settings.body_timeout)
        head = await self._first_head()
        if head and not self._for_websocket(head):
            head_follows = await self._door.http.serve(
                app, self._stream, self._scope, self._for_websocket
            )
            head = await self._next_head() if head_follows else None
        return await self._admit_websocket(head) if head else None

    def _leave_strangers(self) -> None:
        """The connection is no stranger any more. Idempotent."""
        if self._stranger:
            self._stranger = False
            self._door.strangers.remove(self._key, self)

    async def _first_head(self) -> bytes | None:
        if self._tls is not None:
            if self._key is not None:
                if self._door.count_request(self.address) > 0:
                    logger.info("too many handshakes from %s", self.address)
                    return None
                self._handshake_counted = True
            self._paced.limiter = self._door.work_limiter
            await self._tls.do_handshake()
        self._paced.limiter = self._door.head_limiter
        return await self._head()

    async def _next_head(self) -> bytes | None:
        self._scope.deadline = trio.current_time() + self._settings.head_timeout
        return await self._head()

    async def _head(self) -> bytes | None:
        """The next request's head, within the deadline of the connection. None if it was refused
        here because it is too long, or malformed and above the rate of its address.
        """
        try:
            head = await self._stream.peek_head(self._settings.max_head_bytes)
        except HeadTooLong:
            await answer(self._stream, 431, "the head is too long (http.max_head_bytes)")
            return None
        except HeadOfTls:
            if self._door.count_request(self.address) == 0:
                await answer(self._stream, 400, "this port does not speak TLS (http.tls_cert)")
            return None
        # Hypercorn answers a malformed head, but the rate counts it here.
        malformed = head and self._parse(head) is None
        if malformed and (wait := self._door.count_request(self.address)) > 0:
            await self._refuse(wait)
            return None
        self._scope.deadline = math.inf
        return head or None

    def _parse(self, raw_head: bytes) -> RequestHead | None:
        """The parsed head. Each is asked for several times in a row."""
        if raw_head != self._parsed[0]:
            self._parsed = raw_head, parse_head_untrusted(raw_head)
        return self._parsed[1]

    def _for_websocket(self, raw_head: bytes) -> bool:
        head = self._parse(raw_head)
        return head is not None and head.asks_for_websocket and head.path in self._door.websockets

    async def _admit_websocket(self, raw_head: bytes) -> Callable[[], Awaitable[None]] | None:
        """What serves the websocket; None: it was refused."""
        head = self._parse(raw_head)
        assert head is not None  # _for_websocket has parsed it
        self._parsed = b"", None  # the websocket may last for hours
        verdict = await self._judge(head)
        if verdict.wait > 0:
            logger.info("too many requests from %s", verdict.client)
            await self._refuse(verdict.wait)
            return None
        if verdict.misdirected:
            await answer(self._stream, 421, MISDIRECTED)
            return None
        if not verdict.authenticated:
            self._paced.limiter = self._door.work_limiter
            self._paced.key = address_key(verdict.client)
            refusal = self._door.refusal(head)
            if refusal is not None:
                self._stream.skip_head(raw_head)
                await refusal(self._stream)
                return None
        self._leave_strangers()
        self._stream.lift_deadline()
        self._stream.skip_head(raw_head)
        self._stream.begin_messages()
        self._is_websocket = True
        return partial(self._door.websockets[head.path], self._stream, head, verdict.client)

    async def _refuse(self, wait: float) -> None:
        await answer(self._stream, 429, TOO_MANY, {"retry-after": retry_after(wait)})

    async def _judge(self, head: RequestHead) -> Verdict:
        """Count a request and decide on it. One without valid credentials waits for the limiter."""
        door = self._door
        client = door.proxies.client(self.address, head)
        hosts = door.allowed_hosts
        misdirected = hosts is not None and not hosts.allows(head.headers.get("host"))
        counted, self._handshake_counted = self._handshake_counted, False
        if door.authenticates(head):
            if counted:
                door.uncount_request(client)
            self._leave_strangers()
            self._paced.lift_limit()
            return Verdict(client, authenticated=True, misdirected=misdirected)
        if self._stranger:
            # It has sent a whole request, so strangers that have not are closed before it.
            door.strangers.add(self._key, self)
        await door.work_limiter.acquire(address_key(client))
        keep = not (self._stranger and door.strangers.is_half_full(self._key))
        wait = 0.0 if counted else door.count_request(client)
        return Verdict(client, wait, keep=keep, misdirected=misdirected)

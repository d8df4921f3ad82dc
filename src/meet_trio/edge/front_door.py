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
  many strangers, in all and of one address: for one more the oldest goes. In a crowd of them, they
  are not kept alive after their answer. A websocket that is not refused is no stranger any more;
  who serves it counts in its own way.
- What strangers make the server do is done in turns, see ``turns``: their heads are looked at some
  at a time, and one step of what is more than that is made in each turn of the loop: a handshake of
  TLS, the answer to a request, a message of a websocket that will be refused. Who has proven
  something does not wait for them.
- A request that ``proves`` nothing is taken from the rate of its address, and so is a handshake of
  TLS before whose end nothing can be proven. Above the rate a request is answered with 429, and a
  handshake not at all.
- TLS handshake and first head have a deadline, so have the heads that follow, and idleness.

A connection is one task. Whatever it raises ends that connection alone.
"""

import contextlib
import errno
import logging
import os
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence

import attrs
import trio
from starlette.types import ASGIApp

from meet_trio.edge.addresses import AddressRates, Proxies, address_key
from meet_trio.edge.doorkeeper import MISDIRECTED, Doorkeeper, Verdict, retry_after
from meet_trio.edge.head import RequestHead, parse_head_untrusted
from meet_trio.edge.hosts import Hosts
from meet_trio.edge.http_connection import HttpSettings, serve_http
from meet_trio.edge.stream import HeadTooLong, PeekedStream, answer
from meet_trio.edge.turns import PacedTransport, Turns
from meet_trio.rates import Rate
from meet_trio.socketio import Crowd

logger = logging.getLogger("meet_trio.edge.front_door")

_ACCEPTS = 4  # in a turn of the loop
# in a turn of the loop, and for each second that it takes: a third of its time, about
_LOOKS = (8, 2000.0)  # at strangers' heads
_STEPS = (1, 300.0)  # of what else strangers ask for
_NO_ROOM = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS}
_PAUSE = 0.1  # seconds without accepting, when there is no room and nobody who could go

WebSocketHandler = Callable[[PeekedStream, str], Awaitable[None]]
Refusal = Callable[[PeekedStream], Awaitable[None]]


@attrs.frozen
class FrontDoorSettings:
    """Bytes and seconds. ``head_timeout`` covers the TLS handshake and the first request's head.
    ``hosts``: what requests must be meant for, if that matters.
    """

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
    hosts: Hosts | None = None


def _nobody(head: RequestHead) -> bool:
    return False


def _none(head: RequestHead) -> Refusal | None:
    return None


@attrs.define(eq=False)
class FrontDoor:
    """``websockets``: by path, what serves one websocket, ``handler(stream, client)``, and bounds
    its sends; ``app``: the ASGI application for the rest. ``proves(head)``: whether a request shows
    that somebody was let in who may. ``refusal(head)``: what tells a websocket no, on the stream
    behind its head, if it is known already that there is nothing else to say; meanwhile it is a
    stranger.
    """

    app: ASGIApp
    websockets: Mapping[str, WebSocketHandler]
    settings: FrontDoorSettings
    tls: ssl.SSLContext | None = None
    proves: Callable[[RequestHead], bool] = _nobody
    refusal: Callable[[RequestHead], Refusal | None] = _none
    connections: int = 0
    strangers: Crowd["_Visit"] = attrs.field(init=False)
    looks: Turns = attrs.field(factory=lambda: Turns(*_LOOKS))
    steps: Turns = attrs.field(factory=lambda: Turns(*_STEPS))
    _rates: AddressRates = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        settings = self.settings
        self.strangers = Crowd(settings.max_strangers, settings.max_strangers_per_address)
        self._rates = AddressRates(settings.requests, settings.max_addresses)

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
            nursery = await stack.enter_async_context(trio.open_nursery())
            await nursery.start(self.looks.run)
            await nursery.start(self.steps.run)
            for listener in listeners:
                nursery.start_soon(self._listen, listener, nursery)
            task_status.started(list(listeners))

    async def _listen(self, listener: trio.SocketListener, nursery: trio.Nursery) -> None:
        """Trio's own accepts one in a turn of the loop, and who comes last waits for all."""
        with socket.socket(fileno=os.dup(listener.socket.fileno())) as door:
            while True:
                await trio.lowlevel.wait_readable(door)
                try:
                    for _ in range(_ACCEPTS):
                        self._accepted(door.accept()[0], nursery)
                except BlockingIOError:
                    pass  # that was all
                except OSError as error:
                    if error.errno in _NO_ROOM and not self._displace(self.strangers.oldest()):
                        logger.warning("no connection can be accepted: %s", error)
                        await trio.sleep(_PAUSE)
                await trio.lowlevel.checkpoint()

    def _accepted(self, accepted: socket.socket, nursery: trio.Nursery) -> None:
        try:
            transport = trio.SocketStream(trio.socket.from_stdlib_socket(accepted))
            address = accepted.getpeername()[0]
        except OSError:
            accepted.close()  # gone already
            return
        # whom a trusted proxy's connection is for is not known yet
        key = None if self.settings.proxies.trusted(address) else address_key(address)
        if self.connections >= self.settings.max_connections:
            if not self._displace(self.strangers.oldest()):
                logger.info("too many connections, one more from %s", address)
                transport.socket.close()
                return
        else:
            self._displace(self.strangers.too_many(key))
        self.connections += 1
        visit = _Visit(self, transport, address, key)
        self.strangers.add(key, visit)
        nursery.start_soon(self._serve, visit)

    def _displace(self, visit: "_Visit | None") -> bool:
        """Whether there is one more place now."""
        if visit is None:
            return False
        logger.info("too many strangers, no time for one from %s any more", visit.address)
        visit.displace()
        return True

    async def _serve(self, visit: "_Visit") -> None:
        try:
            await visit.run()
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the client went away
        except Exception:
            logger.exception("a connection's task failed")
        finally:
            self.connections -= 1
            await trio.aclose_forcefully(visit.tcp)

    def rate(self, client: str) -> float:
        """Count a request that proves nothing; 0, or seconds after which one may come again."""
        return self._rates.take(address_key(client), trio.current_time())

    def give_back(self, client: str) -> None:
        """What was counted has proven something."""
        self._rates.give_back(address_key(client))


class _Visit:
    """One connection."""

    def __init__(
        self, door: FrontDoor, tcp: trio.SocketStream, address: str, key: str | None
    ) -> None:
        self.tcp = tcp
        self.address = address
        self._door = door
        self._settings = door.settings
        self._key = key
        self._stranger = True
        self._counted = False  # for the handshake of TLS, which stands for the first request
        self._scope = trio.CancelScope()
        self._paced = PacedTransport(tcp, key)
        self._tls: trio.SSLStream[PacedTransport] | None = None
        stream: trio.abc.Stream = self._paced
        if door.tls is not None:
            stream = self._tls = trio.SSLStream(
                self._paced, door.tls, server_side=True, https_compatible=True
            )
        self._stream = PeekedStream(stream, send_deadline=self._settings.send_timeout)
        self._http = HttpSettings(self._settings.max_head_bytes, self._settings.keep_alive_timeout)

    async def run(self) -> None:
        try:
            with self._scope:
                await self._run()
        finally:
            self._known()

    def displace(self) -> None:
        """Somebody else needs the place, and at once."""
        self._known()
        self._scope.cancel()
        self.tcp.socket.close()

    async def _run(self) -> None:
        app = Doorkeeper(self._door.app, self._judge, self._settings.body_timeout)
        head = await self._first_head()
        if head and not self._for_websocket(head):
            more = await serve_http(app, self._stream, self._http, self._for_websocket)
            head = await self._next_head() if more else None
        if head:
            await self._serve_websocket(head)

    def _known(self) -> None:
        """No stranger any more."""
        if self._stranger:
            self._stranger = False
            self._door.strangers.remove(self._key, self)

    async def _first_head(self) -> bytes | None:
        with trio.move_on_after(self._settings.head_timeout):
            if self._tls is not None:
                if self._key is not None:
                    if self._door.rate(self.address) > 0:
                        logger.info("too many handshakes from %s", self.address)
                        return None
                    self._counted = True
                self._paced.turns = self._door.steps
                await self._tls.do_handshake()
            self._paced.turns = self._door.looks
            return await self._next_head()
        return None

    async def _next_head(self) -> bytes | None:
        """None when none has come in time, or was too long, or was none and there are too many."""
        with trio.move_on_after(self._settings.head_timeout):
            try:
                head = await self._stream.peek_head(self._settings.max_head_bytes)
            except HeadTooLong:
                await answer(self._stream, 431, "headers too long")
                return None
            # Hypercorn says what is wrong with one that cannot be read, but it counts
            unreadable = head and parse_head_untrusted(head) is None
            if unreadable and (wait := self._door.rate(self.address)) > 0:
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
        verdict = await self._judge(head)
        if verdict.wait > 0:
            logger.info("too many requests from %s", verdict.client)
            await self._refuse(verdict.wait)
            return
        if verdict.misdirected:
            await answer(self._stream, 421, MISDIRECTED)
            return
        if not verdict.proven:
            self._paced.turns, self._paced.key = self._door.steps, address_key(verdict.client)
            refusal = self._door.refusal(head)
            if refusal is not None:
                await self._stream.receive_some(len(raw_head))
                await refusal(self._stream)
                return
        self._known()
        self._stream.lift_deadline()
        await self._door.websockets[head.path](self._stream, verdict.client)

    async def _refuse(self, wait: float) -> None:
        await answer(self._stream, 429, "too many requests", {"retry-after": retry_after(wait)})

    async def _judge(self, head: RequestHead) -> Verdict:
        """Count a request, and tell whether it is too much; one that proves nothing waits for its
        turn.
        """
        door = self._door
        client = self._settings.proxies.client(self.address, head)
        hosts = self._settings.hosts
        misdirected = hosts is not None and not hosts.known(head.headers.get("host"))
        counted, self._counted = self._counted, False
        if door.proves(head):
            if counted:
                door.give_back(client)
            self._known()
            self._paced.free()
            return Verdict(client, proven=True, misdirected=misdirected)
        if self._stranger:
            # it has said something whole: those who have not go before it
            door.strangers.add(self._key, self)
        await door.steps.take(address_key(client))
        keep = not (self._stranger and door.strangers.crowded(self._key))
        wait = 0.0 if counted else door.rate(client)
        return Verdict(client, wait, keep=keep, misdirected=misdirected)

"""A peer's task: its connection comes and goes, its transports live in its nursery, its end is the
end of all of that.

                 first socket                     socket lost
    invited ───────────────────▶ connected ─────────────────────▶ missed ── grace over ──▶ gone
       └─ nobody came in time ─▶ gone  ▲ └── left, kicked ─▶ gone   │
                                       └──────── new socket ────────┘

``run`` waits for one thing at a time: a socket that arrives, a socket that ends, or the deadline of
the state it is in. A second socket of the same peer takes the place of the first, which is let go
without a word to the others.

What the server says to a peer goes into its socket's bounded outbox and never waits. While no
socket is there, notices are kept (up to ``max_backlog``) and handed over when it is back; so are
those that a lost socket did not get through. Requests to a client are repeated until answered.

The room's pure state decides what is allowed and who is told; this file and ``handlers`` make it
happen.
"""

import logging
import math
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Literal, Protocol

import attrs
import trio

from meet_trio.errors import RequestError
from meet_trio.media.plain import Transport
from meet_trio.media.transport import TransportFailed, TransportState
from meet_trio.rates import Bucket, Rate
from meet_trio.socketio import CallTimeout, Disconnected, EncodedEvent, Event, Json, Socket

logger = logging.getLogger("meet_trio.live.peer")

_SOCKET_COST = 10  # a new socket counts as so many requests
_SLACK = 0.2  # seconds' worth of work that may be done at once, whatever the pace


@attrs.frozen
class PeerSettings:
    """Seconds, and counts per peer."""

    first_connection_timeout: float = 60.0
    reconnect_grace: float = 10.0
    goodbye_timeout: float = 1.0
    request_timeout: float = 20.0
    request_tries: int = 3
    # notices kept for one that is missing, and their bytes: what its next socket could take at once
    max_backlog: int = 1000
    max_backlog_bytes: int = 8_000_000
    max_transports: int = 8
    # all events of its sockets; acknowledgements are none
    requests: Rate = attrs.field(default=Rate(per_second=200, burst=1000))
    # of these, what everybody in the room is told at once
    announcements: Rate = attrs.field(default=Rate(per_second=20, burst=200))
    # what the others' share of the server's time is kept by, see ``LiveRoom.perform``
    work: Rate = attrs.field(default=Rate(per_second=1000, burst=30_000))
    # messages a second: within its burst, too, one peer's work leaves time for the others'
    work_pace: float = 3000.0


class RequestUnanswered(RequestError):
    """The client did not answer, refused, or is gone."""


class Notification(EncodedEvent):
    """Encoded once, however many peers it is for, and whatever becomes of their sockets: in a large
    meeting that is most of the work.
    """

    def __init__(self, method: str, data: Json) -> None:
        super().__init__("notification", ({"method": method, "data": data},))


@attrs.define(eq=False)
class Connection:
    """A socket in the time that it is this peer's."""

    socket: Socket
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    over: trio.Event = attrs.field(factory=trio.Event)


@attrs.frozen
class _Arrived:
    connection: Connection


@attrs.frozen
class _Ended:
    connection: Connection
    on_purpose: bool


EventHandler = Callable[["LivePeer", Connection, Event], Awaitable[None]]


class PeerRoom(Protocol):
    """What a peer needs of its room. ``LiveRoom`` is one; this keeps ``peer`` from importing it."""

    def peer_connected(self, peer: "LivePeer") -> None:
        """The peer's first socket is there."""

    def greeting(self, peer: "LivePeer") -> dict[str, object]:
        """The data of ``roomReady``."""

    def transports_changed(self, peer: "LivePeer") -> None:
        """A transport of the peer has come or gone."""

    def transport_closed(self, peer: "LivePeer", transport: Transport) -> None:
        """The peer's transport is gone, and with it its producers and consumers."""


@attrs.define(eq=False)
class LivePeer:
    """One participant. ``handle`` answers one event of its socket and raises nothing but
    cancellation.
    """

    room: PeerRoom
    id: str
    settings: PeerSettings
    handle: EventHandler
    nursery: trio.Nursery = attrs.field(init=False)
    connection: Connection | None = None
    address: str = ""
    """Where its signaling comes from."""
    transports: dict[str, Transport] = attrs.field(factory=dict)
    # they outlive sockets: to come back is no way to start anew
    requests: Bucket = attrs.field(init=False)
    announcements: Bucket = attrs.field(init=False)
    work: Bucket = attrs.field(init=False)
    _free_at: float = -math.inf
    _life: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    _next_mid: int = 0
    _backlog: deque[EncodedEvent] = attrs.field(factory=deque)
    _backlog_bytes: int = 0
    _changed: trio.Event = attrs.field(factory=trio.Event)
    _mail: tuple[
        trio.MemorySendChannel[_Arrived | _Ended], trio.MemoryReceiveChannel[_Arrived | _Ended]
    ] = attrs.field(factory=lambda: trio.open_memory_channel[_Arrived | _Ended](0))

    def __attrs_post_init__(self) -> None:
        self.requests = Bucket(self.settings.requests)
        self.announcements = Bucket(self.settings.announcements)
        self.work = Bucket(self.settings.work)

    def worked(self, work: int, now: float) -> None:
        """So much was done for a request of this peer, in messages to one client."""
        self.work.take(now, work)
        self._free_at = max(self._free_at, now - _SLACK) + work / self.settings.work_pace

    def pause(self, now: float) -> float:
        """Seconds until it has made up for what it has had done lately."""
        return max(0.0, self._free_at - now)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Live until leaving, being kicked, missing for too long, or cancelled."""
        try:
            with self._life:
                async with trio.open_nursery() as self.nursery:
                    task_status.started()
                    await self._come_and_go()
                    self.leave()
        finally:
            self._mail[0].close()
            self._mail[1].close()

    def leave(self) -> None:
        """End ``run`` soon; a goodbye is said if a socket is there."""
        self._life.cancel()

    async def serve(self, socket: Socket) -> None:
        """Let ``socket`` be this peer's until it ends or another one takes its place. Called by the
        socket's own task.
        """
        self.requests.take(trio.current_time(), cost=_SOCKET_COST)
        if self.requests.in_debt():
            return  # it will not be let in before it has kept quiet for a while
        connection = Connection(socket)
        try:
            await self._mail[0].send(_Arrived(connection))
            await connection.over.wait()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the peer has just ended
        finally:
            connection.scope.cancel()

    def notify(self, method: str, data: Json) -> None:
        """``tell``, for one that only this peer gets."""
        self.tell(Notification(method, data))

    def tell(self, notification: EncodedEvent) -> None:
        """Send a notification, or keep it for when the client is back. Never waits."""
        connection = self.connection
        if connection is not None and connection.socket.connected:
            connection.socket.emit_encoded(notification)
        else:
            self._backlog.append(notification)
            self._backlog_bytes += notification.size
            self._check_backlog()

    async def request(self, method: str, data: Json) -> Json:
        """Ask the client and wait for its answer, ``request_tries`` times on every socket that it
        has meanwhile.

        Raises RequestUnanswered when it refuses or does not answer. Not so if it was asked on a
        socket that was lost before: it may have done then what it was asked, with its answer lost
        too, and refuse now to do it twice. The result is None.
        """
        asked_before = False
        while True:
            connection = self.connection
            if connection is None:
                await self._changed.wait()
                continue
            try:
                answer = await connection.socket.call(
                    "request",
                    {"method": method, "data": data},
                    timeout=self.settings.request_timeout,
                    tries=self.settings.request_tries,
                )
            except CallTimeout as silence:
                refusal = str(silence)
            except Disconnected:
                asked_before = True
                # its end is on the way to ``run``; then the next socket is asked
                while self.connection is connection:
                    await self._changed.wait()
                continue
            else:
                if not answer or answer[0] is None:
                    return answer[1] if len(answer) > 1 else None
                refusal = f"the client answered {answer[0]!r}"[:200]
            if asked_before:
                return None
            raise RequestUnanswered(f"{method}: {refusal}")

    def receiving_transport(self) -> Transport | None:
        """Where consumers go: the oldest transport that was made for it and that the client has
        asked to be connected; if there is none, the newest. An older one that nobody asked for is
        one whose client made another: the answer may have been lost with a socket.
        """
        made = [t for t in self.transports.values() if t.consuming]
        wanted = [t for t in made if t.state is not TransportState.NEW]
        return next(iter(wanted or made[-1:]), None)

    def next_mid(self) -> str:
        """MIDs of consumers are counted through a peer's life (RFC 8843 wants them unique in a
        session).
        """
        mid = str(self._next_mid)
        self._next_mid += 1
        return mid

    async def start_transport(self, transport: Transport) -> None:
        """Bring a transport to life in this peer's nursery; returns once the engine knows it.

        It is this peer's only then: nothing may be offered on it before its client has been told of
        it, which the caller does next without waiting for anything.
        """
        await self.nursery.start(self._live_transport, transport)
        if transport.state is not TransportState.CLOSED:
            self.transports[transport.id] = transport
            self.room.transports_changed(self)

    async def _live_transport(
        self, transport: Transport, *, task_status: trio.TaskStatus[None]
    ) -> None:
        try:
            await transport.run(task_status=task_status)
        except TransportFailed as error:
            logger.info("peer %s: transport %s ended: %s", self.id, transport.id, error)
        except Exception:
            if transport.id not in self.transports:
                raise  # it has not begun: who asked for it is told
            logger.exception("peer %s: transport %s failed", self.id, transport.id)
        finally:
            self.transports.pop(transport.id, None)
            self.room.transports_changed(self)
            self.room.transport_closed(self, transport)

    async def _come_and_go(self) -> None:
        deadline = trio.current_time() + self.settings.first_connection_timeout
        known = False
        while True:
            with trio.move_on_at(deadline):
                message = await self._mail[1].receive()
                match message:
                    case _Arrived(connection):
                        self._let_in(connection, "roomBack" if known else "roomReady")
                        known = True
                        deadline = float("inf")
                    case _Ended(connection, on_purpose):
                        if connection is not self.connection:
                            continue  # another one has taken its place
                        self._set_connection(None)
                        if on_purpose:
                            return
                        self._keep_unreceived(connection)
                        deadline = trio.current_time() + self.settings.reconnect_grace
                continue
            return

    def _let_in(self, connection: Connection, greeting: Literal["roomReady", "roomBack"]) -> None:
        if self.connection is not None:
            self._keep_unreceived(self.connection)
            self.connection.scope.cancel()
        self._set_connection(connection)
        self.address = connection.socket.handshake.client
        if greeting == "roomReady":
            self.room.peer_connected(self)
            self.notify(greeting, self.room.greeting(self))  # kept, if this socket is gone already
        else:
            # not one of those that come again with the next socket: that has its own
            connection.socket.emit("notification", {"method": greeting, "data": {}})
        missed, self._backlog, self._backlog_bytes = self._backlog, deque(), 0
        for notification in missed:
            self.tell(notification)
        self.nursery.start_soon(self._converse, connection)

    def _keep_unreceived(self, connection: Connection) -> None:
        """What was given to a socket that is lost, and did not get through, comes before what was
        said since.
        """
        missed = connection.socket.unreceived()
        if missed is None:
            self._give_up()
            return
        self._backlog.extendleft(reversed(missed))
        self._backlog_bytes += sum(notification.size for notification in missed)
        self._check_backlog()

    def _check_backlog(self) -> None:
        if (
            len(self._backlog) > self.settings.max_backlog
            or self._backlog_bytes > self.settings.max_backlog_bytes
        ):
            self._give_up()

    def _give_up(self) -> None:
        logger.info("peer %s: missed too much to come back", self.id)
        self._backlog.clear()
        self._backlog_bytes = 0
        self.leave()

    def _set_connection(self, connection: Connection | None) -> None:
        self.connection = connection
        self._changed.set()
        self._changed = trio.Event()

    async def _converse(self, connection: Connection) -> None:
        on_purpose = False
        try:
            with connection.scope:
                while True:
                    await self.handle(self, connection, await connection.socket.receive())
                    # however much of this client waits, the others have their turns in between
                    await trio.lowlevel.checkpoint()
        except Disconnected as end:
            on_purpose = end.by_client
        finally:
            with trio.move_on_after(self.settings.goodbye_timeout, shield=True):
                await connection.socket.disconnect()
            connection.over.set()
        await self._mail[0].send(_Ended(connection, on_purpose))

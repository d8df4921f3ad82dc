"""The task of a peer. It accepts the peer's sockets, its nursery runs their conversations, and it
has the peer's transports. All of them end with the task.

                 first socket                     socket lost
    invited ───────────────────▶ connected ────────────────────▶ missing ── grace over ──▶ gone
       └── no socket in time ──▶ gone  ▲ └── left, kicked ─▶ gone   │
                                       └──────── new socket ────────┘

``run`` waits for a new socket, for the end of the present one, or for the deadline of its state. A
second socket of the same peer replaces the first. The other peers are not told.

Notices to a peer go into the bounded outbox of its socket, and sending one never waits. Without a
socket they go into the backlog (up to ``max_backlog``), and so do the notices that a lost socket
had not delivered. The next socket gets the backlog.

The room's pure state decides what is allowed and who is told. This file and ``handlers`` carry that
out.
"""

import contextlib
import contextvars
import logging
import math
from collections.abc import Awaitable, Callable
from typing import Literal, Protocol

import attrs
import trio

from meet_trio.live.attendance import Attendance, PeerEnd, TransportStay
from meet_trio.live.settings import PeerSettings
from meet_trio.logs.context import bind
from meet_trio.media.plain import Transport
from meet_trio.media.transport import TransportState, WebRtcTransport
from meet_trio.rates import Bucket
from meet_trio.socketio import Disconnected, EncodedEvent, Event, Json, Socket
from meet_trio.tallies import Presence, Tally

logger = logging.getLogger("meet_trio.live.peer")

_SOCKET_COST = 10  # a new socket counts as this number of requests
_PACE_SLACK = 0.2  # seconds; work of this length is done at once, before ``work_pace`` applies


class Notification(EncodedEvent):
    """A notification, encoded once for all its peers and all their sockets. In a large room,
    encoding it for each of them would be most of the work.
    """

    def __init__(self, method: str, data: Json) -> None:
        super().__init__("notification", ({"method": method, "data": data},))


@attrs.define(eq=False)
class Connection:
    """A socket of a peer, until it ends or another one replaces it."""

    socket: Socket
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    over: trio.Event = attrs.field(factory=trio.Event)
    since: float = attrs.field(factory=trio.current_time)


@attrs.frozen
class _Arrived:
    connection: Connection


@attrs.frozen
class _Ended:
    connection: Connection
    on_purpose: bool


EventHandler = Callable[["LivePeer", Connection, Event], Awaitable[None]]


class PeerRoom(Protocol):
    """The part of ``LiveRoom`` that a peer uses. With it this file need not import ``LiveRoom``."""

    def peer_connected(self, peer: "LivePeer") -> None:
        """The peer's first socket is there."""

    def room_ready_data(self, peer: "LivePeer") -> dict[str, object]:
        """The data of ``roomReady``."""

    def socket_came(self, peer: "LivePeer") -> None:
        """The peer has a socket, which may be its first or another one."""

    def transports_changed(self, peer: "LivePeer") -> None:
        """A transport of the peer has come or gone."""

    def transport_closed(self, peer: "LivePeer", transport: Transport) -> None:
        """The peer's transport is gone, and with it its producers and consumers."""


@attrs.define(eq=False)
class LivePeer:
    """One participant. ``handle`` answers one event of its socket. It raises only Cancelled.

    ``max_backlog_bytes`` bounds the notices kept while it has no socket. ``goodbye_timeout`` is in
    seconds.
    """

    room: PeerRoom
    id: str
    settings: PeerSettings
    max_backlog_bytes: int
    goodbye_timeout: float
    handle: EventHandler
    tally: Tally = attrs.field(factory=Tally)
    nursery: trio.Nursery = attrs.field(init=False)
    connection: Connection | None = None
    presence: Presence = "invited"
    address: str = ""
    """The IP address that its signaling comes from."""
    transports: dict[str, Transport] = attrs.field(factory=dict)
    attendance: Attendance = attrs.field(factory=Attendance)
    # The buckets belong to the peer: a new socket does not refill them.
    requests: Bucket = attrs.field(init=False)
    announcements: Bucket = attrs.field(init=False)
    work: Bucket = attrs.field(init=False)
    _next_work_at: float = -math.inf
    _run_scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    _next_mid: int = 0
    _backlog: list[EncodedEvent] = attrs.field(factory=list)
    _backlog_bytes: int = 0
    _socket_changes: tuple[
        trio.MemorySendChannel[_Arrived | _Ended], trio.MemoryReceiveChannel[_Arrived | _Ended]
    ] = attrs.field(factory=lambda: trio.open_memory_channel[_Arrived | _Ended](0))

    def __attrs_post_init__(self) -> None:
        self.requests = Bucket(self.settings.requests)
        self.announcements = Bucket(self.settings.announcements)
        self.work = Bucket(self.settings.work)

    def count_work(self, work: int, now: float) -> None:
        """Count the work that a request of this peer has caused, see ``LiveRoom.perform``."""
        self.work.take(now, work)
        self._next_work_at = (
            max(self._next_work_at, now - _PACE_SLACK) + work / self.settings.work_pace
        )

    def work_delay(self, now: float) -> float:
        """Seconds until the next request may cause work, so that ``work_pace`` is kept."""
        return max(0.0, self._next_work_at - now)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run until the peer leaves, is kicked, stays missing for too long, or is cancelled."""
        self.tally.peers.move(None, self.presence)
        try:
            with self._run_scope:
                async with trio.open_nursery() as self.nursery:
                    try:
                        task_status.started()
                        self.leave(await self._follow_sockets())
                    finally:
                        self._close_transports()
        finally:
            self.tally.peers.move(self.presence, None)
            self._socket_changes[0].close()
            self._socket_changes[1].close()

    def leave(self, why: PeerEnd) -> None:
        """End ``run`` soon. If there is a socket, it gets a disconnect packet. The first reason
        counts.
        """
        self.attendance.why = self.attendance.why or why
        self._run_scope.cancel()

    async def serve(self, socket: Socket) -> None:
        """Use ``socket`` as this peer's, until it ends or another one replaces it. The socket's own
        task calls this.
        """
        self.requests.take(trio.current_time(), cost=_SOCKET_COST)
        if self.requests.in_debt():
            return  # too many new sockets: refused until the rate allows another one
        connection = Connection(socket)
        try:
            await self._socket_changes[0].send(_Arrived(connection))
            await connection.over.wait()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the peer has just ended
        finally:
            connection.scope.cancel()

    def notify(self, method: str, data: Json) -> None:
        """Send a notification to this peer only, see ``send_notification``."""
        self.send_notification(Notification(method, data))

    def send_notification(self, notification: EncodedEvent) -> None:
        """Send a notification, or keep it for the next socket. Never waits."""
        connection = self.connection
        if connection is None or not connection.socket.emit_encoded(notification):
            self._backlog.append(notification)
            self._backlog_bytes += notification.size
            self._check_backlog()

    def receiving_transport(self) -> Transport | None:
        """The transport for consumers: the oldest consuming one that the client has connected. If
        it has connected none, the newest.

        An older transport that is not connected is unused: its client made another one, because the
        answer with its parameters was lost with a socket.
        """
        consuming = [t for t in self.transports.values() if t.consuming]
        connected = [t for t in consuming if t.state is not TransportState.NEW]
        return next(iter(connected or consuming[-1:]), None)

    def next_mid(self) -> str:
        """A new MID for a consumer. No MID is used twice for a peer: RFC 8843 requires unique ones
        in a session.
        """
        mid = str(self._next_mid)
        self._next_mid += 1
        return mid

    async def start_transport(self, transport: Transport) -> None:
        """Open a transport, which ends with this peer at the latest. Raises what ``open`` raises.

        ``transports`` has it from then on, so consumers may be offered on it. The client must be
        told of the transport first: the caller answers the client next, without awaiting.
        """
        # ``run`` may have closed the others in this very turn
        await trio.lowlevel.checkpoint_if_cancelled()
        contextvars.copy_context().run(self._open_transport, transport)
        self.attendance.transports_made += 1
        self.room.transports_changed(self)

    def _open_transport(self, transport: Transport) -> None:
        bind(transport=transport.id)
        transport.open(self)
        self.transports[transport.id] = transport

    def transport_ended(self, transport_id: str, why: str) -> None:
        """See ``TransportOwner``."""
        transport = self.transports.pop(transport_id)
        logger.info("transport closed: %s", why)
        self.attendance.transport_ended(transport_stay(transport, why))
        self.room.transports_changed(self)
        self.room.transport_closed(self, transport)

    def _close_transports(self) -> None:
        with contextlib.ExitStack() as ends:  # all of them, also if one fails
            for transport in self.transports.values():
                ends.callback(transport.close)

    async def _follow_sockets(self) -> PeerEnd:
        """Returns why the peer leaves."""
        deadline = trio.current_time() + self.settings.first_connection_timeout
        known = False
        while True:
            with trio.move_on_at(deadline):
                message = await self._socket_changes[1].receive()
                match message:
                    case _Arrived(connection):
                        self._accept(connection, "roomBack" if known else "roomReady")
                        known = True
                        deadline = float("inf")
                    case _Ended(connection, on_purpose):
                        if connection is not self.connection:
                            continue  # another socket has replaced it
                        self._set_connection(None)
                        if on_purpose:
                            return "left"
                        self._keep_unreceived(connection)
                        deadline = trio.current_time() + self.settings.reconnect_grace
                continue
            return "socket_lost" if known else "never_connected"

    def _accept(self, connection: Connection, greeting: Literal["roomReady", "roomBack"]) -> None:
        if self.connection is not None:
            self._keep_unreceived(self.connection)
            self.connection.scope.cancel()
        self._set_connection(connection)
        self.address = connection.socket.handshake.client
        self.attendance.connections += 1
        what = "socket connected from %s" if greeting == "roomReady" else "socket back from %s"
        logger.info(what, self.address)
        if greeting == "roomReady":
            self.room.peer_connected(self)
            # kept if this socket is lost already
            self.notify(greeting, self.room.room_ready_data(self))
        else:
            # roomBack is not kept if this socket is lost: the next one gets a roomBack of its own
            connection.socket.emit("notification", {"method": greeting, "data": {}})
        missed, self._backlog, self._backlog_bytes = self._backlog, [], 0
        for notification in missed:
            self.send_notification(notification)
        self.room.socket_came(self)
        self.nursery.start_soon(self._converse, connection)

    def _keep_unreceived(self, connection: Connection) -> None:
        """Put the notifications that a lost socket has not delivered at the front of the backlog:
        they are older than those in it.
        """
        missed = connection.socket.unreceived()
        if missed is None:
            self._give_up()
            return
        self._backlog[:0] = missed
        self._backlog_bytes += sum(notification.size for notification in missed)
        self._check_backlog()

    def _check_backlog(self) -> None:
        if (
            len(self._backlog) > self.settings.max_backlog
            or self._backlog_bytes > self.max_backlog_bytes
        ):
            self._give_up()

    def _give_up(self) -> None:
        logger.info(
            "the backlog of notifications is full, the peer leaves", extra={"peer": self.id}
        )
        self._backlog.clear()
        self._backlog_bytes = 0
        self.leave("backlog_full")

    def _set_connection(self, connection: Connection | None) -> None:
        before, self.presence = self.presence, "away" if connection is None else "connected"
        self.tally.peers.move(before, self.presence)
        self.connection = connection

    async def _converse(self, connection: Connection) -> None:
        on_purpose = False
        try:
            with connection.scope:
                while True:
                    await self.handle(self, connection, await connection.socket.receive())
        except Disconnected as end:
            on_purpose = end.by_client
            logger.info("socket ended: %s", end.reason.value)
        finally:
            with trio.move_on_after(self.goodbye_timeout, shield=True):
                await connection.socket.disconnect()
            connection.over.set()
        await self._socket_changes[0].send(_Ended(connection, on_purpose))


def transport_stay(transport: Transport, why: str) -> TransportStay:
    """What is known about a transport at its end, or now."""
    return TransportStay(
        number=transport.number,
        kind="webrtc" if isinstance(transport, WebRtcTransport) else "plain",
        producing=transport.producing,
        consuming=transport.consuming,
        connected_after=transport.connected_after,
        moves=transport.moves,
        why=why,
    )

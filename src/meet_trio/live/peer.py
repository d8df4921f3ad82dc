"""The task of a peer, which waits for the peer's end. Each of the peer's sockets has a task of its
own, which converses with the client in ``serve``. The peer's transports have none. All of them end
with the peer.

                 first socket                     socket lost
    invited ───────────────────▶ connected ────────────────────▶ missing ── grace over ──▶ gone
       └── no socket in time ──▶ gone  ▲ └── left, kicked ─▶ gone   │
                                       └──────── new socket ────────┘

``run`` waits for the deadline of its state, which the coming and going of sockets moves. A second
socket of the same peer replaces the first. The other peers are not told.

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
from collections.abc import Awaitable, Callable, Set
from typing import Protocol

import attrs
import trio

from meet_trio.live.attendance import Attendance, PeerEnd, TransportStay
from meet_trio.live.records import Counter, SeatRecord
from meet_trio.live.settings import PeerSettings
from meet_trio.logs.context import bind, bind_only
from meet_trio.media.plain import Transport
from meet_trio.media.transport import TransportState, WebRtcTransport
from meet_trio.rates import Bucket
from meet_trio.socketio import Disconnected, EncodedEvent, Event, Json, Socket
from meet_trio.tallies import Presence, Tally

logger = logging.getLogger("meet_trio.live.peer")

_SOCKET_COST = 10  # a new socket counts as this number of requests
_PACE_SLACK = 0.2  # seconds; work of this length is done at once, before ``work_pace`` applies


_NOTHING: frozenset[object] = frozenset()


class Notification(EncodedEvent):
    """A notification, encoded once for all its peers and all their sockets. In a large room,
    encoding it for each of them would be most of the work.
    """

    def __init__(self, method: str, data: Json) -> None:
        super().__init__("notification", ({"method": method, "data": data},))
        self.method = method
        self.data = data


@attrs.define(eq=False)
class Connection:
    """A socket of a peer, until it ends or another one replaces it."""

    socket: Socket
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    over: trio.Event = attrs.field(factory=trio.Event)
    since: float = attrs.field(factory=trio.current_time)


EventHandler = Callable[["LivePeer", Connection, Event], Awaitable[None]]


class PeerRoom(Protocol):
    """The part of ``LiveRoom`` that a peer uses. With it this file need not import ``LiveRoom``."""

    id: str

    def peer_connected(self, peer: "LivePeer") -> None:
        """The peer's first socket is there."""

    def room_ready_data(self, peer: "LivePeer") -> dict[str, object]:
        """The data of ``roomReady``."""

    def socket_came(self, peer: "LivePeer") -> None:
        """The peer has a socket, which may be its first or another one."""

    def about_to_notify(self, peer: "LivePeer", notification: Notification) -> None:
        """The notification is sent to this peer only, in this step."""

    def transports_changed(self, peer: "LivePeer") -> None:
        """A transport of the peer has come or gone."""

    def transport_noted(self, transport: Transport) -> None:
        """A transport of the peer was made or has changed."""

    def transport_closed(self, peer: "LivePeer", transport: Transport) -> None:
        """The peer's transport is gone, and with it its producers and consumers."""

    def seat_changed(self, peer: "LivePeer") -> None:
        """What is kept of the peer has changed."""

    def stay_changed(self, peer: "LivePeer") -> None:
        """More is known of the peer's stay."""


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
    _mids: Counter = attrs.field(factory=lambda: Counter(block=64))
    _backlog: list[EncodedEvent] = attrs.field(factory=list)
    _backlog_bytes: int = 0
    # that have not said goodbye yet; the present one is the last
    _connections: list[Connection] = attrs.field(factory=list)
    _takes_sockets: bool = False
    _fault: Exception | None = None

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

    async def run(self) -> None:
        """Run until the peer leaves, is kicked, stays missing for too long, or is cancelled."""
        self.tally.peers.move(None, self.presence)
        known = self.presence == "away"  # in an earlier process
        self._run_scope.deadline = trio.current_time() + (
            self.settings.reconnect_grace if known else self.settings.first_connection_timeout
        )
        self._takes_sockets = True
        try:
            with self._run_scope:
                try:
                    await trio.sleep_forever()
                finally:
                    self._takes_sockets = False
                    try:
                        self._cancel_conversations()  # so they open no more transports
                        self._close_transports()
                    finally:
                        await self._end_conversations()
            self.leave("socket_lost" if self.attendance.connections else "never_connected")
        finally:
            self.tally.peers.move(self.presence, None)

    def leave(self, why: PeerEnd) -> None:
        """End ``run`` soon. If there is a socket, it gets a disconnect packet. The first reason
        counts.
        """
        self.attendance.why = self.attendance.why or why
        self._run_scope.cancel()
        self._cancel_conversations()

    async def serve(self, socket: Socket) -> None:
        """Use ``socket`` as this peer's, until it ends or another one replaces it. The socket's own
        task calls this.
        """
        self.requests.take(trio.current_time(), cost=_SOCKET_COST)
        if self.requests.in_debt():
            return  # too many new sockets: refused until the rate allows another one
        if not self._takes_sockets:
            await trio.lowlevel.checkpoint()  # ``run`` may be about to begin
        if not self._takes_sockets or self._run_scope.cancel_called:
            return  # the peer has just ended
        bind_only(room=self.room.id, peer=self.id)
        connection = Connection(socket)
        self._connections.append(connection)
        on_purpose = False
        try:
            self._accept(connection)
            with connection.scope:
                while True:
                    await self.handle(self, connection, await socket.receive())
        except Disconnected as end:
            on_purpose = end.by_client
            logger.info("socket ended: %s", end.reason.value)
        except Exception as error:
            self._fail(error)
        finally:
            try:
                with trio.move_on_after(self.goodbye_timeout, shield=True):
                    await socket.disconnect()
            except Exception as error:
                self._fail(error)
            finally:
                self._connections.remove(connection)
                connection.over.set()
                try:
                    self._ended(connection, on_purpose)
                except Exception as error:
                    self._fail(error)

    def notify(self, method: str, data: Json) -> None:
        """Send a notification to this peer only, see ``send_notification``."""
        notification = Notification(method, data)
        self.room.about_to_notify(self, notification)
        self.send_notification(notification)

    def send_notification(self, notification: EncodedEvent) -> None:
        """Send a notification, or keep it for the next socket. Never waits."""
        connection = self.connection
        if connection is None or not connection.socket.emit_encoded(notification):
            self._backlog.append(notification)
            self._backlog_bytes += notification.size
            self._check_backlog()

    def missing(self, *, acknowledged: bool) -> Set[object]:
        """The notifications that the peer has not received, as far as is known: those that wait for
        a socket, or in the outbox of the present one. If ``acknowledged``, also those that its TCP
        has not acknowledged.
        """
        if self.connection is None:
            return set(self._backlog)
        socket = self.connection.socket
        missing = (socket.unreceived() or ()) if acknowledged else socket.unwritten()
        return {*missing, *self._backlog} if missing or self._backlog else _NOTHING

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
        number, risen = self._mids.take()
        if risen:
            self.room.seat_changed(self)
        return str(number)

    @property
    def mids_reserved(self) -> int:
        """All MIDs below this number may have been used."""
        return self._mids.reserved

    def take_seat(self, record: SeatRecord, connected: bool) -> None:
        """Go on where an earlier process has left the peer. Comes before ``run``."""
        self.presence = "away" if connected else "invited"
        self.address = record.address
        self._mids = Counter(record.mids, reserved=record.mids, block=64)
        self.attendance.invited = record.invited
        self.attendance.joined = record.joined
        self.attendance.connections = record.connections
        self.attendance.transports_made = record.transports_made

    def adopt_transport(self, transport: Transport) -> None:
        """Open a transport of an earlier process. Raises what ``open`` raises."""
        contextvars.copy_context().run(self._adopt_transport, transport)

    def _adopt_transport(self, transport: Transport) -> None:
        bind_only(room=self.room.id, peer=self.id)
        self._open_transport(transport)

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
        self.room.transport_noted(transport)

    def transport_changed(self, transport: Transport) -> None:
        """See ``TransportOwner``."""
        self.room.transport_noted(transport)

    def transport_ended(self, transport_id: str, why: str) -> None:
        """See ``TransportOwner``."""
        transport = self.transports.pop(transport_id)
        logger.info("transport closed: %s", why)
        self.attendance.transport_ended(transport_stay(transport, why))
        self.room.stay_changed(self)
        self.room.transports_changed(self)
        self.room.transport_closed(self, transport)

    def _close_transports(self) -> None:
        with contextlib.ExitStack() as ends:  # all of them, also if one fails
            for transport in self.transports.values():
                ends.callback(transport.close)

    def _accept(self, connection: Connection) -> None:
        known = self.attendance.connections > 0
        moved = connection.socket.moved and self.connection is None
        if self.connection is not None:
            self._keep_unreceived(self.connection)
            self.connection.scope.cancel()
        self._set_connection(connection)
        self._run_scope.deadline = math.inf
        self.address = connection.socket.handshake.client
        if moved:
            logger.info("the socket from %s goes on", self.address)
        else:
            self.attendance.connections += 1
            how = "socket back from %s" if known else "socket connected from %s"
            logger.info(how, self.address)
        if moved:
            pass  # for the client nothing has happened
        elif known:
            # roomBack is not kept if this socket is lost: the next one gets a roomBack of its own
            connection.socket.emit("notification", {"method": "roomBack", "data": {}})
        else:
            self.room.peer_connected(self)
            # kept if this socket is lost already
            self.notify("roomReady", self.room.room_ready_data(self))
        self.room.seat_changed(self)
        missed, self._backlog, self._backlog_bytes = self._backlog, [], 0
        for notification in missed:
            self.send_notification(notification)
        self.room.socket_came(self)

    def _ended(self, connection: Connection, on_purpose: bool) -> None:
        if connection is not self.connection or self._run_scope.cancel_called:
            return  # another socket has replaced it, or the peer leaves
        self._set_connection(None)
        if on_purpose:
            self.leave("left")
            return
        self._keep_unreceived(connection)
        self._run_scope.deadline = trio.current_time() + self.settings.reconnect_grace

    def _fail(self, fault: Exception) -> None:
        """End ``run`` with this fault of the server."""
        self._fault = self._fault or fault
        self._run_scope.cancel()

    def _cancel_conversations(self) -> None:
        """Have all sockets say goodbye."""
        for connection in self._connections:
            connection.scope.cancel()

    async def _end_conversations(self) -> None:
        """Wait until all sockets have said goodbye. Raises the fault of any of them."""
        with trio.CancelScope(shield=True):
            while self._connections:
                await self._connections[-1].over.wait()
        if self._fault is not None:
            raise self._fault

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

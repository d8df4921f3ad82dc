"""An Engine.IO connection in Trio: a ``Session``, its deadlines, and the two sides that use it.

The *user* takes the client's messages and calls ``send`` and ``close``: the Socket.IO server, or a
handler in a task of its own (``in_task``), whose messages wait in a short queue. ``take`` is called
in the step of the task that has read the message; while what it returns is awaited, the client is
not read further.

*Transports* (``over_websocket``, ``over_polling``) carry the packets. They call ``feed``, and look
at ``session``. A websocket is told that packets wait by its ``Carrier``, a poll waits in
``wait_for_change``. ``send`` never waits: it fills the session's bounded outbox. All transports
count what they read against the connection's ``allowance``.

Once the connection has begun to end, the user is told so (``ended``). Its tasks are not cancelled:
``receive`` raises ``Disconnected``, and a handler may still clean up.

Messages are opaque here; ``server`` reads Socket.IO in them.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Protocol

import attrs
import trio

from meet_trio.deadlines import Deadlines
from meet_trio.socketio.allowance import Allowance
from meet_trio.socketio.errors import Disconnected, Reason
from meet_trio.socketio.moved import MovedNamespace, MovedWebSocket
from meet_trio.socketio.outboxes import Outboxes
from meet_trio.socketio.packet import EncodedPacket, Packet, PacketType
from meet_trio.socketio.session import Session, State
from meet_trio.socketio.settings import Handshake, Settings
from meet_trio.socketio.write_turns import WriteTurns

_INBOX = 16  # messages that wait for a handler in a task

logger = logging.getLogger("meet_trio.socketio.connection")


class Carrier(Protocol):
    """A websocket, while it carries a connection."""

    def send_soon(self) -> None:
        """Packets wait in the session, or it is to be closed. Must not raise."""

    def set_allowance(self, allowance: Allowance) -> None:
        """Read as much, and as fast, as ``allowance`` permits from now on."""


class Carried(Protocol):
    """A websocket that carries a connection or has carried it."""

    def unreceived(self) -> list[object]:
        """See ``EngineIOConnection.unreceived``."""

    def unwritten(self) -> Sequence[object]:
        """See ``EngineIOConnection.unwritten``."""


class User(Protocol):
    """What takes the messages of a connection."""

    def take(self, message: str | bytes) -> Awaitable[None] | None:
        """Take a message, or return what must be awaited before the next is read. Must not
        raise.
        """

    def ended(self) -> None:
        """The connection has begun to end: no message follows. Must not raise."""

    def move(self) -> Mapping[str, MovedNamespace] | None:
        """The namespaces of the client, for another process; None while it is not at rest."""


@attrs.frozen
class Shared:
    """What the connections of one server have in common."""

    settings: Settings
    outboxes: Outboxes
    write_turns: WriteTurns
    deadlines: Deadlines


class EngineIOConnection:
    """One client of an Engine.IO server, from its handshake to its end."""

    __slots__ = (
        "_changed",
        "_inbox",
        "_outboxes",
        "_timer",
        "_user",
        "allowance",
        "b64",
        "carried",
        "carrier",
        "closed",
        "deadlines",
        "handshake",
        "id",
        "moved",
        "reader_scope",
        "session",
        "settings",
        "write_turns",
    )

    def __init__(self, sid: str, handshake: Handshake, shared: Shared, *, websocket: bool) -> None:
        now = trio.current_time()
        self.id = sid
        self.handshake = handshake
        self.settings = shared.settings
        self.deadlines = shared.deadlines
        self.write_turns = shared.write_turns
        # Set when no transport carries packets any more. A cancelled transport may still send the
        # goodbye.
        self.closed = trio.Event()
        # The transports use the attributes that follow.
        self.session = Session(
            sid,
            handshake.eio,
            shared.settings,
            shared.outboxes.memory,
            websocket=websocket,
            now=now,
        )
        self.allowance = Allowance(shared.settings, now)
        self.carrier: Carrier | None = None
        self.carried: Carried | None = None
        self.reader_scope: trio.CancelScope | None = None
        """The reading of a websocket, which ends with the session."""
        self.moved: Mapping[str, MovedNamespace] = {}
        """The namespaces that the client has been in, in another process."""
        self.b64 = handshake.query.get("b64") not in (None, "", "0", "false")
        self._outboxes = shared.outboxes
        self._user: User | None = None
        self._inbox: _Inbox | None = None
        self._timer = shared.deadlines.timer(self._tick)
        self._timer.set(self.session.deadline)
        self._changed: trio.Event | None = None  # while somebody waits for it

    def go_on(self, moved: MovedWebSocket) -> None:
        """Go on with a connection of another process, before anything is sent."""
        now = trio.current_time()
        self.session.go_on(now + moved.ping_in, now + moved.silence_in)
        self.moved = moved.namespaces
        self.changed()

    def move(self, unread: bytes) -> MovedWebSocket | None:
        """What another process needs to go on; None while it is not at rest. ``unread``: what was
        read and not taken.
        """
        session = self.session
        if session.state is not State.WEBSOCKET or session.has_packets or self._user is None:
            return None
        namespaces = self._user.move()
        if namespaces is None:
            return None
        now = trio.current_time()
        ping_at, silence_deadline = session.heartbeat
        return MovedWebSocket(
            self.id, self.handshake, ping_at - now, silence_deadline - now, unread, namespaces
        )

    def attach(self, user: User) -> None:
        """Give ``user`` all messages. Once, before the first message."""
        self._user = user

    def open_inbox(self) -> None:
        """``attach`` a short queue, from which ``receive`` takes the messages."""
        self._user = self._inbox = _Inbox()

    async def receive(self) -> str | bytes:
        """The next message of the client. Needs ``open_inbox``. Raises Disconnected once all
        messages that came before the end have been received.
        """
        if self._inbox is None:
            raise RuntimeError("the messages are taken by another user")
        try:
            return await self._inbox.receive()
        except (trio.EndOfChannel, trio.ClosedResourceError):
            raise Disconnected(self.reason) from None

    def send(self, *messages: str | bytes) -> None:
        """Send messages in this order, with nothing in between. Never waits. On a connection that
        has ended nothing is sent.
        """
        self.send_encoded(
            [EncodedPacket(Packet(PacketType.MESSAGE, message)) for message in messages], None
        )

    def send_encoded(self, packets: Sequence[EncodedPacket], event: object) -> None:
        """``send`` for packets that are already encoded and may be shared with other connections.
        ``unreceived`` returns ``event``, unless it is None, if the last packet was not received.
        """
        session, last = self.session, packets[-1] if packets else None
        for packet in packets:
            session.send(packet, event if packet is last else None)
        if self.carrier is not None and session.state is State.WEBSOCKET:
            self.carrier.send_soon()  # no deadline has changed
        else:
            self.changed()
        self._outboxes.check()

    def unreceived(self) -> list[object] | None:
        """The events that the client cannot have received, oldest first: those that were never
        sent and, on a websocket whose stream knows it, those that TCP did not acknowledge. None if
        there were too many to be kept.
        """
        unsent = self.session.unsent
        if unsent is None:
            return None
        return [*(self.carried.unreceived() if self.carried is not None else ()), *unsent]

    def unwritten(self) -> list[object]:
        """Those of ``unreceived`` that are not with the kernel, or not as a whole."""
        unsent = self.session.unsent or []
        started = self.carried.unwritten() if self.carried is not None else ()
        return [*started, *unsent] if started else unsent

    def trust(self) -> None:
        """The client has proven who it is: from now on it may send more, and faster."""
        self.allowance.trust(trio.current_time())
        if self.carrier is not None:
            self.carrier.set_allowance(self.allowance)

    @property
    def outbox_bytes(self) -> int:
        """The size of the messages that wait to be sent."""
        return self.session.outbox_bytes

    def overflow(self) -> None:
        """End at once because too much waits to be sent, and drop all of it."""
        self.session.overflow()
        self.changed()

    async def close(self, reason: Reason = Reason.SERVER) -> None:
        """Send what waits and the goodbye, and return when the connection has ended. Takes at most
        ``close_timeout``.
        """
        self.start_close(reason)
        await self.closed.wait()

    def start_close(self, reason: Reason) -> None:
        """``close``, without waiting for the end."""
        self.session.close(reason, trio.current_time())
        self.changed()

    def fail(self, reason: Reason) -> None:
        """End at once; nothing more is sent."""
        self.session.fail(reason)
        self.changed()

    @property
    def reason(self) -> Reason:
        """Why the connection has ended. It has no meaning before that."""
        return self.session.reason or Reason.TRANSPORT_CLOSE

    @property
    def is_open(self) -> bool:
        return self.session.is_open

    async def feed(self, packet: Packet) -> None:
        """Take a packet of the client. Waits while the user cannot take a message. Raises
        ProtocolError.
        """
        message = self.session.receive(packet, trio.current_time())
        if message is None:
            self.changed()
        elif self._user is not None and (waiting := self._user.take(message)) is not None:
            await waiting

    async def pace(self, size: int, messages: int) -> None:
        """Count received input against the allowance and wait as long as it demands."""
        if (pause := self.allowance.take(size, messages, trio.current_time())) > 0:
            await trio.sleep(pause)

    def changed(self) -> None:
        """Must be called after every change of ``session``."""
        session = self.session
        if self._changed is not None:
            self._changed.set()
        if self.carrier is not None and (session.has_packets or not session.is_open):
            self.carrier.send_soon()
        deadline = session.deadline
        if self._timer.due != deadline:
            self._timer.set(deadline)
        if not session.is_open and self._user is not None:
            user, self._user = self._user, None
            user.ended()
        if session.state is State.CLOSED:
            self._timer.cancel()
            if self.reader_scope is not None:
                self.reader_scope.cancel()
            self.closed.set()

    async def wait_for_change(self) -> None:
        """Wait for a change of ``session``, but not for packets that a websocket sends."""
        changed = self._changed = trio.Event()
        await changed.wait()

    def _tick(self) -> None:
        self.session.tick(trio.current_time())
        self.changed()


class _Inbox:
    """The queue of a handler in a task."""

    def __init__(self) -> None:
        self._send, self._receive = trio.open_memory_channel[str | bytes](_INBOX)

    async def receive(self) -> str | bytes:
        return await self._receive.receive()

    async def take(self, message: str | bytes) -> None:
        # these errors mean that the connection ends and the handler receives no more
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            await self._send.send(message)

    def ended(self) -> None:
        self._send.close()

    def move(self) -> None:
        """A handler in a task keeps its state to itself."""


Attach = Callable[[EngineIOConnection, trio.Nursery], None]
"""Gives a new connection its user. The user's tasks belong into the nursery, which ends after the
connection has.
"""
EngineIOHandler = Callable[[EngineIOConnection], Awaitable[None]]


def in_task(handler: EngineIOHandler) -> Attach:
    """Serve each connection by ``handler`` in a task. The connection ends when it returns or
    raises. The exception is logged.
    """

    async def run(connection: EngineIOConnection) -> None:
        try:
            await handler(connection)
        except Disconnected:
            pass
        except Exception:
            logger.exception("the handler of a connection failed")
        finally:
            connection.start_close(Reason.SERVER)

    def attach(connection: EngineIOConnection, nursery: trio.Nursery) -> None:
        connection.open_inbox()
        nursery.start_soon(run, connection)

    return attach

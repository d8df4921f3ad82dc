"""An Engine.IO connection in Trio: a ``Session``, the queue to its handler, and its deadlines.

Two sides use a connection. One handler calls ``receive``, ``send`` and ``close``. Transports
(``over_websocket``, ``over_polling``) carry the packets: they call ``feed``, look at ``session``,
and wait in ``wait_for_change``.

Received messages wait for the handler in a short queue. While it is full, the client is not read
further. A handler that never waits takes them itself instead (``deliver_to``), in the step of the
task that has read them. ``send`` never waits: it fills the session's bounded outbox, which the
transport empties. A websocket on a stream that can write without waiting is emptied by
``write_now``, in a turn of the loop that many connections share.
All transports count what they read against the connection's ``allowance``.

The tasks of a connection end by themselves once the session is closed. The handler is not
cancelled: ``receive`` raises ``Disconnected``, and the handler may still clean up.

Messages are opaque here; ``server`` reads Socket.IO in them.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Protocol

import trio

from meet_trio.socketio.allowance import Allowance
from meet_trio.socketio.errors import Disconnected, Reason
from meet_trio.socketio.outboxes import Outboxes
from meet_trio.socketio.packet import EncodedPacket, Packet, PacketType
from meet_trio.socketio.session import Session, State
from meet_trio.socketio.settings import Handshake, Settings
from meet_trio.socketio.write_turns import WriteTurns

_INBOX = 16  # messages that wait for the handler


class Carrier(Protocol):
    """A websocket that carries a connection."""

    def unreceived(self) -> list[object]: ...

    def set_allowance(self, allowance: Allowance) -> None: ...


class EngineIOConnection:
    """One client of an Engine.IO server, from its handshake to its end."""

    def __init__(
        self,
        sid: str,
        handshake: Handshake,
        settings: Settings,
        outboxes: Outboxes,
        write_turns: WriteTurns,
        *,
        websocket: bool,
    ) -> None:
        self.id = sid
        self.handshake = handshake
        self.settings = settings
        # Set when no transport carries packets any more. A cancelled transport may still send the
        # goodbye.
        self.closed = trio.Event()
        # The transports use the attributes that follow.
        self.session = Session(
            sid,
            handshake.eio,
            settings,
            outboxes.memory,
            websocket=websocket,
            now=trio.current_time(),
        )
        self.allowance = Allowance(settings, trio.current_time())
        self.carrier: Carrier | None = None
        self.write_turns = write_turns
        # Sends what waits, if a websocket carries the packets and needs no task to write. It must
        # not raise.
        self.write_now: Callable[[], None] | None = None
        # Starts a task that sends what waits, if a websocket carries the packets.
        self.start_writer: Callable[[], None] | None = None
        self._outboxes = outboxes
        self.b64 = handshake.query.get("b64") not in (None, "", "0", "false")
        self._until_closed: set[trio.CancelScope] = set()
        self._inbox_send, self._inbox_receive = trio.open_memory_channel[str | bytes](_INBOX)
        self._take: Callable[[str | bytes], None] | None = None
        self._deadline_scope = trio.CancelScope()
        self._changed = trio.Event()

    async def receive(self) -> str | bytes:
        """The next message of the client. Raises Disconnected once all messages that came before
        the end have been received.
        """
        try:
            return await self._inbox_receive.receive()
        except (trio.EndOfChannel, trio.ClosedResourceError):
            raise Disconnected(self.reason) from None

    @contextmanager
    def deliver_to(self, take: Callable[[str | bytes], None]) -> Iterator[None]:
        """Within this block ``take`` is called with each message. ``receive`` only waits for the
        end. ``take`` must not raise.
        """
        self._take = take
        try:
            with suppress(trio.WouldBlock, trio.EndOfChannel):
                while True:  # what came before
                    take(self._inbox_receive.receive_nowait())
            yield
        finally:
            self._take = None

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
        for packet in packets:
            self.session.send(packet, event if packet is packets[-1] else None)
        if self.write_now is not None and self.session.state is State.WEBSOCKET:
            self.write_turns.call(self.write_now)  # no deadline has changed
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
        return [*(self.carrier.unreceived() if self.carrier is not None else ()), *unsent]

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
        self._inbox_send.close()
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

    async def run_timers(self) -> None:
        """Serve the session's heartbeat and deadlines until it is closed."""
        while self.session.state is not State.CLOSED:
            with trio.CancelScope(deadline=self.session.deadline) as self._deadline_scope:
                await trio.sleep_forever()
            if self._deadline_scope.cancelled_caught:
                self.session.tick(trio.current_time())
                self.changed()

    async def feed(self, packet: Packet) -> None:
        """Take a packet of the client. Waits while the handler's queue is full. Raises
        ProtocolError.
        """
        message = self.session.receive(packet, trio.current_time())
        if message is None:
            self.changed()
        elif self._take is not None:
            self._take(message)
        else:
            # these errors mean that the connection ends and the handler receives no more
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                await self._inbox_send.send(message)

    async def pace(self, size: int, messages: int) -> None:
        """Count received input against the allowance and wait as long as it demands."""
        if (pause := self.allowance.take(size, messages, trio.current_time())) > 0:
            await trio.sleep(pause)

    @contextmanager
    def until_closed(self) -> Iterator[None]:
        """A block for transports; it is cancelled when the session is closed."""
        with trio.CancelScope() as scope:
            if self.session.state is State.CLOSED:
                scope.cancel()
            self._until_closed.add(scope)
            try:
                yield
            finally:
                self._until_closed.discard(scope)

    def changed(self) -> None:
        """Must be called after every change of ``session``."""
        if self.write_now is None or self.session.state is not State.WEBSOCKET:
            self.wake()
        elif self.session.has_packets:
            self.write_turns.call(self.write_now)
        deadline = self.session.deadline
        if self._deadline_scope.deadline != deadline:
            self._deadline_scope.deadline = deadline
        if self.session.state is State.CLOSED:
            self._deadline_scope.deadline = -math.inf
            self._inbox_send.close()
            for scope in self._until_closed:
                scope.cancel()
            self.closed.set()

    def wake(self) -> None:
        """End ``wait_for_change``, or have a websocket's task send what waits."""
        self._changed.set()
        if self.start_writer is not None:
            self.start_writer()

    async def wait_for_change(self) -> None:
        """Wait for a change of ``session``, but not for packets that ``write_now`` sends. May also
        return without a change.
        """
        if self._changed.is_set():
            self._changed = trio.Event()
        await self._changed.wait()

"""An Engine.IO connection as Trio sees it: the session, who waits for it, and the task that keeps
its time.

A connection is used by one handler, which calls ``receive``, ``send`` and ``close``, and carried by
transports (``over_websocket``, ``over_polling``), which call ``feed``, look at ``session``, and
wait in ``wait_for_change``. Messages wait for the handler in a short queue; when it is full the
client is not read further. ``send`` never waits: it fills the session's bounded outbox, which the
transport empties. All of them count what they read against the connection's ``allowance``.

The tasks of a connection end by themselves once the session is closed; the handler is told by
``Disconnected`` and ends as it likes.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Protocol

import trio

from meet_trio.socketio.allowance import Allowance
from meet_trio.socketio.errors import Disconnected, Reason
from meet_trio.socketio.outboxes import Outboxes
from meet_trio.socketio.packet import Outgoing, Packet, PacketType
from meet_trio.socketio.session import Session, State
from meet_trio.socketio.settings import Handshake, Settings
from meet_trio.socketio.writers import Writers

_QUEUE = 16


class Carrier(Protocol):
    """A websocket that carries a connection."""

    def unreceived(self) -> list[object]: ...

    def read_by(self, allowance: Allowance) -> None: ...


class Connection:
    """One Engine.IO session, alive."""

    def __init__(
        self,
        sid: str,
        handshake: Handshake,
        settings: Settings,
        outboxes: Outboxes,
        writers: Writers,
        *,
        websocket: bool,
    ) -> None:
        self.id = sid
        self.handshake = handshake
        self.settings = settings
        # nothing is carried any more, except a goodbye if being cancelled
        self.closed = trio.Event()
        # for transports
        self.session = Session(
            sid,
            handshake.eio,
            settings,
            outboxes.account,
            websocket=websocket,
            now=trio.current_time(),
        )
        self.allowance = Allowance(settings, trio.current_time())
        self.carrier: Carrier | None = None
        self.writers = writers
        self._outboxes = outboxes
        self.b64 = handshake.query.get("b64") not in (None, "", "0", "false")
        self._until_closed: set[trio.CancelScope] = set()
        self._queue_in, self._queue_out = trio.open_memory_channel[str | bytes](_QUEUE)
        self._time = trio.CancelScope()
        self._changed = trio.Event()

    async def receive(self) -> str | bytes:
        """The next message of the client. Raises Disconnected, after all that came before the end
        has been received.
        """
        try:
            return await self._queue_out.receive()
        except (trio.EndOfChannel, trio.ClosedResourceError):
            raise Disconnected(self.reason) from None

    def send(self, *messages: str | bytes) -> None:
        """Send in this order with nothing in between. Never waits; a connection that has ended
        takes nothing.
        """
        self.send_encoded(
            [Outgoing(Packet(PacketType.MESSAGE, message)) for message in messages], None
        )

    def send_encoded(self, packets: Sequence[Outgoing], event: object) -> None:
        """``send`` for what may have been encoded for others, too. ``event``, unless it is None, is
        among the ``unreceived`` if the last of them is.
        """
        for packet in packets:
            self.session.send(packet, event if packet is packets[-1] else None)
        self.changed()
        self._outboxes.check()

    def unreceived(self) -> list[object] | None:
        """The events that the client cannot have got, oldest first: those that were never sent and,
        over a websocket whose stream can tell, those that were not acknowledged. None if there were
        too many to be kept.
        """
        unsent = self.session.unsent
        if unsent is None:
            return None
        return [*(self.carrier.unreceived() if self.carrier is not None else ()), *unsent]

    def trust(self) -> None:
        """The client has shown who it is: from now on it may send more, and faster."""
        self.allowance.trust(trio.current_time())
        if self.carrier is not None:
            self.carrier.read_by(self.allowance)

    @property
    def outbox_bytes(self) -> int:
        """What waits to be sent."""
        return self.session.outbox_bytes

    def overflow(self) -> None:
        """Too much waits: end at once, and let all of it go."""
        self.session.overflow()
        self.changed()

    async def close(self, reason: Reason = Reason.SERVER) -> None:
        """Send what waits, say goodbye, and return when the connection has ended: within
        ``close_timeout``.
        """
        self.start_close(reason)
        await self.closed.wait()

    def start_close(self, reason: Reason) -> None:
        """``close`` without waiting for it."""
        self.session.close(reason, trio.current_time())
        self._queue_in.close()
        self.changed()

    def fail(self, reason: Reason) -> None:
        """End at once, nothing more is sent."""
        self.session.fail(reason)
        self.changed()

    @property
    def reason(self) -> Reason:
        """Why it has ended; only then."""
        return self.session.reason or Reason.TRANSPORT_CLOSE

    @property
    def is_open(self) -> bool:
        return self.session.is_open

    async def keep_time(self) -> None:
        """Heartbeat and deadlines, until the session is closed."""
        while self.session.state is not State.CLOSED:
            with trio.CancelScope(deadline=self.session.deadline) as self._time:
                await trio.sleep_forever()
            if self._time.cancelled_caught:
                self.session.tick(trio.current_time())
                self.changed()

    async def feed(self, packet: Packet) -> None:
        """A packet of the client. Waits if the handler does not keep up. Raises ProtocolError."""
        message = self.session.receive(packet, trio.current_time())
        self.changed()
        if message is not None:
            # an error: it ends, and nobody listens any more
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                await self._queue_in.send(message)

    async def pace(self, size: int, messages: int) -> None:
        """Wait as long as the allowance for what has just come wants it."""
        if (pause := self.allowance.take(size, messages, trio.current_time())) > 0:
            await trio.sleep(pause)

    @contextmanager
    def until_closed(self) -> Iterator[None]:
        """A block for transports that is cancelled when the session is closed."""
        with trio.CancelScope() as scope:
            if self.session.state is State.CLOSED:
                scope.cancel()
            self._until_closed.add(scope)
            try:
                yield
            finally:
                self._until_closed.discard(scope)

    def changed(self) -> None:
        """To be called after every change of ``session``."""
        self._changed.set()
        deadline = self.session.deadline
        if self._time.deadline != deadline:
            self._time.deadline = deadline
        if self.session.state is State.CLOSED:
            self._time.deadline = -math.inf
            self._queue_in.close()
            for scope in self._until_closed:
                scope.cancel()
            self.closed.set()

    async def wait_for_change(self) -> None:
        """Return after the next change of ``session``; there may have been none."""
        if self._changed.is_set():
            self._changed = trio.Event()
        await self._changed.wait()

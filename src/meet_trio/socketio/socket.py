"""A client in a namespace, as the application sees it, and an event from it.

``emit`` and ``call`` put into the connection's bounded outbox and never wait for the network.
``emit_encoded`` does so, too, and what it was given can be had back if the socket is lost.
Events wait in a bounded inbox for ``receive``. All that came before the end is received before
``Disconnected`` is raised, except after ``disconnect``, which drops it.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import cast

import attrs
import trio

from meet_trio.socketio.connection import Connection
from meet_trio.socketio.errors import CallTimeout, Disconnected, Reason
from meet_trio.socketio.message import MAIN, Json, Message, MessageType, encode
from meet_trio.socketio.packet import Outgoing, Packet, PacketType
from meet_trio.socketio.protocol import AckCame, EventCame, Frames, NamespaceState, Protocol
from meet_trio.socketio.settings import Handshake


@attrs.define(eq=False)
class Event:
    """``args`` without the name. ``ack_id`` is None if the client wants no acknowledgement."""

    name: str
    args: tuple[Json, ...]
    ack_id: int | None
    _acknowledge: Callable[[int, tuple[Json, ...]], None] = attrs.field(repr=False)
    _acknowledged: bool = attrs.field(default=False, init=False)

    def ack(self, *args: Json) -> None:
        """Acknowledge, if the client asked for it; the second and later times nothing happens.
        Raises as ``Socket.emit``.
        """
        if self.ack_id is not None and not self._acknowledged:
            self._acknowledge(self.ack_id, args)
            self._acknowledged = True


class EncodedEvent:
    """See ``encode_event``. Keeps no more than what is sent, once for each namespace."""

    def __init__(self, event: str, args: tuple[Json, ...]) -> None:
        frames = encode(Message(MessageType.EVENT, MAIN, [event, *args]))
        packets = [Outgoing(Packet(PacketType.MESSAGE, frame)) for frame in frames]
        self._packets = {MAIN: packets}
        self.size = sum(len(packet.octets) for packet in packets)
        """Bytes, without attachments' and frames' heads."""

    def packets(self, namespace: str) -> Sequence[Outgoing]:
        """What ``emit`` would send in this namespace."""
        packets = self._packets.get(namespace)
        if packets is None:
            text, *attachments = self._packets[MAIN]
            # the namespace stands behind the number of attachments
            head = len(f"42{len(attachments)}-") if attachments else len("42")
            said = text.octets[1:head].decode() + f"{namespace}," + text.octets[head:].decode()
            first = Outgoing(Packet(PacketType.MESSAGE, said))
            packets = self._packets[namespace] = [first, *attachments]
        return packets


def encode_event(event: str, *args: Json) -> EncodedEvent:
    """An event for many sockets, see ``Socket.emit_encoded``. Raises as ``Socket.emit``."""
    return EncodedEvent(event, args)


@attrs.define(eq=False)
class _Call:
    over: trio.Event = attrs.field(factory=trio.Event)
    answer: list[Json] | None = None


class Socket:
    """One client in one namespace. Made by the server; ``id`` is what the client knows as
    ``socket.id``.
    """

    def __init__(
        self,
        sid: str,
        namespace: str,
        handshake: Handshake,
        connection: Connection,
        protocol: Protocol,
        leave_all: Callable[[], None],
    ) -> None:
        self.id = sid
        self.namespace = namespace
        self.handshake = handshake
        self._connection = connection
        self._protocol = protocol
        self._leave_all = leave_all
        self._end: Reason | None = None
        self._inbox: deque[EventCame] = deque()
        self._inbox_bytes = 0
        self._arrived = trio.Event()
        self._calls: dict[int, _Call] = {}

    @property
    def connected(self) -> bool:
        return self._end is None

    @property
    def reason(self) -> Reason | None:
        """Why it has ended; None as long as it has not."""
        return self._end

    def emit(self, event: str, *args: Json) -> None:
        """Send an event. Never waits; to a socket that has ended nothing is sent.

        Raises TypeError for arguments that are neither JSON nor bytes, ValueError for numbers that
        are not finite.
        """
        if self.connected:
            self._send(self._protocol.event(self.namespace, event, args))

    def emit_encoded(self, event: "EncodedEvent") -> None:
        """``emit``, for an event that many sockets get, or that is sent again if this one is lost
        (``unreceived``).
        """
        if self.connected:
            self._connection.send_encoded(event.packets(self.namespace), (self.id, event))

    async def call(
        self,
        event: str,
        *args: Json,
        timeout: float,  # noqa: ASYNC109
        tries: int = 1,
    ) -> list[Json]:
        """Send an event and wait for its acknowledgement: what the client gave to it.

        Sent again after each ``timeout`` seconds, ``tries`` times in all; the first answer to any
        of them is the answer. Raises CallTimeout, Disconnected, and as ``emit``.
        """
        if self._end is not None:
            raise Disconnected(self._end)
        call = _Call()
        ack_ids: list[int] = []
        try:
            for _ in range(tries):
                if len(self._calls) >= self._connection.settings.max_open_calls:
                    self._connection.fail(Reason.OVERFLOW)
                    raise Disconnected(Reason.OVERFLOW)
                ack_id, frames = self._protocol.call(self.namespace, event, args)
                ack_ids.append(ack_id)
                self._calls[ack_id] = call
                self._send(frames)
                with trio.move_on_after(timeout):
                    await call.over.wait()
                    break
        finally:
            for ack_id in ack_ids:
                del self._calls[ack_id]
        if call.answer is not None:
            return call.answer
        if self._end is not None:
            raise Disconnected(self._end)
        raise CallTimeout(f"{event}: no acknowledgement in {tries * timeout:g} s")

    def trust(self) -> None:
        """The client has shown who it is: from now on its connection is read at the full rate, and
        messages may be as long as ``max_payload``.
        """
        self._connection.trust()

    def unreceived(self) -> list[EncodedEvent] | None:
        """Events given to ``emit_encoded`` that the client cannot have got, oldest first: the same
        objects, nothing is decoded. None if the outbox became too large, and they are gone.

        What is not among them may be lost all the same: a client's machine has got more than its
        program. What is may have arrived with its acknowledgement lost.
        """
        sent = self._connection.unreceived()
        if sent is None:
            return None
        return [event for by, event in cast(list[tuple[str, EncodedEvent]], sent) if by == self.id]

    async def receive(self) -> Event:
        """The client's next event; for one task at a time. Raises Disconnected."""
        while not self._inbox:
            if self._end is not None:
                raise Disconnected(self._end)
            self._arrived = trio.Event()
            await self._arrived.wait()
        came = self._inbox.popleft()
        self._inbox_bytes -= came.size
        return Event(came.name, came.args, came.ack_id, self._acknowledge)

    async def disconnect(self, *, close: bool = True) -> None:
        """Tell the client that it is disconnected; then, if ``close``, close its whole connection
        and wait for that.

        Takes at most ``close_timeout``, and raises nothing. Of a socket that has ended, waits only
        for the connection's end.
        """
        self.leave()
        if close:
            self._leave_all()
            await self._connection.close()
        else:
            await trio.lowlevel.checkpoint()

    def leave(self) -> None:
        """``disconnect(close=False)`` for those who cannot wait."""
        if self.connected:
            self._send(self._protocol.leave(self.namespace))
            self.end(Reason.SERVER)
            self._inbox.clear()

    def end(self, reason: Reason) -> None:
        """The namespace or the connection is over. For the server; idempotent."""
        if self._end is None:
            self._end = reason
            self._arrived.set()
            for call in self._calls.values():
                call.over.set()

    def take_event(self, came: EventCame) -> None:
        """An event of the client. For the server."""
        settings = self._connection.settings
        self._inbox.append(came)
        self._inbox_bytes += came.size
        if (
            len(self._inbox) > settings.max_inbox_events
            or self._inbox_bytes > settings.max_inbox_bytes
        ):
            self._inbox.clear()
            self._connection.fail(Reason.OVERFLOW)
        self._arrived.set()

    def take_ack(self, came: AckCame) -> None:
        """An acknowledgement of the client. For the server. One that is too late or was never asked
        for is ignored.
        """
        call = self._calls.get(came.ack_id)
        if call is not None and call.answer is None:
            call.answer = came.args
            call.over.set()

    def _acknowledge(self, ack_id: int, args: tuple[Json, ...]) -> None:
        if self.connected and self._protocol.state(self.namespace) is NamespaceState.CONNECTED:
            self._send(self._protocol.ack(self.namespace, ack_id, args))

    def _send(self, frames: Frames) -> None:
        self._connection.send(*frames)

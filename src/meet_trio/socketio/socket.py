"""The application's side of a client in one namespace, and the events that come from it.

``emit``, ``emit_encoded`` and ``call`` put packets into the connection's bounded outbox and never
wait for the network. If the socket is lost, ``unreceived`` returns those events of ``emit_encoded``
that the client did not receive.

Events of the client wait in a bounded inbox for ``receive``. It returns all events that came before
the end, and raises ``Disconnected`` after them. ``disconnect`` drops the inbox.
"""

from collections.abc import Callable, Sequence
from typing import Final, cast

import attrs
import trio

from meet_trio.socketio.connection import EngineIOConnection
from meet_trio.socketio.errors import CallTimeout, Disconnected, Reason
from meet_trio.socketio.message import MAIN, Json, Message, MessageType, encode
from meet_trio.socketio.packet import EncodedPacket, Packet, PacketType
from meet_trio.socketio.protocol import (
    AckReceived,
    EventReceived,
    Frames,
    NamespaceState,
    SocketIOProtocol,
)
from meet_trio.socketio.settings import Handshake


@attrs.define(eq=False)
class Event:
    """An event of the client; ``args`` are those behind the name. ``ack_id`` is None if the client
    wants no acknowledgement.
    """

    name: str
    args: tuple[Json, ...]
    ack_id: int | None
    _acknowledge: Callable[[int, tuple[Json, ...]], None] = attrs.field(repr=False)
    _acknowledged: bool = attrs.field(default=False, init=False)

    def ack(self, *args: Json) -> None:
        """Acknowledge if the client asked for it. Only the first call has an effect. Raises like
        ``Socket.emit``.
        """
        if self.ack_id is not None and not self._acknowledged:
            self._acknowledge(self.ack_id, args)
            self._acknowledged = True


class EncodedEvent:
    """An event for many sockets, see ``encode_event``. Keeps its packets for each namespace."""

    def __init__(self, event: str, args: tuple[Json, ...]) -> None:
        frames = encode(Message(MessageType.EVENT, MAIN, [event, *args]))
        packets = [EncodedPacket(Packet(PacketType.MESSAGE, frame)) for frame in frames]
        self._packets = {MAIN: packets}
        self.size = sum(packet.size for packet in packets)
        """In bytes; includes attachments, but no heads of frames."""

    def packets(self, namespace: str) -> Sequence[EncodedPacket]:
        """The packets that ``emit`` would send in this namespace."""
        packets = self._packets.get(namespace)
        if packets is None:
            text, *attachments = self._packets[MAIN]
            octets = text.octets
            # the namespace follows the number of attachments
            head = len(f"42{len(attachments)}-") if attachments else len("42")
            text_in_namespace = octets[1:head].decode() + f"{namespace}," + octets[head:].decode()
            first = EncodedPacket(Packet(PacketType.MESSAGE, text_in_namespace))
            packets = self._packets[namespace] = [first, *attachments]
        return packets


def encode_event(event: str, *args: Json) -> EncodedEvent:
    """Encode an event once for many sockets, see ``Socket.emit_encoded``. Raises like
    ``Socket.emit``.
    """
    return EncodedEvent(event, args)


class Socket:
    """One client in one namespace. The server makes it. ``id`` is the client's ``socket.id``."""

    __slots__ = (
        "_callers",
        "_calls",
        "_connection",
        "_end_reason",
        "_event_or_end",
        "_inbox",
        "_inbox_bytes",
        "_leave_all",
        "_protocol",
        "handshake",
        "id",
        "moved",
        "namespace",
        "waits",
    )

    def __init__(
        self,
        sid: str,
        namespace: str,
        handshake: Handshake,
        connection: EngineIOConnection,
        protocol: SocketIOProtocol,
        leave_all: Callable[[], None],
        *,
        moved: bool = False,
    ) -> None:
        self.moved: Final = moved
        """Another process had the socket before. Its client has noticed nothing."""
        self.waits = False
        """All its events are answered: its handler waits for the next."""
        self.id = sid
        self.namespace = namespace
        self.handshake = handshake
        self._connection = connection
        self._protocol = protocol
        self._leave_all = leave_all
        self._end_reason: Reason | None = None
        self._inbox: list[EventReceived] = []  # short, and an empty deque takes 600 bytes
        self._inbox_bytes = 0
        self._event_or_end = trio.Event()
        self._calls: dict[int, Callable[[list[Json]], None]] = {}  # by acknowledgement id
        self._callers: set[trio.Event] = set()

    @property
    def connected(self) -> bool:
        return self._end_reason is None

    @property
    def reason(self) -> Reason | None:
        """Why the socket has ended; None before that."""
        return self._end_reason

    def emit(self, event: str, *args: Json) -> None:
        """Send an event. Never waits. On a socket that has ended nothing is sent.

        Raises TypeError for arguments that are neither JSON nor bytes, ValueError for numbers that
        are not finite.
        """
        if self.connected:
            self._send(self._protocol.event(self.namespace, event, args))

    def emit_encoded(self, event: "EncodedEvent") -> bool:
        """``emit`` for an event that many sockets get. ``unreceived`` returns it if this socket is
        lost before the client has received it. Returns whether the socket had not ended.
        """
        if self._end_reason is not None:
            return False
        self._connection.send_encoded(event.packets(self.namespace), (self.id, event))
        return True

    async def call(
        self,
        event: str,
        *args: Json,
        timeout: float,  # noqa: ASYNC109
        tries: int = 1,
    ) -> list[Json]:
        """Send an event and wait for its acknowledgement. Returns the client's arguments to it.

        Without an acknowledgement the event is sent again after ``timeout`` seconds, up to
        ``tries`` times in all. The first acknowledgement of any try counts. Raises CallTimeout,
        Disconnected, and like ``emit``.
        """
        done = trio.Event()
        answers: list[list[Json]] = []

        def answered(answer: list[Json]) -> None:
            answers.append(answer)
            done.set()

        ack_ids: list[int] = []
        self._callers.add(done)
        try:
            for _ in range(tries):
                ack_ids.append(self.start_call(event, *args, answered=answered))
                with trio.move_on_after(timeout):
                    await done.wait()
                    break
        finally:
            self._callers.discard(done)
            for ack_id in ack_ids:
                self.forget_call(ack_id)
        if answers:
            return answers[0]
        if self._end_reason is not None:
            raise Disconnected(self._end_reason)
        raise CallTimeout(f"{event}: no acknowledgement in {tries * timeout:g} s")

    def start_call(self, event: str, *args: Json, answered: Callable[[list[Json]], None]) -> int:
        """Send an event, and have ``answered`` called with the client's arguments to its
        acknowledgement, in the step that reads it. ``answered`` must not raise. It is not called
        after ``forget_call``, which takes the returned id, or once the socket has ended. Never
        waits. Raises Disconnected, and like ``emit``.
        """
        if self._end_reason is not None:
            raise Disconnected(self._end_reason)
        if len(self._calls) >= self._connection.settings.max_open_calls:
            self._connection.fail(Reason.OVERFLOW)
            raise Disconnected(Reason.OVERFLOW)
        ack_id, frames = self._protocol.call(self.namespace, event, args)
        self._calls[ack_id] = answered
        self._send(frames)
        return ack_id

    def forget_call(self, ack_id: int) -> None:
        """An acknowledgement with this id is ignored from now on. Idempotent."""
        self._calls.pop(ack_id, None)

    def trust(self) -> None:
        """The client has proven who it is. From now on its connection is read at the full rate, and
        its messages may be as long as ``max_payload``.
        """
        self._connection.trust()

    def unreceived(self) -> list[EncodedEvent] | None:
        """The events given to ``emit_encoded`` that the client cannot have received, oldest first.
        None if the outbox became too large and was dropped.

        They are the same objects; nothing is decoded. An event that is not returned may still be
        lost: TCP acknowledges bytes that the client's program has not read. An event that is
        returned may have arrived if only the acknowledgement was lost.
        """
        sent = self._connection.unreceived()
        if sent is None:
            return None
        return [event for by, event in cast(list[tuple[str, EncodedEvent]], sent) if by == self.id]

    def unwritten(self) -> list[EncodedEvent]:
        """Those of ``unreceived`` that the kernel does not have yet, as far as is known. It sends
        what it has also after the end of this process.
        """
        waiting = self._connection.unwritten()
        if not waiting:
            return []
        return [e for by, e in cast(list[tuple[str, EncodedEvent]], waiting) if by == self.id]

    async def receive(self) -> Event:
        """The client's next event. Only one task may wait. Other tasks run before it returns.
        Raises Disconnected.
        """
        if self._inbox:
            await trio.lowlevel.checkpoint()
        while not self._inbox:
            if self._end_reason is not None:
                raise Disconnected(self._end_reason)
            self._event_or_end = trio.Event()
            self.waits = True
            try:
                await self._event_or_end.wait()
            finally:
                self.waits = False
        received = self._inbox.pop(0)
        self._inbox_bytes -= received.size
        return Event(received.name, received.args, received.ack_id, self._acknowledge)

    @property
    def at_rest(self) -> bool:
        """Whether all events are answered."""
        return self.waits and not self._inbox and self._end_reason is None

    async def disconnect(self, *, close: bool = True) -> None:
        """Disconnect the client from the namespace. If ``close``, also close its whole connection
        and wait for the end.

        Takes at most ``close_timeout`` and raises nothing. On a socket that has ended, it only
        waits for the connection's end.
        """
        self.leave()
        if close:
            self._leave_all()
            await self._connection.close()
        else:
            await trio.lowlevel.checkpoint()

    def leave(self) -> None:
        """``disconnect(close=False)`` for callers that cannot await."""
        if self.connected:
            self._send(self._protocol.leave(self.namespace))
            self.end(Reason.SERVER)
            self._inbox.clear()

    def end(self, reason: Reason) -> None:
        """The namespace or the connection has ended. For the server; idempotent."""
        if self._end_reason is None:
            self._end_reason = reason
            self._event_or_end.set()
            self._calls.clear()
            for caller in self._callers:
                caller.set()

    def take_event(self, received: EventReceived) -> None:
        """Put an event of the client into the inbox. For the server."""
        settings = self._connection.settings
        self._inbox.append(received)
        self._inbox_bytes += received.size
        if (
            len(self._inbox) > settings.max_inbox_events
            or self._inbox_bytes > settings.max_inbox_bytes
        ):
            self._inbox.clear()
            self._connection.fail(Reason.OVERFLOW)
        self._event_or_end.set()

    def take_ack(self, received: AckReceived) -> None:
        """Give an acknowledgement of the client to its ``call``. One that is late, or was never
        asked for, is ignored. For the server.
        """
        answered = self._calls.pop(received.ack_id, None)
        if answered is not None:
            answered(received.args)

    def _acknowledge(self, ack_id: int, args: tuple[Json, ...]) -> None:
        if self.connected and self._protocol.state(self.namespace) is NamespaceState.CONNECTED:
            self._send(self._protocol.ack(self.namespace, ack_id, args))

    def _send(self, frames: Frames) -> None:
        self._connection.send(*frames)

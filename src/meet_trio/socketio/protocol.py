"""The Socket.IO protocol of one connection as a state machine without I/O and clock.

It turns Engine.IO messages of the client into ``ProtocolEvent`` objects, and events for the client
into Engine.IO messages.

Each namespace of the client is in one of these states:

    ABSENT ──CONNECT──▶ CONNECTING ──accept──▶ CONNECTED ──leave──▶ LEFT
       ▲                    │ refuse               │ DISCONNECT       │ DISCONNECT
       └────────────────────┴──────────────────────┴──────────────────┘

In LEFT the server has ended the namespace, and the client may not know that yet. Its events and
acknowledgements are ignored there. A CONNECT leads from LEFT to CONNECTING. Any other packet that
its state does not allow is a ProtocolError: an event before CONNECT, a second CONNECT, malformed
data.

In protocol 4 (Engine.IO 3) the server connects the client to ``/`` without being asked, and the
answer to CONNECT carries no id.

``server`` decides on a CONNECT and runs the handlers.
"""

import enum
from collections.abc import Collection, Container
from typing import Final

import attrs

from meet_trio.socketio.errors import ProtocolError
from meet_trio.socketio.message import MAIN, Decoder, Json, Message, MessageType, encode
from meet_trio.socketio.request import parse_query_untrusted
from meet_trio.socketio.settings import Revision, Settings


class NamespaceState(enum.Enum):
    ABSENT = enum.auto()
    CONNECTING = enum.auto()
    CONNECTED = enum.auto()
    LEFT = enum.auto()


_State = NamespaceState
# The packets that a client may send in each state, and the state that each leads to.
_NEXT: Final[dict[NamespaceState, dict[MessageType, NamespaceState]]] = {
    _State.ABSENT: {MessageType.CONNECT: _State.CONNECTING},
    _State.CONNECTING: {MessageType.DISCONNECT: _State.ABSENT},
    _State.CONNECTED: {
        MessageType.EVENT: _State.CONNECTED,
        MessageType.ACK: _State.CONNECTED,
        MessageType.DISCONNECT: _State.ABSENT,
    },
    _State.LEFT: {
        MessageType.CONNECT: _State.CONNECTING,
        MessageType.EVENT: _State.LEFT,
        MessageType.ACK: _State.LEFT,
        MessageType.DISCONNECT: _State.ABSENT,
    },
}


@attrs.frozen
class ConnectReceived:
    """The client asks to connect to a namespace; answer with ``accept`` or ``refuse``."""

    namespace: str
    auth: Json


@attrs.frozen
class EventReceived:
    """``size`` is the length of the Engine.IO messages that the event came in."""

    namespace: str
    name: str
    args: tuple[Json, ...]
    ack_id: int | None
    size: int


@attrs.frozen
class AckReceived:
    namespace: str
    ack_id: int
    args: list[Json]


@attrs.frozen
class DisconnectReceived:
    """The client has disconnected from the namespace."""

    namespace: str


ProtocolEvent = ConnectReceived | EventReceived | AckReceived | DisconnectReceived
Frames = list[str | bytes]
"""Engine.IO messages; they are sent in this order, with nothing in between."""


class SocketIOProtocol:
    """One client's namespaces. Methods that return Frames have already changed the state."""

    __slots__ = (
        "_calls",
        "_decoder",
        "_namespaces",
        "_revision",
        "_settings",
        "_states",
    )

    def __init__(self, revision: Revision, settings: Settings, namespaces: Container[str]) -> None:
        self._revision = revision
        self._settings = settings
        self._namespaces = namespaces
        self._decoder = Decoder(settings)
        self._states: dict[str, NamespaceState] = {}
        self._calls: dict[str, int] = {}  # how many each namespace has had

    def start(self) -> ConnectReceived | None:
        """The first event. In revision 3 it comes before any message of the client; in revision 4
        there is none.
        """
        if self._revision == 4:
            return None
        self._states[MAIN] = NamespaceState.CONNECTING
        return ConnectReceived(MAIN, {})

    def receive(self, data: str | bytes) -> ProtocolEvent | Frames | None:
        """Take an Engine.IO message of the client. Returns an event to act on, an answer to send,
        or None. Raises ProtocolError.
        """
        message = self._decoder.receive_untrusted(data)
        if message is None:
            return None
        namespace = message.namespace
        before = self.state(namespace)
        after = _NEXT[before].get(message.type)
        if after is None:
            raise ProtocolError(f"{message.type.name} while {before.name}")
        if message.type is MessageType.CONNECT:
            return self._connect(message)
        self._set_state(namespace, after)
        if before is not NamespaceState.CONNECTED:
            return None  # the namespace has ended, or was not yet accepted
        match message:
            case Message(type=MessageType.EVENT, data=[name, *args]):
                return EventReceived(
                    namespace, str(name), tuple(args), message.ack_id, message.size
                )
            case Message(type=MessageType.ACK, data=[*args], ack_id=int(ack_id)):
                return AckReceived(namespace, ack_id, args)
            case Message(type=MessageType.DISCONNECT):
                return DisconnectReceived(namespace)
        return None  # an event without payload

    def _connect(self, message: Message) -> ConnectReceived | Frames:
        namespace = message.namespace
        if namespace not in self._namespaces:
            return self._connect_error(namespace, {"message": "Invalid namespace"})
        if namespace not in self._states and len(self._states) >= self._settings.max_namespaces:
            raise ProtocolError("too many namespaces")
        self._states[namespace] = NamespaceState.CONNECTING
        if self._revision == 4:
            return ConnectReceived(namespace, message.data or {})
        return ConnectReceived(namespace, parse_query_untrusted(message.query))

    def move(self, namespace: str) -> int | None:
        """The number of the namespace's next call. None: the
        client is not connected to it, or a packet of it has begun.
        """
        if self.state(namespace) is not NamespaceState.CONNECTED or not self._decoder.at_rest:
            return None
        return self._calls[namespace]

    def go_on(self, namespace: str, calls: int) -> None:
        """Another process has connected the client to the namespace, see ``move``."""
        self._states[namespace] = NamespaceState.CONNECTED
        self._calls[namespace] = calls

    @property
    def namespaces(self) -> Collection[str]:
        """Those whose state is not ABSENT."""
        return self._states.keys()

    def state(self, namespace: str) -> NamespaceState:
        return self._states.get(namespace, NamespaceState.ABSENT)

    def accept(self, namespace: str, sid: str) -> Frames:
        """Connect the client to the namespace that it asked for, as ``sid``."""
        self._states[namespace] = NamespaceState.CONNECTED
        self._calls.setdefault(namespace, 0)
        data = {"sid": sid} if self._revision == 4 else None
        return encode(Message(MessageType.CONNECT, namespace, data))

    def refuse(self, namespace: str, message: str, data: Json = None) -> Frames:
        """Refuse the namespace that the client asked for."""
        self._set_state(namespace, NamespaceState.ABSENT)
        if self._revision == 3:
            return self._connect_error(namespace, message if data is None else data)
        return self._connect_error(
            namespace, {"message": message} if data is None else {"message": message, "data": data}
        )

    def event(self, namespace: str, name: str, args: tuple[Json, ...]) -> Frames:
        """An event that wants no acknowledgement. Raises TypeError and ValueError like
        ``message.encode``.
        """
        return encode(Message(MessageType.EVENT, namespace, [name, *args]))

    def call(self, namespace: str, name: str, args: tuple[Json, ...]) -> tuple[int, Frames]:
        """An event that the client acknowledges with the returned id. Raises like ``event``."""
        ack_id = self._calls[namespace]
        self._calls[namespace] += 1
        return ack_id, encode(Message(MessageType.EVENT, namespace, [name, *args], ack_id))

    def ack(self, namespace: str, ack_id: int, args: tuple[Json, ...]) -> Frames:
        """The acknowledgement of the client's event with this id. Raises like ``event``."""
        return encode(Message(MessageType.ACK, namespace, list(args), ack_id))

    def leave(self, namespace: str) -> Frames:
        """End the namespace from the server's side."""
        self._states[namespace] = NamespaceState.LEFT
        return encode(Message(MessageType.DISCONNECT, namespace))

    def _connect_error(self, namespace: str, data: Json) -> Frames:
        return encode(Message(MessageType.CONNECT_ERROR, namespace, data))

    def _set_state(self, namespace: str, state: NamespaceState) -> None:
        if state is NamespaceState.ABSENT:
            self._states.pop(namespace, None)
        else:
            self._states[namespace] = state

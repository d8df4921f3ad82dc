"""The Socket.IO half of a connection as a state machine: Engine.IO messages in, events out, and the
other way round. No I/O, no clock.

Each namespace of the client is in one of these states:

    ABSENT ──CONNECT──▶ ASKED ──accept──▶ CONNECTED ──leave──▶ LEFT
       ▲                  │ refuse            │ DISCONNECT        │ DISCONNECT
       └──────────────────┴───────────────────┴───────────────────┘      (a CONNECT leads from LEFT
       to ASKED)

LEFT is for what the client sent before it heard that the server has ended the namespace: it is
ignored. Everything else that does not fit is a ProtocolError: an event before CONNECT, a second
CONNECT, malformed data.

In protocol 4 (Engine.IO 3) the server connects the client to ``/`` by itself, and the answer to
CONNECT carries no id.
"""

import enum
import itertools
from collections.abc import Container, Iterator
from typing import Final

import attrs

from meet_trio.socketio.errors import ProtocolError
from meet_trio.socketio.message import MAIN, Decoder, Json, Message, MessageType, encode
from meet_trio.socketio.request import parse_query_untrusted
from meet_trio.socketio.settings import Revision, Settings


class NamespaceState(enum.Enum):
    ABSENT = enum.auto()
    ASKED = enum.auto()
    CONNECTED = enum.auto()
    LEFT = enum.auto()


_S = NamespaceState
# what a client may send in which state, and the state it leads to
_NEXT: Final[dict[NamespaceState, dict[MessageType, NamespaceState]]] = {
    _S.ABSENT: {MessageType.CONNECT: _S.ASKED},
    _S.ASKED: {MessageType.DISCONNECT: _S.ABSENT},
    _S.CONNECTED: {
        MessageType.EVENT: _S.CONNECTED,
        MessageType.ACK: _S.CONNECTED,
        MessageType.DISCONNECT: _S.ABSENT,
    },
    _S.LEFT: {
        MessageType.CONNECT: _S.ASKED,
        MessageType.EVENT: _S.LEFT,
        MessageType.ACK: _S.LEFT,
        MessageType.DISCONNECT: _S.ABSENT,
    },
}


@attrs.frozen
class ConnectAsked:
    """Answer with ``accept`` or ``refuse``."""

    namespace: str
    auth: Json


@attrs.frozen
class EventCame:
    namespace: str
    name: str
    args: tuple[Json, ...]
    ack_id: int | None
    size: int


@attrs.frozen
class AckCame:
    namespace: str
    ack_id: int
    args: list[Json]


@attrs.frozen
class ClientLeft:
    namespace: str


Happening = ConnectAsked | EventCame | AckCame | ClientLeft
Frames = list[str | bytes]
"""Engine.IO messages, to be sent in this order and with nothing in between."""


class Protocol:
    """One client's namespaces. Methods that return Frames have already changed the state."""

    def __init__(self, revision: Revision, settings: Settings, namespaces: Container[str]) -> None:
        self._revision = revision
        self._settings = settings
        self._known = namespaces
        self._decoder = Decoder(settings)
        self._states: dict[str, NamespaceState] = {}
        self._ack_ids: dict[str, Iterator[int]] = {}

    def start(self) -> ConnectAsked | None:
        """What happens before the client has said a word."""
        if self._revision == 4:
            return None
        self._states[MAIN] = NamespaceState.ASKED
        return ConnectAsked(MAIN, {})

    def receive(self, data: str | bytes) -> Happening | Frames | None:
        """What a message of the client means: something to act on, an answer to send, or nothing.
        Raises ProtocolError.
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
        self._set(namespace, after)
        if before is not NamespaceState.CONNECTED:
            return None  # after the end of the namespace, or before it has begun
        match message:
            case Message(type=MessageType.EVENT, data=[name, *args]):
                return EventCame(namespace, str(name), tuple(args), message.ack_id, message.size)
            case Message(type=MessageType.ACK, data=[*args], ack_id=int(ack_id)):
                return AckCame(namespace, ack_id, args)
            case Message(type=MessageType.DISCONNECT):
                return ClientLeft(namespace)
        return None  # an event without payload

    def _connect(self, message: Message) -> ConnectAsked | Frames:
        namespace = message.namespace
        if namespace not in self._known:
            return self._error(namespace, {"message": "Invalid namespace"})
        if namespace not in self._states and len(self._states) >= self._settings.max_namespaces:
            raise ProtocolError("too many namespaces")
        self._states[namespace] = NamespaceState.ASKED
        if self._revision == 4:
            return ConnectAsked(namespace, message.data or {})
        return ConnectAsked(namespace, parse_query_untrusted(message.query))

    def state(self, namespace: str) -> NamespaceState:
        return self._states.get(namespace, NamespaceState.ABSENT)

    def accept(self, namespace: str, sid: str) -> Frames:
        """The client is connected to the namespace it asked for."""
        self._states[namespace] = NamespaceState.CONNECTED
        self._ack_ids.setdefault(namespace, itertools.count())
        data = {"sid": sid} if self._revision == 4 else None
        return encode(Message(MessageType.CONNECT, namespace, data))

    def refuse(self, namespace: str, message: str, data: Json = None) -> Frames:
        """The client may not connect to the namespace it asked for."""
        self._set(namespace, NamespaceState.ABSENT)
        if self._revision == 3:
            return self._error(namespace, message if data is None else data)
        return self._error(
            namespace, {"message": message} if data is None else {"message": message, "data": data}
        )

    def event(self, namespace: str, name: str, args: tuple[Json, ...]) -> Frames:
        """An event that asks for no acknowledgement. Raises TypeError, ValueError as
        ``message.encode``.
        """
        return encode(Message(MessageType.EVENT, namespace, [name, *args]))

    def call(self, namespace: str, name: str, args: tuple[Json, ...]) -> tuple[int, Frames]:
        """An event to be acknowledged with the id. Raises as ``event``."""
        ack_id = next(self._ack_ids[namespace])
        return ack_id, encode(Message(MessageType.EVENT, namespace, [name, *args], ack_id))

    def ack(self, namespace: str, ack_id: int, args: tuple[Json, ...]) -> Frames:
        """The answer to the client's event with that id. Raises as ``event``."""
        return encode(Message(MessageType.ACK, namespace, list(args), ack_id))

    def leave(self, namespace: str) -> Frames:
        """End the namespace from this side."""
        self._states[namespace] = NamespaceState.LEFT
        return encode(Message(MessageType.DISCONNECT, namespace))

    def _error(self, namespace: str, data: Json) -> Frames:
        return encode(Message(MessageType.CONNECT_ERROR, namespace, data))

    def _set(self, namespace: str, state: NamespaceState) -> None:
        if state is NamespaceState.ABSENT:
            self._states.pop(namespace, None)
        else:
            self._states[namespace] = state

"""Socket.IO packets: their encoding in Engine.IO messages, and the parser of a client's packets.

    <type digit>[<attachments>-][<namespace>,][<ack id>][<JSON>]

One binary message for each attachment follows. The JSON holds
``{"_placeholder":true,"num":<index>}`` where an attachment belongs. A namespace begins with ``/``.
The namespace ``/`` itself is not written. Protocol 5 (socket.io 3 and 4) and protocol 4 (socket.io
2) share this format; in protocol 4 a query may follow the namespace (``/chat?token=abc``).

The parser reads JSON strictly: no NaN, no infinite numbers (``1e999``), a bounded depth.

No I/O here. The only state is a packet that waits for its attachments. ``protocol`` decides which
packet is allowed when.

Source: socket.io-protocol, revisions 4 and 5.
"""

import enum
import json
import math
import re
from typing import Final, NoReturn, cast

import attrs

from meet_trio.json_text import JsonText, to_text
from meet_trio.socketio.errors import ProtocolError
from meet_trio.socketio.settings import Settings

Json = object
"""None, bool, int, float, str, list of Json, dict of str to Json; also bytes in the arguments of an
event.
"""

MAIN: Final = "/"
# Ack ids are JavaScript numbers: a larger one would come back rounded.
MAX_ACK_ID: Final = 2**53 - 1
# The largest double has 309 digits. The time to parse an integer grows with the square of them.
_MAX_DIGITS: Final = 309
_PACKET_HEAD: Final = re.compile(
    r"([0-6])(?:([0-9]{1,9})-)?(?:(/[^,]{0,255})(?:,|\Z))?([0-9]{1,32})?", re.ASCII
)
_RESERVED_EVENTS: Final = frozenset(
    {"connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"}
)


class MessageType(enum.IntEnum):
    CONNECT = 0
    DISCONNECT = 1
    EVENT = 2
    ACK = 3
    CONNECT_ERROR = 4
    BINARY_EVENT = 5
    BINARY_ACK = 6


_WITHOUT_BINARY: Final = {
    MessageType.BINARY_EVENT: MessageType.EVENT,
    MessageType.BINARY_ACK: MessageType.ACK,
}
_WITH_BINARY: Final = {plain: binary for binary, plain in _WITHOUT_BINARY.items()}


@attrs.frozen
class Message:
    """A whole packet with its attachments.

    ``type`` is never BINARY_EVENT or BINARY_ACK: a binary packet has bytes in ``data``. ``query``
    is the text behind the namespace's ``?``. ``size`` is the length of the messages that it was
    read from.

    ``data`` depends on the type. EVENT: a list that begins with the event's name, empty if the
    packet had no payload. ACK: a list. CONNECT: a dict or None. CONNECT_ERROR: anything.
    DISCONNECT: None. The last item of a list that is encoded may be ``JsonText``.
    """

    type: MessageType
    namespace: str = MAIN
    data: Json = None
    ack_id: int | None = None
    query: str = ""
    size: int = attrs.field(default=0, eq=False)


def encode(message: Message) -> list[str | bytes]:
    """The Engine.IO messages of a packet: its text, then its attachments.

    Raises TypeError for data that are neither JSON nor bytes, ValueError for numbers that are not
    finite and for circular data.
    """
    attachments: list[str | bytes] = []

    def attach(value: object) -> Json:
        if not isinstance(value, bytes | bytearray | memoryview):
            raise TypeError(f"{type(value).__name__} is neither JSON nor bytes")
        attachments.append(bytes(value))
        return {"_placeholder": True, "num": len(attachments) - 1}

    text = ""
    data = message.data
    if type(data) is list and data and type(data[-1]) is JsonText:
        *first, last = data
        text = to_text(first, attach)[:-1] + ("," if first else "") + last.text + "]"
    elif data is not None:
        text = to_text(data, attach)
    kind = message.type
    head = ""
    if attachments:
        kind = _WITH_BINARY[kind]
        head = f"{len(attachments)}-"
    if message.namespace != MAIN:
        head += message.namespace + ","
    if message.ack_id is not None:
        head += str(message.ack_id)
    return [f"{kind.value}{head}{text}", *attachments]


class Decoder:
    """Makes Socket.IO packets from the Engine.IO messages of one client."""

    __slots__ = (
        "_attachments",
        "_expected",
        "_incomplete",
        "_settings",
    )

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._incomplete: Message | None = None
        self._expected = 0
        self._attachments: list[bytes] = []

    @property
    def at_rest(self) -> bool:
        """Whether no packet waits for attachments."""
        return self._incomplete is None

    def receive_untrusted(self, data: str | bytes) -> Message | None:
        """The packet that ``data`` completes, or None while attachments are missing. Raises
        ProtocolError.
        """
        if isinstance(data, bytes):
            return self._receive_attachment(data)
        if self._incomplete is not None:
            raise ProtocolError("text instead of an attachment")
        message, attachments = decode_untrusted(
            data, self._settings.max_json_depth, self._settings.max_json_items
        )
        if not attachments:
            return message
        if attachments > self._settings.max_attachments:
            raise ProtocolError("too many attachments")
        self._incomplete, self._expected = message, attachments
        return None

    def _receive_attachment(self, data: bytes) -> Message | None:
        if self._incomplete is None:
            raise ProtocolError("an attachment without a packet")
        self._attachments.append(data)
        size = self._incomplete.size + sum(map(len, self._attachments))
        if size > self._settings.max_inbox_bytes:
            raise ProtocolError("attachments too large")
        if len(self._attachments) < self._expected:
            return None
        whole = _fill_placeholders(self._incomplete.data, self._attachments)
        message = attrs.evolve(self._incomplete, data=whole, size=size)
        self._incomplete, self._attachments = None, []
        return message


def decode_untrusted(text: str, max_depth: int, max_items: int = 16_384) -> tuple[Message, int]:
    """The packet in a text message, and the number of its attachments. Raises ProtocolError."""
    head = _PACKET_HEAD.match(text)
    if head is None:
        raise ProtocolError("unknown packet type")
    digit, attachments, namespace, ack = head.groups()
    kind = MessageType(int(digit))
    if (attachments is None) == (kind in _WITHOUT_BINARY):
        raise ProtocolError("number of attachments missing or out of place")
    path, _, query = (namespace or MAIN).partition("?")
    message = Message(
        _WITHOUT_BINARY.get(kind, kind),
        path,
        _parse_json(text[head.end() :], max_depth, max_items),
        None if ack is None else int(ack),
        query,
        len(text),
    )
    return _validated(message), int(attachments or 0)


def _validated(message: Message) -> Message:
    data = message.data
    if message.ack_id is not None and message.ack_id > MAX_ACK_ID:
        raise ProtocolError("ack id out of range")
    match message.type:
        case MessageType.CONNECT:
            valid = (data is None or isinstance(data, dict)) and message.ack_id is None
        case MessageType.DISCONNECT:
            valid = data is None and message.ack_id is None
        case MessageType.ACK:
            if data is None:
                message = attrs.evolve(message, data=[])
            valid = isinstance(message.data, list) and message.ack_id is not None
        case MessageType.EVENT if data is None:
            return attrs.evolve(message, data=[])
        case MessageType.EVENT:
            valid = isinstance(data, list) and len(data) > 0 and _is_event_name(data[0])
        case _:
            valid = False  # only servers send CONNECT_ERROR
    if not valid:
        raise ProtocolError(f"malformed {message.type.name}")
    return message


def _is_event_name(name: Json) -> bool:
    if isinstance(name, str):
        return name not in _RESERVED_EVENTS
    return isinstance(name, int | float) and not isinstance(name, bool)


def _parse_json(text: str, max_depth: int, max_items: int) -> Json:
    if not text:
        return None
    # The number of values is bounded because a value costs a hundred times as much as a byte of a
    # string, here and in all code that handles it later. Counting characters is cheap. It also
    # counts those in strings, which does no harm.
    containers = text.count("[") + text.count("{")
    if containers + text.count(",") > max_items:
        raise ProtocolError("JSON with too many values, or too deep")
    try:
        data = json.loads(
            text, parse_constant=_refuse_constant, parse_int=_parse_int, parse_float=_parse_float
        )
    except ValueError:
        raise ProtocolError("malformed JSON") from None
    except RecursionError:
        raise ProtocolError("JSON too deep") from None
    if containers > max_depth and _is_deeper(data, max_depth):
        raise ProtocolError("JSON too deep")
    return cast(Json, data)


def _is_deeper(data: Json, max_depth: int) -> bool:
    level = [data] if isinstance(data, list | dict) else []
    for _ in range(max_depth):
        level = [
            item
            for container in level
            for item in (container.values() if isinstance(container, dict) else container)
            if isinstance(item, list | dict)
        ]
        if not level:
            return False
    return True


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _parse_int(digits: str) -> int:
    if len(digits) > _MAX_DIGITS:
        raise ValueError("number out of range")
    return int(digits)


def _parse_float(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError("number out of range")
    return number


def _fill_placeholders(data: Json, attachments: list[bytes]) -> Json:
    if isinstance(data, list):
        return [_fill_placeholders(item, attachments) for item in data]
    if not isinstance(data, dict):
        return data
    if data.get("_placeholder") is True:
        index = data.get("num")
        if type(index) is not int or not 0 <= index < len(attachments):
            raise ProtocolError("a placeholder without attachment")
        return attachments[index]
    return {key: _fill_placeholders(value, attachments) for key, value in data.items()}

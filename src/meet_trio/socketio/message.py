"""Socket.IO packets and how they look inside Engine.IO messages. No I/O; the only state is a packet
that waits for its attachments.

    <type digit>[<attachments>-][<namespace>,][<ack id>][<JSON>]      then a binary
                                                              message per attachment

The same for protocol 5 (socket.io 3 and 4) and 4 (socket.io 2); a namespace begins with ``/``, and
``/`` itself is not written; in protocol 4 a query may follow it (``/chat?token=abc``). JSON holds
``{"_placeholder":true,"num":<index>}`` where an attachment belongs.

JSON of clients is read strictly: no NaN, no infinite numbers (``1e999``), a bounded depth. What
Python would write and JavaScript could not read is never written: lone surrogates are escaped,
numbers that are not finite raise ValueError.

Source: socket.io-protocol, revisions 4 and 5.
"""

import enum
import json
import math
import re
from typing import Final, NoReturn, cast

import attrs

from meet_trio.socketio.errors import ProtocolError
from meet_trio.socketio.settings import Settings

Json = object
"""None, bool, int, float, str, list of Json, dict of str to Json; in the arguments of an event also
bytes.
"""

MAIN: Final = "/"
# Ack ids are JavaScript numbers: beyond this they would not come back as they went
MAX_ACK_ID: Final = 2**53 - 1
_MAX_DIGITS: Final = 309  # of the largest double; the time to read more of them grows by the square
_HEAD: Final = re.compile(
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
    """A whole packet. ``type`` is never a binary one: bytes in ``data`` say it. ``query`` is what
    followed the namespace's ``?``.

    ``data`` of EVENT: a list that begins with the name, empty if there was no payload; of ACK: a
    list; of CONNECT: a dict or None; of CONNECT_ERROR: anything; of DISCONNECT: None. ``size`` is
    the length of what it was read from.
    """

    type: MessageType
    namespace: str = MAIN
    data: Json = None
    ack_id: int | None = None
    query: str = ""
    size: int = attrs.field(default=0, eq=False)


def encode(message: Message) -> list[str | bytes]:
    """The Engine.IO messages of a packet: its text, then its attachments.

    Raises TypeError for what is not JSON, ValueError for numbers that are not finite and for
    circular data.
    """
    attachments: list[str | bytes] = []

    def attach(value: object) -> Json:
        if not isinstance(value, bytes | bytearray | memoryview):
            raise TypeError(f"{type(value).__name__} is neither JSON nor bytes")
        attachments.append(bytes(value))
        return {"_placeholder": True, "num": len(attachments) - 1}

    text = ""
    if message.data is not None:
        text = json.dumps(
            message.data,
            default=attach,
            ensure_ascii=False,
            allow_nan=False,
            separators=(",", ":"),
        )
        if not text.isascii():
            text = _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
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


_SURROGATE: Final = re.compile("[\ud800-\udfff]")


class Decoder:
    """Engine.IO messages in, Socket.IO packets out."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._waiting: Message | None = None
        self._missing = 0
        self._attachments: list[bytes] = []

    def receive_untrusted(self, data: str | bytes) -> Message | None:
        """The packet that ``data`` completes; None while attachments are missing. Raises
        ProtocolError.
        """
        if isinstance(data, bytes):
            return self._attachment(data)
        if self._waiting is not None:
            raise ProtocolError("text in place of an attachment")
        message, attachments = decode_untrusted(
            data, self._settings.max_json_depth, self._settings.max_json_items
        )
        if not attachments:
            return message
        if attachments > self._settings.max_attachments:
            raise ProtocolError("too many attachments")
        self._waiting, self._missing = message, attachments
        return None

    def _attachment(self, data: bytes) -> Message | None:
        if self._waiting is None:
            raise ProtocolError("an attachment that nothing waits for")
        self._attachments.append(data)
        size = self._waiting.size + sum(map(len, self._attachments))
        if size > self._settings.max_inbox_bytes:
            raise ProtocolError("attachments too large")
        if len(self._attachments) < self._missing:
            return None
        whole = _put_attachments(self._waiting.data, self._attachments)
        message = attrs.evolve(self._waiting, data=whole, size=size)
        self._waiting, self._attachments = None, []
        return message


def decode_untrusted(text: str, max_depth: int, max_items: int = 16_384) -> tuple[Message, int]:
    """The packet in a text message, and how many attachments belong to it. Raises ProtocolError."""
    head = _HEAD.match(text)
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
        _load(text[head.end() :], max_depth, max_items),
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
            valid = False  # only servers send it
    if not valid:
        raise ProtocolError(f"malformed {message.type.name}")
    return message


def _is_event_name(name: Json) -> bool:
    if isinstance(name, str):
        return name not in _RESERVED_EVENTS
    return isinstance(name, int | float) and not isinstance(name, bool)


def _load(text: str, max_depth: int, max_items: int) -> Json:
    if not text:
        return None
    # Counting is cheap, and what it finds in strings does no harm: an object costs the reader, and
    # everybody after it, a hundred times what a byte of a string does.
    containers = text.count("[") + text.count("{")
    if containers + text.count(",") > max_items:
        raise ProtocolError("JSON with too many values, or too deep")
    try:
        data = json.loads(text, parse_constant=_refuse, parse_int=_whole, parse_float=_finite)
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


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _whole(digits: str) -> int:
    if len(digits) > _MAX_DIGITS:
        raise ValueError("number out of range")
    return int(digits)


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError("number out of range")
    return number


def _put_attachments(data: Json, attachments: list[bytes]) -> Json:
    if isinstance(data, list):
        return [_put_attachments(item, attachments) for item in data]
    if not isinstance(data, dict):
        return data
    if data.get("_placeholder") is True:
        index = data.get("num")
        if type(index) is not int or not 0 <= index < len(attachments):
            raise ProtocolError("a placeholder without attachment")
        return attachments[index]
    return {key: _put_attachments(value, attachments) for key, value in data.items()}

"""Engine.IO packets: their encoding in websocket frames and in payloads of long-polling.

Revision 4 (socket.io 3 and 4):
  websocket   text ``<type digit><text>``; a binary frame is a message without a type byte
  payload     packets joined by U+001E; binary packets as ``b<base64>``
Revision 3 (socket.io 1 and 2):
  websocket   text as above; a binary frame is one type byte, then the message;
              ``b4<base64>`` for clients that cannot read binary frames
  payload     text, if no packet is binary: ``<length>:<packet>`` for each packet, the length in
              UTF-16 code units (JavaScript's ``length``)
              octets otherwise, for each packet: 0 (text) or 1 (binary); the digits of the length in
              bytes, each digit as a byte 0-9; 255; the packet as ``<type digit><UTF-8>`` or
              ``<type byte><octets>``

Only messages carry binary data. Functions that take bytes of a client have ``untrusted`` in their
name and raise nothing but ProtocolError. No I/O here, and no session: ``session`` decides which
packet is allowed when.

Source: engine.io-protocol, revisions 3 and 4.
"""

import base64
import binascii
import enum
from collections.abc import Iterable, Iterator

import attrs

from meet_trio.socketio.errors import ProtocolError
from meet_trio.socketio.frames import data_frame
from meet_trio.socketio.settings import Revision

_SEPARATOR = "\x1e"
_MAX_LENGTH_DIGITS = 10


class PacketType(enum.IntEnum):
    OPEN = 0
    CLOSE = 1
    PING = 2
    PONG = 3
    MESSAGE = 4
    UPGRADE = 5
    NOOP = 6


@attrs.frozen
class Packet:
    """``data`` is bytes in a binary message, else text."""

    type: PacketType
    data: str | bytes = ""


_TYPES = {str(kind.value): kind for kind in PacketType}


class EncodedPacket:
    """An encoded packet to be sent; one object for all clients that get it.

    ``frame`` is its websocket frame in revision 4. The payload of that, of ``size`` bytes, is
    ``octets``: ``<type digit><text>`` in UTF-8, or the binary message itself.
    """

    __slots__ = ("_memory", "binary", "frame", "size", "type")

    def __init__(self, packet: Packet) -> None:
        self._memory: PacketMemory | None = None
        self.type = packet.type
        self.binary = isinstance(packet.data, bytes)
        if isinstance(packet.data, bytes):
            octets = packet.data
        else:
            octets = f"{packet.type.value}{packet.data}".encode()
        self.size = len(octets)
        self.frame = data_frame(octets, text=not self.binary)

    @property
    def octets(self) -> bytes:
        return self.frame[len(self.frame) - self.size :]

    def packet(self) -> Packet:
        """The packet that it was made from."""
        octets = self.octets
        return Packet(self.type, octets if self.binary else octets[1:].decode())

    def count_in(self, memory: "PacketMemory") -> None:
        """Count it in ``memory`` until it is garbage. Further calls do nothing."""
        if self._memory is None:
            self._memory = memory
            memory.bytes += self.size + _OBJECT_BYTES

    def __del__(self) -> None:
        if self._memory is not None:
            self._memory.bytes -= self.size + _OBJECT_BYTES


_OBJECT_BYTES = 256  # bytes that the objects of a packet take beside its octets, roughly


class PacketMemory:
    """Counts the memory of packets that wait to be sent.

    A packet adds its size once and subtracts it when it is garbage. So the count is right without
    any knowledge of who holds a packet.
    """

    def __init__(self) -> None:
        self.bytes = 0


def encode_frame(packet: Packet, revision: Revision, *, b64: bool = False) -> str | bytes:
    """A packet as one websocket frame; always text with ``b64``."""
    if isinstance(packet.data, str):
        return f"{packet.type.value}{packet.data}"
    if b64:
        prefix = "b" if revision == 4 else f"b{packet.type.value}"
        return prefix + base64.b64encode(packet.data).decode("ascii")
    return packet.data if revision == 4 else bytes([packet.type.value]) + packet.data


def decode_frame_untrusted(frame: str | bytes, revision: Revision) -> Packet:
    """The packet in one websocket frame. Raises ProtocolError."""
    if isinstance(frame, bytes):
        if revision == 4:
            return Packet(PacketType.MESSAGE, frame)
        if frame[:1] != b"\x04":
            raise ProtocolError("a binary frame that is not a message")
        return Packet(PacketType.MESSAGE, frame[1:])
    if frame[:1] == "b":
        return _decode_base64(frame, revision)
    kind = _TYPES.get(frame[:1])
    if kind is None:
        raise ProtocolError("unknown packet type")
    return Packet(kind, frame[1:])


def encode_payload(
    packets: Iterable[Packet], revision: Revision, *, b64: bool = False
) -> str | bytes:
    """The body of one answer to a poll.

    It is octets in revision 3 if a packet is binary and ``b64`` is False, else text.
    """
    if revision == 4:
        return _SEPARATOR.join(str(encode_frame(packet, 4, b64=True)) for packet in packets)
    packets = list(packets)
    if b64 or all(isinstance(packet.data, str) for packet in packets):
        frames = (str(encode_frame(packet, 3, b64=True)) for packet in packets)
        return "".join(f"{_utf16_length(frame)}:{frame}" for frame in frames)
    parts = []
    for packet in packets:
        frame = encode_frame(packet, 3)
        body = frame.encode() if isinstance(frame, str) else frame
        length = bytes(int(digit) for digit in str(len(body)))
        parts.append(bytes([isinstance(frame, bytes)]) + length + b"\xff" + body)
    return b"".join(parts)


def decode_payload_untrusted(
    body: str | bytes, revision: Revision, max_packets: int
) -> list[Packet]:
    """The packets in the body of one POST. Raises ProtocolError.

    ``body`` is bytes if the content type is application/octet-stream, else text.
    """
    packets: list[Packet] = []
    for frame in _split_payload(body, revision, max_packets):
        if len(packets) >= max_packets:
            raise ProtocolError("too many packets in a payload")
        packets.append(decode_frame_untrusted(frame, revision))
    if not packets:
        raise ProtocolError("empty payload")
    return packets


def _split_payload(
    body: str | bytes, revision: Revision, max_packets: int
) -> Iterator[str | bytes]:
    if revision == 4:
        if isinstance(body, bytes):
            raise ProtocolError("octets in a payload of revision 4")
        return iter(body.split(_SEPARATOR, max_packets))
    return _split_octets(body) if isinstance(body, bytes) else _split_text(body)


def _split_text(body: str) -> Iterator[str]:
    # Lengths count UTF-16 code units. Each takes two bytes in this encoding.
    units = body.encode("utf-16-le", "surrogatepass")
    start = 0
    while start < len(units):
        colon = -1
        for at in range(start, min(start + 2 * (_MAX_LENGTH_DIGITS + 1), len(units)), 2):
            if units[at : at + 2] == b":\0":
                colon = at
                break
        digits = units[start:colon].decode("utf-16-le", "replace") if colon >= 0 else ""
        if not (digits.isascii() and digits.isdigit()):
            raise ProtocolError("malformed length in a payload")
        end = colon + 2 + 2 * int(digits)
        if end > len(units):
            raise ProtocolError("a payload shorter than its lengths say")
        try:
            yield units[colon + 2 : end].decode("utf-16-le")
        except UnicodeDecodeError:
            raise ProtocolError("a length in a payload that splits a character") from None
        start = end


def _split_octets(body: bytes) -> Iterator[str | bytes]:
    start = 0
    while start < len(body):
        end_of_length = body.find(b"\xff", start, start + _MAX_LENGTH_DIGITS + 2)
        digits = body[start + 1 : end_of_length] if end_of_length > start + 1 else b""
        if body[start] > 1 or not digits or max(digits) > 9:
            raise ProtocolError("malformed head in a payload")
        end = end_of_length + 1 + int("".join(map(str, digits)))
        if end > len(body):
            raise ProtocolError("a payload shorter than its lengths say")
        frame = body[end_of_length + 1 : end]
        if body[start] == 1:
            yield frame
        else:
            try:
                yield frame.decode()
            except UnicodeDecodeError:
                raise ProtocolError("a payload that is not UTF-8") from None
        start = end


def _decode_base64(frame: str, revision: Revision) -> Packet:
    start = 1
    if revision == 3:
        start = 2
        if frame[1:2] != "4":
            raise ProtocolError("a binary packet that is not a message")
    try:
        data = base64.b64decode(frame[start:], validate=True)
    except (binascii.Error, ValueError):
        raise ProtocolError("malformed base64") from None
    return Packet(PacketType.MESSAGE, data)


def _utf16_length(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2

"""Engine.IO packets and how they look on the wire, for both revisions. No I/O, no state.

Revision 4 (socket.io 3 and 4):
  websocket   text ``<type digit><text>``; a binary frame is a message as it stands
  payload     packets joined by U+001E; binary as ``b<base64>``
Revision 3 (socket.io 1 and 2):
  websocket   text as above; a binary frame is one type byte, then the message; for clients without
              binary ``b4<base64>``
  payload     text: ``<length>:<packet>`` again and again, length in UTF-16 code units
              (JavaScript's ``length``);
              octets, if any packet is binary: 0 (text) or 1 (binary), the digits of the length in
              bytes, each as a byte 0-9, then 255, then the packet: ``<type digit><UTF-8>`` or
              ``<type byte><octets>``

Source: engine.io-protocol, revisions 3 and 4. Functions on bytes of a client have ``untrusted`` in
their name and raise nothing but ProtocolError. Only messages carry binary data.
"""

import base64
import binascii
import enum
from collections.abc import Iterable, Iterator

import attrs

from meet_trio.socketio.errors import ProtocolError
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
    """``data`` is bytes for a binary message and text in all other cases."""

    type: PacketType
    data: str | bytes = ""


_TYPES = {str(kind.value): kind for kind in PacketType}


class Outgoing:
    """A packet on its way out: encoded when it is made, and one object however many clients get it.

    ``octets`` are what a websocket carries of it: ``<type digit><text>`` in UTF-8, or a binary
    message as it stands.
    """

    __slots__ = ("_account", "binary", "octets", "type")

    def __init__(self, packet: Packet) -> None:
        self._account: Account | None = None
        self.type = packet.type
        self.binary = isinstance(packet.data, bytes)
        if isinstance(packet.data, bytes):
            self.octets = packet.data
        else:
            self.octets = f"{packet.type.value}{packet.data}".encode()

    def packet(self) -> Packet:
        """What it was made of."""
        return Packet(self.type, self.octets if self.binary else self.octets[1:].decode())

    def count_in(self, account: "Account") -> None:
        """From now on, and once, as long as anybody holds it."""
        if self._account is None:
            self._account = account
            account.bytes += len(self.octets) + _OBJECT

    def __del__(self) -> None:
        if self._account is not None:
            self._account.bytes -= len(self.octets) + _OBJECT


_OBJECT = 256  # bytes that a packet takes beside its octets, about


class Account:
    """The memory of packets on their way out: each counts once, by its own life, so that nobody has
    to know who holds it and the count cannot go wrong.
    """

    def __init__(self) -> None:
        self.bytes = 0


def encode_frame(packet: Packet, revision: Revision, *, b64: bool = False) -> str | bytes:
    """One packet as one websocket frame. With ``b64`` the result is always text."""
    if isinstance(packet.data, str):
        return f"{packet.type.value}{packet.data}"
    if b64:
        prefix = "b" if revision == 4 else f"b{packet.type.value}"
        return prefix + base64.b64encode(packet.data).decode("ascii")
    return packet.data if revision == 4 else bytes([packet.type.value]) + packet.data


def decode_frame_untrusted(frame: str | bytes, revision: Revision) -> Packet:
    """The packet in one websocket frame."""
    if isinstance(frame, bytes):
        if revision == 4:
            return Packet(PacketType.MESSAGE, frame)
        if frame[:1] != b"\x04":
            raise ProtocolError("a binary frame that is no message")
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
    """The body of one answer to a poll: text, or octets (revision 3, not ``b64``, a packet is
    binary).
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
    """The packets in the body of one POST; bytes if its content type says octets."""
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
    # lengths count UTF-16 code units: two bytes each in this encoding
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
            raise ProtocolError("a payload shorter than it says")
        try:
            yield units[colon + 2 : end].decode("utf-16-le")
        except UnicodeDecodeError:
            raise ProtocolError("a payload that splits a character") from None
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
            raise ProtocolError("a payload shorter than it says")
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
            raise ProtocolError("a binary packet that is no message")
    try:
        data = base64.b64decode(frame[start:], validate=True)
    except (binascii.Error, ValueError):
        raise ProtocolError("malformed base64") from None
    return Packet(PacketType.MESSAGE, data)


def _utf16_length(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2

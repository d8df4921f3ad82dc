"""The frames of a websocket (RFC 6455 §5), at the server's end, without I/O.

``FrameProtocol`` has the methods that trio-websocket uses of wsproto's state machine, and takes its
place: wsproto needs 20 µs for a short message and 2 kB for each connection. It knows no extension
and no fragments of its own, since nothing here sends any. Its oracle in the tests is wsproto.

A data frame that has not come as a whole is passed on in pieces, so the code above can end a
message that is too long before it is there. Nothing is kept but a head or a control frame of which
a part is missing.
"""

import codecs
import struct
from collections.abc import Iterator
from typing import Final

from wsproto.connection import ConnectionState
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, Pong, TextMessage
from wsproto.frame_protocol import CloseReason
from wsproto.utilities import LocalProtocolError

_CONTINUATION: Final = 0
_TEXT: Final = 1
_BINARY: Final = 2
_CLOSE: Final = 8
_PING: Final = 9
_PONG: Final = 10
_CONTROL: Final = 0x08  # this bit of the opcode
_FIN: Final = 0x80
_RESERVED: Final = 0x70
_MASKED: Final = 0x80
_MAX_CONTROL: Final = 125  # bytes of a control frame's payload
# Codes of §7.4.1 that must not be sent, and the first code of §7.4.2 that needs no registration.
_LOCAL_CODES: Final = {1005, 1006, 1015}
_PROTOCOL_CODES: Final = {code.value for code in CloseReason} - _LOCAL_CODES
_FIRST_FREE_CODE: Final = 3000
_LAST_CODE: Final = 4999

_new_decoder = codecs.getincrementaldecoder("utf-8")


def data_frame(payload: bytes, *, text: bool) -> bytes:
    """A whole message in one frame, final and unmasked, as a server sends it."""
    first, size = 0x81 if text else 0x82, len(payload)
    if size < 126:
        return bytes((first, size)) + payload
    if size < 65536:
        return struct.pack("!BBH", first, 126, size) + payload
    return struct.pack("!BBQ", first, 127, size) + payload


class _Failed(Exception):
    """The client has broken the protocol."""

    def __init__(self, why: str, code: CloseReason = CloseReason.PROTOCOL_ERROR) -> None:
        super().__init__(why)
        self.code = code


class FrameProtocol:
    """The client's frames as events, and the control frames that answer them.

    After a close frame, and after one that breaks the protocol, there are no more events. The last
    is a CloseConnection; ``state`` is then REMOTE_CLOSING or CLOSED, or, after a broken one, what
    it was.
    """

    __slots__ = ("_at", "_buffer", "_decoder", "_key", "_left", "_message", "_over", "state")

    client: Final = False

    def __init__(self) -> None:
        self.state = ConnectionState.OPEN
        self._buffer = b""  # read up to ``_at``
        self._at = 0
        self._left = 0  # bytes of a data frame that have not come yet
        self._key = b""  # of these bytes
        self._message = 0  # opcode of the message that has begun; | _FIN: this frame is its last
        self._decoder: codecs.IncrementalDecoder | None = None  # of a text in several pieces
        self._over = False

    @property
    def untaken(self) -> bytes | None:
        """The beginning of a frame that was read, if no message has begun; else None."""
        if self._left or self._message or self._over or self.state is not ConnectionState.OPEN:
            return None
        return self._buffer[self._at :]

    def receive_data(self, data: bytes) -> None:
        """Take bytes of the client; ``events`` tells what they are."""
        if not self._over:
            self._buffer = self._buffer[self._at :] + data
            self._at = 0

    def events(self) -> Iterator[Event]:
        try:
            while not self._over and (event := self._next_untrusted()) is not None:
                yield event
        except _Failed as failed:
            self._over = True
            yield CloseConnection(code=failed.code, reason=str(failed))
        if self._over or self._at == len(self._buffer):
            self._buffer, self._at = b"", 0

    def send(self, event: Event) -> bytes:
        """The frame of a Pong or a CloseConnection. Raises LocalProtocolError if none may be sent
        any more.
        """
        if isinstance(event, Pong) and self.state is ConnectionState.OPEN:
            return bytes((_FIN | _PONG, len(event.payload))) + event.payload
        if isinstance(event, CloseConnection):
            if self.state is ConnectionState.OPEN:
                self.state = ConnectionState.LOCAL_CLOSING
                return _close_frame(event)
            if self.state is ConnectionState.REMOTE_CLOSING:
                self.state = ConnectionState.CLOSED
                return _close_frame(event)
        raise LocalProtocolError(f"{type(event).__name__} cannot be sent while {self.state.name}")

    def _next_untrusted(self) -> Event | None:
        data, at = self._buffer, self._at
        if self._left:
            return self._piece(data[at : at + self._left])
        if len(data) < at + 2:
            return None
        first, length = data[at], data[at + 1] & 0x7F
        opcode = first & 0x0F
        _check_head(first, data[at + 1])
        start = at + 6  # behind the key
        if length > 125:
            start += 2 if length == 126 else 8
            if len(data) < start:
                return None
            length = _long_length(data[at + 2 : start - 4])
        elif len(data) < start:
            return None
        key, end = data[start - 4 : start], start + length
        if opcode & _CONTROL:
            if len(data) < end:
                return None
            self._at = end
            return self._control(opcode, _unmasked(data[start:end], key))
        self._begin(opcode, first & _FIN)
        if end > len(data):
            self._at, self._left, self._key = start, length, key
            return self._piece(data[start:])
        self._at = end
        return self._data(_unmasked(data[start:end], key), finished=True)

    def _begin(self, opcode: int, fin: int) -> None:
        """A data frame begins."""
        if opcode == _CONTINUATION:
            if not self._message:
                raise _Failed("a continuation of nothing")
            self._message |= fin
        elif self._message:
            raise _Failed("a message within a message")
        else:
            self._message = opcode | fin

    def _piece(self, masked: bytes) -> Event | None:
        """The next bytes of a data frame of which the last are still to come, or come with them."""
        if not masked:
            return None
        payload, size = _unmasked(masked, self._key), len(masked)
        self._at += size
        self._left -= size
        self._key = self._key[size % 4 :] + self._key[: size % 4]
        return self._data(payload, finished=not self._left)

    def _data(self, payload: bytes, *, finished: bool) -> Event:
        """``finished``: these are the last bytes of the frame."""
        is_text = self._message & 0x0F == _TEXT
        last = finished and bool(self._message & _FIN)
        if last:
            self._message = 0
        if not is_text:
            return BytesMessage(data=payload, frame_finished=finished, message_finished=last)
        try:
            if last and self._decoder is None:
                text = payload.decode()
            else:
                if self._decoder is None:
                    self._decoder = _new_decoder()
                text = self._decoder.decode(payload, last)
        except UnicodeDecodeError:
            raise _Failed(
                "a text that is not UTF-8", CloseReason.INVALID_FRAME_PAYLOAD_DATA
            ) from None
        if last:
            self._decoder = None
        return TextMessage(data=text, frame_finished=finished, message_finished=last)

    def _control(self, opcode: int, payload: bytes) -> Event:
        if opcode == _PING:
            return Ping(payload=payload)
        if opcode == _PONG:
            return Pong(payload=payload)
        code, reason = _read_close(payload)
        self._over = True
        if self.state is ConnectionState.LOCAL_CLOSING:
            self.state = ConnectionState.CLOSED
        else:
            self.state = ConnectionState.REMOTE_CLOSING
        return CloseConnection(code=code, reason=reason)


def _check_head(first: int, second: int) -> None:
    """The first two bytes of a frame. Raises _Failed."""
    opcode = first & 0x0F
    if first & _RESERVED:
        raise _Failed("a reserved bit is set")
    if opcode not in (_TEXT, _BINARY, _CONTINUATION, _PING, _PONG, _CLOSE):
        raise _Failed(f"unknown opcode {opcode:#x}")
    if not second & _MASKED:
        raise _Failed("a frame without a mask")
    if opcode & _CONTROL and (not first & _FIN or second & 0x7F > _MAX_CONTROL):
        raise _Failed("a control frame that is fragmented or too long")


def _long_length(octets: bytes) -> int:
    """A length of 2 or 8 bytes, which must be needed. Raises _Failed."""
    length = int.from_bytes(octets, "big")
    if length < (126 if len(octets) == 2 else 65536) or length >> 63:
        raise _Failed("a length in the wrong form")
    return length


def _unmasked(data: bytes, key: bytes) -> bytes:
    """``data`` XOR ``key``, repeated (§5.3). As one number, which is fast for what one read has."""
    size = len(data)
    mask = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(data, "big") ^ int.from_bytes(mask, "big")).to_bytes(size, "big")


def _read_close(payload: bytes) -> tuple[int, str]:
    """Code and reason of a close frame. Raises _Failed."""
    if not payload:
        return CloseReason.NO_STATUS_RCVD, ""
    code = int.from_bytes(payload[:2], "big")
    if len(payload) == 1 or not (code in _PROTOCOL_CODES or _FIRST_FREE_CODE <= code <= _LAST_CODE):
        raise _Failed("a close frame with a code that must not be sent")
    try:
        return code, payload[2:].decode()
    except UnicodeDecodeError:
        raise _Failed(
            "a reason that is not UTF-8", CloseReason.INVALID_FRAME_PAYLOAD_DATA
        ) from None


def _close_frame(event: CloseConnection) -> bytes:
    """A code that must not be sent is left out, and the reason with it."""
    payload = b""
    if event.code not in _LOCAL_CODES:
        reason = (event.reason or "").encode()[: _MAX_CONTROL - 2]
        payload = struct.pack("!H", event.code) + reason.decode(errors="ignore").encode()
    return bytes((_FIN | _CLOSE, len(payload))) + payload

"""How much is read of a client, and how fast.

What a client sends costs this side more than its bytes: each message and each websocket frame is
worth ``message_cost`` of them, a request by polling ten times that. A client that sends more than
its rate is not refused, it is read more slowly; TCP makes it wait. One that has not yet shown who
it is (``Connection.trust``) is a stranger: it needs little, and gets little.

Frames are counted where bytes come in (``FrameCounter``), not where messages come out: a ping is
answered, and a fragment kept, before anybody has a message.
"""

from typing import Final

from meet_trio.socketio.errors import ProtocolError
from meet_trio.socketio.settings import Settings

REQUEST: Final = 10  # an HTTP request costs as many messages
_MOST_FRAGMENTS: Final = 4096  # of one message; each is kept until the last has come
_STRANGERS_PACKET: Final = 1024  # bytes: so many packets of a stranger fit into one payload


class Allowance:
    """A token bucket in bytes, full at first. Time is passed in."""

    def __init__(self, settings: Settings, now: float) -> None:
        self._settings = settings
        self._trusted = False
        self._left = self._burst
        self._since = now

    def trust(self, now: float) -> None:
        """It has shown who it is. Idempotent."""
        if not self._trusted:
            self._trusted = True
            self._left = self._burst
            self._since = now

    @property
    def max_payload(self) -> int:
        """What one message may have."""
        settings = self._settings
        if self._trusted:
            return settings.max_payload
        return min(settings.max_payload, settings.max_stranger_payload)

    @property
    def max_packets(self) -> int:
        """Of one POST."""
        if self._trusted:
            return self._settings.max_payload_packets
        return min(self._settings.max_payload_packets, self.max_payload // _STRANGERS_PACKET + 1)

    def take(self, size: int, messages: int, now: float) -> float:
        """So many bytes have come, with so many messages in them; seconds to wait before they are
        looked at.
        """
        gained = (now - self._since) * self._rate
        self._since = now
        self._left = min(self._left + gained, self._burst)
        self._left -= size + messages * self._settings.message_cost
        return max(0.0, -self._left / self._rate)

    @property
    def _rate(self) -> float:
        return self._settings.read_rate if self._trusted else self._settings.stranger_read_rate

    @property
    def _burst(self) -> float:
        return self._settings.read_burst if self._trusted else self._settings.stranger_read_burst


class FrameCounter:
    """How many websocket frames (RFC 6455 §5.2) a client has begun, after its opening handshake."""

    def __init__(self) -> None:
        self._in_handshake = True
        self._begun = b""  # of the handshake's end, or of a frame's head
        self._to_skip = 0  # bytes of the frame that is under way
        self._fragments = 0  # of the message that is under way

    def feed_untrusted(self, data: bytes) -> int:
        """The number of frames whose head ends in ``data``. Raises ProtocolError."""
        if self._in_handshake:
            data = self._begun + data
            end = data.find(b"\r\n\r\n")
            if end < 0:
                self._begun = data[-3:]
                return 0
            self._in_handshake, self._begun, data = False, b"", data[end + 4 :]
        if self._to_skip >= len(data):
            self._to_skip -= len(data)
            return 0
        data = self._begun + data[self._to_skip :]
        self._to_skip = 0
        frames = at = 0
        while (following := _end_of_frame(data, at)) is not None:
            frames += 1
            self._count_fragment(data[at] & 0x0F)
            at = following
        self._begun = b""
        if at < len(data):
            self._begun = data[at:]
        else:
            self._to_skip = at - len(data)
        return frames

    def _count_fragment(self, opcode: int) -> None:
        if opcode == 0:
            self._fragments += 1
            if self._fragments > _MOST_FRAGMENTS:
                raise ProtocolError("a message of too many fragments")
        elif opcode < 8:
            self._fragments = 0  # the first of a message; a control frame may come in between


def _end_of_frame(data: bytes, at: int) -> int | None:
    """Where the frame that begins there ends; None if its head is not complete."""
    if len(data) < at + 2:
        return None
    masked, length = data[at + 1] & 0x80, data[at + 1] & 0x7F
    start = at + 2
    if length > 125:
        digits = 2 if length == 126 else 8
        start += digits
        if len(data) < start:
            return None
        length = int.from_bytes(data[start - digits : start], "big")
    start += 4 if masked else 0
    return None if len(data) < start else start + length

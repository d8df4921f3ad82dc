"""The allowance of a client: how much the server reads from it, and how fast.

Input costs the server more than its bytes. Each message and each websocket frame therefore counts
as ``message_cost`` additional bytes, and an HTTP request of long-polling as ten messages. A client
that sends more than its rate is not refused: the server reads it more slowly, and TCP makes it
wait. A client that is not yet trusted (``EngineIOConnection.trust``) is a stranger. It needs
little, so its limits are lower.

Frames are counted where bytes come in (``FrameCounter``) and not where messages come out, because
a ping is answered, and a fragment is kept, before any message is complete.

Nothing here waits. ``Allowance`` computes the time, and the code that reads waits for it.
"""

from typing import Final

from meet_trio.socketio.errors import ProtocolError
from meet_trio.socketio.settings import Settings

MESSAGES_PER_REQUEST: Final = 10  # an HTTP request counts as this number of messages
_MAX_FRAGMENTS: Final = 4096  # in one message; each is kept until the last has come
# A stranger may put one packet into a payload for each of these bytes of its largest message.
_STRANGER_BYTES_PER_PACKET: Final = 1024


class Allowance:
    """The size limit of messages, and a token bucket in bytes, full at first. Time is passed in."""

    __slots__ = (
        "_refilled_at",
        "_settings",
        "_tokens",
        "_trusted",
    )

    def __init__(self, settings: Settings, now: float) -> None:
        self._settings = settings
        self._trusted = False
        self._tokens = self._burst
        self._refilled_at = now

    def trust(self, now: float) -> None:
        """Use the limits of a trusted client from now on, with a full bucket. Idempotent."""
        if not self._trusted:
            self._trusted = True
            self._tokens = self._burst
            self._refilled_at = now

    @property
    def max_payload(self) -> int:
        """The size limit of one message."""
        settings = self._settings
        if self._trusted:
            return settings.max_payload
        return min(settings.max_payload, settings.max_stranger_payload)

    @property
    def max_packets(self) -> int:
        """The most packets that one POST may carry."""
        if self._trusted:
            return self._settings.max_payload_packets
        of_its_size = self.max_payload // _STRANGER_BYTES_PER_PACKET + 1
        return min(self._settings.max_payload_packets, of_its_size)

    def take(self, size: int, messages: int, now: float) -> float:
        """Count ``size`` received bytes that hold ``messages`` messages.

        Returns the seconds to wait before they are processed.
        """
        gained = (now - self._refilled_at) * self._rate
        self._refilled_at = now
        self._tokens = min(self._tokens + gained, self._burst)
        self._tokens -= size + messages * self._settings.message_cost
        return max(0.0, -self._tokens / self._rate)

    @property
    def _rate(self) -> float:
        return self._settings.read_rate if self._trusted else self._settings.stranger_read_rate

    @property
    def _burst(self) -> float:
        return self._settings.read_burst if self._trusted else self._settings.stranger_read_burst


class FrameCounter:
    """Counts the websocket frames (RFC 6455 §5.2) that follow a client's opening handshake."""

    __slots__ = (
        "_fragments",
        "_incomplete_head",
        "_to_skip",
    )

    def __init__(self) -> None:
        self._incomplete_head = b""  # of a frame
        self._to_skip = 0  # bytes of the current frame that are still to come
        self._fragments = 0  # continuation frames of the current message

    def feed_untrusted(self, data: bytes) -> int:
        """Returns the number of frames whose head ends in ``data``. Raises ProtocolError."""
        if self._to_skip >= len(data):
            self._to_skip -= len(data)
            return 0
        data = self._incomplete_head + data[self._to_skip :]
        self._to_skip = 0
        frames = at = 0
        while (next_frame := _frame_end(data, at)) is not None:
            frames += 1
            self._count_fragment(data[at] & 0x0F)
            at = next_frame
        self._incomplete_head = b""
        if at < len(data):
            self._incomplete_head = data[at:]
        else:
            self._to_skip = at - len(data)
        return frames

    def _count_fragment(self, opcode: int) -> None:
        if opcode == 0:
            self._fragments += 1
            if self._fragments > _MAX_FRAGMENTS:
                raise ProtocolError("too many fragments in a message")
        elif opcode < 8:
            self._fragments = 0  # a message begins; control frames (8 and above) may interrupt one


def _frame_end(data: bytes, at: int) -> int | None:
    """The index behind the frame that begins at ``at``; None if its head is incomplete."""
    if len(data) < at + 2:
        return None
    masked, length = data[at + 1] & 0x80, data[at + 1] & 0x7F
    start = at + 2
    if length > 125:
        length_size = 2 if length == 126 else 8
        start += length_size
        if len(data) < start:
            return None
        length = int.from_bytes(data[start - length_size : start], "big")
    start += 4 if masked else 0
    return None if len(data) < start else start + length

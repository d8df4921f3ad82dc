"""The delivery of messages on a stream: which of them the other side cannot have received.

A write succeeds as soon as the bytes are in the kernel's buffer. A client on a dead network
receives none of them, and the server may notice that only half a minute later. The kernel knows how
many bytes the other side's TCP has not acknowledged. These are the last bytes that were written, so
``DeliveryTracker`` can tell which messages they belong to.

An acknowledged byte has reached the client's machine, or a proxy's. A byte without acknowledgement
may still have arrived if only the acknowledgement was lost. Sending its message again then makes
the client receive it twice.

Nothing is sent here. ``Socket.unreceived`` hands the answer to the application.
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

TLS_RECORD_SIZE = 16384  # bytes of plaintext in a TLS record (RFC 8446 §5.1)
_MAX_MESSAGES = 4096  # that are remembered
# With fewer remembered messages the kernel is not asked, since that costs a system call.
_FORGET_ABOVE = 8


@runtime_checkable
class AckCountingStream(Protocol):
    """A stream that knows how many of its bytes were acknowledged."""

    @property
    def overhead(self) -> int:
        """Additional bytes on the wire for each ``TLS_RECORD_SIZE`` of a ``send_all``."""
        ...

    def progress(self) -> tuple[int, int] | None:
        """Bytes on the wire since the connection was opened: how many the other side's TCP has
        acknowledged, and how many were written. None if the kernel does not tell.
        """
        ...


class DeliveryTracker:
    """Remembers at which position on the wire each of the last messages on ``stream`` ends.

    A message is any object that its writer wants to get back. If ``stream`` is no
    ``AckCountingStream``, only ``waiting`` is remembered.
    """

    __slots__ = (
        "_ends",
        "_overhead",
        "_stream",
        "_written",
        "waiting",
    )

    def __init__(self, stream: object) -> None:
        self.waiting: Sequence[object] = ()  # messages that the next write will carry
        self._stream = stream if isinstance(stream, AckCountingStream) else None
        self._ends: list[tuple[int, object]] = []
        self._written: int | None = None
        self._overhead = 0  # of the stream, which does not change

    def write(self, size: int, messages: Sequence[tuple[object, int]]) -> None:
        """Record that ``size`` bytes are about to be given to the stream. ``messages`` are the
        messages in them, each with the offset of its end.
        """
        if messages:
            self.waiting = ()
        if self._stream is None:
            return
        if self._written is None:
            # Asked now and not earlier, because the first writes to a TLS stream also carry session
            # tickets, whose bytes are not reported to ``write``.
            progress = self._stream.progress()
            if not messages or progress is None:
                return
            self._written = progress[1]
            self._overhead = self._stream.overhead
        overhead = self._overhead
        for message, end in messages:
            if overhead:  # a TLS record can only be read as a whole
                records = -(-end // TLS_RECORD_SIZE)
                end = min(records * TLS_RECORD_SIZE, size) + records * overhead
            self._ends.append((self._written + end, message))
        self._written += size + -(-size // TLS_RECORD_SIZE) * overhead
        if len(self._ends) > _FORGET_ABOVE:
            self._forget_acknowledged()
            del self._ends[:-_MAX_MESSAGES]

    def unreceived(self) -> list[object]:
        """The messages that were not acknowledged, oldest first, and those in ``waiting``."""
        self._forget_acknowledged()
        return [*(message for _, message in self._ends), *self.waiting]

    def close(self) -> None:
        """The stream is about to be closed: later acknowledgements do not count."""
        self._forget_acknowledged()
        self._stream = None

    def _forget_acknowledged(self) -> None:
        if self._stream is None:
            return
        progress = self._stream.progress()
        if progress is None:
            self._ends.clear()
            return
        acknowledged = 0
        while acknowledged < len(self._ends) and self._ends[acknowledged][0] <= progress[0]:
            acknowledged += 1
        del self._ends[:acknowledged]

"""Which of the messages written to a stream its other side cannot have got.

A message that was written has gone into the kernel's buffer and no further, as far as anybody here
knows; a client on a dead network gets none of it, and that may be noticed only half a minute later.
The kernel knows more: how many bytes the other side's TCP has not acknowledged. They are the last
ones that were written, so the messages they belong to can be told.

An acknowledged byte has reached the client's machine, or a proxy's. One that is not may still have
arrived, with its acknowledgement lost: then the client gets a message twice if it is sent again.
"""

from collections import deque
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

RECORD = 16384  # bytes of plaintext in a TLS record (RFC 8446 §5.1)
_MOST = 4096  # messages that are remembered
_SOME = 32


@runtime_checkable
class AccountableStream(Protocol):
    """What a stream offers if it can tell."""

    @property
    def overhead(self) -> int:
        """Bytes on the wire for each ``RECORD`` of a ``send_all`` beside those given to it."""
        ...

    def progress(self) -> tuple[int, int] | None:
        """Bytes on the wire since the connection was opened: how many the other side's TCP has
        acknowledged, and how many were written. None if that cannot be told.
        """
        ...


class Ledger:
    """Where on the wire the last messages written to ``stream`` end. A message is whatever object
    its writer wants to have back. Of a stream that cannot tell only ``waiting`` is remembered.
    """

    def __init__(self, stream: object) -> None:
        self.waiting: Sequence[object] = ()  # the next write will carry them
        self._stream = stream if isinstance(stream, AccountableStream) else None
        self._ends: deque[tuple[int, object]] = deque(maxlen=_MOST)
        self._written: int | None = None

    def write(self, size: int, messages: Sequence[tuple[object, int]]) -> None:
        """So many bytes are about to be given to the stream, after all others, with these messages
        in them, each with the offset of its end.
        """
        if messages:
            self.waiting = ()
        if self._stream is None:
            return
        if self._written is None:
            # Not earlier: the first writes to a TLS stream carry session tickets, too.
            progress = self._stream.progress()
            if not messages or progress is None:
                return
            self._written = progress[1]
        overhead = self._stream.overhead
        for message, end in messages:
            if overhead:  # what is encrypted together can only be read together
                records = -(-end // RECORD)
                end = min(records * RECORD, size) + records * overhead
            self._ends.append((self._written + end, message))
        self._written += size + -(-size // RECORD) * overhead
        if len(self._ends) > _SOME:
            self._forget_received()

    def unreceived(self) -> list[object]:
        """The messages that have not been acknowledged, oldest first."""
        self._forget_received()
        return [*(message for _, message in self._ends), *self.waiting]

    def close(self) -> None:
        """The stream is about to be closed; what was not acknowledged by now stays so."""
        self._forget_received()
        self._stream = None

    def _forget_received(self) -> None:
        if self._stream is None:
            return
        progress = self._stream.progress()
        if progress is None:
            self._ends.clear()
            return
        while self._ends and self._ends[0][0] <= progress[0]:
            self._ends.popleft()

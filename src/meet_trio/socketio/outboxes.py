"""The outboxes of all connections of a server, and what they may hold together.

Each outbox has limits of its own; a thousand clients that stop reading at once would still be too
many. What is told to many clients is one object in all their outboxes, and takes memory once: so
it counts once, for as long as any of them, or the ledger of a websocket, holds it. Counted once for
each, one large notice to a full room would look like more than there is.

Above the limit, connections are ended, those that hold the most first, and none that holds less
than an equal share of the limit: one that reads what it is sent is never among them. What they
held is let go at once and not kept for their return.
"""

from typing import Protocol

from meet_trio.socketio.packet import Account

_ENOUGH = 0.75  # of the limit is what may be left: looking for the largest has to be worth it
_STEP = 1 / 16  # of the limit must have come on top before they are looked for again


class Holder(Protocol):
    @property
    def outbox_bytes(self) -> int: ...

    def overflow(self) -> None: ...


class Outboxes:
    """``limit`` in bytes."""

    def __init__(self, limit: int) -> None:
        self.account = Account()
        self._limit = limit
        self._next = limit
        self._holders: set[Holder] = set()

    def add(self, holder: Holder) -> None:
        self._holders.add(holder)

    def remove(self, holder: Holder) -> None:
        self._holders.discard(holder)

    def check(self) -> None:
        """To be called when something was put into one of them."""
        if self.account.bytes <= self._limit:
            self._next = self._limit
        elif self.account.bytes > self._next:
            self._relieve()
            self._next = max(self._limit, self.account.bytes + int(self._limit * _STEP))

    def _relieve(self) -> None:
        share = self._limit / len(self._holders) if self._holders else 0
        for holder in sorted(self._holders, key=_held, reverse=True):
            if self.account.bytes <= self._limit * _ENOUGH or holder.outbox_bytes <= share:
                return
            holder.overflow()


def _held(holder: Holder) -> int:
    return holder.outbox_bytes

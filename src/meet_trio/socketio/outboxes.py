"""The common memory limit for the outboxes of all connections of a server.

Each outbox also has limits of its own, but a thousand clients that stop reading at once would
exceed the memory within them. A message to many clients is one object in all their outboxes. It
takes memory once, so it counts once, for as long as an outbox or the ledger of a websocket holds
it. If it counted for each outbox, one large notice to a full room would look like more memory than
it takes.

Above the limit, connections end. Those that hold the most end first. A connection that holds no
more than an equal share of the limit never ends, so a client that reads what it is sent is safe.
The messages of an ended connection are dropped at once and not kept for the client's return.
"""

from typing import Protocol

from meet_trio.socketio.packet import Account

_RELIEVE_TO = 0.75  # of the limit; low enough that all outboxes are not sorted for each message
_STEP = 1 / 16  # of the limit; the growth after which outboxes are sorted again


class Holder(Protocol):
    @property
    def outbox_bytes(self) -> int: ...

    def overflow(self) -> None: ...


class Outboxes:
    """The outboxes of one server. ``limit`` is in bytes."""

    def __init__(self, limit: int) -> None:
        self.account = Account()
        self._limit = limit
        self._relieve_above = limit
        self._holders: set[Holder] = set()

    def add(self, holder: Holder) -> None:
        self._holders.add(holder)

    def remove(self, holder: Holder) -> None:
        self._holders.discard(holder)

    def check(self) -> None:
        """Must be called after something was put into an outbox."""
        if self.account.bytes <= self._limit:
            self._relieve_above = self._limit
        elif self.account.bytes > self._relieve_above:
            self._relieve()
            self._relieve_above = max(self._limit, self.account.bytes + int(self._limit * _STEP))

    def _relieve(self) -> None:
        share = self._limit / len(self._holders) if self._holders else 0
        for holder in sorted(self._holders, key=_outbox_bytes, reverse=True):
            if self.account.bytes <= self._limit * _RELIEVE_TO or holder.outbox_bytes <= share:
                return
            holder.overflow()


def _outbox_bytes(holder: Holder) -> int:
    return holder.outbox_bytes

"""The common memory limit for the outboxes of all connections of a server.

Each outbox also has limits of its own, but a thousand clients that stop reading at once would
exceed the memory within them. A message to many clients is one object in all their outboxes. It
takes memory once, so it counts once, for as long as an outbox or the ``DeliveryTracker`` of a
websocket holds it. If it counted for each outbox, one large notice to a full room would look like
more memory than it takes.

Above the limit, connections end. Those that hold the most end first. A connection that holds no
more than an equal share of the limit never ends, so a client that reads what it is sent is safe.
The messages of an ended connection are dropped at once and not kept for the client's return.
"""

from typing import Protocol

from meet_trio.socketio.packet import PacketMemory

_RELIEVE_TO = 0.75  # of the limit; low enough that all outboxes are not sorted for each message
_STEP = 1 / 16  # of the limit; the growth after which outboxes are sorted again


class OutboxOwner(Protocol):
    """A connection, as far as its outbox goes."""

    @property
    def outbox_bytes(self) -> int: ...

    def overflow(self) -> None: ...


class Outboxes:
    """The outboxes of one server. ``limit`` is in bytes."""

    def __init__(self, limit: int) -> None:
        self.memory = PacketMemory()
        self._limit = limit
        self._relieve_above = limit
        self._owners: set[OutboxOwner] = set()

    def add(self, owner: OutboxOwner) -> None:
        self._owners.add(owner)

    def remove(self, owner: OutboxOwner) -> None:
        self._owners.discard(owner)

    def check(self) -> None:
        """Must be called after something was put into an outbox."""
        if self.memory.bytes <= self._limit:
            self._relieve_above = self._limit
        elif self.memory.bytes > self._relieve_above:
            self._relieve()
            self._relieve_above = max(self._limit, self.memory.bytes + int(self._limit * _STEP))

    def _relieve(self) -> None:
        share = self._limit / len(self._owners) if self._owners else 0
        for owner in sorted(self._owners, key=_outbox_bytes, reverse=True):
            if self.memory.bytes <= self._limit * _RELIEVE_TO or owner.outbox_bytes <= share:
                return
            owner.overflow()


def _outbox_bytes(owner: OutboxOwner) -> int:
    return owner.outbox_bytes

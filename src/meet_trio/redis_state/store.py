"""What has changed and is not in Redis yet. A key that has changed ten times is written once, so
while Redis is gone no more waits than there is state.
"""

from collections.abc import Sequence

import attrs
import trio


@attrs.frozen
class Batch:
    """Records to write, and keys of those to delete. Made between two steps of rooms, it holds
    whole ones.
    """

    puts: Sequence[tuple[str, bytes]] = ()
    drops: Sequence[str] = ()


@attrs.define(eq=False)
class RedisStore:
    """A ``RecordStore``. The payloads are those that the journal has too, not copies."""

    _live: dict[str, bytes] = attrs.field(factory=dict)
    _changed: dict[str, None] = attrs.field(factory=dict)
    _size: int = 0
    work: trio.Event = attrs.field(factory=trio.Event)

    def put(self, key: str, payload: bytes) -> None:
        self._size += len(payload) - len(self._live.get(key, b""))
        self._live[key] = payload
        self._changed[key] = None
        self.work.set()

    def drop(self, key: str) -> None:
        if (payload := self._live.pop(key, None)) is not None:
            self._size -= len(payload)
            self._changed[key] = None
            self.work.set()

    def flush(self) -> None:
        """Nothing waits for Redis."""

    @property
    def size(self) -> int:
        """Bytes of all payloads."""
        return self._size

    @property
    def changed(self) -> int:
        """Records that wait."""
        return len(self._changed)

    @property
    def changed_size(self) -> int:
        return sum(len(self._live.get(key, b"")) for key in self._changed)

    def take(self) -> Batch:
        """All that has changed. It counts as written."""
        changed, self._changed = self._changed, {}
        self.work = trio.Event()
        return Batch(
            [(key, self._live[key]) for key in changed if key in self._live],
            [key for key in changed if key not in self._live],
        )

    def give_back(self, batch: Batch) -> None:
        """It was not written, or that is not known."""
        for key in (*(key for key, _ in batch.puts), *batch.drops):
            self._changed[key] = None
        self.work.set()

    def slices(self, most: int) -> Sequence[Sequence[str]]:
        """The keys of all records, in parts of about ``most`` bytes."""
        found: list[list[str]] = [[]]
        size = 0
        for key, payload in self._live.items():
            if size >= most:
                found.append([])
                size = 0
            found[-1].append(key)
            size += len(payload)
        return found

    def payloads(self, keys: Sequence[str]) -> Sequence[tuple[str, bytes]]:
        """Those that are still there."""
        return [(key, self._live[key]) for key in keys if key in self._live]

"""How many there may be at once who have proven nothing, in all and of each client, and who has to
go for one more.

Of a client that has as many as it may, the oldest goes; of too many in all, the oldest of the
client that has the most. So those who come in a crowd displace each other, the ones that do nothing
first. An honest one proves itself in a round trip, and is not displaced by fewer than come in that
time. Each operation takes a constant time.
"""

from collections.abc import Hashable
from typing import Generic, TypeVar

import attrs

Member = TypeVar("Member", bound=Hashable)


@attrs.define(eq=False)
class Crowd(Generic[Member]):
    """``most`` in all, ``most_per_key`` of each key; key None counts in all only."""

    most: int
    most_per_key: int
    total: int = 0
    _members: dict[str | None, dict[Member, None]] = attrs.field(factory=dict)
    _by_size: dict[int, dict[str | None, None]] = attrs.field(factory=dict)
    _largest: int = 0

    def add(self, key: str | None, member: Member) -> None:
        """The newest, also if it has been there already."""
        self.remove(key, member)
        members = self._members.setdefault(key, {})
        members[member] = None
        self.total += 1
        self._moved(key, len(members) - 1, len(members))

    def remove(self, key: str | None, member: Member) -> None:
        """Does nothing if it is not there."""
        members = self._members.get(key, {})
        if member not in members:
            return
        del members[member]
        self.total -= 1
        self._moved(key, len(members) + 1, len(members))
        if not members:
            del self._members[key]

    def too_many(self, key: str | None) -> Member | None:
        """Who has to go for one more of ``key``; None if nobody has to."""
        if key is not None and self.of(key) >= self.most_per_key:
            return next(iter(self._members[key]))
        return self.oldest() if self.total >= self.most else None

    def oldest(self) -> Member | None:
        """Of those whose key has the most; None if there is nobody."""
        if not self.total:
            return None
        key = next(iter(self._by_size[self._largest]))
        return next(iter(self._members[key]))

    def crowded(self, key: str | None) -> bool:
        """Half of what may be, or more."""
        return 2 * self.total >= self.most or (
            key is not None and 2 * self.of(key) >= self.most_per_key
        )

    def of(self, key: str | None) -> int:
        return len(self._members.get(key, ()))

    def _moved(self, key: str | None, was: int, size: int) -> None:
        if was:
            del self._by_size[was][key]
        if size:
            self._by_size.setdefault(size, {})[key] = None
        if was and not self._by_size[was]:
            del self._by_size[was]
        # one at a time comes or goes, so the next largest is next to it
        if size > self._largest or self._largest not in self._by_size:
            self._largest = size

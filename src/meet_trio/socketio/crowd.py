"""A bounded set of members that have proven nothing yet, and which of them a new member replaces.

There are two limits: for each key (a client) and for the whole crowd. When a key is at its limit,
its oldest member has to go. When the whole crowd is at its limit, the oldest member of the key that
has the most members has to go. So an attacker's members displace each other, the idle ones
first: an owner may ``add`` a member again once it has made progress. An honest member proves itself
within one round trip. To displace it, an attacker has to fill a whole limit within that time.

Each operation takes constant time. The crowd closes nothing: its owner does.
"""

from collections.abc import Hashable
from typing import Generic, TypeVar

import attrs

Member = TypeVar("Member", bound=Hashable)


@attrs.define(eq=False)
class Crowd(Generic[Member]):
    """At most ``most`` members, and ``most_per_key`` of each key. The key None has no limit of its
    own.
    """

    most: int
    most_per_key: int
    total: int = 0
    _members: dict[str | None, dict[Member, None]] = attrs.field(factory=dict)
    _by_size: dict[int, dict[str | None, None]] = attrs.field(factory=dict)
    _largest: int = 0

    def add(self, key: str | None, member: Member) -> None:
        """Add ``member`` as the newest. A member that is already there becomes the newest."""
        self.remove(key, member)
        members = self._members.setdefault(key, {})
        members[member] = None
        self.total += 1
        self._size_changed(key, len(members) - 1, len(members))

    def remove(self, key: str | None, member: Member) -> None:
        """Remove ``member``; does nothing if it is not there."""
        members = self._members.get(key, {})
        if member not in members:
            return
        del members[member]
        self.total -= 1
        self._size_changed(key, len(members) + 1, len(members))
        if not members:
            del self._members[key]

    def too_many(self, key: str | None) -> Member | None:
        """The member that has to go before one more of ``key`` comes; None if there is room."""
        if key is not None and self.of(key) >= self.most_per_key:
            return next(iter(self._members[key]))
        return self.oldest() if self.total >= self.most else None

    def oldest(self) -> Member | None:
        """The oldest member of the key that has the most; None if the crowd is empty."""
        if not self.total:
            return None
        key = next(iter(self._by_size[self._largest]))
        return next(iter(self._members[key]))

    def crowded(self, key: str | None) -> bool:
        """Whether the crowd, or ``key``, is at half of its limit or above."""
        return 2 * self.total >= self.most or (
            key is not None and 2 * self.of(key) >= self.most_per_key
        )

    def of(self, key: str | None) -> int:
        return len(self._members.get(key, ()))

    def _size_changed(self, key: str | None, old_size: int, new_size: int) -> None:
        if old_size:
            del self._by_size[old_size][key]
        if new_size:
            self._by_size.setdefault(new_size, {})[key] = None
        if old_size and not self._by_size[old_size]:
            del self._by_size[old_size]
        # a change is by one, so a new largest size is always the size of this key
        if new_size > self._largest or self._largest not in self._by_size:
            self._largest = new_size

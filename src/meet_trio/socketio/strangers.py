"""A bounded set of strangers (members that have proven nothing yet), and which of them to evict.

There are two limits: for each key (a client) and for all members. When a key is at its limit, its
oldest member is evicted. When the whole set is at its limit, the oldest member of the key with the
most members is evicted. So an attacker's members evict each other, the idle ones first: an owner
may ``add`` a member again once it has made progress. An honest member proves itself within one
round trip. To evict it, an attacker has to fill a whole limit within that time.

Each operation takes constant time. The set closes nothing: its owner does.
"""

from collections.abc import Hashable
from typing import Generic, TypeVar

import attrs

Member = TypeVar("Member", bound=Hashable)


@attrs.define(eq=False)
class Strangers(Generic[Member]):
    """At most ``limit`` members, and ``limit_per_key`` of each key. The key None has no limit of
    its own.
    """

    limit: int
    limit_per_key: int
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

    def to_evict(self, key: str | None) -> Member | None:
        """The member to evict before a new one of ``key`` is added; None if there is room."""
        if key is not None and self.count(key) >= self.limit_per_key:
            return next(iter(self._members[key]))
        return self.oldest_of_largest_key() if self.total >= self.limit else None

    def oldest_of_largest_key(self) -> Member | None:
        """The oldest member of the key with the most members; None if there are no members."""
        if not self.total:
            return None
        key = next(iter(self._by_size[self._largest]))
        return next(iter(self._members[key]))

    def is_half_full(self, key: str | None) -> bool:
        """Whether all members, or those of ``key``, are at least half of their limit."""
        return 2 * self.total >= self.limit or (
            key is not None and 2 * self.count(key) >= self.limit_per_key
        )

    def count(self, key: str | None) -> int:
        """The number of members of ``key``."""
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

"""Whose camera is forwarded in a room with last-N: those of the N latest speakers.

The order of the peers with a camera is: the latest speakers first, then those who have not spoken,
the oldest camera first. The first N + 1 of the order are the *front*. A viewer gets the first N of
them without itself, so the last of the front is only for viewers that are in the front.

A peer that falls out of the front *lingers*: who sees it goes on to see it for ``OVERLAP``, until
the pictures of the newcomer have come.
"""

from collections.abc import Iterable, Sequence
from itertools import islice

import attrs

MAX_LAST_N = 1000
"""The highest N. Nobody looks at as many pictures."""

OVERLAP = 1.0
"""Seconds that a camera is still forwarded after another one has taken its place."""


@attrs.frozen
class KeptLastN:
    """The values of ``LastN`` that cannot be worked out again.

    - ``is_on`` and ``wide``: as of the last update. ``wide`` is how many of the front all see.
    - ``lingering``: the peers that linger. The times until when are left out, because they are
      those of one process. A later process lets the peers linger for ``OVERLAP`` again.
    """

    n: int | None = None
    front: tuple[str, ...] = ()
    latest: tuple[str, ...] = ()
    is_on: bool = False
    wide: int = 0
    lingering: tuple[str, ...] = ()


@attrs.define(eq=False)
class LastN:
    """``n`` None: last-N is off, all cameras are forwarded. ``front`` is empty then."""

    n: int | None = None
    front: tuple[str, ...] = ()
    latest: tuple[str, ...] = ()
    stale: bool = False  # the front has to be worked out again
    _is_on: bool = False  # at the last update
    _wide: frozenset[str] = frozenset()  # the front without its last: whom all others see
    _lingering: dict[str, float] = attrs.field(factory=dict)  # until when

    @classmethod
    def restored(cls, kept: KeptLastN, now: float) -> "LastN":
        """The front is worked out at the next update. It stays the same if nothing has changed."""
        return cls(
            kept.n,
            kept.front,
            kept.latest,
            stale=True,
            is_on=kept.is_on,
            wide=frozenset(kept.front[: kept.wide]),
            lingering=dict.fromkeys(kept.lingering, now + OVERLAP),
        )

    def kept(self) -> KeptLastN:
        lingering = tuple(self._lingering)
        return KeptLastN(self.n, self.front, self.latest, self._is_on, len(self._wide), lingering)

    def set(self, n: int | None) -> None:
        self.stale = self.stale or n != self.n
        self.n = n

    def rank(self, latest: Iterable[str]) -> None:
        """Take over the latest speakers, the newest first."""
        ranked = tuple(latest)
        self.stale = self.stale or ranked != self.latest
        self.latest = ranked

    def wants(self, viewer: str, publisher: str, *, sees: bool) -> bool:
        """Whether ``viewer`` is to get the camera of ``publisher``, that it ``sees`` now or not."""
        if not self._is_on or publisher in self._wide:
            return True
        if publisher in self.front and viewer in self._wide:
            return True
        return sees and publisher in self._lingering

    @property
    def deadline(self) -> float:
        """The time at which the next peer ceases to linger."""
        return min(self._lingering.values(), default=float("inf"))

    def update(self, cameras: Iterable[str], now: float, paused: Iterable[str] = ()) -> list[str]:
        """Work out the front from the peers with a camera. Returns the peers for whose viewers
        something may have changed: those that come in before those that fall out. ``paused``: the
        peers with a camera that is paused, which last-N holds back too.
        """
        ended = [peer for peer, until in self._lingering.items() if until <= now]
        for peer in ended:
            del self._lingering[peer]
        if not self.stale:
            return ended
        self.stale = False
        known = list(dict.fromkeys(cameras))
        before, wide_before = self.front, self._wide
        was_on, self._is_on = self._is_on, self.n is not None
        self.front = self._find_front(known)
        wide = self._wide = frozenset(self.front[: self.n])
        if was_on is not self._is_on:
            self._lingering.clear()
            return list(dict.fromkeys((*self.front, *known, *paused)))
        come = [peer for peer in self.front if peer not in before or peer in wide - wide_before]
        fallen = [peer for peer in before if peer not in self.front or peer in wide_before - wide]
        for peer in wide & self._lingering.keys():
            del self._lingering[peer]
        for peer in fallen:
            self._lingering[peer] = now + OVERLAP
        # which viewers get the last of the front depends on the others
        edges = [front[-1] for front in (self.front, before) if front and wide != wide_before]
        return list(dict.fromkeys((*come, *edges, *fallen, *ended)))

    def _find_front(self, cameras: Sequence[str]) -> tuple[str, ...]:
        if self.n is None:
            return ()
        known = set(cameras)
        order = dict.fromkeys((*(peer for peer in self.latest if peer in known), *cameras))
        return tuple(islice(order, self.n + 1))

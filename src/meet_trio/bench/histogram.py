"""Times counted in buckets, as ``engine/c/crowd/histogram.h`` has them: 32 for each power of two.

So a percentile is at most 3 % above the true value, and memory does not grow with the times.
"""

from collections.abc import Sequence

import attrs

_EXACT = 32
_OCTAVES = 21
BUCKETS = (_OCTAVES + 1) * _EXACT + 1


def upper(index: int) -> int:
    """The longest time of a bucket, in µs."""
    if index < 2 * _EXACT:
        return index
    shift = index // _EXACT - 1
    return ((index % _EXACT + _EXACT + 1) << shift) - 1


@attrs.frozen
class Histogram:
    """``counts`` by bucket."""

    counts: Sequence[int] = attrs.field(factory=lambda: [0] * BUCKETS)

    @property
    def count(self) -> int:
        return sum(self.counts)

    def since(self, before: "Histogram") -> "Histogram":
        """What was counted after ``before``."""
        return Histogram([a - b for a, b in zip(self.counts, before.counts, strict=True)])

    def plus(self, other: "Histogram") -> "Histogram":
        return Histogram([a + b for a, b in zip(self.counts, other.counts, strict=True)])

    def percentile(self, percent: float) -> float | None:
        """Milliseconds that ``percent`` of the times do not exceed; None without times."""
        total = self.count
        if not total:
            return None
        rank = max(1, -int(-total * percent // 100))
        for index, number in enumerate(self.counts):
            rank -= number
            if rank <= 0:
                return upper(index) / 1e3
        raise AssertionError("the counts are less than their sum")

    @property
    def longest(self) -> float | None:
        """Milliseconds: the upper end of the highest bucket that was used."""
        return self.percentile(100)

"""What the figures of ``GET lag`` say. They are sums over all time: the difference of two answers
has those of the time between them.
"""

from collections.abc import Sequence

from meet_trio.lag import BOUNDS


def share_above(
    limit: float, counts: Sequence[int], seconds: Sequence[float], total: float
) -> float:
    """The share of the moments within ``total`` seconds that have a lag above ``limit``. The limit
    is 0 or one of ``BOUNDS``. ``counts`` and ``seconds`` are those of ``TurnLengths``.
    """
    first = BOUNDS.index(limit) + 1 if limit else 0
    return (sum(seconds[first:]) - limit * sum(counts[first:])) / total


def quantile(share: float, counts: Sequence[int], seconds: Sequence[float], total: float) -> float:
    """The lag in seconds that only ``1 - share`` of all moments exceed.

    Between two bounds it is interpolated linearly, which is never too low. Above the last bound it
    is infinity.
    """
    above, low = share_above(0, counts, seconds, total), 0.0
    for bound in BOUNDS:
        if above <= 1 - share:
            break
        above_bound = share_above(bound, counts, seconds, total)
        if above_bound <= 1 - share:
            return low + (bound - low) * (above - (1 - share)) / (above - above_bound)
        above, low = above_bound, bound
    else:
        return float("inf")
    return low

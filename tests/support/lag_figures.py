"""What the figures of ``GET lag`` say. They are sums over all time: the difference of two answers
has those of the time between them.
"""

from collections.abc import Sequence

from meet_trio.lag import BOUNDS


def share_above(
    limit: float, counts: Sequence[int], seconds: Sequence[float], total: float
) -> float:
    """The share of the moments of ``total`` seconds that have a lag above ``limit``, which is 0 or
    one of ``BOUNDS``. ``counts`` and ``seconds`` have one entry for each bucket.
    """
    first = BOUNDS.index(limit) + 1 if limit else 0
    return (sum(seconds[first:]) - limit * sum(counts[first:])) / total


def quantile(share: float, counts: Sequence[int], seconds: Sequence[float], total: float) -> float:
    """The lag in seconds that only ``1 - share`` of all moments exceed. Between two bounds it is
    interpolated linearly, which is never too low. Beyond the last bound it is infinity.
    """
    above, low = share_above(0, counts, seconds, total), 0.0
    for bound in BOUNDS:
        if above <= 1 - share:
            break
        more = share_above(bound, counts, seconds, total)
        if more <= 1 - share:
            return low + (bound - low) * (above - (1 - share)) / (above - more)
        above, low = more, bound
    else:
        return float("inf")
    return low

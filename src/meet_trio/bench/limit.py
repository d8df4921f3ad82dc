"""The search for the greatest load that a server carries.

The load is doubled until it is too much, and then the gap between what was carried and what was not
is halved, until it is less than a tenth. Each step is a run of its own. A load that was not carried
is tried a second time, because another program on the machine may have been the reason. The search
knows nothing of servers: it names a load and is told whether it was carried.
"""

import attrs

from meet_trio.bench.result import LATE_PERCENT, Result
from meet_trio.bench.samples import FAULTS

MOST_RUNS = 30
_CLOSE_ENOUGH = 0.1  # of the load that was carried


@attrs.frozen
class Bars:
    """What a run must reach to count as carried. Times are in milliseconds."""

    lost_percent: float = 0.5
    forwarded_percent: float = 98.0
    delay_p99: float = 50.0
    first_media_p99: float = 2000.0
    ping_p99: float = 500.0


@attrs.define
class LimitSearch:
    """``carried``: the greatest load that was; ``refused``: the least that was not. ``most``: no
    greater load is tried.
    """

    first: int
    most: int
    carried: int = 0
    refused: int | None = None
    runs: int = 0
    _doubted: int | None = None
    """A load that was not carried once."""

    def next(self) -> int | None:
        """The load to try now; None: the limit is found, or there were too many runs."""
        if self.runs >= MOST_RUNS:
            return None
        if self._doubted is not None:
            return self._doubted
        if self.refused is None:
            load = max(self.first, 2 * self.carried)
            return min(load, self.most) if self.carried < self.most else None
        gap = self.refused - self.carried
        if gap <= 1 or (self.carried and gap < _CLOSE_ENOUGH * self.carried):
            return None
        return self.carried + gap // 2

    def tell(self, load: int, carried: bool) -> None:
        """What came of a load that ``next`` has named."""
        self.runs += 1
        first_time, self._doubted = self._doubted != load, None
        if carried:
            self.carried = max(self.carried, load)
        elif first_time:
            self._doubted = load
        else:
            self.refused = load if self.refused is None else min(self.refused, load)


def shortfalls(result: Result, bars: Bars) -> list[str]:
    """Which bars a run has missed, as words; empty: the server has carried the load."""
    if result.saturated:
        return ["the generator was at its limit, so the server may carry more"]
    figures = result.figures()
    media, joins = figures["media"], figures["joins"]
    found = []
    if joins["failures"]:
        reason, number = max(joins["failures"].items(), key=lambda item: item[1])
        found.append(f"{sum(joins['failures'].values())} peers have failed ({number}: {reason})")
    if media is None:
        return [*found, "nothing was measured"]
    for number, what in (
        (result.missing_streams, "never offered"),
        (media["silent_streams"], "never begun"),
    ):
        if number:
            found.append(f"{number} streams {what}")
    if (lost := media["lost_percent"]) > bars.lost_percent:
        found.append(f"{lost:.2f} % lost")
    forwarded = media["forwarded_percent"]
    if forwarded is not None and forwarded + result.frame_percent < bars.forwarded_percent:
        found.append(f"{forwarded:.1f} % of the packets forwarded")
    if (delay := media["delay_ms"]["p99"]) is not None and delay > bars.delay_p99:
        found.append(f"delay p99 {delay:.0f} ms")
    for name, spread, bar in (
        ("first media p99", joins["first_media_ms"], bars.first_media_p99),
        ("signaling round trip p99", media["ping_ms"], bars.ping_p99),
    ):
        if spread is not None and spread["p99"] > bar:
            found.append(f"{name} {spread['p99']:.0f} ms")
    wrong = sum(result.final.counters[name] for name in FAULTS)
    if wrong:
        found.append(f"{wrong} packets were wrong")
    late = figures["generator"]["late_frames_percent"]
    if found and late > LATE_PERCENT:
        found.append(f"but the machine was busy: {late:.0f} % of the frames left late")
    return found

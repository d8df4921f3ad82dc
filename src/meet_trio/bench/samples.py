"""What is counted at one moment of a run, and between two."""

from collections.abc import Mapping, Sequence

import attrs

from meet_trio.bench.histogram import Histogram
from meet_trio.bench.process import Spent, Usage, between

FAULTS = ("duplicates", "unauthentic", "malformed", "unknown_ssrc", "unlabelled", "wrong_feed")
"""Counters of packets that should not have come as they did."""


@attrs.frozen
class Sample:
    """All that is counted, at one moment. ``generator`` is our own process; ``threads`` is how many
    crowds there are.
    """

    at: float
    counters: Mapping[str, int]
    delay: Histogram
    longest_delay: int
    server: Usage | None
    generator: Usage
    threads: int = 1


@attrs.frozen
class Interval:
    """Between two samples."""

    before: Sample
    after: Sample

    @property
    def seconds(self) -> float:
        return self.after.at - self.before.at

    def count(self, name: str) -> int:
        return self.after.counters[name] - self.before.counters[name]

    def rate(self, name: str) -> float:
        return self.count(name) / self.seconds if self.seconds > 0 else 0.0

    @property
    def delay(self) -> Histogram:
        return self.after.delay.since(self.before.delay)

    @property
    def server(self) -> Spent | None:
        if self.before.server is None or self.after.server is None:
            return None
        return between(self.before.server, self.after.server)

    @property
    def generator(self) -> Spent:
        return between(self.before.generator, self.after.generator)

    @property
    def busy_percent(self) -> float:
        """The share of the time in which the crowds' threads did not wait."""
        whole = self.seconds * self.after.threads
        return 100 * self.count("busy_us") / 1e6 / whole if whole > 0 else 0.0

    @property
    def lost_percent(self) -> float:
        lost = max(0, self.count("lost"))
        expected = self.count("received_packets") + lost
        return 100 * lost / expected if expected else 0.0

    @property
    def late_percent(self) -> float:
        frames = self.count("sent_frames") + self.count("left_out_frames")
        late = self.count("late_frames") + self.count("left_out_frames")
        return 100 * late / frames if frames else 0.0


def spread(seconds: Sequence[float]) -> dict[str, float] | None:
    """Some percentiles, in milliseconds; None: there are no times."""
    if not seconds:
        return None
    ordered = sorted(seconds)

    def at(percent: float) -> float:
        return 1e3 * ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]

    return {"p50": at(50), "p99": at(99), "max": 1e3 * ordered[-1]}

"""How often something may happen: a token bucket. No clock; time is passed in, in seconds.

A bucket holds ``burst`` tokens and gains ``per_second`` of them; each thing that happens takes one.
Those that come when it is empty are refused and go on taking: the debt tells one who has stepped
over the line from one who does not stop.
"""

import attrs


@attrs.frozen
class Rate:
    """``burst`` at once, ``per_second`` in the long run."""

    per_second: float
    burst: float


@attrs.define(eq=False)
class Bucket:
    """Full at first."""

    rate: Rate
    _tokens: float = attrs.field(init=False)
    _since: float = attrs.field(default=0.0, init=False)

    def __attrs_post_init__(self) -> None:
        self._tokens = self.rate.burst

    def take(self, now: float, cost: float = 1.0) -> bool:
        """Whether it may happen; it has been counted either way. The debt is at most one burst."""
        self._refill(now)
        self._tokens = max(self._tokens - cost, -self.rate.burst)
        return self._tokens >= 0

    def give_back(self) -> None:
        """It turned out not to count."""
        self._tokens = min(self._tokens + 1.0, self.rate.burst)

    def wait(self, now: float) -> float:
        """Seconds until one may happen; 0 if it may now."""
        self._refill(now)
        return max(0.0, (1.0 - self._tokens) / self.rate.per_second)

    def in_debt(self) -> bool:
        """As deep as can be: another burst has come although it was refused."""
        return self._tokens <= -self.rate.burst

    def _refill(self, now: float) -> None:
        gained = (now - self._since) * self.rate.per_second
        self._tokens = min(self._tokens + max(gained, 0.0), self.rate.burst)
        self._since = max(now, self._since)

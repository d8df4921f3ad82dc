"""Token buckets, which limit how often something may happen. They read no clock: the time is passed
in, in seconds.

A bucket holds ``burst`` tokens at most and gains ``per_second`` tokens a second. Each event takes
one. An event that finds no token is refused, but takes one all the same, so the bucket goes into
debt. The debt is small after a few events above the rate, and large for a client that does not
stop.
"""

import attrs


@attrs.frozen
class Rate:
    """``burst`` events at once, ``per_second`` in the long run."""

    per_second: float
    burst: float


@attrs.define(eq=False)
class Bucket:
    """A token bucket, which is full at first."""

    rate: Rate
    _tokens: float = attrs.field(init=False)
    _refilled_at: float = attrs.field(default=0.0, init=False)

    def __attrs_post_init__(self) -> None:
        self._tokens = self.rate.burst

    def take(self, now: float, cost: float = 1.0) -> bool:
        """Take ``cost`` tokens and return whether the event is within the rate. The tokens are
        taken in both cases. The debt is one burst at most.
        """
        # It is called for each message and each record of the log, so it calls nothing itself.
        rate, tokens, passed = self.rate, self._tokens, now - self._refilled_at
        if passed > 0:
            self._refilled_at = now
            tokens += passed * rate.per_second
            if tokens > rate.burst:
                tokens = rate.burst
        tokens -= cost
        self._tokens = tokens if tokens > -rate.burst else -rate.burst
        return self._tokens >= 0

    def give_back(self) -> None:
        """Give back the token of an event that does not count."""
        self._tokens = min(self._tokens + 1.0, self.rate.burst)

    def wait(self, now: float) -> float:
        """Seconds until the next event is within the rate; 0 if it is now."""
        self._refill(now)
        return max(0.0, (1.0 - self._tokens) / self.rate.per_second)

    def in_debt(self) -> bool:
        """Whether the debt is at its maximum: a whole burst of events came after the refusals had
        begun.
        """
        return self._tokens <= -self.rate.burst

    def _refill(self, now: float) -> None:
        gained = (now - self._refilled_at) * self.rate.per_second
        self._tokens = min(self._tokens + max(gained, 0.0), self.rate.burst)
        self._refilled_at = max(now, self._refilled_at)

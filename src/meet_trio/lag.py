"""How long the loop is held: for how long nobody else gets a turn.

A turn is what Trio runs between two waits for I/O: one step of each task that is ready. Whoever
becomes ready in the middle of a turn waits for the rest of it, so what a turn costs others grows
with the square of its length, and an average over turns hides it. Therefore lag is weighed by the
clock: it is the time that somebody waits who becomes ready at a random moment of the day. In a
second with one turn of 600 ms, 40 % of the moments see no lag, and 59 % see more than 10 ms.

    share of moments with a lag above x  =  Σ max(turn - x, 0) / time

That sum is exact at the bounds of a histogram that keeps the number and the total length of the
turns in each bucket. Both only grow, so the lag of any stretch of time is in the difference of two
snapshots, whoever else takes some.

Each turn is measured by two clocks. ``held`` is the wall's: what others wait. ``worked`` is the
thread's CPU time, which is the part that is the program's own doing: on a machine with other
work, a turn may be long because the kernel let somebody else run. The readings cost a microsecond a
turn.
"""

import time
from bisect import bisect_left

import attrs
import trio

BOUNDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Upper bounds of the buckets, in seconds; one more bucket is for longer turns."""


@attrs.define(eq=False)
class TurnLengths:
    """A histogram of turns. ``counts`` and ``seconds`` have one entry for each bucket."""

    counts: list[int] = attrs.field(factory=lambda: [0] * (len(BOUNDS) + 1))
    seconds: list[float] = attrs.field(factory=lambda: [0.0] * (len(BOUNDS) + 1))

    def add(self, length: float) -> None:
        """One turn, in seconds."""
        bucket = bisect_left(BOUNDS, length)
        self.counts[bucket] += 1
        self.seconds[bucket] += length

    def to_json(self) -> dict[str, list[int] | list[float]]:
        """``{"counts": […], "seconds": […]}``"""
        return {"counts": list(self.counts), "seconds": list(self.seconds)}


@attrs.define(eq=False)
class LoopLag(trio.abc.Instrument):
    """Watches the loop while it runs."""

    held: TurnLengths = attrs.field(factory=TurnLengths)
    worked: TurnLengths = attrs.field(factory=TurnLengths)
    _watched: float = 0.0
    _since: float | None = None
    _began: float = 0.0
    _used: float = 0.0

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Watch until cancelled."""
        self._since = self._began = time.perf_counter()
        self._used = time.thread_time()
        trio.lowlevel.add_instrument(self)
        try:
            task_status.started()
            await trio.sleep_forever()
        finally:
            trio.lowlevel.remove_instrument(self)
            self._watched, self._since = self._watched_until(time.perf_counter()), None

    def after_io_wait(self, timeout: float) -> None:
        self._began = time.perf_counter()

    def before_io_wait(self, timeout: float) -> None:
        self.held.add(time.perf_counter() - self._began)
        # what the wait itself takes of the CPU is counted, for half the price
        used, self._used = self._used, time.thread_time()
        self.worked.add(self._used - used)

    def to_json(self) -> dict[str, object]:
        """``{"seconds": time watched, "bounds": […], "held": …, "worked": …}``, the last two as
        ``TurnLengths.to_json`` gives them. The turn that asks is not in it.
        """
        return {
            "seconds": self._watched_until(time.perf_counter()),
            "bounds": list(BOUNDS),
            "held": self.held.to_json(),
            "worked": self.worked.to_json(),
        }

    def _watched_until(self, now: float) -> float:
        return self._watched + (now - self._since if self._since is not None else 0.0)

"""Measures the lag of the Trio loop: how long a task that becomes ready waits until it runs.

A turn is all that Trio runs between two waits for I/O: one step of each ready task. A task that
becomes ready during a turn waits for the rest of it. The total wait that a turn causes grows with
the square of its length, and an average over turns hides that. Therefore lag is weighted by time:
it is the wait of a task that becomes ready at a random moment. In a second with one turn of 600 ms,
40 % of the moments have no lag, and 59 % have more than 10 ms.

    share of moments with a lag above x  =  Σ max(turn - x, 0) / time

A histogram keeps the number and the total length of the turns in each bucket. The sum above is
exact at the bounds of the buckets. Numbers and lengths only grow, so the difference of two
snapshots gives the lag of the time between them. Several readers can take snapshots independently.

Each turn is measured by two clocks. ``held`` is wall-clock time: it is what other tasks wait.
``worked`` is the CPU time of the thread: it is what this program has used. On a machine with other
work a turn may be long because the kernel ran another process. Reading the clocks costs a
microsecond in each turn.
"""

import time
from bisect import bisect_left

import attrs
import trio

BOUNDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""The upper bounds of the buckets, in seconds. One more bucket holds all longer turns."""


@attrs.define(eq=False)
class TurnLengths:
    """A histogram of turns. ``counts`` has the number of turns in each bucket, and ``seconds``
    their total length.
    """

    counts: list[int] = attrs.field(factory=lambda: [0] * (len(BOUNDS) + 1))
    seconds: list[float] = attrs.field(factory=lambda: [0.0] * (len(BOUNDS) + 1))

    def add(self, length: float) -> None:
        """Add one turn. ``length`` is in seconds."""
        bucket = bisect_left(BOUNDS, length)
        self.counts[bucket] += 1
        self.seconds[bucket] += length

    def to_json(self) -> dict[str, list[int] | list[float]]:
        """``{"counts": […], "seconds": […]}``"""
        return {"counts": list(self.counts), "seconds": list(self.seconds)}


@attrs.frozen
class Snapshot:
    """What was measured until one moment: ``seconds`` in all, and ``TurnLengths.counts`` and
    ``TurnLengths.seconds`` of the turns' wall-clock time.
    """

    seconds: float
    counts: tuple[int, ...]
    lengths: tuple[float, ...]


def share_above(bound: float, before: Snapshot, after: Snapshot) -> float:
    """The share of the moments between two snapshots that had a lag above ``bound``, which is one
    of ``BOUNDS``. 0 if no time is between them.
    """
    passed = after.seconds - before.seconds
    first = BOUNDS.index(bound) + 1
    turns = sum(after.counts[first:]) - sum(before.counts[first:])
    held = sum(after.lengths[first:]) - sum(before.lengths[first:])
    return (held - turns * bound) / passed if passed > 0 else 0.0


@attrs.define(eq=False)
class LoopLag(trio.abc.Instrument):
    """Measures the turns of the loop while ``run`` runs."""

    held: TurnLengths = attrs.field(factory=TurnLengths)
    worked: TurnLengths = attrs.field(factory=TurnLengths)
    _watched_earlier: float = 0.0  # seconds, in runs that have ended
    _run_began: float | None = None
    _turn_began: float = 0.0
    _cpu_time: float = 0.0  # of the thread, at the end of the last turn

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Measure until cancelled."""
        self._run_began = self._turn_began = time.perf_counter()
        self._cpu_time = time.thread_time()
        trio.lowlevel.add_instrument(self)
        try:
            task_status.started()
            await trio.sleep_forever()
        finally:
            trio.lowlevel.remove_instrument(self)
            self._watched_earlier = self._watched_until(time.perf_counter())
            self._run_began = None

    def after_io_wait(self, timeout: float) -> None:
        self._turn_began = time.perf_counter()

    def before_io_wait(self, timeout: float) -> None:
        self.held.add(time.perf_counter() - self._turn_began)
        # The CPU clock is read once a turn and not twice, to halve the cost. So the CPU time of the
        # wait before the turn counts as part of it.
        before, self._cpu_time = self._cpu_time, time.thread_time()
        self.worked.add(self._cpu_time - before)

    def snapshot(self) -> Snapshot:
        """What was measured until now. The present turn is not included."""
        return Snapshot(
            self._watched_until(time.perf_counter()),
            tuple(self.held.counts),
            tuple(self.held.seconds),
        )

    def to_json(self) -> dict[str, object]:
        """``{"seconds": …, "bounds": […], "held": …, "worked": …}``. ``seconds`` is the measured
        time. ``held`` and ``worked`` are as in ``TurnLengths.to_json``. The present turn is not
        included.
        """
        return {
            "seconds": self._watched_until(time.perf_counter()),
            "bounds": list(BOUNDS),
            "held": self.held.to_json(),
            "worked": self.worked.to_json(),
        }

    def _watched_until(self, now: float) -> float:
        running = now - self._run_began if self._run_began is not None else 0.0
        return self._watched_earlier + running

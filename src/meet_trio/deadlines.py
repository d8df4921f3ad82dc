"""Deadlines of many objects in one task: a task for each would take 4 kB, and a step of Trio's
scheduler for each change.

A ``Timer`` is filed in a bucket, under a time that is not later than its deadline. A deadline that
moves later, as most do, changes one attribute: when the bucket is due, the timer is filed again. So
a client that moves its deadline with each message leaves nothing behind. Timers of one moment share
a bucket, and a heap has the times of the buckets.
"""

import logging
import math
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import islice
from typing import Final

import trio

logger = logging.getLogger("meet_trio.deadlines")

_TIMERS_PER_TURN: Final = 64  # of 10 to 20 µs each


class Timer:
    """Calls ``call`` once the time ``due`` is reached, until ``cancel``. ``call`` sets the next
    ``due``; until then the timer rests.
    """

    __slots__ = ("_call", "_deadlines", "due", "filed")

    def __init__(self, deadlines: "Deadlines", call: Callable[[], None]) -> None:
        self._deadlines = deadlines
        self._call: Callable[[], None] | None = call
        self.due = math.inf
        self.filed = math.inf
        """The time of its bucket, for ``Deadlines``."""

    def set(self, due: float) -> None:
        """``due`` is a time of Trio's clock; infinite: never."""
        if self._call is not None:
            self.due = due
            if due < self.filed:
                self._deadlines.file(self)

    def cancel(self) -> None:
        """Never call again. Idempotent."""
        self._call = None
        self.due = math.inf
        self._deadlines.remove(self)

    def fire(self) -> None:
        """For ``Deadlines``."""
        self.due = math.inf
        if self._call is not None:
            self._call()


class Deadlines:
    """They are called while ``run`` runs."""

    def __init__(self) -> None:
        self._buckets: dict[float, dict[Timer, None]] = {}
        self._times: list[float] = []  # a heap; those of buckets that are gone are skipped
        self._scope = trio.CancelScope()

    def timer(self, call: Callable[[], None]) -> Timer:
        """A timer that rests. An exception of ``call`` is logged."""
        return Timer(self, call)

    async def run(self) -> None:
        """Call what is due, until cancelled."""
        while True:
            with trio.CancelScope(deadline=self._next()) as self._scope:
                await trio.sleep_forever()
            # cancelled from outside: the checkpoint of ``sleep_forever`` has raised
            now = trio.current_time()
            while self._next() <= now:
                self._call_due(now)
                await trio.lowlevel.checkpoint()

    def file(self, timer: Timer) -> None:
        """Put a timer into the bucket of its ``due``. For ``Timer``."""
        self.remove(timer)
        timer.filed = timer.due
        bucket = self._buckets.get(timer.due)
        if bucket is None:
            self._buckets[timer.due] = {timer: None}
            heappush(self._times, timer.due)
            if timer.due < self._scope.deadline:
                self._scope.deadline = timer.due
        else:
            bucket[timer] = None

    def remove(self, timer: Timer) -> None:
        """Take a timer out of its bucket. For ``Timer``."""
        bucket = self._buckets.get(timer.filed)
        if bucket is not None:
            bucket.pop(timer, None)
            if not bucket:
                del self._buckets[timer.filed]
        timer.filed = math.inf

    def _next(self) -> float:
        """The time of the first bucket."""
        while self._times and self._times[0] not in self._buckets:
            heappop(self._times)
        return self._times[0] if self._times else math.inf

    def _call_due(self, now: float) -> None:
        """Call the first timers of the first bucket."""
        for timer in list(islice(self._buckets[self._times[0]], _TIMERS_PER_TURN)):
            if timer.filed != self._times[0]:
                continue  # another one's call has cancelled or moved it
            self.remove(timer)
            if timer.due > now:
                if timer.due < math.inf:
                    self.file(timer)
                continue
            try:
                timer.fire()
            except Exception:
                logger.exception("a deadline failed")

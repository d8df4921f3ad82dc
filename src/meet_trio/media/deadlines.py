"""Deadlines of many objects in one task. An object that waits for something costs an entry in a
list in place of a task with a cancel scope.

Deadlines that were cancelled stay in the list until their time, without their function. So there
are at most as many as were set within the longest time that they are set for.
"""

import heapq
import itertools
import logging
import math
from collections.abc import Callable

import attrs
import trio

logger = logging.getLogger("meet_trio.media.deadlines")


@attrs.define(eq=False)
class Deadline:
    """``cancel`` may be called at any time."""

    _function: Callable[[], None] | None

    def cancel(self) -> None:
        self._function = None

    def pass_now(self) -> None:
        """Its time has come."""
        function, self._function = self._function, None
        if function is not None:
            function()


@attrs.define(eq=False)
class Deadlines:
    """They pass while ``run`` runs, in the order of their times."""

    _waiting: list[tuple[float, int, Deadline]] = attrs.field(factory=list)  # a heap
    _numbers: "itertools.count[int]" = attrs.field(factory=itertools.count)
    _scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)

    def set(self, time: float, function: Callable[[], None]) -> Deadline:
        """Call ``function`` at ``time`` of Trio's clock. It must not block."""
        deadline = Deadline(function)
        heapq.heappush(self._waiting, (time, next(self._numbers), deadline))
        self._scope.deadline = min(self._scope.deadline, time)
        return deadline

    async def run(self) -> None:
        """Run until cancelled."""
        while True:
            next_time = self._waiting[0][0] if self._waiting else math.inf
            with trio.CancelScope(deadline=next_time) as self._scope:
                await trio.sleep_forever()
            while self._waiting and self._waiting[0][0] <= trio.current_time():
                self._pass(heapq.heappop(self._waiting)[2])

    def _pass(self, deadline: Deadline) -> None:
        try:
            deadline.pass_now()
        except Exception:
            logger.exception("a deadline failed")  # it is not the others'

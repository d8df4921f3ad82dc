"""A limit for the number of socket writes in one turn of Trio's loop.

The write is the most expensive part of sending a message. A notice to a thousand clients wakes a
thousand writing tasks, and Trio's loop runs all tasks that are ready before it polls for I/O again.
Without this limit, all other requests would wait until the last of the thousand has written.
"""

from itertools import islice

import trio

WRITES_PER_TURN = 32  # of about 80 µs each


class WriteLimiter:
    """Permits ``per_turn`` writes at once and the others in later turns of the loop, in the order
    of the calls. At most twice ``per_turn`` are permitted in one turn.
    """

    def __init__(self, per_turn: int = WRITES_PER_TURN) -> None:
        self._per_turn = per_turn
        self._writes_left = per_turn
        self._refill_scheduled = False
        self._waiting: dict[trio.Event, None] = {}

    async def acquire(self) -> None:
        """Wait for permission to write once. No checkpoint if it is given at once."""
        if self._writes_left > 0:
            self._use_one()
            return
        permitted = trio.Event()
        self._waiting[permitted] = None
        try:
            await permitted.wait()
        finally:
            self._waiting.pop(permitted, None)

    def _use_one(self) -> None:
        self._writes_left -= 1
        # Not for each write: run_sync_soon costs a quarter of a write.
        if self._writes_left <= self._per_turn // 2 and not self._refill_scheduled:
            self._refill_scheduled = True
            trio.lowlevel.current_trio_token().run_sync_soon(self._refill)

    def _refill(self) -> None:
        """A new turn of the loop has begun."""
        self._writes_left, self._refill_scheduled = self._per_turn, False
        for permitted in list(islice(self._waiting, self._per_turn)):
            del self._waiting[permitted]
            permitted.set()
            self._use_one()

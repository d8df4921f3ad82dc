"""A limit for the number of socket writes in one turn of Trio's loop.

The write is the most expensive part of sending a message. A notice to a thousand clients wakes a
thousand writers, and Trio's loop runs all tasks that are ready before it polls for I/O again.
Without this limit, all other requests would wait until the last of the thousand has written.
"""

from itertools import islice

import trio

EACH = 32  # writes of about 80 µs each


class Writers:
    """Lets ``each`` writers go on at once and the others in later turns of the loop, in the order
    of their calls. At most twice ``each`` go on in one turn.
    """

    def __init__(self, each: int = EACH) -> None:
        self._each = each
        self._writes_left = each
        self._refill_scheduled = False
        self._waiting: dict[trio.Event, None] = {}

    async def turn(self) -> None:
        """Wait for permission to write. No checkpoint if it is given at once."""
        if self._writes_left > 0:
            self._use_one()
            return
        turn = trio.Event()
        self._waiting[turn] = None
        try:
            await turn.wait()
        finally:
            self._waiting.pop(turn, None)

    def _use_one(self) -> None:
        self._writes_left -= 1
        # Not for each write: run_sync_soon costs a quarter of a write.
        if self._writes_left <= self._each // 2 and not self._refill_scheduled:
            self._refill_scheduled = True
            trio.lowlevel.current_trio_token().run_sync_soon(self._refill)

    def _refill(self) -> None:
        """A new turn of the loop has begun."""
        self._writes_left, self._refill_scheduled = self._each, False
        for turn in list(islice(self._waiting, self._each)):
            del self._waiting[turn]
            turn.set()
            self._use_one()

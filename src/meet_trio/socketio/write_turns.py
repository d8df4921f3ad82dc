"""A limit for the number of socket writes in one turn of Trio's loop.

The write is the most expensive part of sending a message. A notice to a thousand clients makes a
thousand writes due, and Trio's loop runs all that is ready before it polls for I/O again. Without
this limit, all other requests would wait until the last of the thousand has been written.

A write comes in a later turn than the message, so messages that follow each other take one write.

One task makes the writes of all connections. It waits for an event. ``run_sync_soon`` would do the
same with three system calls and two steps of tasks for each turn.
"""

from collections.abc import Callable
from itertools import islice

import trio

WRITES_PER_TURN = 32  # of 20 to 80 µs each


class WriteTurns:
    """Permits ``per_turn`` writes in each turn of the loop, in the order of the calls. ``run`` must
    be running.
    """

    def __init__(self, per_turn: int = WRITES_PER_TURN) -> None:
        self._per_turn = per_turn
        self._due = trio.Event()
        self._waiting: dict[Callable[[], None], None] = {}

    async def run(self) -> None:
        """Make the writes until cancelled."""
        while True:
            await self._due.wait()  # other tasks run also if it is set
            self._due = trio.Event()
            for write in list(islice(self._waiting, self._per_turn)):
                del self._waiting[write]
                write()
            if self._waiting:
                self._due.set()

    def call(self, write: Callable[[], None]) -> None:
        """Call ``write`` once in a later turn. It must not raise. A further call before that turn
        does nothing.
        """
        if not self._waiting:
            self._due.set()  # else it is set, or will be by ``run``
        self._waiting[write] = None

    async def acquire(self) -> None:
        """Wait for permission to write once."""
        permitted = trio.Event()
        self.call(permitted.set)
        try:
            await permitted.wait()
        finally:
            self._waiting.pop(permitted.set, None)

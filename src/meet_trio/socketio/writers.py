"""Who writes when many have something to write at once: so many of them in a turn of Trio's loop.

Most of what a message costs is the write. A notice to a thousand clients wakes a thousand writers,
and the loop runs all that are awake before it looks at anybody else: without this, whoever else
asks for something would wait until all have written.
"""

from itertools import islice

import trio

EACH = 32  # writes of some 80 µs


class Writers:
    """``each`` of those who come are let go on at once, the others in later turns of the loop, in
    the order in which they came; at most twice ``each`` in one turn.
    """

    def __init__(self, each: int = EACH) -> None:
        self._each = each
        self._left = each
        self._renewing = False
        self._line: dict[trio.Event, None] = {}

    async def turn(self) -> None:
        """Wait for one's turn; no checkpoint while there is no crowd."""
        if self._left > 0:
            self._take()
            return
        turn = trio.Event()
        self._line[turn] = None
        try:
            await turn.wait()
        finally:
            self._line.pop(turn, None)

    def _take(self) -> None:
        self._left -= 1
        # asking the loop for its next turn costs as much as a quarter of a write
        if self._left <= self._each // 2 and not self._renewing:
            self._renewing = True
            trio.lowlevel.current_trio_token().run_sync_soon(self._renew)

    def _renew(self) -> None:
        """The loop has come round."""
        self._left, self._renewing = self._each, False
        for turn in list(islice(self._line, self._each)):
            del self._line[turn]
            turn.set()
            self._take()

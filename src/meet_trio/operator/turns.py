"""Work over many objects in many turns of the loop."""

import attrs
import trio

OBJECTS_PER_TURN = 32
"""Objects that are dumped in one turn: about a millisecond."""


@attrs.define(eq=False)
class Turns:
    """Counts the objects that were handled in this turn, and lets other tasks run after
    ``OBJECTS_PER_TURN``.
    """

    _handled: int = 0

    async def spend(self, objects: int = 1) -> None:
        """Count objects that were handled."""
        self._handled += objects
        if self._handled >= OBJECTS_PER_TURN:
            await self.end()

    async def end(self) -> None:
        """End this turn: other tasks run."""
        self._handled = 0
        await trio.lowlevel.checkpoint()

"""Work over many objects in many turns of the loop."""

import attrs
import trio

OBJECTS_PER_TURN = 32
"""Objects of which much is asked, as for a dump: about a millisecond."""


@attrs.define(eq=False)
class Turns:
    """Counts the objects that were handled in this turn. After ``most`` other tasks run."""

    most: int = OBJECTS_PER_TURN
    _handled: int = 0

    async def spend(self, objects: int = 1) -> None:
        """Count objects that were handled."""
        self._handled += objects
        if self._handled >= self.most:
            await self.end()

    async def end(self) -> None:
        """End this turn: other tasks run."""
        self._handled = 0
        await trio.lowlevel.checkpoint()

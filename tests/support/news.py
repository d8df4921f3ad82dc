"""Waiting for a change that another task makes."""

import attrs
import trio


@attrs.define(eq=False)
class News:
    """Wakes every task that waits for a change of something. A task looks for what it wants and, if
    it is not there yet, waits and looks again. Between the two it waits for nothing else, so it
    misses no change.
    """

    _next: trio.Event = attrs.field(factory=trio.Event)

    def tell(self) -> None:
        """Something has changed."""
        news, self._next = self._next, trio.Event()
        news.set()

    async def wait(self) -> None:
        """Wait for the next change."""
        await self._next.wait()

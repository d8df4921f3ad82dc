"""The gate before all clients: while it is closed, no new request is read.

A request that has begun is read to its end, and is answered. What clients send beyond waits in the
kernel. ``meet_trio.upgrade`` closes the gate before a process hands its connections to another one.
"""

import attrs
import trio


@attrs.define(eq=False)
class Gate:
    """Open at first."""

    closed: bool = False
    _opened: trio.Event = attrs.field(factory=trio.Event)

    def close(self) -> None:
        self.closed = True

    def open(self) -> None:
        """Read on. Idempotent."""
        self.closed = False
        self._opened.set()
        self._opened = trio.Event()

    async def wait(self) -> None:
        """Wait until it is open, if it is closed."""
        while self.closed:
            await self._opened.wait()


ALWAYS_OPEN = Gate()
"""Of streams that no front door has accepted. Nobody closes it."""

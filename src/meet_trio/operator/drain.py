"""Emptying the server before an update: nobody is thrown out, and nobody new comes in.

``start`` begins a drain, and ``undo`` takes it back. While it lasts, no rooms are made, and those
that exist go on: their peers may leave, come back, and be joined by others. ``run`` returns when
the last room has ended. The server ends then.
"""

import logging

import attrs
import trio

from meet_trio.live.registry import Registry
from meet_trio.operator.settings import DrainSettings

logger = logging.getLogger("meet_trio.operator.drain")


@attrs.define(eq=False)
class Drain:
    """``settings`` may be replaced at any time. The next drain uses them."""

    registry: Registry
    settings: DrainSettings
    _timeout: float = 0.0
    _scope: trio.CancelScope | None = None  # of the present drain
    _drained: bool = False
    _started: trio.Event = attrs.field(factory=trio.Event)

    @property
    def active(self) -> bool:
        """Whether the server drains, or has done so."""
        return self._scope is not None

    def start(self, timeout: float | None = None) -> bool:
        """Begin to drain. ``timeout`` replaces that of the settings. Returns False if a drain has
        begun already, which then goes on as it was.
        """
        if self._scope is not None:
            return False
        self._timeout = self.settings.timeout if timeout is None else timeout
        self._scope = trio.CancelScope()
        self._started.set()
        return True

    def undo(self) -> bool:
        """Make rooms again, soon. Returns False if there is no drain, or if it has drained."""
        if self._scope is None or self._drained:
            return False
        self._scope.cancel()
        return True

    async def run(self) -> None:
        """Drain when asked. Returns once the server is empty; the rooms are closed for good."""
        while True:
            await self._started.wait()
            assert self._scope is not None  # ``start`` has set it
            limit = f" for {self._timeout:g} s at most" if self._timeout else ""
            logger.warning("draining: no new rooms, waiting%s for %s", limit, self.left())
            with self._scope:
                await self.registry.drain(self._timeout)
                self._drained = True
                logger.warning("drained: no room is left")
                return
            self._started = trio.Event()
            self._scope = None
            logger.warning("the drain is taken back: new rooms are made again")

    def left(self) -> str:
        """The rooms and peers that there are, in words."""
        rooms, peers = len(self.registry.rooms), self.registry.count_peers()
        return (
            f"{rooms} {'room' if rooms == 1 else 'rooms'}, "
            f"{peers} {'peer' if peers == 1 else 'peers'}"
        )

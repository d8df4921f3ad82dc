"""Emptying the server before an update: nobody is thrown out, and nobody new comes in.

``start`` begins a drain, and ``undo`` takes it back. While it lasts, no rooms are made, and those
that exist go on: their peers may leave, come back, and be joined by others. ``run`` returns when
the last room has ended. The server ends then.
"""

import logging
import time
from collections.abc import Mapping
from typing import ClassVar, Self

import attrs
import trio

from meet_trio.live.registry import Registry
from meet_trio.operator.settings import DrainSettings
from meet_trio.ortc.fields import Fields, Json
from meet_trio.records import Key, Record, RecordStore, key_text

logger = logging.getLogger("meet_trio.operator.drain")


_AT_ONCE = 0.001  # seconds; 0 means never


@attrs.frozen
class DrainRecord(Record):
    """The server drains. ``until``: when the rooms that are left are closed, in Unix seconds."""

    KIND: ClassVar[str] = "drain"
    VERSION: ClassVar[int] = 1

    until: float | None

    @property
    def key(self) -> Key:
        return (self.KIND,)

    def fields(self) -> Mapping[str, Json]:
        return {"until": self.until}

    @classmethod
    def read(cls, fields: Fields, version: int) -> Self:
        return cls(fields.opt_number("until"))


@attrs.define(eq=False)
class Drain:
    """``store`` keeps that the server drains, for a later process. ``settings`` may be replaced at
    any time. The next drain uses them.
    """

    registry: Registry
    settings: DrainSettings
    store: RecordStore | None = None
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
        self._begin(self.settings.timeout if timeout is None else timeout)
        if self.store is not None:
            record = DrainRecord(time.time() + self._timeout if self._timeout else None)
            self.store.put(key_text(record.key), record.to_json())
            self.store.flush()
        return True

    def _begin(self, timeout: float) -> None:
        self._timeout = timeout
        self._scope = trio.CancelScope()
        self._started.set()

    def resume(self, record: "DrainRecord | None") -> None:
        """Go on with the drain of an earlier process, if there was one. Its rooms are there: a
        server without any ends.
        """
        if record is not None:
            left = 0.0 if record.until is None else max(_AT_ONCE, record.until - time.time())
            self._begin(left)

    def undo(self) -> bool:
        """Make rooms again, soon. Returns False if there is no drain, or if it has drained."""
        if self._scope is None or self._drained:
            return False
        self._scope.cancel()
        if self.store is not None:
            self.store.drop(DrainRecord.KIND)
            self.store.flush()
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

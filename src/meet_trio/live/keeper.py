"""Writes down what a later process needs of the rooms, as it changes.

Objects change in many places. Each place notes what has changed, and the records are made when they
are written: an object that has changed ten times is written once. A room writes at the end of each
step in which a client may have been told something, so a client knows nothing that is not kept.
What has changed otherwise is written in the next turn of the loop.
"""

import logging
from collections.abc import Callable

import attrs
import trio

from meet_trio.live.log_errors import log_errors
from meet_trio.records import Changes, Key, Notes, Record, RecordStore, key_text

logger = logging.getLogger("meet_trio.live.keeper")


@attrs.define(eq=False)
class Keeper:
    """Keeps the records of all rooms in ``store``; None: nothing is kept."""

    store: RecordStore | None = None
    _waiting: "dict[RoomKeeper, None]" = attrs.field(factory=dict)
    _noted: trio.Event = attrs.field(factory=trio.Event)

    @property
    def keeps(self) -> bool:
        return self.store is not None

    async def run(self) -> None:
        """Write what no step of a room has written, until cancelled."""
        while True:
            await self._noted.wait()
            self._noted = trio.Event()
            for room in list(self._waiting):
                room.write()

    def wait_for(self, room: "RoomKeeper") -> None:
        self._waiting[room] = None
        self._noted.set()

    def write(self, room: "RoomKeeper", changes: Changes) -> None:
        self._waiting.pop(room, None)
        if self.store is None or not (changes.records or changes.removed):
            return
        for key in changes.removed:
            self.store.drop(key_text(key))
        for record in changes.records:
            name = key_text(record.key)
            try:
                self.store.put(name, record.to_json())
            except ValueError as error:  # larger than a record may be
                logger.warning("not kept: %s", error)
                self.store.drop(name)
        self.store.flush()


@attrs.define(eq=False)
class RoomKeeper:
    """What has changed in one room. ``take_state`` gives the changes of its pure state, ``make``
    the record of a live object, or None if there is nothing to keep of it.
    """

    keeper: Keeper
    take_state: Callable[[], Changes]
    make: Callable[[Key], Record | None]
    _notes: Notes = attrs.field(factory=Notes)

    def note(self, *key: str) -> None:
        """The object was made or has changed."""
        if self.keeper.keeps:
            self._notes.put(key)
            self.keeper.wait_for(self)

    def note_removal(self, *key: str) -> None:
        if self.keeper.keeps:
            self._notes.drop(key)
            self.keeper.wait_for(self)

    def write(self) -> None:
        """Write all changes now. Raises no exceptions: what cannot be kept ends no request."""
        if self.keeper.keeps:
            with log_errors("keeping a room"):
                self._write()

    def _write(self) -> None:
        state = self.take_state()
        changed, removed = self._notes.take()
        records = list(state.records)
        gone = [*state.removed, *removed]
        for key in changed:
            record = self.make(key)
            if record is None:
                gone.append(key)
            else:
                records.append(record)
        self.keeper.write(self, Changes(tuple(records), tuple(gone)))

"""All rooms of this process: one nursery, and one task for each room.

``run`` is the parent of every room. Cancelling it closes all rooms at the same time, and each says
goodbye to its peers. A room is in ``rooms`` exactly as long as its task lives.

If an engine fails, its rooms are closed: they have no media any more, and their peers can meet in a
new room on an engine that works.

While the registry drains, no rooms are made, and those that exist go on until their peers leave.
"""

import logging
import math
import uuid
from collections.abc import Sequence

import attrs
import trio

from meet_trio.errors import LimitExceeded
from meet_trio.live.room import LiveRoom, RoomContext
from meet_trio.live.trials import Trials
from meet_trio.logs.context import bind_only
from meet_trio.media.engines import EngineHost
from meet_trio.ortc.fields import Json
from meet_trio.turns import Turns

logger = logging.getLogger("meet_trio.live.registry")

_CLOSED_AT_ONCE = 20  # rooms whose peers are told in one turn of the loop, when a drain ends


@attrs.define(eq=False)
class Registry:
    """The rooms by id. All rooms share ``context``."""

    context: RoomContext
    rooms: dict[str, LiveRoom] = attrs.field(factory=dict)
    draining: bool = False
    _room_ended: trio.Event = attrs.field(factory=trio.Event)
    _nursery: trio.Nursery | None = None
    _trials: Trials | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Hold the rooms until cancelled."""
        async with trio.open_nursery() as self._nursery:
            self._nursery.start_soon(self.context.keeper.run)
            self._trials = Trials(self.context.hosts, self._nursery)
            for host in self.context.hosts:
                self._nursery.start_soon(self._close_rooms_with, host)
                self._nursery.start_soon(host.deadlines.run)
            try:
                task_status.started()
                await trio.sleep_forever()
            finally:
                self._nursery = self._trials = None  # it is closing: no room may be made any more

    async def create_room(self, room_id: str | None = None, last_n: int | None = None) -> LiveRoom:
        """A new room with a new id, or with ``room_id``. If there is a room with ``room_id``
        already, it is returned. ``last_n`` None: as the settings say. Raises LimitExceeded.
        """
        room_id = room_id or str(uuid.uuid4())
        if (known := self.rooms.get(room_id)) is not None:
            return known
        if self._nursery is None:
            raise LimitExceeded("the server is shutting down")
        if self.draining:
            raise LimitExceeded("the server is draining")
        most = self.context.settings.max_rooms
        if len(self.rooms) >= most:
            raise LimitExceeded(f"there are {most} rooms already (limits.rooms)")
        if all(host.failed for host in self.context.hosts):
            raise LimitExceeded("no media engine is working")
        self.context.bridge.want()
        room = LiveRoom(room_id, self.context, last_n=last_n)
        self.rooms[room_id] = room
        self.context.tally.rooms += 1
        await self._nursery.start(self._live, room)
        return room

    async def go_on(self, rooms: Sequence[LiveRoom]) -> None:
        """Run rooms of an earlier process. Comes after ``run`` has started."""
        assert self._nursery is not None
        for room in rooms:
            self.rooms[room.id] = room
            await self._nursery.start(self._live, room)

    async def try_media(self) -> list[dict[str, Json]]:
        """Begin a trial of media, see ``Trials``. Raises LimitExceeded."""
        if self._trials is None:
            raise LimitExceeded("the server is shutting down")
        return await self._trials.open()

    async def _close_rooms_with(self, host: EngineHost) -> None:
        await host.failure.wait()
        for room in self.rooms.values():
            if host in room.placement.used:
                room.close("engine_failed")

    async def _live(self, room: LiveRoom, *, task_status: trio.TaskStatus[None]) -> None:
        bind_only(room=room.id)
        try:
            await room.run(task_status=task_status)
        except* Exception:
            # a fault of one room must not end the others
            logger.exception("the room failed")
        finally:
            del self.rooms[room.id]
            self._room_ended.set()

    @property
    def stopping(self) -> bool:
        """Whether no room can be made any more, because the rooms are being closed."""
        return self._nursery is None

    def count_peers(self) -> int:
        """The number of peers in all rooms, of invited ones too."""
        return sum(len(room.peers) for room in self.rooms.values())

    async def drain(self, patience: float) -> None:
        """Make no new rooms from now on, and wait until all rooms have ended. After ``patience``
        seconds (0: never) the peers are told that their meeting is closed, and the rooms close.

        If this is cancelled, rooms are made again. Once it has returned, none are.
        """
        self.draining = True
        drained = False
        try:
            await trio.lowlevel.checkpoint()
            with trio.move_on_after(patience or math.inf):
                await self._all_ended()
            await self._end_all()
            drained = True
        finally:
            self.draining = drained

    async def _all_ended(self) -> None:
        while self.rooms:
            self._room_ended = trio.Event()
            await self._room_ended.wait()

    async def _end_all(self) -> None:
        turns = Turns(_CLOSED_AT_ONCE)
        for room in list(self.rooms.values()):
            room.end("shutdown")
            await turns.spend()
        await self._all_ended()

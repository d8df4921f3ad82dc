"""All rooms of this process: one nursery, and one task for each room.

``run`` is the parent of every room. Cancelling it closes all rooms at the same time, and each says
goodbye to its peers. A room is in ``rooms`` exactly as long as its task lives.

If an engine fails, its rooms are closed: they have no media any more, and their peers can meet in a
new room on an engine that works.
"""

import logging
import uuid

import attrs
import trio

from meet_trio.errors import LimitExceeded
from meet_trio.live.room import LiveRoom, RoomContext
from meet_trio.live.trials import Trials
from meet_trio.logs.context import bind_only
from meet_trio.media.engines import EngineHost
from meet_trio.ortc.fields import Json

logger = logging.getLogger("meet_trio.live.registry")


@attrs.define(eq=False)
class Registry:
    """The rooms by id. All rooms share ``context``."""

    context: RoomContext
    rooms: dict[str, LiveRoom] = attrs.field(factory=dict)
    _nursery: trio.Nursery | None = None
    _trials: Trials | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Hold the rooms until cancelled."""
        try:
            async with trio.open_nursery() as self._nursery:
                self._trials = Trials(self.context.hosts, self._nursery)
                for host in self.context.hosts:
                    self._nursery.start_soon(self._close_rooms_with, host)
                task_status.started()
                await trio.sleep_forever()
        finally:
            self._nursery = self._trials = None

    async def create_room(self, room_id: str | None = None, last_n: int | None = None) -> LiveRoom:
        """A new room with a new id, or with ``room_id``. If there is a room with ``room_id``
        already, it is returned. ``last_n`` None: as the settings say. Raises LimitExceeded.
        """
        room_id = room_id or str(uuid.uuid4())
        if (known := self.rooms.get(room_id)) is not None:
            return known
        if self._nursery is None:
            raise LimitExceeded("the server is shutting down")
        most = self.context.settings.max_rooms
        if len(self.rooms) >= most:
            raise LimitExceeded(f"there are {most} rooms already")
        if all(host.failed for host in self.context.hosts):
            raise LimitExceeded("no media engine is working")
        room = LiveRoom(room_id, self.context, last_n=last_n)
        self.rooms[room_id] = room
        await self._nursery.start(self._live, room)
        return room

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

    def health_problem(self) -> str | None:
        """The problem that the health check reports, or None."""
        if any(host.failed for host in self.context.hosts):
            return "a media engine has failed"
        return None

"""All rooms of this process: one nursery, one task each.

``run`` is the parent of every room. Cancelling it closes them all, each with its goodbyes, at the same time. A room is in ``rooms``
exactly as long as its task lives.
"""

import logging
import uuid
from collections.abc import Sequence

import attrs
import trio

from ..errors import LimitExceeded
from ..media.dtls import DtlsBridge
from ..media.engines import EngineError, EngineHost
from ..media.transport import TransportSettings
from ..room import RoomLimits
from .peer import PeerSettings
from .room import LiveRoom, RoomSettings

logger = logging.getLogger("meet_trio.live.registry")


@attrs.define(eq=False)
class Registry:
    """``hosts``: the engines that rooms are placed on, the one with the fewest rooms first."""

    hosts: Sequence[EngineHost]
    bridge: DtlsBridge
    room_settings: RoomSettings
    peer_settings: PeerSettings
    transport_settings: TransportSettings
    limits: RoomLimits
    max_rooms: int = 10_000
    rooms: dict[str, LiveRoom] = attrs.field(factory=dict)
    _nursery: trio.Nursery | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Hold the rooms until cancelled."""
        try:
            async with trio.open_nursery() as self._nursery:
                task_status.started()
                await trio.sleep_forever()
        finally:
            self._nursery = None

    async def create_room(self, room_id: str | None = None) -> LiveRoom:
        """A new room with an id of ours, or ``room_id``. Raises LimitExceeded."""
        if self._nursery is None:
            raise LimitExceeded("the server is shutting down")
        if len(self.rooms) >= self.max_rooms:
            raise LimitExceeded(f"there are {self.max_rooms} rooms already")
        working = [host for host in self.hosts if not host.failed]
        if not working:
            raise LimitExceeded("no engine is working")
        room_id = room_id or str(uuid.uuid4())
        if room_id in self.rooms:
            return self.rooms[room_id]
        room = LiveRoom.create(
            room_id,
            host=min(working, key=lambda host: host.rooms),
            bridge=self.bridge,
            settings=self.room_settings,
            peer_settings=self.peer_settings,
            transport_settings=self.transport_settings,
            limits=self.limits,
        )
        self.rooms[room_id] = room
        self._nursery.start_soon(self._live, room)
        return room

    async def _live(self, room: LiveRoom) -> None:
        room.host.rooms += 1
        try:
            await room.run()
        except Exception:
            # one room's fault must not end the others
            logger.exception("room %s failed", room.id)
        finally:
            room.host.rooms -= 1
            del self.rooms[room.id]

    def trouble(self) -> str | None:
        """What keeps this server from working, for the health check."""
        if any(host.failed for host in self.hosts):
            return "a media engine has failed"
        return None

    async def stats(self) -> dict[str, object]:
        """Figures of every peer by room: ``{roomId: {peerId: {id, nickname, consumers, producers, transports}}}``."""
        by_engine: dict[EngineHost, dict[str, object]] = {}
        if self.rooms:
            for host in self.hosts:
                try:
                    by_engine[host] = await host.stats()
                except EngineError as error:
                    logger.error("%s", error)
        return {room.id: room.stats(by_engine.get(room.host, {})) for room in self.rooms.values()}

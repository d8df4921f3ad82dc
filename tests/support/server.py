"""The whole server inside a test, on free ports of loopback, and the counts that show a leak."""

import contextlib
import os
from collections.abc import AsyncIterator, Mapping

import attrs
import trio
from support.api import MeetApi

from meet_trio.app import Running, serve
from meet_trio.config import Settings, build

TOKEN = "the-test's-token"


@attrs.frozen
class Counts:
    """The objects that a closed meeting must release. Compare with ``==``."""

    tasks: int
    """Trio's tasks in the whole process."""
    asyncio_tasks: int
    descriptors: int
    rooms: int
    engine_entries: int
    """Entries that Python holds for engines."""
    engine_objects: int
    """Transports, producers, mirrors and consumers inside the engines."""


@attrs.frozen
class LocalServer:
    """A running server and its HTTP API."""

    running: Running
    api: MeetApi

    async def counts(self) -> Counts:
        """The current counts."""
        objects = 0
        for host in self.running.hosts:
            stats = await host.stats()
            for kind in ("transports", "producers", "mirrors", "consumers"):
                objects += len(stats[kind])
        with trio.move_on_after(1):  # health asks the engines too
            while any(host.object_counts()["stats"] for host in self.running.hosts):
                await trio.sleep(0.001)
        return Counts(
            tasks=trio.lowlevel.current_statistics().tasks_living,
            asyncio_tasks=self.running.bridge.task_count(),
            descriptors=len(os.listdir("/proc/self/fd")),
            rooms=len(self.running.registry.rooms),
            engine_entries=sum(sum(host.object_counts().values()) for host in self.running.hosts),
            engine_objects=objects,
        )

    async def settled(self, wanted: Counts, within: float) -> Counts:
        """The counts once they equal ``wanted``, or after ``within`` seconds."""
        deadline = trio.current_time() + within
        while (counts := await self.counts()) != wanted and trio.current_time() < deadline:
            await trio.sleep(0.05)
        return counts


def quick_settings(
    changed: Mapping[str, object] | None = None,
    /,
    *,
    patience: float = 8.0,
    spread_size: int = 16,
    **media: object,
) -> Settings:
    """Settings with free ports, and deadlines short enough for a test to wait for them.

    ``patience`` is the time in seconds for clients to come and for transports to connect; a busy
    machine needs more. ``spread_size`` is the number of a room's peers on one engine. ``media`` are
    settings of the table ``[media]``, ``changed`` any others, by key.
    """
    return build(
        {
            "http.host": "127.0.0.1",
            "http.port": 0,
            "http.auth_token": TOKEN,
            "signaling.reconnect_grace": 0.5,
            "signaling.first_connection_timeout": patience,
            "rooms.empty_timeout": 0.3,
            "rooms.never_joined_timeout": patience,
            "rooms.spread_size": spread_size,
            "media.port": 0,
            "media.connect_timeout": patience,
            **{f"media.{name}": value for name, value in media.items()},
            **(changed or {}),
        }
    )


@contextlib.asynccontextmanager
async def open_server(settings: Settings | None = None) -> AsyncIterator[LocalServer]:
    """A server for the time of the ``async with``."""
    async with trio.open_nursery() as nursery:
        running: Running = await nursery.start(serve, settings or quick_settings())
        running.bridge.want()
        await running.bridge.loaded()  # so that it does not change the counts later
        yield LocalServer(running, MeetApi("127.0.0.1", running.port, TOKEN))
        nursery.cancel_scope.cancel()

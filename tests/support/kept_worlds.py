"""Worlds of fakes that are cut off, and others that are made of what they have kept."""

import contextlib
import copy
from collections.abc import AsyncIterator, Mapping
from typing import Any

import trio
import trio.testing
from support.live_fakes import Client, FakeEngine, World
from support.live_scenes import open_world, pair, produce, transport

from meet_trio.live.keeper import Keeper
from meet_trio.live.restore import restore_rooms
from meet_trio.live.room import LiveRoom


class DictStore:
    """What is put is written by ``flush``: a process that ends before has not kept it."""

    def __init__(self) -> None:
        self.written: dict[str, bytes] = {}
        self._now: dict[str, bytes] = {}

    def put(self, key: str, payload: bytes) -> None:
        self._now[key] = payload

    def drop(self, key: str) -> None:
        self._now.pop(key, None)

    def flush(self) -> None:
        self.written = dict(self._now)


class Past:
    """A server that was killed: what it has kept, and what its engines knew."""

    def __init__(self, world: World) -> None:
        assert isinstance(world.keeper.store, DictStore)
        self.entries: Mapping[str, bytes] = dict(world.keeper.store.written)
        self.kept = [engine.kept(index) for index, engine in enumerate(world.engines)]
        self.engines = [
            {name: copy.deepcopy(value) for name, value in vars(engine).items() if name != "world"}
            for engine in world.engines
        ]
        self.rooms = {room.id: exported(room) for room in world.registry.rooms.values()}


def exported(room: LiveRoom) -> dict[str, bytes]:
    """All records of a room, as they would be written."""
    room.state.note_everything()
    records = room.state.take_changes().records
    return {"/".join(record.key): record.to_json() for record in records}


@contextlib.asynccontextmanager
async def open_kept_world(
    engines: int | list[FakeEngine] = 1, **parts: Any
) -> AsyncIterator[World]:
    async with open_world(engines=engines, keeper=Keeper(DictStore()), **parts) as world:
        yield world


@contextlib.asynccontextmanager
async def open_next(
    past: Past,
    entries: Mapping[str, bytes] | None = None,
    engines: list[FakeEngine] | None = None,
    exact: bool = True,
    **parts: Any,
) -> AsyncIterator[World]:
    """A server that goes on with ``past``, or with other ``entries``. See ``restore_rooms``."""
    async with open_kept_world(engines or len(past.engines), **parts) as world:
        rooms = restore_rooms(
            past.entries if entries is None else entries,
            past.kept,
            ["192.0.2.9"],
            world.registry.context,
            exact=exact,
        )
        await world.registry.go_on(rooms)
        await trio.testing.wait_all_tasks_blocked()
        yield world


async def meeting(world: World) -> tuple[LiveRoom, Client, Client]:
    """Two peers; both send, both receive, all transports are connected."""
    room, ada, bob = await pair(world)
    await transport(ada.socket, consuming=True)
    for client in (ada, bob):
        await produce(client)
        await produce(client, "simulcast")
    new = [session for session in world.bridge.sessions if not session.fingerprints]
    for session in new:
        session.start([world.bridge.fingerprints[0]])
    for peer in room.peers.values():
        for own in peer.transports.values():
            own._asked_at = own._asked_at or 0.0
    for session in new:
        session.complete()
    await trio.sleep(1)  # all that was told is received
    return room, ada, bob

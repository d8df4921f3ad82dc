"""Rooms that go on after a restart: one world of fakes is cut off, and another is made of what it
has kept.
"""

import contextlib
import copy
from collections.abc import AsyncIterator, Mapping

import trio
from support.live_agreement import disagreements
from support.live_fakes import Client, World
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
        self.engines = [copy.deepcopy(vars(engine)) for engine in world.engines]
        self.rooms = {room.id: exported(room) for room in world.registry.rooms.values()}


def exported(room: LiveRoom) -> dict[str, bytes]:
    """All records of a room, as they would be written."""
    room.state.note_everything()
    records = room.state.take_changes().records
    return {"/".join(record.key): record.to_json() for record in records}


@contextlib.asynccontextmanager
async def open_kept_world(engines: int = 1) -> AsyncIterator[World]:
    async with open_world(engines=engines, keeper=Keeper(DictStore())) as world:
        yield world


@contextlib.asynccontextmanager
async def open_next(past: Past, entries: Mapping[str, bytes] | None = None) -> AsyncIterator[World]:
    """A server that goes on with ``past``, or with other ``entries``."""
    async with open_kept_world(len(past.engines)) as world:
        rooms = restore_rooms(
            past.entries if entries is None else entries,
            past.kept,
            ["192.0.2.9"],
            world.registry.context,
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
    for session in world.bridge.sessions:
        session.start([world.bridge.fingerprints[0]])
    for peer in room.peers.values():
        for own in peer.transports.values():
            own._asked_at = own._asked_at or 0.0
    for session in world.bridge.sessions:
        session.complete()
    await trio.testing.wait_all_tasks_blocked()
    return room, ada, bob


async def test_everything_is_there_again(autojump_clock: trio.testing.MockClock) -> None:
    async with open_kept_world() as world:
        await meeting(world)
        past = Past(world)
    async with open_next(past) as world:
        assert disagreements(world) == []
        assert {room.id: exported(room) for room in world.registry.rooms.values()} == past.rooms
        for engine, before in zip(world.engines, past.engines, strict=True):
            for name in ("transports", "srtp", "producers", "consumers", "consumer_paused"):
                assert vars(engine)[name] == before[name], name
            numbers = {*engine.transports, *engine.producers, *engine.consumers}
            assert {number for _, number in engine.resumed} == numbers


async def test_all_is_kept_again_before_the_rooms_run(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A process may be killed while the rest of it is still being loaded."""
    async with open_kept_world() as world:
        await meeting(world)
        past = Past(world)
    async with open_kept_world() as world:
        rooms = restore_rooms(past.entries, past.kept, ["192.0.2.9"], world.registry.context)
        for room in rooms:
            room.keeper.write()
        assert isinstance(world.keeper.store, DictStore)
        assert world.keeper.store.written.keys() == past.entries.keys()
        await world.registry.go_on(rooms)


async def test_a_peer_comes_back(autojump_clock: trio.testing.MockClock) -> None:
    async with open_kept_world() as world:
        _, ada, bob = await meeting(world)
        past = Past(world)
    async with open_next(past) as world:
        (again,) = world.registry.rooms.values()
        for before in (ada, bob):
            client = Client(world, again, before.id, before.token)
            socket = await client.connect()
            assert [entry[1] for entry in socket.log] == ["roomBack"]


async def test_a_process_that_ends_before_its_rooms_run(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Its engines have begun by then, so what counts is what it has written."""
    async with open_kept_world() as world:
        room, *_ = await meeting(world)
        room.listen()
        await trio.testing.wait_all_tasks_blocked()
        past = Past(world)
    async with open_kept_world() as world:
        context = world.registry.context
        rooms = restore_rooms(past.entries, past.kept, ["192.0.2.9"], context)
        for room in rooms:
            room.keeper.write()
        second = Past(world)
        await world.registry.go_on(rooms)  # for its end
    async with open_next(second) as world:
        assert {room.id: exported(room) for room in world.registry.rooms.values()} == past.rooms
        assert all(room.speakers.listening for room in world.registry.rooms.values())

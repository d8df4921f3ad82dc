"""Rooms that go on after a restart: one world of fakes is cut off, and another is made of what it
has kept.
"""

import trio
from support.kept_worlds import DictStore, Past, exported, meeting, open_kept_world, open_next
from support.live_agreement import disagreements
from support.live_fakes import Client
from trio.testing import MockClock

from meet_trio.live.restore import restore_rooms
from meet_trio.room import Webhook


async def test_everything_is_there_again(autojump_clock: MockClock) -> None:
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


async def test_all_is_kept_again_before_the_rooms_run(autojump_clock: MockClock) -> None:
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


async def test_a_peer_comes_back(autojump_clock: MockClock) -> None:
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


async def test_the_end_of_a_room_is_announced_before_it_is_forgotten(
    autojump_clock: MockClock,
) -> None:
    """So a process that is killed in between has kept one of the two."""
    announced: list[tuple[Webhook, bool]] = []

    def announce(webhook: Webhook) -> None:
        store = world.keeper.store
        assert isinstance(store, DictStore)
        announced.append((webhook, f"room/{room.id}" in store.written))

    async with open_kept_world(announce=announce) as world:
        room, *_ = await meeting(world)
        room.close()
        await trio.sleep(1)
        assert announced == [(Webhook("roomClosed", room.id), True)]
        assert [webhook.event for webhook in world.webhooks] == ["roomClosed"]
        assert Past(world).entries == {}

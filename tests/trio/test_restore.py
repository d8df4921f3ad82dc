"""Rooms that go on after a restart: one world of fakes is cut off, and another is made of what it
has kept.
"""

import pytest
import trio
from support.kept_worlds import DictStore, Past, exported, meeting, open_kept_world, open_next
from support.live_agreement import disagreements
from support.live_fakes import Client
from support.live_scenes import pair, produce
from trio.testing import MockClock

from meet_trio.live.remake import SKIPPED_MIDS, SKIPPED_SSRCS
from meet_trio.live.restore import restore_rooms
from meet_trio.live.settings import RoomSettings
from meet_trio.media.transport import TransportState, WebRtcTransport
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


async def test_of_another_machine_numbers_jump(autojump_clock: MockClock) -> None:
    """What it has used since its last entry is not known."""
    async with open_kept_world() as world:
        room, _, _ = await meeting(world)
        past = Past(world)
        last = max(max(consumer.ssrcs()) for consumer in room.consumers.values())
    next_ones = []
    for exact in (True, False):
        async with open_next(past, exact=exact) as world:
            (again,) = world.registry.rooms.values()
            mids = [int(peer.next_mid()) for peer in again.peers.values()]
            next_ones.append((again.streams.ssrcs_reserved, mids))
    (here, mids_here), (there, mids_there) = next_ones
    assert here > last
    assert there - here == SKIPPED_SSRCS
    assert [b - a for a, b in zip(mids_here, mids_there, strict=True)] == [SKIPPED_MIDS] * 2


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


async def test_who_does_not_come_back_leaves_once(autojump_clock: MockClock) -> None:
    async with open_kept_world() as world:
        _, ada, bob = await meeting(world)
        past = Past(world)
    async with open_next(past) as world:
        (room,) = world.registry.rooms.values()
        again = Client(world, room, ada.id, ada.token)
        socket = await again.connect()
        await trio.sleep(room.context.peer_settings.reconnect_grace - 0.1)
        assert socket.notices("peerClosed") == []
        await trio.sleep(5)
        assert socket.notices("peerClosed") == [{"peerId": bob.id}]
        assert set(room.peers) == {ada.id}
        assert disagreements(world) == []
        past = Past(world)
    async with open_next(past) as world:  # and that is not forgotten
        (room,) = world.registry.rooms.values()
        assert set(room.peers) == {ada.id}


async def test_a_transport_that_was_new_connects(autojump_clock: MockClock) -> None:
    async with open_kept_world() as world:
        room, _, bob = await pair(world)
        (before,) = room.peers[bob.id].transports.values()
        assert isinstance(before, WebRtcTransport)
        assert before.state is TransportState.NEW
        past = Past(world)
    async with open_next(past) as world:
        (room,) = world.registry.rooms.values()
        client = Client(world, room, bob.id, bob.token)
        await client.connect()
        (own,) = room.peers[bob.id].transports.values()
        assert isinstance(own, WebRtcTransport)
        assert (own.id, own.ice) == (before.id, before.ice)
        fingerprints = [{"algorithm": "sha-256", "value": ":".join(["AB"] * 32)}]
        answer = await client.socket.ask(
            "connectWebRtcTransport",
            transportId=own.id,
            dtlsParameters={"role": "client", "fingerprints": fingerprints},
        )
        assert answer == []
        (session,) = world.bridge.sessions
        session.complete()
        assert own.state is TransportState.CONNECTED
        assert world.engine.srtp[own.number] == 7
        assert disagreements(world) == []


async def test_unanswered_offers_are_asked_again(autojump_clock: MockClock) -> None:
    """With the same ids, once on the new socket; those that were answered are not."""
    async with open_kept_world() as world:
        _, ada, bob = await pair(world)
        await produce(ada, "audio")
        await trio.sleep(1)
        bob.socket.answer_calls = None
        await produce(ada, "video")
        await trio.sleep(1)
        answered, unanswered = [data for _, data in bob.socket.calls]
        assert answered["kind"] == "audio"
        past = Past(world)
    async with open_next(past) as world:
        (room,) = world.registry.rooms.values()
        consumer = room.consumers[str(unanswered["id"])]
        assert world.engine.consumer_paused[consumer.number]
        client = Client(world, room, bob.id, bob.token)
        socket = await client.connect()
        await trio.sleep(1)
        assert socket.calls == [("newConsumer", unanswered)]
        assert not world.engine.consumer_paused[consumer.number]
        past = Past(world)
    async with open_next(past) as world:  # the answer is kept
        (room,) = world.registry.rooms.values()
        socket = await Client(world, room, bob.id, bob.token).connect()
        await trio.sleep(1)
        assert socket.calls == []


async def test_mirrors_go_on_over_two_engines(autojump_clock: MockClock) -> None:
    settings = RoomSettings(spread_size=1)
    async with open_kept_world(2, room_settings=settings) as world:
        await meeting(world)
        past = Past(world)
        mirrors = [set(engine.mirrors) for engine in world.engines]
        assert all(mirrors)
    async with open_next(past, room_settings=settings) as world:
        assert [engine.mirrors for engine in world.engines] == mirrors
        for engine, before in zip(world.engines, past.engines, strict=True):
            assert engine.relays == before["relays"]
            # what the engine had kept of a mirror is given to it too
            assert {("producer", n) for n in engine.mirrors} <= engine.resumed.keys()
        assert disagreements(world) == []


@pytest.mark.parametrize("after", range(8))
async def test_cancelled_soon_after_rooms_go_on_it_leaves_nothing(
    autojump_clock: MockClock, after: int
) -> None:
    async with open_kept_world() as world:
        await meeting(world)
        await meeting(world)
        past = Past(world)
    async with open_kept_world() as world:
        context = world.registry.context
        rooms = restore_rooms(past.entries, past.kept, ["192.0.2.9"], context)
        await world.registry.go_on(rooms)
        for _ in range(after):
            await trio.lowlevel.checkpoint()
    assert world.is_clean()

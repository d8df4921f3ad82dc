"""Draining: no new rooms, the others go on until they end by themselves or are told to."""

import contextlib
import json
import logging
import time
from collections.abc import AsyncIterator

import httpx
import pytest
import trio
import trio.testing
from support.kept_worlds import DictStore
from support.live_fakes import Client, World
from support.live_scenes import join, open_world, pair, produce
from support.loop_turns import counting
from trio.testing import MockClock

from meet_trio.app import _stop_when_drained
from meet_trio.edge.settings import WebhookSettings
from meet_trio.edge.webhooks import Outbox
from meet_trio.errors import LimitExceeded
from meet_trio.live.attendance import RoomEnd
from meet_trio.live.room import LiveRoom
from meet_trio.operator.drain import Drain, DrainRecord
from meet_trio.operator.settings import DrainSettings
from meet_trio.room import Room, Webhook


@contextlib.asynccontextmanager
async def open_drain(
    world: World, patience: float = 0.0
) -> AsyncIterator[tuple[Drain, trio.Event]]:
    """A drain, not yet begun, and the event of its end."""
    drain, drained = Drain(world.registry, DrainSettings(timeout=patience)), trio.Event()

    async def run() -> None:
        await drain.run()
        drained.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        await trio.testing.wait_all_tasks_blocked()
        yield drain, drained
        nursery.cancel_scope.cancel()


async def is_refused(world: World) -> bool:
    try:
        await world.registry.create_room()
    except LimitExceeded as error:
        return str(error) == "the server is draining"
    return False


async def test_rooms_go_on_and_no_new_ones_are_made(autojump_clock: MockClock) -> None:
    async with open_world() as world, open_drain(world) as (drain, drained):
        room, ada, bob = await pair(world)
        assert not drain.active
        assert drain.start()
        assert not drain.start()  # once is enough
        await trio.testing.wait_all_tasks_blocked()
        assert drain.active
        assert await is_refused(world)
        assert await world.registry.create_room(room.id) is room
        # streams, messages and newcomers as before
        await produce(ada)
        cara = await world.enter(room)
        await join(cara, "Cara")
        bob.socket.lose()
        await trio.sleep(5)
        await bob.connect()
        assert not bob.socket.notices("moderator:closeRoom")
        await trio.sleep(86400)
        assert not drained.is_set()
        assert drain.left() == "1 room, 3 peers"
        for client in (ada, bob, cara):
            client.socket.go()
        await drained.wait()
        assert not world.registry.rooms
        assert drain.active
        assert not drain.undo()
        assert await is_refused(world)  # for good


async def test_an_empty_server_drains_at_once(autojump_clock: MockClock) -> None:
    async with open_world() as world, open_drain(world) as (drain, drained):
        began = trio.current_time()
        drain.start()
        await drained.wait()
        assert trio.current_time() == began


@pytest.mark.parametrize("override", [None, 60.0])
async def test_after_the_timeout_peers_are_told_and_rooms_close(
    autojump_clock: MockClock, override: float | None
) -> None:
    async with (
        open_world() as world,
        open_drain(world, patience=60 if override is None else 5) as (
            drain,
            drained,
        ),
    ):
        clients: list[Client] = []
        for _ in range(25):  # more than are closed in one turn
            _, ada, bob = await pair(world)
            clients += [ada, bob]
        drain.start(override)
        await trio.sleep(59)
        assert len(world.registry.rooms) == 25
        assert all(client.socket.connected for client in clients)
        await drained.wait()
        assert not world.registry.rooms
        for client in clients:
            assert len(client.socket.notices("moderator:closeRoom")) == 1
            assert not client.socket.connected
        assert [hook.event for hook in world.webhooks] == ["roomClosed"] * 25


async def test_a_drain_is_taken_back(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "meet_trio.operator")
    async with open_world() as world, open_drain(world) as (drain, drained):
        assert not drain.undo()
        await pair(world)
        for _ in range(2):
            drain.start()
            await trio.testing.wait_all_tasks_blocked()
            assert await is_refused(world)
            assert drain.undo()
            await trio.testing.wait_all_tasks_blocked()
            assert not drain.active
            assert not await is_refused(world)
        assert not drained.is_set()
    assert "draining: no new rooms, waiting for 1 room, 2 peers" in caplog.messages
    assert "the drain is taken back: new rooms are made again" in caplog.messages


@pytest.mark.parametrize(("takes", "ends_after"), [(0.1, 0.1), (7, 7), (60, 10)])
async def test_the_last_webhooks_get_time(
    autojump_clock: MockClock, takes: float, ends_after: float
) -> None:
    async def answer(request: httpx.Request) -> httpx.Response:
        await trio.sleep(takes)
        return httpx.Response(200)

    settings = WebhookSettings(url="http://kolab.test/", timeout=100)
    outbox, stop = Outbox(settings, httpx.MockTransport(answer)), trio.Event()
    async with open_world() as world, trio.open_nursery() as nursery:
        await nursery.start(outbox.run)
        outbox.put(Webhook("roomClosed", "a"))
        drain = Drain(world.registry, DrainSettings())
        drain.start()
        began = trio.current_time()
        await _stop_when_drained(drain, outbox, stop)
        assert stop.is_set()
        assert trio.current_time() - began == pytest.approx(ends_after)
        nursery.cancel_scope.cancel()


async def test_taken_back_before_it_has_begun(autojump_clock: MockClock) -> None:
    async with open_world() as world, open_drain(world) as (drain, drained):
        drain.start()
        drain.undo()
        await trio.sleep(1)
        assert not drained.is_set()
        assert not await is_refused(world)


async def test_ending_many_rooms_leaves_turns_to_others(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    end = LiveRoom.end
    async with open_world() as world:
        for _ in range(50):
            await world.registry.create_room()
        with counting() as turns, trio.fail_after(10):

            def end_and_count(room: LiveRoom, why: RoomEnd) -> None:
                turns.count()
                end(room, why)

            monkeypatch.setattr(LiveRoom, "end", end_and_count)
            await world.registry.drain(1)
    assert turns.happened.total() == 50
    assert turns.most == 20


@pytest.mark.parametrize("after", range(8))
async def test_cancelled_anywhere_it_leaves_nothing(autojump_clock: MockClock, after: int) -> None:
    """Cancelled after so many of its turns."""
    async with open_world() as world:
        for _ in range(25):
            await pair(world)
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(world.registry.drain, 1)
                await trio.sleep(1)
                for _ in range(after):
                    await trio.lowlevel.checkpoint()
                scope.cancel()
        ended = not world.registry.rooms
        assert world.registry.draining is False or ended
        if not world.registry.draining:
            await world.registry.create_room()


async def test_a_room_that_fails_to_end_does_not_stop_the_others(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_world() as world, open_drain(world, patience=1) as (drain, drained):
        rooms = [await pair(world) for _ in range(2)]
        faulty, end = rooms[0][0].state, Room.end
        monkeypatch.setattr(Room, "end", lambda room: 1 / 0 if room is faulty else end(room))
        drain.start()
        await drained.wait()
        for _, ada, _ in rooms:
            assert not ada.socket.connected
        assert rooms[1][1].socket.notices("moderator:closeRoom")


async def test_a_drain_goes_on_in_the_next_process(autojump_clock: MockClock) -> None:
    store = DictStore()
    async with open_world() as world:
        drain = Drain(world.registry, DrainSettings(timeout=600), store)
        before = time.time()
        assert drain.start()
        (entry,) = store.written.items()
    assert entry[0] == "drain"
    record = DrainRecord.from_json(entry[1])
    assert record.until is not None
    assert before + 600 <= record.until <= time.time() + 600
    async with open_world() as world, open_drain(world) as (drain, drained):
        await pair(world)
        drain.resume(DrainRecord(time.time() + 7))
        await trio.sleep(6)
        assert drain.active
        assert world.registry.draining
        assert not drained.is_set()
        await trio.sleep(1.5)
        assert drained.is_set()


@pytest.mark.parametrize(("until", "ends"), [(None, False), (0.0, True)])
async def test_patience_of_a_drain_that_goes_on(
    autojump_clock: MockClock, until: float | None, ends: bool
) -> None:
    """Without an end it has none; an end that has passed is now."""
    async with open_world() as world, open_drain(world) as (drain, drained):
        await pair(world)
        drain.resume(DrainRecord.from_json(DrainRecord(until).to_json()))
        await trio.sleep(1)
        assert drained.is_set() is ends


async def test_no_drain_goes_on(autojump_clock: MockClock) -> None:
    store = DictStore()
    async with open_world() as world:
        drain = Drain(world.registry, DrainSettings(), store)
        drain.start()
        assert json.loads(store.written["drain"])["until"] is None
        drain.undo()
        assert store.written == {}
        drain = Drain(world.registry, DrainSettings())
        drain.resume(None)
        assert not drain.active

"""The figures of its room that any peer may have the server log, and those of all rooms; with a
clock that jumps.
"""

import ast
import contextlib
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio
from support.live_fakes import FakeEngine, FakeStats, World
from support.live_scenes import open_world, pair, produce, say
from trio.testing import MockClock

from meet_trio.engine import StatsReady
from meet_trio.live.figures import RoomsFigures
from meet_trio.live.totals import INTERVAL
from meet_trio.media.engines import STATS_DEADLINE


class CountingEngine(FakeEngine):
    """Reports ten received packets for each transport and one lost packet for each consumer;
    ``walks`` counts the requests for figures.
    """

    walks = 0
    world: World

    def request_stats(self, token: int) -> None:
        self.walks += 1
        of_transports = {key: {"packetsReceived": 10} for key in map(str, self.transports)}
        of_consumers = {
            str(number): {"transport": on, "packetsLost": 1, "nackCount": 2, "pliCount": 3}
            for number, (on, _) in self.consumers.items()
        }
        stats = FakeStats(transports=of_transports, consumers=of_consumers)
        self.world.hear(StatsReady(token, stats))


def figures(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """The figures of rooms that were logged since the last call."""
    logged = [
        ast.literal_eval(record.getMessage().partition(": ")[2])
        for record in caplog.records
        if record.name == "meet_trio.live.handlers" and "'peers'" in record.getMessage()
    ]
    caplog.clear()
    return logged


@contextlib.asynccontextmanager
async def open_counted() -> AsyncIterator[tuple[World, CountingEngine]]:
    engine = CountingEngine()
    async with open_world(engines=[engine]) as world:
        engine.world = world
        yield world, engine


async def test_a_room_logs_its_own_figures(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with open_counted() as (world, engine):
        _, ada, _ = await pair(world)
        await produce(ada, "video")
        _, other, _ = await pair(world)
        assert await ada.socket.ask("dumpStats") == [None]
        assert await other.socket.ask("dumpStats") == [None]
        of_ada, of_other = figures(caplog)
        assert of_ada == {
            "peers": 2,
            "transports": 2,
            "producers": 1,
            "consumers": 1,
            "packetsReceived": 20,
            "packetsLost": 1,
            "nackCount": 2,
            "pliCount": 3,
        }
        assert (of_other["transports"], of_other["packetsReceived"]) == (1, 10)
        assert engine.walks == 1


async def test_whoever_asks_an_engine_looks_through_its_objects_once_in_a_while(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with open_counted() as (world, engine):
        pairs = [await pair(world) for _ in range(5)]
        for _ in range(20):
            for _, ada, bob in pairs:
                assert await ada.socket.ask("dumpStats") == [None]
                assert await bob.socket.ask("dumpStats") == [None]
        assert engine.walks == 1
        assert len(figures(caplog)) == len(pairs)
        await trio.sleep(INTERVAL)
        for _, ada, _ in pairs:
            assert await ada.socket.ask("dumpStats") == [None]
        assert engine.walks == 2
        assert len(figures(caplog)) == len(pairs)


async def test_an_engine_that_does_not_answer_is_not_waited_for_by_each(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with open_world() as world:
        pairs = [await pair(world) for _ in range(5)]
        begin = trio.current_time()
        events = [say(bob.socket, "dumpStats") for _, _, bob in pairs]
        while any(event.answer is None for event in events):
            await trio.sleep(0.1)
        assert [event.answer for event in events] == [[None]] * len(pairs)
        assert trio.current_time() - begin < STATS_DEADLINE + 1
        assert [of["transports"] for of in figures(caplog)] == [1] * len(pairs)


async def test_calls_at_once_share_an_answer(autojump_clock: MockClock) -> None:
    async with open_counted() as (world, engine):
        room, ada, bob = await pair(world)
        rooms, answers = RoomsFigures(), []

        async def call() -> None:
            answers.append(json.loads(await rooms.collect(world.registry.rooms.values())))

        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(call)
        assert len(answers) == 10
        assert all(answer[room.id].keys() == room.peers.keys() for answer in answers)
        assert engine.walks == 1
        room.perform(room.state.kick(ada.id, bob.id))
        await call()
        assert set(answers[-1][room.id]) == {ada.id}
        assert engine.walks == 2


async def test_no_answer_is_older_than_its_call(autojump_clock: MockClock) -> None:
    """Calls that come while an answer is made share the next one."""
    async with open_world() as world:  # its engine does not answer: a call takes two seconds
        await pair(world)
        rooms, answered = RoomsFigures(), []
        began = trio.current_time()

        async def call(after: float) -> None:
            await trio.sleep(after)
            await rooms.collect(world.registry.rooms.values())
            answered.append(round(trio.current_time() - began))

        async with trio.open_nursery() as nursery:
            for after in (0, 1, 1.5, 3):
                nursery.start_soon(call, after)
        assert answered == [2, 4, 4, 6]


async def test_a_call_that_is_cancelled_leaves_the_others_theirs(
    autojump_clock: MockClock,
) -> None:
    async with open_world() as world:  # its engine does not answer: a call takes two seconds
        room, _, _ = await pair(world)
        rooms, answers = RoomsFigures(), []

        async def call(scope: trio.CancelScope) -> None:
            with scope:
                answers.append(json.loads(await rooms.collect(world.registry.rooms.values())))

        scopes, began = [trio.CancelScope() for _ in range(4)], trio.current_time()
        async with trio.open_nursery() as nursery:
            for scope in scopes:
                nursery.start_soon(call, scope)
                await trio.sleep(0.1)  # the calls come in this order
            await trio.sleep(0.5)
            scopes[0].cancel()  # while it asks the engine
            await trio.sleep(1)
            scopes[1].cancel()  # likewise
        assert len(answers) == 2
        assert all(answer.keys() == {room.id} for answer in answers)
        assert trio.current_time() - began == pytest.approx(1.9 + STATS_DEADLINE)

"""Trials of media: ICE credentials at each engine, for seconds."""

import contextlib
from collections.abc import AsyncIterator

import pytest
import trio
import trio.testing
from support.live_fakes import FakeEngine, World

from meet_trio.errors import LimitExceeded
from meet_trio.live.settings import PeerSettings, RoomSettings
from meet_trio.live.trials import LIFETIME, MOST_TRIALS


@contextlib.asynccontextmanager
async def open_world() -> AsyncIterator[World]:
    async with trio.open_nursery() as nursery:
        engines = [FakeEngine(44444), FakeEngine(44445)]
        world = World(nursery, RoomSettings(), PeerSettings(), engines)
        await nursery.start(world.registry.run)
        yield world
        nursery.cancel_scope.cancel()
    assert world.is_clean()


async def test_each_engine_takes_credentials_for_a_while(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_world() as world:
        given = await world.registry.try_media()
        assert [item["port"] for item in given] == [44444, 44445]
        for item, engine in zip(given, world.engines, strict=True):
            pairs = list(engine.transports.values())
            assert pairs == [(item["usernameFragment"], item["password"])]
        assert given[0]["password"] != given[1]["password"]
        await trio.sleep(LIFETIME + 0.1)
        assert world.is_clean()


async def test_an_engine_that_has_failed_is_left_out(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_world() as world:
        world.hosts[0].failure.set()
        assert [item["port"] for item in await world.registry.try_media()] == [44445]


async def test_there_are_few_at_once(autojump_clock: trio.testing.MockClock) -> None:
    async with open_world() as world:
        for _ in range(MOST_TRIALS):
            await world.registry.try_media()
        with pytest.raises(LimitExceeded, match=f"{MOST_TRIALS} trials"):
            await world.registry.try_media()
        await trio.sleep(LIFETIME + 0.1)
        await world.registry.try_media()


async def test_the_end_of_the_registry_ends_them() -> None:
    async with open_world() as world:
        await world.registry.try_media()
        registry = world.registry
    with pytest.raises(LimitExceeded, match="shutting down"):
        await registry.try_media()

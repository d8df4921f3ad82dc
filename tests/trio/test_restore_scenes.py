"""Any meeting, cut off at any moment, goes on as it was: the same records, the same commands."""

import json
import random

import pytest
import trio
from support.kept_worlds import DictStore, Past, exported, open_kept_world, open_next
from support.live_agreement import disagreements
from support.live_fakes import World
from support.random_scene import Scene
from trio.testing import MockClock

STEPS = 60
COMMANDS = (
    *("transports", "srtp", "producers", "producer_paused", "mirrors", "relays"),
    *("consumers", "consumer_paused", "preferred_layers", "priorities"),
)


def written(world: World) -> dict[str, object]:
    assert isinstance(world.keeper.store, DictStore)
    return {key: json.loads(value) for key, value in world.keeper.store.written.items()}


@pytest.mark.parametrize("engines", [1, 2])
@pytest.mark.parametrize("seed", range(8))
async def test_the_next_process_has_the_same(
    autojump_clock: MockClock, seed: int, engines: int
) -> None:
    async with open_kept_world(engines) as world:
        room = await world.registry.create_room()
        scene = Scene(world, room, random.Random(seed))
        for _ in range(STEPS):
            await scene.step()
            await trio.testing.wait_all_tasks_blocked()
        await trio.sleep(2)
        if not world.registry.rooms:
            return
        assert disagreements(world) == []
        before = written(world)
        past = Past(world)
    async with open_next(past) as world:
        assert disagreements(world) == []
        assert {room.id: exported(room) for room in world.registry.rooms.values()} == past.rooms
        for engine, known in zip(world.engines, past.engines, strict=True):
            for name in COMMANDS:
                assert vars(engine)[name] == known[name], name
        assert written(world) == before

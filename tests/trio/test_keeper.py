"""What cannot be kept ends nothing."""

import logging

import pytest
import trio
from support.live_scenes import open_world, pair, produce

from meet_trio.live.keeper import Keeper


class PickyStore:
    """Has no place for producers."""

    def __init__(self, error: type[Exception]) -> None:
        self.error = error
        self.entries: dict[str, bytes] = {}

    def put(self, key: str, payload: bytes) -> None:
        if key.startswith("producer/"):
            raise self.error("no place")
        self.entries[key] = payload

    def drop(self, key: str) -> None:
        self.entries.pop(key, None)

    def flush(self) -> None:
        pass


async def test_a_record_that_is_too_large(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    store = PickyStore(ValueError)
    async with open_world(keeper=Keeper(store)) as world:
        room, ada, _ = await pair(world)
        await produce(ada)
        assert len(room.producers) == 1
        kinds = {key.partition("/")[0] for key in store.entries}
        assert {"sending", "room", "peer"} <= kinds
        assert "producer" not in kinds
    assert "not kept: no place" in caplog.text


async def test_a_fault_of_the_store(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_world(keeper=Keeper(PickyStore(RuntimeError))) as world:
        room, ada, _ = await pair(world)
        await produce(ada)
        assert len(room.producers) == 1
        assert len(room.peers) == 2
    assert [r.message for r in caplog.records if r.levelno >= logging.ERROR][:1] == [
        "keeping a room failed"
    ]

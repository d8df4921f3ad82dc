"""The task that keeps the log: what is put is written in the next turn, new files come in short
turns, and a cancelled task leaves nothing unwritten.
"""

import contextlib
from collections.abc import AsyncIterator

import attrs
import pytest
import trio
from support.fake_folder import FakeFolder
from trio.testing import MockClock, wait_all_tasks_blocked

from meet_trio.journal.format import KeptLog, parse
from meet_trio.journal.journal import BEAT_INTERVAL, Journal
from meet_trio.journal.log import NAME, StateLog
from meet_trio.journal.settings import StateSettings

SETTINGS = StateSettings()


@attrs.define(eq=False)
class World:
    folder: FakeFolder
    journal: Journal

    @property
    def kept(self) -> KeptLog:
        return parse(self.folder.disk[NAME])


@contextlib.asynccontextmanager
async def running() -> AsyncIterator[World]:
    folder = FakeFolder()
    log = StateLog(folder, SETTINGS, bytes(16), trio.current_time())
    journal = Journal(log, trio.current_time)
    async with trio.open_nursery() as nursery:
        await nursery.start(journal.run)
        await wait_all_tasks_blocked()
        yield World(folder, journal)
        nursery.cancel_scope.cancel()
    log.close()


async def test_what_is_put_is_written_in_the_next_turn(autojump_clock: MockClock) -> None:
    async with running() as world:
        world.folder.calls.clear()
        for n in range(20):
            world.journal.put(f"peer/{n}", b"x")
        world.journal.drop("peer/7")
        assert world.kept.entries == {}
        await trio.lowlevel.checkpoint()
        await trio.lowlevel.checkpoint()
        assert len(world.kept.entries) == 19
        assert world.folder.calls == ["write_at"]


async def test_who_cannot_wait_flushes(autojump_clock: MockClock) -> None:
    async with running() as world:
        world.journal.put("peer/1", b"x")
        world.journal.flush()
        assert world.kept.entries == {"peer/1": b"x"}


async def test_a_server_at_rest_is_alive(autojump_clock: MockClock) -> None:
    async with running() as world:
        world.folder.calls.clear()
        for _ in range(10):
            await trio.sleep(BEAT_INTERVAL)
            await wait_all_tasks_blocked()
            assert world.kept.beat == trio.current_time()
        assert world.folder.calls == ["write_at"] * 10


async def test_trouble_is_tried_again_without_a_change(autojump_clock: MockClock) -> None:
    async with running() as world:
        world.folder.room = 64
        world.journal.put("peer/1", b"x")
        await trio.sleep(5)
        assert world.kept.entries == {}
        world.folder.room = 2**40
        await trio.sleep(3)
        assert world.kept.entries == {"peer/1": b"x"}


async def test_it_catches_up_at_once(mock_clock: MockClock) -> None:
    async with running() as world:
        world.folder.room = 64
        for n in range(2000):
            world.journal.put(f"peer/{n}", b"x" * 1000)
            if n % 100 == 0:
                await wait_all_tasks_blocked()
        await wait_all_tasks_blocked()
        world.folder.room = 2**40
        mock_clock.jump(BEAT_INTERVAL)
        turns = [written async for written in written_in_turns(world.folder)]
        assert len(world.kept.entries) == 2000
        assert max(turns) < 200_000


async def test_what_has_ended_is_wiped_in_time_and_in_short_turns(mock_clock: MockClock) -> None:
    async with running() as world:
        for n in range(2000):
            world.journal.put(f"peer/{n}", b"x" * 1000)
        world.journal.put("transport/1", b"SECRET")
        await wait_all_tasks_blocked()
        world.journal.drop("transport/1")
        await wait_all_tasks_blocked()
        mock_clock.jump(SETTINGS.wipe_within - 2)
        await wait_all_tasks_blocked()
        assert b"SECRET" in world.folder.disk[NAME]
        turns = []
        for _ in range(4):
            mock_clock.jump(1)
            turns += [written async for written in written_in_turns(world.folder)]
        assert b"SECRET" not in world.folder.disk[NAME]
        assert set(world.folder.disk) == {NAME}
        # this task may run before the other one in a turn, and behind it in the next
        assert sum(written > 100 for written in turns) > 20
        assert max(turns) <= 2 * 2**18
        assert len(world.kept.entries) == 2000


async def written_in_turns(folder: FakeFolder) -> AsyncIterator[int]:
    """The bytes of each turn of the loop, until nothing is written for a while."""
    quiet, before = 0, folder.bytes_written
    while quiet < 5:
        await trio.lowlevel.checkpoint()
        written = folder.bytes_written - before
        before += written
        quiet = 0 if written else quiet + 1
        yield written


async def test_a_cancelled_task_has_written_all(autojump_clock: MockClock) -> None:
    async with running() as world:
        await trio.sleep(0.3)
        world.journal.put("peer/1", b"x")
    assert world.kept.entries == {"peer/1": b"x"}
    assert world.kept.beat == pytest.approx(trio.current_time())
    assert world.folder.open_descriptors == 0


async def test_a_cancelled_task_leaves_a_new_file_half_done(mock_clock: MockClock) -> None:
    async with running() as world:
        for n in range(2000):
            world.journal.put(f"peer/{n}", b"x")
        await wait_all_tasks_blocked()
        world.journal.drop("peer/0")
        await wait_all_tasks_blocked()
        mock_clock.jump(SETTINGS.wipe_within)
        for _ in range(20):
            if "log.new" not in world.folder.disk:
                await trio.lowlevel.checkpoint()
        world.journal.put("peer/0", b"again")
    assert "log.new" in world.folder.disk
    assert len(world.kept.entries) == 2000
    assert world.folder.open_descriptors == 0

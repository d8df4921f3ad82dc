"""The file of records: what is put into it is in it, and no trouble with it reaches a call."""

import contextlib
import json
import os
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest
import trio

from meet_trio.errors import ConfigError
from meet_trio.operator.record_file import RecordFile


@contextlib.asynccontextmanager
async def open_file(path: Path, max_waiting: int = 1000) -> AsyncIterator[RecordFile]:
    before = len(os.listdir("/proc/self/fd"))
    file = RecordFile(path, max_waiting)
    async with trio.open_nursery() as nursery:
        await nursery.start(file.run)
        yield file
        nursery.cancel_scope.cancel()
    assert len(os.listdir("/proc/self/fd")) == before


async def until(done: Callable[[], bool]) -> None:
    with trio.fail_after(10):
        while not done():
            await trio.sleep(0.001)


def numbers(path: Path) -> Sequence[int]:
    return [json.loads(line)["n"] for line in path.read_text().splitlines()]


async def test_all_is_written_before_the_end(tmp_path: Path) -> None:
    path = tmp_path / "quality.jsonl"
    async with open_file(path) as file:
        for n in range(1000):
            file.put({"n": n})
        await file.drain(trio.current_time() + 10)
        assert numbers(path) == list(range(1000))
        file.put({"n": 1000})  # too late
        assert file.lost == 1
    assert path.stat().st_mode & 0o007 == 0
    async with open_file(path) as file:  # after a restart
        file.put({"n": 1000})
        await file.drain(trio.current_time() + 10)
    assert numbers(path) == list(range(1001))


@pytest.mark.parametrize("how", ["renamed", "replaced", "removed", "truncated"])
async def test_a_file_may_be_rotated(tmp_path: Path, how: str) -> None:
    path = tmp_path / "quality.jsonl"
    async with open_file(path) as file:
        file.put({"n": 1})
        await until(lambda: path.stat().st_size > 0)
        if how in ("renamed", "replaced"):
            path.rename(tmp_path / "old")
            if how == "replaced":
                path.touch()
        elif how == "removed":
            path.unlink()
        else:
            os.truncate(path, 0)
        file.put({"n": 2})
        await until(lambda: path.exists() and path.stat().st_size > 0)
    assert numbers(path) == [2]
    if how in ("renamed", "replaced"):
        assert numbers(tmp_path / "old") == [1]


async def test_trouble_is_logged_and_passes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "there"
    folder.mkdir()
    path = folder / "quality.jsonl"
    async with open_file(path) as file:
        folder.rename(tmp_path / "gone")
        file.put({"n": 1})
        await until(lambda: file.lost == 1)
        assert "No such file" in caplog.text
        (tmp_path / "gone").rename(folder)
        file.put({"n": 2})
        await until(lambda: path.stat().st_size > 0)
        file.put({"n": float("nan")})  # a fault of ours
        await until(lambda: file.lost == 2)
    assert numbers(path) == [2]


async def test_a_full_disk(caplog: pytest.LogCaptureFixture) -> None:
    async with open_file(Path("/dev/full")) as file:
        file.put({"n": 1})
        await until(lambda: file.lost == 1)
    assert "No space left" in caplog.text


async def test_a_disk_that_hangs_holds_up_nothing(tmp_path: Path) -> None:
    """The file is a pipe that nobody reads."""
    path = tmp_path / "quality.jsonl"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        file = RecordFile(path, 50)
        with trio.fail_after(10):
            async with trio.open_nursery() as nursery:
                await nursery.start(file.run)
                file.put({"n": 1, "text": "x" * 1_000_000})
                await until(lambda: not file._due[1].statistics().current_buffer_used)
                for n in range(100):
                    file.put({"n": n})
                assert file.lost == 50
                await file.drain(trio.current_time() + 0.01)
                nursery.cancel_scope.cancel()
    finally:
        os.close(reader)  # the thread's write fails, and closes the file
    await until(lambda: file._descriptor is None)


def test_a_file_that_cannot_be_opened_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"quality.file: {tmp_path}: Is a directory"):
        RecordFile(tmp_path, 10)

"""Reading the log of a process that still writes it."""

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from meet_trio.journal.folder import Folder
from meet_trio.journal.follow import LogFollower
from meet_trio.journal.format import HEADER_SIZE, encode_entry
from meet_trio.journal.log import NAME, StateLog, read_log
from meet_trio.journal.settings import StateSettings

BOOT = bytes(range(16))
SETTINGS = StateSettings()


@contextmanager
def opened(path: Path) -> Iterator[tuple[Folder, StateLog, LogFollower]]:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    folder = Folder(descriptor, path)
    log = StateLog(folder, SETTINGS, BOOT, 1.0)
    try:
        yield folder, log, LogFollower(folder)
    finally:
        log.close()
        os.close(descriptor)


@pytest.mark.parametrize("seed", range(20))
def test_it_has_what_was_written(tmp_path: Path, seed: int) -> None:
    """Also when the file is written anew in between, and wiped."""
    pick = random.Random(seed)
    now = 1.0
    with opened(tmp_path) as (folder, log, follower):
        live: dict[str, bytes] = {}
        for _ in range(200):
            for _ in range(pick.randrange(4)):
                key = f"peer/{pick.randrange(30)}"
                if pick.random() < 0.6:
                    live[key] = os.urandom(pick.randrange(2000))
                    log.put(key, live[key])
                else:
                    live.pop(key, None)
                    log.drop(key)
            now += pick.random() * 20
            log.flush(now)
            log.compact(now)
            log.beat(now)
            if pick.random() < 0.4:
                assert follower.read() == live
                assert list(follower.read()) == list(read_log(folder).entries)
        kept = follower.finish()
        assert kept == read_log(folder)
        assert (kept.entries, kept.boot, kept.beat) == (live, BOOT, pytest.approx(now))


def test_only_whole_turns_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader may see a part of a write, and a write that fails is cut off and made again."""
    with opened(tmp_path) as (_, log, follower):
        log.put("room/1", b"one")
        log.flush(1.0)
        before = log.size
        assert follower.read() == {"room/1": b"one"}
        for n in range(3):
            log.put(f"peer/{n}", bytes(100))
        log.flush(2.0)
        whole = (tmp_path / NAME).read_bytes()
        for size in range(before, len(whole)):
            (tmp_path / NAME).write_bytes(whole[:size])
            assert follower.read() == {"room/1": b"one"}, size
        # the turn after the cut has other entries under the same numbers
        mark = whole[32:40]
        other = encode_entry(mark, 1, b"peer/9", b"other", last=True)
        (tmp_path / NAME).write_bytes(whole[:before] + other)
        assert follower.read() == {"room/1": b"one", "peer/9": b"other"}
        monkeypatch.setattr("meet_trio.journal.follow.read_log", None)  # it need not be read anew
        assert follower.finish().entries == {"room/1": b"one", "peer/9": b"other"}


def test_what_is_read_once_is_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path) as (_, log, follower):
        for n in range(50):
            log.put(f"peer/{n}", bytes(1000))
        log.flush(1.0)
        follower.read()
        known = log.size
        log.put("room/1", b"x")
        log.flush(2.0)
        read = []
        pread = os.pread
        monkeypatch.setattr(
            os, "pread", lambda fd, size, at: read.append((size, at)) or pread(fd, size, at)
        )
        assert len(follower.read()) == 51
        assert read == [(HEADER_SIZE, 0), (log.size - known, known)]


def test_a_file_that_is_replaced_while_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was read of it may have been wiped already."""
    with opened(tmp_path) as (_, log, follower):
        log.put("room/1", b"x" * 1000)
        log.flush(1.0)
        log.drop("room/1")
        log.put("room/2", b"y" * 1000)
        log.flush(1.0)
        pread, calls = os.pread, 0

        def wiped_meanwhile(fd: int, size: int, at: int) -> bytes:
            nonlocal calls
            calls += 1
            if calls == 1:
                while log.compact(1000.0):
                    pass
            return pread(fd, size, at)

        monkeypatch.setattr(os, "pread", wiped_meanwhile)
        assert follower.read() == {"room/2": b"y" * 1000}
        assert calls > 2


def test_damage_is_named(tmp_path: Path) -> None:
    """As by who reads the whole log."""
    with opened(tmp_path) as (folder, log, follower):
        for n in range(3):
            log.put(f"room/{n}", bytes(100))
            log.flush(1.0)
        data = bytearray((tmp_path / NAME).read_bytes())
        data[HEADER_SIZE + 200] ^= 1
        (tmp_path / NAME).write_bytes(data)
        assert follower.read() == {"room/0": bytes(100)}
        kept = follower.finish()
        assert kept == read_log(folder)
        assert kept.entries.keys() == {"room/0", "room/2"}
        assert len(kept.damaged) == 2


def test_entries_that_are_missing_are_named(tmp_path: Path) -> None:
    with opened(tmp_path) as (folder, log, follower):
        log.put("room/1", b"x")
        log.flush(1.0)
        whole = log.size
        for n in (2, 3):
            log.put(f"room/{n}", b"x")
            log.flush(1.0)
        data = (tmp_path / NAME).read_bytes()
        (tmp_path / NAME).write_bytes(data[:whole] + data[-(len(data) - whole) // 2 :])
        assert follower.finish() == read_log(folder)
        assert follower.finish().damaged == ["1 entries are missing"]


@pytest.mark.parametrize("what", ["missing", "empty", "header", "large", "cut", "no file"])
def test_logs_that_are_none(tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(tmp_path) as (folder, log, follower):
        log.put("room/1", b"x")
        log.flush(1.0)
        assert follower.read() == {"room/1": b"x"}
        path = tmp_path / NAME
        match what:
            case "missing":
                path.unlink()
            case "empty":
                path.write_bytes(b"")
            case "header":
                path.write_bytes(b"?" + path.read_bytes()[1:])
            case "large":
                monkeypatch.setattr("meet_trio.journal.follow.LARGEST", 64)
                monkeypatch.setattr("meet_trio.journal.log.LARGEST", 64)
            case "cut":
                path.write_bytes(path.read_bytes()[:-1])
            case "no file":
                path.unlink()
                path.mkdir()
        assert follower.read() == {}
        kept = follower.finish()
        assert kept == read_log(folder)
        assert kept.damaged

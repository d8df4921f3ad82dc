"""The memory of what outlives an engine's process: the unit, and an engine with a file of it."""

import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.c_programs import build
from support.c_sources import C
from support.engine_threads import resources, running_engine, wait_event
from support.engine_world import audio, viewed

from meet_trio.engine import Engine, EngineSettings, StatsReady, read_kept

SETTINGS = EngineSettings(listen_ips=("127.0.0.1",))


@pytest.fixture
def file() -> Iterator[int]:
    fd = os.memfd_create("region")
    yield fd
    os.close(fd)


def test_slots_and_what_a_reader_finds(tmp_path: Path) -> None:
    program = build(tmp_path / "region", [C / "tests" / "region" / "slots.c"])
    done = subprocess.run([str(program)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 failures" in done.stdout


def test_an_engine_keeps_its_objects_in_the_file_after_it_has_ended(file: int) -> None:
    before = resources()
    engine = Engine(SETTINGS, region_fd=file, index=7)
    try:
        engine.begin()
        engine.add_transport(1, "ufrag", "password")
        engine.add_producer(2, 1, audio())
        engine.add_consumer(3, 1, 2, viewed(3))
        engine.add_transport(4, "other", "password")
        engine.remove_transport(4)
        engine.request_stats(1)
        wait_event(engine, StatsReady)
        kept = read_kept(file)
        assert (set(kept.transports), set(kept.producers), set(kept.consumers)) == ({1}, {2}, {3})
        assert (kept.index, kept.damaged) == (7, [])
        engine.remove_producer(2)
        engine.request_stats(2)
        wait_event(engine, StatsReady)
        assert read_kept(file).producers == {}
    finally:
        engine.close()
    assert resources() == before


def test_a_file_that_is_in_use_is_refused(file: int) -> None:
    running_engine(SETTINGS).close()
    os.write(file, b"x")
    before = resources()
    with pytest.raises(OSError, match="File exists: 'region'"):
        Engine(SETTINGS, region_fd=file)
    assert resources() == before
    with pytest.raises(ValueError, match="it is no region"):
        read_kept(file)


def test_what_is_not_a_file_is_refused() -> None:
    before = resources()
    reader, writer = os.pipe()
    with pytest.raises(OSError, match="'region'"):
        Engine(SETTINGS, region_fd=writer)
    os.close(reader)
    os.close(writer)
    assert resources() == before


def test_an_engine_without_rooms_takes_next_to_nothing(file: int) -> None:
    engine = Engine(SETTINGS, region_fd=file)
    try:
        about = os.fstat(file)
        assert stat.S_ISREG(about.st_mode)
        assert about.st_blocks * 512 <= 4096
    finally:
        engine.close()

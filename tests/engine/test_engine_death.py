"""The thread of an engine dies while it forwards; another engine goes on in the same process."""

import contextlib
import itertools
import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import attrs
import pytest
import trio
from support.engine_death import break_engine, let_die
from support.engine_killed import ALICE, CONSUMER, LOCAL, PRODUCER, Publisher, Viewer, furnish
from support.engine_world import Camera

from meet_trio.continuity import RegionFiles
from meet_trio.engine import Engine, Kept, read_kept
from meet_trio.journal.folder import Folder
from meet_trio.media.engines import EngineHost, TransportEvent, open_engine
from meet_trio.media.successor import EngineMaker, Regions

MANY = 1000  # deaths that are not too many
DEATHS = 6


@attrs.define(eq=False)
class Furniture:
    """Alice, Bob and a stream."""

    host: EngineHost
    kept: list[Kept] = attrs.field(factory=list)

    def enter_engine(self, kept: Kept | None) -> None:
        if kept is not None:
            self.kept.append(kept)
        furnish(self.host.engine, kept or Kept(0, {}, {}, {}, []))

    def lost(self) -> None:
        raise AssertionError


@contextlib.asynccontextmanager
async def furnished(
    regions: Regions | None = None,
) -> AsyncIterator[tuple[EngineHost, Furniture, Publisher, Viewer]]:
    async with open_engine(LOCAL, itertools.count(10), regions=regions, deaths=MANY) as host:
        furniture = Furniture(host)
        host.admit(furniture)
        alice, bob = Publisher(host.engine.port), Viewer(host.engine.port)
        await trio.to_thread.run_sync(alice.check)
        await trio.to_thread.run_sync(bob.check)
        try:
            yield host, furniture, alice, bob
        finally:
            alice.sock.close()
            bob.sock.close()


def open_descriptors() -> dict[str, int]:
    """How many there are of each kind. Numbers of sockets and the like do not matter."""
    found: dict[str, int] = {}
    for entry in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            kind = os.readlink(f"/proc/self/fd/{entry}").partition(":[")[0]
            found[kind] = found.get(kind, 0) + 1
    return found


def threads() -> int:
    """Of engines."""
    count = 0
    for task in os.listdir("/proc/self/task"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it ends at this moment
            count += Path(f"/proc/self/task/{task}/comm").read_text() == "meet-engine\n"
    return count


def mapped_regions() -> int:
    """Files that are mapped as engines' regions."""
    maps = Path("/proc/self/maps").read_text().splitlines()
    return len({line.split()[4] for line in maps if "meet-engine-" in line})


def end_thread(host: EngineHost) -> None:
    """The engine is dead when this returns, and its host does not know yet."""
    break_engine(host.engine)
    end = time.monotonic() + 10
    while threads():
        assert time.monotonic() < end
        time.sleep(0.001)


class Silent:
    def handle_engine_event(self, event: TransportEvent) -> None:
        pass


async def test_viewers_get_one_stream_from_engines_that_die() -> None:
    """Each packet comes, once and under its own index, however often an engine dies."""
    async with furnished() as (host, furniture, alice, bob):
        camera, sent = Camera(parts=4), 4
        alice.send(camera.frame(key=True))
        await trio.to_thread.run_sync(bob.receive, 0.3)
        stop = threading.Event()

        def flood() -> None:
            nonlocal sent
            while not stop.is_set():
                alice.send(camera.frame())
                sent += 4
                time.sleep(0.002)

        thread = threading.Thread(target=flood)
        thread.start()
        try:
            for _ in range(DEATHS):
                await trio.to_thread.run_sync(bob.receive, 0.1, 0.1)
                await let_die(host)
        finally:
            stop.set()
            await trio.to_thread.run_sync(thread.join)
        await trio.to_thread.run_sync(bob.receive, 0.5)
        numbers = [p.sequence_number for p in bob.packets]
        first = numbers[0]
        assert sorted((n - first) & 0xFFFF for n in numbers) == list(range(sent))
        assert [kept.damaged for kept in furniture.kept] == [[]] * DEATHS
        assert (await host.stats())["engine"]["resumes_refused"] == 0
        assert host.restarts == DEATHS


async def test_a_dead_engine_leaves_nothing_in_the_process() -> None:
    async with furnished() as (host, *_):
        before = open_descriptors(), threads(), mapped_regions()
        assert before[1:] == (1, 1)
        for _ in range(DEATHS):
            await let_die(host)
            assert (open_descriptors(), threads(), mapped_regions()) == before


async def test_who_asks_a_dying_engine_gets_an_answer() -> None:
    """Figures that were asked for are those of the next engine; a trace goes on."""
    async with furnished() as (host, _, alice, _):
        host.watch_transport(ALICE, Silent())
        with host.tap(ALICE) as tap:
            end_thread(host)
            stats = await host.stats()
            assert host.restarts == 1
            assert set(stats["producers"]) == {str(PRODUCER)}
            alice.send(Camera(parts=1).frame(key=True))
            with trio.fail_after(10):
                assert await tap.take() is not None


@pytest.mark.parametrize("turns", range(12))
async def test_its_owner_is_cancelled_meanwhile(turns: int) -> None:
    before = open_descriptors(), threads()
    with trio.CancelScope() as scope:
        async with furnished() as (host, *_):
            end_thread(host)
            for _ in range(turns):
                await trio.lowlevel.checkpoint()
            scope.cancel()
            await trio.lowlevel.checkpoint()
    assert (open_descriptors(), threads()) == before


# A state directory


@pytest.fixture
def folder() -> Iterator[Folder]:
    path = Path("/dev/shm") / f"meet-trio-test-{os.getpid()}-death"
    path.mkdir(mode=0o700)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield Folder(descriptor, path)
    finally:
        for file in path.iterdir():
            file.unlink()
        path.rmdir()
        os.close(descriptor)


async def test_the_state_directory_has_the_region_of_the_engine_that_runs(folder: Folder) -> None:
    async with furnished(RegionFiles(folder)) as (host, _, alice, bob):
        region = folder.path / "engine-0"
        camera = Camera(parts=4)
        alice.send(camera.frame(key=True))
        await trio.to_thread.run_sync(bob.receive, 0.3)
        with region.open("rb") as before:
            await let_die(host)
            assert not any(before.read())  # it had passwords
        assert [file.name for file in folder.path.iterdir()] == ["engine-0"]
        assert region.stat().st_mode & 0o777 == 0o600
        with region.open("rb") as now:
            kept = read_kept(now.fileno())
        assert (len(kept.transports), set(kept.consumers)) == (2, {CONSUMER})


async def test_a_process_that_ends_meanwhile_leaves_what_the_dead_engine_has_left(
    folder: Folder,
) -> None:
    """Until the next engine begins, the dead one's file counts."""
    seen: list[Kept] = []

    @attrs.define(eq=False)
    class Watching(Furniture):
        def enter_engine(self, kept: Kept | None) -> None:
            super().enter_engine(kept)
            if kept is not None:
                with (folder.path / "engine-0").open("rb") as file:
                    seen.append(read_kept(file.fileno()))

    async with furnished(RegionFiles(folder)) as (host, first, *_):
        host.dismiss(first)
        host._residents[Watching(host)] = None
        await let_die(host)
        (kept,) = seen
        assert len(kept.transports) == 2


@pytest.mark.parametrize("fails", ["create", "adopt"])
async def test_an_engine_that_gets_no_region_is_given_up(
    fails: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The file system may be full."""

    class Full:
        full = False

        def create(self, index: int) -> int:
            if self.full and fails == "create":
                raise OSError(28, "No space left on device")
            return os.memfd_create("meet-engine-0")

        def adopt(self, index: int) -> None:
            if self.full and fails == "adopt":
                raise OSError(28, "No space left on device")

        def discard(self, descriptor: int) -> None:
            os.close(descriptor)

    before = open_descriptors(), threads()
    regions = Full()
    async with furnished(regions) as (host, *_):
        regions.full = True
        break_engine(host.engine)
        with trio.fail_after(10):
            await host.failure.wait()
        assert host.engine.port
        assert "no other can take its place: No space left on device" in caplog.text
        assert host.restarts == 0
    assert (open_descriptors(), threads()) == before


async def test_a_broken_socket_is_an_end(caplog: pytest.LogCaptureFixture) -> None:
    """The next engine has the same sockets, so it dies too, and is given up in the end."""
    async with open_engine(LOCAL, itertools.count(1), deaths=3) as host:
        with trio.fail_after(20):
            while not host.failed:
                with contextlib.suppress(LookupError):
                    break_engine(host.engine)
                await trio.sleep(0.01)
        assert host.restarts == 2
        assert "that was death 3 in 60 s" in caplog.text


def test_a_dead_engine_is_joined_before_its_region_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    maker = EngineMaker(LOCAL)
    dead = maker.first()
    dead.begin()
    seen: list[int] = []
    read: Callable[[int], Kept] = read_kept

    def look(fd: int) -> Kept:
        seen.append(threads())
        return read(fd)

    monkeypatch.setattr("meet_trio.media.successor.read_kept", look)
    engine, _ = maker.make(dead)  # alive, as far as anybody knows
    assert seen == [0]
    maker.begin(engine, dead)
    with pytest.raises(ValueError, match="closed"):
        assert dead.port
    assert isinstance(engine, Engine)
    engine.close()
    maker.close()

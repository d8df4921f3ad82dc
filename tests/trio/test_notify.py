"""What the service manager is told, on a socket of its kind."""

import contextlib
import logging
import os
import socket
import time
import types
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
from support.live_scenes import open_world
from trio.testing import MockClock

from meet_trio.daemon import _any_engine_works, _status
from meet_trio.operator.drain import Drain
from meet_trio.operator.notify import Notifier
from meet_trio.operator.settings import DrainSettings


@attrs.define
class Manager:
    """The service manager's end of the socket."""

    socket: socket.socket

    def heard(self) -> list[dict[str, str]]:
        """The messages that have come since the last call."""
        found = []
        with contextlib.suppress(BlockingIOError):
            while True:
                lines = self.socket.recv(4096).decode().split("\n")
                found.append(dict(line.split("=", 1) for line in lines))
        return found


@contextlib.contextmanager
def open_manager(address: str | bytes) -> Iterator[Manager]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as door:
        door.bind(address)
        door.setblocking(False)
        yield Manager(door)


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "notify")


@pytest.fixture
def manager(path: str) -> Iterator[Manager]:
    with open_manager(path) as found:
        yield found


@contextlib.asynccontextmanager
async def running(
    notifier: Notifier, alive: Callable[[], bool] = lambda: True
) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(notifier.run, lambda: "2 rooms, 5 peers", alive)
        await trio.testing.wait_all_tasks_blocked()
        yield
        nursery.cancel_scope.cancel()


def test_a_life(manager: Manager, path: str) -> None:
    notifier = Notifier.from_environ({"NOTIFY_SOCKET": path})
    notifier.ready()
    assert manager.heard() == [{"READY": "1"}]
    before = time.monotonic_ns() // 1000
    notifier.reloading()
    (told,) = manager.heard()
    assert told.keys() == {"RELOADING", "MONOTONIC_USEC"}
    assert before <= int(told["MONOTONIC_USEC"]) <= time.monotonic_ns() // 1000
    notifier.ready()
    notifier.stopping()
    assert manager.heard() == [{"READY": "1"}, {"STOPPING": "1"}]


def test_an_abstract_socket() -> None:
    name = f"meet-trio-test-{os.getpid()}"
    with open_manager(b"\0" + name.encode()) as manager:
        Notifier.from_environ({"NOTIFY_SOCKET": f"@{name}"}).ready()
        assert manager.heard() == [{"READY": "1"}]


async def test_the_watchdog_is_fed_twice_in_its_time(
    autojump_clock: MockClock, manager: Manager, path: str
) -> None:
    environ = {"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid())}
    alive = True
    async with running(Notifier.from_environ(environ), lambda: alive):
        told = {"STATUS": "2 rooms, 5 peers", "WATCHDOG": "1"}
        assert manager.heard() == [told]
        await trio.sleep(5)
        assert manager.heard() == [told] * 3
        alive = False
        await trio.sleep(2)
        assert manager.heard() == [{"STATUS": "2 rooms, 5 peers"}]


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"WATCHDOG_USEC": "0"},
        {"WATCHDOG_USEC": "x"},
        {"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid() + 1)},
    ],
)
async def test_without_a_watchdog_only_the_status_is_told(
    autojump_clock: MockClock, manager: Manager, path: str, variables: dict[str, str]
) -> None:
    async with running(Notifier.from_environ({"NOTIFY_SOCKET": path, **variables})):
        await trio.sleep(25)
    assert manager.heard() == [{"STATUS": "2 rooms, 5 peers"}] * 3


async def test_the_watchdog_is_fed_while_any_engine_works() -> None:
    async with open_world(engines=2) as world:
        drain = Drain(world.registry, DrainSettings())
        running: Any = types.SimpleNamespace(hosts=world.hosts, drain=drain)
        assert _status(running) == "0 rooms, 0 peers"
        world.host.failure.set()
        assert _any_engine_works(running)
        world.hosts[1].failure.set()
        assert not _any_engine_works(running)
        drain.start()
        assert _status(running) == "draining: 0 rooms, 0 peers"


@pytest.mark.parametrize("address", [None, "", "vsock:2:1"])
async def test_without_a_socket_nothing_happens(
    monkeypatch: pytest.MonkeyPatch, address: str | None
) -> None:
    monkeypatch.setattr(socket, "socket", None)
    environ = {"WATCHDOG_USEC": "1000000"} | ({} if address is None else {"NOTIFY_SOCKET": address})
    notifier = Notifier.from_environ(environ)
    notifier.ready()
    await notifier.run(lambda: "", lambda: True)  # returns at once
    notifier.stopping()


async def test_what_a_missing_socket_did_not_get_comes_later(
    autojump_clock: MockClock, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    notifier = Notifier.from_environ({"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "20000000"})
    notifier.ready()
    async with running(notifier):
        await trio.sleep(15)
        assert len(caplog.records) == 1
        assert "No such file" in caplog.text
        with open_manager(path) as manager:
            await trio.sleep(10)
            assert manager.heard() == [
                {"READY": "1", "STATUS": "2 rooms, 5 peers", "WATCHDOG": "1"}
            ]
            await trio.sleep(10)
            assert manager.heard() == [{"STATUS": "2 rooms, 5 peers", "WATCHDOG": "1"}]
        os.unlink(path)
        await trio.sleep(25)  # gone again
        assert len(caplog.records) == 2


async def test_a_manager_that_does_not_read_holds_nothing_up(
    autojump_clock: MockClock, manager: Manager, path: str
) -> None:
    notifier = Notifier.from_environ({"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "2000000"})
    async with running(notifier):
        await trio.sleep(1000.5)  # the queue holds a few messages
        notifier.reloading()
        notifier.ready()
        assert len(manager.heard()) < 1000
        await trio.sleep(1)
        assert manager.heard() == [{"STATUS": "2 rooms, 5 peers", "READY": "1", "WATCHDOG": "1"}]


def test_sockets_are_handed_to_the_manager(manager: Manager, path: str) -> None:
    notifier = Notifier.from_environ({"NOTIFY_SOCKET": path})
    with socket.create_server(("127.0.0.1", 0)) as own:
        own.setblocking(False)
        notifier.store("http", own.fileno())
        assert not os.get_blocking(own.fileno())  # the flag is the duplicate's too
        data, (fd,), _, _ = socket.recv_fds(manager.socket, 4096, 4)
        assert data == b"FDSTORE=1\nFDNAME=http\nFDPOLL=0"
        with socket.socket(fileno=fd) as duplicate:
            assert duplicate.getsockname() == own.getsockname()
    notifier.remove("http")
    assert manager.heard() == [{"FDSTOREREMOVE": "1", "FDNAME": "http"}]


async def test_a_socket_that_found_a_full_queue_comes_soon(
    autojump_clock: MockClock, manager: Manager, path: str
) -> None:
    notifier = Notifier.from_environ({"NOTIFY_SOCKET": path})
    for number in range(30):  # by default a queue has room for ten
        notifier.remove(str(number))
    before = len(os.listdir("/proc/self/fd"))
    with socket.create_server(("127.0.0.1", 0)) as own:
        notifier.store("last", own.fileno())
    assert len(os.listdir("/proc/self/fd")) == before + 1
    heard: list[dict[str, str]] = []
    async with running(notifier):
        for _ in range(30):
            heard += manager.heard()
            await trio.sleep(0.1)
    names = [message["FDNAME"] for message in heard if "FDNAME" in message]
    assert names == [*map(str, range(30)), "last"]
    assert len(os.listdir("/proc/self/fd")) == before

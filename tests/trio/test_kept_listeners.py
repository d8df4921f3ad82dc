"""Listening sockets that a process before this one has left."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from meet_trio.console.listener import open_socket
from meet_trio.edge.listener import open_listeners
from meet_trio.errors import ConfigError
from meet_trio.kept_sockets import KeptSockets


class Manager:
    """Keeps what it is told to, and hands it to the next process of the test."""

    def __init__(self) -> None:
        self.kept: dict[str, int] = {}

    def keep(self, name: str, fd: int) -> None:
        assert name not in self.kept
        self.kept[name] = os.dup(fd)

    def forget(self, name: str) -> None:
        os.close(self.kept.pop(name))

    def next_process(self) -> KeptSockets:
        handed = {name: socket.socket(fileno=os.dup(fd)) for name, fd in self.kept.items()}
        return KeptSockets(handed, self.keep, self.forget)


@pytest.fixture
def manager() -> Iterator[Manager]:
    found = Manager()
    yield found
    for name in list(found.kept):
        found.forget(name)


async def listen(manager: Manager, host: str, port: int) -> trio.SocketListener:
    kept = manager.next_process()
    (listener,) = await open_listeners(host, port, "http.port", kept)
    kept.close_rest()
    return listener


async def test_who_connects_meanwhile_is_served(manager: Manager) -> None:
    first = await listen(manager, "127.0.0.1", 0)
    address = first.socket.getsockname()
    await first.aclose()  # as the end of a process does
    client = await trio.open_tcp_stream(*address)
    async with await listen(manager, "127.0.0.1", 0) as second, client:
        assert second.socket.getsockname() == address
        async with await second.accept() as accepted:
            await accepted.send_all(b"hello")
            assert await client.receive_some() == b"hello"
    assert list(manager.kept) == ["http-127.0.0.1-0"]


async def test_an_address_of_ipv6(manager: Manager) -> None:
    async with await listen(manager, "::1", 0) as first:
        address = first.socket.getsockname()
    assert list(manager.kept) == ["http-__1-0"]
    async with await listen(manager, "::1", 0) as second:
        assert second.socket.getsockname() == address


async def test_other_settings_have_another_socket(manager: Manager) -> None:
    async with await listen(manager, "127.0.0.1", 0) as first:
        port = first.socket.getsockname()[1]
    async with await listen(manager, "127.0.0.1", port) as second:  # the old one is in the way
        assert second.socket.getsockname()[1] == port
        assert list(manager.kept) == [f"http-127.0.0.1-{port}"]
    async with await listen(manager, "127.0.0.2", port):
        assert list(manager.kept) == [f"http-127.0.0.2-{port}"]


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
async def test_what_is_not_what_its_name_says_is_not_used(manager: Manager, kind: int) -> None:
    with socket.socket(socket.AF_INET, kind) as wrong:  # a stream that does not listen
        wrong.bind(("127.0.0.1", 0))
        manager.keep("http-127.0.0.1-0", wrong.fileno())
    async with await listen(manager, "127.0.0.1", 0) as found:
        assert found.socket.type == socket.SOCK_STREAM
        assert found.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1


async def test_a_port_of_another_program_is_refused(manager: Manager) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ConfigError, match="cannot listen"):
            await listen(manager, "127.0.0.1", port)
    assert not manager.kept


def connects(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(path)) == 0


def crash_of_console(path: Path, manager: Manager) -> None:
    """The file is left, as after SIGKILL."""
    with open_socket(path, manager.next_process()):
        os.link(path, path.with_name("kept"))
    os.rename(path.with_name("kept"), path)


def test_the_console_goes_on_at_its_file(tmp_path: Path, manager: Manager) -> None:
    path = tmp_path / "console"
    crash_of_console(path, manager)
    inode = path.lstat().st_ino
    assert connects(path)  # it waits
    with open_socket(path, manager.next_process()) as listening:
        assert path.lstat().st_ino == inode
        listening.accept()[0].close()
    assert not path.exists()


def test_a_console_whose_file_is_another_is_made_anew(tmp_path: Path, manager: Manager) -> None:
    path = tmp_path / "console"
    crash_of_console(path, manager)
    path.rename(tmp_path / "moved")
    kept = manager.next_process()
    with open_socket(path, kept) as listening:
        kept.close_rest()
        assert connects(path)
        listening.accept()[0].close()
        assert not connects(tmp_path / "moved")
        assert len(manager.kept) == 1


def test_a_console_that_others_may_use_is_not_taken(tmp_path: Path, manager: Manager) -> None:
    path = tmp_path / "console"
    crash_of_console(path, manager)
    path.chmod(0o666)
    with open_socket(path, manager.next_process()):
        assert path.lstat().st_mode & 0o777 == 0o600

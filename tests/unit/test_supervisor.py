"""The supervisor's store, and the socket that messages come by."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from meet_trio.supervisor.messages import Messages
from meet_trio.supervisor.store import MAX_SOCKETS, Store


def is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def some_fd() -> int:
    return os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)


@pytest.fixture
def store() -> Iterator[Store]:
    found = Store()
    yield found
    for name, _ in found.items():
        found.remove(name)


def test_a_name_has_one_descriptor(store: Store) -> None:
    first, second = some_fd(), some_fd()
    assert store.add("http", first) is None
    assert store.add("http", second) is None
    assert store.items() == [("http", second)]
    assert not is_open(first)
    store.remove("http")
    store.remove("http")
    assert not is_open(second)


@pytest.mark.parametrize("name", ["", "a:b", "a\nb", "ä", "x" * 256])
def test_what_is_no_name_is_not_kept(store: Store, name: str) -> None:
    fd = some_fd()
    assert "name" in (store.add(name, fd) or "")
    assert not is_open(fd)
    assert len(store) == 0


def test_the_store_is_bounded(store: Store) -> None:
    for number in range(MAX_SOCKETS):
        assert store.add(str(number), some_fd()) is None
    fd = some_fd()
    assert store.add("one more", fd) == f"{MAX_SOCKETS} sockets are kept already, not one more"
    assert not is_open(fd)
    assert store.add("0", some_fd()) is None  # in place of another
    assert len(store) == MAX_SOCKETS


def test_a_clean_start_has_listening_sockets_only(store: Store) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.socket() as other:
        store.add("http", os.dup(listening.fileno()))
        store.add("media", os.dup(other.fileno()))
        store.add("file", some_fd())
        store.keep_only_listening()
    assert [name for name, _ in store.items()] == ["http"]


def send(messages: Messages, datagram: bytes, fds: list[int]) -> None:
    assert messages.path_fd is not None
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as own:
        own.connect(f"/proc/self/fd/{messages.path_fd}")
        socket.send_fds(own, [datagram], fds) if fds else own.send(datagram)


@pytest.fixture
def messages() -> Iterator[Messages]:
    found = Messages()
    yield found
    found.close()


def test_messages_of_the_server_are_taken(messages: Messages) -> None:
    send(messages, b"READY=1\nSTATUS=a=b\n\nnonsense", [])
    with socket.socket() as sent:
        send(messages, b"FDSTORE=1\nFDNAME=x", [sent.fileno()])
    (first, none), (second, (fd,)) = messages.take(os.getpid)
    assert (first, none) == ({"READY": "1", "STATUS": "a=b"}, [])
    assert second == {"FDSTORE": "1", "FDNAME": "x"}
    assert not os.get_inheritable(fd)
    os.close(fd)


def test_others_are_not_heard_and_their_descriptors_are_closed(messages: Messages) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with socket.socket() as sent:
        send(messages, b"FDSTORE=1\nFDNAME=x", [sent.fileno()])
    assert list(messages.take(lambda: os.getpid() + 1)) == []
    with socket.socket() as sent:
        send(messages, b"READY=1", [sent.fileno()] * 20)  # more than there is room for
    assert list(messages.take(os.getpid)) == []
    assert len(os.listdir("/proc/self/fd")) == before


def test_the_supervisor_loads_little() -> None:
    code = "import sys, meet_trio.supervisor.loop; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not loaded & {"trio", "attr", "attrs", "asyncio", "ssl", "logging", "meet_trio.config"}

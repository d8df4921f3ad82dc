"""Messages with descriptors between two processes."""

import contextlib
import os
import socket
from collections.abc import Callable, Iterator

import pytest

from meet_trio.upgrade.channel import Channel, ChannelBroken


@pytest.fixture
def ends() -> Iterator[tuple[Channel, socket.socket]]:
    """A channel, and the bare socket of its other end."""
    here, there = socket.socketpair()
    channel = Channel(here)
    with there:
        yield channel, there
    channel.close()


@pytest.mark.parametrize("count", [0, 1, 250, 251, 600])
def test_descriptors_travel(count: int) -> None:
    here, there = socket.socketpair()
    one, other = Channel(here), Channel(there)
    read, write = os.pipe()
    try:
        one.send({"state": "é", "list": [1, None]}, [write] * count)
        one.send({"next": True})
        message, came = other.receive()
        assert (message, len(came)) == ({"state": "é", "list": [1, None]}, count)
        assert not any(os.get_inheritable(fd) for fd in came)
        for fd in came:
            assert os.path.sameopenfile(fd, write)
            os.close(fd)
        assert other.receive() == ({"next": True}, [])
    finally:
        os.close(read)
        os.close(write)
        one.close()
        other.close()


def ends_at_once(there: socket.socket) -> None:
    there.close()


def says(data: bytes) -> Callable[[socket.socket], None]:
    return lambda there: there.sendall(data)


@pytest.mark.parametrize(
    ("does", "why"),
    [
        (ends_at_once, "has ended"),
        (lambda there: None, "does not answer"),
        (says(b"\0\0\0\x10{"), "does not answer"),
        (says(b"\xff\xff\xff\xff"), "too long"),
        (says(b"\0\0\0\x02[]"), "no message"),
        (says(b"\0\0\0\x02{}"), "no message"),
        (says(b'\0\0\0\x12{"descriptors":-1}'), "no message"),
        (says(b'\0\0\0\x11{"descriptors":1}\0'), "missing"),
    ],
)
def test_what_is_no_message_is_named(
    ends: tuple[Channel, socket.socket],
    does: Callable[[socket.socket], None],
    why: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("meet_trio.upgrade.channel._TRANSFER_TIMEOUT", 0.05)
    channel, there = ends
    does(there)
    with pytest.raises(ChannelBroken, match=why):
        channel.receive(0.05)


def test_descriptors_of_half_a_message_are_closed(ends: tuple[Channel, socket.socket]) -> None:
    channel, there = ends
    read, write = os.pipe()
    with contextlib.closing(there):
        there.sendall(b'\0\0\0\x11{"descriptors":3}'[:21])
        socket.send_fds(there, [b"\0"], [write])
    os.close(write)
    with pytest.raises(ChannelBroken):
        channel.receive()
    assert os.read(read, 1) == b""  # nobody has the other end any more
    os.close(read)


def test_who_does_not_read_is_no_successor(
    ends: tuple[Channel, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("meet_trio.upgrade.channel._TRANSFER_TIMEOUT", 0.05)
    channel, _ = ends
    with pytest.raises(ChannelBroken, match="does not take"):
        channel.send({"state": "x" * 10_000_000})

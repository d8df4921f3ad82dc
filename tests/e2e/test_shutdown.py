"""The end of the daemon and of a room, with clients that do not cooperate."""

import contextlib
import os
import socket
import urllib.request
from collections.abc import Iterator

import pytest
import trio
from support.daemon import STOP_DEADLINE, Daemon, api_of, start_daemon
from support.machine import Stopwatch
from support.participant import open_participant
from support.signaling import open_signaling

from meet_trio.room import Role


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    running = start_daemon()
    yield running
    if running.process.poll() is None:
        running.stop()


async def flood(daemon: Daemon, room_id: str) -> None:
    """Send more notices than socket buffers hold to all peers of the room."""
    for _ in range(40):
        data = {"roomId": room_id, "type": "flood", "data": "x" * 100_000}
        await api_of(daemon).call("POST", "/signal", data)


async def test_a_client_that_never_reads_does_not_hold_up_its_room(daemon: Daemon) -> None:
    with trio.fail_after(60):
        room_id = await api_of(daemon).create_room()
        owner_url = await api_of(daemon).create_peer(room_id, int(Role.OWNER | Role.MODERATOR))
        deaf_url = await api_of(daemon).create_peer(room_id, int(Role.SUBSCRIBER))
        async with (
            open_participant(owner_url) as owner,
            open_signaling(deaf_url) as deaf,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(deaf.run)
            await owner.join("Ada")
            await deaf.wait_notice("roomReady")
            deaf.stop_reading()
            await flood(daemon, room_id)
            watch = Stopwatch.start(daemon.process.pid, os.getpid())
            await owner.request("moderator:closeRoom")
            while await api_of(daemon).rooms():
                await trio.sleep(0.02)
            assert watch.seconds < STOP_DEADLINE
            nursery.cancel_scope.cancel()


async def test_a_client_that_never_reads_does_not_hold_up_the_end(daemon: Daemon) -> None:
    with trio.fail_after(60):
        room_id = await api_of(daemon).create_room()
        url = await api_of(daemon).create_peer(room_id, int(Role.SUBSCRIBER))
        other = await api_of(daemon).create_peer(room_id, int(Role.SUBSCRIBER))
        async with (
            open_signaling(url) as deaf,
            open_signaling(other) as good,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(deaf.run)
            nursery.start_soon(good.run)
            await deaf.wait_notice("roomReady")
            await good.wait_notice("roomReady")
            deaf.stop_reading()
            await flood(daemon, room_id)
            code, seconds = await trio.to_thread.run_sync(daemon.stop)
            assert (code, seconds < STOP_DEADLINE) == (0, True), seconds
            # The peer that reads was told goodbye.
            await good.closed.wait()
            assert good.disconnected_by_server
            nursery.cancel_scope.cancel()


def test_http_clients_that_stall_do_not_hold_up_the_end(daemon: Daemon) -> None:
    """Clients that stop in the middle of a head or a body, that keep the connection, or that do not
    read.
    """
    token = api_of(daemon).token
    heads = [
        b"GET /meetmedia/api/sess",
        b"POST /meetmedia/api/signal HTTP/1.1\r\nHost: localhost\r\nX-Auth-Token: "
        + token.encode()
        + b"\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{",
        b"GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n",
        # pipelined without reading: the answers fill the buffers
        b"GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n" * 20000,
    ]
    with contextlib.ExitStack() as stack:
        for head in heads:
            client = stack.enter_context(socket.create_connection(("127.0.0.1", daemon.port)))
            client.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                client.send(head)
        assert urllib.request.urlopen(f"{daemon.url}ping", timeout=20).read() == b"PONG"
        code, seconds = daemon.stop()
    assert (code, seconds < STOP_DEADLINE) == (0, True), seconds


def test_a_taken_port_is_named(daemon: Daemon) -> None:
    with pytest.raises(pytest.fail.Exception, match=f"cannot listen on 127.0.0.1:{daemon.port}"):
        start_daemon("--http-port", str(daemon.port))


def test_goodbye_leaves_with_code_zero_on_sigint(daemon: Daemon) -> None:
    """Signals that follow change nothing: a reload, a drain, SIGTERM."""
    for number in (2, 1, 10, 15):
        daemon.process.send_signal(number)
    assert daemon.process.wait(20) == 0  # the other tests measure how long it takes
    daemon.clean_up()
    assert "Traceback" not in "".join(daemon.log)


def test_an_end_right_after_the_first_room(daemon: Daemon) -> None:
    """The DTLS library is being loaded then."""
    trio.run(api_of(daemon).create_room)
    code, seconds = daemon.stop()
    assert (code, seconds < STOP_DEADLINE) == (0, True), seconds
    assert "Traceback" not in "".join(daemon.log)

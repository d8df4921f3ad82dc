"""What a process makes of the sockets that it was handed, at its descriptors 3, 4 ..."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Sequence

import pytest

from meet_trio.kept_sockets import KeptSockets

TAKER = """
import json, os, sys
from meet_trio.kept_sockets import KeptSockets
for name, value in json.loads(sys.argv[1]).items():
    os.environ[name] = value.replace("OWN", str(os.getpid()))
forgotten = []
kept = KeptSockets.from_environ(os.environ, lambda name, fd: None, forgotten.append)
found = {}
for name in sys.argv[2:]:
    one = kept.take(name)
    found[name] = one and [one.getsockname()[1], os.get_inheritable(one.fileno())]
    assert kept.take(name) is None
kept.close_rest()
left = [name for name in os.environ if name.startswith(("LISTEN_", "SUPERVISOR_"))]
print(json.dumps([found, forgotten, left, kept.clean_start]))
"""


def taken(fds: Sequence[int], environ: dict[str, str], *names: str) -> list[object]:
    """What a process with ``fds`` at 3, 4 ... finds. OWN stands for its id."""

    command = [sys.executable, "-c", TAKER, json.dumps(environ), *names]
    moves = "".join(f" {3 + n}<&{fd}" for n, fd in enumerate(fds))
    done = subprocess.run(
        ["bash", "-c", f'exec "$@"{moves}', "taker", *command],
        pass_fds=fds,
        capture_output=True,
        text=True,
        check=True,
    )
    found: list[object] = json.loads(done.stdout)
    return found


def test_sockets_are_taken_by_name_and_the_rest_is_forgotten() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as http,
        socket.create_server(("127.0.0.1", 0)) as old,
    ):
        handed = [os.dup(one.fileno()) for one in (http, old)]
        handed = [os.dup2(fd, 60 + n) for n, fd in enumerate(handed)]
        try:
            environ = {"LISTEN_PID": "OWN", "LISTEN_FDS": "2", "LISTEN_FDNAMES": "http:old"}
            environ["SUPERVISOR_CLEAN_START"] = "1"
            found, forgotten, left, clean = taken(handed, environ, "http", "media")
        finally:
            for fd in handed:
                os.close(fd)
        port = http.getsockname()[1]
        assert found == {"http": [port, False], "media": None}
        assert (forgotten, left, clean) == (["old"], [], True)
        assert (
            old.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 0
        )  # for its duplicates too


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"LISTEN_PID": "1", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "http"},
        {"LISTEN_PID": "OWN", "LISTEN_FDS": "x", "LISTEN_FDNAMES": "http"},
        {"LISTEN_PID": "OWN", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "http:more"},
        {"LISTEN_PID": "OWN", "LISTEN_FDS": "1"},
    ],
)
def test_what_is_meant_for_others_is_left(environ: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as http:
        fd = os.dup2(http.fileno(), 60)
        try:
            assert taken([fd], environ, "http") == [{"http": None}, [], [], False]
        finally:
            os.close(fd)


def kept_with(name: str, one: socket.socket) -> tuple[KeptSockets, list[str]]:
    forgotten: list[str] = []
    return KeptSockets({name: one}, lambda name, fd: None, forgotten.append), forgotten


def test_a_socket_that_does_not_fit_is_closed() -> None:
    one = socket.socket()
    kept, forgotten = kept_with("http", one)
    assert kept.take("http", lambda inherited: False) is None
    assert (one.fileno(), forgotten) == (-1, ["http"])


def test_what_is_in_the_way_of_a_port_is_closed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as one:
        port = one.getsockname()[1]
        kept, forgotten = kept_with("http", one)
        assert not kept.make_room(port + 1)
        assert kept.make_room(port)
        assert forgotten == ["http"]
        assert not kept.make_room(port)


def test_borrowed_sockets_stay_as_they_are() -> None:
    """Another process uses them. Until they are this process's own the manager hears nothing."""
    told: list[tuple[str, str]] = []
    kept = KeptSockets(
        tell_keep=lambda name, fd: told.append(("keep", name)),
        tell_forget=lambda name: told.append(("forget", name)),
    )
    with socket.create_server(("127.0.0.1", 0)) as theirs:
        names = ("fits", "does-not", "unused")
        kept.borrow({name: os.dup(theirs.fileno()) for name in names})
        taken = kept.take("fits")
        assert taken is not None
        assert kept.take("does-not", lambda one: False) is None
        assert set(kept.unused) == {"does-not", "unused"}
        kept.keep("new", taken.fileno())
        kept.forget("gone")
        assert not kept.make_room(theirs.getsockname()[1])
        socket.create_connection(theirs.getsockname()).close()  # it still listens
        assert told == []
        assert kept.used == {"fits": taken.fileno(), "new": taken.fileno()}
        kept.own()
        assert told == [("keep", "new"), ("forget", "gone"), ("forget", "does-not")]
        kept.close_rest()
        assert told[3:] == [("forget", "unused")]
        taken.close()

"""The supervisor with the real command: what dies, what comes back, and what is left."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from http.client import HTTPConnection
from pathlib import Path

import attrs
import pytest

DEADLINE = 60.0  # seconds; a busy machine starts a server slowly


@attrs.define(eq=False)
class Supervised:
    """A supervisor in a session of its own, with the server as its child."""

    process: subprocess.Popen[bytes]
    port: int
    console: Path
    file: Path

    def server(self) -> int:
        """The id of the process that is the server now."""
        own = Path(f"/proc/{self.process.pid}")
        # before, the process reads the settings
        until(lambda: b"meet_trio.supervisor" in (own / "cmdline").read_bytes(), self)
        found: list[int] = []

        def started() -> bool:
            # an editable install may run ninja, which is a child too
            pids = (own / "task" / own.name / "children").read_text().split()
            found[:] = [int(pid) for pid in pids if is_there(int(pid)) and is_server(int(pid))]
            return bool(found)

        until(started, self)
        return found[0]

    def ping(self) -> bytes:
        return answer(self.connect())

    def connect(self) -> HTTPConnection:
        """A connection that has asked."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE)
        connection.request("GET", "/ping")
        return connection

    def log(self) -> str:
        return self.file.read_text()

    def times_ready(self) -> int:
        return self.log().count("listens on http")

    def kill(self, number: int = signal.SIGKILL) -> None:
        """The server's end, and the next one's start."""
        before, ready = self.server(), self.times_ready()
        os.kill(before, number)
        until(lambda: self.times_ready() > ready, self)
        assert self.server() != before

    def console_says(self, command: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "meet_trio", "connect", command],
            env=os.environ | {"KM_SOCK": str(self.console)},
            capture_output=True,
            text=True,
            timeout=DEADLINE,
        )
        return done.stdout


def answer(connection: HTTPConnection) -> bytes:
    with contextlib.closing(connection):
        return connection.getresponse().read()


def until(holds: Callable[[], bool], found: Supervised) -> None:
    deadline = time.monotonic() + DEADLINE
    while not holds():
        assert time.monotonic() < deadline, found.log()
        time.sleep(0.01)


def stat(pid: int) -> list[str]:
    """The fields of a process from its state on, see proc(5); [] if there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def is_there(pid: int) -> bool:
    """It runs; a zombie that its parent has not reaped does not."""
    return stat(pid)[:1] not in ([], ["Z"])


def is_server(pid: int) -> bool:
    try:
        return b"\0serve\0" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False


def nobody_is_left(session: int) -> bool:
    pids = [int(name) for name in os.listdir("/proc") if name.isdecimal()]
    return not any(is_there(pid) for pid in pids if stat(pid)[3:4] == [str(session)])


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def open_supervised(folder: Path, *flags: str, console: str | None = None) -> Iterator[Supervised]:
    port, file, path = free_port(), folder / "log", folder / "console"
    command = [sys.executable, "-m", "meet_trio", "serve", "--demo", "--http-port", str(port)]
    media = ["--media-listen-ip", "127.0.0.1", "--media-port", "0", "--media-workers", "1"]
    environ = {name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH", "XDG_RUNTIME_DIR")
               if name in os.environ}  # fmt: skip
    with file.open("wb") as log:
        process = subprocess.Popen(
            [*command, *media, *flags],
            env=environ | {"KM_SOCK": console or str(path)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    found = Supervised(process, port, path, file)
    try:
        yield found
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[Supervised]:
    with open_supervised(tmp_path) as found:
        until(lambda: found.times_ready() == 1, found)
        yield found


def test_a_killed_server_is_replaced_and_who_came_meanwhile_is_served(
    supervised: Supervised,
) -> None:
    assert supervised.ping() == b"PONG"
    assert "rooms:0" in supervised.console_says("stats")
    identity = supervised.console.stat().st_ino
    server = supervised.server()
    os.kill(server, signal.SIGSTOP)  # nobody accepts any more
    waiting = [supervised.connect() for _ in range(5)]
    os.kill(server, signal.SIGKILL)
    assert [answer(one) for one in waiting] == [b"PONG"] * 5
    assert "was ended by SIGKILL: another one starts" in supervised.log()
    assert supervised.console.stat().st_ino == identity
    assert "rooms:0" in supervised.console_says("stats")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_all_ends_both(supervised: Supervised, number: int) -> None:
    server = supervised.server()
    os.killpg(supervised.process.pid, number)  # as a terminal does
    assert supervised.process.wait(DEADLINE) == 0
    assert not is_there(server)
    assert not supervised.console.exists()
    assert "Traceback" not in supervised.log()
    assert "another one" not in supervised.log()


def test_the_terminals_signal_is_the_supervisors_alone(supervised: Supervised) -> None:
    server = supervised.server()
    os.kill(server, signal.SIGINT)
    assert supervised.ping() == b"PONG"
    assert supervised.server() == server


def test_a_signal_to_the_supervisor_ends_both(supervised: Supervised) -> None:
    server = supervised.server()
    os.kill(supervised.process.pid, signal.SIGTERM)
    assert supervised.process.wait(DEADLINE) == 0
    assert not is_there(server)


def test_a_server_that_does_not_end_is_killed(supervised: Supervised) -> None:
    server = supervised.server()
    os.kill(server, signal.SIGSTOP)
    os.kill(supervised.process.pid, signal.SIGTERM)
    assert supervised.process.wait(DEADLINE) == 0
    assert not is_there(server)


def test_no_server_outlives_its_supervisor(supervised: Supervised) -> None:
    server = supervised.server()
    supervised.process.kill()
    supervised.process.wait()
    until(lambda: not is_there(server), supervised)


def test_no_server_outlives_its_supervisor_at_any_moment_of_a_start(tmp_path: Path) -> None:
    for number in range(10):
        folder = tmp_path / str(number)
        folder.mkdir()
        with open_supervised(folder) as found:
            found.server()
            time.sleep(0.02 * number)  # the moment is what varies; nothing is waited for
            found.process.kill()
            found.process.wait()
            until(partial(nobody_is_left, found.process.pid), found)


def test_descriptors_do_not_grow(supervised: Supervised) -> None:
    def counts() -> list[int]:
        pids = (supervised.process.pid, supervised.server())
        return [len(os.listdir(f"/proc/{pid}/fd")) for pid in pids]

    def settled() -> list[int]:
        """A start has some more for a moment."""
        found: list[list[int]] = []
        until(lambda: (found.append(counts()), found[-20:] == 20 * found[-1:])[1], supervised)
        return found[-1]

    supervised.kill()
    before = settled()
    supervised.kill()
    assert settled() == before


def test_a_crash_loop_leads_to_a_clean_start_and_then_to_the_end(supervised: Supervised) -> None:
    for _ in range(3):
        supervised.kill()
    assert supervised.log().count("the next one starts without what it left") == 1
    assert supervised.ping() == b"PONG"  # listening sockets are still the same
    for _ in range(2):
        supervised.kill()
    os.kill(supervised.server(), signal.SIGKILL)
    assert supervised.process.wait(DEADLINE) == 1
    assert supervised.log().endswith("was ended by SIGKILL, again and again: given up\n")


def test_a_server_that_hangs_is_replaced(tmp_path: Path) -> None:
    with open_supervised(tmp_path, "--process-watchdog", "2") as found:
        until(lambda: found.times_ready() == 1, found)
        os.kill(found.server(), signal.SIGSTOP)
        assert found.ping() == b"PONG"
        assert "does not answer" in found.log()
        # after the stop SIGABRT could not be taken
        assert "was ended by SIGKILL: another one starts" in found.log()


def test_invalid_settings_end_it(tmp_path: Path) -> None:
    nowhere = tmp_path / "missing" / "console"
    with open_supervised(tmp_path, console=str(nowhere)) as found:
        assert found.process.wait(DEADLINE) == 2
        assert "console.socket" in found.log()
        assert "another one" not in found.log()


def test_a_drained_server_ends_both(supervised: Supervised) -> None:
    os.kill(supervised.process.pid, signal.SIGUSR1)
    assert supervised.process.wait(DEADLINE) == 0
    assert "drained" in supervised.log()


def test_a_signal_for_a_server_that_starts_is_not_lost(tmp_path: Path) -> None:
    with open_supervised(tmp_path) as found:
        found.server()
        os.kill(found.process.pid, signal.SIGUSR1)
        assert found.process.wait(DEADLINE) == 0
        assert "drained" in found.log()

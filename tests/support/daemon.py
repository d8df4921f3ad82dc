"""A real daemon as a process of its own."""

import itertools
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence

import attrs
import pytest
from support.api import MeetApi
from support.machine import Stopwatch

STATES = tempfile.TemporaryDirectory(prefix="meet-trio-test-", dir="/dev/shm")
"""Each daemon has a directory of its own here: one of before may have left its state at the same
port.
"""
_numbers = itertools.count()
START_DEADLINE = 60.0  # seconds; a first import may have to build the C core
STOP_DEADLINE = 2.0  # the daemon's own promise


@attrs.define(eq=False)
class Daemon:
    """``meet-trio serve`` in a process of its own. ``log`` grows while it runs."""

    process: subprocess.Popen[str]
    url: str
    log: list[str]
    reader: threading.Thread

    @property
    def port(self) -> int:
        match = re.search(r":(\d+)/", self.url)
        assert match is not None
        return int(match.group(1))

    def stop(self, deadline: float = STOP_DEADLINE) -> tuple[int, float]:
        """Send SIGTERM; returns the exit code and the seconds it took, without waits for a CPU.
        Kills the daemon after ``deadline``, and fails.
        """
        pid = self.process.pid
        start, watch = time.monotonic(), Stopwatch.start(pid)
        self.process.send_signal(signal.SIGTERM)
        while time.monotonic() < start + deadline + 5 and not _has_ended(pid):
            time.sleep(0.005)
        if not _has_ended(pid):
            self.process.kill()
            self.process.wait()
            pytest.fail("the daemon does not end:\n" + "".join(self.log[-50:]))
        seconds = watch.seconds
        code = self.process.wait()
        self.clean_up()
        return code, seconds

    def clean_up(self) -> None:
        """Join the thread and close the pipe after the end of the process."""
        self.reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()


def _has_ended(pid: int) -> bool:
    """True if the process has ended and is not yet reaped: its figures are still there."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


# Daemons of tests that run at the same time would all have theirs at the default path. Tests and
# benches look at the server's own process: its figures, its signals, its end.
ALONE = {"KM_SOCK": "off", "MEET_TRIO_PROCESS_SUPERVISED": "off"}

_DEFAULTS = {
    "--http-port": "0",
    "--media-listen-ip": "127.0.0.1",
    "--media-port": "0",
    "--media-workers": "1",
}


def start_daemon(
    *flags: str,
    wrapper: tuple[str, ...] = (),
    python: str = sys.executable,
    **environ: str,
) -> Daemon:
    """Start in demo mode on free ports of loopback; flags may change that."""
    for flag, value in _DEFAULTS.items():
        if flag not in flags:
            flags += (flag, value)
    return run_command("--demo", *flags, wrapper=wrapper, python=python, **environ)


def run_command(
    *flags: str,
    wrapper: Sequence[str] = (),
    python: str = sys.executable,
    **environ: str,
) -> Daemon:
    """Run the command ``serve`` with nothing but ``flags``. ``python`` is the interpreter, which
    may be that of another checkout's virtual environment.
    """
    command = [python, "-m", "meet_trio", "serve", *flags]
    keep = {name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ}
    process = subprocess.Popen(
        [*wrapper, *command],
        env=keep | ALONE | {"MEET_TRIO_STATE_DIR": f"{STATES.name}/{next(_numbers)}"} | environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    log: list[str] = []
    found = threading.Event()
    urls: list[str] = []

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            log.append(line)
            if (match := re.search(r"listens on (https?://\S+)", line)) is not None:
                urls.append(match.group(1))
            if line.startswith("This is demo mode"):
                found.set()
        found.set()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    if not found.wait(START_DEADLINE) or not urls:
        process.kill()
        process.wait()
        reader.join()
        process.stdout.close()
        pytest.fail("the daemon did not start:\n" + "".join(log))
    return Daemon(process, urls[0], log, reader)


def token_of(daemon: Daemon) -> str:
    """The API's token, which the daemon prints at its start."""
    match = re.search(r"Token of the API:\s+(\S+)", "".join(daemon.log))
    assert match is not None
    return match.group(1)


def api_of(daemon: Daemon) -> MeetApi:
    return MeetApi("127.0.0.1", daemon.port, token_of(daemon))

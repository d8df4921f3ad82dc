"""A Redis server for tests, which writes nothing to a disk."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator

import attrs
import pytest

PATIENCE = 20.0
SECRET = "a secret of the tests, long enough"


@attrs.define(eq=False)
class RedisServer:
    """``url`` is that of its database."""

    host: str
    port: int
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        return f"redis://{self.host}:{self.port}/0"

    def start(self) -> None:
        """Start it, empty."""
        self.process = subprocess.Popen(
            [
                *("redis-server", "--port", str(self.port), "--bind", "0.0.0.0"),
                *("--save", "", "--appendonly", "no", "--protected-mode", "no"),
            ],
            stdout=subprocess.DEVNULL,
            cwd="/",
        )
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection((self.host, self.port)):
                return
            time.sleep(0.01)
        pytest.fail("Redis did not start")

    def stop(self) -> None:
        """Kill it: what it had is gone."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def pause(self) -> None:
        """It answers nobody until ``go_on``, and then does what it was asked meanwhile."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGCONT)


def free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def open_redis(host: str = "127.0.0.1") -> Iterator[RedisServer]:
    """A running server. Without redis-server the test is skipped."""
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed (tools/setup brings it)")
    server = RedisServer(host, free_port(host))
    try:
        server.start()
        yield server
    finally:
        server.stop()

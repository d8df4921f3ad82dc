"""A real TURN relay, coturn, as a process on a free port of loopback.

It takes the credentials that the server computes (``use-auth-secret``). It relays to loopback,
which coturn refuses by default, because everything of a test lives there. ``log`` keeps its
messages: tests look for allocations and refusals in it.
"""

import contextlib
import os
import re
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

TURN_SERVER = "turnserver"
START_DEADLINE = 20.0
STARTS = 3  # another process may take the port between the look-up and coturn's start


@attrs.define(eq=False)
class Turn:
    """A running relay. ``log`` grows while it runs."""

    port: int
    log: list[str]

    def url(self, protocol: str) -> str:
        """The URL for clients; ``protocol`` between them and the relay is udp or tcp."""
        return f"turn:127.0.0.1:{self.port}?transport={protocol}"

    def wait_for_line(self, pattern: str, timeout: float = 10.0) -> str:
        """The first line of the log that matches."""
        deadline = time.monotonic() + timeout
        while True:
            for line in tuple(self.log):
                if re.search(pattern, line) is not None:
                    return line
            if time.monotonic() > deadline:
                pytest.fail(f"coturn does not say {pattern}:\n" + "".join(self.log[-50:]))
            time.sleep(0.05)


@contextlib.contextmanager
def open_turn(secret: str, directory: Path, more: str = "") -> Iterator[Turn]:
    """A relay with ``secret`` as ``static-auth-secret``; its files are in ``directory``. ``more``
    are further lines of its configuration.
    """
    for left in reversed(range(STARTS)):
        port = _free_port()
        config = directory / "turnserver.conf"
        config.write_text(_config(secret, port, directory) + more)
        process = subprocess.Popen(
            [TURN_SERVER, "-c", str(config)],
            cwd=directory,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        turn = Turn(port, [])
        reader = threading.Thread(target=_read, args=(process, turn.log), daemon=True)
        reader.start()
        try:
            if _answers(process, port):
                yield turn
                return
        finally:
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            reader.join()
            assert process.stdout is not None
            process.stdout.close()
        if left == 0:
            pytest.fail("coturn does not start:\n" + "".join(turn.log))


def _config(secret: str, port: int, directory: Path) -> str:
    return f"""
listening-ip=127.0.0.1
listening-port={port}
relay-ip=127.0.0.1
allow-loopback-peers
use-auth-secret
static-auth-secret={secret}
realm=meet.test
fingerprint
no-tls
no-dtls
no-cli
relay-threads=1
userdb={directory}/turn.db
pidfile={directory}/turn.pid
log-file=stdout
simple-log
verbose
"""


def _free_port() -> int:
    """A port of loopback that is free for TCP and UDP."""
    while True:
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            tcp.bind(("127.0.0.1", 0))
            port: int = tcp.getsockname()[1]
            with contextlib.suppress(OSError):
                udp.bind(("127.0.0.1", port))
                return port


def _answers(process: subprocess.Popen[str], port: int) -> bool:
    """Wait until coturn answers a STUN binding request over UDP and accepts TCP connections; False
    if it has ended.
    """
    request = b"\x00\x01\x00\x00\x21\x12\xa4\x42" + os.urandom(12)
    deadline = time.monotonic() + START_DEADLINE
    while time.monotonic() < deadline and process.poll() is None:
        with (
            contextlib.suppress(OSError),
            socket.socket(type=socket.SOCK_DGRAM) as udp,
            socket.create_connection(("127.0.0.1", port), 1),
        ):
            udp.settimeout(0.2)
            udp.connect(("127.0.0.1", port))
            udp.send(request)
            if udp.recv(1500)[8:20] == request[8:]:
                return True
        time.sleep(0.02)
    return False


def _read(process: subprocess.Popen[str], log: list[str]) -> None:
    assert process.stdout is not None
    log.extend(process.stdout)

"""Measures a server's start and its memory at rest: ``PYTHONPATH=tests python tests/bench/start.py
[COMMAND]``.

COMMAND is the ``meet-trio`` to measure. By default it is that of the working copy, whose imports
also look for changes of the C core. It prints medians of nine starts: the time from exec to the
first answer of ``/ping``, the CPU time until then, the memory two seconds later, and the memory two
seconds after the first room was made: it loads the DTLS library.
"""

import argparse
import http.client
import shlex
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from cpu_time import cpu_time

STARTS = 9
DEADLINE = 30.0  # seconds
REST = 2.0  # seconds from a change to rest
TOKEN = "0123456789abcdef"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def status(port: int, path: str, method: str = "GET") -> int:
    """The status of an answer, or 0 without one."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
    try:
        connection.request(method, path, headers={"X-Auth-Token": TOKEN})
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()


def wait_for(port: int, path: str, start: float) -> float:
    """Seconds from ``start`` to the first answer 200."""
    while status(port, path) != 200:
        if time.monotonic() > start + DEADLINE:
            raise TimeoutError(f"no answer of {path}")
        time.sleep(0.002)
    return time.monotonic() - start


def megabytes(pid: int, when: str) -> Iterator[tuple[str, float]]:
    """Rss, Pss and Anonymous."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name in ("Rss", "Pss", "Anonymous"):
            yield f"{name} {when}, MB", int(rest.split()[0]) / 1024


def one_start(command: list[str]) -> dict[str, float]:
    port = free_port()
    flags = ["serve", "--demo", "--http-port", str(port), "--http-auth-token", TOKEN]
    flags.append("--no-supervised")
    start = time.monotonic()
    process = subprocess.Popen(
        [*command, *flags, "--media-port", "0", "--media-listen-ip", "127.0.0.1"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        found = {"first answer, ms": 1e3 * wait_for(port, "/ping", start)}
        found["CPU until then, ms"] = 1e3 * cpu_time(process.pid)
        time.sleep(REST)
        found.update(megabytes(process.pid, "at rest"))
        assert status(port, "/meetmedia/api/sessions", "POST") == 200
        time.sleep(REST)
        found.update(megabytes(process.pid, "with a room"))
        return found
    finally:
        process.terminate()
        process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description="A server's start, and its memory at rest.")
    ours = [sys.executable, "-m", "meet_trio"]
    parser.add_argument("command", nargs="?", type=shlex.split, default=ours)
    command = parser.parse_args().command
    runs = [one_start(command) for _ in range(STARTS)]
    for name in runs[0]:
        values = [run[name] for run in runs]
        print(
            f"{name:26} median {statistics.median(values):7.1f}  "
            f"(from {min(values):.1f} to {max(values):.1f})"
        )


if __name__ == "__main__":
    main()

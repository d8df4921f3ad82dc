"""A real nginx in front of the server, with ``conf/nginx.conf``: a process on a free port of
loopback, without TLS. It keeps its connections to the server.
"""

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

NGINX = "nginx"
EXAMPLE = Path(__file__).parents[2] / "conf" / "nginx.conf"
START_DEADLINE = 10.0
STARTS = 3  # another process may take the port between the look-up and nginx's start


@contextlib.contextmanager
def open_nginx(upstream: int, directory: Path) -> Iterator[int]:
    """An nginx in front of the port ``upstream``; yields its own port. Its files are in
    ``directory``.
    """
    for left in reversed(range(STARTS)):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        config, log = directory / "nginx.conf", directory / "error.log"
        config.write_text(_config(port, upstream, directory))
        process = subprocess.Popen(
            [NGINX, "-c", str(config), "-p", str(directory), "-e", str(log)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            if _listens(process, port):
                yield port
                return
        finally:
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if left == 0:
            pytest.fail("nginx does not start:\n" + log.read_text())


def _config(port: int, upstream: int, directory: Path) -> str:
    temporary = "\n".join(
        f"    {kind}_temp_path {directory}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"""
daemon off;
worker_processes 1;
pid {directory}/nginx.pid;
events {{ worker_connections 4096; }}
http {{
    access_log off;
{temporary}
{_example(port, upstream)}
}}
"""


def _example(port: int, upstream: int) -> str:
    """The example of the documentation, with these ports and without TLS."""
    text = EXAMPLE.read_text()
    for old, new in (
        ("listen 443 ssl;", f"listen 127.0.0.1:{port} backlog=4096;"),
        ("listen [::]:443 ssl;", ""),
        ("ssl_certificate /etc/ssl/certs/meet.pem;", ""),
        ("ssl_certificate_key /etc/ssl/private/meet.key;", ""),
        ("server 127.0.0.1:12443;", f"server 127.0.0.1:{upstream};"),
    ):
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


def _listens(process: subprocess.Popen[bytes], port: int) -> bool:
    deadline = time.monotonic() + START_DEADLINE
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return True
        time.sleep(0.02)
    return False

"""A real nginx in front of the server: a process on a free port of loopback that keeps its
connections to the server, as in larger installations.
"""

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

NGINX = "nginx"
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
    map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
    upstream meet {{ server 127.0.0.1:{upstream}; keepalive 8; }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{
            proxy_pass http://meet;
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upgrade;
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_read_timeout 120s;
        }}
    }}
}}
"""


def _listens(process: subprocess.Popen[bytes], port: int) -> bool:
    deadline = time.monotonic() + START_DEADLINE
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return True
        time.sleep(0.02)
    return False

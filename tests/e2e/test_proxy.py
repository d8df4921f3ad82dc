"""Nothing reaches the server through a proxy that passes on upgrades without the proxy
seeing it.
"""

from pathlib import Path

import pytest
import trio
from support.attacks import PREFIX
from support.nginx import open_nginx
from support.server import TOKEN, open_server, quick_settings

API_PING = f"GET {PREFIX}/api/ping HTTP/1.1\r\nHost: x\r\nX-Auth-Token: {TOKEN}\r\n"
H2C = API_PING + "Connection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\n\r\n"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5)


@pytest.mark.parametrize("proxied", [False, True])
@pytest.mark.parametrize("first", [H2C.encode(), H2C.replace("h2c", "H2C").encode(), PREFACE])
async def test_no_way_leads_to_http2(first: bytes, proxied: bool, tmp_path: Path) -> None:
    settings = quick_settings({"http.trusted_proxies": ("127.0.0.1/32",)})
    async with open_server(settings) as server:
        if not proxied:
            await _ask(server.running.port, first)
            return
        with open_nginx(server.running.port, tmp_path) as port:
            await _ask(port, first)


async def _ask(port: int, first: bytes) -> None:
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(first)
        said = b""
        with trio.move_on_after(30):
            while b"PONG" not in said and b"HTTP/2.0" not in said and b"\0\0" not in said:
                chunk = await stream.receive_some()
                if not chunk:
                    break
                said += chunk
    # SETTINGS, HTTP/2's first frame, begins with zeros
    assert b"\0\0" not in said
    status = int(said.split()[1])
    assert status == 200 if b"h2c" in first.lower() else status in (400, 505), said

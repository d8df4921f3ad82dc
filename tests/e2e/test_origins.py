"""Origins of pages that may use the server, as a browser tests them: websocket, long-polling, its
preflight, and the API, which no page may use.
"""

from collections.abc import Sequence

import pytest
import trio
from support.attacks import PREFIX, request, upgrade
from support.server import TOKEN, open_server, quick_settings

GOOD, BAD = "https://kolab.example", "https://elsewhere.example"
POLL = f"{PREFIX}/signaling/?EIO=4&transport=polling"
ALLOW = "access-control-allow-"


async def ask(port: int, data: bytes) -> tuple[int, dict[str, str]]:
    """Status and header fields of the answer to a request."""
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(data)
        answer = b""
        while b"\r\n\r\n" not in answer:
            chunk = await stream.receive_some()
            assert chunk, answer
            answer += chunk
    status, *fields = answer.partition(b"\r\n\r\n")[0].decode().split("\r\n")
    pairs = (field.split(": ", 1) for field in fields)
    return int(status.split()[1]), {name.lower(): value for name, value in pairs}


def allowances(fields: dict[str, str]) -> dict[str, str]:
    """Fields that allow pages of other origins to read the answer."""
    return {name: value for name, value in fields.items() if name.startswith("access-control")}


@pytest.mark.parametrize(
    ("origins", "origin", "websocket", "polling", "allowed"),
    [
        # By default a page of any origin may use websocket, but not polling: no field allows it to
        # read the answer of a poll.
        ((), None, 101, 200, None),
        ((), GOOD, 101, 200, None),
        ((GOOD,), GOOD, 101, 200, GOOD),
        ((GOOD,), BAD, 403, 403, None),
        ((GOOD,), "null", 403, 403, None),
        ((GOOD,), None, 101, 200, None),
        (("*",), BAD, 101, 200, "*"),
    ],
)
async def test_signaling(
    origins: Sequence[str],
    origin: str | None,
    websocket: int,
    polling: int,
    allowed: str | None,
) -> None:
    settings = quick_settings({"http.cors_origins": frozenset(origins) or None})
    fields = [] if origin is None else [f"Origin: {origin}"]
    with trio.fail_after(60):
        async with open_server(settings) as server:
            port = server.running.port
            assert (await ask(port, upgrade("a=b", *fields)))[0] == websocket
            status, answer = await ask(port, request("GET", POLL, *fields))
            assert status == polling
            assert allowances(answer).get(f"{ALLOW}origin") == allowed
            # with cookies only if the origin is listed
            assert (f"{ALLOW}credentials" in answer) is (allowed == GOOD)
            preflight = [*fields, "Access-Control-Request-Method: POST"]
            status, answer = await ask(port, request("OPTIONS", POLL, *preflight))
            assert status == (204 if polling == 200 else 403)
            wanted = None if allowed is None else "GET, POST"
            assert allowances(answer).get(f"{ALLOW}methods") == wanted


async def test_the_api_is_for_servers() -> None:
    """No setting allows pages to use the API, not even with its token."""
    settings = quick_settings({"http.cors_origins": frozenset({"*", GOOD})})
    fields = [f"Origin: {GOOD}", f"X-Auth-Token: {TOKEN}"]
    preflight = [
        f"Origin: {GOOD}",
        "Access-Control-Request-Method: POST",
        "Access-Control-Request-Headers: x-auth-token",
    ]
    with trio.fail_after(60):
        async with open_server(settings) as server:
            port, path = server.running.port, f"{PREFIX}/api/sessions"
            status, answer = await ask(port, request("GET", path, *fields))
            assert (status, allowances(answer)) == (200, {})
            status, answer = await ask(port, request("OPTIONS", path, *preflight))
            assert (status, allowances(answer)) == (403, {})
            status, answer = await ask(port, request("GET", "/ping", *fields))
            assert (status, allowances(answer)) == (200, {})


@pytest.mark.parametrize("remote", [False, True])
async def test_in_demo_mode_no_page_comes_by_another_name(remote: bool) -> None:
    """The page's host name resolves to this machine (DNS rebinding), so the browser takes it for
    the server's origin. The page cannot choose ``Host``.
    """
    settings = quick_settings(
        {
            "http.public_domain": "meet.example:8443",
            "demo.enabled": True,
            "demo.allow_remote": remote,
        }
    )
    token = f"X-Auth-Token: {TOKEN}"
    requests = [
        (request("POST", "/demo/rooms"), 200),
        (request("GET", f"{PREFIX}/api/ping", token), 200),
        (request("GET", POLL), 200),
        (upgrade("a=b"), 101),
    ]
    hosts = {"localhost": True, "[::1]:1": True, "meet.example": True, "192.0.2.1": remote}
    with trio.fail_after(60):
        async with open_server(settings) as server:
            for host, known in (hosts | {"evil.example": False}).items():
                for one, wanted in requests:
                    named = one.replace(b"Host: localhost", f"Host: {host}".encode())
                    status, _ = await ask(server.running.port, named)
                    assert status == (wanted if known else 421), named

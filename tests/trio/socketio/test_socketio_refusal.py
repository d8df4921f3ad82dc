"""Websockets that are refused without becoming connections: they get the same bytes as from a
server whose handler returns at once.
"""

import contextlib
import json
from collections.abc import AsyncIterator

import attrs
import pytest
import trio
import trio.testing

from meet_trio.bench.light_peer import client_frame
from meet_trio.socketio import Server, Settings, Socket

HEADERS = {
    "host": "x",
    "connection": "keep-alive, Upgrade",
    "upgrade": "websocket",
    "sec-websocket-version": "13",
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
}
END = b"\x88\x00"


async def _nobody(socket: Socket) -> None:
    """A handler that returns disconnects."""


@attrs.frozen
class Client:
    stream: trio.abc.Stream

    async def hear(self, end: bytes) -> bytes:
        said = b""
        while not said.endswith(end):
            chunk = await self.stream.receive_some()
            if not chunk:
                break
            said += chunk
        return said


@contextlib.asynccontextmanager
async def refused(
    eio: int = 4, headers: dict[str, str] = HEADERS, query: str = "", *, cheaply: bool = True
) -> AsyncIterator[Client]:
    server = Server(Settings(origins=frozenset({"https://good"})), {"/": _nobody})
    near, far = trio.testing.memory_stream_pair()
    target = f"/signaling/?EIO={eio}&transport=websocket{query}"

    async def serve() -> None:
        if cheaply:
            await server.refuse_websocket(far, target, headers)
        else:
            await server.serve_websocket_stream(far, client="")
        await far.aclose()

    async with trio.open_nursery() as holder, trio.open_nursery() as nursery:
        await holder.start(server.run)
        nursery.start_soon(serve)
        if not cheaply:
            lines = [f"GET {target} HTTP/1.1", *(f"{name}: {v}" for name, v in headers.items())]
            await near.send_all("\r\n".join([*lines, "", ""]).encode())
        yield Client(near)
        holder.cancel_scope.cancel()


def _without_ids(said: bytes) -> list[object]:
    """A server's frames; text in braces is parsed, session ids are checked and taken out."""
    head, _, rest = said.partition(b"\r\n\r\n")
    heard: list[object] = [sorted(line.lower() for line in head.split(b"\r\n"))]
    while rest:
        size, start = rest[1], 2
        if size == 126:
            size, start = int.from_bytes(rest[2:4]), 4
        text, kind, rest = rest[start : start + size], rest[0], rest[start + size :]
        before, brace, data = text.partition(b"{")
        values = json.loads(brace + data) if brace else {}
        assert len(values.pop("sid", "x" * 20)) == 20
        heard.append((kind, before, values))
    return heard


@pytest.mark.parametrize("eio", [3, 4])
async def test_it_says_what_a_server_says(eio: int, autojump_clock: trio.testing.MockClock) -> None:
    said = []
    for cheaply in (True, False):
        async with refused(eio, cheaply=cheaply) as client:
            heard = b""
            if eio == 4:
                heard = await client.hear(b"}")
                await client.stream.send_all(client_frame(b"40"))
            said.append(_without_ids(heard + await client.hear(END)))
            await client.stream.aclose()
    assert said[0] == said[1]
    assert said[0][-2:] == [(0x81, b"41", {}), (0x88, b"", {})]


@pytest.mark.parametrize(
    "asked",
    [
        client_frame(b"40") + client_frame(b"41"),
        client_frame(b'40{"token":"' + b"x" * 200 + b'"}'),
        client_frame(b'40{"token":"' + b"x" * 200),
    ],
)
async def test_what_the_request_for_the_namespace_says_does_not_matter(
    asked: bytes, autojump_clock: trio.testing.MockClock
) -> None:
    async with refused() as client:
        await client.hear(b"}")
        for at in range(len(asked)):
            with contextlib.suppress(trio.BrokenResourceError):
                await client.stream.send_all(asked[at : at + 1])
        assert b"40{" in await client.hear(END)


@pytest.mark.parametrize(
    "asked",
    [
        b"",
        client_frame(b"4"),
        client_frame(b""),
        client_frame(b"42[]"),
        client_frame(b"40/other,"),
        client_frame(b"40", 2),
        client_frame(b"", 8),
        client_frame(b"40" + b"x" * 70_000),
        b"\x81\x0240",  # not masked
        b"\x01\x8240",
        b"\xff" * 100,
    ],
)
async def test_whatever_else_is_said_is_the_end(
    asked: bytes, autojump_clock: trio.testing.MockClock
) -> None:
    async with refused() as client:
        await client.hear(b"}")
        await client.stream.send_all(asked)
        if not asked:
            await client.stream.send_eof()  # type: ignore[attr-defined]
        assert await client.hear(END) == END


@pytest.mark.parametrize("talk", [False, True])
async def test_it_has_an_end(talk: bool, autojump_clock: trio.testing.MockClock) -> None:
    """The client says nothing, or does not stop."""
    start = trio.current_time()
    async with refused() as client:
        await client.hear(b"}")
        if talk:
            with contextlib.suppress(trio.BrokenResourceError):
                while True:
                    await client.stream.send_all(client_frame(b"40"))
                    await trio.sleep(0.1)
        else:
            assert await client.hear(b"never") == END
    settings = Settings()
    wanted = settings.close_timeout + (0 if talk else settings.connect_timeout)
    assert trio.current_time() - start == pytest.approx(wanted, abs=0.3)


@pytest.mark.parametrize(
    ("headers", "query", "status"),
    [
        ({"origin": "https://bad"}, "", 403),
        ({"sec-websocket-key": "x"}, "", 400),
        ({"sec-websocket-key": "AAAA"}, "", 400),
        ({"sec-websocket-version": "8"}, "", 400),
        ({"upgrade": "h2c, websocket"}, "", 400),
        ({"connection": "close"}, "", 400),
        ({}, "&sid=x", 400),
        ({}, "&x=1" * 100, 400),
    ],
)
async def test_a_request_that_is_none_is_told_so(
    headers: dict[str, str], query: str, status: int, autojump_clock: trio.testing.MockClock
) -> None:
    async with refused(headers={**HEADERS, **headers}, query=query) as client:
        said = await client.hear(b"}")
        assert said.startswith(b"HTTP/1.1 %d " % status)
        assert set(json.loads(said.partition(b"\r\n\r\n")[2])) == {"code", "message"}
        await client.stream.aclose()

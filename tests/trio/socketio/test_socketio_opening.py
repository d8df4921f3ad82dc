"""The opening handshake of a websocket."""

import base64
import hashlib

import pytest
import trio
import trio.testing
from support.socketio_raw import EIO3, EIO4, echo, serve
from wsproto import ConnectionType
from wsproto.connection import Connection
from wsproto.events import TextMessage

from meet_trio.socketio.opening import accept_untrusted, read_head
from meet_trio.socketio.request import RequestRefused

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
GOOD = {
    "host": "x",
    "connection": "keep-alive, Upgrade",
    "upgrade": "WebSocket",
    "sec-websocket-version": "13",
    "sec-websocket-key": KEY,
}
HEAD = (
    f"GET {EIO4} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
).encode()


def test_the_example_of_rfc_6455() -> None:
    answer = accept_untrusted(GOOD)
    assert answer.startswith(b"HTTP/1.1 101 ")
    assert b"\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in answer
    assert answer.endswith(b"\r\n\r\n")
    assert accept_untrusted({**GOOD, "content-length": "0"}) == answer


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("host", None),
        ("connection", None),
        ("connection", "close"),
        ("upgrade", None),
        ("upgrade", "h2c"),
        ("sec-websocket-version", None),
        ("sec-websocket-version", "8"),
        ("sec-websocket-version", "13, 8"),
        ("sec-websocket-key", None),
        ("sec-websocket-key", "short"),
        ("sec-websocket-key", KEY + ", " + KEY),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25j€Q=="),
        ("content-length", "5"),
        ("transfer-encoding", "chunked"),
    ],
)
def test_what_is_no_handshake_is_refused(name: str, value: str | None) -> None:
    headers = {**GOOD, name: value or ""}
    if value is None:
        del headers[name]
    with pytest.raises(RequestRefused):
        accept_untrusted(headers)


@pytest.mark.parametrize("size", [1, 7, 1000])
async def test_a_head_in_pieces(autojump_clock: trio.testing.MockClock, size: int) -> None:
    mine, theirs = trio.testing.memory_stream_pair()
    data = HEAD + b"behind it"
    async with trio.open_nursery() as nursery:
        nursery.start_soon(send_in_pieces, mine, data, size)
        head = await read_head(theirs)
        assert head is not None
        assert head.target == EIO4
        assert head.headers == {**GOOD, "connection": "Upgrade", "upgrade": "websocket"}
        rest = bytearray(head.rest)
        while len(rest) < len(b"behind it"):
            rest += await theirs.receive_some(1)
    assert rest == b"behind it"


async def send_in_pieces(stream: trio.abc.Stream, data: bytes, size: int) -> None:
    for at in range(0, len(data), size):
        await stream.send_all(data[at : at + size])


async def test_what_comes_with_the_head_is_read(autojump_clock: trio.testing.MockClock) -> None:
    async with serve(echo) as service:
        client = service.client(EIO3)
        frames = Connection(ConnectionType.CLIENT)
        said = b"".join(map(frames.send, (TextMessage("40"), TextMessage('42["a",1]'))))
        await client.stream.send_all(HEAD + said)
        heard = bytearray()
        while b'42["a",1]' not in heard:
            data = await client.stream.receive_some()
            assert data, heard
            heard += data
        await client.stream.aclose()
    accept = base64.b64encode(
        hashlib.sha1(
            KEY.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11", usedforsecurity=False
        ).digest()
    )
    assert accept in heard


async def test_another_version_is_told_the_right_one(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with serve(echo) as service:
        client = service.client()
        await client.stream.send_all(HEAD.replace(b"Version: 13", b"Version: 8"))
        answer = bytearray()
        while data := await client.stream.receive_some():
            answer += data
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"\r\nSec-WebSocket-Version: 13\r\n" in answer

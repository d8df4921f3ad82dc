"""Signaling frame by frame, as a user of wscat would see it, against the whole server."""

import contextlib
import json
from urllib.parse import urlsplit

import pytest
import trio
from support.server import LocalServer, open_server
from support.wire_peer import SIGNALING_PATH, open_socket
from trio_websocket import ConnectionClosed, WebSocketConnection

DEADLINE = 60  # seconds for a test
PATHS = (SIGNALING_PATH, "/meetmedia/signaling", "/socket.io/", "/socket.io")


async def token_query(server: LocalServer, role: int = 3) -> str:
    room_id = await server.api.create_room()
    return urlsplit(await server.api.create_peer(room_id, role)).query


async def room_ready(socket: WebSocketConnection, query: str) -> None:
    frame = await socket.get_message()
    assert isinstance(frame, str)
    assert frame.startswith('42["notification",')
    _, message = json.loads(frame[2:])
    assert message["method"] == "roomReady"
    assert message["data"]["iceServers"] is None
    assert f"roomId={message['data']['roomId']}" in query


@pytest.mark.parametrize("path", PATHS)
async def test_engine_io_4(path: str) -> None:
    with trio.fail_after(DEADLINE):
        async with open_server() as server:
            query = await token_query(server)
            async with open_socket(server, f"{query}&EIO=4", path) as socket:
                opened = await socket.get_message()
                assert opened[0] == "0"
                opened = json.loads(opened[1:])
                assert opened.pop("sid")
                assert opened == {
                    "upgrades": [],
                    "pingInterval": 25000,
                    "pingTimeout": 20000,
                    "maxPayload": 1000000,
                }
                await socket.send_message("40")
                accepted = await socket.get_message()
                assert accepted[:2] == "40"
                assert json.loads(accepted[2:])["sid"]
                await room_ready(socket, query)
                await socket.send_message('42007["request",{"method":"ping"}]')
                assert await socket.get_message() == "437[null]"
                await socket.send_message('421["request",{"method":"dance"}]')
                assert await socket.get_message() == '431[500,"unknown request.method \\"dance\\""]'
                await socket.send_message('422["request",{"method":"produce","data":{}}]')
                assert await socket.get_message() == '432[500,"request produce failed"]'
                await socket.send_message(
                    '423["request",{"method":"raisedHand","data":{"raisedHand":true}}]'
                )
                assert '"changeRaisedHand"' in await socket.get_message()
                assert await socket.get_message() == "433[]"
                await socket.send_message("41")
                with pytest.raises(ConnectionClosed):
                    await socket.get_message()


@pytest.mark.parametrize("path", PATHS)
async def test_engine_io_3(path: str) -> None:
    with trio.fail_after(DEADLINE):
        async with open_server() as server:
            query = await token_query(server)
            async with open_socket(server, f"{query}&EIO=3", path) as socket:
                assert (await socket.get_message())[0] == "0"
                assert await socket.get_message() == "40"
                await room_ready(socket, query)
                await socket.send_message("2")
                assert await socket.get_message() == "3"
                await socket.send_message('420["request",{"method":"ping"}]')
                assert await socket.get_message() == "430[null]"


@pytest.mark.parametrize(
    "change", [("authToken=", "authToken=0"), ("peerId=", "peerId=0"), ("roomId=", "x=")]
)
async def test_who_cannot_prove_it_is_shown_out(change: tuple[str, str]) -> None:
    with trio.fail_after(DEADLINE):
        async with open_server() as server:
            query = (await token_query(server)).replace(*change)
            async with open_socket(server, f"{query}&EIO=4") as socket:
                await socket.get_message()
                await socket.send_message("40")
                assert (await socket.get_message())[:2] == "40"
                assert await socket.get_message() == "41"
                with pytest.raises(ConnectionClosed):
                    await socket.get_message()


@pytest.mark.parametrize(
    "frame",
    [
        '42["request",{"method":"ping"}]',  # before 40
        "40{",
        "4",
        "2",
        "x",
        "42[",
        '42["disconnect"]',
        "9",
        b"\x00\x01",
    ],
)
async def test_broken_frames_end_their_connection_alone(frame: str | bytes) -> None:
    with trio.fail_after(DEADLINE):
        async with open_server() as server:
            query = await token_query(server)
            async with open_socket(server, f"{query}&EIO=4") as socket:
                await socket.get_message()
                if frame in ("42[", '42["disconnect"]'):
                    await socket.send_message("40")
                    await socket.get_message()
                    await socket.get_message()
                await socket.send_message(frame)
                with contextlib.suppress(ConnectionClosed):
                    while not socket.closed:
                        await socket.get_message()
                assert socket.closed
            async with open_socket(server, f"{query}&EIO=4") as socket:
                await socket.get_message()
                await socket.send_message("40")
                assert (await socket.get_message())[:2] == "40"


@pytest.mark.parametrize(
    "request_frame",
    [
        '42["request"]',
        '42["request",null]',
        '42["request",{"method":"ping"}]',
        '42["request",7,8]',
        '42["other",{"x":1}]',
        "42",
    ],
)
async def test_what_ended_the_original_is_shrugged_off(request_frame: str) -> None:
    with trio.fail_after(DEADLINE):
        async with open_server() as server:
            query = await token_query(server)
            async with open_socket(server, f"{query}&EIO=4") as socket:
                await socket.get_message()
                await socket.send_message("40")
                await socket.get_message()
                await room_ready(socket, query)
                await socket.send_message(request_frame)
                await socket.send_message('421["request",{"method":"ping"}]')
                assert await socket.get_message() == "431[null]"


async def test_a_request_before_room_ready_is_answered_after_it() -> None:
    with trio.fail_after(DEADLINE):
        async with open_server() as server:
            query = await token_query(server)
            async with open_socket(server, f"{query}&EIO=4") as socket:
                await socket.send_message("40")
                await socket.send_message('420["request",{"method":"ping"}]')
                assert (await socket.get_message())[0] == "0"
                assert (await socket.get_message())[:2] == "40"
                await room_ready(socket, query)
                assert await socket.get_message() == "430[null]"


async def test_compression_is_not_agreed_upon() -> None:
    with trio.fail_after(DEADLINE):
        async with open_server() as server:
            tcp = await trio.open_tcp_stream("127.0.0.1", server.running.port)
            async with tcp:
                await tcp.send_all(
                    f"GET {SIGNALING_PATH}?{await token_query(server)}&EIO=4&transport=websocket "
                    "HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
                    "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n"
                    "".encode()
                )
                answer = b""
                while b"\r\n\r\n" not in answer:
                    answer += await tcp.receive_some()
                head = answer.partition(b"\r\n\r\n")[0].lower()
                assert head.startswith(b"http/1.1 101")
                assert b"s3pplmbitxaq9kygzzhzrbk+xoo=" in head  # RFC 6455 §1.3
                assert b"sec-websocket-extensions" not in head


async def test_a_message_that_is_too_long_is_1009() -> None:
    with trio.fail_after(DEADLINE):
        async with open_server() as server:
            query = await token_query(server)
            async with open_socket(server, f"{query}&EIO=4") as socket:
                await socket.get_message()
                await socket.send_message("40")
                await socket.get_message()
                await room_ready(socket, query)
                longest = '420["request",{"method":"ping","data":"' + '"}]'
                padding = "x" * (1_000_000 - len(longest))
                await socket.send_message(longest.replace('"data":"', '"data":"' + padding))
                assert await socket.get_message() == "430[null]"
                await socket.send_message("4" * 1_000_001)
                with pytest.raises(ConnectionClosed) as closed:
                    await socket.get_message()
                assert closed.value.reason is not None
                assert closed.value.reason.code == 1009

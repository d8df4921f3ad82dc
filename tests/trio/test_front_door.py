"""The front door on a real loopback socket: who gets a connection, and that none can hold it."""

import contextlib
from collections.abc import AsyncIterator

import pytest
import trio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from meet_trio.edge.front_door import FrontDoor, FrontDoorSettings, is_websocket_request
from meet_trio.edge.stream import PeekedStream

PATHS = frozenset({"/signaling", "/signaling/"})
UPGRADE = (
    b"GET /signaling/?EIO=4 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
    b"Upgrade: websocket\r\n\r\n"
)


async def _hello(request: Request) -> Response:
    return PlainTextResponse("hello")


async def _flood(request: Request) -> Response:
    return PlainTextResponse("x" * 50_000_000)


class Door:
    def __init__(self, settings: FrontDoorSettings) -> None:
        self.websockets: list[bytes] = []
        app = Starlette(routes=[Route("/", _hello), Route("/flood", _flood)])
        self.door = FrontDoor(app, self._websocket, PATHS, settings)
        self.port = 0
        self.nursery: trio.Nursery

    async def _websocket(self, stream: PeekedStream, client: str) -> None:
        self.websockets.append(await stream.receive_some(4096))
        await stream.send_all(b"bye")

    async def connect(self) -> trio.SocketStream:
        return await trio.open_tcp_stream("127.0.0.1", self.port)


@contextlib.asynccontextmanager
async def open_door(settings: FrontDoorSettings | None = None) -> AsyncIterator[Door]:
    door = Door(settings or FrontDoorSettings())
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    door.port = listeners[0].socket.getsockname()[1]
    async with trio.open_nursery() as door.nursery:
        await door.nursery.start(door.door.serve, listeners)
        yield door
        door.nursery.cancel_scope.cancel()


async def read_all(stream: trio.SocketStream) -> bytes:
    data = bytearray()
    with trio.fail_after(10):
        async for chunk in stream:
            data += chunk
    return bytes(data)


async def test_http_goes_to_the_app() -> None:
    async with open_door() as door, await door.connect() as stream:
        # in two pieces, the head's end split
        await stream.send_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r")
        await trio.testing.wait_all_tasks_blocked(0.01)
        await stream.send_all(b"\n")
        answer = await read_all(stream)
        assert answer.startswith(b"HTTP/1.1 200")
        assert answer.endswith(b"hello")


async def test_websocket_gets_the_head_again_and_what_follows() -> None:
    async with open_door() as door, await door.connect() as stream:
        await stream.send_all(UPGRADE + b"more")
        assert await read_all(stream) == b"bye"
        assert door.websockets == [UPGRADE + b"more"]


async def test_head_too_long_is_told_so() -> None:
    async with open_door(FrontDoorSettings(max_head_bytes=1000)) as door:
        async with await door.connect() as stream:
            await stream.send_all(b"GET / HTTP/1.1\r\nX: " + b"a" * 2000)
            assert (await read_all(stream)).startswith(b"HTTP/1.1 431 ")


async def test_slow_head_is_cut_off() -> None:
    async with open_door(FrontDoorSettings(head_timeout=0.2)) as door:
        async with await door.connect() as stream:
            await stream.send_all(b"GET / HTTP/1.1\r\n")
            assert await read_all(stream) == b""
        with trio.fail_after(5):
            while door.door.connections:
                await trio.testing.wait_all_tasks_blocked(0.01)
        assert door.door.strangers == 0


async def test_too_many_strangers_are_turned_away() -> None:
    async with open_door(FrontDoorSettings(max_strangers=2)) as door:
        async with await door.connect() as first, await door.connect() as second:
            await first.send_all(b"G")
            await second.send_all(b"G")
            await trio.testing.wait_all_tasks_blocked(0.05)
            async with await door.connect() as third:
                with contextlib.suppress(trio.BrokenResourceError):
                    assert await read_all(third) == b""


@pytest.mark.parametrize("deadline", [0.3, 60])
async def test_a_client_that_stops_reading_is_given_up(deadline: float) -> None:
    """By the send's deadline, or at once when the door is closed: Hypercorn's shielded send does
    not hold it.
    """
    async with open_door(FrontDoorSettings(send_timeout=deadline)) as door:
        async with await door.connect() as stream:
            await stream.send_all(b"GET /flood HTTP/1.1\r\nHost: x\r\n\r\n")
            await stream.receive_some(1)
            with trio.fail_after(5):
                if deadline > 5:
                    await trio.testing.wait_all_tasks_blocked(0.1)
                    door.nursery.cancel_scope.cancel()
                    with trio.CancelScope(shield=True, deadline=trio.current_time() + 5):
                        while door.door.connections:
                            await trio.sleep(0.01)
                while door.door.connections:
                    await trio.sleep(0.01)


@pytest.mark.parametrize(
    ("head", "wanted"),
    [
        (UPGRADE, True),
        (UPGRADE.replace(b"Upgrade: websocket", b"UPGRADE:WebSocket"), True),
        (UPGRADE.replace(b"/signaling/", b"/signaling"), True),
        (UPGRADE.replace(b"/signaling/", b"/other"), False),
        (UPGRADE.replace(b"GET", b"POST"), False),
        (UPGRADE.replace(b"websocket", b"h2c"), False),
        (b"\r\n\r\n", False),
        (b"GET\r\n\r\n", False),
    ],
)
def test_websocket_requests_are_recognised(head: bytes, wanted: bool) -> None:
    assert is_websocket_request(head, PATHS) is wanted

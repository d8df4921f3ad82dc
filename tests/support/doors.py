"""A front door on a real loopback socket, and what reads its answers."""

import contextlib
import ssl
from collections.abc import AsyncIterator, Callable

import attrs
import trio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from meet_trio.edge.allowed_hosts import AllowedHosts
from meet_trio.edge.front_door import FrontDoor
from meet_trio.edge.head import RequestHead
from meet_trio.edge.settings import FrontDoorSettings
from meet_trio.edge.stream import PeekedStream

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /count HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n"
UPGRADE = (
    b"GET /signaling/?EIO=4 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
    b"Upgrade: websocket\r\n\r\n"
)


KEY = b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"


def with_field(request: bytes, field: str) -> bytes:
    return request.replace(b"Host", field.encode() + b"\r\nHost")


async def _hello(request: Request) -> Response:
    return PlainTextResponse("hello")


async def _flood(request: Request) -> Response:
    return PlainTextResponse("x" * 50_000_000)


async def _count(request: Request) -> Response:
    return PlainTextResponse(str(len(await request.body())))


async def _parts(request: Request) -> Response:
    """It ends when the client has gone."""

    async def parts() -> AsyncIterator[bytes]:
        yield b"hello"

    return StreamingResponse(parts())


async def _fail(request: Request) -> Response:
    raise RuntimeError("the application's fault")


class Door:
    def __init__(
        self,
        settings: FrontDoorSettings,
        tls: ssl.SSLContext | None,
        authenticates: Callable[[RequestHead], bool],
        allowed_hosts: AllowedHosts | None,
    ) -> None:
        self.heads: list[RequestHead] = []  # of websockets
        self.websockets: list[bytes] = []  # what came behind each
        self.clients: list[str] = []
        app = Starlette(
            routes=[
                Route("/", _hello),
                Route("/flood", _flood),
                Route("/count", _count, methods=["POST"]),
                Route("/fail", _fail),
                Route("/parts", _parts),
            ]
        )
        paths = dict.fromkeys(("/signaling", "/signaling/"), self._websocket)
        self.door = FrontDoor(app, paths, settings, tls, authenticates, allowed_hosts=allowed_hosts)
        self.port = 0
        self.nursery: trio.Nursery

    async def _websocket(self, stream: PeekedStream, head: RequestHead, client: str) -> None:
        self.clients.append(client)
        self.heads.append(head)
        await trio.lowlevel.checkpoint()  # other tasks run before anything is read
        self.websockets.append(stream._unread)
        await stream.send_all(b"bye")

    async def connect(self) -> trio.SocketStream:
        return await trio.open_tcp_stream("127.0.0.1", self.port)


@contextlib.asynccontextmanager
async def open_door(
    settings: FrontDoorSettings | None = None,
    tls: ssl.SSLContext | None = None,
    authenticates: Callable[[RequestHead], bool] = lambda head: "x-proof" in head.headers,
    allowed_hosts: AllowedHosts | None = None,
) -> AsyncIterator[Door]:
    door = Door(settings or FrontDoorSettings(), tls, authenticates, allowed_hosts)
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    door.port = listeners[0].socket.getsockname()[1]
    async with trio.open_nursery() as door.nursery:
        await door.nursery.start(door.door.serve, listeners)
        yield door
        door.nursery.cancel_scope.cancel()


async def read_all(stream: trio.abc.Stream) -> bytes:
    data = bytearray()
    with trio.fail_after(10):
        async for chunk in stream:
            data += chunk
    return bytes(data)


@attrs.define
class Reader:
    """Reads responses one after the other."""

    stream: trio.abc.Stream
    buffer: bytes = b""

    async def head(self) -> bytes:
        with trio.fail_after(10):
            while b"\r\n\r\n" not in self.buffer:
                chunk = await self.stream.receive_some()
                assert chunk, f"the connection ended after {self.buffer!r}"
                self.buffer += chunk
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        return head

    async def response(self) -> tuple[int, bytes]:
        head = await self.head()
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        with trio.fail_after(10):
            while len(self.buffer) < length:
                self.buffer += await self.stream.receive_some()
        body, self.buffer = self.buffer[:length], self.buffer[length:]
        return int(head.split()[1]), body

    async def rest(self) -> bytes:
        return self.buffer + await read_all(self.stream)

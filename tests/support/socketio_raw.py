"""A Socket.IO server on in-memory streams, and a websocket client that shows every frame."""

import contextlib
import json
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, MutableMapping
from typing import Any

import attrs
import trio
import trio.testing
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    Pong,
    RejectConnection,
    RejectData,
    Request,
    TextMessage,
)

from meet_trio.socketio import Admit, EngineIOServer, Handler, Server, Settings, Socket

EIO4 = "/socket.io/?EIO=4&transport=websocket"
EIO3 = "/socket.io/?EIO=3&transport=websocket"


@attrs.frozen
class Closed:
    """The server's close frame; 1006: the stream ended without one."""

    code: int


@attrs.frozen
class Refusal:
    status: int
    headers: dict[str, str]
    body: str


Frame = str | bytes | Closed | Ping | Pong


class RawClient:
    """Frames as they come. It answers nothing by itself: no ping, no close."""

    def __init__(self, stream: trio.abc.Stream, target: str) -> None:
        self.stream = stream
        self.target = target
        self._ws = WSConnection(ConnectionType.CLIENT)
        self._frames: deque[Frame] = deque()
        self._text = ""
        self.refusal: Refusal | None = None

    async def open(self, headers: Mapping[str, str] | None = None) -> Refusal | None:
        """Do the handshake; returns the server's refusal, or None if it has accepted."""
        extra = [(k.encode(), v.encode()) for k, v in (headers or {}).items()]
        await self.send(Request(host="x", target=self.target, extra_headers=extra))
        refusal = Refusal(0, {}, "")
        while True:
            for event in self._ws.events():
                match event:
                    case AcceptConnection():
                        assert not event.extensions
                        self._sort()
                        return None
                    case RejectConnection():
                        headers = {k.decode(): v.decode() for k, v in event.headers}
                        refusal = Refusal(event.status_code, headers, "")
                    case RejectData():
                        body = refusal.body + bytes(event.data).decode()
                        refusal = attrs.evolve(refusal, body=body)
                        if event.body_finished:
                            return refusal
            data = await self.stream.receive_some(65536)
            assert data, "the stream ended in the opening handshake"
            self._ws.receive_data(bytes(data))

    async def send(self, event: Event) -> None:
        await self.stream.send_all(self._ws.send(event))

    async def say(self, *messages: str | bytes) -> None:
        """Send these messages in one segment."""
        events = (TextMessage(m) if isinstance(m, str) else BytesMessage(m) for m in messages)
        await self.stream.send_all(b"".join(map(self._ws.send, events)))

    async def hear(self) -> Frame:
        """The next frame."""
        while not self._frames:
            try:
                data = await self.stream.receive_some(65536)
            except trio.BrokenResourceError:
                data = b""
            if not data:
                return Closed(1006)
            self._ws.receive_data(bytes(data))
            self._sort()
        return self._frames.popleft()

    async def hear_all(self) -> list[Frame]:
        """All frames up to and with the close."""
        frames = [await self.hear()]
        while not isinstance(frames[-1], Closed):
            frames.append(await self.hear())
        return frames

    async def opened(self) -> dict[str, object]:
        """The data of the Engine.IO handshake."""
        frame = await self.hear()
        assert isinstance(frame, str)
        assert frame[0] == "0"
        opened = json.loads(frame[1:])
        assert isinstance(opened, dict)
        return opened

    async def connect(self, namespace: str = "") -> str:
        """Connect to a namespace in Engine.IO 4; returns the socket's id."""
        await self.say("40" + namespace)
        answer = await self.hear()
        assert isinstance(answer, str)
        assert answer.startswith("40" + namespace + "{"), answer
        return str(json.loads(answer[len("40" + namespace) :])["sid"])

    async def close(self) -> None:
        """Do the closing handshake, started by either side."""
        await self.send(CloseConnection(1000))

    def _sort(self) -> None:
        for event in self._ws.events():
            match event:
                case TextMessage():
                    self._text += event.data
                    if event.message_finished:
                        self._frames.append(self._text)
                        self._text = ""
                case BytesMessage():
                    assert event.message_finished
                    self._frames.append(bytes(event.data))
                case CloseConnection():
                    self._frames.append(Closed(event.code))
                case Ping() | Pong():
                    self._frames.append(event)


@attrs.frozen
class Answer:
    status: int
    headers: dict[str, str]
    body: str | bytes


class PollingClient:
    """HTTP requests straight to the ASGI application."""

    def __init__(self, server: Server | EngineIOServer, query: str) -> None:
        self.server = server
        self.query = query
        self.gone = trio.Event()
        """Set this to make the client of a running request go away."""

    async def open(self) -> dict[str, object]:
        """The data of the Engine.IO handshake; later requests carry the session id."""
        answer = await self.get()
        assert answer.status == 200, answer
        assert isinstance(answer.body, str)
        opened = json.loads(answer.body[answer.body.index("{") :])
        assert isinstance(opened, dict)
        self.query += f"&sid={opened['sid']}"
        return opened

    async def get(self, **headers: str) -> Answer:
        return await self.request("GET", **headers)

    async def poll(self) -> str | bytes:
        answer = await self.get()
        assert answer.status == 200, answer
        return answer.body

    async def post(self, *chunks: str | bytes, **headers: str) -> Answer:
        """Bytes are sent as octets; the last chunk decides."""
        octets = isinstance(chunks[-1], bytes)
        headers.setdefault(
            "content_type", "application/octet-stream" if octets else "text/plain;charset=UTF-8"
        )
        return await self.request("POST", *chunks, **headers)

    async def request(self, method: str, *chunks: str | bytes, **headers: str) -> Answer:
        """With a header ``unfinished`` the client never sends the rest of the body."""
        messages = deque(
            {
                "type": "http.request",
                "body": chunk.encode() if isinstance(chunk, str) else chunk,
                "more_body": number < len(chunks) - 1 or "unfinished" in headers,
            }
            for number, chunk in enumerate(chunks or ("",))
        )
        sent: list[MutableMapping[str, Any]] = []

        async def receive() -> MutableMapping[str, Any]:
            if messages:
                await trio.lowlevel.checkpoint()
                return messages.popleft()
            await self.gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: MutableMapping[str, Any]) -> None:
            await trio.lowlevel.checkpoint()
            sent.append(message)

        scope = {
            "type": "http",
            "method": method,
            "path": "/socket.io/",
            "query_string": self.query.encode(),
            "headers": [
                (name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()
            ],
            "client": ("192.0.2.1", 1234),
        }
        await self.server.asgi(scope, receive, send)
        start, body = sent
        fields = {name.decode(): value.decode() for name, value in start["headers"]}
        assert int(fields["content-length"]) == len(body["body"])
        text = fields["content-type"] != "application/octet-stream"
        return Answer(start["status"], fields, body["body"].decode() if text else body["body"])


class Service:
    """A server whose connections are tasks of this object's nursery."""

    def __init__(self, server: Server | EngineIOServer, nursery: trio.Nursery) -> None:
        self.server = server
        self.nursery = nursery
        self.over: list[float] = []
        self.pair: Callable[[], tuple[trio.abc.Stream, trio.abc.Stream]] = (
            trio.testing.memory_stream_pair
        )

    def client(self, target: str = EIO4) -> RawClient:
        """A client whose stream the server will serve."""
        mine, theirs = self.pair()
        self.nursery.start_soon(self._serve, theirs)
        return RawClient(mine, target)

    async def open(self, target: str = EIO4) -> RawClient:
        """A client after both handshakes."""
        client = self.client(target)
        assert await client.open() is None
        await client.opened()
        return client

    def polling(self, query: str = "EIO=4&transport=polling") -> PollingClient:
        return PollingClient(self.server, query)

    async def _serve(self, stream: trio.abc.Stream) -> None:
        try:
            await self.server.serve_websocket_stream(stream, client="192.0.2.1")
        finally:
            self.over.append(trio.current_time())


@contextlib.asynccontextmanager
async def serve(
    handlers: Handler | Mapping[str, Handler], admit: Admit | None = None, **settings: float
) -> AsyncIterator[Service]:
    """A server with these settings. All connections must have ended by themselves at the end."""
    table = handlers if isinstance(handlers, Mapping) else {"/": handlers}
    server = Server(Settings(**settings), table, admit=admit)  # type: ignore[arg-type]
    async with serve_with(server) as service:
        yield service


@contextlib.asynccontextmanager
async def serve_with(server: Server | EngineIOServer) -> AsyncIterator[Service]:
    """``serve`` for an existing server."""
    async with trio.open_nursery() as holder:
        await holder.start(server.run)
        async with trio.open_nursery() as nursery:
            yield Service(server, nursery)
        holder.cancel_scope.cancel()


async def echo(socket: Socket) -> None:
    """Sends every event back and acknowledges it with its arguments."""
    while True:
        event = await socket.receive()
        event.ack(*event.args)
        socket.emit(event.name, *event.args)

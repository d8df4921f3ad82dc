"""A small server of meetings, to test the load generator by itself: rooms, signaling, and plain RTP
that is handed from publishers to viewers.

``drop`` decides which packets a viewer does not get, by their count, and ``change`` how the others
look. ``refuse`` has the methods that are answered with an error, ``ignore`` those that are not
answered.
"""

import contextlib
import itertools
import json
import ssl
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import attrs
import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, WebSocketRequest, serve_websocket

from meet_trio.bench.api import Admission, Api
from meet_trio.bench.errors import BenchError
from meet_trio.lag import BOUNDS, Snapshot

ROUTER = {
    "codecs": [
        {"kind": "audio", "mimeType": "audio/opus", "preferredPayloadType": 100, "parameters": {}},
        {"kind": "video", "mimeType": "video/VP8", "preferredPayloadType": 101, "parameters": {}},
    ],
    "headerExtensions": [],
}


@attrs.define(eq=False)
class FakePeer:
    """``viewing``: where its packets go, ``by`` which socket."""

    id: str
    room: str
    websocket: WebSocketConnection
    joined: bool = False
    viewing: tuple[str, int] | None = None
    by: trio.socket.SocketType | None = None


@attrs.define(eq=False)
class FakeMeeting:
    """``closed`` has the rooms that a peer has closed, ``requests`` all methods that came."""

    nursery: trio.Nursery
    port: int = 0
    scheme: str = "ws"
    most_rooms: int = 1000
    tells_lag: bool = True
    connects_in: float = 0.0
    """Seconds until Socket.IO's connection stands. A packet before it ends the websocket."""
    drop: Callable[[int], bool] = lambda count: False
    change: Callable[[bytes], bytes] = lambda packet: packet
    refuse: set[str] = attrs.field(factory=set)
    ignore: set[str] = attrs.field(factory=set)
    rooms: set[str] = attrs.field(factory=set)
    closed: list[str] = attrs.field(factory=list)
    requests: list[str] = attrs.field(factory=list)
    peers: dict[str, FakePeer] = attrs.field(factory=dict)
    _watched: float = 0.0
    _numbers: "itertools.count[int]" = attrs.field(factory=lambda: itertools.count(1))
    _sockets: dict[str, trio.socket.SocketType] = attrs.field(factory=dict)
    _producers: list[tuple[str, FakePeer, dict[str, Any]]] = attrs.field(factory=list)
    _forwarding: list[trio.socket.SocketType] = attrs.field(factory=list)
    _forwarded: dict[str, int] = attrs.field(factory=dict)

    # the HTTP API

    async def ping(self) -> None:
        pass

    async def lag(self) -> Snapshot | None:
        """Its loop has been watched for a second more each time, without a long turn."""
        if not self.tells_lag:
            return None
        self._watched += 1
        nothing = (0,) * (len(BOUNDS) + 1)
        return Snapshot(self._watched, nothing, nothing)

    async def create_room(self) -> str:
        if len(self.rooms) >= self.most_rooms:
            raise BenchError(f"there are {self.most_rooms} rooms")
        room = f"room{next(self._numbers)}"
        self.rooms.add(room)
        return room

    async def create_peer(self, room: str, role: int) -> Admission:
        if "connection" in self.refuse:
            raise BenchError("connection: 500")
        peer = f"peer{next(self._numbers)}"
        return Admission(peer, f"{self.scheme}://127.0.0.1:{self.port}?peerId={peer}&roomId={room}")

    # signaling

    async def serve(self, request: WebSocketRequest) -> None:
        query = parse_qs(urlsplit(request.path).query)
        websocket = await request.accept()
        peer = FakePeer(query["peerId"][0], query["roomId"][0], websocket)
        self.peers[peer.id] = peer
        with contextlib.suppress(ConnectionClosed):
            await websocket.send_message('0{"sid":"x","upgrades":[],"pingInterval":25000}')
            while True:
                frame = await websocket.get_message()
                assert isinstance(frame, str)
                await self._take(peer, frame)
        del self.peers[peer.id]

    async def _take(self, peer: FakePeer, frame: str) -> None:
        if frame == "40":
            if "CONNECT" in self.refuse:
                await peer.websocket.aclose()
                return
            with trio.move_on_after(self.connects_in):
                early = await peer.websocket.get_message()
                await peer.websocket.aclose(4000, f"{early!r} came before the connection stood")
            await peer.websocket.send_message('40{"sid":"y"}')
            ready = ["notification", {"method": "roomReady", "data": {}}]
            await peer.websocket.send_message("42" + json.dumps(ready))
        if not frame.startswith("42"):
            return
        id = frame[2 : frame.index("[")]
        _, message = json.loads(frame[2 + len(id) :])
        method = message["method"]
        self.requests.append(method)
        if method in self.ignore:
            return
        answer = [500, f"request {method} failed"]
        if method not in self.refuse:
            answer = [None, await self._handle(peer, method, message.get("data"))]
        await peer.websocket.send_message(f"43{id}" + json.dumps(answer))

    async def _handle(self, peer: FakePeer, method: str, data: Any) -> Any:
        match method:
            case "getRouterRtpCapabilities":
                return ROUTER
            case "createPlainTransport":
                return await self._open_transport(peer)
            case "connectPlainTransport":
                peer.viewing, peer.by = (
                    (data["ip"], data["port"]),
                    self._sockets[data["transportId"]],
                )
                for producer in self._producers:
                    self.nursery.start_soon(self._offer, peer, *producer)
            case "produce":
                id = f"producer{next(self._numbers)}"
                self._producers.append((id, peer, data))
                for other in list(self.peers.values()):
                    if other.viewing is not None:
                        self.nursery.start_soon(self._offer, other, id, peer, data)
                if (sock := self._sockets.get(data["transportId"])) not in self._forwarding:
                    assert sock is not None
                    self._forwarding.append(sock)
                    self.nursery.start_soon(self._forward, peer, sock)
                return {"id": id}
            case "moderator:closeRoom":
                self.closed.append(peer.room)
                self.rooms.discard(peer.room)
        return {}

    async def _offer(self, peer: FakePeer, id: str, publisher: FakePeer, data: Any) -> None:
        if peer.room != publisher.room:
            return
        offer = {
            "id": f"consumer-{id}",
            "peerId": publisher.id,
            "producerId": id,
            "kind": data["kind"],
            "rtpParameters": {**data["rtpParameters"], "headerExtensions": []},
        }
        request = ["request", {"method": "newConsumer", "data": offer}]
        with contextlib.suppress(ConnectionClosed):
            await peer.websocket.send_message(f"42{next(self._numbers)}" + json.dumps(request))

    # media

    async def _open_transport(self, peer: FakePeer) -> dict[str, Any]:
        id = f"transport{next(self._numbers)}"
        self._sockets[id] = rtp = trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM)
        self._sockets[f"{id}-rtcp"] = rtcp = trio.socket.socket(
            trio.socket.AF_INET, trio.socket.SOCK_DGRAM
        )
        for sock in (rtp, rtcp):
            await sock.bind(("127.0.0.1", 0))
        port, rtcp_port = rtp.getsockname()[1], rtcp.getsockname()[1]
        return {"id": id, "ip": "127.0.0.1", "port": port, "rtcpPort": rtcp_port}

    async def _forward(self, publisher: FakePeer, sock: trio.socket.SocketType) -> None:
        while True:
            packet = self.change(await sock.recv(2048))
            for peer in list(self.peers.values()):
                if peer.viewing is None or peer.by is None or peer.room != publisher.room:
                    continue
                count = self._forwarded[peer.id] = self._forwarded.get(peer.id, 0) + 1
                if not self.drop(count):
                    with contextlib.suppress(OSError):  # the viewer has gone
                        await peer.by.sendto(packet, peer.viewing)

    def close(self) -> None:
        for sock in self._sockets.values():
            sock.close()


@contextlib.asynccontextmanager
async def open_fake_meeting(
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[tuple[FakeMeeting, Api]]:
    """A running server on loopback, and its API. With ``tls`` signaling is encrypted.

    The sockets of its media close when no task waits at one any more.
    """
    meeting = None
    try:
        async with trio.open_nursery() as nursery:
            meeting = FakeMeeting(nursery)
            server = await nursery.start(serve_websocket, meeting.serve, "127.0.0.1", 0, tls)
            meeting.port = server.port
            meeting.scheme = "ws" if tls is None else "wss"
            api: Any = meeting  # it has the same methods
            yield meeting, api
            nursery.cancel_scope.cancel()
    finally:
        if meeting is not None:
            meeting.close()

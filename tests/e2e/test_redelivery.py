"""Notices that a client missed because its connection was lost before the server noticed it."""

import array
import contextlib
import fcntl
import json
import socket
import termios
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import attrs
import trio
from support.server import LocalServer, open_server
from support.wire_peer import SIGNALING_PATH, open_wire_peer

DEADLINE = 60  # seconds for a test
NOTICES = 600


@attrs.define(eq=False)
class RawClient:
    """A websocket client that reads from its socket only on request."""

    tcp: trio.SocketStream
    read: bytes = b""

    async def say(self, text: str) -> None:
        data = text.encode()
        assert len(data) < 126
        # masked with zeros
        await self.tcp.send_all(bytes((0x81, 0x80 | len(data), 0, 0, 0, 0)) + data)

    async def hear(self) -> str:
        while not (frames := split(self.read)[0]):
            self.read += await self.tcp.receive_some(65536)
        self.read = split(self.read, 1)[1]
        return frames[0]

    def in_the_kernel(self) -> bytes:
        """Bytes that have come and were not read. They stay there, so the window stays full."""
        waiting = array.array("i", [0])
        fcntl.ioctl(self.tcp.socket.fileno(), termios.FIONREAD, waiting)
        with socket.socket(fileno=socket.dup(self.tcp.socket.fileno())) as plain:
            return plain.recv(waiting[0], socket.MSG_PEEK)


def split(data: bytes, most: int = 1 << 30) -> tuple[list[str], bytes]:
    """The whole text frames that a server sent, at most ``most``, and the bytes after them."""
    frames = []
    while len(data) >= 2 and len(frames) < most:
        assert data[0] == 0x81
        size, start = data[1], 2
        if size == 126:
            size, start = int.from_bytes(data[2:4], "big"), 4
        if len(data) < start + size:
            break
        frames.append(data[start : start + size].decode())
        data = data[start + size :]
    return frames, data


@contextlib.asynccontextmanager
async def open_raw_client(server: LocalServer, query: str) -> AsyncIterator[RawClient]:
    with trio.socket.socket() as plain:
        # The window is announced on connecting, so the size is set before.
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 20_000)
        await plain.connect(("127.0.0.1", server.running.port))
        tcp = trio.SocketStream(plain)
        await tcp.send_all(
            f"GET {SIGNALING_PATH}?{query}&EIO=4&transport=websocket HTTP/1.1\r\n"
            "Host: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        client = RawClient(tcp)
        while b"\r\n\r\n" not in client.read:
            client.read += await tcp.receive_some(65536)
        client.read = client.read.partition(b"\r\n\r\n")[2]
        assert (await client.hear())[0] == "0"
        await client.say("40")
        assert (await client.hear())[:2] == "40"
        assert "roomReady" in await client.hear()
        yield client


def numbers(frames: list[str]) -> list[int]:
    return [json.loads(frame[2:])[1]["data"]["number"] for frame in frames]


async def test_what_did_not_get_through_comes_after_room_back() -> None:
    with trio.fail_after(DEADLINE):
        async with open_server() as server:
            room_id = await server.api.create_room()
            query = urlsplit(await server.api.create_peer(room_id, 3)).query
            room = server.running.registry.rooms[room_id]
            async with open_raw_client(server, query) as lost:
                for number in range(NOTICES):
                    room.signal("news", {"number": number, "text": "x" * 100}, None)
                    await trio.lowlevel.checkpoint()
                # Some are received, some are in this kernel's buffer, some were not sent.
                sizes: list[int] = []
                while len(sizes) < 5 or len(set(sizes[-5:])) > 1:  # until the window is full
                    await trio.sleep(0.1)
                    sizes.append(len(lost.in_the_kernel()))
                got = numbers(split(lost.read + lost.in_the_kernel())[0])
                assert 10 < len(got) < NOTICES - 10
                (peer,) = room.peers.values()
                assert peer.connection is not None
                socket = peer.connection.socket
                unwritten, unreceived = socket.unwritten(), socket.unreceived()
                assert unreceived is not None
                assert set(unwritten) <= set(unreceived)
                assert len(unreceived) == NOTICES - len(got)
                # a send is under way, so how much of it the kernel has is unknown
                assert unwritten == unreceived
                async with open_wire_peer(server, room_id, query=query) as back:
                    assert back.greeting == ("roomBack", {})
                    missed = [data["number"] for _, data in await back.hear()]  # type: ignore[index, call-overload]
                    assert got + missed == list(range(NOTICES))
                    room.signal("news", {"number": NOTICES}, None)
                    assert len(await back.hear()) == 1

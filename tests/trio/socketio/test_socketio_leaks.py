"""A connection that has ended leaves nothing behind, however it ended and whatever it was sent."""

import contextlib
import random

import pytest
import trio
import trio.testing
from support.socketio_raw import EIO3, EIO4, PollingClient, Service, echo, serve

from meet_trio.socketio import Server, Settings, Socket

POLL4 = "EIO=4&transport=polling"


def living() -> int:
    return trio.lowlevel.current_statistics().tasks_living


async def _polling(service: Service) -> PollingClient:
    client = service.polling(POLL4)
    await client.open()
    await client.post("40")
    await client.poll()
    return client


async def _end(service: Service, sockets: list[Socket], way: str) -> None:
    """Open a connection and end it in this way."""
    match way.split():
        case ["polling", how]:
            client = await _polling(service)
            match how:
                case "close":
                    await client.post("1")
                case "server":
                    await sockets[-1].disconnect()
                case "garbage":
                    await client.post("garbage")
                case "silence":
                    pass
        case ["upgrade", how]:
            client = await _polling(service)
            websocket = service.client(f"{EIO4}&{client.query.rpartition('&')[2]}")
            await websocket.open()
            await websocket.say("2probe")
            if how != "probed":
                await websocket.say("5", '42["x"]')
            match how:
                case "lost":
                    await websocket.stream.aclose()
                case "server":
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(sockets[-1].disconnect)
                        await websocket.hear_all()
                case "probed":
                    await client.post("1")
        case ["websocket", how]:
            websocket = await service.open(EIO3 if how == "three" else EIO4)
            if how not in ("three", "early"):
                await websocket.connect()
                await websocket.say('420["x",1]')
            match how:
                case "server":
                    await sockets[-1].disconnect()
                case "left":
                    await websocket.say("41")
                case "garbage":
                    await websocket.say("garbage")
                case "lost" | "three":
                    await websocket.stream.aclose()


WAYS = [
    "polling close",
    "polling server",
    "polling garbage",
    "polling silence",
    "upgrade lost",
    "upgrade server",
    "upgrade probed",
    "websocket server",
    "websocket left",
    "websocket garbage",
    "websocket lost",
    "websocket three",
    "websocket early",
]


async def test_every_end(autojump_clock: trio.testing.MockClock) -> None:
    sockets: list[Socket] = []

    async def handler(socket: Socket) -> None:
        sockets.append(socket)
        await echo(socket)

    async with serve(handler) as service:
        before = living()
        for way in WAYS * 3:
            await _end(service, sockets, way)
        async with trio.open_nursery() as nursery:
            for way in WAYS * 3:
                nursery.start_soon(_end, service, sockets, way)
        await trio.sleep(60)
        assert living() == before
        for _ in range(4096):  # these would be refused if the server remembered any session
            assert (await service.polling(POLL4).get()).status == 200
        assert (await service.polling(POLL4).get()).status == 503
        assert not any(socket.connected for socket in sockets)


@pytest.mark.parametrize("seed", range(20))
async def test_random_bytes(autojump_clock: trio.testing.MockClock, seed: int) -> None:
    """Cut and mutated streams of a client that began correctly."""
    random_ = random.Random(seed)
    async with trio.open_nursery() as nursery:
        server = Server(Settings(), {"/": echo})
        await nursery.start(server.run)
        before = living()
        for _ in range(10):
            mine, theirs = trio.testing.memory_stream_pair()
            nursery.start_soon(
                lambda stream: server.serve_websocket_stream(stream, client="x"), theirs
            )
            head = b"GET %s HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            key = (
                b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
            )
            data = bytearray(head % EIO4.encode() + key)
            for text in (b"40", b'420["x",{"a":[1]}]', b"2", b'451-["y"]', b"41"):
                data += bytes([0x81, 0x80 | len(text), 0, 0, 0, 0]) + text
            start = 0 if random_.random() < 0.3 else len(head % EIO4.encode() + key)
            for _ in range(random_.randrange(4)):
                data[random_.randrange(start, len(data))] = random_.randrange(256)
            with contextlib.suppress(trio.BrokenResourceError):  # the server may close first
                for _ in range(random_.randrange(6)):
                    cut = random_.randrange(len(data))
                    await mine.send_all(data[:cut])
                    del data[:cut]
                    await trio.lowlevel.checkpoint()
                await mine.send_all(data)
            if random_.random() < 0.5:
                await mine.aclose()
        await trio.sleep(120)
        assert living() == before
        nursery.cancel_scope.cancel()

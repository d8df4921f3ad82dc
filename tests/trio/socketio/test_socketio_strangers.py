"""Clients without proof of who they are: long messages are refused, and everything they send is
read slowly.
"""

import contextlib

import pytest
import trio
import trio.testing
from support.live_scenes import open_world
from support.socketio_raw import EIO3, EIO4, Closed, RawClient, serve, serve_with
from wsproto.events import Ping, Pong

from meet_trio.edge.signaling import signaling_handler
from meet_trio.room import Role
from meet_trio.socketio import (
    Disconnected,
    EngineIOConnection,
    EngineIOServer,
    Server,
    Settings,
    Socket,
    in_task,
)

STRANGERS = {
    "max_stranger_payload": 5000,
    "stranger_read_rate": 10_000,
    "stranger_read_burst": 64_000,
    "read_rate": 100_000,
    "read_burst": 200_000,
    "message_cost": 1000,
}
POLLING = "EIO=4&transport=polling"


async def doubtful(socket: Socket) -> None:
    """Trusts each client that asks for it."""
    while True:
        event = await socket.receive()
        if event.name == "trust me":
            socket.trust()
        event.ack(len(event.args))


async def pongs(client: RawClient, seconds: float) -> int:
    """The number of pongs that come in ``seconds``."""
    count = 0
    with trio.move_on_after(seconds):
        while await client.hear() == Pong(b""):
            count += 1
    return count


@pytest.mark.parametrize("target", [EIO3, EIO4])
async def test_pings_of_a_stranger_are_answered_slowly(
    autojump_clock: trio.testing.MockClock, target: str
) -> None:
    async with serve(doubtful, **STRANGERS) as service:
        client = await service.open(target)
        if target == EIO3:
            assert await client.hear() == "40"
        for _ in range(250):
            await client.send(Ping(b""))
        # The burst, and ten a second; frames that are read together wait together.
        first = await pongs(client, 10)
        assert first <= 165
        assert first + await pongs(client, 10) == 250
        await client.stream.aclose()


async def test_pings_of_who_is_trusted_are_paced_too(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with serve(doubtful, **STRANGERS) as service:
        client = await service.open()
        await client.connect()
        await client.say('420["trust me"]')
        assert await client.hear() == "430[0]"
        for _ in range(500):
            await client.send(Ping(b""))
        first = await pongs(client, 1)
        assert first <= 300
        assert first + await pongs(client, 3) == 500
        await client.stream.aclose()


async def test_pongs_and_empty_fragments_are_paced(autojump_clock: trio.testing.MockClock) -> None:
    """Frames without an answer count too."""
    async with serve(doubtful, **STRANGERS) as service:
        for masked in (b"\x8a\x80", b"\x00\x80"):
            client = await service.open()
            await client.stream.send_all(b"\x01\x80\0\0\0\0" if masked[0] == 0 else b"")
            await client.stream.send_all((masked + b"\0\0\0\0") * 280)
            await client.stream.send_all(b"\x89\x80\0\0\0\0")
            assert await pongs(client, 20) == 0
            assert await pongs(client, 4) == 1
            await client.stream.aclose()


@pytest.mark.parametrize("binary", [False, True])
async def test_a_long_message_of_a_stranger(
    autojump_clock: trio.testing.MockClock, binary: bool
) -> None:
    async with serve(doubtful, **STRANGERS) as service:
        client = await service.open()
        await client.connect()
        await client.say('420["x","' + "y" * 4980 + '"]')
        assert await client.hear() == "430[1]"
        await client.say(b"y" * 5001 if binary else '421["x","' + "y" * 5000 + '"]')
        assert await client.hear() == Closed(1009)
        await client.close()
        trusted = await service.open()
        await trusted.connect()
        await trusted.say('420["trust me"]')
        assert await trusted.hear() == "430[0]"
        if binary:
            await trusted.say('451-1["x",{"_placeholder":true,"num":0}]', b"y" * 900_000)
        else:
            await trusted.say('421["x","' + "y" * 900_000 + '"]')
        assert await trusted.hear() == "431[1]"
        await trusted.close()


async def test_a_long_body_of_a_stranger(autojump_clock: trio.testing.MockClock) -> None:
    async with serve(doubtful, **STRANGERS) as service:
        client = service.polling(POLLING)
        await client.open()
        assert (await client.post("40")).status == 200
        await client.poll()
        assert (await client.post('420["x","' + "y" * 5000 + '"]')).status == 413
        client = service.polling(POLLING)
        await client.open()
        assert (await client.post("40")).status == 200
        await client.poll()
        assert (await client.post('420["trust me"]')).status == 200
        assert await client.poll() == "430[0]"
        assert (await client.post('421["x","' + "y" * 900_000 + '"]')).status == 200
        assert await client.poll() == "431[1]"
        assert (await client.post("1")).status == 200


async def test_many_packets_in_one_body(autojump_clock: trio.testing.MockClock) -> None:
    async with serve(doubtful, **STRANGERS) as service:
        for body, status in (("\x1e".join(["3"] * 5), 200), ("\x1e".join(["3"] * 6), 400)):
            client = service.polling(POLLING)
            await client.open()
            answer = await client.post(body)
            assert answer.status == status
            await client.post("1")
        client = service.polling(POLLING)
        await client.open()
        assert (await client.post("40")).status == 200
        await client.poll()
        assert (await client.post('42["trust me"]')).status == 200
        start = trio.current_time()
        assert (await client.post("\x1e".join(["3"] * 1000))).status == 200
        assert 8 < trio.current_time() - start < 9  # 1,000 messages and a request at 100 a second
        await client.post("1")


async def test_requests_of_a_stranger_are_answered_slowly(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with serve(doubtful, **STRANGERS) as service:
        client = service.polling(POLLING)
        await client.open()
        start = trio.current_time()
        for _ in range(12):
            await client.post("3")
        assert 6.5 < trio.current_time() - start < 7.5  # eleven kB for each request
        await client.post("1")
        client = service.polling("EIO=3&transport=polling")
        await client.open()
        assert await client.poll() == "2:40"
        start = trio.current_time()
        for _ in range(4):
            await client.post("1:2")
            assert await client.poll() == "1:3"
        assert 2.5 < trio.current_time() - start < 3.5  # and ten kB for each poll
        await client.post("1:1")


async def test_what_nobody_wants_is_read_slowly_too(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The server reads on after its close frame, so that the client can read the reason."""
    sent = 0
    async with serve(doubtful, **STRANGERS) as service:
        service.pair = trio.testing.lockstep_stream_pair
        client = await service.open()
        await client.connect()
        head = b"\x81\xff" + (10_000_000).to_bytes(8, "big") + bytes(4)
        await client.stream.send_all(head + b"2" * 8000)
        assert await client.hear() == Closed(1009)
        with contextlib.suppress(trio.BrokenResourceError):
            while True:
                await client.stream.send_all(bytes(4096))
                sent += 4096
    assert 50_000 < sent < 80_000  # the burst, and a second


async def test_who_is_trusted_stays_so_on_its_websocket(
    autojump_clock: trio.testing.MockClock,
) -> None:
    trusted: list[EngineIOConnection] = []

    async def handler(connection: EngineIOConnection) -> None:
        trusted.append(connection)
        connection.trust()
        while True:
            connection.send(str(len(await connection.receive())))

    server = EngineIOServer(Settings(**STRANGERS), in_task(handler))  # type: ignore[arg-type]
    async with serve_with(server) as service:
        polling = service.polling(POLLING)
        opened = await polling.open()
        websocket = service.client(f"{EIO4}&sid={opened['sid']}")
        assert await websocket.open() is None
        await websocket.say("2probe")
        assert await websocket.hear() == "3probe"
        await polling.poll()
        await websocket.say("5", "4" + "y" * 900_000)
        assert await websocket.hear() == "4900000"
        await websocket.close()
        # Before the upgrade, the websocket is not known to belong to the trusted session.
        polling = service.polling(POLLING)
        opened = await polling.open()
        websocket = service.client(f"{EIO4}&sid={opened['sid']}")
        assert await websocket.open() is None
        await websocket.say("2" + "y" * 5000)
        assert await websocket.hear() == Closed(1009)
        await websocket.close()
        await polling.post("1")


async def test_a_token_is_what_signaling_trusts(autojump_clock: trio.testing.MockClock) -> None:
    async with open_world() as world:
        room = await world.registry.create_room()
        invitation = room.invite(Role(3))
        handler = signaling_handler(world.registry)
        sockets: list[Socket] = []

        async def watched(socket: Socket) -> None:
            sockets.append(socket)
            await handler(socket)

        server = Server(Settings(**STRANGERS), {"/": watched})  # type: ignore[arg-type]
        async with serve_with(server) as service:
            for token, trusted in (("wrong", False), (invitation.auth_token, True)):
                query = f"&peerId={invitation.peer_id}&roomId={room.id}&authToken={token}"
                client = await service.open(EIO4 + query)
                await client.connect()
                allowance = sockets[-1]._connection.allowance
                assert allowance.max_payload == (1_000_000 if trusted else 5000)
                if trusted:
                    await client.say('420["request",{"method":"' + "x" * 100_000 + '"}]')
                    assert "roomReady" in str(await client.hear())
                    assert str(await client.hear()).startswith("430[500")
                    await client.say("41")
                await client.close()


@pytest.mark.parametrize("late", [False, True])
async def test_a_closed_socket_can_be_trusted(
    autojump_clock: trio.testing.MockClock, late: bool
) -> None:
    """By its handler as it ends, or by another task later."""
    sockets: list[Socket] = []

    async def handler(socket: Socket) -> None:
        with pytest.raises(Disconnected):
            await socket.receive()
        if not late:
            socket.trust()
        sockets.append(socket)

    async with serve(handler, **STRANGERS) as service:
        client = await service.open()
        await client.connect()
        await client.stream.aclose()
        await trio.sleep(5)
        (closed,) = sockets
        assert not closed.connected
        if late:
            closed.trust()
        assert closed._connection.allowance.max_payload == 1_000_000
        # The server serves the next one.
        client = await service.open()
        await client.connect()
        await client.close()

"""Engine.IO and Socket.IO over long-polling, and the upgrade, packet by packet."""

import json
import logging

import pytest
import trio
import trio.testing
from support.socketio_raw import (
    EIO3,
    EIO4,
    Answer,
    Closed,
    PollingClient,
    echo,
    serve,
    serve_with,
)

from meet_trio.socketio import (
    Disconnected,
    EngineIOConnection,
    EngineIOServer,
    Handler,
    Handshake,
    Reason,
    Refused,
    Server,
    Settings,
    Socket,
    in_task,
)

POLL3 = "EIO=3&transport=polling"
POLL4 = "EIO=4&transport=polling"
OK = (200, "ok")
UPGRADE4 = EIO4 + "&sid="
UPGRADE3 = EIO3 + "&sid="


def engine_echo(ends: list[Reason] | None = None, **settings: float) -> EngineIOServer:
    """A bare Engine.IO server that sends every message back."""

    async def handler(connection: EngineIOConnection) -> None:
        try:
            while True:
                connection.send(await connection.receive())
        except Disconnected as end:
            if ends is not None:
                ends.append(end.reason)

    return EngineIOServer(Settings(**settings), in_task(handler))  # type: ignore[arg-type]


async def refuses_badly(namespace: str, handshake: Handshake) -> None:
    if handshake.auth:
        raise Refused("no", object())  # cannot be encoded


async def test_a_fault_ends_that_connection_only(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with serve({"/": echo}, refuses_badly) as service:
        client, other = service.polling(), service.polling()
        for one in (client, other):
            await one.open()
        with caplog.at_level(logging.ERROR, "meet_trio.socketio"):
            assert (await client.post('40{"x":1}')).status == 200
            assert await client.poll() == "1"
        assert [record.message for record in caplog.records] == [
            "the handler of a connection failed"
        ]
        await other.post("40")
        assert str(await other.poll()).startswith("40{")
        await other.post("1")


def staying(sockets: list[Socket]) -> Handler:
    """Lists its sockets and leaves what they say unread."""

    async def handler(socket: Socket) -> None:
        sockets.append(socket)
        await trio.sleep_forever()

    return handler


def said(answer: Answer) -> tuple[int, str | bytes]:
    return answer.status, answer.body


async def connected(client: PollingClient) -> PollingClient:
    """The client after both handshakes of revision 4."""
    await client.open()
    assert said(await client.post("40")) == OK
    body = await client.poll()
    assert isinstance(body, str)
    assert body.startswith('40{"sid":"')
    return client


async def test_engineio4(autojump_clock: trio.testing.MockClock) -> None:
    async with serve(echo) as service:
        client = service.polling()
        opened = await client.open()
        assert opened == {
            "sid": opened["sid"],
            "upgrades": ["websocket"],
            "pingInterval": 25000,
            "pingTimeout": 20000,
            "maxPayload": 1000000,
        }
        assert said(await client.post("40")) == OK
        assert str(await client.poll()).startswith('40{"sid":')
        answer = await client.post('421["é😀"]\x1e42["x",1]')
        assert said(answer) == OK
        answer = await client.get()
        assert answer.body == '431[]\x1e42["é😀"]\x1e42["x",1]'
        assert answer.headers["content-type"] == "text/plain; charset=UTF-8"
        assert answer.headers["cache-control"] == "no-store"
        await client.post('451-["x",{"_placeholder":true,"num":0}]\x1ebAQI=')
        assert await client.poll() == '451-["x",{"_placeholder":true,"num":0}]\x1ebAQI='
        await client.post("41")
        await client.post("1")


async def test_engineio3(autojump_clock: trio.testing.MockClock) -> None:
    async with serve(echo) as service:
        client = service.polling(POLL3)
        first = await client.get()
        length, _, packet = str(first.body).partition(":")
        assert int(length) == len(packet)
        client.query += "&sid=" + json.loads(packet[1:])["sid"]
        assert await client.poll() == "2:40"
        assert said(await client.post('10:421["é😀"]3:422')) == OK
        assert await client.poll() == '5:431[]9:42["é😀"]'
        assert said(await client.post("1:2")) == OK
        assert await client.poll() == "1:3"


@pytest.mark.parametrize("b64", [False, True])
async def test_binary_in_3(autojump_clock: trio.testing.MockClock, b64: bool) -> None:
    text = b'451-["x",{"_placeholder":true,"num":0}]'
    octets = b"\x00\x03\x09\xff" + text + b"\x01\x03\xff\x04\x01\x02"
    base64 = f"{len(text)}:{text.decode()}6:b4AQI="
    async with serve(echo) as service:
        client = service.polling(POLL3 + ("&b64=1" if b64 else ""))
        await client.open()
        assert await client.poll() == "2:40"
        for sent in (octets, base64):
            assert said(await client.post(sent)) == OK
            assert await client.poll() == (base64 if b64 else octets)


@pytest.mark.parametrize(
    ("method", "query", "code", "message"),
    [
        ("GET", "EIO=4", 0, "Transport unknown"),
        ("GET", "EIO=4&transport=foo", 0, "Transport unknown"),
        ("GET", POLL4 + "&sid=abc", 1, "Session ID unknown"),
        ("POST", POLL4 + "&sid=abc", 1, "Session ID unknown"),
        ("POST", POLL4, 2, "Bad handshake method"),
        ("PUT", POLL4, 2, "Bad handshake method"),
        ("GET", "EIO=4&transport=websocket", 3, "Bad request"),
        ("GET", "transport=polling", 5, "Unsupported protocol version"),
        ("GET", "EIO=2&transport=polling", 5, "Unsupported protocol version"),
        ("GET", "EIO=abc&transport=polling", 5, "Unsupported protocol version"),
    ],
)
async def test_refused_requests(
    autojump_clock: trio.testing.MockClock, method: str, query: str, code: int, message: str
) -> None:
    async with serve(echo) as service:
        answer = await service.polling(query).request(method)
        assert answer.status == 400
        assert answer.headers["content-type"] == "application/json"
        assert json.loads(str(answer.body)) == {"code": code, "message": message}


async def test_refused_requests_of_a_session(autojump_clock: trio.testing.MockClock) -> None:
    async with serve(echo) as service:
        client = await connected(service.polling())
        assert (await client.request("PUT")).status == 400
        other = service.polling(client.query.replace("EIO=4", "EIO=3"))
        assert said(await other.get()) == (400, '{"code":3,"message":"Bad request"}')
        # None of these requests has harmed the session.
        assert said(await client.post('42["x"]')) == OK
        assert await client.poll() == '42["x"]'
        socket = await service.open()
        sid = (await service.polling().open())["sid"]
        other = service.polling(POLL4 + f"&sid={sid}x")
        assert (await other.get()).status == 400
        await socket.close()


async def test_sessions_that_are_websockets_cannot_be_polled(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with serve_with(engine_echo()) as service:
        client = service.client()
        await client.open()
        sid = (await client.opened())["sid"]
        assert (await service.polling(f"{POLL4}&sid={sid}").get()).status == 400
        assert (await service.polling(f"{POLL4}&sid={sid}").post("4x")).status == 400
        assert await (rival := service.client(f"{UPGRADE4}{sid}")).open() is None
        assert await rival.hear() == Closed(1005)
        await client.say("4x")
        assert await client.hear() == "4x"
        await client.close()


async def test_server_pings_in_4(autojump_clock: trio.testing.MockClock) -> None:
    ends: list[Reason] = []
    async with serve_with(engine_echo(ends)) as service:
        client = service.polling()
        await client.open()
        for _ in range(3):
            start = trio.current_time()
            assert await client.poll() == "2"
            assert trio.current_time() - start == pytest.approx(25)
            assert said(await client.post("3")) == OK
        assert await client.poll() == "2"
        start = trio.current_time()
        assert await client.poll() == "1"
        assert trio.current_time() - start == pytest.approx(20)
        assert (await client.get()).status == 400
    assert ends == [Reason.PING_TIMEOUT]


async def test_clients_that_never_poll_are_forgotten(
    autojump_clock: trio.testing.MockClock,
) -> None:
    ends: list[Reason] = []
    async with serve_with(engine_echo(ends)) as service:
        for query in (POLL3, POLL4):
            await service.polling(query).open()
        await trio.sleep(45.1)
        assert ends == [Reason.PING_TIMEOUT] * 2


@pytest.mark.parametrize(
    ("body", "revision"),
    [("abc", 4), ("", 4), ("4a\x1e", 4), (b"4a", 4), ("2", 4), (b"\xff", 3), ("3:4", 3)],
)
async def test_breaking_the_protocol_ends_the_session(
    autojump_clock: trio.testing.MockClock, body: str | bytes, revision: int
) -> None:
    ends: list[Reason] = []
    async with serve_with(engine_echo(ends)) as service:
        client = service.polling(POLL4 if revision == 4 else POLL3)
        await client.open()
        answers: list[Answer] = []

        async def poll() -> None:
            answers.append(await client.get())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(poll)
            await trio.testing.wait_all_tasks_blocked()
            assert said(await client.post(body)) == (400, '{"code":3,"message":"Bad request"}')
        assert said(answers[0]) == (200, "1" if revision == 4 else "1:1")
        assert (await client.get()).status == 400
    assert ends == [Reason.PARSE_ERROR]


async def test_not_utf8(autojump_clock: trio.testing.MockClock) -> None:
    async with serve_with(engine_echo()) as service:
        client = service.polling()
        await client.open()
        answer = await client.post(b"4\xff", content_type="text/plain")
        assert answer.status == 400


async def test_too_much(autojump_clock: trio.testing.MockClock) -> None:
    ends: list[Reason] = []
    async with serve_with(engine_echo(ends, max_payload=100, max_payload_packets=3)) as service:
        client = service.polling()
        await client.open()
        assert said(await client.post("4" + "x" * 49, "y" * 50)) == OK
        assert len(await client.poll()) == 100
        assert (await client.post("4" + "x" * 49, "y" * 51)).status == 413
        assert (await client.get()).status == 400
        client = service.polling()
        await client.open()
        assert (await client.post("4\x1e4\x1e4\x1e4")).status == 400
    assert ends == [Reason.TRANSPORT_ERROR, Reason.PARSE_ERROR]


async def test_a_second_poll_ends_the_session(autojump_clock: trio.testing.MockClock) -> None:
    ends: list[Reason] = []
    async with serve_with(engine_echo(ends)) as service:
        client = service.polling()
        await client.open()
        async with trio.open_nursery() as nursery:

            async def first() -> None:
                assert await client.poll() == "1"

            nursery.start_soon(first)
            await trio.testing.wait_all_tasks_blocked()
            assert (await client.get()).status == 400
        assert (await client.get()).status == 400
    assert ends == [Reason.TRANSPORT_ERROR]


async def test_a_second_post_ends_the_session(autojump_clock: trio.testing.MockClock) -> None:
    async def busy(connection: EngineIOConnection) -> None:
        await connection.closed.wait()

    async with serve_with(EngineIOServer(Settings(), in_task(busy))) as service:
        client = service.polling()
        await client.open()
        async with trio.open_nursery() as nursery:

            async def first() -> None:
                assert said(await client.post("\x1e".join(["4"] * 20))) == OK

            nursery.start_soon(first)
            await trio.testing.wait_all_tasks_blocked()
            assert (await client.post("4")).status == 400
        assert (await client.get()).status == 400


@pytest.mark.parametrize("revision", [3, 4])
async def test_client_closes(autojump_clock: trio.testing.MockClock, revision: int) -> None:
    ends: list[Reason] = []
    async with serve_with(engine_echo(ends)) as service:
        client = service.polling(POLL4 if revision == 4 else POLL3)
        await client.open()
        async with trio.open_nursery() as nursery:

            async def poll() -> None:
                assert await client.poll() == ("6" if revision == 4 else "1:6")

            nursery.start_soon(poll)
            await trio.testing.wait_all_tasks_blocked()
            assert said(await client.post("1" if revision == 4 else "1:1")) == OK
        assert (await client.get()).status == 400
    assert ends == [Reason.TRANSPORT_CLOSE]


@pytest.mark.parametrize("request_kind", ["poll", "post"])
async def test_client_goes_away_in_a_request(
    autojump_clock: trio.testing.MockClock, request_kind: str
) -> None:
    ends: list[Reason] = []
    async with serve_with(engine_echo(ends)) as service:
        client = service.polling()
        await client.open()
        async with trio.open_nursery() as nursery:
            if request_kind == "poll":
                nursery.start_soon(client.get)
            else:

                async def unfinished() -> None:
                    answer = await client.request("POST", "4", unfinished="yes")
                    assert answer.status == 400

                nursery.start_soon(unfinished)
            await trio.testing.wait_all_tasks_blocked()
            client.gone.set()
    assert ends == [Reason.TRANSPORT_ERROR]


@pytest.mark.parametrize("polling_at_the_time", [True, False])
async def test_server_disconnects(
    autojump_clock: trio.testing.MockClock, polling_at_the_time: bool
) -> None:
    sockets: list[Socket] = []
    async with serve(staying(sockets)) as service:
        client = await connected(service.polling())
        async with trio.open_nursery() as nursery:

            async def poll() -> None:
                packets: list[str] = []
                while "41" not in packets:
                    packets += str(await client.poll()).split("\x1e")
                assert packets == ['42["bye"]', "41"]
                assert await client.poll() == "1"

            if polling_at_the_time:
                nursery.start_soon(poll)
                await trio.testing.wait_all_tasks_blocked()
            sockets[0].emit("bye")
            nursery.start_soon(sockets[0].disconnect)
            if not polling_at_the_time:
                await trio.testing.wait_all_tasks_blocked()
                nursery.start_soon(poll)
        assert trio.current_time() < 0.1
        assert (await client.get()).status == 400


async def test_nobody_polls_for_the_goodbye(autojump_clock: trio.testing.MockClock) -> None:
    async def brief(socket: Socket) -> None:
        socket.emit("bye")

    async with serve(brief) as service:
        client = service.polling()
        await client.open()
        await client.post("40")
        await trio.sleep(1.1)
        assert (await client.get()).status == 400


@pytest.mark.parametrize("revision", [3, 4])
async def test_upgrade(autojump_clock: trio.testing.MockClock, revision: int) -> None:
    ends: list[Reason] = []
    poll3 = revision == 3
    async with serve_with(engine_echo(ends)) as service:
        client = service.polling(POLL3 if poll3 else POLL4)
        sid = (await client.open())["sid"]
        websocket = service.client(f"{UPGRADE3 if poll3 else UPGRADE4}{sid}")
        assert await websocket.open() is None
        async with trio.open_nursery() as nursery:

            async def poll() -> None:
                assert await client.poll() == ("1:6" if poll3 else "6")

            nursery.start_soon(poll)
            await trio.testing.wait_all_tasks_blocked()
            await websocket.say("2probe")
            assert await websocket.hear() == "3probe"
        # Nothing is lost during the upgrade.
        assert said(await client.post("2:4a" if poll3 else "4a")) == OK
        await websocket.say("5", "4b")
        assert [await websocket.hear() for _ in range(2)] == ["4a", "4b"]
        assert (await client.get()).status == 400
        assert (await client.post("4x")).status == 400
        await websocket.say("4c")
        assert await websocket.hear() == "4c"
        if not poll3:
            assert await websocket.hear() == "2"
        await websocket.close()
    assert ends == [Reason.TRANSPORT_CLOSE]


async def test_what_waits_in_an_upgrade_can_still_be_polled(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with serve_with(engine_echo()) as service:
        client = service.polling()
        sid = (await client.open())["sid"]
        websocket = service.client(f"{UPGRADE4}{sid}")
        await websocket.open()
        await client.post("4a")
        await websocket.say("2probe")
        assert await websocket.hear() == "3probe"
        assert await client.poll() == "4a"
        assert await client.poll() == "6"
        await websocket.say("5", "1")
        assert await websocket.hear() == Closed(1005)


async def test_server_disconnects_in_an_upgrade(autojump_clock: trio.testing.MockClock) -> None:
    sockets: list[Socket] = []
    async with serve(staying(sockets)) as service:
        client = await connected(service.polling())
        websocket = service.client(UPGRADE4 + client.query.rpartition("=")[2])
        await websocket.open()
        await websocket.say("2probe")
        assert await websocket.hear() == "3probe"
        assert await client.poll() == "6"
        # The client does not poll any more.
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sockets[0].disconnect)
            await trio.testing.wait_all_tasks_blocked()
            await websocket.say("5")
            assert await websocket.hear() == "41"
            assert await websocket.hear() == Closed(1005)
            await websocket.close()
        assert trio.current_time() < 0.1


@pytest.mark.parametrize("how", ["lost", "closed", "garbage", "early", "silent", "slow"])
async def test_a_failed_upgrade_leaves_polling(
    autojump_clock: trio.testing.MockClock, how: str
) -> None:
    async with serve_with(engine_echo()) as service:
        client = service.polling()
        sid = (await client.open())["sid"]
        for _ in range(2):
            websocket = service.client(f"{UPGRADE4}{sid}")
            await websocket.open()
            match how:
                case "lost":
                    await websocket.stream.aclose()
                case "closed":
                    await websocket.say("2probe")
                    assert await websocket.hear() == "3probe"
                    await websocket.close()
                case "garbage":
                    await websocket.say("4x")
                case "early":
                    await websocket.say("5")
                case "slow":
                    await websocket.say("2probe")
                    assert await websocket.hear() == "3probe"
            if how != "lost":
                start = trio.current_time()
                assert isinstance(await websocket.hear(), Closed)
                waited = trio.current_time() - start
                assert waited == pytest.approx(10 if how in ("silent", "slow") else 0)
            await trio.testing.wait_all_tasks_blocked()
            assert said(await client.post("4a")) == OK
            assert await client.poll() == "4a"
        websocket = service.client(f"{UPGRADE4}{sid}")
        await websocket.open()
        await websocket.say("2probe", "5", "4b")
        assert [await websocket.hear() for _ in range(2)] == ["3probe", "4b"]
        await websocket.close()


async def test_a_session_that_ends_ends_its_probe(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with serve_with(engine_echo()) as service:
        client = service.polling()
        sid = (await client.open())["sid"]
        websocket = service.client(f"{UPGRADE4}{sid}")
        await websocket.open()
        await client.post("1")
        assert await websocket.hear() == Closed(1005)
        assert trio.current_time() < 0.1


async def test_a_second_websocket_is_turned_away(autojump_clock: trio.testing.MockClock) -> None:
    async with serve_with(engine_echo()) as service:
        client = service.polling()
        sid = (await client.open())["sid"]
        websocket = service.client(f"{UPGRADE4}{sid}")
        await websocket.open()
        for frame, answer in (("2probe", "3probe"), ("5", None), ("4a", "4a")):
            rival = service.client(f"{UPGRADE4}{sid}")
            await rival.open()
            assert await rival.hear() == Closed(1005)
            await websocket.say(frame)
            if answer is not None:
                assert await websocket.hear() == answer
        await websocket.close()


async def test_carrier_of_an_upgraded_session_is_cancelled(
    autojump_clock: trio.testing.MockClock,
) -> None:
    ends: list[Reason] = []
    async with serve_with(engine_echo(ends)) as service:
        client = service.polling()
        sid = (await client.open())["sid"]
        websocket = service.client(f"{UPGRADE4}{sid}")
        await websocket.open()
        await websocket.say("2probe", "5")
        assert await websocket.hear() == "3probe"
        await trio.testing.wait_all_tasks_blocked()  # the session is upgraded
        service.nursery.cancel_scope.cancel()
        with trio.CancelScope(shield=True):
            assert await websocket.hear() == Closed(1005)
            await websocket.close()
    assert ends == [Reason.SERVER]


async def test_cancelling_the_server_says_goodbye(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def silent(socket: Socket) -> None:
        await trio.sleep_forever()

    server = Server(Settings(), {"/": silent})
    async with trio.open_nursery() as holder, trio.open_nursery() as clients:
        runner = trio.CancelScope()

        async def run(task_status: trio.TaskStatus[None]) -> None:
            with runner:
                await server.run(task_status=task_status)

        await holder.start(run)
        polled, idle = (
            await connected(PollingClient(server, POLL4)),
            await connected(PollingClient(server, POLL4)),
        )

        async def poll() -> None:
            assert [await polled.poll() for _ in range(2)] == ["41", "1"]

        clients.start_soon(poll)
        await trio.testing.wait_all_tasks_blocked()
        runner.cancel()
        start = trio.current_time()
        await trio.sleep(1.1)
        assert trio.current_time() - start < 2
        assert (await idle.get()).status == 400
    with pytest.raises(RuntimeError, match="run"):
        await PollingClient(server, POLL4).get()


async def test_number_of_sessions_is_limited(autojump_clock: trio.testing.MockClock) -> None:
    async with serve_with(engine_echo(max_polling=2)) as service:
        clients = [service.polling() for _ in range(3)]
        for client in clients[:2]:
            await client.open()
        assert (await clients[2].get()).status == 503
        await clients[0].post("1")
        await clients[2].open()


@pytest.mark.parametrize(
    ("origins", "origin", "status", "allow", "credentials"),
    [
        (None, None, 200, None, None),
        (None, "https://a", 200, None, None),
        ({"*"}, "https://a", 200, "*", None),
        ({"https://a"}, "https://a", 200, "https://a", "true"),
        ({"https://a"}, "https://b", 403, None, None),
        ({"https://a"}, None, 200, None, None),
    ],
)
async def test_origins(
    autojump_clock: trio.testing.MockClock,
    origins: set[str] | None,
    origin: str | None,
    status: int,
    allow: str | None,
    credentials: str | None,
) -> None:
    settings = Settings(origins=None if origins is None else frozenset(origins))
    headers = {} if origin is None else {"origin": origin}
    async with serve_with(Server(settings, {"/": echo})) as service:
        for method in ("GET", "OPTIONS"):
            answer = await service.polling().request(method, **headers)
            assert answer.status == (204 if (method, status) == ("OPTIONS", 200) else status)
            assert answer.headers.get("access-control-allow-origin") == allow
            assert answer.headers.get("access-control-allow-credentials") == credentials
            preflight = answer.headers.get("access-control-allow-methods")
            assert preflight == ("GET, POST" if method == "OPTIONS" and allow else None)
        websocket = service.client()
        refusal = await websocket.open(headers)
        assert (refusal.status if refusal else 200) == status
        await websocket.stream.aclose()


async def test_asgi_is_for_http(autojump_clock: trio.testing.MockClock) -> None:
    server = engine_echo()

    async def never() -> None:
        raise AssertionError

    with pytest.raises(ValueError, match="HTTP"):
        await server.asgi({"type": "websocket"}, never, never)  # type: ignore[arg-type]

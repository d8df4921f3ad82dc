"""Engine.IO and Socket.IO over websocket, frame by frame, on a clock of the test's own."""

import contextlib
import json
import logging
import math

import pytest
import trio
import trio.testing
from support.loop_turns import counting
from support.socketio_raw import EIO3, EIO4, Closed, Service, echo, serve, serve_with
from wsproto.events import Ping, Pong

from meet_trio.socketio import (
    CallTimeout,
    Disconnected,
    Event,
    Handshake,
    Reason,
    Refused,
    Server,
    Settings,
    Socket,
)
from meet_trio.socketio.protocol import EventReceived

NO_STATUS = Closed(1005)


async def silent(socket: Socket) -> None:
    """Reads and sends nothing."""
    while True:
        await socket.receive()


class Witness:
    """A handler that keeps its sockets, their events and their ends."""

    def __init__(self) -> None:
        self.sockets: list[Socket] = []
        self.events: list[Event] = []
        self.ends: list[Reason] = []

    async def __call__(self, socket: Socket) -> None:
        self.sockets.append(socket)
        try:
            while True:
                self.events.append(await socket.receive())
        except Disconnected as end:
            assert not socket.connected
            self.ends.append(end.reason)


async def test_engineio4_as_recorded(autojump_clock: trio.testing.MockClock) -> None:
    witness = Witness()
    async with serve(witness) as service:
        client = service.client("/meetmedia/signaling/?peerId=p&peerId=q&x=&" + EIO4[12:])
        assert await client.open({"Origin": "https://x", "X-Y": "1"}) is None
        opened = await client.opened()
        assert opened == {
            "sid": opened["sid"],
            "upgrades": [],
            "pingInterval": 25000,
            "pingTimeout": 20000,
            "maxPayload": 1000000,
        }
        sid = await client.connect()
        assert sid != opened["sid"]
        await client.say('420["request",{"method":"ping"}]', '42007["é😀"]', '42["no ack"]')
        await trio.sleep(1)
        witness.events[0].ack(None)
        witness.events[1].ack(None, {"a": [1.5, True]})
        witness.events[1].ack("only the first counts")
        witness.events[2].ack("nobody asked")
        assert await client.hear() == "430[null]"
        assert await client.hear() == '437[null,{"a":[1.5,true]}]'
        witness.sockets[0].emit("notification", {"method": "roomReady", "data": {}})
        assert await client.hear() == '42["notification",{"method":"roomReady","data":{}}]'
        await client.say("41")
        await trio.sleep(1)
        await client.close()
        assert await client.hear() == Closed(1000)
    assert witness.ends == [Reason.CLIENT]
    assert [(e.name, e.args, e.ack_id) for e in witness.events] == [
        ("request", ({"method": "ping"},), 0),
        ("é😀", (), 7),
        ("no ack", (), None),
    ]
    handshake = witness.sockets[0].handshake
    assert witness.sockets[0].id == sid
    assert handshake.path == "/meetmedia/signaling/"
    assert handshake.query == {"peerId": "p", "x": "", "EIO": "4", "transport": "websocket"}
    assert handshake.headers["x-y"] == "1"
    assert (handshake.client, handshake.eio, handshake.auth) == ("192.0.2.1", 4, {})


async def test_engineio3_as_recorded(autojump_clock: trio.testing.MockClock) -> None:
    async with serve(echo) as service:
        client = await service.open(EIO3)
        assert await client.hear() == "40"
        await trio.sleep(3)
        await client.say("2", "2probe", '420["x",1]')
        assert [await client.hear() for _ in range(4)] == ["3", "3", "430[1]", '42["x",1]']
        await client.say("40/foo,")
        assert await client.hear() == '44/foo,{"message":"Invalid namespace"}'
        start = trio.current_time()
        assert await client.hear() == NO_STATUS
        assert trio.current_time() - start == pytest.approx(45)


async def test_server_pings_in_4(autojump_clock: trio.testing.MockClock) -> None:
    witness = Witness()
    async with serve(witness) as service:
        client = await service.open()
        await client.connect()
        for _ in range(3):
            start = trio.current_time()
            assert await client.hear() == "2"
            assert trio.current_time() - start == pytest.approx(25)
            await client.say("3")
        assert await client.hear() == "2"
        start = trio.current_time()
        assert await client.hear() == NO_STATUS
        assert trio.current_time() - start == pytest.approx(20)
    assert witness.ends == [Reason.PING_TIMEOUT]


async def test_client_pings_in_3(autojump_clock: trio.testing.MockClock) -> None:
    witness = Witness()
    async with serve(witness) as service:
        client = await service.open(EIO3)
        assert await client.hear() == "40"
        for _ in range(5):
            await trio.sleep(44)
            await client.say("2")
            assert await client.hear() == "3"
        assert await client.hear() == NO_STATUS
        assert trio.current_time() == pytest.approx(5 * 44 + 45)
    assert witness.ends == [Reason.PING_TIMEOUT]


@pytest.mark.parametrize(
    "frame",
    [
        "40",  # a second time
        "2",  # the server pings in revision 4
        "0",
        "5",
        "7",
        "abc",
        "",
        "4",
        "4abc",
        "42{}",
        '42["connect"]',
        '42["x"',
        '42abc["x"]',
        '42/other,["x"]',
        '44{"message":"x"}',
        '43["no id"]',
        b"\1",
        "42" + "[" * 100_000,
    ],
)
async def test_breaking_the_protocol_closes(
    autojump_clock: trio.testing.MockClock, frame: str | bytes
) -> None:
    witness = Witness()
    async with serve(witness) as service:
        client = await service.open()
        await client.connect()
        await client.say('42["before"]', frame, '42["after"]')
        assert await client.hear_all() == [NO_STATUS]
    assert witness.ends == [Reason.PARSE_ERROR]
    assert [event.name for event in witness.events] == ["before"]
    assert trio.current_time() < 5


@pytest.mark.parametrize("frame", ['42["x"]', "41", "43[]", "42"])
async def test_nothing_before_connect(autojump_clock: trio.testing.MockClock, frame: str) -> None:
    async with serve(echo) as service:
        client = await service.open()
        await client.say(frame)
        assert await client.hear_all() == [NO_STATUS]


async def test_an_event_right_behind_connect(autojump_clock: trio.testing.MockClock) -> None:
    """Both come in one segment, so before the server has answered the first."""
    async with serve(echo) as service:
        client = service.client()
        assert await client.open() is None
        await client.say("40", '420["x"]')
        heard = [await client.hear() for _ in range(4)]
        assert [said[:2] for said in heard[:2]] == ["0{", "40"]
        assert heard[2:] == ["430[]", '42["x"]']
        await client.say("41")


async def test_messages_of_one_segment_leave_turns_to_others(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = Socket.take_event

    def counted(socket: Socket, event: EventReceived) -> None:
        turns.count()
        take(socket, event)

    monkeypatch.setattr(Socket, "take_event", counted)
    async with serve(echo) as service:
        client = await service.open()
        await client.connect()
        with counting() as turns:
            await client.say(*['42["x"]'] * 200)
            assert [await client.hear() for _ in range(200)] == ['42["x"]'] * 200
        assert turns.most <= 2
        await client.say("41")


async def test_tolerated(autojump_clock: trio.testing.MockClock) -> None:
    async with serve(echo) as service:
        client = await service.open()
        await client.connect()
        # no payload; an acknowledgement without a request; a number as name; a noop
        await client.say("42", "439[]", "42[5,1]", "6")
        assert await client.hear() == '42["5",1]'
        await client.close()


@pytest.mark.parametrize(
    ("query", "code", "message"),
    [
        ("EIO=4", 0, "Transport unknown"),
        ("EIO=4&transport=foo", 0, "Transport unknown"),
        ("EIO=4&transport=websocket&sid=zzz", 1, "Session ID unknown"),
        ("EIO=4&transport=polling", 3, "Bad request"),
        ("transport=websocket", 5, "Unsupported protocol version"),
        ("EIO=2&transport=websocket", 5, "Unsupported protocol version"),
        ("EIO=abc&transport=websocket", 5, "Unsupported protocol version"),
        ("&".join("abcdefghijklmnopqrstuvwxyz" * 3), 3, "Bad request"),
    ],
)
async def test_refused_queries(
    autojump_clock: trio.testing.MockClock, query: str, code: int, message: str
) -> None:
    async with serve(echo) as service:
        client = service.client("/socket.io/?" + query)
        refusal = await client.open()
        assert refusal is not None
        assert refusal.status == 400
        assert refusal.headers["content-type"] == "application/json"
        assert json.loads(refusal.body) == {"code": code, "message": message}
        assert await client.stream.receive_some() == b""


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"GET / HTTP/1.1\r\n",
        b"\0\1\2\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrad\xe8\r\n\r\n",
    ],
)
async def test_bad_opening_handshakes_end(
    autojump_clock: trio.testing.MockClock, head: bytes
) -> None:
    async with serve(echo, handshake_timeout=10) as service:
        client = service.client()
        await client.stream.send_all(head)
    assert service.over[0] <= 10


@pytest.mark.parametrize("parts", [1, 5])
async def test_too_much_is_1009(autojump_clock: trio.testing.MockClock, parts: int) -> None:
    witness = Witness()
    async with serve(witness, max_payload=1000) as service:
        client = await service.open()
        await client.connect()
        await client.say("4" + "2" * 998)  # an unfinished ack id of the largest size
        assert await client.hear() == NO_STATUS
        client = await service.open()
        await client.connect()
        await client.say(*["4" + "2" * 1000] * parts)
        assert await client.hear() == Closed(1009)
        await client.close()
    assert witness.ends == [Reason.PARSE_ERROR, Reason.TRANSPORT_ERROR]


async def test_ends(autojump_clock: trio.testing.MockClock) -> None:
    witness = Witness()
    async with serve(witness) as service:
        for end in ("lost", "closed", "packet", "left", "left and lost", "server"):
            client = await service.open()
            await client.connect()
            match end:
                case "lost":
                    await client.stream.aclose()
                case "closed":
                    await client.close()
                    assert await client.hear() == Closed(1000)
                case "packet":
                    await client.say("1")
                    assert await client.hear() == NO_STATUS
                case "left":
                    await client.say('42["last words"]', "41")
                    await trio.sleep(0.1)
                    await client.close()
                case "left and lost":
                    await client.say('42["last words"]', "41")
                    await client.stream.aclose()
                case "server":
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(witness.sockets[-1].disconnect)
                        assert await client.hear_all() == ["41", NO_STATUS]
                        await client.close()
            await trio.sleep(2)
    assert witness.ends == [
        Reason.TRANSPORT_ERROR,
        Reason.TRANSPORT_CLOSE,
        Reason.TRANSPORT_CLOSE,
        Reason.CLIENT,
        Reason.CLIENT,
        Reason.SERVER,
    ]
    assert [event.name for event in witness.events] == ["last words"] * 2
    assert [Disconnected(end).by_client for end in witness.ends].count(True) == 2
    for socket in witness.sockets:
        socket.emit("nobody hears it")
        await socket.disconnect()
        with pytest.raises(Disconnected):
            await socket.call("nobody hears it", timeout=1)


async def test_handlers_return_disconnects(autojump_clock: trio.testing.MockClock) -> None:
    async def brief(socket: Socket) -> None:
        socket.emit("bye", 1)

    async with serve(brief) as service:
        client = await service.open()
        await client.connect()
        assert await client.hear_all() == ['42["bye",1]', "41", NO_STATUS]


async def test_handlers_failure_is_logged(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async def failing(socket: Socket) -> None:
        await socket.receive()
        raise ValueError("a fault of the application")

    async with serve({"/": failing, "/well": echo}) as service:
        client = await service.open()
        await client.connect("/well,")
        await client.connect()
        with caplog.at_level(logging.ERROR, "meet_trio.socketio"):
            await client.say('42["x"]')
            assert await client.hear() == "41"
        assert "a fault of the application" in caplog.text
        await client.say('42/well,["still there"]')
        assert await client.hear() == '42/well,["still there"]'
        await client.close()


async def test_namespaces(autojump_clock: trio.testing.MockClock) -> None:
    witness = Witness()

    async def admit(namespace: str, handshake: Handshake) -> None:
        if handshake.auth == {"token": "bad"}:
            raise Refused("not you", {"why": 1})
        if handshake.auth == {"token": "worse"}:
            raise Refused("not you")

    async with serve({"/": echo, "/custom": witness}, admit) as service:
        client = await service.open()
        await client.say("40/random?foo=1,")
        assert await client.hear() == '44/random,{"message":"Invalid namespace"}'
        await client.say('40/custom,{"token":"bad"}')
        assert await client.hear() == '44/custom,{"message":"not you","data":{"why":1}}'
        await client.say('40/custom,{"token":"worse"}')
        assert await client.hear() == '44/custom,{"message":"not you"}'
        await client.say('40/custom,{"token":"abc"}')
        first = str(await client.hear())
        assert first.startswith('40/custom,{"sid":"')
        assert await client.connect() not in first
        assert witness.sockets[0].handshake.auth == {"token": "abc"}
        await client.say('42/custom,["a"]', "41/custom", '42["x"]')
        assert await client.hear() == '42["x"]'
        assert [event.name for event in witness.events] == ["a"]
        # The client connects again. Then the server disconnects it while the client still sends.
        await client.connect("/custom,")
        await witness.sockets[1].disconnect(close=False)
        await client.say('42/custom,["too late"]', "43/custom,0[]", '42["y"]')
        assert await client.hear() == "41/custom,"
        assert await client.hear() == '42["y"]'
        await client.connect("/custom,")
        await client.close()
    assert witness.ends == [Reason.CLIENT, Reason.SERVER, Reason.TRANSPORT_CLOSE]
    assert [event.name for event in witness.events] == ["a"]


async def test_namespaces_in_3(autojump_clock: trio.testing.MockClock) -> None:
    witness = Witness()

    async def admit(namespace: str, handshake: Handshake) -> None:
        if namespace == "/" and handshake.headers.get("x-bad"):
            raise Refused("not you")

    async with serve({"/": witness, "/custom": witness}, admit) as service:
        client = await service.open(EIO3)
        assert await client.hear() == "40"
        await client.say("40/custom?token=a%20b&token=c,")
        assert await client.hear() == "40/custom,"
        assert witness.sockets[1].handshake.auth == {"token": "a b"}
        await client.close()
        client = service.client(EIO3)
        await client.open({"X-Bad": "1"})
        await client.opened()
        assert await client.hear() == '44"not you"'
        await client.close()


async def test_number_of_namespaces_is_limited(autojump_clock: trio.testing.MockClock) -> None:
    async with serve({f"/{n}": echo for n in range(4)}, max_namespaces=3) as service:
        client = await service.open()
        for n in range(3):
            await client.connect(f"/{n},")
        await client.say("40/3,")
        assert await client.hear() == NO_STATUS


async def test_client_leaves_while_being_admitted(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def slow(namespace: str, handshake: Handshake) -> None:
        await trio.sleep(1)
        if handshake.auth:
            raise Refused("late")

    async with serve(echo, slow, connect_timeout=5) as service:
        client = await service.open()
        await client.say("40", "41")
        assert await client.hear_all() == [NO_STATUS]
        assert trio.current_time() == pytest.approx(5)
        client = await service.open()
        await client.say('40{"a":1}', "41")
        assert await client.hear_all() == [NO_STATUS]
        client = await service.open()
        await client.say("40")
        await client.stream.aclose()


async def test_connect_timeout(autojump_clock: trio.testing.MockClock) -> None:
    async with serve(echo, connect_timeout=10) as service:
        client = await service.open()
        assert await client.hear() == NO_STATUS
        assert trio.current_time() == pytest.approx(10)
        client = await service.open()
        await client.connect()
        await trio.sleep(14)
        await client.say("41")
        start = trio.current_time()
        assert await client.hear_all() == [NO_STATUS]
        assert trio.current_time() - start == pytest.approx(10)


async def test_of_too_many_unconnected_clients_the_oldest_goes(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with serve(echo, max_unconnected_per_client=2, connect_timeout=10) as service:
        start = trio.current_time()
        first, second = await service.open(), await service.open()
        await first.connect()  # it no longer counts, so the third is admitted
        third = await service.open()
        fourth = await service.open()
        assert await second.hear_all() == [NO_STATUS]
        assert trio.current_time() == start
        assert await third.hear_all() == [NO_STATUS]  # its time is over
        assert trio.current_time() == start + 10
        assert await fourth.hear_all() == [NO_STATUS]
        await first.say('420["x"]')
        assert [await first.hear(), await first.hear()] == ["430[]", '42["x"]']
        await first.say("41")
        assert await first.hear_all() == [NO_STATUS]
        for _ in range(5):  # clients that are gone do not count
            client = await service.open()
            await client.connect()
            await client.close()


async def test_number_of_unconnected_clients_in_all(autojump_clock: trio.testing.MockClock) -> None:
    server = Server(
        Settings(max_unconnected=2), {"/": echo}, client_key=lambda client: str(object())
    )
    async with serve_with(server) as service:
        clients = [await service.open() for _ in range(3)]
        assert await clients[0].hear_all() == [NO_STATUS]
        for client in clients[1:]:
            await client.connect()
            await client.close()


async def test_a_client_that_sends_much_is_read_slowly(
    autojump_clock: trio.testing.MockClock,
) -> None:
    settings = {"read_rate": 10_000, "read_burst": 50_000, "message_cost": 1000}
    witness = Witness()
    async with serve(witness, **settings) as service:
        client = await service.open()
        await client.connect()
        witness.sockets[0].trust()
        start = trio.current_time()
        for _ in range(40):
            await client.say('42["x"]')
        await trio.testing.wait_all_tasks_blocked()
        assert len(witness.events) == 40  # they fit into the burst
        assert trio.current_time() == start
        for _ in range(40):
            await client.say('42["x"]')
        while len(witness.events) < 80:
            await trio.sleep(0.01)
        # slightly more than 80 kB, of which 50 kB at once
        assert 3 < trio.current_time() - start < 3.5
        await client.say("41")
        await client.close()


async def test_calls(autojump_clock: trio.testing.MockClock) -> None:
    witness = Witness()
    results: list[object] = []

    async def call(delay: float, *args: object) -> None:
        try:
            results.append(await witness.sockets[0].call("q", *args, timeout=delay))
        except (CallTimeout, Disconnected) as error:
            results.append(type(error))

    async with serve(witness) as service:
        client = await service.open()
        await client.connect()
        async with trio.open_nursery() as nursery:
            for number, delay in enumerate((5, 5, 1)):
                nursery.start_soon(call, delay, number)
                await trio.testing.wait_all_tasks_blocked()
            heard = [await client.hear() for _ in range(3)]
            assert heard == [f'42{n}["q",{n}]' for n in range(3)]
            await client.say('431["b",{"c":1}]', "430[]", "430[1]", "4399[1]")
            await trio.sleep(2)
            await client.say('432["too late"]')
            await trio.testing.wait_all_tasks_blocked()
            assert results == [["b", {"c": 1}], [], CallTimeout]
            nursery.start_soon(call, math.inf)
            assert await client.hear() == '423["q"]'
            await client.close()
        assert results[-1] is Disconnected


async def test_calls_are_repeated(autojump_clock: trio.testing.MockClock) -> None:
    witness = Witness()
    results: list[object] = []

    async def call() -> None:
        try:
            results.append(await witness.sockets[0].call("q", timeout=5, tries=3))
        except CallTimeout as error:
            results.append(str(error))

    async with serve(witness) as service:
        client = await service.open()
        await client.connect()
        async with trio.open_nursery() as nursery:
            start = trio.current_time()
            nursery.start_soon(call)
            for number in range(3):
                assert await client.hear() == f'42{number}["q"]'
                assert trio.current_time() - start == pytest.approx(5 * number)
        assert trio.current_time() - start == pytest.approx(15)
        assert results == ["q: no acknowledgement in 15 s"]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(call)
            assert [await client.hear(), await client.hear()] == ['423["q"]', '424["q"]']
            # A late answer counts. The answer to the repeated call comes after it and is ignored.
            await client.say('433["done"]', '434["refused"]')
        assert results[1:] == [["done"]]
        await client.say('420["still there"]')
        await trio.testing.wait_all_tasks_blocked()
        assert [event.name for event in witness.events] == ["still there"]
        await client.close()


async def test_binary_both_ways(autojump_clock: trio.testing.MockClock) -> None:
    async with serve(echo) as service:
        client = await service.open()
        await client.connect()
        text = '["x",{"_placeholder":true,"num":0},[{"_placeholder":true,"num":1}]]'
        await client.say(f"452-7{text}", b"\1\2", b"")
        ack = '[{"_placeholder":true,"num":0},[{"_placeholder":true,"num":1}]]'
        assert [await client.hear() for _ in range(3)] == [f"462-7{ack}", b"\1\2", b""]
        assert [await client.hear() for _ in range(3)] == [f"452-{text}", b"\1\2", b""]
        await client.close()
        for query, sent, received in (
            (EIO3, b"\4\1\2", b"\4\1\2"),
            (EIO3 + "&b64=1", "b4AQI=", "b4AQI="),
            (EIO4 + "&b64=1", b"\1\2", "bAQI="),
        ):
            client = await service.open(query)
            if query.startswith(EIO3):
                assert await client.hear() == "40"
            else:
                await client.connect()
            await client.say('451-["x",{"_placeholder":true,"num":0}]', sent)
            assert await client.hear() == '451-["x",{"_placeholder":true,"num":0}]'
            assert await client.hear() == received
            await client.close()


async def test_websocket_pings_are_answered(autojump_clock: trio.testing.MockClock) -> None:
    witness = Witness()
    async with serve(witness) as service:
        client = await service.open()
        await client.connect()
        await client.send(Ping(b"abc"))
        assert await client.hear() == Pong(b"abc")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(witness.sockets[0].disconnect)
            assert await client.hear_all() == ["41", NO_STATUS]
            # also in the closing handshake
            await client.stream.send_all(b"\x89\x80\0\0\0\0")


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (b"\xc1\x80\0\0\0\0", Reason.TRANSPORT_ERROR),  # a reserved bit
        (b"\x81\x01x", Reason.TRANSPORT_ERROR),  # no mask
        (b"\x81\x81\0\0\0\0\xff", Reason.TRANSPORT_ERROR),  # no UTF-8
        (b"\x88\x82\0\0\0\0\x03\xed", Reason.TRANSPORT_ERROR),  # 1005 is never sent
        (b"\x88\x82\0\0\0\0\x03\xf1", Reason.TRANSPORT_CLOSE),  # closed by 1009
        (b"\x88\x80\0\0\0\0", Reason.TRANSPORT_CLOSE),
    ],
)
async def test_who_breaks_the_frames_has_not_closed(
    autojump_clock: trio.testing.MockClock, octets: bytes, reason: Reason
) -> None:
    witness = Witness()
    async with serve(witness) as service:
        client = await service.open()
        await client.connect()
        await client.stream.send_all(octets)
    assert witness.ends == [reason]


@pytest.mark.parametrize(
    "late",
    [
        b"\x89\x80\0\0\0\0",  # a ping
        b"\x89\x80\0\0\0\0" * 3,
        b"\x81\xfe\x07\xd0\0\0\0\0" + b"4" * 2000,  # a message that is too long
    ],
)
async def test_what_comes_late_does_not_end_the_closing_handshake(
    autojump_clock: trio.testing.MockClock, late: bytes
) -> None:
    """Else the kernel would reset the connection, and the client might not read the goodbye."""

    async def leaves(socket: Socket) -> None:
        await socket.receive()
        await socket.disconnect()

    async with serve(leaves, max_payload=1000) as service:
        client = await service.open()
        await client.connect()
        await client.say('42["x"]')
        assert await client.hear_all() == ["41", NO_STATUS]
        await client.stream.send_all(late)
        await trio.testing.wait_all_tasks_blocked()
        assert not service.over
        await client.close()
        assert await client.stream.receive_some() == b""
    assert trio.current_time() == 0  # nothing waited for ``close_timeout``


async def test_too_much_waiting(autojump_clock: trio.testing.MockClock) -> None:
    witness = Witness()
    blocked = trio.Event()

    async def busy(socket: Socket) -> None:
        await blocked.wait()
        await witness(socket)

    async with serve({"/": witness, "/busy": busy}, max_outbox_packets=10) as service:
        for emit in (
            lambda socket: [socket.emit("x") for _ in range(11)],
            lambda socket: socket.emit("x", "y" * 8_000_001),
            lambda socket: socket.emit("x", b"y" * 8_000_001),
        ):
            client = await service.open()
            await client.connect()
            emit(witness.sockets[-1])
            assert await client.hear_all() == [NO_STATUS]
        for frames in (['42/busy,["x"]'] * 1025, ['42/busy,["' + "x" * 999_000 + '"]'] * 5):
            client = await service.open()
            await client.connect("/busy,")
            await client.say(*frames)
            assert await client.hear_all() == [NO_STATUS]
        blocked.set()
    assert witness.ends == [Reason.OVERFLOW] * 5
    assert witness.events == []


async def test_disconnecting_drops_what_has_not_been_received(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def busy(socket: Socket) -> None:
        await trio.sleep(1)
        await socket.disconnect(close=False)
        with pytest.raises(Disconnected):
            await socket.receive()

    async with serve(busy) as service:
        client = await service.open()
        await client.connect()
        await client.say('42["x"]')
        assert await client.hear_all() == ["41", NO_STATUS]


async def test_too_many_open_calls(autojump_clock: trio.testing.MockClock) -> None:
    witness = Witness()
    async with serve(witness, max_open_calls=3) as service:
        client = await service.open()
        await client.connect()
        async with trio.open_nursery() as nursery:

            async def call() -> None:
                with pytest.raises(Disconnected) as end:
                    await witness.sockets[0].call("x", timeout=9)
                assert end.value.reason is Reason.OVERFLOW

            for _ in range(5):  # finished calls do not count
                with pytest.raises(CallTimeout):
                    await witness.sockets[0].call("x", timeout=0.1)
            for _ in range(4):
                nursery.start_soon(call)
        assert trio.current_time() < 9


def _stalled(service: Service) -> None:
    """Give the service streams on which a send waits until the other side receives."""
    service.pair = trio.testing.lockstep_stream_pair


async def test_a_client_that_stops_reading_is_closed(
    autojump_clock: trio.testing.MockClock,
) -> None:
    witness = Witness()
    async with serve(witness, send_timeout=10) as service:
        _stalled(service)
        client = await service.open()
        await client.connect()
        witness.sockets[0].emit("x")
        start = trio.current_time()
    assert witness.ends == [Reason.TRANSPORT_ERROR]
    assert service.over[0] - start == pytest.approx(10)


async def test_disconnect_does_not_wait_for_a_stalled_client(
    autojump_clock: trio.testing.MockClock,
) -> None:
    witness = Witness()
    async with serve(witness, close_timeout=1) as service:
        _stalled(service)
        client = await service.open()
        await client.connect()
        witness.sockets[0].emit("x")
        await trio.testing.wait_all_tasks_blocked()
        start = trio.current_time()
        await witness.sockets[0].disconnect()
        assert trio.current_time() - start == pytest.approx(1)
    assert service.over[0] - start <= 2


async def test_cancelling_says_goodbye(autojump_clock: trio.testing.MockClock) -> None:
    handlers_end: list[str] = []

    async def keeps_on(socket: Socket) -> None:
        try:
            await socket.receive()
        finally:
            with trio.move_on_after(1, shield=True):
                socket.emit("last words")
                await socket.disconnect()
            handlers_end.append("done")

    async with serve({"/": keeps_on, "/other": silent}) as service:
        client = await service.open()
        await client.connect()
        await client.connect("/other,")
        service.nursery.cancel_scope.cancel()
        with trio.CancelScope(shield=True):
            heard = await client.hear_all()
            await client.close()
        assert set(heard) == {'42["last words"]', "41", "41/other,", NO_STATUS}
        assert heard.index("41") > heard.index('42["last words"]')
    assert handlers_end == ["done"]
    assert trio.current_time() < 0.1


@pytest.mark.parametrize("when", ["handshake", "opened", "connected", "sending"])
async def test_cancelling_does_not_wait_for_the_client(
    autojump_clock: trio.testing.MockClock, when: str
) -> None:
    witness = Witness()
    async with serve(witness, close_timeout=1) as service:
        _stalled(service)
        client = service.client()
        if when != "handshake":
            await client.open()
            await client.opened()
        if when in ("connected", "sending"):
            await client.connect()
        if when == "sending":
            witness.sockets[0].emit("x")
        await trio.testing.wait_all_tasks_blocked()
        start = trio.current_time()
        service.nursery.cancel_scope.cancel()
    assert trio.current_time() - start <= 2


async def test_nothing_follows_a_torn_frame() -> None:
    """A send that is cancelled half-way leaves a stream on which no further byte may be sent."""
    received = bytearray()
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]
    witness = Witness()
    async with serve(witness, close_timeout=0.2, send_timeout=60, max_outbox_bytes=1e8) as s:
        mine = await trio.open_tcp_stream("127.0.0.1", port)
        theirs = await listeners[0].accept()
        s.pair = lambda: (mine, theirs)
        client = await s.open()
        await client.connect()
        witness.sockets[0].emit("x", "y" * 30_000_000)
        await trio.testing.wait_all_tasks_blocked(0.1)
        s.nursery.cancel_scope.cancel()
        with trio.CancelScope(shield=True):
            await trio.sleep(0.5)
            with contextlib.suppress(trio.BrokenResourceError):
                while chunk := await mine.receive_some(1_000_000):
                    received += chunk
    assert 0 < len(received) < 30_000_000
    assert received.endswith(b"y")
    await trio.aclose_forcefully(mine)
    await listeners[0].aclose()


async def test_calls_without_a_task(autojump_clock: trio.testing.MockClock) -> None:
    witness = Witness()
    answers: list[object] = []
    async with serve(witness) as service:
        client = await service.open()
        await client.connect()
        (socket,) = witness.sockets
        calls = [socket.start_call("q", n, answered=answers.append) for n in range(3)]
        assert [await client.hear() for _ in calls] == [f'42{n}["q",{n}]' for n in range(3)]
        socket.forget_call(calls[1])
        await client.say('430["a"]', '430["again"]', '431["forgotten"]')
        await trio.testing.wait_all_tasks_blocked()
        assert answers == [["a"]]
        await client.say("41", '432["after the end"]')
        await trio.testing.wait_all_tasks_blocked()
        assert answers == [["a"]]
        assert socket._calls == {}
        with pytest.raises(Disconnected):
            socket.start_call("nobody hears it", answered=answers.append)

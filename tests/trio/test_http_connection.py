"""Requests on one connection, with applications that receive and send at once, and clients that go,
wait or send much.
"""

import contextlib
from collections.abc import AsyncIterator

import pytest
import trio
import trio.testing
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from support.loop_turns import counting
from trio.testing import MockClock

from meet_trio.edge.front_door import FrontDoor
from meet_trio.edge.head import RequestHead
from meet_trio.edge.settings import FrontDoorSettings

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
START: Message = {"type": "http.response.start", "status": 200, "headers": []}
END: Message = {"type": "http.response.body", "body": b""}


def part(body: bytes) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": True}


@contextlib.asynccontextmanager
async def open_client(
    app: ASGIApp, settings: FrontDoorSettings | None = None, *, known: bool = False
) -> AsyncIterator[trio.SocketStream]:
    """A connection to a front door before ``app``. ``known``: its requests have credentials."""

    def authenticates(head: RequestHead) -> bool:
        return known

    door = FrontDoor(app, {}, settings or FrontDoorSettings(), authenticates=authenticates)
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]
    async with trio.open_nursery() as nursery:
        await nursery.start(door.serve, listeners)
        async with await trio.open_tcp_stream("127.0.0.1", port) as client:
            yield client
        nursery.cancel_scope.cancel()


async def read_until(client: trio.SocketStream, end: bytes) -> bytes:
    data = bytearray()
    with trio.fail_after(5):
        while not data.endswith(end):
            chunk = await client.receive_some()
            assert chunk, f"the connection ended after {bytes(data[-50:])!r}"
            data += chunk
    return bytes(data)


async def test_an_application_that_waits_hears_of_a_client_that_has_gone() -> None:
    """A client that polls is gone then, and not after the heartbeat's timeout."""
    received: list[str] = []
    waits, told = trio.Event(), trio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        received.append((await receive())["type"])
        waits.set()
        received.append((await receive())["type"])
        told.set()

    async with open_client(app) as client:
        await client.send_all(GET)
        await waits.wait()
        await client.aclose()
        with trio.fail_after(5):
            await told.wait()
    assert received == ["http.request", "http.disconnect"]


async def test_what_comes_while_an_application_waits_is_the_next_request() -> None:
    waits, go_on = trio.Event(), trio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async with trio.open_nursery() as nursery:

            async def listen() -> None:
                while (await receive())["type"] != "http.disconnect":
                    waits.set()

            nursery.start_soon(listen)
            await go_on.wait()
            await send(START)
            await send(part(scope["path"].encode()))
            await send(END)

    async with open_client(app) as client:
        await client.send_all(GET.replace(b"/ ", b"/first "))
        await waits.wait()
        await client.send_all(GET.replace(b"/ ", b"/second ")[:9])
        await trio.testing.wait_all_tasks_blocked(0.01)
        await client.send_all(GET.replace(b"/ ", b"/second ")[9:])
        await trio.testing.wait_all_tasks_blocked(0.01)
        go_on.set()
        assert (await read_until(client, b"0\r\n\r\n")).endswith(b"/first\r\n0\r\n\r\n")
        assert (await read_until(client, b"0\r\n\r\n")).endswith(b"/second\r\n0\r\n\r\n")


@pytest.mark.parametrize("known", [False, True])
async def test_two_tasks_of_an_application_may_receive(
    known: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """One listens for the client's end. Another drops the rest of the body, after its response."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async with trio.open_nursery() as nursery:

            async def listen() -> None:
                while (await receive())["type"] != "http.disconnect":
                    pass

            nursery.start_soon(listen)
            await trio.testing.wait_all_tasks_blocked(0.01)
            await send(START)
            await send(part(b"hello"))
            await send(END)
            nursery.cancel_scope.cancel()

    async with open_client(app, known=known) as client:
        await client.send_all(CHUNKED + b"3\r\nabc\r\n")
        await read_until(client, b"hello\r\n")
        await client.send_all(b"0\r\n\r\n")
        await read_until(client, b"0\r\n\r\n")
    assert caplog.records == []


async def test_each_receiver_hears_of_the_end() -> None:
    told = 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def listen() -> None:
            nonlocal told
            while (await receive())["type"] != "http.disconnect":
                pass
            told += 1

        with trio.fail_after(5):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(listen)
                nursery.start_soon(listen)
                await trio.testing.wait_all_tasks_blocked(0.01)
                await send(START)
                await send(END)

    async with open_client(app) as client:
        await client.send_all(GET)
        await read_until(client, b"0\r\n\r\n")
        await trio.testing.wait_all_tasks_blocked(0.01)
    assert told == 2


async def test_a_response_may_begin_while_its_request_is_read() -> None:
    """The head is so large that sending it takes long."""
    head = {**START, "headers": [(b"x-long", b"x" * 20_000_000)]}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        async with trio.open_nursery() as nursery:

            async def listen() -> None:
                while (await receive())["type"] != "http.disconnect":
                    pass

            await send(head)
            nursery.start_soon(listen)
            await client.send_all(b"3\r\nabc\r\n")
            await trio.testing.wait_all_tasks_blocked(0.01)
            await send(part(b"hello"))
            nursery.cancel_scope.cancel()

    async with open_client(app, known=True) as client:
        await client.send_all(CHUNKED + b"3\r\nabc\r\n")
        await trio.testing.wait_all_tasks_blocked(0.05)
        await read_until(client, b"hello\r\n")


async def test_a_body_is_not_read_ahead_while_a_response_is_sent() -> None:
    """Its client may send without end, and not read."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async with trio.open_nursery() as nursery:

            async def listen() -> None:
                for _ in range(2):
                    await receive()
                await trio.sleep_forever()

            await send(START)
            nursery.start_soon(send, part(bytes(30_000_000)))
            await trio.testing.wait_all_tasks_blocked(0.01)
            nursery.start_soon(listen)

    sent = False

    async def send_much() -> None:
        nonlocal sent
        size = 30_000_000  # more than the sockets' buffers
        await client.send_all(b"%x\r\n" % size + bytes(size))
        sent = True

    async with open_client(app, known=True) as client, trio.open_nursery() as nursery:
        await client.send_all(CHUNKED)
        await trio.testing.wait_all_tasks_blocked(0.05)
        nursery.start_soon(send_much)
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert not sent
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("known", [False, True])
async def test_a_body_of_tiny_chunks_lets_other_tasks_run(known: bool) -> None:
    bodies: list[bytes] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        more = True
        while more:
            message = await receive()
            turns.count()
            bodies.append(message["body"])
            more = message["more_body"]
        await send(START)
        await send(END)

    with counting() as turns:
        async with open_client(app, known=known) as client:
            await client.send_all(CHUNKED + b"1\r\nx\r\n" * 5000 + b"0\r\n\r\n")
            await read_until(client, b"0\r\n\r\n")
    assert b"".join(bodies) == b"x" * 5000
    assert turns.most <= 8


async def test_tiny_chunks_of_many_strangers_wait_for_the_limiter(mock_clock: MockClock) -> None:
    """The clock stands still, so that a long turn allows no more in the next."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive())["more_body"]:
            turns.count()
        await send(START)
        await send(END)

    with counting() as turns:
        async with open_client(app) as first, contextlib.AsyncExitStack() as stack:
            port = first.socket.getpeername()[1]
            for _ in range(40):
                client = await trio.open_tcp_stream("127.0.0.1", port)
                await stack.enter_async_context(client)
                await client.send_all(CHUNKED + b"1\r\nx\r\n" * 1000)
            await trio.testing.wait_all_tasks_blocked(0.05)
    assert sum(turns.happened.values()) > 30_000
    assert turns.most <= 100


async def test_idleness_begins_when_the_response_is_sent() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(START)
        await send({"type": "http.response.body", "body": b"x" * 20_000_000})

    async with open_client(app, FrontDoorSettings(keep_alive_timeout=0.3)) as client:
        for _ in range(2):
            await client.send_all(GET)
            await trio.sleep(0.4)  # a slow reader
            await read_until(client, b"0\r\n\r\n")


async def test_an_application_that_only_sends_ends_with_its_client() -> None:
    """It waits for nothing else, so it would hold the loop."""
    sent = 0
    ended = trio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal sent
        try:
            await send(START)
            while sent < 100_000:
                await send(part(b"x" * 10_000))
                sent += 1
        finally:
            ended.set()

    async with open_client(app) as client:
        await client.send_all(GET)
        await client.receive_some(1)
        await client.aclose()
        with trio.fail_after(5):
            await ended.wait()
    assert sent < 90_000

"""Many writers at once leave turns of the loop to others."""

import contextlib
from collections.abc import AsyncIterator, Callable
from functools import partial

import pytest
import trio
import trio.testing
from support.loop_turns import counting
from support.socketio_raw import Closed, RawClient, serve
from wsproto.events import Ping, Pong

from meet_trio.socketio import Disconnected, Settings, Socket, encode_event
from meet_trio.socketio.allowance import Allowance
from meet_trio.socketio.websocket import BoundedStream
from meet_trio.socketio.write_turns import WRITES_PER_TURN, WriteTurns

PER_TURN = 10


def running(nursery: trio.Nursery) -> WriteTurns:
    turns = WriteTurns(PER_TURN)
    nursery.start_soon(turns.run)
    return turns


async def test_so_many_in_a_turn_and_in_order(nursery: trio.Nursery) -> None:
    limiter, written = running(nursery), list[int]()

    def write(number: int) -> None:
        turns.count()
        written.append(number)

    with counting() as turns:
        for number in range(100):
            limiter.call(partial(write, number))
        assert not written  # what follows in this turn goes with it
        await trio.testing.wait_all_tasks_blocked()
    assert written == list(range(100))
    assert turns.most == PER_TURN


async def test_one_write_for_all_that_is_called_before_it(nursery: trio.Nursery) -> None:
    limiter, written = running(nursery), list[str]()

    def write() -> None:
        written.append("x")

    for _ in range(3):
        limiter.call(write)
        limiter.call(write)
        await trio.testing.wait_all_tasks_blocked()
    assert len(written) == 3


async def test_who_writes_may_have_more_to_write(nursery: trio.Nursery) -> None:
    limiter, left = running(nursery), [30]

    def write() -> None:
        turns.count()
        left[0] -= 1
        if left[0]:
            limiter.call(write)

    with counting() as turns:
        limiter.call(write)
        await trio.testing.wait_all_tasks_blocked()
    assert left == [0]
    assert turns.most == 1


async def test_who_is_cancelled_leaves_its_place(nursery: trio.Nursery) -> None:
    limiter, written = running(nursery), list[int]()
    for number in range(3 * PER_TURN):  # so the next place is not reached in the turn that follows
        limiter.call(partial(written.append, number))
    with trio.CancelScope() as scope:
        scope.cancel()
        await limiter.acquire()
    assert scope.cancelled_caught
    assert len(written) + len(limiter._waiting) == 3 * PER_TURN
    await limiter.acquire()
    assert written == list(range(3 * PER_TURN))


async def test_a_notice_to_hundreds_is_not_written_in_one_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sockets: list[Socket] = []

    async def handler(socket: Socket) -> None:
        sockets.append(socket)
        try:
            while True:
                await socket.receive()
        except Disconnected:
            sockets.remove(socket)

    with counting() as turns:
        write = BoundedStream.send_messages

        async def counted(self: BoundedStream, *args: object) -> None:
            turns.count()
            await write(self, *args)  # type: ignore[arg-type]

        async with serve(handler) as service:
            clients = [await service.open() for _ in range(5 * WRITES_PER_TURN)]
            for client in clients:
                await client.connect()
            await trio.testing.wait_all_tasks_blocked()
            monkeypatch.setattr(BoundedStream, "send_messages", counted)
            notice = encode_event("news", "x")
            for socket in sockets:
                socket.emit_encoded(notice)
            for client in clients:
                assert await client.hear() == '42["news","x"]'
            monkeypatch.undo()
            for client in clients:
                await client.stream.aclose()
    assert sum(turns.happened.values()) == len(clients)
    assert turns.most <= 2 * WRITES_PER_TURN


class ImmediateStream(trio.abc.Stream):
    """A memory stream that takes ``room`` bytes without waiting. While ``held``, it takes no others
    either. ``writes`` has the sizes of what it took at once.
    """

    sends_now = True

    def __init__(self, stream: trio.abc.Stream, client: trio.testing.MemoryReceiveStream) -> None:
        self.room = 1 << 30
        self.held = trio.Event()
        self.held.set()
        self.writes: list[int] = []
        self._stream = stream
        self._client = client

    def send_now(self, data: bytes) -> int:
        taken = data[: self.room]
        self.room -= len(taken)
        self.writes.append(len(taken))
        if taken:
            self._client.put_data(taken)
        return len(taken)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self.held.wait()
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        return bytes(await self._stream.receive_some(max_bytes))

    async def aclose(self) -> None:
        await self._stream.aclose()


class Hall:
    """A server whose clients have immediate streams."""

    def __init__(self) -> None:
        self.sockets: list[Socket] = []
        self.streams: list[ImmediateStream] = []

    async def __call__(self, socket: Socket) -> None:
        self.sockets.append(socket)
        try:
            while True:
                await socket.receive()
        except Disconnected:
            self.sockets.remove(socket)

    def pair(self) -> tuple[trio.abc.Stream, trio.abc.Stream]:
        mine, theirs = trio.testing.memory_stream_pair()
        self.streams.append(ImmediateStream(theirs, mine.receive_stream))
        return mine, self.streams[-1]

    def tell(self, *texts: str) -> None:
        for text in texts:
            for socket in self.sockets:
                socket.emit_encoded(encode_event("news", text))


@contextlib.asynccontextmanager
async def hall(clients: int, **settings: float) -> AsyncIterator[tuple[Hall, list[RawClient]]]:
    meeting = Hall()
    async with serve(meeting, **settings) as service:
        service.pair = meeting.pair
        opened = [await service.open() for _ in range(clients)]
        for client in opened:
            await client.connect()
        await trio.testing.wait_all_tasks_blocked()
        for stream in meeting.streams:
            stream.writes.clear()
        yield meeting, opened
        for client in opened:
            await client.stream.aclose()


FIRST, SECOND = '42["news","first"]', '42["news","second"]'
HEAD = 2  # bytes of a short frame's head


async def test_messages_of_one_turn_take_one_write() -> None:
    async with hall(1) as (meeting, (client,)):
        meeting.tell("first", "second")
        assert [await client.hear(), await client.hear()] == [FIRST, SECOND]
        assert meeting.streams[0].writes == [2 * HEAD + len(FIRST) + len(SECOND)]


@pytest.mark.parametrize("room", range(2 * HEAD + len(FIRST) + len(SECOND) + 1))
async def test_what_a_full_buffer_does_not_take_follows(room: int) -> None:
    async with hall(1) as (meeting, (client,)):
        stream = meeting.streams[0]
        stream.room = room
        meeting.tell("first")
        await trio.testing.wait_all_tasks_blocked()
        meeting.tell("second", "third")
        assert [await client.hear(), await client.hear()] == [FIRST, SECOND]
        assert await client.hear() == '42["news","third"]'
        assert stream.writes


async def test_nothing_is_written_into_another_send() -> None:
    async with hall(1) as (meeting, (client,)):
        stream = meeting.streams[0]
        stream.room, stream.held = 5, trio.Event()
        meeting.tell("first")
        await trio.testing.wait_all_tasks_blocked()  # the rest of it is being sent
        stream.room = 1000
        meeting.tell("second")
        await client.send(Ping(b"p"))
        await trio.testing.wait_all_tasks_blocked()
        assert stream.writes == [5]
        stream.held.set()
        heard = [await client.hear() for _ in range(3)]
        assert heard[0] == FIRST
        assert {SECOND, Pong(b"p")} == set(heard[1:])
        meeting.tell("third")
        assert await client.hear() == '42["news","third"]'
        assert len(stream.writes) == 2  # and at once again


async def test_when_a_stream_is_free() -> None:
    mine, theirs = trio.testing.memory_stream_pair()
    below = ImmediateStream(theirs, mine.receive_stream)
    stream = BoundedStream(below, 10, Allowance(Settings(), 0))
    assert stream.is_free
    stream._send_lock.acquire_nowait()  # a send has begun and written nothing yet
    assert not stream.is_free
    stream._send_lock.release()
    below.room = 2
    assert not stream.send_now(b"abc", ())
    assert not stream.is_free  # "c" comes first
    await stream.send_all(b"de")
    assert stream.is_free
    assert await mine.receive_some() == b"abcde"
    assert not BoundedStream(theirs, 10, Allowance(Settings(), 0)).is_free


async def test_who_does_not_read_loses_the_connection(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with hall(2, send_timeout=7.0) as (meeting, (deaf, client)):
        stream = meeting.streams[0]
        stream.room, stream.held = 5, trio.Event()
        began = trio.current_time()
        meeting.tell("first")
        assert await client.hear() == FIRST
        while len(meeting.sockets) == 2:
            await trio.sleep(0.1)
        assert 7.0 <= trio.current_time() - began <= 7.2
        stream.held.set()
        assert deaf.stream is not client.stream


async def test_a_fault_in_a_write_ends_that_connection_only() -> None:
    async with hall(3) as (meeting, clients):

        def fail(data: bytes) -> int:
            raise RuntimeError("broken")

        meeting.streams[1].send_now = fail  # type: ignore[method-assign]
        meeting.tell("first")
        assert await clients[0].hear() == FIRST
        assert await clients[2].hear() == FIRST
        assert isinstance(await clients[1].hear(), Closed)
        assert len(meeting.sockets) == 2
        meeting.tell("second")
        assert await clients[2].hear() == SECOND


async def test_immediate_writes_to_hundreds_take_turns() -> None:
    async with hall(5 * WRITES_PER_TURN) as (meeting, clients):
        with counting() as turns:
            for stream in meeting.streams:
                write = stream.send_now

                def counted(data: bytes, write: Callable[[bytes], int] = write) -> int:
                    turns.count()
                    return write(data)

                stream.send_now = counted  # type: ignore[method-assign]
            meeting.tell("first")
            for client in clients:
                assert await client.hear() == FIRST
    assert sum(turns.happened.values()) == len(clients)
    assert turns.most <= WRITES_PER_TURN

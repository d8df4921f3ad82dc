"""Messages that wait for clients that do not read: their cost while they wait, and afterwards."""

import gc
import json
import tracemalloc
from collections.abc import Iterator
from itertools import accumulate

import pytest
import trio
import trio.testing
from support.socketio_raw import EIO4, RawClient, Service, serve, serve_with

from meet_trio.socketio import (
    Disconnected,
    EncodedEvent,
    EngineIOServer,
    Reason,
    Server,
    Settings,
    Socket,
    encode_event,
    in_task,
)
from meet_trio.socketio.allowance import Allowance
from meet_trio.socketio.connection import EngineIOConnection
from meet_trio.socketio.websocket import BoundedStream

NOTICE = 100_000


class Room:
    """A handler that keeps its sockets, and the events that each lost socket had not received."""

    def __init__(self) -> None:
        self.sockets: list[Socket] = []
        self.lost: list[tuple[Reason, list[EncodedEvent] | None]] = []

    async def __call__(self, socket: Socket) -> None:
        self.sockets.append(socket)
        try:
            while True:
                await socket.receive()
        except Disconnected as end:
            self.lost.append((end.reason, socket.unreceived()))
            self.sockets.remove(socket)

    def tell(self, number: int) -> EncodedEvent:
        event = encode_event("news", number, "x" * NOTICE)
        for socket in self.sockets:
            socket.emit_encoded(event)
        return event


async def stalled(service: Service, count: int) -> list[RawClient]:
    """Clients that read until they are connected, and then no more."""
    service.pair = trio.testing.lockstep_stream_pair
    clients = [await service.open() for _ in range(count)]
    for client in clients:
        await client.connect()
    return clients


@pytest.fixture
def without_collector() -> Iterator[None]:
    """Objects are freed only by their last reference."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


async def test_what_a_lost_socket_did_not_get_is_not_decoded(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = Room()
    decoded: list[object] = []
    async with serve(room) as service:
        await stalled(service, 20)
        told = [room.tell(0)]
        await trio.testing.wait_all_tasks_blocked()  # it is being sent
        told += [room.tell(number) for number in range(1, 50)]
        loads = json.loads
        monkeypatch.setattr(json, "loads", lambda text: decoded.append(1) or loads(text))
        await trio.sleep(30)
        assert decoded == []
    assert [reason for reason, _ in room.lost] == [Reason.TRANSPORT_ERROR] * 20
    for _, missed in room.lost:
        assert missed is not None
        assert missed == told[1:]  # lockstep streams cannot tell how far the first has come


async def test_what_many_are_told_is_in_memory_once(
    autojump_clock: trio.testing.MockClock, without_collector: None
) -> None:
    room = Room()
    async with serve(room) as service:
        await stalled(service, 20)
        tracemalloc.start()
        try:
            for number in range(50):
                room.tell(number)
            await trio.testing.wait_all_tasks_blocked()
            waiting, most = tracemalloc.get_traced_memory()
            await trio.sleep(30)
            assert len(room.lost) == 20
            room.lost.clear()
            await trio.sleep(30)
            left, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    # Each client also has a slice, here and in the stream.
    assert 50 * NOTICE < waiting < 50 * NOTICE + 20 * 150_000
    assert most < 50 * NOTICE + 20 * 200_000
    assert left < 2 * NOTICE


async def test_all_outboxes_together_have_a_limit(
    autojump_clock: trio.testing.MockClock, without_collector: None
) -> None:
    room = Room()
    server = Server(Settings(max_outboxes_bytes=3_000_000), {"/": room})
    memory = server._engine._shared.outboxes.memory
    async with serve_with(server) as service:
        reader = await service.open()
        await reader.connect()
        (reading,) = room.sockets
        await stalled(service, 10)
        for number in range(60):
            for socket in list(room.sockets):
                if socket is not reading:  # each socket gets a message of its own
                    socket.emit_encoded(encode_event("news", number, "x" * 10_000))
            reading.emit_encoded(encode_event("news", number))
            assert json.loads(str(await reader.hear())[2:]) == ["news", number]
            # The excess is one more message, and the first of each socket, which is being sent.
            assert memory.bytes < 3_200_000
        ended = [missed for reason, missed in room.lost if reason is Reason.OVERFLOW]
        assert ended
        assert ended == [None] * len(ended)  # nothing is kept for the clients' return
        assert reading.connected
        del socket
        await trio.sleep(30)
        room.lost.clear()
        assert memory.bytes < 10_000
        assert reading.connected
        await reader.close()


async def test_an_outbox_is_written_piece_by_piece(autojump_clock: trio.testing.MockClock) -> None:
    room = Room()
    sizes: list[int] = []
    async with serve(room) as service:
        mine, theirs = trio.testing.memory_stream_pair()
        send = theirs.send_stream.send_all

        async def counted(data: bytes) -> None:
            sizes.append(len(data))
            await send(data)

        theirs.send_stream.send_all = counted  # type: ignore[method-assign, assignment]
        service.pair = lambda: (mine, theirs)  # type: ignore[assignment]
        client = await service.open()
        await client.connect()
        sizes.clear()
        for number in range(3):
            room.tell(number)
        for number in range(1000):
            room.sockets[0].emit("n", number)
        for number in range(3):
            heard = await client.hear()
            assert isinstance(heard, str)
            assert json.loads(heard[2:]) == ["news", number, "x" * NOTICE]
        for number in range(1000):
            assert await client.hear() == f'42["n",{number}]'
        await client.close()
    assert max(sizes) <= 65536
    assert len(sizes) < 20


async def test_only_what_can_be_sent_again_is_kept(autojump_clock: trio.testing.MockClock) -> None:
    room = Room()
    async with serve({"/": room, "/other": room}) as service:
        (client,) = await stalled(service, 1)
        await client.connect("/other,")
        main, other = room.sockets
        events = [encode_event("news", number, b"with an attachment") for number in range(3)]
        main.emit("greeting", "x" * NOTICE)
        main.emit("and this waits")
        main.emit_encoded(events[0])
        other.emit_encoded(events[1])
        main.emit_encoded(events[2])
        await trio.sleep(30)
    missed = [missed for _, missed in room.lost]
    assert sorted(missed, key=len) == [[events[1]], [events[0], events[2]]]  # type: ignore[arg-type]


async def test_an_encoded_event_in_any_namespace(autojump_clock: trio.testing.MockClock) -> None:
    room = Room()
    async with serve({"/": room, "/other": room}) as service:
        client = await service.open()
        await client.connect("/other,")
        for event in (encode_event("ä", {"b": "/"}), encode_event("ä", 1, b"\1", b"\2")):
            room.sockets[0].emit_encoded(event)
        room.sockets[0].emit("ä", {"b": "/"})
        expected = '42/other,["ä",{"b":"/"}]'
        assert await client.hear() == expected
        first, second = ('{"_placeholder":true,"num":' + f"{number}}}" for number in (0, 1))
        assert await client.hear() == f'452-/other,["ä",1,{first},{second}]'
        assert [await client.hear(), await client.hear()] == [b"\1", b"\2"]
        assert await client.hear() == expected
        await client.close()


async def test_polls_are_answered_piece_by_piece(autojump_clock: trio.testing.MockClock) -> None:
    async def handler(connection: EngineIOConnection) -> None:
        connection.send(*["x" * 30_000] * 5, "y" * 300_000, "z")
        await trio.sleep(5)

    async with serve_with(EngineIOServer(Settings(), in_task(handler))) as service:
        client = service.polling()
        await client.open()
        parts = [str(await client.poll()) for _ in range(3)]
        assert [part.count("\x1e") + 1 for part in parts] == [3, 3, 1]
        assert "".join(parts).count("4") == 7


async def test_the_goodbye_lets_all_that_waits_go(autojump_clock: trio.testing.MockClock) -> None:
    room = Room()
    async with serve(room) as service:
        client = service.client(EIO4)
        await client.open()
        await client.opened()
        await client.connect()
        for number in range(5):
            room.tell(number)
        service.nursery.cancel_scope.cancel()
        with trio.CancelScope(shield=True):
            heard = await client.hear_all()
            await client.close()
    assert [str(frame)[:9] for frame in heard[:5]] == ['42["news"'] * 5


class TlsStream(trio.abc.SendStream):
    """Counts the bytes that TLS makes of each write (RFC 8446 §5.2). Nothing is acknowledged."""

    overhead = 22

    def __init__(self) -> None:
        self.written = 500  # a handshake

    def progress(self) -> tuple[int, int] | None:
        return 0, self.written

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await trio.lowlevel.checkpoint()
        self.written += len(data) + -(-len(data) // 16384) * self.overhead

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()


@pytest.mark.parametrize("sizes", [[1], [65536], [65537, 1], [10, 300_000, 10], [100] * 3000])
async def test_the_tracker_reckons_with_the_pieces(sizes: list[int]) -> None:
    tls = TlsStream()
    stream = BoundedStream(tls, 10, Allowance(Settings(), 0))  # type: ignore[arg-type]
    for _ in range(3):
        ends = list(accumulate(sizes))
        await stream.send_messages([bytes(size) for size in sizes], list(enumerate(ends)))
        await stream.send_all(bytes(70_000))
        assert stream.delivery._written == tls.written
        assert stream.delivery._ends[-1][0] == tls.written - 70_000 - 5 * tls.overhead


class SlowStream(TlsStream):
    """Takes ``room`` bytes at once, and the rest when it is ``free``."""

    sends_now = True
    overhead = 0

    def __init__(self) -> None:
        super().__init__()
        self.room = 10
        self.free = trio.Event()

    def send_now(self, data: bytes) -> int:
        return min(self.room, len(data))

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self.free.wait()


async def test_what_the_kernel_has_not_taken() -> None:
    slow = SlowStream()
    stream = BoundedStream(slow, 10, Allowance(Settings(), 0))  # type: ignore[arg-type]
    assert stream.send_now(bytes(10), [("a", 10)])
    assert list(stream.unwritten()) == []
    assert not stream.send_now(bytes(20), [("b", 5), ("c", 20)])
    assert list(stream.unwritten()) == ["a", "b", "c"]  # nobody knows how far it came
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stream.send_messages, (), ())
        await trio.testing.wait_all_tasks_blocked()
        assert list(stream.unwritten()) == ["a", "b", "c"]
        slow.free.set()
    assert list(stream.unwritten()) == []
    stream.delivery.waiting = ["d"]
    assert list(stream.unwritten()) == ["d"]
    assert list(stream.delivery.unreceived()) == ["a", "b", "c", "d"]

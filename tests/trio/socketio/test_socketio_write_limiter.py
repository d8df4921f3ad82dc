"""Many writers at once leave turns of the loop to others."""

import pytest
import trio
import trio.testing
from support.loop_turns import counting
from support.socketio_raw import serve

from meet_trio.socketio import Disconnected, Socket, encode_event
from meet_trio.socketio.websocket import BoundedStream
from meet_trio.socketio.write_limiter import WRITES_PER_TURN, WriteLimiter

PER_TURN = 10


async def test_so_many_in_a_turn_and_in_order() -> None:
    limiter, turn_of = WriteLimiter(PER_TURN), dict[int, int]()

    async def write(number: int) -> None:
        await began.wait()
        mine = entered.pop(0)
        await limiter.acquire()
        turns.count()
        turn_of[mine] = turns.number

    began, entered = trio.Event(), list(range(100))
    with counting() as turns:
        async with trio.open_nursery() as nursery:
            for number in range(100):
                nursery.start_soon(write, number)
            await trio.testing.wait_all_tasks_blocked()
            began.set()
    assert len(turn_of) == 100
    served = [turn_of[number] for number in range(100)]
    assert served == sorted(served)
    assert turns.most <= 2 * PER_TURN


async def test_without_a_crowd_nobody_waits() -> None:
    limiter = WriteLimiter(PER_TURN)
    for _ in range(20):
        for _ in range(PER_TURN // 2):
            with trio.CancelScope() as scope:
                scope.cancel()
                await limiter.acquire()  # without a checkpoint it is not cancelled
            assert not scope.cancelled_caught
        await trio.testing.wait_all_tasks_blocked()


async def test_who_is_cancelled_leaves_its_place() -> None:
    limiter, done = WriteLimiter(PER_TURN), list[int]()

    async def write(number: int) -> None:
        with scopes[number]:
            await limiter.acquire()
            done.append(number)

    scopes = [trio.CancelScope() for _ in range(50)]
    async with trio.open_nursery() as nursery:
        for number in range(50):
            nursery.start_soon(write, number)
        nursery.start_soon(trio.lowlevel.checkpoint)
        for scope in scopes[PER_TURN:40]:
            scope.cancel()
    assert set(done) >= {*range(40, 50)}
    async with trio.open_nursery() as nursery:  # and nothing is left of the cancelled ones
        for _ in range(3 * PER_TURN):
            nursery.start_soon(limiter.acquire)


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

"""The order in which waiting tasks go on, counted in turns of the loop."""

import contextlib
from collections.abc import AsyncIterator

import pytest
import trio
import trio.testing

from meet_trio.edge.fair_limiter import FairLimiter, PacedStream


@contextlib.asynccontextmanager
async def open_limiter(each: int) -> AsyncIterator[tuple[FairLimiter, trio.Nursery]]:
    limiter = FairLimiter(each)
    async with trio.open_nursery() as nursery:
        await nursery.start(limiter.run)
        yield limiter, nursery
        nursery.cancel_scope.cancel()


def hundred(limiter: FairLimiter, nursery: trio.Nursery) -> list[int]:
    """A hundred strangers wait for their turns; the list grows by each that goes on."""
    gone_on: list[int] = []

    async def stranger(number: int) -> None:
        await limiter.acquire("a")
        gone_on.append(number)

    for number in range(100):
        nursery.start_soon(stranger, number)
    return gone_on


@pytest.mark.parametrize("each", [1, 8])
async def test_so_many_go_on_in_each_turn_of_the_loop(each: int) -> None:
    async with open_limiter(each) as (limiter, nursery):
        gone_on = hundred(limiter, nursery)
        passed = 0
        while len(gone_on) < 100:
            before = len(gone_on)
            await trio.lowlevel.checkpoint()
            passed += 1
            # The tasks of two turns may run in one turn, as Trio shuffles them.
            assert len(gone_on) - before <= 2 * each
        assert 100 / each <= passed <= 100 / each + 5


async def test_long_turns_let_more_go_on(mock_clock: trio.testing.MockClock) -> None:
    """A busy loop has few turns, so it would starve them otherwise."""
    async with open_limiter(1) as (limiter, nursery):
        limiter.per_second = 100
        gone_on = hundred(limiter, nursery)
        for _ in range(3):
            await trio.lowlevel.checkpoint()
        assert len(gone_on) < 10
        mock_clock.jump(0.5)
        for _ in range(3):
            await trio.lowlevel.checkpoint()
        assert 50 <= len(gone_on) < 60


async def test_addresses_take_turns() -> None:
    order: list[str | None] = []

    async def stranger(key: str | None) -> None:
        await limiter.acquire(key)
        order.append(key)

    async with open_limiter(1) as (limiter, nursery):
        for _ in range(300):
            nursery.start_soon(stranger, "loud")
        await trio.lowlevel.checkpoint()
        nursery.start_soon(stranger, "quiet")
        nursery.start_soon(stranger, None)
        while len(order) < 20:
            await trio.lowlevel.checkpoint()
        assert {"quiet", None} <= set(order)


async def test_one_who_gives_up_leaves_nothing_in_the_line() -> None:
    limiter = FairLimiter(1)
    order: list[int] = []

    async def stranger(number: int, scope: trio.CancelScope) -> None:
        with scope:
            await limiter.acquire("a")
            order.append(number)

    scopes = [trio.CancelScope() for _ in range(3)]
    async with trio.open_nursery() as nursery:
        for number, scope in enumerate(scopes):
            nursery.start_soon(stranger, number, scope)
            await trio.testing.wait_all_tasks_blocked()
        scopes[1].cancel()
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(limiter.run)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert order == [0, 2]
    assert not limiter._queues


@contextlib.asynccontextmanager
async def open_paced(
    limiter: FairLimiter, count: int
) -> AsyncIterator[tuple[list[PacedStream], list[trio.SocketStream]]]:
    """The servers' and the clients' ends of ``count`` connections."""
    listener = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(listener)
        servers, clients = [], []
        for _ in range(count):
            client = await trio.testing.open_stream_to_socket_listener(listener)
            clients.append(await stack.enter_async_context(client))
            server = PacedStream(await listener.accept(), "a")
            servers.append(await stack.enter_async_context(server))
            server.limiter = limiter
        yield servers, clients


async def test_what_is_read_by_turns_is_not_lost_when_it_is_cancelled() -> None:
    async with open_limiter(0) as (limiter, _):  # no task may go on
        async with open_paced(limiter, 1) as ([server], [client]):
            for _ in range(2):
                await client.send_all(b"hello")
                with trio.move_on_after(0.05) as waiting:
                    await server.receive_some()
                assert waiting.cancelled_caught
            assert not limiter._watched
            assert not limiter._queues
            limiter.per_turn = 1
            assert await server.receive_some() == b"hellohello"
            server.lift_limit()
            await client.send_all(b"again")
            assert await server.receive_some() == b"again"


async def test_closing_ends_the_waiting_of_another_task() -> None:
    ended: list[type[Exception]] = []

    async def read() -> None:
        try:
            await server.receive_some()
        except trio.ClosedResourceError as error:
            ended.append(type(error))

    async with open_limiter(1) as (limiter, _), open_paced(limiter, 1) as ([server], _):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            await trio.testing.wait_all_tasks_blocked()
            await server.aclose()
        assert ended == [trio.ClosedResourceError]
        assert not limiter._watched


async def test_one_that_is_closed_between_two_reads_is_closed() -> None:
    async with open_limiter(1) as (limiter, _), open_paced(limiter, 1) as ([server], _):
        server.tcp.socket.close()
        with pytest.raises(trio.ClosedResourceError):
            await server.receive_some()
        assert not limiter._watched


@pytest.mark.parametrize("come", [False, True])
async def test_who_is_free_does_not_wait_for_its_turn(come: bool) -> None:
    """Its bytes may have come by then or not."""
    async with open_limiter(0) as (limiter, _), open_paced(limiter, 1) as ([server], [client]):

        async def lift() -> None:
            await trio.testing.wait_all_tasks_blocked()
            if come:
                await client.send_all(b"hello")
                while not limiter._queues:
                    await trio.lowlevel.checkpoint()
            server.lift_limit()
            if not come:
                await client.send_all(b"hello")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(lift)
            with trio.fail_after(5):
                assert await server.receive_some() == b"hello"
        assert not limiter._queues


async def test_who_waits_is_not_even_woken_before_its_turn() -> None:
    """All of them have received bytes, or all have been closed at once."""

    class Steps(trio.abc.Instrument):
        def __init__(self) -> None:
            self.now, self.most = 0, 0

        def after_task_step(self, task: trio.lowlevel.Task) -> None:
            self.now += task.name.endswith("read")

        def before_io_wait(self, timeout: float) -> None:
            self.most, self.now = max(self.most, self.now), 0

    said: list[bytes] = []

    async def read(server: PacedStream) -> None:
        while data := await server.receive_some():
            said.append(bytes(data))
        said.append(b"")

    async with open_limiter(2) as (limiter, _), open_paced(limiter, 100) as (servers, clients):
        async with trio.open_nursery() as nursery:
            for server in servers:
                nursery.start_soon(read, server)
            await trio.testing.wait_all_tasks_blocked()
            steps = Steps()
            trio.lowlevel.add_instrument(steps)
            for client in clients:
                client.socket._sock.send(b"x")  # type: ignore[attr-defined]  # in one turn
            await trio.testing.wait_all_tasks_blocked()
            assert said == [b"x"] * 100
            for client in clients:
                client.socket.close()
        trio.lowlevel.remove_instrument(steps)
    assert said[100:] == [b""] * 100
    # Each reads in one step, and takes one more step for a checkpoint.
    assert steps.most <= 8


async def test_after_the_end_nobody_waits_for_a_turn() -> None:
    """For example a task that says goodbye while the server ends."""
    mine, theirs = trio.socket.socketpair()
    stream = PacedStream(trio.SocketStream(theirs), "a")
    heard: list[bytes | bytearray] = []

    async def linger() -> None:
        with trio.CancelScope(shield=True):
            while chunk := await stream.receive_some(100):
                heard.append(chunk)
            await limiter.acquire("a")

    with mine, theirs:
        with trio.fail_after(5):
            async with trio.open_nursery() as others:
                async with open_limiter(1) as (limiter, _):
                    stream.limiter = limiter
                    others.start_soon(linger)
                    await mine.send(b"before")
                    while not heard:
                        await trio.lowlevel.checkpoint()
                    await trio.testing.wait_all_tasks_blocked()
                await mine.send(b"after")
                mine.shutdown(trio.socket.SHUT_WR)
    assert b"".join(heard) == b"beforeafter"

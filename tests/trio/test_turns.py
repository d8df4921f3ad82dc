"""Turns: who goes on when, counted in turns of the loop."""

import contextlib
from collections.abc import AsyncIterator

import pytest
import trio
import trio.testing

from meet_trio.edge.turns import PacedTransport, Turns


@contextlib.asynccontextmanager
async def open_turns(each: int) -> AsyncIterator[tuple[Turns, trio.Nursery]]:
    turns = Turns(each)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(turns.run)
        yield turns, nursery
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("each", [1, 8])
async def test_so_many_go_on_in_each_turn_of_the_loop(each: int) -> None:
    gone_on = 0

    async def stranger() -> None:
        nonlocal gone_on
        await turns.take("a")
        gone_on += 1

    async with open_turns(each) as (turns, nursery):
        for _ in range(100):
            nursery.start_soon(stranger)
        passed = 0
        while gone_on < 100:
            before = gone_on
            await trio.lowlevel.checkpoint()
            passed += 1
            # in one turn the tasks of two turns may come to run, as Trio shuffles them
            assert gone_on - before <= 2 * each
        assert 100 / each <= passed <= 100 / each + 5


async def test_addresses_take_turns() -> None:
    order: list[str | None] = []

    async def stranger(key: str | None) -> None:
        await turns.take(key)
        order.append(key)

    async with open_turns(1) as (turns, nursery):
        for _ in range(300):
            nursery.start_soon(stranger, "loud")
        await trio.lowlevel.checkpoint()
        nursery.start_soon(stranger, "quiet")
        nursery.start_soon(stranger, None)
        while len(order) < 20:
            await trio.lowlevel.checkpoint()
        assert {"quiet", None} <= set(order)


async def test_one_who_gives_up_leaves_nothing_in_the_line() -> None:
    turns = Turns(1)
    for _ in range(3):
        with trio.move_on_after(0):
            await turns.take("a")
    assert not turns._lines
    order: list[int] = []

    async def stranger(number: int, scope: trio.CancelScope) -> None:
        with scope:
            await turns.take("a")
            order.append(number)

    scopes = [trio.CancelScope() for _ in range(3)]
    async with trio.open_nursery() as nursery:
        for number, scope in enumerate(scopes):
            nursery.start_soon(stranger, number, scope)
            await trio.testing.wait_all_tasks_blocked()
        scopes[1].cancel()
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(turns.run)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert order == [0, 2]


async def test_what_is_read_by_turns_is_not_lost_when_it_is_cancelled() -> None:
    turns = Turns(1)
    listener = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
    async with listener, await trio.testing.open_stream_to_socket_listener(listener) as client:
        server = PacedTransport(await listener.accept(), "a")
        server.turns = turns
        async with server:
            await client.send_all(b"hello")
            with trio.move_on_after(0.05) as waiting:
                await server.receive_some()  # nobody lets it go on
            assert waiting.cancelled_caught
            async with trio.open_nursery() as nursery:
                nursery.start_soon(turns.run)
                assert await server.receive_some() == b"hello"
                nursery.cancel_scope.cancel()
            server.turns = None
            await client.send_all(b"again")
            assert await server.receive_some() == b"again"

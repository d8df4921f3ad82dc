"""The gate before all requests, and connections that another front door goes on with."""

import os
from collections.abc import Sequence

import attrs
import pytest
import trio
import trio.testing
from support.doors import GET, POST, Door, Reader, open_door

from meet_trio.edge.moving import MovedConnection


def duplicates(door: Door) -> Sequence[MovedConnection | None]:
    """As another process gets them."""
    return [
        one and attrs.evolve(one, descriptor=os.dup(one.descriptor)) for one in door.door.moving()
    ]


async def test_no_request_begins_while_it_is_closed() -> None:
    """One that has begun is answered, and what follows it waits."""
    async with open_door() as door:
        idle, begun = Reader(await door.connect()), Reader(await door.connect())
        await idle.stream.send_all(GET)
        assert await idle.response() == (200, b"hello")
        await begun.stream.send_all(POST + b"12")
        await trio.testing.wait_all_tasks_blocked(0.02)
        door.door.gate.close()
        assert len(door.door.restless()) == 1
        await idle.stream.send_all(GET)
        await begun.stream.send_all(b"345" + GET)
        assert await begun.response() == (200, b"5")
        new = Reader(await door.connect())
        await new.stream.send_all(GET)
        await trio.testing.wait_all_tasks_blocked(0.02)
        assert door.door.restless() == []
        for reader in (idle, new):
            with trio.move_on_after(0.05) as waited:
                await reader.response()
            assert waited.cancelled_caught
        door.door.gate.open()
        for reader in (idle, new, begun):
            assert await reader.response() == (200, b"hello")
            await reader.stream.aclose()


@pytest.mark.parametrize("sent", [0, 1, 10, len(GET) - 1])
async def test_another_door_goes_on_between_two_requests(sent: int) -> None:
    """With what was read of a head, and what is still in the kernel."""
    async with open_door() as other:
        async with open_door() as door:
            reader = Reader(await door.connect())
            await reader.stream.send_all(GET)
            assert await reader.response() == (200, b"hello")
            await reader.stream.send_all(GET[:sent])
            await trio.testing.wait_all_tasks_blocked(0.02)
            (moved,) = duplicates(door)
            assert moved is not None
            assert moved == MovedConnection.from_json(moved.descriptor, moved.to_json())
            assert (moved.unread, moved.websocket) == (GET[:sent], None)
        await reader.stream.send_all(GET[sent:])
        other.door.adopt(moved)
        assert await reader.response() == (200, b"hello")
        assert other.door.connections == 1
        await reader.stream.aclose()


async def test_one_that_is_being_answered_stays() -> None:
    async with open_door() as door:
        reader = Reader(await door.connect())
        await reader.stream.send_all(POST)
        await trio.testing.wait_all_tasks_blocked(0.02)
        assert duplicates(door) == [None]
        await reader.stream.send_all(b"12345")
        assert await reader.response() == (200, b"5")
        await reader.stream.aclose()


async def test_one_whose_client_has_gone_is_closed() -> None:
    async with open_door() as other:
        async with open_door() as door:
            client = await door.connect()
            await trio.testing.wait_all_tasks_blocked(0.02)
            (moved,) = duplicates(door)
            assert moved is not None
        await client.aclose()
        await trio.testing.wait_all_tasks_blocked(0.02)
        other.door.adopt(moved)
        await trio.testing.wait_all_tasks_blocked(0.02)
        assert other.door.connections == 0

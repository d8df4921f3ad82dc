"""The start of a server: when clients are let in, and what comes of an end in the middle."""

from collections.abc import Sequence

import pytest
import trio
from support.patient import free_ports
from support.server import quick_settings

from meet_trio.app import serve
from meet_trio.live.registry import Registry
from meet_trio.live.room import LiveRoom


@pytest.mark.parametrize("after", [0.0, 0.001, 0.01, 0.05, 0.2])
async def test_an_end_while_it_starts(after: float) -> None:
    with trio.fail_after(20), trio.move_on_after(after) as scope:
        await serve(quick_settings())
    assert scope.cancelled_caught


async def test_nobody_is_let_in_before_the_rooms_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    waiting, go = trio.Event(), trio.Event()

    async def go_on(registry: Registry, rooms: Sequence[LiveRoom]) -> None:
        waiting.set()
        await go.wait()

    monkeypatch.setattr(Registry, "go_on", go_on)
    port = free_ports()
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve, quick_settings({"http.port": port}))
            await waiting.wait()
            async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
                await stream.send_all(b"GET /ping HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
                with trio.move_on_after(0.3) as early:
                    await stream.receive_some()
                go.set()
                assert early.cancelled_caught
                assert (await stream.receive_some()).startswith(b"HTTP/1.1 ")
            nursery.cancel_scope.cancel()

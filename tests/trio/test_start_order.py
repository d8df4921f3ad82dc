"""Clients that come back after a crash are let in once their rooms go on."""

from collections.abc import Sequence

import pytest
import trio
from support.patient import free_ports
from support.server import quick_settings

from meet_trio.app import serve
from meet_trio.live.registry import Registry
from meet_trio.live.room import LiveRoom


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

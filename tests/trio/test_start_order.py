"""The start of a server: when clients are let in, and what comes of an end in the middle."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import trio
from support.patient import free_ports
from support.server import quick_settings

from meet_trio.app import serve
from meet_trio.journal.directory import StateDirectory
from meet_trio.journal.settings import StatePlace
from meet_trio.live.registry import Registry
from meet_trio.live.room import LiveRoom
from meet_trio.media.successor import EngineMaker


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


async def test_regions_are_wiped_once_their_engines_have_ended(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An engine works in its region until its end."""
    order: list[str] = []
    close, remove = EngineMaker.close, StateDirectory.remove
    monkeypatch.setattr(EngineMaker, "close", lambda maker: (order.append("engine"), close(maker)))
    monkeypatch.setattr(
        StateDirectory, "remove", lambda found: (order.append("wiped"), remove(found))
    )
    settings = quick_settings({"state.dir": StatePlace(tmp_path / "s"), "state.allow_disk": True})
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            await nursery.start(serve, settings)
            nursery.cancel_scope.cancel()
    assert order == ["engine", "wiped"]

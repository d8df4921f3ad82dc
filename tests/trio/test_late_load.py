"""aiortc is loaded with the first room: who waits for it, what comes of errors and of the end."""

import threading

import pytest
import trio
import trio.testing
from support.live_scenes import join, open_world, say
from support.server import TOKEN, MeetApi, quick_settings
from trio.testing import MockClock

from meet_trio.app import serve
from meet_trio.media import dtls


async def test_a_transport_waits_for_the_library(autojump_clock: MockClock) -> None:
    async with open_world() as world:
        assert not world.bridge.wanted
        room = await world.registry.create_room()
        assert world.bridge.wanted
        world.bridge.load = trio.Event()
        ada = await world.enter(room)
        await join(ada, "Ada")
        asked = say(ada.socket, "createWebRtcTransport", consuming=True)
        await trio.testing.wait_all_tasks_blocked()
        assert asked.answer is None
        assert not world.engine.transports
        world.bridge.load.set()
        await trio.testing.wait_all_tasks_blocked()
        assert asked.answer is not None
        assert asked.answer[0] is None
        room.close()


async def test_a_room_that_ends_while_the_library_loads(autojump_clock: MockClock) -> None:
    async with open_world() as world:
        room = await world.registry.create_room()
        world.bridge.load = trio.Event()
        ada = await world.enter(room)
        asked = say(ada.socket, "createWebRtcTransport", consuming=True)
        await trio.testing.wait_all_tasks_blocked()
        room.close()
        await trio.sleep(2)
        assert asked.answer is None
        assert world.is_clean()


async def test_a_library_that_cannot_be_loaded_ends_the_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(pem: bytes | None) -> None:
        raise ImportError("libsrtp is broken")

    monkeypatch.setattr(dtls, "_import_aiortc", fail)
    with (
        trio.fail_after(20),
        pytest.RaisesGroup(pytest.RaisesExc(ImportError, match="libsrtp"), flatten_subgroups=True),
    ):
        async with trio.open_nursery() as nursery:
            running = await nursery.start(serve, quick_settings())
            await running.registry.create_room()


async def test_a_library_that_is_not_installed_is_noticed_at_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.RaisesGroup(
        pytest.RaisesExc(ImportError, match="not installed"), flatten_subgroups=True
    ):
        await serve(quick_settings())


async def test_the_end_comes_while_the_library_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server ends when the import does, and not before: nothing of it is left running."""
    loading, end = threading.Event(), threading.Event()

    def load(pem: bytes | None) -> None:
        loading.set()
        assert end.wait(20)

    monkeypatch.setattr(dtls, "_import_aiortc", load)
    ended = False

    async def run(*, task_status: trio.TaskStatus[int]) -> None:
        nonlocal ended
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                running = await nursery.start(serve, quick_settings())
                await MeetApi("127.0.0.1", running.port, TOKEN).create_room()
                await trio.to_thread.run_sync(loading.wait)
                task_status.started(running.port)
                scope.cancel()
        ended = True

    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            port = await nursery.start(run)
            # the listener goes first
            while await _listens(port):
                await trio.sleep(0.01)
            assert not ended
            end.set()
    assert ended


async def _listens(port: int) -> bool:
    try:
        stream = await trio.open_tcp_stream("127.0.0.1", port)
    except OSError:
        return False
    await stream.aclose()
    return True

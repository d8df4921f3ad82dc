"""A server that is killed under a meeting: the next one goes on with it."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from support.daemon import Daemon, api_of, start_daemon
from support.meeting import open_meeting
from support.participant import Participant
from support.signaling import open_signaling

PATIENCE = 20.0  # seconds; a machine that is busy takes long to start Python


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    """A supervised server."""
    state = Path("/dev/shm") / f"meet-trio-test-{os.getpid()}"
    state.mkdir(mode=0o700)
    daemon = start_daemon("--state-dir", str(state), MEET_TRIO_PROCESS_SUPERVISED="on")
    try:
        yield daemon
    finally:
        code, _ = daemon.stop(deadline=5)
        left = list(state.iterdir())
        state.rmdir()
    assert (code, left) == (0, [])


def server_of(daemon: Daemon) -> int:
    """The process id of the server that the supervisor runs now."""
    supervisor = daemon.process.pid
    (child,) = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
    return int(child)


async def kill(daemon: Daemon) -> None:
    """Kill the server, and wait until there is another one."""
    before = server_of(daemon)
    os.kill(before, signal.SIGKILL)
    with trio.fail_after(PATIENCE):
        while True:
            await trio.sleep(0.01)
            try:
                if server_of(daemon) != before:
                    return
            except ValueError:  # there is none at this moment
                continue


def received(people: list[Participant]) -> dict[str, int]:
    return {
        consumer.id: consumer.stream.frames
        for person in people
        for consumer in person.consumers.values()
    }


async def wait_for_media(people: list[Participant], frames: int) -> None:
    """Each stream has so many frames more than now."""
    before = received(people)
    with trio.fail_after(PATIENCE):
        while any(now < before[id] + frames for id, now in received(people).items()):
            await trio.sleep(0.02)


async def test_media_goes_on_after_kills(daemon: Daemon) -> None:
    """No packet is lost, sent twice or out of order: what comes meanwhile waits in the kernel."""
    api = api_of(daemon)
    async with open_meeting(api, await api.create_room()) as people:
        before = received(people)
        for _ in range(2):
            await kill(daemon)
            await wait_for_media(people, 10)
        assert received(people).keys() == before.keys()
        for person in people:
            for consumer in person.consumers.values():
                stream = consumer.stream
                assert (stream.lost, stream.duplicates, stream.faults) == (0, 0, [])
                assert not consumer.closed


async def test_peers_come_back(daemon: Daemon) -> None:
    """They hear ``roomBack``, and that nobody has left; the chat goes on."""
    api = api_of(daemon)
    room = await api.create_room()
    urls = [await api.create_peer(room, 3) for _ in range(2)]
    async with open_signaling(urls[0]) as first, trio.open_nursery() as nursery:
        nursery.start_soon(first.run)
        await first.wait_notice("roomReady")
        await first.request("join", {"nickname": "Ada"})
        await kill(daemon)
        nursery.cancel_scope.cancel()
    async with open_signaling(urls[0]) as first, trio.open_nursery() as nursery:
        nursery.start_soon(first.run)
        await first.wait_notice("roomBack")
        async with open_signaling(urls[1]) as second, trio.open_nursery() as inner:
            inner.start_soon(second.run)
            await second.wait_notice("roomReady")
            answer = await second.request("join", {"nickname": "Bob"})
            assert [peer["nickname"] for peer in answer["peers"]] == ["Ada"]
            await second.request("chatMessage", {"message": "still here?"})
            notice = await first.wait_notice("chatMessage")
            assert notice.data["message"] == "still here?"
            inner.cancel_scope.cancel()
        nursery.cancel_scope.cancel()

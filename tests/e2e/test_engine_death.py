"""The thread of an engine dies under a meeting: the meeting goes on, and nobody is told of it."""

import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
import trio
from support.engine_death import let_die
from support.meeting import enter, open_meeting
from support.participant import Participant
from support.server import LocalServer, open_server, quick_settings

PATIENCE = 20.0  # seconds, on a busy machine
MANY = 1000  # deaths that are not too many


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
            await trio.sleep(0.005)


def sound(people: list[Participant]) -> None:
    """No packet came twice, or could not be decrypted; no stream has ended."""
    for person in people:
        for consumer in person.consumers.values():
            assert (consumer.stream.duplicates, consumer.stream.faults) == (0, [])
            assert not consumer.closed


@contextlib.asynccontextmanager
async def server(workers: int = 1, **media: object) -> AsyncIterator[LocalServer]:
    settings = quick_settings(workers=workers, spread_size=1, engine_deaths=MANY, **media)
    async with open_server(settings) as running:
        yield running


async def test_media_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    """No packet is lost: what comes meanwhile waits in the sockets."""
    async with server() as running:
        (host,) = running.running.hosts
        async with open_meeting(running.api, await running.api.create_room()) as people:
            before = received(people)
            for _ in range(5):
                await let_die(host)
                await wait_for_media(people, 5)
            assert received(people).keys() == before.keys()
            sound(people)
            assert {c.stream.lost for p in people for c in p.consumers.values()} == {0}
            assert not [r for r in caplog.records if r.levelno >= logging.CRITICAL]
            assert (await host.stats())["engine"]["resumes_refused"] == 0


@pytest.mark.parametrize("dies", [0, 1])
async def test_a_room_over_two_engines_goes_on(dies: int) -> None:
    async with server(2) as running:
        async with open_meeting(running.api, await running.api.create_room()) as people:
            before = received(people)
            for _ in range(5):
                await let_die(running.running.hosts[dies])
                await wait_for_media(people, 5)
            assert received(people).keys() == before.keys()
            sound(people)


async def test_who_comes_later_is_served() -> None:
    async with server() as running, AsyncExitStack() as stack:
        (host,) = running.running.hosts
        room_id = await running.api.create_room()
        ada = await enter(stack, running.api, room_id)
        await ada.produce_audio()
        await let_die(host)
        bob = await enter(stack, running.api, room_id)
        await bob.produce_video(frame_sizes=(300, 1500), fps=10)
        await bob.wait_frames(await bob.wait_consumer(kind="audio"), 5)
        await ada.wait_frames(await ada.wait_consumer(kind="video"), 5)
        sound([ada, bob])

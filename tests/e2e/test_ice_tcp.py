"""Media over ICE-TCP through the whole server: DTLS, media in both directions, lost connections."""

import contextlib
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack

import trio
from support.meeting import enter
from support.participant import Participant
from support.server import LocalServer, open_server, quick_settings
from support.transport import ClientTransport

LAYERS = (300, 900, 2500)  # bytes of a frame


@contextlib.asynccontextmanager
async def three_people() -> AsyncIterator[tuple[LocalServer, list[Participant]]]:
    """Two people on TCP, the last one on UDP."""
    with trio.fail_after(60):
        async with open_server(quick_settings()) as server:
            before = await server.counts()
            async with AsyncExitStack() as stack:
                room_id = await server.api.create_room()
                people = [await enter(stack, server.api, room_id, tcp=n < 2) for n in range(3)]
                yield server, people
            assert await server.settled(before, 30) == before


async def protocols(server: LocalServer) -> list[object]:
    stats = await server.running.hosts[0].stats()
    transports = stats["transports"]
    assert isinstance(transports, Mapping)
    return sorted(t["protocol"] for t in transports.values())


def transports(participant: Participant) -> list[ClientTransport]:
    assert participant.send is not None
    assert participant.receive is not None
    return [participant.send.transport, participant.receive.transport]


async def test_everybody_hears_and_sees_everybody() -> None:
    async with three_people() as (server, people):
        assert await protocols(server) == ["tcp"] * 4 + ["udp"] * 2
        for person in people:
            await person.produce_audio()
            await person.produce_video(frame_sizes=LAYERS, fps=20)
        for viewer in people:
            while len(viewer.consumers) < 4:
                await trio.sleep(0.01)
            for consumer in list(viewer.consumers.values()):
                await viewer.wait_frames(consumer, 10)
                assert consumer.stream.faults == []


async def test_a_lost_connection_is_made_anew_and_media_goes_on() -> None:
    async with three_people() as (_, (publisher, viewer, other)):
        await publisher.produce_video(frame_sizes=LAYERS, fps=20)
        mine = await viewer.wait_consumer(kind="video")
        theirs = await other.wait_consumer(kind="video")
        for participant in (viewer, publisher):
            await viewer.wait_frames(mine, 10)
            await other.wait_frames(theirs, 10)
            for transport in transports(participant):
                transport.move()
        await viewer.wait_frames(mine, 10)
        await other.wait_frames(theirs, 10)
        # It checks with new credentials, as a browser does.
        for transport in transports(viewer):
            answered = transport.checks_answered
            await viewer.restart_ice(transport)
            while transport.checks_answered == answered:
                await trio.sleep(0.01)
            transport.move()
        await viewer.wait_frames(mine, 10)

"""People with real media in a room, and a running meeting for tests that disturb it."""

import contextlib
from collections.abc import AsyncIterator

from support.api import MeetApi
from support.participant import Participant, open_participant
from support.peers import PARTICIPANT

from meet_trio.bench.dtls import Identity


async def enter(
    stack: contextlib.AsyncExitStack,
    api: MeetApi,
    room_id: str,
    name: str = "",
    *,
    tcp: bool = False,
    identity: Identity | None = None,
) -> Participant:
    """A participant who has joined and whose transports are connected, until ``stack`` closes."""
    url = await api.create_peer(room_id, PARTICIPANT)
    person = await stack.enter_async_context(
        open_participant(url, ssl_context=api.ssl_context, identity=identity)
    )
    person.force_tcp = tcp
    await person.join(name)
    await person.connect()
    return person


@contextlib.asynccontextmanager
async def open_meeting(
    api: MeetApi, room_id: str, *, interval: float = 0.05, fps: float = 10
) -> AsyncIterator[list[Participant]]:
    """Ada and Bob, each with a microphone, a packet every ``interval`` seconds, and a camera of
    small pictures in two encodings. Frames of all four have arrived.
    """
    identity = Identity.generate()
    async with contextlib.AsyncExitStack() as stack:
        people = []
        for name in ("Ada", "Bob"):
            person = await enter(stack, api, room_id, name, identity=identity)
            await person.produce_audio(interval=interval)
            await person.produce_video(frame_sizes=(300, 1500), fps=fps)
            people.append(person)
        for person in people:
            for kind in ("audio", "video"):
                await person.wait_frames(await person.wait_consumer(kind=kind), 2)
        yield people

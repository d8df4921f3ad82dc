"""How far the media of a meeting has come."""

import trio
from support.participant import Participant

PATIENCE = 30.0  # seconds; a machine that is busy takes long to start Python


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

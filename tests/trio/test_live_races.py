"""What happens between two steps of something: others' requests, lost sockets, second sockets."""

import pytest
import trio
import trio.testing
from support.live_scenes import join, open_world, pair, produce, say
from trio.testing import MockClock


@pytest.mark.parametrize("steps", range(6))
async def test_nothing_is_offered_on_a_transport_before_its_client_knows_it(
    autojump_clock: MockClock, steps: int
) -> None:
    async with open_world() as world:
        room, ada, _ = await pair(world)
        await produce(ada)
        cy = await world.enter(room)
        await join(cy, "Cy")
        cy.socket.log.clear()
        say(cy.socket, "createWebRtcTransport", consuming=True)
        for _ in range(steps):
            await trio.lowlevel.checkpoint()
        # whatever anybody does makes the room look for who misses what
        await ada.socket.ask("raisedHand", raisedHand=True)
        assert [e[0] for e in cy.socket.log if e[0] != "notice"] == ["ack", "call"]

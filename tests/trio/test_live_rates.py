"""How often a peer may ask, and say something to everyone; with a clock that jumps."""

import contextlib
from collections.abc import AsyncIterator

import trio
from support.live_fakes import FakeEvent, World
from support.rtp_parameters import receive_capabilities
from trio.testing import MockClock

from meet_trio.live.handlers import handle_event
from meet_trio.live.peer import PeerSettings
from meet_trio.live.room import RoomSettings
from meet_trio.ortc import router_capabilities
from meet_trio.rates import Rate

# a socket counts as ten requests
FEW = PeerSettings(requests=Rate(2, 30), announcements=Rate(1, 3))
CAPABILITIES = receive_capabilities(router_capabilities().to_json())


@contextlib.asynccontextmanager
async def open_world(settings: PeerSettings = FEW) -> AsyncIterator[World]:
    async with trio.open_nursery() as nursery:
        world = World(nursery, RoomSettings(), settings)
        await nursery.start(world.registry.run)
        yield world
        nursery.cancel_scope.cancel()


async def test_too_many_requests_are_refused_and_then_end_the_connection(
    autojump_clock: MockClock,
) -> None:
    async with open_world() as world:
        room = await world.registry.create_room()
        ada, bob = await world.enter(room, details="1"), await world.enter(room)
        for _ in range(20):
            assert await ada.socket.ask("ping") == [None]
        why = "too many requests: at most 30 at once and 2 a second"
        assert await ada.socket.ask("ping") == [500, "request ping failed", why]
        await trio.sleep(2)  # slower for a while: all is well again
        assert await ada.socket.ask("ping") == [None]
        assert await bob.socket.ask("ping") == [None]

        for _ in range(60):
            if ada.socket.reason is None:
                await ada.socket.ask("ping")
        assert ada.socket.reason is not None
        assert await bob.socket.ask("ping") == [None]
        # a new connection does not wipe out the debt; time does
        await ada.connect()
        assert ada.socket.notices() == []
        await trio.sleep(9)
        await ada.connect()
        assert ada.socket.notices() == [("roomBack", {})]
        assert (await ada.socket.ask("ping"))[0] == 500
        await trio.sleep(15)
        assert await ada.socket.ask("ping") == [None]


async def test_a_refusal_repeats_no_endless_method(autojump_clock: MockClock) -> None:
    async with open_world() as world:
        room = await world.registry.create_room()
        ada = await world.enter(room)
        endless = "x" * 900_000
        unknown = await ada.socket.ask(endless)
        assert unknown == [500, f'unknown request.method "{"x" * 100}"']
        for _ in range(19):
            await ada.socket.ask("ping")
        assert await ada.socket.ask(endless) == [500, f"request {'x' * 100} failed"]
        assert await ada.socket.ask("ping") == [500, "request ping failed"]


async def test_other_events_count_too_and_without_acknowledgement(
    autojump_clock: MockClock,
) -> None:
    async with open_world() as world:
        room = await world.registry.create_room()
        ada = await world.enter(room)
        peer = room.peers[ada.id]
        connection = peer.connection
        assert connection is not None
        for _ in range(60):
            await handle_event(peer, connection, FakeEvent("hello", (), ada.socket))  # type: ignore[arg-type]
        await trio.testing.wait_all_tasks_blocked()
        assert ada.socket.reason is not None


async def test_announcements_have_a_rate_of_their_own(autojump_clock: MockClock) -> None:
    async with open_world() as world:
        room = await world.registry.create_room()
        ada, bob = await world.enter(room), await world.enter(room)
        answers = [(await ada.socket.ask("chatMessage", message="x"))[:1] for _ in range(5)]
        assert answers == [[], [], [], [500], [500]]
        assert len(bob.socket.notices("chatMessage")) == 3
        for method, data in [
            ("raisedHand", {"raisedHand": True}),
            ("changeNickname", {"nickname": "Ada"}),
            ("join", {"nickname": "Ada", "rtpCapabilities": CAPABILITIES}),
        ]:
            assert (await ada.socket.ask(method, **data))[0] == 500
        assert await ada.socket.ask("ping") == [None]
        assert len(bob.socket.notices()) == 4  # roomReady, and what was said
        await trio.sleep(10)
        assert await ada.socket.ask("raisedHand", raisedHand=True) == []

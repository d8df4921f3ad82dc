"""Limits on the requests of a peer and on the messages it causes for others; with a clock that
jumps.
"""

import math
from typing import Any

import trio
import trio.testing
from support.live_fakes import Client, FakeEvent, World
from support.live_scenes import join, open_world, produce, say, transport
from support.loop_turns import counting
from support.peers import CAPABILITIES, EVERYTHING
from trio.testing import MockClock

from meet_trio.bench.rtp_parameters import audio_parameters
from meet_trio.live import handlers
from meet_trio.live.handlers import handle_event
from meet_trio.live.settings import PeerSettings
from meet_trio.rates import Rate
from meet_trio.room import requests

# A socket counts as ten requests.
FEW = PeerSettings(requests=Rate(2, 30), announcements=Rate(1, 3))


async def test_too_many_requests_are_refused_and_then_end_the_connection(
    autojump_clock: MockClock,
) -> None:
    async with open_world(peer_settings=FEW) as world:
        room = await world.registry.create_room()
        ada, bob = await world.enter(room, details="1"), await world.enter(room)
        for _ in range(20):
            assert await ada.socket.ask("ping") == [None]
        why = "too many requests: at most 30 at once and 2 a second (limits.requests_per_second)"
        assert await ada.socket.ask("ping") == [500, "request ping failed", why]
        await trio.sleep(2)  # after a pause requests are served again
        assert await ada.socket.ask("ping") == [None]
        assert await bob.socket.ask("ping") == [None]

        for _ in range(60):
            if ada.socket.reason is None:
                await ada.socket.ask("ping")
        assert ada.socket.reason is not None
        assert await bob.socket.ask("ping") == [None]
        # A new connection does not clear the debt; time does.
        await ada.connect()
        assert ada.socket.notices() == []
        await trio.sleep(9)
        await ada.connect()
        assert ada.socket.notices() == [("roomBack", {})]
        assert (await ada.socket.ask("ping"))[0] == 500
        await trio.sleep(15)
        assert await ada.socket.ask("ping") == [None]


async def test_a_refusal_repeats_no_endless_method(autojump_clock: MockClock) -> None:
    async with open_world(peer_settings=FEW) as world:
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
    async with open_world(peer_settings=FEW) as world:
        room = await world.registry.create_room()
        ada = await world.enter(room)
        peer = room.peers[ada.id]
        connection = peer.connection
        assert connection is not None
        for _ in range(60):
            hello = FakeEvent("hello", (), ada.socket)
            await handle_event(room, peer, connection, hello)  # type: ignore[arg-type]
        await trio.testing.wait_all_tasks_blocked()
        assert ada.socket.reason is not None


async def test_announcements_have_a_rate_of_their_own(autojump_clock: MockClock) -> None:
    async with open_world(peer_settings=FEW) as world:
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
        assert len(bob.socket.notices()) == 4  # roomReady, and the announcements
        await trio.sleep(10)
        assert await ada.socket.ask("raisedHand", raisedHand=True) == []


# Messages to others


BUSY = PeerSettings(
    requests=Rate(1e6, 1e6), announcements=Rate(1e6, 1e6), work=Rate(per_second=10, burst=60)
)


async def a_room_of_ten(world: World) -> tuple[list[Client], int]:
    """Ten peers who can receive, the first a moderator, and the number of messages they
    have had.
    """
    room = await world.registry.create_room()
    clients = [await world.enter(room, EVERYTHING, details="1")]
    clients += [await world.enter(room) for _ in range(9)]
    for client in clients:
        await transport(client.socket, consuming=True)
        await join(client)
    await trio.sleep(60)
    return clients, told(clients)


def told(clients: list[Client]) -> int:
    """The number of notices and requests that they got."""
    return sum(entry[0] in ("notice", "call") for client in clients for entry in client.socket.log)


async def test_who_has_others_told_too_much_is_refused(autojump_clock: MockClock) -> None:
    async with open_world(peer_settings=BUSY) as world:
        clients, before = await a_room_of_ten(world)
        ada, bob = clients[:2]
        answers = [await ada.socket.ask("chatMessage", message=str(n)) for n in range(20)]
        # Each chat causes ten messages. The excess was not known before the last one was sent.
        assert answers[:7] == [[]] * 7
        most = "at most 60 at once and 10 a second (limits.work_per_second)"
        why = f"too many messages to others: {most}"
        assert answers[7:] == [[500, "request chatMessage failed", why]] * 13
        assert told(clients) - before == 70
        # Only ada is limited, and only in requests that concern others.
        assert await ada.socket.ask("ping") == [None]
        for odd in (["chatMessage"], {}, None, 7):
            event = FakeEvent("request", ({"method": odd},), ada.socket)
            ada.socket._send.send_nowait(event)
            await trio.testing.wait_all_tasks_blocked()
            assert event.answer is not None
            assert event.answer[0] == 500
        assert await bob.socket.ask("chatMessage", message="x") == []
        await trio.sleep(1)
        assert await ada.socket.ask("chatMessage", message="x") == []


async def test_streams_count_by_those_who_get_them(autojump_clock: MockClock) -> None:
    async with open_world(peer_settings=BUSY) as world:
        clients, _ = await a_room_of_ten(world)
        producer_id = await produce(clients[0])
        for method in ("pauseProducer", "closeProducer"):
            assert (await clients[0].socket.ask(method, producerId=producer_id))[0] == 500
        await trio.sleep((9 * 8 - 60) / 10)
        assert await clients[0].socket.ask("pauseProducer", producerId=producer_id) == []
        assert (await clients[0].socket.ask("closeProducer", producerId=producer_id))[0] == 500


async def test_a_second_join_counts_by_its_streams(autojump_clock: MockClock) -> None:
    async with open_world(peer_settings=BUSY) as world:
        clients, _ = await a_room_of_ten(world)
        for client in clients[1:]:
            await produce(client)
        await trio.sleep(60)
        again = {"nickname": "x", "rtpCapabilities": CAPABILITIES}
        assert (await clients[0].socket.ask("join", **again))[0] is None
        assert (await clients[0].socket.ask("join", **again))[0] == 500
        # nine to the others, nine consumers closed and reported, nine created
        await trio.sleep((9 + 9 + 9 + 9 * 8 - 60) / 10)
        assert (await clients[0].socket.ask("join", **again))[0] is None


async def test_a_moderator_mutes_everybody(autojump_clock: MockClock) -> None:
    """All requests come at once, as from a page; none is refused, and they take time."""
    async with open_world(peer_settings=BUSY) as world:
        clients, before = await a_room_of_ten(world)
        begin = trio.current_time()
        events = [
            say(clients[0].socket, "moderator:removeRole", peerId=client.id, role=2)
            for client in clients[1:]
        ]
        await trio.sleep(0.01)
        assert 6 <= sum(event.answer is not None for event in events) < 9
        assert await clients[1].socket.ask("ping") == [None]
        while any(event.answer is None for event in events):
            await trio.sleep(0.1)
        assert [event.answer for event in events] == [[]] * 9
        assert told(clients) - before == 90
        assert (90 - 60) / 10 - 1 < trio.current_time() - begin < (90 - 60) / 10 + 1


async def test_a_moderator_who_waits_can_go(autojump_clock: MockClock) -> None:
    async with open_world(peer_settings=BUSY) as world:
        clients, _ = await a_room_of_ten(world)
        for client in clients[1:]:
            say(clients[0].socket, "moderator:removeRole", peerId=client.id, role=2)
        await trio.sleep(0.01)
        clients[0].socket.go()
        await trio.sleep(1.2)  # one request was waiting
        assert len(clients[1].socket.notices("peerClosed")) == 1
        assert len(clients[1].socket.notices("changeRole")) == 8


async def test_nobody_gets_more_than_a_share_in_the_long_run(autojump_clock: MockClock) -> None:
    async with open_world(peer_settings=BUSY) as world:
        clients, before = await a_room_of_ten(world)
        bad = clients[0].socket
        producing = await transport(bad, consuming=False)
        seconds = 60
        for n in range(seconds * 10):
            await bad.ask("chatMessage", message="x")
            made = await bad.ask(
                "produce",
                transportId=producing,
                kind="audio",
                rtpParameters=audio_parameters(mid="0", ssrc=1000, cname="c"),
                appData={"source": "mic"},
            )
            if made[0] is None:
                last = made[1]["id"]  # type: ignore[index]
            await bad.ask("closeProducer", producerId=last)
            await bad.ask("join", nickname=str(n), rtpCapabilities=CAPABILITIES)
            await trio.sleep(0.1)
        most = BUSY.work.burst + seconds * BUSY.work.per_second
        assert 0 < told(clients) - before < most


PACED = PeerSettings(
    requests=Rate(1e6, 1e6), announcements=Rate(1e6, 1e6), work=Rate(1e6, 1e6), work_pace=100
)


async def test_work_that_is_allowed_is_done_at_a_pace(autojump_clock: MockClock) -> None:
    async with open_world(peer_settings=PACED) as world:
        clients, before = await a_room_of_ten(world)
        ada, bob = clients[:2]
        events = [say(ada.socket, "chatMessage", message=str(number)) for number in range(10)]
        await trio.sleep(0.01)
        # ten messages each; a fifth of a second's worth at once
        assert sum(event.answer is not None for event in events) == 3
        assert await bob.socket.ask("chatMessage", message="me too") == []
        assert await bob.socket.ask("ping") == [None]
        await trio.sleep(0.35)
        assert sum(event.answer is not None for event in events) == 6
        await trio.sleep(0.4)
        assert [event.answer for event in events] == [[]] * 10
        assert told(clients) - before == 110


async def test_who_goes_is_not_waited_for(autojump_clock: MockClock) -> None:
    async with open_world(peer_settings=PACED) as world:
        clients, _ = await a_room_of_ten(world)
        for number in range(100):
            say(clients[0].socket, "chatMessage", message=str(number))
        await trio.sleep(0.01)
        clients[0].socket.go()
        await trio.sleep(0.2)
        assert len(clients[1].socket.notices("peerClosed")) == 1
        assert len(clients[1].socket.notices("chatMessage")) == 4  # one request was waiting


async def test_many_streams_are_offered_in_several_turns(autojump_clock: MockClock) -> None:
    """Many streams to one new peer, and one stream to many peers."""
    async with open_world(
        peer_settings=PeerSettings(requests=Rate(1e6, 1e6), work_pace=math.inf)
    ) as world:
        room = await world.registry.create_room()
        clients = [await world.enter(room) for _ in range(60)]
        for client in clients:
            await transport(client.socket, consuming=True)
            await join(client)
            await produce(client)
        late = await world.enter(room)
        await transport(late.socket, consuming=True)
        await trio.sleep(10)
        with counting() as turns:
            made = world.engine.add_consumer

            def count(*args: Any) -> None:
                turns.count()
                made(*args)

            world.engine.add_consumer = count  # type: ignore[method-assign]
            begin = trio.current_time()
            await join(late)
            while sum(turns.happened.values()) < 60:
                await trio.sleep(0.001)
            assert 0.02 < trio.current_time() - begin < 0.04
            await produce(late)
            await trio.sleep(0.1)
        assert sum(turns.happened.values()) == 120
        assert turns.most <= 8


async def test_what_others_have_left_to_be_done_is_not_paid_for_by_a_ping(
    autojump_clock: MockClock,
) -> None:
    async with open_world(peer_settings=BUSY) as world:
        clients, _ = await a_room_of_ten(world)
        await produce(clients[0])
        await trio.sleep(1)
        room = clients[0].room
        for consumer in list(room.state.consumers.values()):
            room._perform(room.state.remove_consumer(consumer.id))  # as for lost transports
        assert await clients[1].socket.ask("ping") == [None]
        await trio.sleep(1)
        assert len(room.state.consumers) == 9
        assert room.peers[clients[1].id].work.take(trio.current_time(), BUSY.work.burst)


def test_methods_that_are_treated_differently_exist() -> None:
    names = {*handlers._UNPACED_METHODS, *handlers._MODERATION}
    assert names <= {*requests._PARSERS, *requests._WITHOUT_DATA}


async def test_honest_people_of_large_rooms_never_meet_the_limit(
    autojump_clock: MockClock,
) -> None:
    """One peer does in a moment what others do in a whole meeting, in a room of two hundred. The
    limit would also suffice in a room of five hundred.
    """
    defaults = PeerSettings()
    settings = PeerSettings(requests=Rate(1e6, 1e6), work_pace=math.inf)
    async with open_world(peer_settings=settings) as world:
        room = await world.registry.create_room()
        size = 200
        for _ in range(size):
            client = await world.enter(room)
            await transport(client.socket, consuming=True)
            await join(client)
        ada = await world.enter(room, EVERYTHING)
        await join(ada, "Ada")
        producing = await transport(ada.socket, consuming=False)

        async def speak(number: int) -> str:
            answer = await ada.socket.ask(
                "produce",
                transportId=producing,
                kind="audio",
                rtpParameters=audio_parameters(mid=str(number), ssrc=1000 + number, cname="c"),
                appData={"source": "webcam"},
            )
            assert answer[0] is None
            return str(answer[1]["id"])  # type: ignore[index]

        for number in range(3):
            webcam = await speak(number)
        for number in range(3, 5):
            assert await ada.socket.ask("closeProducer", producerId=webcam) == []
            webcam = await speak(number)
        for number in range(5):
            assert await ada.socket.ask("chatMessage", message=str(number)) == []
        spent = defaults.work.burst - room.peers[ada.id].work._tokens
        assert 0 < spent * 500 / size < defaults.work.burst

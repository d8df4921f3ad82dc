"""Offers of consumers: they have no tasks, share a timer, and come in batches."""

import gc
import itertools
import weakref

import trio
import trio.testing
from support.live_agreement import open_offers
from support.live_fakes import Client, FakeSocket, World
from support.live_scenes import join, open_world, pair, produce, say, transport
from support.peers import CAPABILITIES, EVERYTHING
from trio.testing import MockClock

from meet_trio.live.offers import _OFFERS_AT_ONCE
from meet_trio.live.room import _OFFER_WORK, LiveRoom
from meet_trio.live.settings import PeerSettings
from meet_trio.logs.context import bound_ids

STREAMS = 4
SETTINGS = PeerSettings(request_timeout=10.0, request_tries=2, reconnect_grace=1000.0)


def asked(socket: FakeSocket) -> int:
    return sum(method == "newConsumer" for method, _ in socket.calls)


async def test_an_offer_has_no_task(autojump_clock: MockClock) -> None:
    async with open_world(peer_settings=SETTINGS) as world:
        room, ada, bob = await pair(world)
        before = trio.lowlevel.current_statistics().tasks_living
        bob.socket.answer_calls = None
        for _ in range(STREAMS):
            await produce(ada, "screen")
        assert len(open_offers(room)) == asked(bob.socket) == STREAMS
        assert trio.lowlevel.current_statistics().tasks_living == before


async def test_offers_are_repeated_and_given_up_one_by_one(autojump_clock: MockClock) -> None:
    async with open_world(peer_settings=SETTINGS) as world:
        room, ada, bob = await pair(world)
        bob.socket.answer_calls = None
        await produce(ada, "audio")
        await trio.sleep(5)
        await produce(ada, "screen")
        await trio.sleep(5.5)  # the first is due
        assert asked(bob.socket) == 3
        await trio.sleep(5)  # the second too
        assert asked(bob.socket) == 4
        assert len(room.consumers) == 2
        await trio.sleep(5)  # the first has had its two tries
        assert (asked(bob.socket), len(room.consumers), len(open_offers(room))) == (4, 1, 1)
        bob.socket.answer_calls = [None]
        await produce(ada, "screen")
        await trio.sleep(5)
        assert (asked(bob.socket), len(room.consumers), open_offers(room)) == (5, 1, [])


async def test_an_answered_offer_does_not_come_again(autojump_clock: MockClock) -> None:
    async with open_world(peer_settings=SETTINGS) as world:
        room, ada, bob = await pair(world)
        await produce(ada)
        await trio.sleep(100)
        assert asked(bob.socket) == 1
        assert [consumer.accepted for consumer in room.consumers.values()] == [True]


async def test_a_closed_consumer_is_offered_no_more(autojump_clock: MockClock) -> None:
    async with open_world(peer_settings=SETTINGS) as world:
        room, ada, bob = await pair(world)
        bob.socket.answer_calls = None
        producer = await produce(ada)
        await ada.socket.ask("closeProducer", producerId=producer)
        assert open_offers(room) == []
        assert bob.socket._answered == {}
        await trio.sleep(100)
        assert asked(bob.socket) == 1


async def show_screens(world: World, room: LiveRoom, first: Client, count: int) -> None:
    """``count`` screens, four of each publisher. The others join the first."""
    publishers = [first]
    for number in range(count):
        if number == 4 * len(publishers):
            publishers.append(await world.enter(room, EVERYTHING))
            await join(publishers[-1])
        await produce(publishers[-1], "screen")


async def test_a_new_socket_is_asked_again_in_batches(autojump_clock: MockClock) -> None:
    """A client that comes back makes no more work in one turn of the loop than one that joins."""
    many = 2 * _OFFERS_AT_ONCE + 1
    async with open_world(peer_settings=SETTINGS) as world:
        room, ada, bob = await pair(world)
        bob.socket.answer_calls = None
        await show_screens(world, room, ada, many)
        await trio.sleep(0.1)
        assert asked(bob.socket) == many
        bob.socket.lose()
        await trio.testing.wait_all_tasks_blocked()
        await trio.sleep(100)  # nobody is asked, and no try is lost
        assert len(open_offers(room)) == many
        await bob.connect()
        seen = [0, asked(bob.socket)]
        while seen[-1] < many:
            await trio.sleep(0.001)
            seen.append(asked(bob.socket))
        assert max(after - before for before, after in itertools.pairwise(seen)) <= _OFFERS_AT_ONCE
        await trio.testing.wait_all_tasks_blocked()
        assert open_offers(room) == []


async def test_who_comes_back_again_and_again_keeps_nobody_waiting(
    autojump_clock: MockClock,
) -> None:
    """The offers to a client that answers none are repeated on each of its sockets, and it may have
    many sockets. Others are offered what they lack in between.
    """
    streams = 4 * _OFFERS_AT_ONCE
    async with open_world(peer_settings=SETTINGS) as world:
        room, ada, bob = await pair(world)
        bob.socket.answer_calls = None
        await show_screens(world, room, ada, streams)
        await trio.sleep(1)
        cy = await world.enter(room)
        await transport(cy.socket, consuming=True)
        for turn in range(20):
            bob.socket = FakeSocket()
            bob.socket.answer_calls = None
            world.nursery.start_soon(room.peers[bob.id].serve, bob.socket)
            if turn == 0:
                say(cy.socket, "join", nickname="Cy", rtpCapabilities=CAPABILITIES)
            await trio.sleep(0.01)
            assert room.offers._again  # it is never done with them
        assert asked(cy.socket) == streams


async def test_who_loses_a_transport_is_offered_its_streams_on_another_and_pays(
    autojump_clock: MockClock,
) -> None:
    """Neither waits for somebody's next request, and that one does not pay."""
    async with open_world(peer_settings=SETTINGS) as world:
        room, ada, bob = await pair(world)
        first = world.bridge.sessions[-1]
        transport_id = next(iter(room.peers[bob.id].transports))
        fingerprint = {"algorithm": "sha-256", "value": ":".join(["AB"] * 32)}
        await bob.socket.ask(
            "connectWebRtcTransport",
            transportId=transport_id,
            dtlsParameters={"fingerprints": [fingerprint]},
        )
        first.complete()
        await transport(bob.socket, consuming=True)
        for _ in range(STREAMS):
            await produce(ada, "screen")
        assert asked(bob.socket) == STREAMS
        await trio.sleep(100)
        spent = {client.id: -balance(room, client) for client in (ada, bob)}
        first.say_goodbye()
        await trio.testing.wait_all_tasks_blocked()
        assert asked(bob.socket) == 2 * STREAMS
        await ada.socket.ask("raisedHand", raisedHand=True)
        for client in (ada, bob):
            spent[client.id] += balance(room, client)
        assert spent == {ada.id: -2, bob.id: -_OFFER_WORK * STREAMS}


def balance(room: LiveRoom, client: Client) -> float:
    """The messages that the client's requests may still cause."""
    work = room.peers[client.id].work
    work.take(trio.current_time(), cost=0)
    return work._tokens


async def test_records_about_an_answer_have_the_id_of_the_room(autojump_clock: MockClock) -> None:
    """The answer comes in a task of the socket, which knows nothing of the room."""
    async with open_world(peer_settings=SETTINGS) as world:
        room, ada, bob = await pair(world)
        seen: list[object] = []
        room.offers.tell_score = lambda consumer: seen.append(dict(bound_ids()))
        bob.socket.answer_calls = None
        await produce(ada)
        for producer in room.producers.values():
            producer.scores = [7]
        bob.socket.answer_calls = [None]
        await trio.sleep(SETTINGS.request_timeout)
        await trio.testing.wait_all_tasks_blocked()
        assert seen == [{"room": room.id}]


async def test_who_has_left_is_gone_without_the_collector(autojump_clock: MockClock) -> None:
    """Circles of references would keep it until the collector runs, and make it run more often."""
    async with open_world(peer_settings=SETTINGS) as world:
        room, ada, bob = await pair(world)
        await produce(ada)
        gone = [
            weakref.ref(room.peers[bob.id]),
            weakref.ref(room.state.peers[bob.id]),
            *(weakref.ref(consumer) for consumer in room.consumers.values()),
            *(weakref.ref(consumer) for consumer in room.state.consumers.values()),
        ]
        assert len(gone) == 4
        gc.collect()
        gc.disable()
        try:
            bob.socket.go()
            await trio.sleep(1)
            assert bob.id not in room.peers
            assert [each() for each in gone] == [None] * len(gone)
        finally:
            gc.enable()

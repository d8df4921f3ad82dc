"""Rooms on several engines: the engine of each peer, and the streams that cross."""

import itertools

import pytest
import trio
import trio.testing
from support.live_fakes import Client, FakeEngine, World
from support.live_scenes import join, open_world, produce, transport
from support.peers import EVERYTHING
from trio.testing import MockClock

from meet_trio.errors import LimitExceeded
from meet_trio.live.placement import Placement
from meet_trio.live.room import LiveRoom
from meet_trio.live.settings import RoomSettings
from meet_trio.media.engines import EngineHost

APART = RoomSettings(spread_size=1)  # each peer on another engine than the one before


def hosts_for(count: int) -> list[EngineHost]:
    numbers = itertools.count(1)
    return [
        EngineHost(FakeEngine(44444 + i), numbers)  # type: ignore[arg-type]
        for i in range(count)
    ]


def test_a_room_fills_an_engine_then_the_next_then_all_alike() -> None:
    hosts = hosts_for(2)
    placement = Placement(hosts, spread_size=3)
    places = [hosts.index(placement.place(f"peer{i}")) for i in range(10)]
    assert places == [0, 0, 0, 1, 1, 1, 0, 1, 0, 1]
    assert [host.peers for host in hosts] == [5, 5]
    assert placement.place("peer4") is hosts[1]
    assert [host.peers for host in hosts] == [5, 5]


def test_places_are_given_back() -> None:
    (host, other) = hosts_for(2)
    placement = Placement([host, other], spread_size=1)
    assert placement.place("a") is host
    assert placement.place("b") is other
    placement.leave("a")
    placement.leave("a")
    placement.leave("never came")
    assert (host.peers, other.peers) == (0, 1)
    assert set(placement.used) == {other}
    assert placement.place("c") is host


def test_rooms_go_where_there_is_the_least_to_do() -> None:
    hosts = hosts_for(3)
    for room, size in enumerate((5, 2, 3)):
        placement = Placement(hosts, spread_size=16)
        for peer in range(size):
            assert placement.place(f"{peer}") is hosts[room]
    assert Placement(hosts, spread_size=16).place("x") is hosts[1]


def test_the_fuller_of_a_room_s_engines_is_filled_first() -> None:
    hosts = hosts_for(2)
    placement = Placement(hosts, spread_size=4)
    for i in range(6):
        placement.place(f"peer{i}")
    for i in range(3):
        placement.leave(f"peer{i}")
    assert placement.place("new") is hosts[1]


def test_failed_engines_get_nobody() -> None:
    first, second = hosts_for(2)
    placement = Placement([first, second], spread_size=16)
    placement.place("a")
    first.failure.set()
    assert placement.place("b") is second
    assert placement.place("a") is first  # until its room is closed
    second.failure.set()
    with pytest.raises(LimitExceeded, match="no media engine is working"):
        placement.place("c")


async def viewer(world: World, room: LiveRoom) -> Client:
    client = await world.enter(room)
    await join(client)
    await transport(client.socket, consuming=True)
    return client


async def speaker(world: World, room: LiveRoom) -> tuple[Client, str]:
    client = await world.enter(room, EVERYTHING)
    await join(client)
    return client, await produce(client)


async def test_a_peer_s_transports_are_all_on_its_engine(autojump_clock: MockClock) -> None:
    async with open_world(APART, engines=2) as world:
        room = await world.registry.create_room()
        first, second = await viewer(world, room), await viewer(world, room)
        ports = []
        for client in (first, second, first, second):
            error, answer = await client.socket.ask(
                "createWebRtcTransport", forceTcp=False, producing=True, consuming=False
            )
            assert error is None
            ports.append({candidate["port"] for candidate in answer["iceCandidates"]})  # type: ignore[index]
        assert ports == [{44444}, {44445}, {44444}, {44445}]


async def test_a_stream_crosses_once_and_only_while_somebody_is_there(
    autojump_clock: MockClock,
) -> None:
    async with open_world(RoomSettings(spread_size=2), engines=2) as world:
        here, there = world.engines
        room = await world.registry.create_room()
        ada, producer_id = await speaker(world, room)
        number = room.producers[producer_id].number
        await viewer(world, room)
        assert here.relays == set()
        assert len(here.consumers) == 1
        viewers = [await viewer(world, room) for _ in range(2)]
        assert here.relays == {(number, there.port)}
        assert there.mirrors == {number}
        assert [producer for _, producer in there.consumers.values()] == [number, number]
        # A pause is applied on both engines.
        await ada.socket.ask("pauseProducer", producerId=producer_id)
        assert here.producer_paused[number]
        assert there.producer_paused[number]
        # The mirror ends with the last viewer.
        for client in viewers:
            client.socket.go()
            await trio.testing.wait_all_tasks_blocked()
            crossing = client is viewers[0]
            assert bool(here.relays) is crossing
            assert bool(there.mirrors) is crossing
        # A later viewer gets a new mirror, paused as the producer is now.
        await viewer(world, room)
        assert there.mirrors == {number}
        assert there.producer_paused[number]


async def test_a_producer_that_ends_takes_its_mirrors_along(autojump_clock: MockClock) -> None:
    async with open_world(APART, engines=2) as world:
        here, there = world.engines
        room = await world.registry.create_room()
        ada, producer_id = await speaker(world, room)
        await viewer(world, room)
        assert there.mirrors
        await ada.socket.ask("closeProducer", producerId=producer_id)
        assert not there.mirrors
        assert not there.consumers
        assert not here.relays
        assert not here.producers


async def test_a_failed_engine_closes_every_room_that_is_on_it(autojump_clock: MockClock) -> None:
    async with open_world(APART, engines=2) as world:
        both, one = await world.registry.create_room(), await world.registry.create_room()
        for _ in range(2):
            await viewer(world, both)
        await viewer(world, one)  # on the first engine, as both are equally full
        world.hosts[1].failure.set()
        await trio.sleep(0.1)
        assert list(world.registry.rooms) == [one.id]
        # The failed engine gets no new peer.
        for _ in range(3):
            await viewer(world, one)
        assert set(one.placement.used) == {world.hosts[0]}

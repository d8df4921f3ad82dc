"""An engine dies under rooms: another one gets all that the dead one had, and only what it has left
nothing of begins anew.
"""

import contextlib
import logging
import os
from collections.abc import AsyncIterator
from typing import Any

import attrs
import pytest
import trio
import trio.testing
from support.live_agreement import disagreements
from support.live_fakes import Client, World
from support.live_scenes import join, open_world, produce, transport
from support.mortal_engines import Mortal, make_mortal
from support.peers import EVERYTHING
from trio.testing import MockClock

from meet_trio.engine import Kept
from meet_trio.live.room import LiveRoom
from meet_trio.live.settings import RoomSettings
from meet_trio.media.successor import DEATHS_WITHIN


@attrs.define(eq=False)
class Meeting:
    """Three people, each on an engine of two, who send and receive; all that can be set is set."""

    world: World
    mortal: Mortal
    room: LiveRoom
    people: list[Client]

    def told(self) -> list[list[object]]:
        """All that each of them was sent, so far."""
        return [list(person.socket.log) for person in self.people]


async def connect(world: World) -> None:
    """All transports have keys."""
    for session in world.bridge.sessions:
        if not session.fingerprints:
            session.start([world.bridge.fingerprints[0]])
            transport: Any = session.owner
            transport._asked_at = 0.0
            session.complete()
    await trio.testing.wait_all_tasks_blocked()


@contextlib.asynccontextmanager
async def meeting(deaths: int = 1000) -> AsyncIterator[Meeting]:
    async with open_world(RoomSettings(spread_size=2), engines=2) as world:
        mortal = make_mortal(world, deaths)
        room = await world.registry.create_room()
        people = [await world.enter(room, EVERYTHING) for _ in range(3)]
        for person in people:
            await transport(person.socket, consuming=True)
            await join(person)
            await produce(person)
            await produce(person, "simulcast")
        await connect(world)
        m = Meeting(world, mortal, room, people)
        await change_all(m)
        assert disagreements(world) == []
        yield m


async def change_all(m: Meeting) -> None:
    """Everything has another value than at first."""
    (ada, bob, cy), room = m.people, m.room
    for consumer in list(room.consumers.values())[::2]:
        owner = next(p for p in m.people if p.id == consumer.state.peer_id)
        id = consumer.state.id
        await done(owner, "setConsumerPriority", consumerId=id, priority=9)
        await done(owner, "pauseConsumer", consumerId=id)
        if consumer.state.rtp.kind == "video":
            layers = {"spatialLayer": 0, "temporalLayer": 1}
            await done(owner, "setConsumerPreferredLayers", consumerId=id, **layers)
    await done(ada, "pauseProducer", producerId=next(iter(room.state.peers[ada.id].producers)))
    await done(bob, "subscribeSpeakers", audioLevels=True)
    await done(ada, "restartIce", transportId=next(iter(room.peers[ada.id].transports)))
    await done(cy, "createPlainTransport", producing=True)
    plain = await done(cy, "createPlainTransport", consuming=True)
    remote = {"ip": "192.0.2.1", "port": 7000, "rtcpPort": 7001}
    await done(cy, "connectPlainTransport", transportId=plain["id"], **remote)
    for person in m.people:
        for own in room.peers[person.id].transports.values():
            own.limit_outgoing(500_000 + own.number)
    for host in m.world.hosts:
        host.send_until(12_345)
    await trio.testing.wait_all_tasks_blocked()


async def done(client: Client, method: str, **data: object) -> Any:
    """The result of a request, which is not refused."""
    answer = await client.socket.ask(method, **data)
    assert answer[:1] in ([], [None]), (method, answer)
    return answer[1] if len(answer) > 1 else None


def contents(world: World) -> list[dict[str, object]]:
    """All that the engines have been told, without what differs between two of them: descriptors,
    what they resumed from, and requests, which are not a state.
    """
    return [
        {name: value for name, value in vars(engine).items() if name not in _OWN}
        | {"plain": {number: rest[2:] for number, rest in engine.plain.items()}}
        for engine in world.engines
    ]


_OWN = {"resumed", "keyframes", "plain"}


@pytest.mark.parametrize("order", [[0], [1], [0, 1], [1, 0]])
async def test_the_next_engine_has_all_that_the_dead_one_had(order: list[int]) -> None:
    async with meeting() as m:
        before, told = contents(m.world), m.told()
        for index in order:  # of several: they have died at the same moment
            m.mortal.stop(index)
        for index in order:
            m.mortal.die(index)
        assert contents(m.world) == before
        assert disagreements(m.world) == []
        await trio.testing.wait_all_tasks_blocked()
        assert m.told() == told
        for index in order:
            engine, host = m.world.engines[index], m.world.hosts[index]
            assert m.mortal.successors[index].begun == [engine]
            assert {(kind, number) for kind, number in engine.resumed} == {
                *(("transport", number) for number in engine.transports),
                *(("producer", number) for number in (*engine.producers, *engine.mirrors)),
                *(("consumer", number) for number in engine.consumers),
            }
            assert host.restarts == 1
            assert not host.failed


async def test_what_a_dead_engine_was_told_is_not_lost(autojump_clock: MockClock) -> None:
    """Between its death and its host's hearing of it, the room goes on."""
    async with meeting() as m:
        ada, bob, cy = m.people
        for index in (0, 1):
            m.mortal.stop(index)
        state = m.room.state
        mic, camera = state.peers[bob.id].producers
        await done(bob, "pauseProducer", producerId=mic)
        await done(bob, "closeProducer", producerId=camera)
        paused = next(c for c in m.room.consumers.values() if c.state.paused)
        viewer = next(p for p in m.people if p.id == paused.state.peer_id)
        await done(viewer, "resumeConsumer", consumerId=paused.state.id)
        await produce(bob, "screen")
        late = await m.world.enter(m.room)
        await transport(late.socket, consuming=True)
        await join(late)
        await done(ada, "createPlainTransport", consuming=True)
        for own in list(m.room.peers[cy.id].transports.values())[1:]:
            own.close()
        await trio.testing.wait_all_tasks_blocked()
        for index in (0, 1):
            m.mortal.die(index)
        await trio.testing.wait_all_tasks_blocked()
        assert disagreements(m.world) == []
        await trio.sleep(1)  # offers come with a pause
        assert not state.missing_consumers()
        assert disagreements(m.world) == []


async def test_a_consumer_of_which_nothing_was_left_gets_another_ssrc(
    autojump_clock: MockClock,
) -> None:
    async with meeting() as m:
        lost = next(c for c in m.room.consumers.values() if c.transport.host is m.world.hosts[0])
        ssrcs = {ssrc for c in m.room.consumers.values() for ssrc in c.ssrcs()}
        others = {id: c for id, c in m.room.consumers.items() if c is not lost}

        def damage(kept: Kept) -> Kept:
            rest = {n: blob for n, blob in kept.consumers.items() if n != lost.number}
            return attrs.evolve(kept, consumers=rest, damaged=["a consumer"])

        m.mortal.change = damage
        m.mortal.die(0)
        await trio.sleep(1)
        assert disagreements(m.world) == []
        (viewer,) = (p for p in m.people if p.id == lost.state.peer_id)
        assert "consumerClosed" in str(viewer.socket.log)
        assert others.items() <= m.room.consumers.items()
        (anew,) = (c for id, c in m.room.consumers.items() if id not in others)
        assert anew.state.producer_id == lost.state.producer_id
        assert not anew.ssrcs() & ssrcs


async def test_a_connected_transport_of_which_nothing_was_left_ends(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with meeting() as m:
        caplog.set_level(logging.INFO)
        peer = m.room.peers[m.people[0].id]
        lost = peer.receiving_transport()
        assert lost is not None

        def damage(kept: Kept) -> Kept:
            rest = {n: blob for n, blob in kept.transports.items() if n != lost.number}
            return attrs.evolve(kept, transports=rest)

        m.mortal.change = damage
        m.mortal.die(0)
        await trio.sleep(1)
        assert lost.id not in peer.transports
        assert lost.number not in m.world.engines[0].transports
        assert disagreements(m.world) == []
        assert "its engine has lost it" in caplog.text


async def test_an_engine_that_refuses_what_it_is_given(autojump_clock: MockClock) -> None:
    """Whichever command it refuses, state and engine agree."""
    async with meeting() as m:
        m.world.faults.arm(1_000_000)
        m.mortal.die(0)
        count = m.world.faults.given
        assert count > 50
    for at in range(0, count, 7):
        async with meeting() as m:
            m.world.faults.arm(at)
            m.mortal.die(0)
            assert len(m.world.faults.refused) == 1
            m.world.faults.settle()
            await trio.sleep(1)
            assert disagreements(m.world) == [], at


async def test_an_engine_that_dies_again_and_again_is_given_up(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with meeting(deaths=3) as m:
        host = m.world.hosts[0]
        for _ in range(4):
            m.mortal.die(0)
            await trio.sleep(DEATHS_WITHIN / 2 + 1)
        assert not host.failed
        for _ in range(2):
            await trio.sleep(1)
            m.mortal.die(0)
        assert host.failed
        with trio.fail_after(10):
            while m.world.registry.rooms:
                await trio.sleep(0.1)
        assert m.room.why == "engine_failed"
        assert "failed: a test; that was death 3 in 60 s" in caplog.text
        assert host.restarts == 5


async def test_a_trial_goes_on(autojump_clock: MockClock) -> None:
    async with open_world(engines=2) as world:
        mortal = make_mortal(world)
        given = await world.registry.try_media()
        before = contents(world)
        mortal.die(0)
        assert contents(world) == before
        assert len(given) == 2
        await trio.sleep(20)


async def test_no_descriptor_is_left_open() -> None:
    open_before = len(os.listdir("/proc/self/fd"))
    async with meeting() as m:
        open_in_meeting = len(os.listdir("/proc/self/fd"))
        for _ in range(5):
            m.mortal.die(0)
            m.mortal.stop(1)
            m.mortal.die(1)
        assert len(os.listdir("/proc/self/fd")) == open_in_meeting
    assert len(os.listdir("/proc/self/fd")) == open_before

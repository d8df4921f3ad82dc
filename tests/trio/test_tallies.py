"""What is counted for those who watch the server, with a clock that jumps."""

import pytest
import trio
from support.live_fakes import Client, World
from support.live_scenes import join, open_world, pair, produce, transport
from trio.testing import MockClock

from meet_trio.engine import ConsumerStarted, DtlsDatagram, StreamStarted
from meet_trio.live.settings import PeerSettings
from meet_trio.media.settings import TransportSettings
from meet_trio.tallies import BOUNDS, Durations, Tally

FINGERPRINTS = [{"algorithm": "sha-256", "value": ":".join(["AA"] * 32)}]


def tally_of(world: World) -> Tally:
    return world.registry.context.tally


def only(durations: Durations) -> float:
    """The one duration that was counted."""
    assert sum(durations.counts) == 1
    return durations.seconds


async def settle() -> None:
    await trio.testing.wait_all_tasks_blocked()


def test_a_duration_on_a_bound_is_in_the_bucket_below() -> None:
    durations = Durations()
    for seconds in (0, BOUNDS[0], BOUNDS[0] * 1.01, BOUNDS[-1], BOUNDS[-1] + 1):
        durations.add(seconds)
    assert durations.counts == [2, 1, *[0] * (len(BOUNDS) - 3), 1, 1]
    assert durations.seconds == pytest.approx(sum((BOUNDS[0] * 2.01, BOUNDS[-1] * 2, 1)))


async def test_rooms_invitations_and_joins(autojump_clock: MockClock) -> None:
    async with open_world() as world:
        room = await world.registry.create_room()
        assert await world.registry.create_room(room.id) is room  # not a new one
        client = await world.enter(room)
        await trio.sleep(0.3)
        await join(client)
        tally = tally_of(world)
        assert (tally.rooms, tally.invitations) == (1, 1)
        assert only(tally.join_time) == pytest.approx(0.3)
        assert (await client.socket.ask("join", nickname=7))[0] == 500
        assert sum(tally.join_time.counts) == 1


async def connect(client: Client, transport_id: str) -> None:
    answer = await client.socket.ask(
        "connectWebRtcTransport",
        transportId=transport_id,
        dtlsParameters={"role": "client", "fingerprints": FINGERPRINTS},
    )
    assert answer == []


async def test_a_transport_that_connects(autojump_clock: MockClock) -> None:
    async with open_world() as world:
        _, _, bob = await pair(world)
        (transport_id,) = bob.room.peers[bob.id].transports
        number = bob.room.peers[bob.id].transports[transport_id].number
        await connect(bob, transport_id)
        tally = tally_of(world)
        await trio.sleep(2)
        assert tally.handshakes == 0
        for _ in range(2):
            world.hear(DtlsDatagram(number, b"hello"))
            await trio.sleep(0.25)
        world.bridge.sessions[0].complete()
        await settle()
        assert only(tally.connect_time) == pytest.approx(2.5)
        assert only(tally.handshake_time) == pytest.approx(0.5)
        assert (tally.handshakes, tally.connects) == (1, {"connected": 1})
        bob.socket.go()
        await settle()
        assert tally.connects == {"connected": 1}


async def test_datagrams_before_the_fingerprints_wait_for_them(autojump_clock: MockClock) -> None:
    async with open_world() as world:
        _, _, bob = await pair(world)
        ((transport_id, live),) = bob.room.peers[bob.id].transports.items()
        world.hear(DtlsDatagram(live.number, b"hello"))
        await trio.sleep(5)
        await connect(bob, transport_id)
        await trio.sleep(0.1)
        world.bridge.sessions[0].complete()
        await settle()
        assert only(tally_of(world).handshake_time) == pytest.approx(0.1)


@pytest.mark.parametrize(("heard", "result"), [(False, "no_path"), (True, "timed_out")])
async def test_a_transport_that_does_not_connect(
    autojump_clock: MockClock, heard: bool, result: str
) -> None:
    async with open_world() as world:
        _, _, bob = await pair(world)
        ((transport_id, live),) = bob.room.peers[bob.id].transports.items()
        await connect(bob, transport_id)
        if heard:
            world.hear(DtlsDatagram(live.number, b"hello"))
        await trio.sleep(TransportSettings().connect_timeout + 1)
        tally = tally_of(world)
        assert (tally.connects, tally.handshakes) == ({result: 1}, int(heard))
        assert sum(tally.connect_time.counts) == 0


async def test_leaving_while_a_transport_connects(autojump_clock: MockClock) -> None:
    async with open_world() as world:
        room, ada, bob = await pair(world)
        await transport(ada.socket, consuming=True)  # never asked to connect
        (transport_id,) = bob.room.peers[bob.id].transports
        await connect(bob, transport_id)
        room.close()
        await settle()
        assert tally_of(world).connects == {"abandoned": 1}


@pytest.mark.parametrize("kind", ["audio", "video", "simulcast"])
async def test_first_packets_are_timed_once(autojump_clock: MockClock, kind: str) -> None:
    async with open_world() as world:
        room, ada, bob = await pair(world)
        bob.socket.answer_calls = None  # the first newConsumer is not answered
        await produce(ada, kind)
        await trio.sleep(1)
        bob.socket.answer_calls = [None]
        (producer,), (consumer,) = room.producers.values(), room.consumers.values()
        world.hear(StreamStarted(producer.number, 0, 2000))
        await trio.sleep(patience := PeerSettings().request_timeout)
        for _ in range(2):
            world.hear(StreamStarted(producer.number, 0, 2000))
            world.hear(ConsumerStarted(consumer.number))
            await trio.sleep(1)
        tally = tally_of(world)
        assert only(tally.first_packet_in) == pytest.approx(1)
        # of video from the answer to newConsumer
        out = tally.first_packet_out
        found = out.pop("audio" if kind == "audio" else "video")  # type: ignore[attr-defined]
        assert only(found) == pytest.approx(1 + (patience if kind == "audio" else 0), abs=0.1)
        assert [sum(other.counts) for other in out.values()] == [0]


@pytest.mark.parametrize("by", ["viewer", "publisher"])
@pytest.mark.parametrize("kind", ["audio", "simulcast"])
async def test_streams_that_are_held_up_by_people_are_not_timed(
    autojump_clock: MockClock, kind: str, by: str
) -> None:
    async with open_world() as world:
        room, ada, bob = await pair(world)
        await produce(ada, kind)
        await trio.sleep(0.1)
        (producer,), (consumer,) = room.producers.values(), room.consumers.values()
        if by == "viewer":
            assert await bob.socket.ask("pauseConsumer", consumerId=consumer.state.id) == []
            assert await bob.socket.ask("resumeConsumer", consumerId=consumer.state.id) == []
        else:
            assert await ada.socket.ask("pauseProducer", producerId=producer.state.id) == []
            assert await ada.socket.ask("resumeProducer", producerId=producer.state.id) == []
        world.hear(StreamStarted(producer.number, 0, 2000))
        world.hear(ConsumerStarted(consumer.number))
        await settle()
        tally = tally_of(world)
        assert sum(tally.first_packet_in.counts) == (by == "viewer")
        assert not any(sum(each.counts) for each in tally.first_packet_out.values())

"""Rooms on a real engine: one that takes no commands for a while, and one that refuses some."""

import contextlib
import itertools
import math
from collections.abc import AsyncIterator

import pytest
import trio
import trio.testing
from support.live_fakes import World
from support.live_scenes import join, produce, transport
from support.peers import EVERYTHING
from support.stalled_engine import stalled

from meet_trio.bench.rtp_parameters import audio_parameters
from meet_trio.engine import EngineSettings
from meet_trio.live.registry import Registry
from meet_trio.live.settings import PeerSettings, RoomSettings
from meet_trio.media.engines import EngineHost, open_engine
from meet_trio.rates import Rate

WITHOUT_LIMIT = Rate(per_second=1e9, burst=1e9)


async def taken(host: EngineHost) -> dict[str, dict[str, dict[str, object]]]:
    """The engine's figures once no command waits."""
    with trio.fail_after(10):
        while host.engine.waiting:
            await trio.sleep(0.001)
    stats = await host.stats()
    return {kind: dict(table) for kind, table in stats.items()}


@contextlib.asynccontextmanager
async def real_world() -> AsyncIterator[tuple[World, EngineHost]]:
    async with (
        open_engine(EngineSettings(), itertools.count(1)) as host,
        trio.open_nursery() as nursery,
    ):
        settings = PeerSettings(requests=WITHOUT_LIMIT, work=WITHOUT_LIMIT, work_pace=math.inf)
        world = World(nursery, RoomSettings(), settings, engines=[])
        world.hosts = [host]
        world.registry = Registry(world._room_context())
        await nursery.start(world.registry.run)
        yield world, host
        nursery.cancel_scope.cancel()


async def test_a_busy_engine_is_told_everything_when_it_has_time() -> None:
    async with real_world() as (world, host):
        room = await world.registry.create_room()
        ada, bob, cy = [await world.enter(room, EVERYTHING) for _ in range(3)]
        with stalled(host.engine):
            while not host.engine.waiting:
                host.engine.request_keyframe(0)
            for client in (ada, bob, cy):
                await transport(client.socket, consuming=True)
                await join(client)
            producer_id = await produce(ada, "video")
            before = host.engine.waiting
            for method in ("pauseProducer", "resumeProducer") * 500:
                assert await ada.socket.ask(method, producerId=producer_id) == []
            assert await ada.socket.ask("pauseProducer", producerId=producer_id) == []
            assert host.engine.waiting == before + 1
            # Objects that come and go meanwhile leave no command.
            for _ in range(20):
                closed = await produce(bob)
                assert await bob.socket.ask("closeProducer", producerId=closed) == []
                for sending in list(room.peers[bob.id].transports.values())[1:]:
                    sending.close()
                await trio.testing.wait_all_tasks_blocked()
            assert host.engine.waiting == before + 1
            assert await cy.socket.ask("chatMessage", message="still here") == []
        told = await taken(host)
        (producer,) = told["producers"].values()
        assert producer["paused"] is True
        assert {c["producer"] for c in told["consumers"].values()} == {
            int(number) for number in told["producers"]
        }
        assert (len(told["transports"]), len(told["consumers"])) == (4, 2)
        # A room that ends while the engine is busy is gone when the engine has time.
        with stalled(host.engine):
            while not host.engine.waiting:
                host.engine.request_keyframe(0)
            room.close()
            await trio.testing.wait_all_tasks_blocked()
            assert not world.registry.rooms
        told = await taken(host)
        assert not told["transports"]
        assert not told["consumers"]
        assert not any(host.object_counts().values())


@pytest.mark.parametrize("mid", ["é" * 32, "é" * 33, "é" * 64, "😀" * 64, "m" * 64])
async def test_what_the_engine_does_not_take_exists_nowhere(mid: str) -> None:
    """The parser may accept it or not: the engine has 64 bytes for a MID."""
    async with real_world() as (world, host):
        room = await world.registry.create_room()
        ada, bob, cy = [await world.enter(room, EVERYTHING) for _ in range(3)]
        for client in (ada, bob, cy):
            await transport(client.socket, consuming=True)
            await join(client)
        made = len(mid.encode()) <= 64
        answer = await ada.socket.ask(
            "produce",
            transportId=await transport(ada.socket, consuming=False),
            kind="audio",
            rtpParameters=audio_parameters(mid=mid, ssrc=1000, cname="c"),
            appData={"source": "mic"},
        )
        assert (answer[0] is None) is made
        for client in (bob, cy):
            assert await client.socket.ask("chatMessage", message="still here") == []
            assert len(client.socket.calls) == made
        assert len(room.state.producers) == len(room.producers) == made
        told = await taken(host)
        assert (len(told["producers"]), len(told["consumers"])) == (made, 2 * made)

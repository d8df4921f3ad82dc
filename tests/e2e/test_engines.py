"""One room on several engines: each action of a peer reaches peers whose media is on another
engine.
"""

import contextlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import attrs
import trio
from support.meeting import enter
from support.participant import ClientConsumer, ClientProducer, Participant
from support.server import LocalServer, open_server, quick_settings

ENGINES = 3
LAYERS = (300, 900, 2500)  # bytes of a frame


@attrs.frozen
class Spread:
    """``publisher`` is alone on its engine, ``viewers`` are on the others."""

    server: LocalServer
    room_id: str
    publisher: Participant
    viewers: list[Participant]

    async def engine_counts(self) -> list[dict[str, int]]:
        """The number of objects of each kind, for each engine."""
        found = []
        for host in self.server.running.hosts:
            stats = await host.stats()
            tables = {name: table for name, table in stats.items() if name != "engine"}
            found.append({kind: len(table) for kind, table in tables.items()})
        return found

    async def crossed(self) -> int:
        """Packets that left the publisher's engine for other engines, so far."""
        counters = (await self.server.running.hosts[0].stats())["engine"]
        return int(counters["relay_packets_out"])

    async def after_all_is_heard(
        self, producer: ClientProducer, heard: ClientConsumer
    ) -> tuple[int, int]:
        """Pause the producer and wait until ``heard`` has got the last frame. Return the frames
        sent and the packets that crossed.
        """
        assert self.publisher.send is not None
        self.publisher.send.set_paused(producer.source.mid, True)
        last = producer.source.frame - 1
        while (stamp := heard.stream.last_stamp) is None or stamp.frame < last:
            await trio.sleep(0.01)
        return producer.source.frame, await self.crossed()


@contextlib.asynccontextmanager
async def spread_room() -> AsyncIterator[Spread]:
    """Four people on three engines: the last one shares the publisher's engine."""
    settings = quick_settings(workers=ENGINES, spread_size=1, max_incoming_bitrate=10_000_000)
    with trio.fail_after(90):
        async with open_server(settings) as server:
            before = await server.counts()
            async with AsyncExitStack() as stack:
                room_id = await server.api.create_room()
                people = [await enter(stack, server.api, room_id) for _ in range(ENGINES + 1)]
                assert len(server.running.registry.rooms[room_id].placement.used) == ENGINES
                ports = [_port(person) for person in people]
                assert len(set(ports[:ENGINES])) == ENGINES
                assert ports[0] == ports[-1]
                yield Spread(server, room_id, people[0], people[1:])
            assert await server.settled(before, 30) == before


def _port(person: Participant) -> int:
    assert person.receive is not None
    return person.receive.transport.remote.address[1]


def check(consumers: list[ClientConsumer]) -> None:
    for consumer in consumers:
        assert consumer.stream.faults == []


async def stays_silent(
    viewer: Participant, consumer: ClientConsumer, voice: ClientConsumer
) -> bool:
    """True if no packet of ``consumer`` comes any more while ``voice`` goes on. Both come from one
    publisher by one path, so packets that were under way come before the next ones of the voice.
    """
    await viewer.wait_frames(voice, 5)
    before = consumer.stream.packets
    await viewer.wait_frames(voice, 25)
    return consumer.stream.packets == before


async def test_everybody_gets_what_is_sent_on_another_engine() -> None:
    async with spread_room() as room:
        await room.publisher.produce_audio()
        await room.publisher.produce_video(frame_sizes=LAYERS, fps=20)
        consumers: list[ClientConsumer] = []
        for viewer in room.viewers:
            for kind in ("audio", "video"):
                consumers.append(await viewer.wait_consumer(kind=kind))
                await viewer.wait_frames(consumers[-1], 10)
        check(consumers)
        counts = await room.engine_counts()
        assert [count["producers"] for count in counts] == [2, 0, 0]
        assert [count["mirrors"] for count in counts] == [0, 2, 2]
        assert [count["consumers"] for count in counts] == [2, 2, 2]
        # Figures come from the engine that holds the object.
        figures: Any = await room.server.api.call("GET", "/stats")
        figures = figures[room.room_id]
        for viewer in room.viewers:
            assert {c["packetCount"] > 0 for c in figures[viewer.id]["consumers"]} == {True}
        streams = [p["streams"] for p in figures[room.publisher.id]["producers"]]
        assert all(layer["packetCount"] for producer in streams for layer in producer)


async def test_a_stream_crosses_to_an_engine_once_and_to_none_that_has_no_viewer() -> None:
    async with spread_room() as room:
        viewer, other, neighbour = room.viewers
        producer = await room.publisher.produce_audio()
        voice = await viewer.wait_consumer(kind="audio")
        await viewer.wait_frames(voice, 5)
        async with AsyncExitStack() as stack:
            late = [await enter(stack, room.server.api, room.room_id) for _ in range(ENGINES)]
            for person in late:
                await person.wait_frames(await person.wait_consumer(kind="audio"), 5)
            assert sorted(map(_port, late)) == sorted(map(_port, room.viewers))
            sent, crossed = await room.after_all_is_heard(producer, voice)
            assert room.publisher.send is not None
            room.publisher.send.set_paused(producer.source.mid, False)
            await viewer.wait_frames(voice, 50)
            more, crossed_more = await room.after_all_is_heard(producer, voice)
            room.publisher.send.set_paused(producer.source.mid, False)
            # Two engines beside its own, with any number of viewers on them.
            assert crossed_more - crossed == 2 * (more - sent)
        await other.leave()
        # The mirror ends with its last viewer.
        with trio.fail_after(60):
            while sum(count["mirrors"] for count in await room.engine_counts()) > 1:
                await trio.sleep(0.05)
        await viewer.wait_frames(voice, 5)
        check([voice])
        assert neighbour.consumers


async def test_pauses_reach_the_other_engines() -> None:
    async with spread_room() as room:
        camera = await room.publisher.produce_video(frame_sizes=LAYERS, fps=20)
        await room.publisher.produce_audio()
        viewer, other, neighbour = room.viewers
        videos = {person: await person.wait_consumer(kind="video") for person in room.viewers}
        voices = {person: await person.wait_consumer(kind="audio") for person in room.viewers}
        for person, video in videos.items():
            await person.wait_frames(video, 5)
        # A viewer's own pause affects only that viewer.
        await viewer.set_consumer_paused(videos[viewer], True)
        assert await stays_silent(viewer, videos[viewer], voices[viewer])
        await other.wait_frames(videos[other], 5)
        await viewer.set_consumer_paused(videos[viewer], False)
        await viewer.wait_frames(videos[viewer], 5)
        # The publisher's pause affects all viewers, although the camera sends on.
        await room.publisher.request("pauseProducer", {"producerId": camera.id})
        for person in (viewer, other, neighbour):
            assert await stays_silent(person, videos[person], voices[person])
            while not videos[person].paused:
                await trio.sleep(0.01)
        await room.publisher.request("resumeProducer", {"producerId": camera.id})
        for person in (viewer, other, neighbour):
            await person.wait_frames(videos[person], 5)
            while videos[person].paused:
                await trio.sleep(0.01)
        check(list(videos.values()))


async def test_layers_follow_what_the_publisher_sends() -> None:
    async with spread_room() as room:
        camera = await room.publisher.produce_video(frame_sizes=LAYERS, fps=20)
        viewer = room.viewers[0]
        video = await viewer.wait_consumer(kind="video")
        for active in (3, 1, 2):
            camera.source.active_layers = active  # type: ignore[union-attr]
            wanted = {"spatialLayer": active - 1, "temporalLayer": 0}
            while video.layers != wanted or (
                video.stream.last_stamp is None or video.stream.last_stamp.layer != active - 1
            ):
                await viewer.wait_frames(video)
        check([video])


async def test_a_late_joiner_on_another_engine_gets_a_key_frame() -> None:
    async with spread_room() as room:
        camera = await room.publisher.produce_video(frame_sizes=LAYERS, fps=20)
        first = room.viewers[0]
        await first.wait_frames(await first.wait_consumer(kind="video"), 20)
        # A camera with a still picture sends key frames only on request.
        async with AsyncExitStack() as stack:
            asked = camera.source.key_frame_requests  # type: ignore[union-attr]
            people = [await enter(stack, room.server.api, room.room_id) for _ in range(2)]
            for person in people:
                video = await person.wait_consumer(kind="video")
                await person.wait_frames(video, 5)
                assert video.stream.key_frames
            assert camera.source.key_frame_requests > asked  # type: ignore[union-attr]


async def test_a_camera_that_ends_and_a_publisher_who_leaves_take_their_mirrors_along() -> None:
    async with spread_room() as room:
        camera = await room.publisher.produce_video(frame_sizes=LAYERS, fps=20)
        await room.publisher.produce_audio()
        viewer = room.viewers[0]
        video = await viewer.wait_consumer(kind="video")
        voice = await viewer.wait_consumer(kind="audio")
        await viewer.wait_frames(video, 5)
        await room.publisher.close_producer(camera)
        await viewer.wait_frames(voice, 5)
        assert video.closed
        assert [count["mirrors"] for count in await room.engine_counts()] == [0, 1, 1]
        await room.publisher.leave()
        with trio.fail_after(60):
            while any(c["mirrors"] or c["producers"] for c in await room.engine_counts()):
                await trio.sleep(0.05)
        assert voice.closed

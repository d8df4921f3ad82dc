"""The thread of an engine dies under a meeting: the meeting goes on, and nobody is told of it."""

import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
import trio
from support.engine_death import let_die
from support.meeting import enter, open_meeting
from support.participant import Participant
from support.peers import PARTICIPANT
from support.plain_peer import OPUS, free_ports, open_plain_peer
from support.server import LocalServer, open_server, quick_settings
from support.wire.rtp import RtpPacket, build_rtp, parse_rtp_untrusted

PATIENCE = 20.0  # seconds, on a busy machine
MANY = 1000  # deaths that are not too many
SSRC = 4711


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
            await trio.sleep(0.005)


def sound(people: list[Participant]) -> None:
    """No packet came twice, or could not be decrypted; no stream has ended."""
    for person in people:
        for consumer in person.consumers.values():
            assert (consumer.stream.duplicates, consumer.stream.faults) == (0, [])
            assert not consumer.closed


@contextlib.asynccontextmanager
async def server(workers: int = 1, **media: object) -> AsyncIterator[LocalServer]:
    settings = quick_settings(workers=workers, spread_size=1, engine_deaths=MANY, **media)
    async with open_server(settings) as running:
        yield running


async def test_media_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    """No packet is lost: what comes meanwhile waits in the sockets."""
    async with server() as running:
        (host,) = running.running.hosts
        async with open_meeting(running.api, await running.api.create_room()) as people:
            before = received(people)
            for _ in range(5):
                await let_die(host)
                await wait_for_media(people, 5)
            assert received(people).keys() == before.keys()
            sound(people)
            assert {c.stream.lost for p in people for c in p.consumers.values()} == {0}
            assert not [r for r in caplog.records if r.levelno >= logging.CRITICAL]
            assert (await host.stats())["engine"]["resumes_refused"] == 0


@pytest.mark.parametrize("dies", [0, 1])
async def test_a_room_over_two_engines_goes_on(dies: int) -> None:
    async with server(2) as running:
        async with open_meeting(running.api, await running.api.create_room()) as people:
            before = received(people)
            for _ in range(5):
                await let_die(running.running.hosts[dies])
                await wait_for_media(people, 5)
            assert received(people).keys() == before.keys()
            sound(people)


async def test_who_comes_later_is_served() -> None:
    async with server() as running, AsyncExitStack() as stack:
        (host,) = running.running.hosts
        room_id = await running.api.create_room()
        ada = await enter(stack, running.api, room_id)
        await ada.produce_audio()
        await let_die(host)
        bob = await enter(stack, running.api, room_id)
        await bob.produce_video(frame_sizes=(300, 1500), fps=10)
        await bob.wait_frames(await bob.wait_consumer(kind="audio"), 5)
        await ada.wait_frames(await ada.wait_consumer(kind="video"), 5)
        sound([ada, bob])


async def test_who_comes_meanwhile_is_connected() -> None:
    """A handshake goes on with the next engine."""
    async with server() as running, trio.open_nursery() as nursery:
        (host,) = running.running.hosts
        disturbance = trio.CancelScope()

        async def disturb() -> None:
            with disturbance:
                while True:
                    await let_die(host)
                    await trio.sleep(0.05)

        room_id = await running.api.create_room()
        with trio.fail_after(60):
            async with AsyncExitStack() as stack:
                ada = await enter(stack, running.api, room_id)
                await ada.produce_audio(interval=0.02)
                nursery.start_soon(disturb)
                people = [await enter(stack, running.api, room_id) for _ in range(3)]
                for person in people:
                    await person.wait_frames(await person.wait_consumer(kind="audio"), 5)
                disturbance.cancel()
                assert host.restarts > 3
                await wait_for_media(people, 5)
                sound(people)


async def test_what_is_paused_stays_paused() -> None:
    async with server() as running:
        (host,) = running.running.hosts
        async with open_meeting(running.api, await running.api.create_room()) as (ada, bob):
            camera = await ada.wait_consumer(kind="video")
            voice = await ada.wait_consumer(kind="audio")
            await ada.set_consumer_paused(camera, True)
            producer = next(p for p in ada.producers.values() if p.kind == "audio")
            await ada.set_producer_paused(producer, True)
            await ada.wait_frames(voice, 5)
            heard = await bob.wait_consumer(kind="audio")
            shown, said = camera.stream.packets, heard.stream.packets
            await let_die(host)
            await ada.wait_frames(voice, 20)
            assert (camera.stream.packets, heard.stream.packets) == (shown, said)
            await ada.set_consumer_paused(camera, False)
            await ada.set_producer_paused(producer, False)
            await ada.wait_frames(camera, 5)
            await bob.wait_frames(heard, 5)
            sound([ada, bob])


async def test_connections_of_tcp_are_made_anew() -> None:
    """They end with the engine; the transports, their keys and indices go on."""
    async with server() as running, AsyncExitStack() as stack:
        (host,) = running.running.hosts
        room_id = await running.api.create_room()
        people = [await enter(stack, running.api, room_id, tcp=tcp) for tcp in (True, False)]
        for person in people:
            await person.produce_audio(interval=0.02)
        for person in people:
            await person.wait_frames(await person.wait_consumer(kind="audio"), 5)
        before = received(people)
        for _ in range(3):
            await let_die(host)
            for end in (people[0].send, people[0].receive):
                assert end is not None
                end.transport.move()  # as a browser does when its connection has ended
            await wait_for_media(people, 10)
        assert received(people).keys() == before.keys()
        sound(people)


async def test_plain_transports_go_on() -> None:
    """With their ports, and with the addresses that they have learnt."""
    allowed = ("127.0.0.0/8",)
    async with server(plain_allowed=allowed) as running, AsyncExitStack() as stack:
        (host,) = running.running.hosts
        room_id = await running.api.create_room()
        urls = [await running.api.create_peer(room_id, PARTICIPANT) for _ in range(2)]
        sender, viewer = [await stack.enter_async_context(open_plain_peer(url)) for url in urls]
        await sender.join("sender")
        await viewer.join("viewer", "audio")
        inlet, outlet = await sender.create(producing=True), await viewer.create(producing=False)
        port = free_ports()
        sock = stack.enter_context(trio.socket.socket(type=trio.socket.SOCK_DGRAM))
        await sock.bind(("127.0.0.1", port))
        await viewer.connect(outlet, port)
        await sender.produce(inlet, "audio", ssrc=SSRC)
        await viewer.wait_consumer("audio")
        mouth = stack.enter_context(trio.socket.socket(type=trio.socket.SOCK_DGRAM))
        await mouth.connect(("127.0.0.1", inlet.port))
        heard: list[RtpPacket] = []
        for number in range(60):
            if number % 10 == 5:
                await let_die(host)
            payload = b"%d" % number
            packet = RtpPacket(
                payload_type=OPUS,
                sequence_number=number,
                timestamp=960 * number,
                ssrc=SSRC,
                payload=payload,
            )
            await mouth.send(build_rtp(packet))
            with trio.fail_after(PATIENCE):
                heard.append(parse_rtp_untrusted(await sock.recv(2048)))
        assert [p.payload for p in heard] == [b"%d" % n for n in range(60)]
        first = heard[0].sequence_number
        assert [(p.sequence_number - first) & 0xFFFF for p in heard] == list(range(60))
        assert len({p.ssrc for p in heard}) == 1

"""The engine may refuse any command at any moment: room and engine agree afterwards, and only the
owner of the stream is affected.

Each scene is played once for each command that it gives, with that command refused, and once more
with all later commands refused too.
"""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import attrs
import pytest
import trio
import trio.testing
from support.live_agreement import disagreements
from support.live_fakes import Client, FakeEvent, FakeSocket, World
from support.live_scenes import join, open_world, produce, say, transport
from support.peers import CAPABILITIES, EVERYTHING
from trio.testing import MockClock

from meet_trio.bench.rtp_parameters import audio_parameters
from meet_trio.engine import ConsumerScore, IceSilent, ProducerScore
from meet_trio.live.room import LiveRoom
from meet_trio.live.settings import RoomSettings
from meet_trio.ortc import ConsumerRtp, ProducerRtp, RtpCapabilities
from meet_trio.room import Outcome, Role, Room, templates

FINGERPRINT = {"algorithm": "sha-256", "value": ":".join(["AB"] * 32)}


@attrs.define(eq=False)
class Meeting:
    """Three people who hear each other, on two engines, so that mirrors exist in both directions.
    Ada has a microphone, Bob a webcam.
    """

    world: World
    room: LiveRoom
    people: dict[str, Client]
    mic: str
    webcam: str

    def __getitem__(self, name: str) -> Client:
        return self.people[name]

    def present(self) -> set[str]:
        return {name for name, client in self.people.items() if client.id in self.room.peers}

    def seen(self) -> set[tuple[str, str, str]]:
        """Viewer, publisher and source of each consumer."""
        names = {client.id: name for name, client in self.people.items()}
        return {
            (
                names[c.state.peer_id],
                names[c.producer.state.peer_id],
                c.producer.state.rtp.kind,
            )
            for c in self.room.consumers.values()
        }

    async def enter(self, name: str) -> Client:
        self.people[name] = await self.world.enter(self.room)
        return self.people[name]

    async def result_of(self, name: str, method: str, **data: object) -> dict[str, object]:
        """The result; empty if the request was refused."""
        _, *results = await self[name].socket.ask(method, **data) or [None]
        return results[0] if results and isinstance(results[0], dict) else {}


@contextlib.asynccontextmanager
async def open_meeting() -> AsyncIterator[Meeting]:
    async with open_world(RoomSettings(spread_size=1), engines=2) as world:
        room = await world.registry.create_room()
        people = {
            "Ada": await world.enter(room, EVERYTHING),
            "Bob": await world.enter(room),
            "Cy": await world.enter(room),
        }
        for name, client in people.items():
            await transport(client.socket, consuming=True)
            await join(client, name)
        mic, webcam = await produce(people["Ada"]), await produce(people["Bob"], "video")
        assert all(engine.mirrors for engine in world.engines)
        yield Meeting(world, room, people, mic, webcam)


Scene = Callable[[Meeting], Awaitable[None]]


async def somebody_comes(m: Meeting) -> None:
    await m.enter("Dora")
    await m.result_of("Dora", "createWebRtcTransport", consuming=True)
    await m.result_of("Dora", "join", nickname="Dora", rtpCapabilities=CAPABILITIES)


async def a_transport_is_connected(m: Meeting) -> None:
    made = await m.result_of("Cy", "createWebRtcTransport", producing=True)
    await m.result_of(
        "Cy",
        "connectWebRtcTransport",
        transportId=made.get("id", "none"),
        dtlsParameters={"role": "client", "fingerprints": [FINGERPRINT]},
    )
    for session in m.world.bridge.sessions:
        session.complete()
    await trio.testing.wait_all_tasks_blocked()


async def plain_transports(m: Meeting) -> None:
    for direction in ({"producing": True}, {"consuming": True}):
        made = await m.result_of("Cy", "createPlainTransport", **direction)
        await m.result_of(
            "Cy",
            "connectPlainTransport",
            transportId=made.get("id", "none"),
            ip="192.0.2.1",
            port=7000,
            rtcpPort=7001,
        )


async def ice_is_restarted(m: Meeting) -> None:
    (transport_id,) = m.room.peers[m["Cy"].id].transports
    await m.result_of("Cy", "restartIce", transportId=transport_id)


async def somebody_produces(m: Meeting) -> None:
    made = await m.result_of("Cy", "createWebRtcTransport", producing=True)
    await m.result_of(
        "Cy",
        "produce",
        transportId=made.get("id", "none"),
        kind="audio",
        rtpParameters=audio_parameters(mid="0", ssrc=3000, cname="c"),
        appData={"source": "mic"},
    )


async def a_producer_is_paused(m: Meeting) -> None:
    await m.result_of("Bob", "pauseProducer", producerId=m.webcam)


async def a_producer_is_paused_and_resumed(m: Meeting) -> None:
    await m.result_of("Bob", "pauseProducer", producerId=m.webcam)
    await m.result_of("Bob", "resumeProducer", producerId=m.webcam)


async def a_producer_is_closed(m: Meeting) -> None:
    await m.result_of("Ada", "closeProducer", producerId=m.mic)


async def consumers_are_paused_and_resumed(m: Meeting) -> None:
    for consumer in list(m.room.consumers.values()):
        (name,) = (n for n, c in m.people.items() if c.id == consumer.state.peer_id)
        for method in ("pauseConsumer", "resumeConsumer"):
            await m.result_of(name, method, consumerId=consumer.state.id)


async def wishes_of_viewers(m: Meeting) -> None:
    for consumer in list(m.room.consumers.values()):
        (name,) = (n for n, c in m.people.items() if c.id == consumer.state.peer_id)
        about = {"consumerId": consumer.state.id}
        await m.result_of(name, "setConsumerPreferredLayers", **about, spatialLayer=0)
        await m.result_of(name, "setConsumerPriority", **about, priority=2)
        await m.result_of(name, "requestConsumerKeyFrame", **about)
    await m.result_of("Cy", "setTransportMaxBitrate", maxBitrate=500_000)


async def a_consumer_is_refused(m: Meeting) -> None:
    m["Bob"].socket.answer_calls = [500, "no"]
    await somebody_produces(m)
    m["Bob"].socket.answer_calls = [None]


async def somebody_leaves(m: Meeting) -> None:
    m["Bob"].socket.go()
    await trio.testing.wait_all_tasks_blocked()


async def somebody_is_kicked(m: Meeting) -> None:
    await m.result_of("Ada", "moderator:kickPeer", peerId=m["Bob"].id)


async def somebody_is_lost(m: Meeting) -> None:
    m["Ada"].socket.lose()
    await trio.sleep(11)


async def a_transport_of_a_publisher_falls_silent(m: Meeting) -> None:
    transports = m.room.peers[m["Bob"].id].transports.values()
    (sending,) = (t for t in transports if t.producing)
    host = sending.host
    host._dispatch(IceSilent(sending.number))
    await trio.testing.wait_all_tasks_blocked()


async def a_transport_of_a_viewer_falls_silent(m: Meeting) -> None:
    (receiving,) = m.room.peers[m["Cy"].id].transports.values()
    receiving.host._dispatch(IceSilent(receiving.number))
    await trio.testing.wait_all_tasks_blocked()


async def somebody_joins_again(m: Meeting) -> None:
    await m.result_of("Cy", "join", nickname="Cy", rtpCapabilities=CAPABILITIES)


async def a_publisher_is_silenced_and_not(m: Meeting) -> None:
    for method in ("moderator:removeRole", "moderator:addRole"):
        await m.result_of("Ada", method, peerId=m["Bob"].id, role=int(Role.PUBLISHER))


async def a_publisher_is_silenced(m: Meeting) -> None:
    await m.result_of("Ada", "moderator:removeRole", peerId=m["Bob"].id, role=int(Role.PUBLISHER))


async def scores_are_told(m: Meeting) -> None:
    for consumer in m.room.consumers.values():
        consumer.transport.host._dispatch(ConsumerScore(consumer.number, 3))
    for producer in m.room.producers.values():
        producer.transport.host._dispatch(ProducerScore(producer.number, (3,)))
    asked = say(m["Ada"].socket, "dumpStats")
    await trio.sleep(5)  # two engines that do not answer for two seconds each
    assert asked.answer is not None


async def the_room_is_closed(m: Meeting) -> None:
    await m.result_of("Ada", "moderator:closeRoom")
    await trio.sleep(1)
    assert m.room.id not in m.world.registry.rooms


async def speakers_are_asked_for(m: Meeting) -> None:
    await m.result_of("Cy", "subscribeSpeakers", audioLevels=True)
    made = await m.result_of("Cy", "createWebRtcTransport", producing=True)
    await m.result_of(
        "Cy",
        "produce",
        transportId=made.get("id", "none"),
        kind="audio",
        rtpParameters=audio_parameters(mid="0", ssrc=3000, cname="c"),
        appData={"source": "mic"},
    )


async def cameras_are_held_back(m: Meeting) -> None:
    await m.result_of("Ada", "moderator:setLastN", n=0)
    await trio.sleep(2)
    await m.result_of("Cy", "setPinnedPeers", peerIds=[m["Bob"].id])
    await m.result_of("Ada", "moderator:setLastN", n=None)
    await trio.sleep(2)


SCENES: list[Scene] = [
    speakers_are_asked_for,
    cameras_are_held_back,
    somebody_comes,
    a_transport_is_connected,
    plain_transports,
    ice_is_restarted,
    somebody_produces,
    a_producer_is_paused,
    a_producer_is_paused_and_resumed,
    a_producer_is_closed,
    consumers_are_paused_and_resumed,
    wishes_of_viewers,
    a_consumer_is_refused,
    somebody_leaves,
    somebody_is_kicked,
    somebody_is_lost,
    a_transport_of_a_publisher_falls_silent,
    a_transport_of_a_viewer_falls_silent,
    somebody_joins_again,
    a_publisher_is_silenced,
    a_publisher_is_silenced_and_not,
    scores_are_told,
    the_room_is_closed,
]


@attrs.frozen
class Played:
    commands: int
    refused: list[str]
    present: set[str]
    seen: set[tuple[str, str, str]]


async def play(scene: Scene, at: int, *, lasting: bool = False) -> Played:
    async with open_meeting() as meeting:
        faults = meeting.world.faults
        faults.arm(at, lasting=lasting)
        await scene(meeting)
        await trio.testing.wait_all_tasks_blocked()
        faults.settle()
        assert disagreements(meeting.world) == []
        played = Played(faults.given, faults.refused, meeting.present(), meeting.seen())
        if meeting.world.registry.rooms:
            await go_on(meeting)
        return played


async def go_on(meeting: Meeting) -> None:
    """Everyone present does what they could do before."""
    for name in sorted(meeting.present()):
        client = meeting[name]
        if client.socket.reason is not None:
            await client.connect()
        assert await client.socket.ask("chatMessage", message="still here") == []
        peer = meeting.room.state.peers[client.id]
        if peer.joined and Role.PUBLISHER in peer.role:
            producer_id = await produce(client)
            viewers = {
                c.state.peer_id
                for c in meeting.room.consumers.values()
                if c.state.producer_id == producer_id
            }
            assert viewers == {
                other.id
                for other in meeting.room.state.peers.values()
                if other.id != client.id and other.joined and other.receiving
            }
        assert disagreements(meeting.world) == []


@pytest.mark.parametrize("lasting", [False, True], ids=["once", "lasting"])
@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
async def test_a_refused_command(
    autojump_clock: MockClock, scene: Scene, lasting: bool, caplog: pytest.LogCaptureFixture
) -> None:
    usual = await play(scene, 10**9)
    assert usual.commands > 0
    assert usual.refused == []
    for at in range(usual.commands):
        with_fault = await play(scene, at, lasting=lasting)
        assert with_fault.refused, f"command {at} of {usual.commands} was not given"
        assert with_fault.present == usual.present
        if not lasting:
            lost = usual.seen - with_fault.seen
            viewers = {viewer for viewer, _, _ in lost}
            streams = {(whose, which) for _, whose, which in lost}
            assert min(len(viewers), len(streams)) <= 1, (with_fault.refused, lost)
    logged = {record.msg for record in caplog.records}
    assert not logged & {"the room failed", "the peer failed"}


class Broken(FakeSocket):
    """A socket that fails in one way in which a socket never fails."""

    def __init__(self, fails: str) -> None:
        super().__init__()
        self.fails = fails

    def emit(self, event: str, message: dict[str, object]) -> None:
        if self.fails == "emit":
            raise ZeroDivisionError
        super().emit(event, message)

    def start_call(self, *args: Any, **how: Any) -> int:
        if self.fails == "call":
            raise ZeroDivisionError
        return super().start_call(*args, **how)

    async def disconnect(self, *, close: bool = True) -> None:
        await super().disconnect(close=close)
        if self.fails == "disconnect":
            raise ZeroDivisionError


async def break_socket(meeting: Meeting, name: str, fails: str) -> None:
    client = meeting[name]
    client.socket = Broken("nothing yet")
    meeting.world.nursery.start_soon(meeting.room.peers[client.id].serve, client.socket)
    await trio.testing.wait_all_tasks_blocked()
    client.socket.fails = fails


async def test_one_who_cannot_be_told_is_the_only_one_who_is_not(
    autojump_clock: MockClock,
) -> None:
    async with open_meeting() as meeting:
        await break_socket(meeting, "Bob", "emit")
        assert await meeting["Ada"].socket.ask("chatMessage", message="hi") == []
        assert len(meeting["Cy"].socket.notices("chatMessage")) == 1
        meeting.room.signal("news", 1, None)
        assert len(meeting["Cy"].socket.notices("signal:news")) == 1
        # Advice that cannot be delivered does not end the room.
        for consumer in meeting.room.consumers.values():
            consumer.transport.host._dispatch(ConsumerScore(consumer.number, 3))
        await trio.testing.wait_all_tasks_blocked()
        assert meeting["Cy"].socket.notices("consumerScoreChanged")
        assert meeting.present() == {"Ada", "Bob", "Cy"}


async def test_one_who_cannot_be_asked_gets_no_consumer(autojump_clock: MockClock) -> None:
    async with open_meeting() as meeting:
        await break_socket(meeting, "Bob", "call")
        before = meeting.seen()
        await produce(meeting["Ada"], "video")
        assert meeting.seen() - before == {("Cy", "Ada", "video")}
        assert disagreements(meeting.world) == []
        assert meeting.present() == {"Ada", "Bob", "Cy"}


async def test_one_whose_answer_cannot_be_sent_has_all_the_same_been_heard(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_meeting() as meeting:

        def no_answer(self: FakeEvent, *args: object) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr(FakeEvent, "ack", no_answer)
        say(meeting["Ada"].socket, "closeProducer", producerId=meeting.mic)
        await trio.testing.wait_all_tasks_blocked()
        assert len(meeting["Bob"].socket.notices("consumerClosed")) == 1
        assert disagreements(meeting.world) == []
        assert meeting.present() == {"Ada", "Bob", "Cy"}


async def test_webhooks_that_fail_end_nothing(autojump_clock: MockClock) -> None:
    async with open_meeting() as meeting:
        object.__setattr__(meeting.room.context, "webhook", lambda webhook: 1 // 0)
        answer = await meeting["Ada"].socket.ask("moderator:joinRequestAccept", requestId="1")
        assert answer == []
        assert meeting.present() == {"Ada", "Bob", "Cy"}


async def test_capabilities_that_go_with_no_stream_harm_nobody_else(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = templates.negotiate_consumer

    def not_for_bob(
        rtp: ProducerRtp, capabilities: RtpCapabilities, *rest: Any
    ) -> ConsumerRtp | None:
        if not capabilities.header_extensions:
            raise ZeroDivisionError
        return real(rtp, capabilities, *rest)

    monkeypatch.setattr(templates, "negotiate_consumer", not_for_bob)
    async with open_meeting() as meeting:
        odd = {**CAPABILITIES, "headerExtensions": []}
        await meeting.result_of("Bob", "join", nickname="Bob", rtpCapabilities=odd)
        before = meeting.seen()
        await produce(meeting["Ada"], "video")
        assert meeting.seen() - before == {("Cy", "Ada", "video")}
        assert disagreements(meeting.world) == []
        assert meeting.present() == {"Ada", "Bob", "Cy"}


async def test_what_goes_wrong_with_one_stream_of_a_lost_transport_is_not_the_others(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_meeting() as meeting:
        (first, *others) = (
            c for c in meeting.room.consumers.values() if c.state.peer_id == meeting["Cy"].id
        )
        assert others
        real = Room.remove_consumer

        def not_the_first(self: Room, consumer_id: str, *, refused: bool = False) -> Outcome:
            if consumer_id == first.state.id:
                raise ZeroDivisionError
            return real(self, consumer_id, refused=refused)

        monkeypatch.setattr(Room, "remove_consumer", not_the_first)
        await a_transport_of_a_viewer_falls_silent(meeting)
        left = [c for c in meeting.room.consumers.values() if c.state.peer_id == meeting["Cy"].id]
        assert left == [first]
        assert meeting.present() == {"Ada", "Bob", "Cy"}
        assert await meeting["Cy"].socket.ask("chatMessage", message="hi") == []


@pytest.mark.parametrize("whole_server", [False, True])
async def test_a_fault_at_the_end_of_a_peer_stays_its_own(
    autojump_clock: MockClock, whole_server: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """It also holds when the fault comes together with a cancellation."""
    async with open_meeting() as meeting:
        await break_socket(meeting, "Bob", "disconnect")
        if not whole_server:
            meeting.room.close()
            await trio.sleep(2)
            assert not meeting.world.registry.rooms
    logged = {record.msg for record in caplog.records}
    assert "the peer failed" in logged
    assert "the room failed" not in logged

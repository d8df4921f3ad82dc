"""Rooms and peers as tasks, with a clock that jumps: peers come and go, and nothing is left."""

import itertools
import json

import attrs
import pytest
import trio
import trio.testing
from support.live_fakes import Client, FakeSocket
from support.live_scenes import join, open_world, pair, produce, transport
from support.peers import EVERYTHING, PARTICIPANT
from trio.testing import MockClock

from meet_trio.bench.rtp_parameters import simulcast_encodings, video_parameters
from meet_trio.engine import (
    AudioLevel,
    ConsumerScore,
    IceSilent,
    LayerChanged,
    ProducerScore,
    StreamStarted,
)
from meet_trio.errors import LimitExceeded, NotFound
from meet_trio.live.figures import RoomsFigures
from meet_trio.live.settings import PeerSettings, RoomSettings
from meet_trio.room import Role

FINGERPRINT = {"algorithm": "sha-256", "value": ":".join(["AB"] * 32)}


async def test_first_socket_is_greeted_and_the_last_to_leave_ends_the_room(
    autojump_clock: MockClock,
) -> None:
    async with open_world() as world:
        room = await world.registry.create_room()
        ada = await world.enter(room)
        assert ada.socket.log == [("notice", "roomReady", {"iceServers": None, "roomId": room.id})]
        assert await ada.socket.ask("ping") == [None]
        ada.socket.go()
        await trio.sleep(9)
        assert room.id in world.registry.rooms
        await trio.sleep(2)
        assert not world.registry.rooms
        assert [hook.event for hook in world.webhooks] == ["roomClosed"]


async def test_who_is_invited_while_the_room_closes_holds_up_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """At each moment of the room's end the invitation succeeds, or there is no room any more."""
    for earlier in range(3):
        async with open_world() as world:
            room = await world.registry.create_room()
            for _ in range(earlier):
                await world.enter(room)
            room.close()
            refused = False
            with trio.fail_after(5):
                while room.id in world.registry.rooms:
                    try:
                        room.invite(PARTICIPANT)
                    except NotFound:
                        refused = True
                    await trio.lowlevel.checkpoint()
            assert refused or not room.peers
            with pytest.raises(NotFound, match="closing"):
                room.invite(PARTICIPANT)
    assert caplog.records == [] or all(r.levelname == "INFO" for r in caplog.records)


async def test_a_room_that_is_closed_right_after_an_invitation(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with open_world() as world:
        room = await world.registry.create_room()
        owner = await world.enter(room, EVERYTHING)
        room.invite(PARTICIPANT)
        room.perform(room.state.close_by(owner.id))
        await trio.testing.wait_all_tasks_blocked()
        assert not world.registry.rooms
    assert "failed" not in caplog.text


async def test_room_that_nobody_joins_and_peer_that_never_connects_expire(
    autojump_clock: MockClock,
) -> None:
    async with open_world() as world:
        room = await world.registry.create_room()
        room.invite(Role(3))
        assert len(room.peers) == 1
        await trio.sleep(61)
        assert len(room.peers) == 0
        assert room.id in world.registry.rooms
        await trio.sleep(300)
        assert not world.registry.rooms


async def test_wrong_token_is_not_admitted(autojump_clock: MockClock) -> None:
    async with open_world() as world:
        room = await world.registry.create_room()
        invitation = room.invite(Role(3))
        assert room.admit(invitation.peer_id, "x" * 32) is None
        assert room.admit("nobody", invitation.auth_token) is None
        assert room.admit(invitation.peer_id, invitation.auth_token) is not None


async def test_lost_socket_may_come_back_within_the_grace(autojump_clock: MockClock) -> None:
    async with open_world() as world:
        room, ada, bob = await pair(world)
        bob.socket.lose()
        await trio.sleep(9)
        await ada.socket.ask("chatMessage", message="while you were out")
        await bob.connect()
        assert bob.socket.notices() == [
            ("roomBack", {}),
            (
                "chatMessage",
                {"peerId": ada.id, "nickname": "Ada", "message": "while you were out"},
            ),
        ]
        await trio.sleep(60)
        assert ada.socket.notices("peerClosed") == []
        assert len(room.peers) == 2
        bob.socket.lose()
        await trio.sleep(11)
        assert ada.socket.notices("peerClosed") == [{"peerId": bob.id}]
        assert room.admit(bob.id, bob.token) is None


async def test_second_socket_takes_the_place_of_the_first(autojump_clock: MockClock) -> None:
    async with open_world() as world:
        _, ada, bob = await pair(world)
        first = bob.socket
        await bob.connect()
        assert first.reason is not None
        assert bob.socket.notices() == [("roomBack", {})]
        assert await bob.socket.ask("ping") == [None]
        # The end of the first socket arrives late and is no news.
        await trio.sleep(30)
        assert bob.socket.reason is None
        assert ada.socket.notices("peerClosed") == []


async def test_leaving_on_purpose_is_heard_at_once(autojump_clock: MockClock) -> None:
    async with open_world() as world:
        _, ada, bob = await pair(world)
        bob.socket.go()
        await trio.testing.wait_all_tasks_blocked()
        assert ada.socket.notices("peerClosed") == [{"peerId": bob.id}]


async def test_a_producer_reaches_who_has_joined_and_can_receive(autojump_clock: MockClock) -> None:
    async with open_world() as world:
        room, ada, bob = await pair(world)
        producer_id = await produce(ada)
        (call,) = bob.socket.calls
        assert call[0] == "newConsumer"
        assert call[1]["producerId"] == producer_id
        assert call[1]["peerId"] == ada.id
        assert len(world.engine.consumers) == 1
        # A late peer is offered the stream when it has a transport.
        cy = await world.enter(room)
        await join(cy, "Cy")
        assert cy.socket.calls == []
        await transport(cy.socket, consuming=True)
        assert [method for method, _ in cy.socket.calls] == ["newConsumer"]
        await ada.socket.ask("closeProducer", producerId=producer_id)
        assert bob.socket.notices("consumerClosed") == [{"consumerId": call[1]["id"]}]
        assert world.engine.consumers == {}
        assert world.engine.producers == {}


async def test_video_flows_only_once_the_client_has_answered(autojump_clock: MockClock) -> None:
    async with open_world() as world:
        _, ada, bob = await pair(world)
        bob.socket.answer_calls = None
        await produce(ada, "video")
        assert list(world.engine.consumer_paused.values()) == [True]
        await trio.sleep(21)
        # The second try offers the same consumer; a new socket comes in between.
        assert [data["id"] for _, data in bob.socket.calls] == [bob.socket.calls[0][1]["id"]] * 2
        bob.socket.lose()
        await bob.connect()
        assert [method for method, _ in bob.socket.calls] == ["newConsumer"]
        assert list(world.engine.consumer_paused.values()) == [False]


@pytest.mark.parametrize("answer", [None, [500, "no"]])
async def test_unanswered_or_refused_consumer_is_given_up(
    autojump_clock: MockClock, answer: list[object] | None
) -> None:
    async with open_world() as world:
        _, ada, bob = await pair(world)
        bob.socket.answer_calls = answer
        await produce(ada, "video")
        await trio.sleep(61)
        assert len(bob.socket.calls) == (3 if answer is None else 1)
        assert world.engine.consumers == {}
        # The next change in the room does not offer it again.
        await ada.socket.ask("chatMessage", message="hi")
        await trio.testing.wait_all_tasks_blocked()
        assert world.engine.consumers == {}


async def test_no_stream_is_given_an_ssrc_that_another_had(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    dice = itertools.cycle((2**32 - 2, 5))
    monkeypatch.setattr("meet_trio.live.room_streams.random_ssrc", lambda: next(dice))
    async with open_world() as world:
        _, ada, bob = await pair(world)
        for _ in range(2):
            producer_id = await produce(ada, "video")
            await ada.socket.ask("closeProducer", producerId=producer_id)
        (first,), (second,) = [
            call["rtpParameters"]["encodings"]
            for method, call in bob.socket.calls
            if method == "newConsumer"
        ]
        assert (first["ssrc"], first["rtx"]["ssrc"]) == (2**32 - 1, 1)
        assert (second["ssrc"], second["rtx"]["ssrc"]) == (2, 3)


async def test_offer_ends_with_its_producer(autojump_clock: MockClock) -> None:
    async with open_world() as world:
        _, ada, bob = await pair(world)
        bob.socket.answer_calls = None
        producer_id = await produce(ada)
        await ada.socket.ask("closeProducer", producerId=producer_id)
        await trio.sleep(70)
        assert len(bob.socket.calls) == 1


async def test_pauses_reach_the_engine(autojump_clock: MockClock) -> None:
    async with open_world() as world:
        _, ada, bob = await pair(world)
        producer_id = await produce(ada)
        consumer_id = bob.socket.calls[0][1]["id"]
        for method, key, id_, table, wanted in (
            ("pauseProducer", "producerId", producer_id, world.engine.producer_paused, True),
            ("resumeProducer", "producerId", producer_id, world.engine.producer_paused, False),
        ):
            assert await ada.socket.ask(method, **{key: id_}) == []
            assert list(table.values()) == [wanted]
        assert [m for m, _ in bob.socket.notices() if m.startswith("consumer")] == [  # type: ignore[misc]
            "consumerPaused",
            "consumerResumed",
        ]
        for method, wanted in (("pauseConsumer", True), ("resumeConsumer", False)):
            assert await bob.socket.ask(method, consumerId=consumer_id) == []
            assert list(world.engine.consumer_paused.values()) == [wanted]


async def test_who_loses_publisher_is_not_forwarded(autojump_clock: MockClock) -> None:
    async with open_world() as world:
        _, ada, bob = await pair(world)
        await produce(ada)
        assert list(world.engine.producer_paused.values()) == [False]
        for method, silent, notice in (
            ("moderator:removeRole", True, "consumerPaused"),
            ("moderator:addRole", False, "consumerResumed"),
        ):
            answer = await ada.socket.ask(method, peerId=ada.id, role=int(Role.PUBLISHER))
            assert answer == []
            assert list(world.engine.producer_paused.values()) == [silent]
            assert len(bob.socket.notices(notice)) == 1


async def test_transport_that_does_not_connect_or_falls_silent_is_closed(
    autojump_clock: MockClock,
) -> None:
    async with open_world() as world:
        room, ada, _ = await pair(world)
        transport_id = await transport(ada.socket, consuming=True)
        await trio.sleep(3600)  # it was not asked to connect, so it may wait
        live = room.peers[ada.id].transports[transport_id]
        answer = await ada.socket.ask(
            "connectWebRtcTransport",
            transportId=transport_id,
            dtlsParameters={"role": "client", "fingerprints": [FINGERPRINT]},
        )
        assert answer == []
        again = await ada.socket.ask(
            "connectWebRtcTransport",
            transportId=transport_id,
            dtlsParameters={"role": "client", "fingerprints": [FINGERPRINT]},
        )
        assert again == [500, "request connectWebRtcTransport failed"]
        await trio.sleep(31)
        assert transport_id not in room.peers[ada.id].transports
        assert live.number not in world.engine.transports

        second = await transport(ada.socket, consuming=True)
        live = room.peers[ada.id].transports[second]
        await ada.socket.ask(
            "connectWebRtcTransport",
            transportId=second,
            dtlsParameters={"role": "client", "fingerprints": [FINGERPRINT]},
        )
        world.bridge.sessions[-1].complete()
        await trio.sleep(3600)
        assert second in room.peers[ada.id].transports
        world.hear(IceSilent(live.number))
        await trio.testing.wait_all_tasks_blocked()
        assert second not in room.peers[ada.id].transports


async def test_a_lost_transport_takes_its_streams_along(autojump_clock: MockClock) -> None:
    async with open_world() as world:
        room, ada, bob = await pair(world)
        await produce(ada)
        (producing,) = room.peers[ada.id].transports.values()
        producing.close()
        await trio.testing.wait_all_tasks_blocked()
        assert len(bob.socket.notices("consumerClosed")) == 1
        assert world.engine.producers == {}
        assert world.engine.consumers == {}


async def test_kick_and_close(autojump_clock: MockClock) -> None:
    async with open_world() as world:
        room, ada, bob = await pair(world)
        cy = await world.enter(room)
        refused = await bob.socket.ask("moderator:kickPeer", peerId=cy.id)
        assert refused == [500, "request moderator:kickPeer failed"]
        assert await ada.socket.ask("moderator:kickPeer", peerId=cy.id) == []
        assert cy.socket.notices("moderator:kickPeer") == [{}]
        assert cy.socket.reason is not None
        assert bob.socket.notices("peerClosed") == [{"peerId": cy.id}]
        assert await ada.socket.ask("moderator:closeRoom") == []
        assert len(bob.socket.notices("moderator:closeRoom")) == 1
        await trio.testing.wait_all_tasks_blocked()
        assert bob.socket.reason is not None
        assert ada.socket.reason is not None
        assert not world.registry.rooms
        assert [hook.event for hook in world.webhooks] == ["roomClosed"]


async def test_errors_are_the_originals_and_details_are_for_those_who_ask(
    autojump_clock: MockClock,
) -> None:
    async with open_world() as world:
        _, ada, _ = await pair(world)
        plain = await ada.socket.ask("produce", transportId=7)
        assert plain == [500, "request produce failed"]
        assert await ada.socket.ask("dance") == [500, 'unknown request.method "dance"']
        await ada.connect(details="1")
        detailed = await ada.socket.ask("restartIce", transportId="nope")
        assert detailed[:2] == [500, "request restartIce failed"]
        assert "transportId" in str(detailed[2])


async def test_advice_of_the_engine_reaches_the_viewer(autojump_clock: MockClock) -> None:
    async with open_world() as world:
        room, ada, bob = await pair(world)
        await produce(ada, "video")
        (consumer,) = room.consumers.values()
        world.hear(ConsumerScore(consumer.number, 7))
        await trio.testing.wait_all_tasks_blocked()
        (score,) = bob.socket.notices("consumerScoreChanged")
        assert isinstance(score, dict)
        assert score["consumerId"] == consumer.state.id
        assert score["score"]["score"] == 7
        (producer,) = room.producers.values()
        world.hear(ProducerScore(producer.number, (4,)))
        await trio.testing.wait_all_tasks_blocked()
        _, score = bob.socket.notices("consumerScoreChanged")
        assert isinstance(score, dict)
        assert score["score"] == {"score": 7, "producerScore": 4, "producerScores": [4]}
        # A stream without simulcast has no layers to report.
        world.hear(LayerChanged(consumer.number, 0, 0))
        await trio.testing.wait_all_tasks_blocked()
        assert bob.socket.notices("consumerLayersChanged") == []


async def test_a_viewer_hears_which_layers_it_gets(autojump_clock: MockClock) -> None:
    async with open_world() as world:
        room, ada, bob = await pair(world)
        bob.socket.answer_calls = None  # it does not know the consumer yet
        parameters = video_parameters(mid="1", encodings=simulcast_encodings(2), cname="c")
        answer = await ada.socket.ask(
            "produce",
            transportId=await transport(ada.socket, consuming=False),
            kind="video",
            rtpParameters=parameters,
            appData={"source": "webcam"},
        )
        assert answer[0] is None
        (consumer,) = room.consumers.values()
        world.hear(LayerChanged(consumer.number, 0, 0))
        await trio.testing.wait_all_tasks_blocked()
        assert bob.socket.notices("consumerLayersChanged") == []
        bob.socket.lose()
        await bob.connect()
        for layers in ((1, 2), (None, None)):
            world.hear(LayerChanged(consumer.number, *layers))
            await trio.testing.wait_all_tasks_blocked()
        about = {"consumerId": consumer.state.id}
        assert bob.socket.notices("consumerLayersChanged") == [
            {**about, "layers": {"spatialLayer": 1, "temporalLayer": 2}},
            about,  # no layer is sent
        ]


async def simulcast(client: Client, **extra: object) -> str:
    """A new producer with three layers."""
    answer = await client.socket.ask(
        "produce",
        transportId=await transport(client.socket, consuming=False),
        kind="video",
        rtpParameters=video_parameters(mid="1", encodings=simulcast_encodings(3), cname="c"),
        appData={"source": "webcam"},
        **extra,
    )
    assert answer[0] is None, answer
    assert isinstance(answer[1], dict)
    return str(answer[1]["id"])


async def test_the_producers_score_is_that_of_the_layer_that_is_sent(
    autojump_clock: MockClock,
) -> None:
    """The order and the numbers are those of ``cSim`` in mediasoup's recorded events."""
    async with open_world() as world:
        room, ada, bob = await pair(world)
        await simulcast(ada)
        (consumer,), (producer,) = room.consumers.values(), room.producers.values()
        number = consumer.number
        for event in (
            ProducerScore(producer.number, (10, 0, 0)),
            LayerChanged(number, 0, 0),
            ProducerScore(producer.number, (8, 10, 0)),
            LayerChanged(number, 1, 2),
            LayerChanged(number, None, None),
            ProducerScore(producer.number, (6, 5, 0)),
        ):
            world.hear(event)
            await trio.testing.wait_all_tasks_blocked()
        heard = [(m, d) for m, d in bob.socket.notices() if m.startswith("consumer")]  # type: ignore[misc]
        about = {"consumerId": consumer.state.id}

        def score(current: int, *scores: int) -> tuple[str, object]:
            data = {"score": 10, "producerScore": current, "producerScores": [*scores]}
            return ("consumerScoreChanged", {**about, "score": data})

        def layers(spatial: int, temporal: int) -> tuple[str, object]:
            data = {"spatialLayer": spatial, "temporalLayer": temporal}
            return ("consumerLayersChanged", {**about, "layers": data})

        assert heard == [
            score(0, 10, 0, 0),
            layers(0, 0),
            score(10, 10, 0, 0),
            score(8, 8, 10, 0),
            layers(1, 2),
            score(10, 8, 10, 0),
            ("consumerLayersChanged", about),
            score(0, 6, 5, 0),
        ]


async def test_wishes_reach_the_engine(autojump_clock: MockClock) -> None:
    async with open_world() as world:
        room, ada, bob = await pair(world)
        await simulcast(ada)
        (consumer,) = room.consumers.values()
        engine, number = world.engine, consumer.number
        about = {"consumerId": consumer.state.id}
        ask = bob.socket.ask
        assert await ask("setConsumerPreferredLayers", **about, spatialLayer=1) == []
        assert engine.preferred_layers == {number: (1, 7)}
        wish = {**about, "spatialLayer": 0, "temporalLayer": 1}
        assert await ask("setConsumerPreferredLayers", **wish) == []
        assert engine.preferred_layers == {number: (0, 1)}
        assert engine.priorities == {}
        assert await ask("setConsumerPriority", **about, priority=9) == []
        assert engine.priorities == {number: 9}
        for _ in range(2):
            assert await ask("requestConsumerKeyFrame", **about) == []
        assert engine.keyframes == {number: 2}
        # what does not change costs the engine nothing
        engine.preferred_layers.clear()
        engine.priorities.clear()
        await ask("setConsumerPreferredLayers", **wish)
        await ask("setConsumerPriority", **about, priority=9)
        assert (engine.preferred_layers, engine.priorities) == ({}, {})
        for method, data in (
            ("setConsumerPreferredLayers", {"spatialLayer": 2}),
            ("setConsumerPriority", {"priority": 2}),
            ("requestConsumerKeyFrame", {}),
        ):
            failed = [500, f"request {method} failed"]
            assert await ada.socket.ask(method, **about, **data) == failed  # type: ignore[arg-type]
        assert (engine.preferred_layers, engine.priorities) == ({}, {})
        assert engine.keyframes == {number: 2}


async def test_a_screen_comes_before_cameras(autojump_clock: MockClock) -> None:
    async with open_world() as world:
        room, ada, _ = await pair(world)
        await produce(ada, "video")
        answer = await ada.socket.ask(
            "produce",
            transportId=await transport(ada.socket, consuming=False),
            kind="video",
            rtpParameters=video_parameters(mid="1", encodings=[{"ssrc": 5000}], cname="c"),
            appData={"source": "screen"},
        )
        assert answer[0] is None
        await trio.testing.wait_all_tasks_blocked()
        _, screen = room.consumers.values()
        assert world.engine.priorities == {screen.number: 100}


async def test_a_cap_on_what_a_client_is_sent(autojump_clock: MockClock) -> None:
    async with open_world() as world:
        room, ada, bob = await pair(world)
        ask = bob.socket.ask
        assert await ask("setTransportMaxBitrate", maxBitrate=500_000) == []
        (receiving,) = room.peers[bob.id].transports.values()
        assert world.engine.max_outgoing == {receiving.number: 500_000}
        assert await ask("setTransportMaxBitrate", transportId=receiving.id, maxBitrate=0) == []
        assert world.engine.max_outgoing == {receiving.number: 0}
        failed = [500, "request setTransportMaxBitrate failed"]
        assert await ada.socket.ask("setTransportMaxBitrate", maxBitrate=0) == failed
        sending = await transport(bob.socket, consuming=False)
        for transport_id in (sending, "nope"):
            assert (
                await ask("setTransportMaxBitrate", transportId=transport_id, maxBitrate=50_000)
                == failed
            )
        assert world.engine.max_outgoing == {receiving.number: 0}


async def test_publishers_who_ask_hear_which_layers_are_wanted(autojump_clock: MockClock) -> None:
    async with open_world() as world:
        room, ada, bob = await pair(world)
        await simulcast(ada)  # does not ask
        unwatched = bob.socket.calls[-1][1]["id"]
        assert await bob.socket.ask("pauseConsumer", consumerId=unwatched) == []
        producer_id = await simulcast(ada, layersWanted=True)
        consumer_id = bob.socket.calls[-1][1]["id"]

        def heard() -> list[int | None]:
            notices = ada.socket.notices("producerLayersWanted")
            assert all(n["producerId"] == producer_id for n in notices)  # type: ignore[call-overload,index]
            return [n["spatialLayer"] for n in notices]  # type: ignore[call-overload,index]

        async def wish(layer: int) -> None:
            answer = await bob.socket.ask(
                "setConsumerPreferredLayers", consumerId=consumer_id, spatialLayer=layer
            )
            assert answer == []

        await trio.sleep(10)
        assert heard() == []  # all layers are wanted, as at first
        await wish(0)
        await trio.sleep(4.9)
        assert heard() == []
        await trio.sleep(0.2)
        assert heard() == [0]
        await wish(1)
        await wish(2)
        assert heard() == [0, 1, 2]
        assert await bob.socket.ask("pauseConsumer", consumerId=consumer_id) == []
        await trio.sleep(5.1)
        assert heard() == [0, 1, 2, None]
        # a new viewer wants all layers until it says something else
        cy = await world.enter(room)
        await transport(cy.socket, consuming=True)
        await join(cy, "Cy")
        assert heard() == [0, 1, 2, None, 2]
        cy.socket.go()
        await trio.sleep(5.1)
        assert heard() == [0, 1, 2, None, 2, None]
        assert await ada.socket.ask("closeProducer", producerId=producer_id) == []
        await trio.sleep(10)
        assert len(heard()) == 6


async def test_limits(autojump_clock: MockClock) -> None:
    settings = PeerSettings(max_transports=2)
    async with open_world(RoomSettings(max_rooms=1), settings) as world:
        room = await world.registry.create_room()
        with pytest.raises(LimitExceeded, match="rooms"):
            await world.registry.create_room()
        ada = await world.enter(room)
        for _ in range(2):
            await transport(ada.socket, consuming=True)
        assert await ada.socket.ask("createWebRtcTransport") == [
            500,
            "request createWebRtcTransport failed",
        ]


async def test_backlog_of_a_missing_peer_is_bounded(autojump_clock: MockClock) -> None:
    async with open_world(peer_settings=PeerSettings(max_backlog=5)) as world:
        room, ada, bob = await pair(world)
        bob.socket.lose()
        await trio.testing.wait_all_tasks_blocked()
        for i in range(7):
            await ada.socket.ask("chatMessage", message=str(i))
        assert bob.id not in room.peers
        assert ada.socket.notices("peerClosed") == [{"peerId": bob.id}]


async def test_cancelled_amid_everything_leaves_nothing(autojump_clock: MockClock) -> None:
    for moment in (0.0, 0.5, 10.5, 25.0):
        async with open_world() as world:
            room, ada, bob = await pair(world)
            bob.socket.answer_calls = None
            await produce(ada, "video")
            bob.socket.lose()
            await trio.sleep(moment)
            room.close()
            await trio.testing.wait_all_tasks_blocked()
            assert not world.registry.rooms
            assert attrs.asdict(world.registry, recurse=False)["rooms"] == {}


async def test_of_advice_that_waits_the_newest_is_heard_and_none_is_lost(
    autojump_clock: MockClock,
) -> None:
    async with open_world() as world:
        room, ada, bob = await pair(world)
        cy = await world.enter(room)
        await transport(cy.socket, consuming=True)
        await join(cy, "Cy")
        await produce(ada, "video")
        (producer,) = room.producers.values()
        for score in range(10_000):
            for consumer in room.consumers.values():
                world.hear(ConsumerScore(consumer.number, score % 11))
            world.hear(ProducerScore(producer.number, (score % 9,)))
        await trio.testing.wait_all_tasks_blocked()
        for client in (bob, cy):
            *_, last = client.socket.notices("consumerScoreChanged")
            assert isinstance(last, dict)
            assert last["score"] == {
                "score": 9_999 % 11,
                "producerScore": 9_999 % 9,
                "producerScores": [9_999 % 9],
            }
            assert len(client.socket.notices("consumerScoreChanged")) == 2


async def test_what_rooms_have_no_use_for_does_not_reach_them(autojump_clock: MockClock) -> None:
    async with open_world() as world:
        room, ada, _ = await pair(world)
        await produce(ada)
        (producer,) = room.producers.values()
        world.hear(AudioLevel(producer.number, -30))
        assert len(room.streams.advice) == 0
        world.hear(ProducerScore(producer.number, (3,)))
        world.hear(StreamStarted(producer.number, 0, 1000))
        world.hear(StreamStarted(producer.number, 1, 2000))
        assert len(room.streams.advice) == 2
        # Waiting advice about a closed producer is dropped.
        room.perform(room.state.close_producer(ada.id, producer.state.id))
        assert len(room.streams.advice) == 0


class SlowSocket(FakeSocket):
    """Takes its time to say goodbye."""

    async def disconnect(self, *, close: bool = True) -> None:
        await trio.sleep(0.5)
        await super().disconnect(close=close)


@pytest.mark.parametrize("closing", [False, True])
async def test_figures_while_peers_are_kicked_and_rooms_close(
    autojump_clock: MockClock, closing: bool
) -> None:
    async with open_world() as world:
        room, ada, bob = await pair(world)
        other = await world.registry.create_room()
        owner = await world.enter(other, EVERYTHING)
        bob.socket = SlowSocket()
        world.nursery.start_soon(room.peers[bob.id].serve, bob.socket)
        owner.socket = SlowSocket()
        world.nursery.start_soon(other.peers[owner.id].serve, owner.socket)
        await trio.sleep(1)
        figures: dict[str, object] = {}

        async def ask() -> None:  # this takes two seconds, because the fake engine does not answer
            figures.update(json.loads(await RoomsFigures().collect(world.registry.rooms.values())))

        world.nursery.start_soon(ask)
        await trio.sleep(1.9)
        room.perform(room.state.kick(ada.id, bob.id))
        if closing:
            other.perform(other.state.close_by(owner.id))
        await trio.sleep(0.2)
        assert bob.id in room.peers  # it is still saying goodbye
        assert owner.id in other.peers
        seen = {id: set(peers) for id, peers in figures.items() if isinstance(peers, dict)}
        assert seen == {room.id: {ada.id}} | ({} if closing else {other.id: {owner.id}})


async def test_the_end_of_a_room_is_told_while_goodbyes_take_their_time(
    autojump_clock: MockClock,
) -> None:
    async with open_world() as world:
        room, _, bob = await pair(world)
        bob.socket = SlowSocket()
        world.nursery.start_soon(room.peers[bob.id].serve, bob.socket)
        await trio.sleep(1)
        room.end("shutdown")
        await trio.sleep(0.1)
        assert bob.id in room.peers
        assert [(webhook.event, webhook.room_id) for webhook in world.webhooks] == [
            ("roomClosed", room.id)
        ]
        await trio.sleep(1)
        assert len(world.webhooks) == 1

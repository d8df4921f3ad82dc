"""Explanations of live rooms: which objects and figures they are made of."""

import json
from typing import Any

import pytest
import trio
from support.live_fakes import FakeEngine, World
from support.live_scenes import join, open_world, pair, produce, transport
from trio.testing import MockClock

from meet_trio.live.figures import EngineFigures
from meet_trio.live.settings import RoomSettings
from meet_trio.media.transport import TransportState
from meet_trio.operator import explain
from meet_trio.operator.explain import Explanation, Why, explain_consumer, explain_peer
from meet_trio.room import Layers

LINK: dict[str, Any] = {
    "protocol": "udp",
    "address": ["198.51.100.7", 40000],
    "recvBitrate": 12_000,
    "sendBitrate": 950_000,
    "maxOutgoingBitrate": 0,
    "remb": 0,
    "roundTripTime": 40.0,
    "availableOutgoingBitrate": 1_200_000,
    "estimateCause": "probe",
    "estimateCauseAge": 12.0,
    "lastProbe": None,
    "lastProbeBitrate": 0,
    "lastProbeAge": None,
    "wantedBitrate": 900_000,
    "allocatedBitrate": 900_000,
    "outgoingLoss": 0.0,
    "queueDelay": 0.0,
}
STREAM: dict[str, Any] = {
    "active": True,
    "packetCount": 100,
    "packetsLost": 0,
    "bitrate": 900_000,
    "width": 640,
    "height": 360,
    "pliCount": 1,
    "spatialLayers": 1,
    "temporalLayers": 3,
}
OWN: dict[str, Any] = {
    "spatialLayer": 0,
    "temporalLayer": 2,
    "targetLayer": 0,
    "allowedLayer": 0,
    "allowedTemporalLayer": 2,
    "allowedAge": None,
    "layerAge": None,
    "nextLayer": None,
    "bitrate": 890_000,
    "fractionLost": 0.0,
    "packetsRetransmitted": 0,
    "nackCount": 0,
    "pliCount": 0,
    "redundancy": 0.0,
    "playoutDelay": 0.0,
}


def figures(world: World) -> EngineFigures:
    """As an engine would tell of what each fake holds."""
    return {
        host: {
            "transports": {str(number): LINK for number in engine.transports},
            "producers": {str(number): {"streams": [STREAM]} for number in engine.producers},
            "consumers": {str(number): OWN for number in engine.consumers},
        }
        for host, engine in zip(world.hosts, world.engines, strict=True)
    }


def connect(world: World) -> None:
    for room in world.registry.rooms.values():
        for peer in room.peers.values():
            for each in peer.transports.values():
                each.state = TransportState.CONNECTED


async def test_each_hold_is_the_states_own(autojump_clock: MockClock) -> None:
    async with open_world() as world:
        room, ada, bob = await pair(world)
        bob.socket.answer_calls = None  # newConsumer is not answered
        producer_id = await produce(ada, "video")
        await trio.testing.wait_all_tasks_blocked()
        (consumer,) = room.consumers.values()

        def told() -> Explanation:
            explanation = explain_consumer(room, consumer, figures(world))
            json.dumps(explanation.to_json(), allow_nan=False)
            return explanation

        assert told().reason is Why.NOT_CONNECTED
        connect(world)
        assert told().reason is Why.UNANSWERED
        consumer.accept()
        assert told().reason is Why.NOTHING
        assert told().about == {
            "consumer": consumer.state.id,
            "viewer": bob.id,
            "producer": producer_id,
            "publisher": ada.id,
        }
        wish = {"consumerId": consumer.state.id, "spatialLayer": 0, "temporalLayer": 1}
        await bob.socket.ask("setConsumerPreferredLayers", **wish)
        assert told().reason is Why.PREFERRED
        assert told().facts["preferred"] == {"spatial": 0, "temporal": 1}
        assert consumer.state.preferred == Layers(0, 1)
        await bob.socket.ask("setConsumerPriority", consumerId=consumer.state.id, priority=7)
        assert "Its priority is 7" in told().text()
        await bob.socket.ask("pauseConsumer", consumerId=consumer.state.id)
        assert told().reason is Why.PAUSED
        await bob.socket.ask("resumeConsumer", consumerId=consumer.state.id)
        await ada.socket.ask("pauseProducer", producerId=producer_id)
        assert told().reason is Why.PRODUCER_PAUSED
        await ada.socket.ask("resumeProducer", producerId=producer_id)
        consumer.state.held_back = True
        assert told().reason is Why.HELD_BACK
        assert explain_consumer(room, consumer, {}).reason is Why.UNKNOWN


async def test_a_viewer_on_another_engine(autojump_clock: MockClock) -> None:
    """The publisher's layers are those that its own engine tells of."""
    engines = [FakeEngine(44444), FakeEngine(44445)]
    async with open_world(RoomSettings(spread_size=1), engines=engines) as world:
        room, ada, _ = await pair(world)
        await produce(ada, "video")
        await trio.testing.wait_all_tasks_blocked()
        connect(world)
        (consumer,) = room.consumers.values()
        assert consumer.transport.host is not consumer.producer.transport.host
        all_figures = dict(figures(world))
        assert explain_consumer(room, consumer, all_figures).reason is Why.NOTHING
        del all_figures[consumer.producer.transport.host]
        assert explain_consumer(room, consumer, all_figures).reason is Why.UNKNOWN


async def test_a_peer(autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_world() as world:
        room, ada, bob = await pair(world)
        cy = await world.enter(room)
        lone = explain_peer(room, room.peers[cy.id], figures(world))
        assert "has not joined" in lone.sentences[0]
        assert lone.sentences[-1] == "It gets nothing: it has not joined."
        await join(cy, "Cy")
        lone = explain_peer(room, room.peers[cy.id], figures(world))
        assert lone.sentences[-1] == "It gets nothing: it has no transport to receive by."
        await transport(cy.socket, consuming=True)
        lone = explain_peer(room, room.peers[cy.id], figures(world))
        assert lone.sentences[-1] == "It gets nothing: nobody else sends."
        assert "is not connected. Its client has not connected" in lone.text()
        for _ in range(2):
            await produce(ada)
        camera = await produce(ada, "screen")
        await produce(bob)
        await trio.testing.wait_all_tasks_blocked()
        connect(world)
        own = [c for c in room.consumers.values() if c.state.peer_id == cy.id]
        (paused,) = (c for c in own if c.producer.state.id == camera)
        await cy.socket.ask("pauseConsumer", consumerId=paused.state.id)
        told = explain_peer(room, room.peers[cy.id], figures(world))
        json.dumps(told.to_json(), allow_nan=False)
        assert len(told.facts["consumers"]) == 4
        assert told.facts["consumers"][0]["reason"] == "paused by the client"  # the worst first
        assert any("by UDP to 198.51.100.7:40000" in line for line in told.sentences)
        assert "a probe has shown it 12 s ago" in told.text()
        sending = explain_peer(room, room.peers[ada.id], figures(world))
        assert f"It sends its screen ({camera}) to 2 consumers: 900 kbit/s." in sending.text()
        monkeypatch.setattr(explain, "MOST_CONSUMERS", 2)
        told = explain_peer(room, room.peers[cy.id], figures(world))
        assert len(told.facts["consumers"]) == 2
        assert "2 more consumers are left out here." in told.sentences

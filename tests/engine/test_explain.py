"""Why a viewer gets what it gets, with the figures of a real core for each case."""

import json
from typing import Any

import attrs
import pytest
from support.engine_link import LinkedViewer
from support.engine_plain import PlainClient
from support.engine_world import VIEWED_ADAPTED, World, audio, simulcast
from support.layered_camera import LayeredCamera
from support.wire.rtp import RtpPacket

from meet_trio.engine import EngineSettings
from meet_trio.media.transport import TransportState
from meet_trio.operator.explain import Explanation, Facts, Why, explain_facts
from meet_trio.room import Layers


class Call:
    """Alice publishes three layers, Bob watches behind a link."""

    def __init__(self, **link: Any) -> None:
        self.world = World(EngineSettings())
        self.alice, bob = self.world.client(), self.world.client()
        self.producer = self.world.produce(self.alice, simulcast(3))
        self.camera = LayeredCamera(self.alice)
        self.sends = True
        self.bob = LinkedViewer.behind(bob, **link)
        self.run(1)
        self.consumer = self.world.consume(
            bob, self.producer, header_extensions=VIEWED_ADAPTED, paused=False
        )

    def run(self, seconds: float, *, checks: bool = True) -> None:
        for client in (self.alice, self.bob.client) if checks else ():
            client.check()
        self.bob.run(seconds, lambda now: self.camera.step(now) if self.sends else None)

    def explain(self, **changes: Any) -> Explanation:
        stats = self.world.stats()
        facts = Facts(
            consumer="c",
            viewer="bob",
            producer="p",
            publisher="alice",
            kind="video",
            source="webcam",
            state=TransportState.CONNECTED,
            plain=False,
            answered=True,
            paused=False,
            producer_paused=False,
            paused_by_peer=False,
            held_back=False,
            last_n=None,
            preferred=None,
            priority=1,
            own=stats["consumers"][str(self.consumer)],
            link=stats["transports"][str(self.bob.client.number)],
            sent=stats["producers"][str(self.producer)],
            others=["audio", "video", "audio"],
        )
        explanation = explain_facts(attrs.evolve(facts, **changes))
        json.dumps(explanation.to_json(), allow_nan=False)
        return explanation


def test_everything_is_fine() -> None:
    call = Call(rate=5_000_000)
    call.run(10)
    told = call.explain()
    assert told.reason is Why.NOTHING
    text = told.text()
    assert "layer 2 of 0 to 2 (960x540) up to temporal layer 2 of 0 to 2" in text
    assert "The publisher sends layer 1 of 480x540 at " in text
    assert "asked for no particular layers" in text
    assert "shares the link with 3 other consumers, 1 of video" in text
    assert "next step" not in text
    assert told.to_json()["reason"] == "nothing is held back"
    assert told.to_json()["facts"]["own"]["spatialLayer"] == 2


def test_limited_by_the_link() -> None:
    call = Call(rate=150_000)
    call.run(10)
    told = call.explain()
    assert told.reason is Why.LINK
    assert told.reason.is_trouble
    own, link = told.facts["own"], told.facts["link"]
    needs, estimate = own["nextLayerNeeds"], link["availableOutgoingBitrate"]
    assert needs > estimate
    assert own["nextLayerBitrate"] < needs < 1.5 * own["nextLayerBitrate"]
    assert own["allowedAge"] is not None
    text = told.text()
    assert "The link has room for layer 0 up to temporal layer 2, for " in text
    assert "The next step is layer 1 up to temporal layer 1, which takes 19" in text
    assert f"needs an estimate of {needs / 1000:,.0f} kbit/s; the estimate is" in text
    assert "The last probe, " in text
    assert link["lastProbe"] in ("too much", "unsure")
    assert link["lastProbeBitrate"] > estimate


def test_the_next_layer_comes_with_the_estimate_that_was_said() -> None:
    """What is told as needed is what the allocation needs."""
    call = Call(rate=None)
    call.run(5)
    bob = call.bob.client.number
    call.world.core.set_max_outgoing_bitrate(bob, 150_000)
    call.run(20)
    told = call.explain()
    assert (told.reason, told.facts["own"]["spatialLayer"]) == (Why.LINK, 0)
    assert "been at the client's cap for" in told.text()
    assert "The client has capped the link at 150 kbit/s." in told.text()
    assert told.facts["own"]["nextLayerWait"] == 0
    needs = told.facts["own"]["nextLayerNeeds"]
    call.world.core.set_max_outgoing_bitrate(bob, needs * 97 // 100)
    call.run(5)
    assert call.explain().facts["own"]["allowedLayer"] == 0
    call.world.core.set_max_outgoing_bitrate(bob, needs * 110 // 100)
    call.run(5)
    assert call.explain().facts["own"]["spatialLayer"] == 1


def test_no_room_for_any_layer() -> None:
    call = Call(rate=60_000)
    call.run(5)
    told = call.explain()
    assert told.reason is Why.NO_ROOM
    assert "nothing now" in told.sentences[0]
    assert "The next step is layer 0 up to temporal layer 0" in told.text()
    assert "it fell" in told.text()


def test_limited_by_the_clients_wish() -> None:
    call = Call(rate=5_000_000)
    call.run(5)
    for layers, shown in (
        (Layers(1), "layer 1 of 0 to 2 (480x540) up to temporal layer 2"),
        (Layers(2, 1), "layer 2 of 0 to 2 (960x540) up to temporal layer 1"),
    ):
        temporal = 3 if layers.temporal is None else layers.temporal
        call.world.core.set_preferred_layers(call.consumer, layers.spatial, temporal)
        call.run(3)
        told = call.explain(preferred=layers)
        assert told.reason is Why.PREFERRED
        assert not told.reason.is_trouble
        assert shown in told.sentences[0]
        assert "asked for layer" in told.text()
        assert "setConsumerPreferredLayers" in told.text()
    call.world.core.set_preferred_layers(call.consumer, 2, 2)
    call.run(3)
    assert call.explain(preferred=Layers(2, 2)).reason is Why.NOTHING


def test_limited_by_the_publisher() -> None:
    call = Call(rate=5_000_000)
    call.run(5)
    call.camera.rates = call.camera.rates[:2]
    call.run(3)
    told = call.explain()
    assert told.reason is Why.PUBLISHER
    assert "The publisher does not send layer 2 any more." in told.text()
    assert "Layer 2 comes when the publisher sends it" in told.text()


def test_a_publisher_that_stops_and_one_that_never_began() -> None:
    call = Call(rate=5_000_000)
    call.run(3)
    call.sends = False
    call.run(3)
    told = call.explain()
    assert told.reason is Why.NO_PACKETS
    assert told.sentences[1] == "The publisher sends no packets any more."
    call.producer = call.world.produce(call.alice, simulcast(3, mid="v1"))
    call.consumer = call.world.consume(call.bob.client, call.producer)
    call.run(1)
    told = call.explain()
    assert told.reason is Why.NO_PACKETS
    assert told.sentences[1] == "No packet of the publisher has ever come."


def test_a_key_frame_that_does_not_come() -> None:
    call = Call(rate=5_000_000)
    call.camera.answers_after = 1000
    call.run(3)
    told = call.explain()
    assert told.reason is Why.KEY_FRAME
    assert "layer 0 of 0 to 2" in told.sentences[0]
    assert told.sentences[1].startswith("A key frame of layer 2 is awaited; the publisher was ")


@pytest.mark.parametrize(
    ("changes", "reason", "why"),
    [
        ({"paused": True}, Why.PAUSED, "pauseConsumer"),
        ({"answered": False}, Why.UNANSWERED, "has not answered newConsumer"),
        (
            {"producer_paused": True, "paused_by_peer": True},
            Why.PRODUCER_PAUSED,
            "pauseProducer",
        ),
        ({"producer_paused": True}, Why.PRODUCER_PAUSED, "lost the role"),
        ({"held_back": True, "last_n": 4}, Why.HELD_BACK, "of 4 latest speakers"),
        ({"state": TransportState.NEW}, Why.NOT_CONNECTED, "no connect request"),
        ({"state": TransportState.CONNECTING}, Why.NOT_CONNECTED, "ICE or DTLS is not done"),
        ({"state": TransportState.CLOSED}, Why.NOT_CONNECTED, "has ended"),
        ({"plain": True, "state": TransportState.NEW}, Why.NOT_CONNECTED, "where to send"),
        ({"own": {}}, Why.UNKNOWN, "no figures"),
        ({"sent": {}}, Why.UNKNOWN, "no figures"),
        ({"link": {}}, Why.UNKNOWN, "no figures"),
        ({"own": {}, "link": {}, "sent": {}}, Why.UNKNOWN, "no figures"),
    ],
)
def test_what_the_server_and_its_clients_hold_back(
    changes: dict[str, Any], reason: Why, why: str
) -> None:
    call = Call(rate=5_000_000)
    call.world.core.set_consumer_paused(call.consumer, True)
    call.run(0.5)
    told = call.explain(**changes)
    assert told.reason is reason
    assert "nothing now" in told.sentences[0]
    assert why in told.sentences[1]


def test_a_client_that_has_fallen_silent() -> None:
    call = Call()
    call.run(32, checks=False)
    told = call.explain()
    assert told.reason is Why.NOT_CONNECTED
    assert "fallen silent" in told.sentences[1]


def test_repairs_on_a_bad_link() -> None:
    call = Call(rate=5_000_000, loss=0.1, delay=0.05)
    call.run(5)
    own, link = call.explain().facts["own"], call.explain().facts["link"]
    told = call.explain(
        own=own | {"redundancy": 0.25, "playoutDelay": 120.0},
        link=link | {"queueDelay": 35.0, "roundTripTime": 104.0, "remb": 700_000},
    )
    text = told.text()
    assert "25% more bytes are sent twice at once" in text
    assert "pictures 120 ms later" in text
    assert "wait for 35 ms" in text
    assert "round trip is 104 ms" in text
    assert "last REMB is 700 kbit/s" in text
    assert link["outgoingLoss"] > 0.03
    assert own["packetsRetransmitted"] > 10
    assert f"{own['packetsRetransmitted']} were sent again" in text


def test_sound_and_plain_rtp() -> None:
    call = Call()
    world = call.world
    alice = PlainClient.open(world, comedia=True)
    call.producer = world.produce(alice, audio())
    bob = PlainClient.open(world).connect()
    call.consumer = world.consume(bob, call.producer, rtx_ssrc=None, rtx_payload_type=None)
    call.bob.client.number = bob.number
    for number in range(100):
        alice.send(
            RtpPacket(
                payload_type=111,
                sequence_number=number,
                timestamp=960 * number,
                ssrc=2000,
                payload=bytes(80),
            )
        )
        world.run(0.02)
    told = call.explain(kind="audio", source="mic", plain=True, others=[])
    assert told.reason is Why.NOTHING
    assert told.sentences[0].startswith("Peer bob gets the sound of peer alice: 3")
    text = told.text()
    assert "by plain RTP to 127.0.0.1:7000" in text
    assert "Sound is not part of the estimate" in text
    assert "layer" not in told.sentences[0]
    told = call.explain(kind="audio", source="screen", plain=True)
    assert "the sound of the screen of" in told.sentences[0]


def test_video_to_a_client_that_reports_nothing() -> None:
    call = Call()
    call.consumer = call.world.consume(call.world.client(), call.producer)
    call.bob.client.number = call.world.clients[-1].number
    call.run(3)
    told = call.explain()
    assert told.reason is Why.NOTHING
    assert "The link is not estimated" in told.text()

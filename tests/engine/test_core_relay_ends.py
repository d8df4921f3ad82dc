"""Relays and mirrors end and begin again, in any order."""

import pytest
from support.engine_pair import Pair, assert_gapless
from support.engine_world import Camera, World, layer_cameras, simulcast, video
from support.wire.rtcp import Pli

from meet_trio.engine import EngineSettings, LayerChanged


@pytest.fixture
def pair() -> Pair:
    return Pair()


def test_the_end_of_the_producer_is_the_end_of_its_relay(pair: Pair) -> None:
    alice, bob = pair.a.client(), pair.b.client()
    producer = pair.produce(alice, simulcast())
    consumer = pair.consume(bob, producer)
    cameras = layer_cameras()
    pair.send_frames(alice, cameras, 3, key=True)
    pair.send_frames(alice, cameras, 3, key=True)
    pair.b.take_events(LayerChanged)
    pair.a.core.remove_producer(producer)
    pair.cross()
    assert pair.b.take_events(LayerChanged) == [LayerChanged(consumer, None, None)]
    assert str(producer) in pair.b.stats()["mirrors"]
    pair.b.core.remove_producer(producer)
    assert pair.b.stats()["mirrors"] == {}
    assert pair.b.stats()["engine"]["packet_buffers_used"] == 0


def test_a_relay_stops_and_begins_again(pair: Pair) -> None:
    alice, bob = pair.a.client(), pair.b.client()
    producer = pair.produce(alice, video())
    pair.consume(bob, producer)
    camera = Camera()
    pair.send_frames(alice, [camera], 5, key=True)
    pair.a.core.stop_relaying(producer, pair.b.core)
    pair.send_frames(alice, [camera], 5, key=True)
    assert (len(bob.rtp), pair.a.counter("relay_packets_out")) == (10, 10)
    pair.run(1.2)  # the next request may be made
    alice.rtcp.clear()
    pair.a.core.relay_producer(producer, pair.b.core)
    pair.cross()
    assert len(alice.rtcp_of(Pli)) == 1
    pair.send_frames(alice, [camera], 5, key=True)
    assert len(bob.rtp) == 20
    assert_gapless(bob.rtp)


def test_figures_of_a_mirror(pair: Pair) -> None:
    alice, bob = pair.a.client(), pair.b.client()
    producer = pair.produce(alice, video())
    pair.consume(bob, producer)
    pair.send_frames(alice, [Camera(tag=b"x" * 500)], 90, key=True)
    (stream,) = pair.b.stats()["mirrors"][str(producer)]["streams"]
    bitrate = 60 * 8 * stream["byteCount"] / 180
    assert stream["bitrate"] == pytest.approx(bitrate, rel=0.1)
    assert (stream["width"], stream["height"], stream["keyFrameCount"]) == (640, 360, 1)
    assert pair.b.stats()["engine"]["mirrors"] == 1


def test_a_mirror_that_goes_stops_what_is_sent_to_it(pair: Pair) -> None:
    alice, bob = pair.a.client(), pair.b.client()
    producer = pair.produce(alice, video())
    pair.consume(bob, producer)
    camera = Camera()
    pair.send_frames(alice, [camera], 5, key=True)
    pair.b.core.remove_producer(producer)
    alice.send(*camera.frame())
    pair.cross()
    assert pair.b.counter("dropped_relay_unknown") == 2  # these were on their way
    pair.send_frames(alice, [camera], 5, key=True)
    assert pair.a.counter("relay_packets_out") == 12
    # A mirror that is added again is filled again.
    pair.b.core.add_mirror(producer, video())
    pair.consume(bob, producer)
    pair.a.core.relay_producer(producer, pair.b.core)
    pair.cross()
    pair.send_frames(alice, [camera], 5, key=True)
    assert len(bob.rtp) == 20


def test_a_mirror_that_is_added_again_before_its_source_heard_of_it(pair: Pair) -> None:
    alice, bob = pair.a.client(), pair.b.client()
    producer = pair.produce(alice, video())
    pair.consume(bob, producer)
    camera = Camera()
    pair.send_frames(alice, [camera], 5, key=True)
    pair.b.core.remove_producer(producer)
    pair.b.core.add_mirror(producer, video())
    pair.b.consume(bob, producer)
    alice.send(*camera.frame())
    pair.b.core.cross()  # packets of the old relay reach the new mirror
    pair.a.core.cross()
    pair.a.core.relay_producer(producer, pair.b.core)
    pair.cross()
    pair.send_frames(alice, [camera], 5, key=True)
    assert len(bob.rtp) == 20


def test_the_wishes_of_a_mirror_that_went_are_not_those_of_the_next(pair: Pair) -> None:
    alice, bob = pair.a.client(), pair.b.client()
    producer = pair.produce(alice, video())
    pair.consume(bob, producer)
    camera = Camera()
    pair.send_frames(alice, [camera], 5, key=True)
    # The last viewer leaves and another comes before either thread reads its ring.
    pair.a.core.stop_relaying(producer, pair.b.core)
    pair.b.core.remove_producer(producer)
    pair.b.core.add_mirror(producer, video())
    pair.b.consume(bob, producer)
    pair.a.core.relay_producer(producer, pair.b.core)
    pair.cross()
    pair.send_frames(alice, [camera], 5, key=True)
    assert len(bob.rtp) == 20


def test_the_end_of_either_engine(pair: Pair) -> None:
    third = World(pair.settings, numbers=pair.a._numbers)
    alice, bob, carol = pair.a.client(), pair.b.client(), third.client()
    producer = pair.produce(alice, simulcast())
    third.core.add_mirror(producer, simulcast())
    pair.a.core.relay_producer(producer, third.core)
    third.consume(carol, producer)
    consumer = pair.consume(bob, producer)
    cameras = layer_cameras()
    for _ in range(2):
        pair.send_frames(alice, cameras, 3, key=True)
        third.core.cross()
    third.core.close()
    pair.send_frames(alice, cameras, 10)
    pair.b.take_events(LayerChanged)
    before = len(bob.rtp)
    pair.send_frames(alice, cameras, 3, key=True)
    assert len(bob.rtp) == before + 6
    pair.a.core.relay_producer(producer, third.core)  # this has no effect
    pair.a.core.close()
    with pytest.raises(ValueError, match="closed"):
        pair.a.core.tick()
    pair.b.core.now += 200_000
    assert pair.b.take_events(LayerChanged) == [LayerChanged(consumer, None, None)]
    pair.b.core.cross()
    pair.b.core.remove_producer(producer)
    assert pair.b.stats()["engine"]["packet_buffers_used"] == 0


def test_what_cannot_be(pair: Pair) -> None:
    alice = pair.a.client()
    producer = pair.produce(alice, video())
    with pytest.raises(ValueError, match="another engine"):
        pair.a.core.relay_producer(producer, pair.a.core)
    with pytest.raises(ValueError, match="relay_packets: 100 is no power of two"):
        World(EngineSettings(relay_packets=100))
    # A mirror is not relayed: packets would run in circles.
    pair.b.core.relay_producer(producer, pair.a.core)
    pair.a.core.relay_producer(9999, pair.b.core)
    pair.a.core.stop_relaying(9999, pair.b.core)
    pair.b.core.add_mirror(producer, video())
    pair.b.core.stop_relaying(producer, pair.a.core)
    assert pair.a.counter("commands_for_unknown_ids") == 2
    assert pair.b.counter("commands_for_unknown_ids") == 2
    assert pair.b.counter("commands_refused") == 1

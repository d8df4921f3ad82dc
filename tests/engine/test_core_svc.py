"""SVC: one stream with all layers, of which a viewer gets those that are chosen."""

from collections.abc import Sequence
from itertools import pairwise

import attrs
import pytest
from support.engine_world import EngineClient, World, video, viewed
from support.svc_camera import DESCRIPTOR, SvcCamera
from support.wire.dependency import URI
from support.wire.rtcp import Pli
from support.wire.rtp import RtpPacket

from meet_trio.engine import LayerChanged


@pytest.fixture(params=["video/vp9", "video/av1"])
def codec(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@attrs.define(eq=False)
class Call:
    world: World
    camera: SvcCamera
    alice: EngineClient
    bob: EngineClient
    consumer: int

    @classmethod
    def begin(cls, codec: str, *, key_only: bool = False) -> "Call":
        world = World()
        alice, bob = world.client(), world.client()
        spec = video(codec=codec)
        extensions = {**spec.header_extensions, URI: DESCRIPTOR}
        producer = world.produce(alice, attrs.evolve(spec, header_extensions=extensions))
        seen = {**viewed(0).header_extensions, URI: 8}
        consumer = world.consume(bob, producer, header_extensions=seen)
        return cls(world, SvcCamera(codec, key_only), alice, bob, consumer)

    def pictures(self, count: int, *, key: bool = False) -> list[RtpPacket]:
        """Send that many pictures, the first a key picture if ``key``; returns what came."""
        before = len(self.bob.rtp)
        for i in range(count):
            self.world.run(1 / 30)
            self.alice.send(*self.camera.next_picture(key=key and i == 0))
        self.world.run(0.02)
        return self.bob.rtp[before:]

    def prefer(self, spatial: int, temporal: int = 2) -> None:
        self.world.core.set_preferred_layers(self.consumer, spatial, temporal)

    def keyframe_requests(self) -> int:
        return len(self.alice.rtcp_of(Pli))


def layers(packets: Sequence[RtpPacket]) -> set[tuple[int, int]]:
    """The spatial and temporal layers of the packets."""
    found = set()
    for packet in packets:
        _, spatial, temporal = packet.payload[-12:].split(b" ")[-3:]
        found.add((int(spatial), int(temporal)))
    return found


def spatials(packets: Sequence[RtpPacket]) -> set[int]:
    return {spatial for spatial, _ in layers(packets)}


def assert_whole(packets: Sequence[RtpPacket]) -> None:
    """Assert that sequence numbers have no gap, and each picture ends with its only marker."""
    first = packets[0].sequence_number
    numbers = [(p.sequence_number - first) & 0xFFFF for p in packets]
    assert numbers == list(range(len(packets)))
    for packet, following in zip(packets, [*packets[1:], None], strict=True):
        last = following is None or following.timestamp != packet.timestamp
        assert packet.marker == last, packet


def test_all_layers_are_forwarded(codec: str) -> None:
    call = Call.begin(codec)
    packets = call.pictures(9, key=True)
    assert spatials(packets) == {0, 1, 2}
    assert len(packets) == 9 * 6
    assert_whole(packets)


def test_down_to_a_lower_spatial_layer_at_once_and_up_with_a_key_picture(codec: str) -> None:
    call = Call.begin(codec)
    call.pictures(8, key=True)
    call.prefer(1)
    assert spatials(call.pictures(8)) == {0, 1}
    call.prefer(0)
    assert spatials(call.pictures(8)) == {0}
    call.world.run(3)
    asked = call.keyframe_requests()
    call.prefer(2)
    assert spatials(call.pictures(8)) == {0}
    assert call.keyframe_requests() > asked
    assert spatials(call.pictures(8, key=True)) == {0, 1, 2}
    assert_whole(call.bob.rtp)


def test_of_k_svc_only_the_highest_layer_is_forwarded_after_a_key_picture(codec: str) -> None:
    call = Call.begin(codec, key_only=True)
    assert spatials(call.pictures(1, key=True)) == {0, 1, 2}
    assert spatials(call.pictures(8)) == {2}
    call.world.run(3)
    asked = call.keyframe_requests()
    call.prefer(0)
    assert spatials(call.pictures(4)) == {2}  # of the others nothing was sent
    assert call.keyframe_requests() > asked
    assert spatials(call.pictures(4, key=True)) == {0}
    call.prefer(1)
    assert spatials(call.pictures(1, key=True)) == {0, 1}
    assert spatials(call.pictures(3)) == {1}
    assert_whole(call.bob.rtp)


@pytest.mark.parametrize("key_only", [False, True])
def test_temporal_layers(codec: str, key_only: bool) -> None:
    call = Call.begin(codec, key_only=key_only)
    call.pictures(8, key=True)
    call.prefer(2, 0)
    assert {temporal for _, temporal in layers(call.pictures(8))} == {0}
    call.prefer(2, 1)
    call.pictures(4)  # up at a frame that allows it
    assert {temporal for _, temporal in layers(call.pictures(8))} == {0, 1}
    call.prefer(2, 2)
    call.pictures(4)
    assert {temporal for _, temporal in layers(call.pictures(8))} == {0, 1, 2}
    assert_whole(call.bob.rtp)


def test_a_late_packet_has_its_place(codec: str) -> None:
    """A packet that was missing has a number, even if it is of a layer that is left out."""
    call = Call.begin(codec)
    call.pictures(8, key=True)
    call.prefer(0)
    call.pictures(4)
    packets = call.camera.next_picture()
    call.alice.send(*packets[:2], *packets[3:])
    call.world.run(0.02)
    call.alice.send(packets[2])
    call.pictures(4)
    numbers = sorted(p.sequence_number - call.bob.rtp[0].sequence_number for p in call.bob.rtp)
    assert numbers == list(range(len(numbers)))


def test_numbers_that_frames_refer_to_keep_their_gaps() -> None:
    call = Call.begin("video/av1")
    call.pictures(8, key=True)
    call.prefer(0)
    packets = [p for p in call.pictures(4) if p.extensions[8][0] & 0x80]
    numbers = [int.from_bytes(p.extensions[8][1:3], "big") for p in packets]
    assert [b - a for a, b in pairwise(numbers)] == [3] * 3


def test_the_layers_are_announced(codec: str) -> None:
    call = Call.begin(codec)
    call.pictures(30, key=True)
    call.prefer(1, 1)
    call.pictures(30)
    assert call.world.take_events(LayerChanged)[-1] == LayerChanged(call.consumer, 1, 1)
    call.prefer(1, 2)
    call.pictures(30)
    assert call.world.take_events(LayerChanged)[-1] == LayerChanged(call.consumer, 1, 2)

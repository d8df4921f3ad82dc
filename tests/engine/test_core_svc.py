"""SVC: one stream with all layers, of which a viewer gets those that are chosen."""

from collections.abc import Sequence
from itertools import pairwise

import attrs
import pytest
from support.engine_world import EngineClient, World, video, viewed
from support.wire.dependency import (
    L3T3,
    L3T3_KEY,
    URI,
    Descriptor,
    Structure,
    build_descriptor,
)
from support.wire.rtcp import Pli
from support.wire.rtp import RtpPacket
from support.wire.vp9 import Vp9Descriptor, build_vp9_descriptor

from meet_trio.engine import LayerChanged

GROUP = (0, 2, 1, 2)
"""Temporal layers of the pictures."""
DESCRIPTOR = 12
"""The publisher's header extension id; the viewer's is 8."""


@attrs.define(eq=False)
class SvcCamera:
    """One stream with three spatial layers, each frame in two packets. ``body`` of a payload is
    ``b"<picture> <spatial> <temporal>"``.
    """

    codec: str
    key_only: bool = False
    sequence: int = 65_500
    timestamp: int = 0xFFFF_0000
    picture: int = 0x7FF0
    frame: int = 65_000
    tl0: int = 250
    position: int = 0

    def next_picture(self, *, key: bool = False) -> list[RtpPacket]:
        if key:
            self.position = 0
        temporal = GROUP[self.position % 4]
        if temporal == 0:
            self.tl0 = (self.tl0 + 1) & 0xFF
        packets = [
            packet for spatial in range(3) for packet in self._frame(spatial, temporal, key=key)
        ]
        self.position += 1
        self.picture = (self.picture + 1) & 0x7FFF
        self.timestamp = (self.timestamp + 3000) & 0xFFFFFFFF
        return packets

    def _frame(self, spatial: int, temporal: int, *, key: bool) -> list[RtpPacket]:
        packets = []
        body = b"%d %d %d" % (self.picture, spatial, temporal)
        for part in (0, 1):
            head, extensions = self._head(part, spatial, temporal, key=key)
            packets.append(
                RtpPacket(
                    payload_type=96,
                    sequence_number=self.sequence,
                    timestamp=self.timestamp,
                    ssrc=1000,
                    payload=head + body,
                    marker=part == 1 and spatial == 2,
                    extensions=extensions,
                )
            )
            self.sequence = (self.sequence + 1) & 0xFFFF
        self.frame = (self.frame + 1) & 0xFFFF
        return packets

    def _head(
        self, part: int, spatial: int, temporal: int, *, key: bool
    ) -> tuple[bytes, dict[int, bytes]]:
        if self.codec == "video/vp9":
            descriptor = Vp9Descriptor(
                begins=part == 0,
                ends=part == 1,
                picture_id=self.picture,
                inter_picture=not key,
                inter_layer=spatial > 0 and (key or not self.key_only),
                not_for_upper=spatial == 2 or (self.key_only and not key),
                layers=(spatial, temporal),
                switch_up=True,
                tl0_picture_index=self.tl0,
            )
            return build_vp9_descriptor(descriptor), {}
        structure = L3T3_KEY if self.key_only else L3T3
        value = build_descriptor(
            Descriptor(
                template=(structure.offset + template_of(structure, spatial, temporal, key)) % 64,
                frame=self.frame,
                begins=part == 0,
                ends=part == 1,
                structure=structure if key and spatial == part == 0 else None,
            )
        )
        return b"\x10", {DESCRIPTOR: value}


def template_of(structure: Structure, spatial: int, temporal: int, key: bool) -> int:
    """A key picture's frames refer to nothing but the frame below."""
    within = [1] if spatial else []
    return next(
        index
        for index, template in enumerate(structure.templates)
        if (template.spatial, template.temporal) == (spatial, temporal)
        and (list(template.differences) == within) == key
    )


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

"""A camera that sends one stream with all layers (SVC), as VP9 or AV1."""

import attrs
from support.wire.dependency import (
    L3T3,
    L3T3_KEY,
    Descriptor,
    Structure,
    build_descriptor,
)
from support.wire.rtp import RtpPacket
from support.wire.vp9 import Vp9Descriptor, build_vp9_descriptor

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

"""The VP8 payload descriptor (RFC 7741 §4.2) and the first bytes of the frame behind it (§4.3)."""

import attrs
from support.wire import WireError


@attrs.frozen(kw_only=True)
class Vp8Descriptor:
    """What precedes the VP8 data in each packet; optional fields are None when absent."""

    start_of_partition: bool
    partition: int = 0
    non_reference: bool = False
    picture_id: int | None = None
    """15 bits, always built in its long form."""
    tl0_picture_index: int | None = None
    temporal_layer: int | None = None
    layer_sync: bool = False
    key_index: int | None = None


def build_vp8_descriptor(descriptor: Vp8Descriptor) -> bytes:
    """The descriptor's bytes; VP8 data follows them."""
    has_layer = descriptor.temporal_layer is not None
    has_key_index = descriptor.key_index is not None
    flags = (
        (descriptor.picture_id is not None) << 7
        | (descriptor.tl0_picture_index is not None) << 6
        | has_layer << 5
        | has_key_index << 4
    )
    out = bytearray(
        [
            bool(flags) << 7
            | descriptor.non_reference << 5
            | descriptor.start_of_partition << 4
            | descriptor.partition
        ]
    )
    if flags:
        out.append(flags)
    if descriptor.picture_id is not None:
        out += (0x8000 | descriptor.picture_id).to_bytes(2, "big")
    if descriptor.tl0_picture_index is not None:
        out.append(descriptor.tl0_picture_index)
    if has_layer or has_key_index:
        out.append(
            (descriptor.temporal_layer or 0) << 6
            | descriptor.layer_sync << 5
            | (descriptor.key_index or 0)
        )
    return bytes(out)


def parse_vp8_untrusted(payload: bytes) -> tuple[Vp8Descriptor, bytes]:
    """The descriptor and the VP8 data behind it (which may be empty)."""
    at = 0

    def take() -> int:
        nonlocal at
        if at >= len(payload):
            raise WireError("VP8: descriptor past the end")
        at += 1
        return payload[at - 1]

    first = take()
    flags = take() if first & 0x80 else 0
    picture_id = None
    if flags & 0x80:
        picture_id = take()
        if picture_id & 0x80:
            picture_id = (picture_id & 0x7F) << 8 | take()
    tl0_picture_index = take() if flags & 0x40 else None
    layer_byte = take() if flags & 0x30 else 0
    descriptor = Vp8Descriptor(
        start_of_partition=bool(first & 0x10),
        partition=first & 0x07,
        non_reference=bool(first & 0x20),
        picture_id=picture_id,
        tl0_picture_index=tl0_picture_index,
        temporal_layer=layer_byte >> 6 if flags & 0x20 else None,
        layer_sync=bool(flags & 0x20 and layer_byte & 0x20),
        key_index=layer_byte & 0x1F if flags & 0x10 else None,
    )
    return descriptor, payload[at:]


def is_key_frame(descriptor: Vp8Descriptor, data: bytes) -> bool:
    """Whether this packet begins a key frame: start of partition 0 with the P bit clear."""
    return (
        descriptor.start_of_partition
        and descriptor.partition == 0
        and len(data) > 0
        and not data[0] & 0x01
    )


def key_frame_header(width: int, height: int) -> bytes:
    """The 10 bytes that open a key frame (RFC 6386 §9.1): frame tag, start code, size without
    scaling.
    """
    tag = 1 << 4  # key frame, version 0, shown, first partition of 0 bytes
    return (
        tag.to_bytes(3, "little")
        + b"\x9d\x01\x2a"
        + width.to_bytes(2, "little")
        + height.to_bytes(2, "little")
    )

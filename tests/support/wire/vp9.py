"""The VP9 payload descriptor (RFC 9628 §4.2)."""

from collections.abc import Sequence

import attrs


@attrs.frozen(kw_only=True)
class Picture:
    """One picture of a group of pictures."""

    temporal: int
    switch_up: bool = False
    references: Sequence[int] = ()


@attrs.frozen(kw_only=True)
class Vp9Structure:
    """The scalability structure."""

    spatial_layers: int = 1
    sizes: Sequence[tuple[int, int]] = ()
    pictures: Sequence[Picture] | None = None


@attrs.frozen(kw_only=True)
class Vp9Descriptor:
    """What precedes the VP9 data in each packet; optional fields are None when absent."""

    begins: bool = True
    ends: bool = True
    picture_id: int | None = None
    long_picture_id: bool = True
    flexible: bool = False
    inter_picture: bool = False
    references: Sequence[int] = ()
    """Flexible mode: differences of picture ids, one to three with ``inter_picture``."""
    layers: tuple[int, int] | None = None
    """Spatial and temporal layer."""
    switch_up: bool = False
    inter_layer: bool = False
    not_for_upper: bool = False
    tl0_picture_index: int = 0
    """Present in non-flexible mode with ``layers``."""
    structure: Vp9Structure | None = None


def build_vp9_descriptor(descriptor: Vp9Descriptor) -> bytes:
    """The descriptor's bytes; VP9 data follows them."""
    flags = (
        descriptor.picture_id is not None,
        descriptor.inter_picture,
        descriptor.layers is not None,
        descriptor.flexible,
        descriptor.begins,
        descriptor.ends,
        descriptor.structure is not None,
        descriptor.not_for_upper,
    )
    out = bytearray([int("".join(str(int(flag)) for flag in flags), 2)])
    if descriptor.picture_id is not None:
        if descriptor.long_picture_id:
            out += (0x8000 | descriptor.picture_id).to_bytes(2, "big")
        else:
            out.append(descriptor.picture_id)
    if descriptor.layers is not None:
        spatial, temporal = descriptor.layers
        out.append(
            temporal << 5 | descriptor.switch_up << 4 | spatial << 1 | descriptor.inter_layer
        )
        if not descriptor.flexible:
            out.append(descriptor.tl0_picture_index)
    if descriptor.flexible and descriptor.inter_picture:
        *others, last = descriptor.references
        out += bytes(difference << 1 | 1 for difference in others)
        out.append(last << 1)
    if descriptor.structure is not None:
        out += _structure(descriptor.structure)
    return bytes(out)


def _structure(structure: Vp9Structure) -> bytes:
    has_group = structure.pictures is not None
    out = bytearray(
        [structure.spatial_layers - 1 << 5 | bool(structure.sizes) << 4 | has_group << 3]
    )
    for width, height in structure.sizes:
        out += width.to_bytes(2, "big") + height.to_bytes(2, "big")
    if structure.pictures is not None:
        out.append(len(structure.pictures))
        for picture in structure.pictures:
            references = picture.references
            out.append(picture.temporal << 5 | picture.switch_up << 4 | len(references) << 2)
            out += bytes(references)
    return bytes(out)

"""The Dependency Descriptor of AV1 (RTP Payload Format For AV1, appendix A), written bit by bit."""

from collections.abc import Sequence

import attrs

URI = "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension"
_INDICATIONS = "-DSR"
_SAME, _NEXT_TEMPORAL, _NEXT_SPATIAL, _END = range(4)


@attrs.frozen
class Template:
    """One row of a structure's table. ``dtis`` has one letter for each decode target: "-" not
    present, "D" discardable, "S" switch, "R" required.
    """

    spatial: int
    temporal: int
    dtis: str
    differences: Sequence[int] = ()
    """To the frames that it refers to, in frame numbers."""
    chains: Sequence[int] = ()
    """For each chain, the difference to the chain's previous frame."""


@attrs.frozen(kw_only=True)
class Structure:
    """The templates are ordered by layers."""

    templates: Sequence[Template]
    protected_by: Sequence[int] = ()
    """The chain of each decode target; empty if there are no chains."""
    resolutions: Sequence[tuple[int, int]] = ()
    offset: int = 0

    @property
    def chain_count(self) -> int:
        return len(self.templates[0].chains)

    @property
    def target_count(self) -> int:
        return len(self.templates[0].dtis)


@attrs.frozen(kw_only=True)
class Descriptor:
    """What one packet carries. None: the value of the frame's template."""

    template: int
    frame: int
    begins: bool = True
    ends: bool = True
    structure: Structure | None = None
    active: int | None = None
    dtis: str | None = None
    differences: Sequence[int] | None = None
    chains: Sequence[int] | None = None


class _Bits:
    def __init__(self) -> None:
        self._bits: list[int] = []

    def put(self, value: int, width: int) -> None:
        self._bits += [value >> bit & 1 for bit in reversed(range(width))]

    def put_below(self, value: int, limit: int) -> None:
        """The specification's ns(n)."""
        width = limit.bit_length()
        shorter = (1 << width) - limit
        if value < shorter:
            self.put(value, width - 1)
        else:
            self.put(value + shorter, width)

    def put_indications(self, dtis: str) -> None:
        for letter in dtis:
            self.put(_INDICATIONS.index(letter), 2)

    def bytes(self) -> bytes:
        self.put(0, -len(self._bits) % 8)
        text = "".join(map(str, self._bits))
        return int(text, 2).to_bytes(len(text) // 8, "big")


def build_descriptor(descriptor: Descriptor) -> bytes:
    """The value of the header extension."""
    out = _Bits()
    out.put(descriptor.begins, 1)
    out.put(descriptor.ends, 1)
    out.put(descriptor.template, 6)
    out.put(descriptor.frame, 16)
    extended = (
        descriptor.structure,
        descriptor.active,
        descriptor.dtis,
        descriptor.differences,
        descriptor.chains,
    )
    if any(field is not None for field in extended):
        for field in extended:
            out.put(field is not None, 1)
    if descriptor.structure is not None:
        _put_structure(out, descriptor.structure)
    if descriptor.active is not None:
        out.put(descriptor.active, active_width(descriptor))
    if descriptor.dtis is not None:
        out.put_indications(descriptor.dtis)
    if descriptor.differences is not None:
        for difference in descriptor.differences:
            size = max(1, -(-(difference - 1).bit_length() // 4))
            out.put(size, 2)
            out.put(difference - 1, 4 * size)
        out.put(0, 2)
    for chain in descriptor.chains or ():
        out.put(chain, 8)
    return out.bytes()


def active_width(descriptor: Descriptor) -> int:
    """Bits of the mask of active decode targets, which only a packet with the structure or with its
    own indications can tell.
    """
    if descriptor.structure is not None:
        return descriptor.structure.target_count
    return len(descriptor.dtis or "")


def _put_structure(out: _Bits, structure: Structure) -> None:
    templates = structure.templates
    out.put(structure.offset, 6)
    out.put(structure.target_count - 1, 5)
    for template, following in zip(templates, [*templates[1:], None], strict=True):
        if following is None:
            out.put(_END, 2)
        elif following.spatial > template.spatial:
            out.put(_NEXT_SPATIAL, 2)
        elif following.temporal > template.temporal:
            out.put(_NEXT_TEMPORAL, 2)
        else:
            out.put(_SAME, 2)
    for template in templates:
        out.put_indications(template.dtis)
    for template in templates:
        for difference in template.differences:
            out.put(1, 1)
            out.put(difference - 1, 4)
        out.put(0, 1)
    out.put_below(structure.chain_count, structure.target_count + 1)
    if structure.chain_count:
        for chain in structure.protected_by:
            out.put_below(chain, structure.chain_count)
        for template in templates:
            for difference in template.chains:
                out.put(difference, 4)
    out.put(bool(structure.resolutions), 1)
    for width, height in structure.resolutions:
        out.put(width - 1, 16)
        out.put(height - 1, 16)


L1T3 = Structure(
    templates=(
        Template(0, 0, "SSS", (), (0,)),
        Template(0, 0, "SSS", (4,), (4,)),
        Template(0, 1, "SD-", (2,), (2,)),
        Template(0, 2, "D--", (1,), (1,)),
        Template(0, 2, "D--", (1,), (3,)),
    ),
    protected_by=(0, 0, 0),
)
"""Section A.10.2.1 of the specification."""

L3T3 = Structure(
    templates=(
        Template(0, 0, "SSSSSSSSS", (), (0, 0, 0)),
        Template(0, 0, "RRRRRRSSS", (12,), (12, 11, 10)),
        Template(0, 1, "RR-RR-SD-", (6,), (6, 5, 4)),
        Template(0, 2, "R--R--D--", (3,), (3, 2, 1)),
        Template(0, 2, "R--R--D--", (3,), (9, 8, 7)),
        Template(1, 0, "SSSSSS---", (1,), (1, 1, 1)),
        Template(1, 0, "RRRSSS---", (12, 1), (1, 1, 1)),
        Template(1, 1, "RR-SD----", (6, 1), (7, 6, 5)),
        Template(1, 2, "R--D-----", (3, 1), (4, 3, 2)),
        Template(1, 2, "R--D-----", (3, 1), (10, 9, 8)),
        Template(2, 0, "SSS------", (1,), (2, 1, 1)),
        Template(2, 0, "SSS------", (12, 1), (2, 1, 1)),
        Template(2, 1, "SD-------", (6, 1), (8, 7, 6)),
        Template(2, 2, "D--------", (3, 1), (5, 4, 3)),
        Template(2, 2, "D--------", (3, 1), (11, 10, 9)),
    ),
    protected_by=(2, 2, 2, 1, 1, 1, 0, 0, 0),
    resolutions=((320, 180), (640, 360), (1280, 720)),
)
"""Section A.10.2.2 of the specification, with resolutions."""

L3T3_KEY = Structure(
    templates=(
        Template(0, 0, "SSSSSSSSS", (), (0, 0, 0)),
        Template(0, 0, "------SSS", (12,), (12, 8, 1)),
        Template(0, 1, "------SD-", (6,), (6, 2, 7)),
        Template(0, 2, "------D--", (3,), (3, 5, 4)),
        Template(1, 0, "SSSSSS---", (1,), (1, 1, 1)),
        Template(1, 0, "---SSS---", (12,), (4, 12, 5)),
        Template(1, 1, "---SD----", (6,), (10, 6, 11)),
        Template(1, 2, "---D-----", (3,), (1, 3, 2)),
        Template(2, 0, "SSS------", (1,), (2, 1, 1)),
        Template(2, 0, "SSS------", (12,), (11, 7, 12)),
        Template(2, 1, "SD-------", (6,), (5, 1, 6)),
        Template(2, 2, "D--------", (3,), (2, 4, 3)),
    ),
    protected_by=(2, 2, 2, 1, 1, 1, 0, 0, 0),
    offset=60,
)
"""Section A.10.2.3 of the specification, less the templates that a temporal shift needs."""

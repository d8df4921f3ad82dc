"""Profile and level of H.264 in SDP: ``profile-level-id`` (RFC 6184 section 8.1).

Two sides can use H.264 together if they mean the same profile; the level is then negotiated.
Different bytes can mean the same profile, so a table maps profile_idc and some bits of profile-iop
to the profile.
"""

import enum

from meet_trio.ortc.records import CodecParameters

# the meaning of an absent profile-level-id in practice: constrained baseline, level 3.1
_DEFAULT = "42e01f"
_LEVEL_1B = 0
_LEVELS = (10, 11, 12, 13, 20, 21, 22, 30, 31, 32, 40, 41, 42, 50, 51, 52)
_CONSTRAINT_SET3 = 0x10


class Profile(enum.Enum):
    """The value is the two bytes profile_idc and profile-iop that this server writes."""

    CONSTRAINED_BASELINE = 0x42E0
    BASELINE = 0x4200
    MAIN = 0x4D00
    CONSTRAINED_HIGH = 0x640C
    HIGH = 0x6400


# (profile_idc, mask of profile-iop, bits under the mask) → profile; RFC 6184 table 5
_PATTERNS = (
    (0x42, 0b0100_1111, 0b0100_0000, Profile.CONSTRAINED_BASELINE),
    (0x4D, 0b1000_1111, 0b1000_0000, Profile.CONSTRAINED_BASELINE),
    (0x58, 0b1100_1111, 0b1100_0000, Profile.CONSTRAINED_BASELINE),
    (0x42, 0b0100_1111, 0b0000_0000, Profile.BASELINE),
    (0x58, 0b1100_1111, 0b1000_0000, Profile.BASELINE),
    (0x4D, 0b1010_1111, 0b0000_0000, Profile.MAIN),
    (0x64, 0b1111_1111, 0b0000_0000, Profile.HIGH),
    (0x64, 0b1111_1111, 0b0000_1100, Profile.CONSTRAINED_HIGH),
)


def parse_profile_level(parameters: CodecParameters) -> tuple[Profile, int] | None:
    """Profile and level, or None if the value is invalid. The level is ten times its number: 31 for
    level 3.1. Level 1b is 0.
    """
    text = str(parameters.get("profile-level-id", _DEFAULT))
    if len(text) != 6 or not set(text.lower()) <= set("0123456789abcdef"):
        return None
    idc, iop, level = bytes.fromhex(text)
    if level not in _LEVELS:
        return None
    if level == 11 and idc in (0x42, 0x4D, 0x58) and iop & _CONSTRAINT_SET3:
        level = _LEVEL_1B
    for pattern_idc, mask, bits, profile in _PATTERNS:
        if idc == pattern_idc and iop & mask == bits:
            return profile, level
    return None


def answer_profile_level(offer: CodecParameters, ours: CodecParameters) -> str | None:
    """The ``profile-level-id`` to use with a sender that offers ``offer``; None if profiles differ.

    The level is the lower one of both. If both sides allow the level to differ by direction
    (``level-asymmetry-allowed``), it is the offer's.
    """
    theirs, own = parse_profile_level(offer), parse_profile_level(ours)
    if theirs is None or own is None or theirs[0] is not own[0]:
        return None
    asymmetric = all(str(side.get("level-asymmetry-allowed", 0)) == "1" for side in (offer, ours))
    level = theirs[1] if asymmetric else min(theirs[1], own[1], key=_rank)
    high_bytes = theirs[0].value
    if level == _LEVEL_1B:
        return f"{high_bytes | _CONSTRAINT_SET3:04x}0b"
    return f"{high_bytes:04x}{level:02x}"


def _rank(level: int) -> float:
    return 10.5 if level == _LEVEL_1B else level

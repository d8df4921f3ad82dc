"""The roles of a peer: bits that say what it may do."""

import enum

from meet_trio.errors import BadRequest


class Role(enum.IntFlag):
    """A bitmask with Kolab's values. ``SCREEN`` is passed on for Kolab; no verb requires it."""

    SUBSCRIBER = 1
    PUBLISHER = 2
    MODERATOR = 4
    SCREEN = 8
    OWNER = 16


def parse_role(value: object) -> Role:
    """A role from JSON, or from an HTML form, where it is a decimal string. A float without a
    fraction is an integer, too. Raises BadRequest for unknown bits.
    """
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadRequest("role: expected an integer")
    if not 0 <= value <= sum(Role):
        raise BadRequest("role: has unknown bits")
    return Role(value)

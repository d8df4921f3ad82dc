"""An oracle for the engine's output: no SRTP index is used twice with other bytes.

Two packets under one index are encrypted with one keystream. Both together reveal the difference of
their contents, and under AES-GCM the authentication key (RFC 3711 section 9.1, RFC 7714 section
12.1). Sending the same bytes again is a retransmission and reveals nothing.
"""

from collections.abc import Hashable

import attrs

PLAIN = 0
"""In place of a profile: without keys RTCP has no indices."""
CM_PROFILE = 0x0001
CM_TAG = 10


@attrs.define(eq=False)
class Indices:
    """Datagrams as they left; ``session`` tells one pair of keys from another.

    Raises AssertionError if an index is used again with other bytes.
    """

    _sent: dict[tuple[Hashable, bool, int], dict[int, bytes]] = attrs.field(factory=dict)
    _highest: dict[tuple[Hashable, int], int] = attrs.field(factory=dict)

    def rtp(self, session: Hashable, data: bytes) -> None:
        """The roll-over count is not in the packet: like a receiver, take the nearest one."""
        ssrc = int.from_bytes(data[8:12], "big")
        sequence = int.from_bytes(data[2:4], "big")
        highest = self._highest.get((session, ssrc), sequence)
        ahead = (sequence - highest + 0x8000) % 0x10000 - 0x8000
        self._highest[session, ssrc] = max(highest, highest + ahead)
        self._use((session, False, ssrc), highest + ahead, data)

    def rtcp(self, session: Hashable, profile: int, data: bytes) -> None:
        """The index is the word before the tag (RFC 3711), or after it with GCM (RFC 7714)."""
        if profile == PLAIN:
            return
        end = len(data) - (CM_TAG if profile == CM_PROFILE else 0)
        index = int.from_bytes(data[end - 4 : end], "big") & 0x7FFFFFFF
        self._use((session, True, int.from_bytes(data[4:8], "big")), index, data)

    def _use(self, name: tuple[Hashable, bool, int], index: int, data: bytes) -> None:
        before = self._sent.setdefault(name, {}).setdefault(index, data)
        assert before == data, f"index {index} of {name} was used again with other bytes"

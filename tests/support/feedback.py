"""Transport-wide congestion feedback as a receiver makes it, from arrival times to one
RTCP packet.
"""

import attrs
from support.wire.transport_cc import TransportFeedback

_TICK = 0.00025
_REFERENCE = 0.064
_LATE = 500  # numbers after which a packet is too late to be reported


@attrs.define(eq=False)
class ArrivalRecorder:
    """Collects the transport-wide numbers of a session; call ``build`` every 100 ms."""

    _arrivals: dict[int, float] = attrs.field(factory=dict)
    _fresh: bool = False
    _last: int = -1
    _base: int = -1
    _count: int = 0

    def record(self, number: int, now: float) -> None:
        """A packet with this 16-bit number has arrived."""
        if self._last < 0:
            self._last = self._base = 0x10000 + number
        distance = (number - self._last) & 0xFFFF
        index = self._last + distance - (0x10000 if distance >= 0x8000 else 0)
        if index <= self._last - _LATE or index in self._arrivals:
            return
        # A late packet was reported as lost: as in libwebrtc the next report begins with it.
        self._base = min(self._base, index)
        self._arrivals[index] = now
        self._last = max(self._last, index)
        self._fresh = True

    def build(self, sender_ssrc: int, media_ssrc: int) -> TransportFeedback | None:
        """Feedback on packets since the last call, None if there were none."""
        if not self._fresh:
            return None
        self._fresh = False
        first = min(at for index, at in self._arrivals.items() if index >= self._base)
        reference = int(first / _REFERENCE)
        before = reference * (_REFERENCE / _TICK)
        deltas: list[int | None] = []
        for index in range(self._base, self._last + 1):
            arrival = self._arrivals.get(index)
            if arrival is None:
                deltas.append(None)
                continue
            delta = max(min(round(arrival / _TICK - before), 32767), -32768)
            before += delta
            deltas.append(delta)
        feedback = TransportFeedback(
            sender_ssrc=sender_ssrc,
            media_ssrc=media_ssrc,
            base_sequence=self._base & 0xFFFF,
            reference_time=reference & 0x7FFFFF,
            feedback_count=self._count & 0xFF,
            deltas=tuple(deltas),
        )
        self._count += 1
        self._base = self._last + 1
        for index in [i for i in self._arrivals if i <= self._last - _LATE]:
            del self._arrivals[index]
        return feedback

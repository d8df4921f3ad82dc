"""Counts of what has happened since the start, and of what is there now, for those who watch.

The parts that make things happen count them here. They get the ``Tally`` with their context, and
know nothing of its readers. No reader changes a number, so several need not know of each other.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Hashable, Mapping
from typing import Generic, Literal, TypeVar

import attrs

Presence = Literal["invited", "connected", "away"]
"""Of a peer: it has had no socket yet, has one, or has lost it."""

Standing = TypeVar("Standing", bound=Hashable)

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""The upper bounds of the buckets of durations, in seconds."""


@attrs.define(eq=False)
class Durations:
    """A histogram of durations. ``counts`` has one more bucket, of those above all ``BOUNDS``."""

    counts: list[int] = attrs.field(factory=lambda: [0] * (len(BOUNDS) + 1))
    seconds: float = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.seconds += seconds


@attrs.define(eq=False)
class Census(Generic[Standing]):
    """The number of present objects in each state. Who wants to know it need not look at them."""

    numbers: Counter[Standing] = attrs.field(factory=Counter)

    def move(self, before: Standing | None, after: Standing | None) -> None:
        """An object has come (``before`` is None), has another state, or has gone (``after``)."""
        if before is not None:
            self.numbers[before] -= 1
        if after is not None:
            self.numbers[after] += 1


@attrs.define(eq=False)
class Tally:
    """The counts of one server.

    - ``peers``: those that are there, by their state.
    - ``transports``: those that are there, by kind (``webrtc`` or ``plain``) and state.
    - ``connects``: attempts to connect a WebRTC transport that have ended, by how: ``connected``,
      ``failed`` (DTLS), ``timed_out`` (within DTLS), ``no_path`` (no DTLS datagram came in time),
      ``abandoned`` (by leaving).
    - ``handshakes``: DTLS handshakes that have begun.
    - ``handshake_time``: from the first DTLS datagram, or from ``connectWebRtcTransport`` if that
      is later, until the keys are there.
    - ``connect_time``: from ``connectWebRtcTransport`` until the keys are there.
    - ``join_time``: from the socket on which a peer joins until ``join`` is answered.
    - ``first_packet_in``: from ``produce`` until the producer's first packet. A producer that is
      paused at first is left out.
    - ``first_packet_out``: by ``audio`` and ``video``, until a consumer's first packet is sent: of
      video from the client's answer to ``newConsumer``, before which none is sent, of audio from
      ``newConsumer``. One that is paused at first, or whose producer is, is left out.
    """

    peers: Census[Presence] = attrs.field(factory=Census)
    transports: Census[tuple[str, str]] = attrs.field(factory=Census)
    rooms: int = 0
    invitations: int = 0
    connects: Counter[str] = attrs.field(factory=Counter)
    handshakes: int = 0
    handshake_time: Durations = attrs.field(factory=Durations)
    connect_time: Durations = attrs.field(factory=Durations)
    join_time: Durations = attrs.field(factory=Durations)
    first_packet_in: Durations = attrs.field(factory=Durations)
    first_packet_out: Mapping[str, Durations] = attrs.field(
        factory=lambda: {"audio": Durations(), "video": Durations()}
    )

"""A peer's stay in a meeting: when, why it ended, its sockets, its transports, its video.

It is kept by the live objects, which note what happens. All sizes are bounded: of ended transports
the last ``MOST_TRANSPORTS`` are kept, and layers are few. Times are in Unix seconds.
"""

import time
from typing import Literal

import attrs

from meet_trio.room import Role

PeerEnd = Literal[
    "left",  # its client said so
    "kicked",
    "socket_lost",  # and did not come back in time
    "never_connected",
    "backlog_full",  # too many notices waited for it
    "room_closed",
    "shutdown",  # of the server
    "failed",  # a fault of the server
]
RoomEnd = Literal[
    "closed_by_owner",
    "empty",  # everybody has left
    "nobody_came",
    "engine_failed",
    "closed",  # by the operator
    "shutdown",
    "failed",
]

MOST_TRANSPORTS = 8


@attrs.frozen
class TransportStay:
    """A transport that has ended. ``connected_after``: seconds from the client's request to connect
    until media could flow; None: never. ``moves``: how often the client went on from another
    address.
    """

    number: int
    kind: Literal["webrtc", "plain"]
    producing: bool
    consuming: bool
    connected_after: float | None
    moves: int
    why: str


@attrs.define(eq=False)
class VideoTimes:
    """What a peer was sent of others' video, summed over its consumers: seconds by spatial layer
    (None: nothing, although it was not paused), and changes from one layer to another.
    """

    seconds: dict[int | None, float] = attrs.field(factory=dict)
    switches: int = 0


@attrs.define(eq=False)
class Viewing:
    """One consumer of video, as it adds to ``times``."""

    times: VideoTimes
    _since: float | None = None  # None: it is paused, or nothing is known yet
    _layer: int | None = None

    def follow(self, layer: int | None, paused: bool, now: float) -> None:
        """From ``now`` (in seconds) on this layer is sent. While it is paused no time counts."""
        if self._since is not None:
            seconds = self.times.seconds
            seconds[self._layer] = seconds.get(self._layer, 0.0) + now - self._since
            if None not in (layer, self._layer) and layer != self._layer:
                self.times.switches += 1
        self._since = None if paused and layer is None else now
        self._layer = layer

    def stop(self, now: float) -> None:
        """The consumer is closed."""
        self.follow(None, True, now)


@attrs.define(eq=False)
class Attendance:
    """One peer's stay. ``role`` is that of its end. ``connections``: how many sockets it had, one
    after the other.
    """

    role: Role = attrs.field(factory=lambda: Role(0))
    invited: float = attrs.field(factory=time.time)
    joined: float | None = None
    left: float | None = None
    why: PeerEnd | None = None
    connections: int = 0
    video: VideoTimes = attrs.field(factory=VideoTimes)
    transports_made: int = 0
    ended_transports: list[TransportStay] = attrs.field(factory=list)
    """The newest ``MOST_TRANSPORTS``."""

    def transport_ended(self, stay: TransportStay) -> None:
        self.ended_transports.append(stay)
        del self.ended_transports[:-MOST_TRANSPORTS]

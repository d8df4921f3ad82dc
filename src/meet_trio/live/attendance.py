"""A peer's stay in a meeting: when, why it ended, its sockets, its transports, its video.

It is kept by the live objects, which note what happens. All sizes are bounded: of ended transports
the last ``MOST_TRANSPORTS`` are kept, and layers are few. Times are in Unix seconds.
"""

import time
from collections.abc import Mapping
from typing import ClassVar, Final, Literal, Self, get_args

import attrs

from meet_trio.ortc.fields import Fields, Json
from meet_trio.records import Key, Record
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


_TransportKind = Literal["webrtc", "plain"]


@attrs.frozen
class TransportStay:
    """A transport that has ended. ``connected_after``: seconds from the client's request to connect
    until media could flow; None: never. ``moves``: how often the client went on from another
    address.
    """

    number: int
    kind: _TransportKind
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

    def add(self, layer: int | None, seconds: float) -> None:
        self.seconds[layer] = self.seconds.get(layer, 0.0) + seconds


@attrs.define(eq=False)
class Viewing:
    """One consumer of video, as it adds to ``times``."""

    times: VideoTimes
    _since: float | None = None  # None: it is paused, or nothing is known yet
    _layer: int | None = None

    def follow(self, layer: int | None, paused: bool, now: float) -> None:
        """From ``now`` (in seconds) on this layer is sent. While it is paused no time counts."""
        if self._since is not None:
            self.times.add(self._layer, now - self._since)
            if None not in (layer, self._layer) and layer != self._layer:
                self.times.switches += 1
        self._since = None if paused and layer is None else now
        self._layer = layer

    def count(self, now: float) -> None:
        """Add up the time until now."""
        if self._since is not None:
            self.times.add(self._layer, now - self._since)
            self._since = now

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

    def record(self, room_id: str, peer_id: str) -> "StayRecord":
        """What is kept of it beside the peer's seat."""
        video = self.video
        return StayRecord(
            room_id, peer_id, tuple(self.ended_transports), dict(video.seconds), video.switches
        )

    def resume(self, record: "StayRecord") -> None:
        """Go on where an earlier process has ended."""
        self.ended_transports = list(record.ended_transports)
        self.video.seconds = dict(record.video_seconds)
        self.video.switches = record.video_switches


_MAX_ID: Final = 256
_MAX_COUNT: Final = 2**53
_MAX_LAYERS: Final = 256


@attrs.frozen
class StayRecord(Record):
    """What has happened in a peer's stay: its ended transports, and the video that it was sent, as
    in ``VideoTimes``.
    """

    KIND: ClassVar[str] = "stay"
    VERSION: ClassVar[int] = 1

    room_id: str
    peer_id: str
    ended_transports: tuple[TransportStay, ...]
    video_seconds: Mapping[int | None, float]
    video_switches: int

    @property
    def key(self) -> Key:
        return self.KIND, self.peer_id

    def fields(self) -> Mapping[str, Json]:
        return {
            "room": self.room_id,
            "peer": self.peer_id,
            "transports": [attrs.asdict(each) for each in self.ended_transports],
            "video": [
                {"layer": layer, "seconds": seconds}
                for layer, seconds in self.video_seconds.items()
            ],
            "switches": self.video_switches,
        }

    @classmethod
    def read(cls, fields: Fields, version: int) -> Self:
        return cls(
            fields.text("room", _MAX_ID, 1),
            fields.text("peer", _MAX_ID, 1),
            fields.each("transports", MOST_TRANSPORTS, _read_transport),
            dict(fields.each("video", _MAX_LAYERS, _read_seconds)),
            fields.integer("switches", 0, _MAX_COUNT),
        )


def _read_transport(fields: Fields) -> TransportStay:
    return TransportStay(
        fields.integer("number", 1, 2**32 - 1),
        fields.choice("kind", get_args(_TransportKind)),  # type: ignore[arg-type]  # one of them
        fields.required("producing", fields.opt_flag("producing")),
        fields.required("consuming", fields.opt_flag("consuming")),
        fields.opt_number("connected_after"),
        fields.integer("moves", 0, _MAX_COUNT),
        fields.text("why", 1000),
    )


def _read_seconds(fields: Fields) -> tuple[int | None, float]:
    seconds = fields.required("seconds", fields.opt_number("seconds"))
    return fields.opt_integer("layer", 0, 255), seconds

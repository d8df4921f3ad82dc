"""What a run of the load generator is to do, and the arithmetic from bitrates to frames."""

from typing import Literal

import attrs

from meet_trio.bench.errors import ScenarioError

Way = Literal["webrtc", "plain"]

MAX_PAYLOAD = 1400  # bytes of a packet, MT_FEED_MAX_PAYLOAD of the C code
MAX_FRAME_PACKETS = 256  # MT_FEED_MAX_PACKETS
LEAST_PAYLOAD = 40  # bytes: a label fits
MAX_PEERS = 5000
"""Clients of one run: each has up to four sockets."""
LAYERS = 3
LAYER_RATIO = 3
"""A simulcast layer has this times the bitrate of the one below."""
KEYFRAME_RATIO = 4
"""A key frame has this times the bytes of another one."""
AUDIO_INTERVAL = 0.02  # seconds
AUDIO_BITRATE = 32_000  # bit/s


@attrs.frozen
class FrameSizes:
    """The frames of one encoding, in bytes of payload."""

    size: int
    keyframe_size: int
    packet_size: int


@attrs.frozen
class Scenario:
    """One run. ``bitrate`` is that of a camera, of all its encodings together, in bit/s; times are
    in seconds.

    - ``frame_packets``: each frame has as many packets of ``packet_size``; ``bitrate`` and the
      greater size of key frames do not count then.
    - ``publishers_view``: publishers receive the others' streams as in a meeting.
    - ``quiet_joins``: media begins when all have joined, so that the joins are measured alone.
    - ``newcomers``: further subscribers, who come after the measuring, ``newcomer_rate`` in a
      second, to one room after the other.
    """

    rooms: int = 1
    publishers: int = 2
    subscribers: int = 10
    bitrate: int = 1_000_000
    fps: int = 30
    packet_size: int = 1200
    frame_packets: int = 0
    keyframe_every: float = 10.0
    simulcast: bool = False
    audio: bool = False
    publishers_view: bool = False
    quiet_joins: bool = False
    newcomers: int = 0
    newcomer_rate: float = 100.0
    join_rate: float = 10.0
    join_timeout: float = 30.0
    warm_up: float = 3.0
    duration: float = 10.0
    publish_by: Way = "webrtc"
    view_by: Way = "webrtc"
    threads: int = 1
    join_datagrams: bool = True

    def __attrs_post_init__(self) -> None:
        for name, least, most in (
            ("rooms", 1, MAX_PEERS),
            ("publishers", 0, 1000),
            ("subscribers", 0, MAX_PEERS),
            ("bitrate", 10_000, 100_000_000),
            ("fps", 1, 240),
            ("packet_size", LEAST_PAYLOAD, MAX_PAYLOAD),
            ("frame_packets", 0, MAX_FRAME_PACKETS),
            ("keyframe_every", 0, 3600),
            ("newcomers", 0, MAX_PEERS),
            ("newcomer_rate", 0.1, 10_000),
            ("join_rate", 0.1, 10_000),
            ("join_timeout", 1, 600),
            ("warm_up", 0, 600),
            ("duration", 0.1, 86_400),
            ("threads", 1, 64),
        ):
            value = getattr(self, name)
            if not least <= value <= most:
                flag = name.replace("_", "-")
                raise ScenarioError(f"--{flag}: {value} is not {least} to {most}")
        if self.publishers + self.subscribers == 0:
            raise ScenarioError("--publishers and --subscribers are both 0: nobody would come")
        if self.everybody > MAX_PEERS:
            raise ScenarioError(f"{self.everybody} peers are more than {MAX_PEERS}")
        if self.simulcast and self.publish_by == "plain":
            raise ScenarioError("--simulcast: publishers of plain RTP have one encoding")
        if self.publishers_view and self.publish_by == "plain":
            raise ScenarioError("--publishers-view: publishers of plain RTP do not receive")

    @property
    def peers(self) -> int:
        return self.rooms * (self.publishers + self.subscribers)

    @property
    def everybody(self) -> int:
        return self.peers + self.newcomers

    @property
    def tracks(self) -> int:
        """What one publisher sends."""
        return 2 if self.audio else 1

    def viewed(self, *, publisher: bool) -> int:
        """The streams that a peer is to receive."""
        if publisher:
            return (self.publishers - 1) * self.tracks if self.publishers_view else 0
        return self.publishers * self.tracks

    @property
    def streams(self) -> int:
        """The streams that all peers but the newcomers are to receive."""
        each_room = self.subscribers * self.viewed(publisher=False)
        return self.rooms * (each_room + self.publishers * self.viewed(publisher=True))

    @property
    def encodings(self) -> int:
        return LAYERS if self.simulcast else 1

    def frames(self, encoding: int) -> FrameSizes:
        """Those of an encoding of a camera, lowest first."""
        if self.frame_packets and not self.simulcast:
            size = self.frame_packets * self.packet_size
            return FrameSizes(size, size, self.packet_size)
        shares = [LAYER_RATIO**i for i in range(self.encodings)]
        bitrate = self.bitrate * shares[encoding] / sum(shares)
        most = MAX_FRAME_PACKETS * self.packet_size
        size = min(max(LEAST_PAYLOAD, round(bitrate / 8 / self.fps)), most)
        return FrameSizes(size, min(KEYFRAME_RATIO * size, most), self.packet_size)

    @property
    def keyframe_interval(self) -> int:
        """In frames; 0: only when asked for."""
        return round(self.keyframe_every * self.fps)

"""A publisher of VP8 simulcast with temporal layers, in the virtual time of ``engine_world``.

It sends 20 frames a second of 100, 300 and 900 kbit/s, each with three temporal layers (of the
frames a quarter, a half, all; of the bits 40, 60, 100 %), and a key frame where the server asks for
one.
"""

import attrs
from support.engine_world import EngineClient
from support.wire.rtcp import Fir, Pli
from support.wire.rtp import RtpPacket
from support.wire.vp8 import Vp8Descriptor, build_vp8_descriptor, key_frame_header

FPS = 20
RATES = (100_000, 300_000, 900_000)
PATTERN = ((0, 0.4), (2, 0.2), (1, 0.2), (2, 0.2))
"""Temporal layer and share of the bits of the four frames of a cycle."""
LARGEST = 1100  # bytes of payload
KEY_FRAME = 4.0  # times the mean frame


@attrs.define(eq=False)
class LayeredCamera:
    client: EngineClient
    rates: tuple[int, ...] = RATES
    mid: str = "v0"
    first_ssrc: int = 3000
    key_frames: int = 0
    answers_after: float = 0.0
    """Seconds from a request for a key frame to the key frame, at least."""
    frames: list[int] = attrs.field(init=False)
    """Frames sent, by layer."""
    _next: float = 0.0
    _count: int = 0
    _sequence: list[int] = attrs.field(init=False)
    _tl0: int = 0
    _heard: int = 0
    _wanted: set[int] = attrs.field(init=False)
    _asked: list[tuple[float, int]] = attrs.field(factory=list)

    def __attrs_post_init__(self) -> None:
        self._sequence = [1000 * (i + 1) for i in range(len(self.rates))]
        self._wanted = set(range(len(self.rates)))
        self.frames = [0] * len(self.rates)

    def step(self, now: float) -> None:
        """Send the frames that are due."""
        self._hear(now)
        while self._next <= now:
            self._next = max(self._next + 1 / FPS, now - 1 / FPS)
            layer, share = PATTERN[self._count % 4]
            if self._wanted:
                layer, self._count = 0, 0
            if layer == 0:
                self._tl0 = (self._tl0 + 1) & 0xFF
            for i, rate in enumerate(self.rates):
                mean = rate / FPS / 8
                key = i in self._wanted
                size = mean * (KEY_FRAME if key else share * 4)
                self._send(i, layer, int(size), key)
            self._wanted.clear()
            self._count += 1

    def forget_rtcp(self) -> None:
        """The client's ``rtcp`` was cleared."""
        self._heard = 0

    def _hear(self, now: float) -> None:
        due = now + self.answers_after
        for packet in self.client.rtcp[self._heard :]:
            if isinstance(packet, Pli):
                self._asked.append((due, packet.media_ssrc - self.first_ssrc))
            elif isinstance(packet, Fir):
                self._asked += [(due, ssrc - self.first_ssrc) for ssrc, _ in packet.requests]
        self._heard = len(self.client.rtcp)
        self._wanted |= {layer for at, layer in self._asked if at <= now}
        self._asked = [(at, layer) for at, layer in self._asked if at > now]

    def _send(self, i: int, layer: int, size: int, key: bool) -> None:
        self.frames[i] += 1
        self.key_frames += key
        picture = (self.frames[i] + 1000 * i) & 0x7FFF
        timestamp = (123_456_789 * (i + 1) + self.frames[i] * 90_000 // FPS) & 0xFFFFFFFF
        parts = max(1, -(-size // LARGEST))
        for part in range(parts):
            descriptor = Vp8Descriptor(
                start_of_partition=part == 0,
                picture_id=picture,
                tl0_picture_index=self._tl0,
                temporal_layer=layer,
                layer_sync=layer > 0 and self._count % 4 in (1, 2),
            )
            head = b"" if part else key_frame_header(960 >> (2 - i), 540) if key else b"\x01\0\0"
            body = b"r%d t%d %d.%d " % (i, layer, picture, part)
            self.client.send(
                RtpPacket(
                    payload_type=96,
                    sequence_number=self._sequence[i],
                    timestamp=timestamp,
                    ssrc=self.first_ssrc + i,
                    payload=(build_vp8_descriptor(descriptor) + head + body).ljust(
                        max(size // parts, 40), b"."
                    ),
                    marker=part == parts - 1,
                    extensions={9: self.mid.encode(), 10: b"r%d" % i},
                )
            )
            self._sequence[i] = (self._sequence[i] + 1) & 0xFFFF

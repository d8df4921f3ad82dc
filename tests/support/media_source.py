"""Synthetic outgoing media: RTP streams with history and retransmission, opus, simulcast VP8.

The payloads are not decodable, but all parts that an SFU reads are correct: VP8 descriptors with
picture ids, key frame headers, markers, MID and RID until the server sends receiver reports, RTX.
After these each packet carries a ``Stamp``, so that a receiver can tell its source, its
completeness and its time.
"""

import secrets
import struct
import time
from collections import OrderedDict

import attrs
from support.transport import ClientTransport
from support.wire.rtcp import SDES_CNAME, Sdes, SdesChunk, SenderReport
from support.wire.rtp import RtpPacket, wrap_rtx
from support.wire.vp8 import Vp8Descriptor, build_vp8_descriptor, key_frame_header

from meet_trio.bench.rtp_parameters import (
    AUDIO_EXTENSIONS,
    AUDIO_LEVEL,
    MID,
    OPUS_PAYLOAD_TYPE,
    REPAIRED_RID,
    RID,
    RTX_PAYLOAD_TYPE,
    TRANSPORT_CC,
    VIDEO_EXTENSIONS,
    VP8_PAYLOAD_TYPE,
)

_HISTORY = 512
_MAX_PAYLOAD = 1100
_NTP_EPOCH = 2_208_988_800  # seconds from 1900 to 1970

_STAMP = struct.Struct("!4sBIHHd")

OPUS_TOC = 0x78  # RFC 6716 §3.1: CELT full band, 20 ms, mono, one frame


@attrs.frozen
class Stamp:
    """The data in each synthetic packet; ``sent_at`` is the sender's ``time.monotonic``."""

    layer: int
    frame: int
    part: int
    parts: int
    sent_at: float

    def build(self) -> bytes:
        return _STAMP.pack(b"meet", self.layer, self.frame, self.part, self.parts, self.sent_at)

    @classmethod
    def parse(cls, data: bytes) -> "Stamp":
        magic, *fields = _STAMP.unpack_from(data)
        if magic != b"meet":
            raise ValueError("no stamp")
        return cls(*fields)


@attrs.define(eq=False)
class SendStream:
    """One SSRC and its RTX stream. Counters are since the start."""

    payload_type: int
    mid: str
    cname: str
    rid: str | None = None
    rtx_payload_type: int | None = None
    extension_ids: dict[str, int] = attrs.field(factory=dict)
    ssrc: int = attrs.field(factory=lambda: secrets.randbits(31) | 1)
    rtx_ssrc: int = attrs.field(factory=lambda: secrets.randbits(31) | 1)
    sequence_number: int = attrs.field(factory=lambda: secrets.randbits(15))
    rtx_sequence_number: int = attrs.field(factory=lambda: secrets.randbits(15))
    announce: bool = True
    """Put MID and RID on each packet, as Chromium does until the first receiver report on it."""
    announce_rtx: bool = True
    """The same for the RTX stream, which has receiver reports of its own."""
    packets: int = 0
    octets: int = 0
    retransmitted: int = 0
    not_in_history: int = 0
    last_timestamp: int = 0
    _history: "OrderedDict[int, RtpPacket]" = attrs.field(factory=OrderedDict)

    def next_packet(
        self,
        payload: bytes,
        timestamp: int,
        *,
        marker: bool = False,
        extensions: dict[int, bytes] | None = None,
    ) -> RtpPacket:
        """The next packet of the stream, which is kept for retransmission."""
        self.sequence_number = (self.sequence_number + 1) & 0xFFFF
        packet = RtpPacket(
            payload_type=self.payload_type,
            sequence_number=self.sequence_number,
            timestamp=timestamp & 0xFFFFFFFF,
            ssrc=self.ssrc,
            payload=payload,
            marker=marker,
            extensions={**(extensions or {}), **self._identification(RID, self.announce)},
        )
        self.packets += 1
        self.octets += len(payload)
        self.last_timestamp = packet.timestamp
        if self.rtx_payload_type is not None:
            self._history[packet.sequence_number] = packet
            if len(self._history) > _HISTORY:
                self._history.popitem(last=False)
        return packet

    def retransmission(self, sequence_number: int) -> RtpPacket | None:
        """The RTX packet for a NACK, None if the packet is not kept."""
        original = self._history.get(sequence_number)
        if original is None or self.rtx_payload_type is None:
            self.not_in_history += 1
            return None
        self.retransmitted += 1
        self.rtx_sequence_number = (self.rtx_sequence_number + 1) & 0xFFFF
        rtx = wrap_rtx(
            original,
            payload_type=self.rtx_payload_type,
            ssrc=self.rtx_ssrc,
            sequence_number=self.rtx_sequence_number,
        )
        return attrs.evolve(rtx, extensions=self._identification(REPAIRED_RID, self.announce_rtx))

    def report(self) -> tuple[SenderReport, Sdes]:
        """The sender report and SDES, due once a second."""
        ntp = int((time.time() + _NTP_EPOCH) * (1 << 32))
        return (
            SenderReport(
                ssrc=self.ssrc,
                ntp=ntp,
                rtp_timestamp=self.last_timestamp,
                packets=self.packets & 0xFFFFFFFF,
                octets=self.octets & 0xFFFFFFFF,
            ),
            Sdes((SdesChunk(self.ssrc, ((SDES_CNAME, self.cname.encode()),)),)),
        )

    def _identification(self, rid_uri: str, wanted: bool) -> dict[int, bytes]:
        if not wanted:
            return {}
        found = {self.extension_ids[MID]: self.mid.encode()}
        if self.rid is not None:
            found[self.extension_ids[rid_uri]] = self.rid.encode()
        return found


@attrs.define(eq=False)
class OpusSource:
    """20 ms frames of ``payload_size`` bytes at a given loudness (dBov below zero, 127
    = silence).
    """

    mid: str
    cname: str
    payload_size: int = 60
    level: int = 30
    interval: float = 0.02
    stream: SendStream = attrs.field(init=False)
    frame: int = 0
    _timestamp: int = attrs.field(factory=lambda: secrets.randbits(32))

    def __attrs_post_init__(self) -> None:
        self.stream = SendStream(
            OPUS_PAYLOAD_TYPE, self.mid, self.cname, extension_ids=AUDIO_EXTENSIONS
        )

    @property
    def streams(self) -> list[SendStream]:
        return [self.stream]

    def request_key_frame(self) -> None:
        """Audio has no key frames."""

    def send_frame(self, transport: ClientTransport) -> None:
        stamp = Stamp(0, self.frame, 0, 1, time.monotonic())
        self.frame += 1
        self._timestamp += 960
        payload = (bytes([OPUS_TOC]) + stamp.build()).ljust(self.payload_size, b"\x5a")
        voice = self.level < 127
        packet = self.stream.next_packet(
            payload,
            self._timestamp,
            extensions={AUDIO_EXTENSIONS[AUDIO_LEVEL]: bytes([voice << 7 | self.level])},
        )
        transport.send_rtp(packet, AUDIO_EXTENSIONS[TRANSPORT_CC])


@attrs.define(eq=False)
class Vp8Source:
    """Video at ``fps`` in one stream, or in several (simulcast) with rids; ``frame_sizes`` in
    bytes, lowest layer first.

    A key frame has three times the size. A test may lower ``active_layers``, as a browser does with
    little bandwidth.
    """

    mid: str
    cname: str
    frame_sizes: tuple[int, ...] = (600, 2200, 5000)
    fps: float = 20.0
    simulcast: bool = True
    active_layers: int = attrs.field(init=False)
    streams: list[SendStream] = attrs.field(init=False)
    frame: int = 0
    key_frames: int = 0
    key_frame_requests: int = 0
    _key_frame_wanted: bool = True
    _started: float = attrs.field(factory=time.monotonic)
    _picture_ids: list[int] = attrs.field(init=False)
    _timestamp_offsets: list[int] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        assert self.simulcast or len(self.frame_sizes) == 1
        self.active_layers = len(self.frame_sizes)
        self.streams = [
            SendStream(
                VP8_PAYLOAD_TYPE,
                self.mid,
                self.cname,
                rid=f"r{index}" if self.simulcast else None,
                rtx_payload_type=RTX_PAYLOAD_TYPE,
                extension_ids=VIDEO_EXTENSIONS,
            )
            for index in range(len(self.frame_sizes))
        ]
        # Each layer is an encoder of its own.
        self._picture_ids = [secrets.randbits(15) for _ in self.frame_sizes]
        self._timestamp_offsets = [secrets.randbits(32) for _ in self.frame_sizes]

    @property
    def interval(self) -> float:
        return 1 / self.fps

    def request_key_frame(self) -> None:
        """Make the next frame a key frame on all layers, like libwebrtc."""
        self.key_frame_requests += 1
        self._key_frame_wanted = True

    def send_frame(self, transport: ClientTransport) -> None:
        """Send one frame of each active layer."""
        key = self._key_frame_wanted
        self._key_frame_wanted = False
        self.key_frames += key
        now = time.monotonic()
        for layer in range(self.active_layers):
            self._send_layer(transport, layer, now, key)
        self.frame += 1

    def _send_layer(self, transport: ClientTransport, layer: int, now: float, key: bool) -> None:
        stream = self.streams[layer]
        size = self.frame_sizes[layer] * (3 if key else 1)
        parts = -(-size // _MAX_PAYLOAD)
        self._picture_ids[layer] = (self._picture_ids[layer] + 1) & 0x7FFF
        timestamp = self._timestamp_offsets[layer] + int((now - self._started) * 90000)
        for part in range(parts):
            descriptor = Vp8Descriptor(
                start_of_partition=part == 0, picture_id=self._picture_ids[layer]
            )
            head = b""
            if part == 0:
                width, height = 320 << layer, 180 << layer
                head = key_frame_header(width, height) if key else b"\x11\x00\x00"
            body = head + Stamp(layer, self.frame, part, parts, now).build()
            payload = build_vp8_descriptor(descriptor) + body.ljust(-(-size // parts), b"\xa5")
            packet = stream.next_packet(payload, timestamp, marker=part == parts - 1)
            transport.send_rtp(packet, VIDEO_EXTENSIONS[TRANSPORT_CC])


Source = OpusSource | Vp8Source

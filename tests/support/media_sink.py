"""Incoming media: one ``ReceiveStream`` for each consumer, which acts like a browser's receiver.

It puts packets in order and asks for missing ones (NACK, again after 50 ms). It gives up on them
after a second, and asks for a key frame when it cannot go on. It counts the frames that a decoder
would get: ``frames`` are complete frames whose predecessors are complete back to a key frame. Each
packet is checked for rules that hold on any path through an SFU: known payload type, timestamps and
picture ids that never jump back, a payload that is whole. Violations are kept in ``faults``.
"""

import struct
import time
from collections.abc import Callable

import attrs
from support.media_source import Stamp
from support.wire import WireError
from support.wire.rtcp import ReportBlock, SenderReport
from support.wire.rtp import RtpPacket, unwrap_rtx_untrusted
from support.wire.vp8 import Vp8Descriptor, is_key_frame, parse_vp8_untrusted

_NACK_INTERVAL = 0.05
_GIVE_UP = 1.0
_KEY_FRAME_INTERVAL = 0.3
_MAX_GAP = 1000


@attrs.define
class _Missing:
    since: float
    asked: float = 0.0
    times: int = 0


@attrs.define(eq=False)
class ReceiveStream:
    """Packets on one consumer's SSRC and its RTX."""

    kind: str
    ssrc: int
    payload_type: int
    clock_rate: int
    rtx_ssrc: int | None = None
    rtx_payload_type: int | None = None
    nack: bool = False
    on_frame: Callable[[Stamp], None] = lambda _: None
    """Called for each complete frame in order, with the stamp of its first packet."""
    on_packet: Callable[[RtpPacket], None] | None = None
    """Gets the packets in order, and stamps are not parsed: media of other programs has none."""
    packets: int = 0
    octets: int = 0
    duplicates: int = 0
    recovered: int = 0
    """Missing packets that came by retransmission."""
    probes: int = 0
    """RTX packets that repair nothing: padding, and packets that are there already."""
    lost: int = 0
    """Packets given up on."""
    frames: int = 0
    key_frames: int = 0
    frames_by_layer: dict[int, int] = attrs.field(factory=dict)
    last_stamp: Stamp | None = None
    latencies: list[float] = attrs.field(factory=list)
    """Seconds from the sender's send to arrival, for the first packet of each frame."""
    longest_freeze: float = 0.0
    """Longest time between two frames."""
    first_packet_at: float | None = None
    first_frame_at: float | None = None
    faults: list[str] = attrs.field(factory=list)
    key_frame_wanted: bool = False
    _highest: int = -1
    _first: int = -1
    _next: int = -1
    _waiting: dict[int, RtpPacket] = attrs.field(factory=dict)
    _missing: dict[int, _Missing] = attrs.field(factory=dict)
    _key_frame_asked: float = 0.0
    _decodable: bool = False
    _parts: list[tuple[RtpPacket, Stamp, bool]] = attrs.field(factory=list)
    _last_picture: tuple[int, int] | None = None
    _last_frame_at: float | None = None
    _jitter: float = 0.0
    _last_transit: int | None = None
    _reported: tuple[int, int] = (0, 0)
    _last_report: tuple[int, float] | None = None

    def handle(self, packet: RtpPacket, now: float) -> None:
        """Take a packet of this consumer: main stream or RTX. ``now`` is ``time.monotonic``."""
        repaired = packet.ssrc == self.rtx_ssrc
        if repaired:
            try:
                packet = unwrap_rtx_untrusted(
                    packet, payload_type=self.payload_type, ssrc=self.ssrc
                )
            except WireError:
                self.probes += 1
                return
        if packet.payload_type != self.payload_type:
            self._fault(f"payload type {packet.payload_type}, not {self.payload_type}")
            return
        index = self._extend(packet.sequence_number)
        if index < self._next or index in self._waiting:
            if repaired:
                self.probes += 1
            else:
                self.duplicates += 1
            return
        if abs(index - self._highest) > _MAX_GAP:
            self._fault(f"sequence number jumps by {index - self._highest}")
            if index > self._highest:
                self._leap(index, now)
        if not repaired:
            self._measure_jitter(packet, now)
        self.packets += 1
        self.octets += len(packet.payload)
        if self.first_packet_at is None:
            self.first_packet_at = now
        if self._missing.pop(index, None) is not None and repaired:
            self.recovered += 1
        for gap in range(self._highest + 1, index):
            self._missing[gap] = _Missing(since=now)
        self._highest = max(self._highest, index)
        self._waiting[index] = packet
        self._advance(now)

    def numbers_to_nack(self, now: float) -> tuple[int, ...]:
        """Sequence numbers to ask for now; gives up on old ones."""
        given_up = [i for i, m in self._missing.items() if now - m.since > _GIVE_UP]
        if given_up:
            self._skip(max(given_up), now)
        if not self.nack:
            return ()
        due = [m for m in self._missing.items() if now - m[1].asked >= _NACK_INTERVAL]
        for _, missing in due:
            missing.asked = now
            missing.times += 1
        return tuple(index & 0xFFFF for index, _ in due)

    def wants_key_frame(self, now: float) -> bool:
        """Whether to send a PLI now; true at most every 300 ms."""
        if not self.key_frame_wanted or now - self._key_frame_asked < _KEY_FRAME_INTERVAL:
            return False
        self._key_frame_asked = now
        return True

    def handle_sender_report(self, report: SenderReport, now: float) -> None:
        self._last_report = ((report.ntp >> 16) & 0xFFFFFFFF, now)

    def report(self, now: float) -> ReportBlock:
        """The report block for a receiver report (RFC 3550 §6.4.1, A.3)."""
        expected = self._highest - self._first + 1
        lost = max(expected - self.packets, 0)
        since_expected, since_lost = expected - self._reported[0], lost - self._reported[1]
        self._reported = (expected, lost)
        fraction = max(since_lost, 0) * 256 // since_expected if since_expected > 0 else 0
        last_sr, delay = 0, 0
        if self._last_report is not None:
            last_sr, at = self._last_report
            delay = int((now - at) * 65536)
        return ReportBlock(
            ssrc=self.ssrc,
            fraction_lost=min(fraction, 255),
            cumulative_lost=min(lost, 0x7FFFFF),
            highest_sequence=self._highest & 0xFFFFFFFF,
            jitter=int(self._jitter),
            last_sr=last_sr,
            delay_since_last_sr=delay,
        )

    def _extend(self, number: int) -> int:
        if self._highest < 0:
            # One cycle up, so that earlier numbers are not negative.
            self._first = self._next = 0x10000 + number
            self._highest = self._next - 1
            return self._next
        distance = (number - self._highest) & 0xFFFF
        return self._highest + distance - (0x10000 if distance >= 0x8000 else 0)

    def _advance(self, now: float) -> None:
        while (packet := self._waiting.pop(self._next, None)) is not None:
            self._next += 1
            if packet.payload:
                self._handle_in_order(packet, now)

    def _leap(self, index: int, now: float) -> None:
        """Ask for nothing before ``index``, as libwebrtc does for so many."""
        self.lost += index - 1 - self._highest
        self._highest = index - 1
        self._skip(index - 1, now)

    def _skip(self, index: int, now: float) -> None:
        for lost in [i for i in self._missing if i <= index]:
            del self._missing[lost]
            self.lost += 1
        for skipped in [i for i in self._waiting if i <= index]:
            del self._waiting[skipped]
        if self._next <= index:
            self._next = index + 1
            self._parts.clear()
            if self.kind == "video":
                self._decodable = False
                self.key_frame_wanted = True
        self._advance(now)

    def _handle_in_order(self, packet: RtpPacket, now: float) -> None:
        if self.on_packet is not None:
            self.on_packet(packet)
            return
        try:
            if self.kind == "audio":
                stamp = Stamp.parse(packet.payload[1:])
                self._frame_complete(stamp, now)
            else:
                self._handle_video(packet, now)
        except (WireError, ValueError, struct.error) as error:
            self._fault(f"payload: {error!r}")

    def _handle_video(self, packet: RtpPacket, now: float) -> None:
        descriptor, data = parse_vp8_untrusted(packet.payload)
        key = is_key_frame(descriptor, data)
        if descriptor.start_of_partition:
            if self._parts:
                self._fault("a frame begins before the one before has ended")
            self._parts.clear()
            self._check_order(packet, descriptor)
            data = data[10 if key else 3 :]
        elif not self._parts:
            if self._decodable:
                self._fault("a frame without its beginning")
            return
        stamp = Stamp.parse(data)
        self._parts.append((packet, stamp, key))
        if not packet.marker:
            return
        first = self._parts[0][1]
        whole = [(p[1].frame, p[1].layer, p[1].part) for p in self._parts] == [
            (first.frame, first.layer, part) for part in range(first.parts)
        ]
        if not whole or len({p[0].timestamp for p in self._parts}) != 1:
            self._fault(f"frame {first.frame} of layer {first.layer} is mixed up")
        key = self._parts[0][2]
        self._parts.clear()
        if key:
            self._decodable = True
            self.key_frame_wanted = False
            self.key_frames += 1
        elif self._decodable and self.last_stamp is not None:
            before = self.last_stamp
            if (before.layer, before.frame + 1) != (first.layer, first.frame):
                self._fault(f"{before} is followed by {first} without a key frame")
        if self._decodable:
            self._frame_complete(first, now)
        else:
            self.key_frame_wanted = True

    def _frame_complete(self, stamp: Stamp, now: float) -> None:
        self.frames += 1
        self.frames_by_layer[stamp.layer] = self.frames_by_layer.get(stamp.layer, 0) + 1
        self.last_stamp = stamp
        self.latencies.append(now - stamp.sent_at)
        if self.first_frame_at is None:
            self.first_frame_at = now
        if self._last_frame_at is not None:
            self.longest_freeze = max(self.longest_freeze, now - self._last_frame_at)
        self._last_frame_at = now
        self.on_frame(stamp)

    def _check_order(self, packet: RtpPacket, descriptor: Vp8Descriptor) -> None:
        picture = descriptor.picture_id
        if picture is None:
            self._fault("no picture id")
            return
        if self._last_picture is not None:
            steps = (picture - self._last_picture[0]) & 0x7FFF
            if not 0 < steps < 0x4000:
                self._fault(f"picture id {self._last_picture[0]} is followed by {picture}")
            ticks = (packet.timestamp - self._last_picture[1]) & 0xFFFFFFFF
            if not 0 < ticks < 0x80000000:
                self._fault(f"timestamp goes from {self._last_picture[1]} to {packet.timestamp}")
        self._last_picture = (picture, packet.timestamp)

    def _measure_jitter(self, packet: RtpPacket, now: float) -> None:
        # RFC 3550 A.8
        transit = int(now * self.clock_rate) - packet.timestamp
        if self._last_transit is not None:
            difference = abs((transit - self._last_transit + (1 << 31)) % (1 << 32) - (1 << 31))
            self._jitter += (difference - self._jitter) / 16
        self._last_transit = transit

    def _fault(self, what: str) -> None:
        if len(self.faults) < 100:
            self.faults.append(f"{time.monotonic():.3f} {what}")

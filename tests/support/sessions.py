"""The two media sessions of a participant: the RTP and RTCP of a transport in each direction.

``SendSession`` sends its sources' frames in time and sender reports every second, and answers NACK
and PLI. ``ReceiveSession`` finds the consumer of each packet by SSRC and sends the feedback of a
browser: NACK at once and again every 50 ms, transport-wide feedback every 100 ms, PLI when a stream
cannot go on, receiver reports every second.
"""

import secrets
import time
from collections import Counter
from collections.abc import Iterator

import attrs
import trio
from support.feedback import ArrivalRecorder
from support.media_sink import ReceiveStream
from support.media_source import SendStream, Source
from support.transport import ClientTransport
from support.wire.rtcp import (
    SDES_CNAME,
    Fir,
    Nack,
    Pli,
    ReceiverReport,
    Remb,
    RtcpPacket,
    Sdes,
    SdesChunk,
    SenderReport,
)
from support.wire.rtp import RtpPacket
from support.wire.transport_cc import TransportFeedback

from meet_trio.bench.rtp_parameters import TRANSPORT_CC, VIDEO_EXTENSIONS

_REPORT_INTERVAL = 1.0
_FEEDBACK_INTERVAL = 0.1
_TICK = 0.05


@attrs.define(eq=False)
class SendSession:
    """The media that this participant sends. ``rtcp`` counts the server's RTCP packets by type."""

    transport: ClientTransport
    sources: dict[str, Source] = attrs.field(factory=dict)
    """Sources by mid; a removed source stops."""
    rtcp: Counter[str] = attrs.field(factory=Counter)
    remb: int | None = None
    """The latest estimate, in bit/s."""
    acknowledged: int = 0
    """Packets that transport-wide feedback reports as received."""
    unacknowledged: int = 0
    """Packets that it reports as lost."""
    _paused: set[str] = attrs.field(factory=set)

    def __attrs_post_init__(self) -> None:
        self.transport.on_rtcp = self.handle_rtcp

    def set_paused(self, mid: str, paused: bool) -> None:
        """A paused source sends nothing; a resumed one starts with a key frame."""
        if paused:
            self._paused.add(mid)
        else:
            self._paused.discard(mid)
            self.sources[mid].request_key_frame()

    async def run_source(self, source: Source) -> None:
        """Send frames in time until the source is removed."""
        next_at = trio.current_time()
        while self.sources.get(source.mid) is source:
            if source.mid not in self._paused:
                source.send_frame(self.transport)
            # Frames that this process was too slow for are skipped, not sent in a burst.
            next_at = max(next_at + source.interval, trio.current_time() - source.interval)
            await trio.sleep_until(next_at)

    async def run_reports(self) -> None:
        await self.transport.connected.wait()
        while True:
            await trio.sleep(_REPORT_INTERVAL)
            for stream in self._streams():
                if stream.packets:
                    self.transport.send_rtcp(list(stream.report()))

    def handle_rtcp(self, packets: tuple[RtcpPacket, ...]) -> None:
        for packet in packets:
            self.rtcp[type(packet).__name__] += 1
            match packet:
                case Nack():
                    self._repeat(packet)
                case Pli():
                    self._request_key_frame(packet.media_ssrc)
                case Fir():
                    for ssrc, _ in packet.requests:
                        self._request_key_frame(ssrc)
                case ReceiverReport() | SenderReport():
                    for block in packet.reports:
                        for stream in self._streams():
                            stream.announce &= stream.ssrc != block.ssrc
                            stream.announce_rtx &= stream.rtx_ssrc != block.ssrc
                case Remb():
                    self.remb = packet.bitrate
                case TransportFeedback():
                    arrived = sum(delta is not None for delta in packet.deltas)
                    self.acknowledged += arrived
                    self.unacknowledged += len(packet.deltas) - arrived

    def _repeat(self, nack: Nack) -> None:
        for stream in self._streams():
            if stream.ssrc == nack.media_ssrc:
                for number in nack.lost:
                    packet = stream.retransmission(number)
                    if packet is not None:
                        self.transport.send_rtp(packet, VIDEO_EXTENSIONS[TRANSPORT_CC])

    def _request_key_frame(self, ssrc: int) -> None:
        for source in self.sources.values():
            if any(stream.ssrc == ssrc for stream in source.streams):
                source.request_key_frame()

    def _streams(self) -> Iterator[SendStream]:
        for source in self.sources.values():
            yield from source.streams


@attrs.define(eq=False)
class ReceiveSession:
    """The media that this participant receives."""

    transport: ClientTransport
    ssrc: int = attrs.field(factory=lambda: secrets.randbits(31) | 1)
    transport_cc_id: int | None = None
    """Id of the transport-wide extension; without it no such feedback is sent."""
    unknown: Counter[int] = attrs.field(factory=Counter)
    """Packets of SSRCs that belong to no consumer."""
    send_nack: bool = True
    nacks_sent: int = 0
    plis_sent: int = 0
    _streams: dict[int, ReceiveStream] = attrs.field(factory=dict)
    _arrivals: ArrivalRecorder = attrs.field(factory=ArrivalRecorder)

    def __attrs_post_init__(self) -> None:
        self.transport.on_rtp = self.handle_rtp
        self.transport.on_rtcp = self.handle_rtcp

    def add(self, stream: ReceiveStream) -> None:
        self._streams[stream.ssrc] = stream
        if stream.rtx_ssrc is not None:
            self._streams[stream.rtx_ssrc] = stream

    def remove(self, stream: ReceiveStream) -> None:
        for ssrc in (stream.ssrc, stream.rtx_ssrc):
            if ssrc is not None:
                self._streams.pop(ssrc, None)

    def handle_rtp(self, packet: RtpPacket) -> None:
        now = time.monotonic()
        if self.transport_cc_id is not None:
            number = packet.extensions.get(self.transport_cc_id)
            if number is not None:
                self._arrivals.record(int.from_bytes(number, "big"), now)
        stream = self._streams.get(packet.ssrc)
        if stream is None:
            self.unknown[packet.ssrc] += 1
            return
        stream.handle(packet, now)
        self._ask(stream, now)

    def handle_rtcp(self, packets: tuple[RtcpPacket, ...]) -> None:
        for packet in packets:
            if isinstance(packet, SenderReport) and packet.ssrc in self._streams:
                self._streams[packet.ssrc].handle_sender_report(packet, time.monotonic())

    async def run_feedback(self) -> None:
        await self.transport.connected.wait()
        last_report = last_feedback = time.monotonic()
        while True:
            # Without streams there is nothing to react to quickly.
            await trio.sleep(_TICK if self._streams else _REPORT_INTERVAL)
            now = time.monotonic()
            for stream in self._unique():
                self._ask(stream, now)
            if now - last_feedback >= _FEEDBACK_INTERVAL:
                last_feedback = now
                feedback = self._arrivals.build(self.ssrc, next(iter(self._streams), 0))
                if feedback is not None:
                    self.transport.send_rtcp([feedback])
            if now - last_report >= _REPORT_INTERVAL:
                last_report = now
                self._send_report(now)

    def _ask(self, stream: ReceiveStream, now: float) -> None:
        lost = stream.numbers_to_nack(now)
        if lost and self.send_nack:
            self.nacks_sent += len(lost)
            self.transport.send_rtcp([Nack(self.ssrc, stream.ssrc, lost)])
        if stream.wants_key_frame(now):
            self.plis_sent += 1
            self.transport.send_rtcp([Pli(self.ssrc, stream.ssrc)])

    def _send_report(self, now: float) -> None:
        blocks = [stream.report(now) for stream in self._unique() if stream.packets]
        # libwebrtc puts its CNAME into each compound packet.
        description = Sdes((SdesChunk(self.ssrc, ((SDES_CNAME, b"participant"),)),))
        for at in range(0, len(blocks), 31):
            report = ReceiverReport(self.ssrc, tuple(blocks[at : at + 31]))
            self.transport.send_rtcp([report, description])

    def _unique(self) -> list[ReceiveStream]:
        return [stream for ssrc, stream in self._streams.items() if ssrc == stream.ssrc]

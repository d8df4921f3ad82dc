"""RTCP packets: reports (RFC 3550 §6), NACK and PLI (RFC 4585 §6), FIR (RFC 5104 §4.3), REMB
(draft-alvestrand-rmcat-remb-03).

A datagram is a compound of packets. A packet whose type or format is unknown here is parsed to an
``OtherRtcp``, which is built to the same bytes. Transport-wide feedback is in ``transport_cc.py``.
"""

import struct
from collections.abc import Iterable, Sequence

import attrs
from support.wire import WireError
from support.wire.transport_cc import TransportFeedback, build_feedback, parse_feedback_untrusted

SDES_CNAME = 1

_SR, _RR, _SDES, _BYE, _RTPFB, _PSFB = 200, 201, 202, 203, 205, 206
_FMT_NACK, _FMT_TRANSPORT_CC = 1, 15
_FMT_PLI, _FMT_FIR, _FMT_AFB = 1, 4, 15

_REPORT = struct.Struct("!IIIIII")


@attrs.frozen(kw_only=True)
class ReportBlock:
    """How one stream arrives. ``fraction_lost`` is in 1/256, ``jitter`` in timestamp units, the
    delay in 1/65536 s.
    """

    ssrc: int
    fraction_lost: int = 0
    cumulative_lost: int = 0
    """Signed, 24 bits: duplicates can make it negative."""
    highest_sequence: int = 0
    """Extended: cycles in the upper 16 bits."""
    jitter: int = 0
    last_sr: int = 0
    delay_since_last_sr: int = 0


@attrs.frozen(kw_only=True)
class SenderReport:
    """``ntp`` is the 64-bit NTP timestamp at which the stream's clock showed ``rtp_timestamp``."""

    ssrc: int
    ntp: int
    rtp_timestamp: int
    packets: int
    octets: int
    reports: tuple[ReportBlock, ...] = ()


@attrs.frozen
class ReceiverReport:
    ssrc: int
    reports: tuple[ReportBlock, ...] = ()


@attrs.frozen
class SdesChunk:
    """``items`` are ``(type, value)``; type 1 is the CNAME."""

    ssrc: int
    items: tuple[tuple[int, bytes], ...]


@attrs.frozen
class Sdes:
    chunks: tuple[SdesChunk, ...]


@attrs.frozen
class Bye:
    ssrcs: tuple[int, ...]
    reason: bytes = b""


@attrs.frozen
class Nack:
    """Sequence numbers wanted again, in ascending order (mod 2^16)."""

    sender_ssrc: int
    media_ssrc: int
    lost: tuple[int, ...]


@attrs.frozen
class Pli:
    sender_ssrc: int
    media_ssrc: int


@attrs.frozen
class Fir:
    """``requests`` are ``(ssrc, request number mod 256)``."""

    sender_ssrc: int
    requests: tuple[tuple[int, int], ...]


@attrs.frozen
class Remb:
    """``bitrate`` is in bit/s. Its field has 18 significant bits, so building rounds down."""

    sender_ssrc: int
    bitrate: int
    ssrcs: tuple[int, ...]


@attrs.frozen
class OtherRtcp:
    """A packet that this file does not know. ``count`` is the header's 5-bit field, ``body`` is
    all that follows the header.
    """

    packet_type: int
    count: int
    body: bytes


RtcpPacket = (
    SenderReport
    | ReceiverReport
    | Sdes
    | Bye
    | Nack
    | Pli
    | Fir
    | Remb
    | TransportFeedback
    | OtherRtcp
)


def build_rtcp(packets: Iterable[RtcpPacket]) -> bytes:
    """One datagram with ``packets`` in order. Raises ValueError when a field does not fit."""
    out = []
    for packet in packets:
        try:
            packet_type, count, body = _build_body(packet)
        except (struct.error, OverflowError) as error:
            raise ValueError(f"RTCP: {type(packet).__name__}: {error}") from None
        if count > 31:
            raise ValueError(f"RTCP {packet_type}: {count} entries")
        if len(body) % 4:
            raise ValueError(f"RTCP {packet_type}: body of {len(body)} bytes")
        out.append(struct.pack("!BBH", 0x80 | count, packet_type, len(body) // 4) + body)
    return b"".join(out)


def parse_rtcp_untrusted(data: bytes) -> tuple[RtcpPacket, ...]:
    """All packets of a datagram. A malformed packet makes the whole datagram an error."""
    packets = []
    at = 0
    while at < len(data):
        if at + 4 > len(data):
            raise WireError("RTCP: shorter than its header")
        first, packet_type, words = struct.unpack_from("!BBH", data, at)
        if first >> 6 != 2:
            raise WireError("RTCP: not version 2")
        body = data[at + 4 : at + 4 + 4 * words]
        if len(body) != 4 * words:
            raise WireError("RTCP: packet past the end")
        at += 4 + len(body)
        if first & 0x20:
            # RFC 3550 wants a multiple of 4, but libwebrtc pads its transport-cc by 1 to 3
            if not body or not 1 <= body[-1] <= len(body):
                raise WireError("RTCP: wrong padding")
            body = body[: -body[-1]]
        try:
            packets.append(_parse_body_untrusted(packet_type, first & 0x1F, body))
        except (struct.error, IndexError):
            raise WireError(f"RTCP: packet of type {packet_type} is too short") from None
    if not packets:
        raise WireError("RTCP: empty")
    return tuple(packets)


def _build_body(packet: RtcpPacket) -> tuple[int, int, bytes]:
    match packet:
        case SenderReport():
            head = struct.pack(
                "!IQIII",
                packet.ssrc,
                packet.ntp,
                packet.rtp_timestamp,
                packet.packets,
                packet.octets,
            )
            return _SR, len(packet.reports), head + _build_reports(packet.reports)
        case ReceiverReport():
            head = struct.pack("!I", packet.ssrc)
            return _RR, len(packet.reports), head + _build_reports(packet.reports)
        case Sdes():
            return _SDES, len(packet.chunks), b"".join(map(_build_chunk, packet.chunks))
        case Bye():
            reason = bytes([len(packet.reason)]) + packet.reason if packet.reason else b""
            body = struct.pack(f"!{len(packet.ssrcs)}I", *packet.ssrcs) + reason
            return _BYE, len(packet.ssrcs), body + bytes(-len(body) % 4)
        case Nack():
            head = struct.pack("!II", packet.sender_ssrc, packet.media_ssrc)
            return _RTPFB, _FMT_NACK, head + _build_lost(packet.lost)
        case TransportFeedback():
            return _RTPFB, _FMT_TRANSPORT_CC, build_feedback(packet)
        case Pli():
            return _PSFB, _FMT_PLI, struct.pack("!II", packet.sender_ssrc, packet.media_ssrc)
        case Fir():
            entries = (struct.pack("!IB3x", *request) for request in packet.requests)
            return _PSFB, _FMT_FIR, struct.pack("!I4x", packet.sender_ssrc) + b"".join(entries)
        case Remb():
            exponent = max(packet.bitrate.bit_length() - 18, 0)
            return (
                _PSFB,
                _FMT_AFB,
                struct.pack("!I4x4s", packet.sender_ssrc, b"REMB")
                + (len(packet.ssrcs) << 24 | exponent << 18 | packet.bitrate >> exponent).to_bytes(
                    4, "big"
                )
                + struct.pack(f"!{len(packet.ssrcs)}I", *packet.ssrcs),
            )
        case OtherRtcp():
            return packet.packet_type, packet.count, packet.body


def _parse_body_untrusted(packet_type: int, count: int, body: bytes) -> RtcpPacket:
    if packet_type == _SR:
        ssrc, ntp, rtp_timestamp, packets, octets = struct.unpack_from("!IQIII", body)
        return SenderReport(
            ssrc=ssrc,
            ntp=ntp,
            rtp_timestamp=rtp_timestamp,
            packets=packets,
            octets=octets,
            reports=_parse_reports(body, 24, count),
        )
    if packet_type == _RR:
        return ReceiverReport(struct.unpack_from("!I", body)[0], _parse_reports(body, 4, count))
    if packet_type == _SDES:
        return Sdes(_parse_chunks(body, count))
    if packet_type == _BYE:
        ssrcs = struct.unpack_from(f"!{count}I", body)
        rest = body[4 * count :]
        reason = rest[1 : 1 + rest[0]] if rest else b""
        if rest and len(reason) != rest[0]:
            raise WireError("RTCP: BYE reason past the end")
        return Bye(ssrcs, reason)
    if (packet_type, count) == (_RTPFB, _FMT_NACK):
        sender, media = struct.unpack_from("!II", body)
        return Nack(sender, media, _parse_lost(body[8:]))
    if (packet_type, count) == (_RTPFB, _FMT_TRANSPORT_CC):
        return parse_feedback_untrusted(body)
    if (packet_type, count) == (_PSFB, _FMT_PLI):
        return Pli(*struct.unpack_from("!II", body))
    if (packet_type, count) == (_PSFB, _FMT_FIR):
        (sender,) = struct.unpack_from("!I4x", body)
        if len(body) % 8:
            raise WireError("RTCP: FIR entry past the end")
        return Fir(sender, tuple(struct.iter_unpack("!IB3x", body[8:])))
    if (packet_type, count) == (_PSFB, _FMT_AFB) and body[8:12] == b"REMB":
        sender, rate = struct.unpack_from("!I8xI", body)
        ssrcs = struct.unpack_from(f"!{rate >> 24}I", body, 16)
        return Remb(sender, (rate & 0x3FFFF) << (rate >> 18 & 0x3F), ssrcs)
    return OtherRtcp(packet_type, count, body)


def _build_reports(reports: Sequence[ReportBlock]) -> bytes:
    return b"".join(
        _REPORT.pack(
            r.ssrc,
            r.fraction_lost << 24 | r.cumulative_lost & 0xFFFFFF,
            r.highest_sequence,
            r.jitter,
            r.last_sr,
            r.delay_since_last_sr,
        )
        for r in reports
    )


def _parse_reports(body: bytes, at: int, count: int) -> tuple[ReportBlock, ...]:
    reports = []
    for index in range(count):
        ssrc, lost, highest, jitter, lsr, dlsr = _REPORT.unpack_from(
            body, at + index * _REPORT.size
        )
        reports.append(
            ReportBlock(
                ssrc=ssrc,
                fraction_lost=lost >> 24,
                cumulative_lost=(lost & 0xFFFFFF ^ 0x800000) - 0x800000,
                highest_sequence=highest,
                jitter=jitter,
                last_sr=lsr,
                delay_since_last_sr=dlsr,
            )
        )
    return tuple(reports)


def _build_chunk(chunk: SdesChunk) -> bytes:
    body = struct.pack("!I", chunk.ssrc)
    for item, value in chunk.items:
        body += bytes((item, len(value))) + value
    # RFC 3550 §6.5: at least one zero byte ends the list
    return body + bytes(4 - len(body) % 4)


def _parse_chunks(body: bytes, count: int) -> tuple[SdesChunk, ...]:
    chunks = []
    at = 0
    for _ in range(count):
        (ssrc,) = struct.unpack_from("!I", body, at)
        at += 4
        items = []
        while body[at] != 0:
            size = body[at + 1]
            value = body[at + 2 : at + 2 + size]
            if len(value) != size:
                raise WireError("RTCP: SDES item past the end")
            items.append((body[at], value))
            at += 2 + size
        at += 4 - at % 4
        chunks.append(SdesChunk(ssrc, tuple(items)))
    return tuple(chunks)


def _build_lost(lost: Sequence[int]) -> bytes:
    pairs: list[tuple[int, int]] = []
    for number in lost:
        if pairs:
            first, mask = pairs[-1]
            distance = (number - first) & 0xFFFF
            if 1 <= distance <= 16:
                pairs[-1] = (first, mask | 1 << distance - 1)
                continue
        pairs.append((number, 0))
    return b"".join(struct.pack("!HH", *pair) for pair in pairs)


def _parse_lost(pairs: bytes) -> tuple[int, ...]:
    lost = []
    for first, mask in struct.iter_unpack("!HH", pairs):
        lost.append(first)
        lost += [(first + bit + 1) & 0xFFFF for bit in range(16) if mask >> bit & 1]
    return tuple(lost)

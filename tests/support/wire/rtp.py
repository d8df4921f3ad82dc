"""RTP packets (RFC 3550 §5.1), their header extensions (RFC 8285), retransmissions (RFC 4588).

Extensions are a mapping id → bytes for both forms. The one-byte form is built when all of them fit
into it, else the two-byte form. The session gives an id its meaning (``a=extmap``), so values stay
bytes here.
"""

import struct
from collections.abc import Mapping

import attrs
from support.wire import WireError

_ONE_BYTE = 0xBEDE
_TWO_BYTE = 0x1000  # the low 4 bits are "appbits", zero here and ignored when reading

_HEADER = struct.Struct("!BBHII")


@attrs.frozen(kw_only=True)
class RtpPacket:
    """One RTP packet. ``padding`` is the number of padding bytes, its count byte included (0 =
    none).
    """

    payload_type: int
    sequence_number: int
    timestamp: int
    ssrc: int
    payload: bytes = b""
    marker: bool = False
    csrcs: tuple[int, ...] = ()
    extensions: Mapping[int, bytes] = attrs.field(factory=dict)
    padding: int = 0


def build_rtp(packet: RtpPacket) -> bytes:
    """The bytes of ``packet``. Raises ValueError when a field does not fit."""
    if not 0 <= packet.payload_type < 128 or len(packet.csrcs) > 15:
        raise ValueError("RTP: payload type or number of CSRCs out of range")
    extension = _build_extensions(packet.extensions)
    first = 0x80 | bool(packet.padding) << 5 | bool(extension) << 4 | len(packet.csrcs)
    try:
        header = _HEADER.pack(
            first,
            packet.marker << 7 | packet.payload_type,
            packet.sequence_number,
            packet.timestamp,
            packet.ssrc,
        ) + struct.pack(f"!{len(packet.csrcs)}I", *packet.csrcs)
    except struct.error as error:
        raise ValueError(f"RTP: {error}") from None
    padding = bytes(packet.padding - 1) + bytes([packet.padding]) if packet.padding else b""
    return b"".join((header, extension, packet.payload, padding))


def parse_rtp_untrusted(data: bytes) -> RtpPacket:
    """The packet in ``data``. Header extensions in a form that is not in RFC 8285 are skipped."""
    if len(data) < _HEADER.size:
        raise WireError("RTP: shorter than its header")
    first, second, sequence_number, timestamp, ssrc = _HEADER.unpack_from(data)
    if first >> 6 != 2:
        raise WireError("RTP: not version 2")
    csrc_count = first & 0x0F
    start = _HEADER.size + 4 * csrc_count
    if len(data) < start:
        raise WireError("RTP: CSRC list past the end")
    csrcs = struct.unpack_from(f"!{csrc_count}I", data, _HEADER.size)
    extensions: dict[int, bytes] = {}
    if first & 0x10:
        if len(data) < start + 4:
            raise WireError("RTP: extension header past the end")
        form, words = struct.unpack_from("!HH", data, start)
        body = start + 4
        start = body + 4 * words
        if len(data) < start:
            raise WireError("RTP: extension past the end")
        extensions = _parse_extensions_untrusted(form, data[body:start])
    end = len(data)
    padding = 0
    if first & 0x20:
        padding = data[-1]
        if not 1 <= padding <= end - start:
            raise WireError("RTP: padding longer than the payload")
        end -= padding
    return RtpPacket(
        payload_type=second & 0x7F,
        sequence_number=sequence_number,
        timestamp=timestamp,
        ssrc=ssrc,
        payload=data[start:end],
        marker=bool(second & 0x80),
        csrcs=csrcs,
        extensions=extensions,
        padding=padding,
    )


def wrap_rtx(packet: RtpPacket, *, payload_type: int, ssrc: int, sequence_number: int) -> RtpPacket:
    """``packet`` as a retransmission on the RTX stream (RFC 4588 §4). Its padding is not
    carried over.
    """
    return attrs.evolve(
        packet,
        payload_type=payload_type,
        ssrc=ssrc,
        payload=struct.pack("!H", packet.sequence_number) + packet.payload,
        sequence_number=sequence_number,
        padding=0,
    )


def unwrap_rtx_untrusted(packet: RtpPacket, *, payload_type: int, ssrc: int) -> RtpPacket:
    """The packet that the RTX ``packet`` repeats, given the original stream's payload type and
    SSRC.
    """
    if len(packet.payload) < 2:
        # bandwidth probes are padding only
        raise WireError("RTX: no original sequence number")
    return attrs.evolve(
        packet,
        payload_type=payload_type,
        ssrc=ssrc,
        sequence_number=int.from_bytes(packet.payload[:2], "big"),
        payload=packet.payload[2:],
        padding=0,
    )


def _build_extensions(extensions: Mapping[int, bytes]) -> bytes:
    if not extensions:
        return b""
    one_byte = all(1 <= id <= 14 and 1 <= len(v) <= 16 for id, v in extensions.items())
    body = bytearray()
    for id, value in extensions.items():
        if one_byte:
            body.append(id << 4 | len(value) - 1)
        elif 1 <= id <= 255 and len(value) <= 255:
            body += bytes((id, len(value)))
        else:
            raise ValueError(f"RTP extension {id} of {len(value)} bytes fits no form")
        body += value
    body += bytes(-len(body) % 4)
    return struct.pack("!HH", _ONE_BYTE if one_byte else _TWO_BYTE, len(body) // 4) + body


def _parse_extensions_untrusted(form: int, body: bytes) -> dict[int, bytes]:
    if form != _ONE_BYTE and form & 0xFFF0 != _TWO_BYTE:
        return {}
    found: dict[int, bytes] = {}
    at = 0
    while at < len(body):
        if body[at] == 0:  # padding
            at += 1
            continue
        if form == _ONE_BYTE:
            id, length = body[at] >> 4, (body[at] & 0x0F) + 1
            at += 1
            if id == 15:  # RFC 8285 §4.2: reserved, stop here
                break
        else:
            if at + 2 > len(body):
                raise WireError("RTP: extension element without a length")
            id, length = body[at], body[at + 1]
            at += 2
        if at + length > len(body):
            raise WireError(f"RTP: extension element {id} past the end")
        if id != 0:  # one-byte form: id 0 with a length is padding with a wrong length; skip it
            found.setdefault(id, body[at : at + length])
        at += length
    return found

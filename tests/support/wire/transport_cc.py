"""Transport-wide congestion control feedback
(draft-holmer-rmcat-transport-wide-cc-extensions-01 §3.1).

Each feedback says for a run of transport-wide sequence numbers whether and when each packet
arrived. Its bytes are a status for each number (in run-length or vector chunks), then a time delta
for each packet that arrived.
"""

import struct

import attrs
from support.wire import WireError

_HEAD = struct.Struct("!IIHHI")
_LOST, _SMALL, _LARGE = 0, 1, 2


@attrs.frozen(kw_only=True)
class TransportFeedback:
    """Arrival of the packets ``base_sequence``, ``base_sequence + 1``, … (mod 2^16), one entry
    in ``deltas`` for each.

    A delta is the time since the arrival of the previous number that arrived (the first: since
    ``reference_time``), in units of 250 µs, from -32768 to 32767. None: it has not arrived.
    """

    sender_ssrc: int
    media_ssrc: int
    base_sequence: int
    reference_time: int
    """In units of 64 ms, 24 bits, signed."""
    feedback_count: int
    """Number of this feedback packet, mod 256."""
    deltas: tuple[int | None, ...]


def build_feedback(feedback: TransportFeedback) -> bytes:
    """The packet's bytes after the RTCP header, padded with zeros to a multiple of 4."""
    statuses = [
        _LOST if delta is None else _SMALL if 0 <= delta <= 255 else _LARGE
        for delta in feedback.deltas
    ]
    body = _HEAD.pack(
        feedback.sender_ssrc,
        feedback.media_ssrc,
        feedback.base_sequence,
        len(statuses),
        (feedback.reference_time & 0xFFFFFF) << 8 | feedback.feedback_count,
    )
    body += _build_statuses(statuses)
    for delta, status in zip(feedback.deltas, statuses, strict=True):
        if delta is not None:
            body += struct.pack("!B" if status == _SMALL else "!h", delta)
    return body + bytes(-len(body) % 4)


def parse_feedback_untrusted(body: bytes) -> TransportFeedback:
    """The feedback in the bytes after the RTCP header."""
    if len(body) < _HEAD.size:
        raise WireError("transport-cc: shorter than its header")
    sender_ssrc, media_ssrc, base_sequence, count, time_and_count = _HEAD.unpack_from(body)
    statuses, at = _parse_statuses_untrusted(body, _HEAD.size, count)
    deltas: list[int | None] = []
    for status in statuses:
        size = {_LOST: 0, _SMALL: 1, _LARGE: 2}.get(status)
        if size is None:
            raise WireError("transport-cc: reserved status")
        if at + size > len(body):
            raise WireError("transport-cc: deltas past the end")
        field = body[at : at + size]
        deltas.append(int.from_bytes(field, "big", signed=status == _LARGE) if field else None)
        at += size
    return TransportFeedback(
        sender_ssrc=sender_ssrc,
        media_ssrc=media_ssrc,
        base_sequence=base_sequence,
        reference_time=(time_and_count >> 8 ^ 0x800000) - 0x800000,
        feedback_count=time_and_count & 0xFF,
        deltas=tuple(deltas),
    )


def _build_statuses(statuses: list[int]) -> bytes:
    out = b""
    at = 0
    while at < len(statuses):
        run = 1
        while at + run < len(statuses) and statuses[at + run] == statuses[at] and run < 0x1FFF:
            run += 1
        if run >= 7:
            out += struct.pack("!H", statuses[at] << 13 | run)
            at += run
        else:
            chunk = 0b11 << 14  # a vector of two-bit symbols; those past the count are zero
            for index, status in enumerate(statuses[at : at + 7]):
                chunk |= status << 12 - 2 * index
            out += struct.pack("!H", chunk)
            at += 7
    return out


def _parse_statuses_untrusted(body: bytes, at: int, count: int) -> tuple[list[int], int]:
    statuses: list[int] = []
    while len(statuses) < count:
        if at + 2 > len(body):
            raise WireError("transport-cc: statuses past the end")
        chunk = int.from_bytes(body[at : at + 2], "big")
        at += 2
        if not chunk >> 15:
            # clipped to the count, because a run may claim more
            statuses += [chunk >> 13] * min(chunk & 0x1FFF, count - len(statuses))
            if not chunk & 0x1FFF:
                raise WireError("transport-cc: empty run")
        elif chunk >> 14 & 1:
            statuses += [chunk >> shift & 3 for shift in range(12, -1, -2)]
        else:
            statuses += [chunk >> shift & 1 for shift in range(13, -1, -1)]
    return statuses[:count], at

"""Blocks of a pcapng stream (draft-ietf-opsawg-pcapng), and the IP and UDP headers of its packets.

Only what a trace needs: one section, interfaces that carry bare IP packets, packets, and the
statistics at the end. Numbers are little-endian, which the section's magic number says. Times are
microseconds since 1970. An option has a length of 16 bits, so a text is cut at ``_MOST_TEXT``.
"""

import ipaddress
import struct
from collections.abc import Iterable, Sequence

LINKTYPE_RAW = 101
"""Packets begin with an IPv4 or an IPv6 header."""
INBOUND, OUTBOUND = 1, 2
"""Directions of ``epb_flags`` (section 4.3.1)."""

_SECTION, _INTERFACE, _STATISTICS, _PACKET = 0x0A0D0D0A, 1, 5, 6
_MAGIC = 0x1A2B3C4D
_END, _COMMENT = 0, 1  # of every block (section 3.5)
_MICROSECONDS = bytes([6])  # if_tsresol: a power of ten
_MOST_TEXT = 1000  # bytes
_UDP = 17

Option = tuple[int, bytes]
Address = tuple[str, int]


def section(application: str, comments: Sequence[str]) -> bytes:
    """The Section Header Block (section 4.1), whose length is not known."""
    head = struct.pack("<IHHq", _MAGIC, 1, 0, -1)
    return _block(_SECTION, head, [*map(_comment, comments), (4, _text(application))])


def interface(name: str, description: str) -> bytes:
    """An Interface Description Block (section 4.2). Interfaces are numbered in their order."""
    options = [(2, _text(name)), (3, _text(description)), (9, _MICROSECONDS)]
    return _block(_INTERFACE, struct.pack("<HHI", LINKTYPE_RAW, 0, 0), options)


def packet(
    interface: int,
    time: int,
    data: bytes,
    *,
    direction: int = 0,
    lost: int = 0,
    comment: str | None = None,
) -> bytes:
    """An Enhanced Packet Block (section 4.3). ``lost``: packets between the one before and this."""
    head = struct.pack(
        "<IIIII", interface, time >> 32, time & 0xFFFFFFFF, len(data), len(data)
    ) + _padded(data)
    options: list[Option] = [] if comment is None else [_comment(comment)]
    if direction:
        options.append((2, struct.pack("<I", direction)))
    if lost:
        options.append((4, struct.pack("<Q", lost)))
    return _block(_PACKET, head, options)


def statistics(interface: int, time: int, *, received: int, lost: int, comment: str) -> bytes:
    """An Interface Statistics Block (section 4.6). ``received`` includes what was lost."""
    head = struct.pack("<III", interface, time >> 32, time & 0xFFFFFFFF)
    options = [_comment(comment), (4, struct.pack("<Q", received)), (5, struct.pack("<Q", lost))]
    return _block(_STATISTICS, head, options)


def udp_packet(source: Address, destination: Address, payload: bytes) -> bytes:
    """A UDP datagram with its IP header (RFC 791, RFC 8200, RFC 768). Both addresses are of one
    family.
    """
    ip, to = ipaddress.ip_address(source[0]), ipaddress.ip_address(destination[0])
    length = 8 + len(payload)
    ports = struct.pack("!HHH", source[1], destination[1], length)
    if ip.version == 4:
        head = struct.pack("!BBHHHBB", 0x45, 0, 20 + length, 0, 0x4000, 64, _UDP)
        total = _checksum(head + ip.packed + to.packed)
        return b"".join((head, total, ip.packed, to.packed, ports, b"\0\0", payload))
    pseudo = struct.pack("!II", length, _UDP)  # RFC 8200 section 8.1
    total = _checksum(b"".join((ip.packed, to.packed, pseudo, ports, b"\0\0", payload)))
    head = struct.pack("!IHBB", 6 << 28, length, _UDP, 64)
    return b"".join((head, ip.packed, to.packed, ports, total, payload))


def _checksum(data: bytes) -> bytes:
    """The Internet checksum (RFC 1071). The sum of 16-bit words with end-around carry is the
    remainder of the whole number by 65,535.
    """
    padded = data + bytes(len(data) % 2)
    total = 0xFFFF - int.from_bytes(padded, "big") % 0xFFFF
    return (total or 0xFFFF).to_bytes(2, "big")


def _block(kind: int, head: bytes, options: Iterable[Option]) -> bytes:
    """A block (section 3.1). An end of options is written also if there are none."""
    tail = b"".join(
        struct.pack("<HH", code, len(value)) + _padded(value)
        for code, value in (*options, (_END, b""))
    )
    length = 12 + len(head) + len(tail)
    return b"".join((struct.pack("<II", kind, length), head, tail, struct.pack("<I", length)))


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def _comment(text: str) -> Option:
    return _COMMENT, _text(text)


def _text(text: str) -> bytes:
    return text.encode(errors="replace")[:_MOST_TEXT].decode(errors="ignore").encode()

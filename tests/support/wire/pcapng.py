"""pcapng (draft-ietf-opsawg-pcapng) as a reader sees it: blocks, their options, and the UDP
datagrams inside. Everything that the draft lets a reader check is checked.
"""

import ipaddress
import struct

import attrs


@attrs.frozen
class Datagram:
    """A packet of an interface: when, between whom, and what."""

    interface: int
    time: int
    source: tuple[str, int]
    destination: tuple[str, int]
    payload: bytes
    direction: int = 0
    lost: int = 0
    comments: tuple[str, ...] = ()


@attrs.define
class Capture:
    comments: tuple[str, ...]
    application: str
    interfaces: list[tuple[str, str]] = attrs.field(factory=list)
    packets: list[Datagram] = attrs.field(factory=list)
    received: int | None = None
    dropped: int | None = None
    end: tuple[str, ...] = ()


def read_pcapng(data: bytes) -> Capture:
    """Raises ValueError where the stream breaks the format."""
    capture: Capture | None = None
    at = 0
    while at < len(data):
        if len(data) - at < 12:
            raise ValueError("the last block is cut")
        kind, length = struct.unpack_from("<II", data, at)
        if length % 4 or length < 12 or at + length > len(data):
            raise ValueError(f"a block of {length} bytes")
        if struct.unpack_from("<I", data, at + length - 4) != (length,):
            raise ValueError("a block's second length differs")
        body = data[at + 8 : at + length - 4]
        at += length
        if kind == 0x0A0D0D0A:
            if capture is not None:
                raise ValueError("a second section")
            magic, major, minor, size = struct.unpack_from("<IHHq", body)
            if (magic, major, minor, size) != (0x1A2B3C4D, 1, 0, -1):
                raise ValueError("the head of the section")
            options = _options(body[16:])
            capture = Capture(_comments(options), dict(options).get(4, b"").decode())
        elif capture is None:
            raise ValueError("a block before the section")
        elif kind == 1:
            linktype, reserved, _ = struct.unpack_from("<HHI", body)
            named = dict(_options(body[8:]))
            if linktype != 101 or reserved or named[9] != b"\x06":
                raise ValueError("an interface of another kind")
            capture.interfaces.append((named[2].decode(), named[3].decode()))
        elif kind == 6:
            capture.packets.append(_packet(body, len(capture.interfaces)))
        elif kind == 5:
            options = _options(body[12:])
            (capture.received,) = struct.unpack("<Q", dict(options)[4])
            (capture.dropped,) = struct.unpack("<Q", dict(options)[5])
            capture.end = _comments(options)
        else:
            raise ValueError(f"a block of kind {kind:#x}")
    if capture is None:
        raise ValueError("no section")
    return capture


def _packet(body: bytes, interfaces: int) -> Datagram:
    interface, high, low, length, original = struct.unpack_from("<IIIII", body)
    if interface >= interfaces or length != original or len(body) < 20 + length:
        raise ValueError("a packet's head")
    options = _options(body[20 + length + -length % 4 :])
    named = dict(options)
    return Datagram(
        interface,
        high << 32 | low,
        *_udp(body[20 : 20 + length]),
        direction=struct.unpack("<I", named.get(2, bytes(4)))[0] & 3,
        lost=struct.unpack("<Q", named.get(4, bytes(8)))[0],
        comments=_comments(options),
    )


def _udp(data: bytes) -> tuple[tuple[str, int], tuple[str, int], bytes]:
    if data[0] >> 4 == 4:
        size = (data[0] & 15) * 4
        total, protocol = struct.unpack_from("!H5xB", data, 2)
        source, destination = data[12:16], data[16:20]
        if total != len(data) or protocol != 17 or _sum(data[:size]) != 0xFFFF:
            raise ValueError("an IPv4 header")
        pseudo = b""
    else:
        size = 40
        total, protocol = struct.unpack_from("!HB", data, 4)
        source, destination = data[8:24], data[24:40]
        if total + size != len(data) or protocol != 17:
            raise ValueError("an IPv6 header")
        pseudo = data[8:40] + struct.pack("!II", total, protocol)
    sender, receiver, length, checksum = struct.unpack_from("!HHHH", data, size)
    if length != len(data) - size:
        raise ValueError("a UDP header")
    if pseudo and (not checksum or _sum(pseudo + data[size:]) != 0xFFFF):
        raise ValueError("a UDP checksum")
    ends = [str(ipaddress.ip_address(each)) for each in (source, destination)]
    return (ends[0], sender), (ends[1], receiver), data[size + 8 :]


def _sum(data: bytes) -> int:
    """RFC 1071, word by word."""
    total = 0
    for (word,) in struct.iter_unpack("!H", data + bytes(len(data) % 2)):
        total += word
        total = (total & 0xFFFF) + (total >> 16)
    return total


def _options(data: bytes) -> list[tuple[int, bytes]]:
    found: list[tuple[int, bytes]] = []
    at = 0
    while at < len(data):
        code, length = struct.unpack_from("<HH", data, at)
        if code == 0:
            if length or at + 4 != len(data):
                raise ValueError("the end of options")
            return found
        value = data[at + 4 : at + 4 + length]
        if len(value) != length:
            raise ValueError("an option is cut")
        found.append((code, value))
        at += 4 + length + -length % 4
    raise ValueError("options without an end")


def _comments(options: list[tuple[int, bytes]]) -> tuple[str, ...]:
    return tuple(value.decode() for code, value in options if code == 1)

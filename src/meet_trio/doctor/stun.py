"""STUN messages (RFC 8489), as far as a Binding request and TURN (RFC 8656) need them.

Building appends MESSAGE-INTEGRITY (HMAC-SHA1) if there is a key, and FINGERPRINT. What a server
answers is not trusted: parsing raises ``StunError``.
"""

import hashlib
import hmac
import ipaddress
import os
import struct
import zlib

import attrs

from meet_trio.errors import MeetError

BINDING = 0x001
ALLOCATE = 0x003
REFRESH = 0x004
CREATE_PERMISSION = 0x008
SEND = 0x006
FROM_PEER = 0x007

REQUEST, INDICATION, SUCCESS, FAILURE = 0x000, 0x010, 0x100, 0x110  # classes, RFC 8489 §5

USERNAME = 0x0006
ERROR_CODE = 0x0009
LIFETIME = 0x000D
XOR_PEER_ADDRESS = 0x0012
DATA = 0x0013
REALM = 0x0014
NONCE = 0x0015
XOR_RELAYED_ADDRESS = 0x0016
REQUESTED_TRANSPORT = 0x0019
XOR_MAPPED_ADDRESS = 0x0020
PRIORITY = 0x0024
ICE_CONTROLLING = 0x802A
_MESSAGE_INTEGRITY = 0x0008
_FINGERPRINT = 0x8028

HEADER_SIZE = 20
_HEADER = struct.Struct("!HHI12s")
_ATTRIBUTE = struct.Struct("!HH")
_COOKIE = 0x2112A442
_COOKIE_BYTES = _COOKIE.to_bytes(4, "big")
_FINGERPRINT_XOR = 0x5354554E


class StunError(MeetError):
    """The bytes are no STUN message."""


@attrs.frozen
class StunMessage:
    """``kind`` is the method and the class, e.g. ``ALLOCATE | SUCCESS``."""

    kind: int
    attributes: tuple[tuple[int, bytes], ...] = ()
    transaction: bytes = attrs.field(factory=lambda: os.urandom(12))

    def get(self, attribute: int) -> bytes | None:
        return next((value for kind, value in self.attributes if kind == attribute), None)

    @property
    def error(self) -> tuple[int, str]:
        """The code and the reason of a failure (RFC 8489 §14.8); 0 without one."""
        value = self.get(ERROR_CODE) or b""
        if len(value) < 4:
            return 0, ""
        return (value[2] & 7) * 100 + value[3], value[4:].decode(errors="replace")


def build(message: StunMessage, key: bytes | None = None) -> bytes:
    body = b"".join(_attribute(kind, value) for kind, value in message.attributes)

    def header(length: int) -> bytes:
        return _HEADER.pack(message.kind, length, _COOKIE, message.transaction)

    if key is not None:
        # RFC 8489 §14.5: the length includes this attribute and nothing behind it
        digest = hmac.digest(key, header(len(body) + 24) + body, "sha1")
        body += _attribute(_MESSAGE_INTEGRITY, digest)
    crc = zlib.crc32(header(len(body) + 8) + body) ^ _FINGERPRINT_XOR
    body += _attribute(_FINGERPRINT, crc.to_bytes(4, "big"))
    return header(len(body)) + body


def _attribute(kind: int, value: bytes) -> bytes:
    return _ATTRIBUTE.pack(kind, len(value)) + value + bytes(-len(value) % 4)


def parse_untrusted(data: bytes) -> StunMessage:
    if len(data) < HEADER_SIZE:
        raise StunError("shorter than a header")
    kind, length, cookie, transaction = _HEADER.unpack_from(data)
    if kind & 0xC000 or cookie != _COOKIE or length % 4 or HEADER_SIZE + length != len(data):
        raise StunError("no STUN header")
    attributes, at = [], HEADER_SIZE
    while at < len(data):
        name, size = _ATTRIBUTE.unpack_from(data, at)
        at += _ATTRIBUTE.size
        if at + size > len(data):
            raise StunError("an attribute is longer than the message")
        attributes.append((name, data[at : at + size]))
        at += size + -size % 4
    return StunMessage(kind, tuple(attributes), transaction)


def body_length_untrusted(header: bytes) -> int:
    """The number of bytes that follow a header on a stream."""
    kind, length, cookie, _ = _HEADER.unpack(header)
    if kind & 0xC000 or cookie != _COOKIE or length % 4:
        raise StunError("no STUN header")
    return int(length)


def xor_address(address: str, port: int, transaction: bytes) -> bytes:
    """The value of XOR-PEER-ADDRESS and its like (RFC 8489 §14.2)."""
    ip = ipaddress.ip_address(address)
    hidden = _xor(ip.packed, _COOKIE_BYTES + transaction)
    return struct.pack("!xBH", 1 if ip.version == 4 else 2, port ^ (_COOKIE >> 16)) + hidden


def read_xor_address_untrusted(value: bytes, transaction: bytes) -> tuple[str, int]:
    if len(value) not in (8, 20):
        raise StunError("an address of a wrong length")
    (port,) = struct.unpack_from("!H", value, 2)
    packed = _xor(value[4:], _COOKIE_BYTES + transaction)
    return str(ipaddress.ip_address(packed)), port ^ (_COOKIE >> 16)


def _xor(data: bytes, mask: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(data, mask, strict=False))


def long_term_key(username: str, realm: str, password: str) -> bytes:
    """RFC 8489 §9.2.2"""
    text = f"{username}:{realm}:{password}".encode()
    return hashlib.md5(text, usedforsecurity=False).digest()


def binding_request(username: str) -> StunMessage:
    """A connectivity check of an ICE client (RFC 8445 §7.2.2)."""
    return StunMessage(
        BINDING | REQUEST,
        (
            (USERNAME, f"{username}:doctor".encode()),
            (PRIORITY, (1).to_bytes(4, "big")),
            (ICE_CONTROLLING, os.urandom(8)),
        ),
    )


def binding_answer(request: StunMessage, address: str, port: int) -> bytes:
    """The answer of a stand-in."""
    mapped = xor_address(address, port, request.transaction)
    answer = ((XOR_MAPPED_ADDRESS, mapped),)
    return build(StunMessage(BINDING | SUCCESS, answer, request.transaction))

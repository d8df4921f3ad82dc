"""STUN messages (RFC 8489) as far as ICE (RFC 8445) and consent (RFC 7675) need them: Binding,
short-term credentials.

A message is its type, its transaction id and a list of raw attributes. Building appends
MESSAGE-INTEGRITY (HMAC-SHA1 with the ICE password) and FINGERPRINT. Parsing checks a fingerprint;
``has_integrity_untrusted`` checks MESSAGE-INTEGRITY.
"""

import hmac
import ipaddress
import os
import struct
import zlib

import attrs
from support.wire import WireError

BINDING_REQUEST = 0x0001
BINDING_SUCCESS = 0x0101
BINDING_ERROR = 0x0111

USERNAME = 0x0006
MESSAGE_INTEGRITY = 0x0008
ERROR_CODE = 0x0009
XOR_MAPPED_ADDRESS = 0x0020
PRIORITY = 0x0024
USE_CANDIDATE = 0x0025
FINGERPRINT = 0x8028
ICE_CONTROLLED = 0x8029
ICE_CONTROLLING = 0x802A

MAGIC_COOKIE = 0x2112A442

_HEADER = struct.Struct("!HHI12s")
_COOKIE_BYTES = MAGIC_COOKIE.to_bytes(4, "big")
_FINGERPRINT_XOR = 0x5354554E


@attrs.frozen
class StunMessage:
    """``attributes`` in order, without MESSAGE-INTEGRITY and FINGERPRINT when it is to be built."""

    message_type: int
    transaction_id: bytes = attrs.field(factory=lambda: os.urandom(12))
    attributes: tuple[tuple[int, bytes], ...] = ()

    def get(self, attribute: int) -> bytes | None:
        """The value of the first ``attribute``, None without one."""
        return next((value for type, value in self.attributes if type == attribute), None)


def build_stun(message: StunMessage, password: str | None = None) -> bytes:
    """The message's bytes with FINGERPRINT, and with MESSAGE-INTEGRITY when a password is given."""
    body = b"".join(_build_attribute(type, value) for type, value in message.attributes)

    def header(length: int) -> bytes:
        return _HEADER.pack(message.message_type, length, MAGIC_COOKIE, message.transaction_id)

    if password is not None:
        # RFC 8489 §14.5: the length covers the attribute that is being computed, and nothing after
        digest = hmac.digest(password.encode(), header(len(body) + 24) + body, "sha1")
        body += _build_attribute(MESSAGE_INTEGRITY, digest)
    crc = zlib.crc32(header(len(body) + 8) + body) ^ _FINGERPRINT_XOR
    body += _build_attribute(FINGERPRINT, crc.to_bytes(4, "big"))
    return header(len(body)) + body


def parse_stun_untrusted(data: bytes) -> StunMessage:
    """The message in ``data``, whose FINGERPRINT is right if it has one. MESSAGE-INTEGRITY is not
    checked.
    """
    if len(data) < _HEADER.size:
        raise WireError("STUN: shorter than its header")
    message_type, length, cookie, transaction_id = _HEADER.unpack_from(data)
    if message_type & 0xC000 or cookie != MAGIC_COOKIE:
        raise WireError("STUN: no magic cookie")
    if length % 4 or _HEADER.size + length != len(data):
        raise WireError("STUN: wrong length")
    attributes = []
    at = _HEADER.size
    while at < len(data):
        # the length is a multiple of 4, so there is room for an attribute's head
        attribute, size = struct.unpack_from("!HH", data, at)
        value = data[at + 4 : at + 4 + size]
        if len(value) != size:
            raise WireError(f"STUN: attribute 0x{attribute:04x} past the end")
        if attribute == FINGERPRINT:
            crc = zlib.crc32(data[:at]) ^ _FINGERPRINT_XOR
            if value != crc.to_bytes(4, "big") or at + 8 != len(data):
                raise WireError("STUN: wrong fingerprint")
        attributes.append((attribute, value))
        at += 4 + size + -size % 4
    return StunMessage(message_type, transaction_id, tuple(attributes))


def has_integrity_untrusted(data: bytes, password: str) -> bool:
    """Whether ``data``, a parsable message, carries MESSAGE-INTEGRITY made with ``password``."""
    parse_stun_untrusted(data)
    at = _HEADER.size
    while at < len(data):
        attribute, size = struct.unpack_from("!HH", data, at)
        if attribute == MESSAGE_INTEGRITY:
            length = at + 24 - _HEADER.size
            covered = data[:2] + length.to_bytes(2, "big") + data[4:at]
            digest = hmac.digest(password.encode(), covered, "sha1")
            return hmac.compare_digest(digest, data[at + 4 : at + 4 + size])
        at += 4 + size + -size % 4
    return False


def binding_request(
    *, remote_ufrag: str, local_ufrag: str, tie_breaker: int, nominate: bool = False
) -> StunMessage:
    """A connectivity check of the controlling agent (RFC 8445 §7.2); build it with the remote
    password.
    """
    attributes = [
        (USERNAME, f"{remote_ufrag}:{local_ufrag}".encode()),
        # RFC 8445 §5.1.2.1: peer-reflexive, best local preference, component 1
        (PRIORITY, (110 << 24 | 65535 << 8 | 255).to_bytes(4, "big")),
        (ICE_CONTROLLING, tie_breaker.to_bytes(8, "big")),
    ]
    if nominate:
        attributes.append((USE_CANDIDATE, b""))
    return StunMessage(BINDING_REQUEST, attributes=tuple(attributes))


def binding_response(request: StunMessage, source: tuple[str, int]) -> StunMessage:
    """The success response that tells where ``request`` came from; build it with the local
    password.
    """
    address = build_xor_address(source, request.transaction_id)
    return StunMessage(BINDING_SUCCESS, request.transaction_id, ((XOR_MAPPED_ADDRESS, address),))


def build_xor_address(address: tuple[str, int], transaction_id: bytes) -> bytes:
    """XOR-MAPPED-ADDRESS (RFC 8489 §14.2) of an ``(ip, port)``."""
    ip = ipaddress.ip_address(address[0])
    return struct.pack("!BBH", 0, 1 if ip.version == 4 else 2, address[1] ^ MAGIC_COOKIE >> 16) + (
        _xor(ip.packed, transaction_id)
    )


def parse_xor_address_untrusted(value: bytes, transaction_id: bytes) -> tuple[str, int]:
    """The ``(ip, port)`` in an XOR-MAPPED-ADDRESS."""
    if len(value) not in (8, 20) or value[1] != (1 if len(value) == 8 else 2):
        raise WireError("STUN: malformed XOR-MAPPED-ADDRESS")
    port = int.from_bytes(value[2:4], "big") ^ MAGIC_COOKIE >> 16
    return str(ipaddress.ip_address(_xor(value[4:], transaction_id))), port


def _xor(address: bytes, transaction_id: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(address, _COOKIE_BYTES + transaction_id, strict=False))


def _build_attribute(attribute: int, value: bytes) -> bytes:
    return struct.pack("!HH", attribute, len(value)) + value + bytes(-len(value) % 4)

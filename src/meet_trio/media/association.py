"""What stays of a DTLS association once its handshake is done.

OpenSSL keeps 140 kB for a connection, and media needs nothing but the SRTP keys. So the connection
is freed after the handshake. What may still come from the client is answered without it:

- The client has not received the server's last flight and repeats its own. It gets the same
  datagram again, which is what a network does that duplicates or delays one.
- close_notify ends the association, if it is authentic. For that the secrets stay from which the
  key of the client's records is derived (RFC 5246 §6.3).

The server's own close_notify is encrypted in advance. Everything else is ignored: data, since there
are no data channels, and attempts to negotiate again.

The cipher suites are those of DTLS 1.2 with an AEAD that a browser has and that suit a certificate
with an ECDSA key (RFC 8827 §6.5 demands the first). Both use SHA-256.
"""

import hmac
import struct

import attrs
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

CIPHER_SUITES = ("ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305")
"""OpenSSL's names."""

_GCM_KEY, _GCM_SALT, _GCM_EXPLICIT = 16, 4, 8  # bytes; RFC 5288 §3
_CHACHA_KEY, _CHACHA_IV = 32, 12  # RFC 7905 §2
_TAG = 16

_HEADER = struct.Struct("!BHQH")  # type, version, epoch and number, length (RFC 6347 §4.1)
_ALERT, _HANDSHAKE = 21, 22
_ENCRYPTED = 1  # their epoch; nobody negotiates again
_CLOSE_NOTIFY = b"\x01\x00"

# bytes of an encrypted alert
_ALERT_SIZES = {
    suite: (_GCM_EXPLICIT if "GCM" in suite else 0) + len(_CLOSE_NOTIFY) + _TAG
    for suite in CIPHER_SUITES
}

_REPEATS = 10  # of the last flight; a client that repeats its own doubles the time between two


@attrs.frozen
class Secrets:
    """Those of a connection, from which the key of the client's records is derived when it is
    needed: mostly never, and at its end at the earliest. ``suite`` is one of ``CIPHER_SUITES``.
    """

    suite: str
    master: bytes = attrs.field(repr=False)
    client_random: bytes = attrs.field(repr=False)
    server_random: bytes = attrs.field(repr=False)


@attrs.frozen
class RecordKey:
    """That of the client's records. ``iv`` is the part of the nonce that is not in a record."""

    suite: str
    key: bytes = attrs.field(repr=False)
    iv: bytes = attrs.field(repr=False)

    @classmethod
    def derive(cls, secrets: Secrets) -> "RecordKey":
        size, iv = (_GCM_KEY, _GCM_SALT) if "GCM" in secrets.suite else (_CHACHA_KEY, _CHACHA_IV)
        # RFC 5246 §6.3: client's key, server's key, client's IV, server's IV
        seed = b"key expansion" + secrets.server_random + secrets.client_random
        block = _expand(secrets.master, seed, 2 * (size + iv))
        return cls(secrets.suite, block[:size], block[2 * size : 2 * size + iv])

    def open_untrusted(self, head: bytes, body: bytes) -> bytes | None:
        """The content of a record; None if it is not authentic."""
        number = head[3:11]
        try:
            if "GCM" in self.suite:
                data = head[3:11] + head[:3] + _size(len(body) - _GCM_EXPLICIT - _TAG)
                nonce = self.iv + body[:_GCM_EXPLICIT]
                return AESGCM(self.key).decrypt(nonce, body[_GCM_EXPLICIT:], data)
            data = head[3:11] + head[:3] + _size(len(body) - _TAG)
            padded = number.rjust(_CHACHA_IV, b"\0")
            nonce = bytes(a ^ b for a, b in zip(self.iv, padded, strict=True))
            return ChaCha20Poly1305(self.key).decrypt(nonce, body, data)
        except InvalidTag:
            return None


@attrs.define(eq=False)
class Association:
    """``last_flight`` and ``goodbye`` are datagrams of the server. ``ended``: by the client."""

    last_flight: bytes
    goodbye: bytes
    secrets: Secrets
    _client: RecordKey | None = None
    ended: bool = False
    _repeats: int = _REPEATS

    def hear_untrusted(self, datagram: bytes) -> bytes | None:
        """Take a datagram of the client. Returns the answer, if it needs one."""
        at, repeats = 0, False
        while at + _HEADER.size <= len(datagram):
            kind, _, number, size = _HEADER.unpack_from(datagram, at)
            head, at = datagram[at : at + _HEADER.size], at + _HEADER.size
            body, at = datagram[at : at + size], at + size
            if len(body) < size or number >> 48 != _ENCRYPTED:
                continue
            if kind == _ALERT and size == _ALERT_SIZES[self.secrets.suite]:
                if self._client is None:
                    self._client = RecordKey.derive(self.secrets)
                alert = self._client.open_untrusted(head, body)
                if alert is None:
                    return None  # so a datagram full of forged ones costs as much as one
                self.ended |= alert == _CLOSE_NOTIFY
            repeats |= kind == _HANDSHAKE  # its Finished, the end of its flight
        if not repeats or not self._repeats or self.ended:
            return None
        self._repeats -= 1
        return self.last_flight


def _size(size: int) -> bytes:
    return size.to_bytes(2, "big")


def _expand(secret: bytes, seed: bytes, size: int) -> bytes:
    """The pseudorandom function of TLS 1.2 (RFC 5246 §5) with SHA-256; ``seed`` has the label."""
    out, a = b"", seed
    while len(out) < size:
        a = hmac.digest(secret, a, "sha256")
        out += hmac.digest(secret, a + seed, "sha256")
    return out[:size]

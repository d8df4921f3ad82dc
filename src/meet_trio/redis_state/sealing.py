"""Values in Redis are encrypted: AES-256-GCM under a key that is derived from the secret.

    1 byte    version
    16 bytes  salt: random, one for each process
    8 bytes   count: of the values that the process has sealed
    …         ciphertext and tag

The key is HKDF-SHA256 of the secret, with the salt and the server's name (RFC 5869). The nonce is
the count. So no nonce is used twice with one key, however many processes there are. Associated data
are the server's name and the field, so no value can be put in another one's place.

Names of records hold ids of rooms and peers. In Redis they are HMACs.
"""

import hashlib
import hmac
import os

import attrs
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_VERSION = b"\x01"
_SALT = 16
_COUNT = 8
_HEAD = len(_VERSION) + _SALT + _COUNT
_MOST_KEYS = 64
_NAME = 16


class Unsealable(ValueError):
    """The value was not sealed with this secret for this place."""


def _derive(secret: str, server: str, salt: bytes, use: bytes) -> bytes:
    hkdf = HKDF(SHA256(), 32, salt, b"meet-trio state 1 " + use + b" " + server.encode())
    return hkdf.derive(secret.encode())


@attrs.define(eq=False)
class Sealer:
    """Seals and opens values of the server of that name."""

    _secret: str = attrs.field(repr=False)
    server: str
    _salt: bytes = attrs.field(init=False, repr=False, factory=lambda: os.urandom(_SALT))
    _count: int = 0
    _keys: dict[bytes, AESGCM] = attrs.field(init=False, repr=False, factory=dict)
    _names: bytes = attrs.field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._names = _derive(self._secret, self.server, b"", b"names")

    def name(self, key: str) -> bytes:
        """The field of the record ``key``."""
        return hmac.digest(self._names, key.encode(), hashlib.sha256)[:_NAME]

    def seal(self, field: bytes, value: bytes) -> bytes:
        self._count += 1
        count = self._count.to_bytes(_COUNT, "big")
        sealed = self._key(self._salt).encrypt(bytes(4) + count, value, self._place(field))
        return b"".join((_VERSION, self._salt, count, sealed))

    def open(self, field: bytes, sealed: bytes) -> bytes:
        """Raises Unsealable."""
        if len(sealed) < _HEAD or not sealed.startswith(_VERSION):
            raise Unsealable("it is of another version")
        salt, count = sealed[1 : 1 + _SALT], sealed[1 + _SALT : _HEAD]
        try:
            return self._key(salt).decrypt(bytes(4) + count, sealed[_HEAD:], self._place(field))
        except InvalidTag:
            raise Unsealable("it was not sealed with this secret (state.redis_secret)") from None

    def _place(self, field: bytes) -> bytes:
        return self.server.encode() + b"\0" + field

    def _key(self, salt: bytes) -> AESGCM:
        found = self._keys.get(salt)
        if found is None:
            if len(self._keys) >= _MOST_KEYS:  # of damaged values
                self._keys.clear()
            found = self._keys[salt] = AESGCM(_derive(self._secret, self.server, salt, b"values"))
        return found

"""The server's end of a DTLS-SRTP handshake (RFC 5763, RFC 5764), made by aiortc.

aiortc's ``RTCDtlsTransport`` is an asyncio object on top of an ICE transport. Its coroutines wait
for nothing but the next datagram. So ``DtlsHandshake`` runs them itself, from one datagram to the
next: there is no task, no future and no queue between a datagram and OpenSSL. aiortc's ``start`` is
left out, because it ends with a task that reads for ever. Its steps are called one by one.

Only the handshake is made here. What follows is ``association``'s, without OpenSSL.

The server is always the DTLS server (``role: auto`` on the wire). mediasoup-client's receiving side
offers ``actpass``, and a client cannot answer that with ``passive``.

This is the only file that imports aiortc. ``dtls`` imports it late, because aiortc imports codecs,
too: PyAV with ffmpeg's libraries, which nothing here uses. Private names of aiortc are used:
``_cert``, ``_create_ssl_context``, ``_do_handshake``, ``_key``, ``_recv_next``, ``_set_role``,
``_set_state``, ``_setup_srtp``, ``_srtp_profiles``, ``_ssl``, ``_state``,
``_validate_peer_identity`` and ``_write_ssl``. Therefore aiortc's minor version is pinned.
"""

import contextlib
import types
from collections.abc import Callable, Coroutine, Generator, Sequence
from typing import TypeAlias

import attrs
from aiortc.rtcdtlstransport import (
    SRTP_AEAD_AES_128_GCM,
    SRTP_AEAD_AES_256_GCM,
    SRTP_AES128_CM_SHA1_80,
    RTCCertificate,
    RTCDtlsFingerprint,
    RTCDtlsParameters,
    RTCDtlsTransport,
    SRTPProtectionProfile,
    State,
)
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509 import InvalidVersion, load_pem_x509_certificate
from OpenSSL import SSL

from meet_trio.media.association import CIPHER_SUITES, Association, Secrets
from meet_trio.media.handshake import DtlsError, SrtpKeys
from meet_trio.ortc import DtlsFingerprint

# In order of preference. AES-128-GCM costs the engine half as much CPU as each of the others.
_PROFILES = [SRTP_AEAD_AES_128_GCM, SRTP_AEAD_AES_256_GCM, SRTP_AES128_CM_SHA1_80]

# RFC 5764 §4.1.2, RFC 7714 §14.2: DTLS-SRTP protection profile numbers
_PROFILE_NUMBERS = {
    SRTP_AES128_CM_SHA1_80.openssl_profile: 0x0001,
    SRTP_AEAD_AES_128_GCM.openssl_profile: 0x0007,
    SRTP_AEAD_AES_256_GCM.openssl_profile: 0x0008,
}

_DTLS_1_2 = 0xFEFD  # RFC 6347 §4.1
_RECORD = 1500  # bytes of a record's content that are read, and dropped


@attrs.define(eq=False)
class _WayOut:
    """Stands in for aiortc's ICE transport, of which the handshake uses ``_send`` only.

    ``last`` is the datagram that was sent last. While ``muted`` nothing else becomes of it.
    """

    _send_datagram: Callable[[bytes], None]
    last: bytes = b""
    muted: bool = False

    async def _send(self, datagram: bytes) -> None:
        self.last = datagram
        if not self.muted:
            self._send_datagram(datagram)


class _Certificate(RTCCertificate):
    """One TLS context for all associations. aiortc makes one of 40 kB for each, in 0.2 ms."""

    _context: SSL.Context | None = None

    def _create_ssl_context(self, srtp_profiles: list[SRTPProtectionProfile]) -> SSL.Context:
        if self._context is None:
            self._context = super()._create_ssl_context(srtp_profiles)
            # A resumed session would show no certificate, and sessions would be kept in memory.
            self._context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
            # ``Association`` reads the records of these.
            self._context.set_cipher_list(":".join(CIPHER_SUITES).encode())
            self._context.set_max_proto_version(_DTLS_1_2)
            # Only the fingerprint of the client's certificate counts. OpenSSL would verify the
            # signatures of a chain above it too, all in one step, with keys that the client chose.
            self._context.set_verify_depth(0)
        return self._context


class DtlsIdentity:
    """A certificate with its key. ``pem`` has both."""

    def __init__(self, certificate: _Certificate) -> None:
        self._certificate = certificate
        self.fingerprints: tuple[DtlsFingerprint, ...] = tuple(
            DtlsFingerprint(f.algorithm, f.value) for f in self._certificate.getFingerprints()
        )

    @classmethod
    def generate(cls) -> "DtlsIdentity":
        return cls(_Certificate.generateCertificate())

    @classmethod
    def from_pem(cls, pem: bytes) -> "DtlsIdentity":
        """Raises ValueError if it is not what ``pem`` gives."""
        key = load_pem_private_key(pem, None)
        if not isinstance(key, EllipticCurvePrivateKey):
            raise ValueError("expected the key of an elliptic curve")
        return cls(_Certificate(key, load_pem_x509_certificate(pem)))

    @property
    def pem(self) -> bytes:
        key = self._certificate._key.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        )
        return key + self._certificate._cert.public_bytes(Encoding.PEM)

    def handshake(
        self, send: Callable[[bytes], None], fingerprints: Sequence[DtlsFingerprint]
    ) -> "DtlsHandshake":
        """A handshake with this certificate, and a client whose certificate has the
        ``fingerprints``. ``send`` is called with each outgoing datagram.
        """
        return DtlsHandshake(self._certificate, send, fingerprints)


HandshakeResult: TypeAlias = tuple[SrtpKeys, Association]
"""What a handshake leaves."""


class DtlsHandshake(RTCDtlsTransport):
    """The handshake of one association, from its first datagram on. ``close`` frees OpenSSL's
    connection, whatever has become of the handshake.
    """

    def __init__(
        self,
        certificate: RTCCertificate,
        send: Callable[[bytes], None],
        fingerprints: Sequence[DtlsFingerprint],
    ) -> None:
        self._way_out = _WayOut(send)
        super().__init__(self._way_out, [certificate])  # type: ignore[arg-type]  # see _WayOut
        self._srtp_profiles = _PROFILES
        self._set_role("server")
        self._keys: SrtpKeys | None = None
        self._ssl = SSL.Connection(certificate._create_ssl_context(_PROFILES))
        self._ssl.set_accept_state()
        self._set_state(State.CONNECTING)
        self._steps = self._shake_hands(fingerprints)
        self._advance(None)  # to where the first datagram is waited for

    def take_untrusted(self, datagram: bytes) -> HandshakeResult | None:
        """Take a datagram of the client. Returns the result if it was the last. Raises DtlsError;
        then only ``close`` may be called.
        """
        return self._advance(datagram)

    def timeout(self) -> float | None:
        """Seconds until the last flight is to be repeated, None if there is none to repeat."""
        assert self._ssl is not None
        timeout: float | None = self._ssl.DTLSv1_get_timeout()
        return timeout

    def repeat(self) -> None:
        """Send the last flight again if its time has come. Raises DtlsError."""
        assert self._ssl is not None
        try:
            self._ssl.DTLSv1_handle_timeout()
        except SSL.Error:
            raise DtlsError("the client does not answer") from None
        _run(self._write_ssl())

    def close(self) -> None:
        """Say goodbye if the client would understand it, and free what the handshake needed."""
        self._steps.close()
        if self._ssl is not None:
            _run(self.stop())
        self._ssl = None

    def _advance(self, datagram: bytes | None) -> HandshakeResult | None:
        try:
            self._steps.send(datagram)
        except StopIteration as end:
            result: HandshakeResult = end.value
            return result
        return None

    async def _shake_hands(self, fingerprints: Sequence[DtlsFingerprint]) -> HandshakeResult:
        await self._do_handshake()
        if self._state is not State.FAILED:
            parameters = [RTCDtlsFingerprint(f.algorithm, f.value) for f in fingerprints]
            try:
                self._validate_peer_identity(RTCDtlsParameters(parameters))
            except (ValueError, InvalidVersion):
                # OpenSSL takes certificates that cryptography does not
                raise DtlsError("the certificate cannot be read") from None
        if self._state is State.FAILED:
            raise DtlsError("handshake failed, or the certificate has another fingerprint")
        self._setup_srtp()
        assert self._keys is not None
        return self._keys, await self._reduce()

    async def _recv_next(self) -> None:
        assert self._ssl is not None
        self._ssl.bio_write(await _next_datagram())
        # What OpenSSL drops may look like an error. A final one comes again in ``_do_handshake``.
        with contextlib.suppress(SSL.Error):
            self._ssl.recv(_RECORD)
        await self._write_ssl()

    def _set_state(self, state: State) -> None:
        self._state = state  # nobody listens to its changes

    def _setup_srtp(self) -> None:
        assert self._ssl is not None
        name = self._ssl.get_selected_srtp_profile()
        for profile in _PROFILES:
            if profile.openssl_profile == name:
                break
        else:
            raise DtlsError("the client negotiated no SRTP profile")
        keying = self._ssl.export_keying_material(
            b"EXTRACTOR-dtls_srtp", 2 * (profile.key_length + profile.salt_length)
        )
        # RFC 5764 §4.2: the client's keys are first, then the server's. This is the server.
        self._keys = SrtpKeys(
            profile=_PROFILE_NUMBERS[profile.openssl_profile],
            tx=profile.get_key_and_salt(keying, 1),
            rx=profile.get_key_and_salt(keying, 0),
        )

    async def _reduce(self) -> Association:
        ssl, last_flight = self._ssl, self._way_out.last
        assert ssl is not None
        # it came with the end of the client's flight, or overtook it
        ended = bool(ssl.get_shutdown() & SSL.RECEIVED_SHUTDOWN)
        self._way_out.muted = True
        await self.stop()
        self._set_state(State.CLOSED)
        suite = ssl.get_cipher_name()
        master, client, server = ssl.master_key(), ssl.client_random(), ssl.server_random()
        assert suite is not None and master is not None  # noqa: PT018  # the handshake is done
        assert client is not None and server is not None  # noqa: PT018
        secrets = Secrets(suite, master, client, server)
        return Association(last_flight, self._way_out.last, secrets, ended=ended)


@types.coroutine
def _next_datagram() -> Generator[None, bytes, bytes]:
    """Ends a step of a handshake. The next one begins with a datagram."""
    return (yield)


def _run(steps: Coroutine[None, None, None]) -> None:
    """Run a coroutine of aiortc that waits for nothing."""
    try:
        steps.send(None)
    except StopIteration:
        return
    raise AssertionError("it waits")

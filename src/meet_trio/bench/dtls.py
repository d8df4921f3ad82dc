"""DTLS-SRTP (RFC 5764) without I/O for tests, on pyOpenSSL's memory BIO: either end of a handshake.

Pass datagrams to ``receive``, send the datagrams of ``outgoing``, call ``handle_timeout`` when
``timeout`` seconds have passed. ``keys`` is set once the handshake is done. OpenSSL's BIO is a
stream; ``outgoing`` cuts it into datagrams again at DTLS record boundaries.
"""

import datetime
import hashlib

import attrs
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL

_MTU = 1200
_RECORD_HEADER = 13  # RFC 6347 §4.1; the last two bytes are the length


@attrs.frozen
class SrtpProfile:
    """One of OpenSSL's DTLS-SRTP profiles; sizes in bytes."""

    name: bytes
    key_length: int
    salt_length: int


SRTP_PROFILES = (
    SrtpProfile(b"SRTP_AEAD_AES_128_GCM", 16, 12),
    SrtpProfile(b"SRTP_AEAD_AES_256_GCM", 32, 12),
    SrtpProfile(b"SRTP_AES128_CM_SHA1_80", 16, 14),
)


@attrs.frozen
class ClientKeys:
    """Master key and salt for each direction, and their profile."""

    profile: SrtpProfile
    tx: bytes
    rx: bytes


@attrs.frozen
class Identity:
    """A self-signed certificate in an OpenSSL context; one may serve any number of connections."""

    context: SSL.Context
    fingerprint: str
    """SHA-256, upper-case hex with colons (RFC 8122)."""

    @classmethod
    def generate(cls, profiles: tuple[SrtpProfile, ...] = SRTP_PROFILES) -> "Identity":
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "participant")])
        now = datetime.datetime.now(tz=datetime.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=30))
            .sign(key, hashes.SHA256())
        )
        context = SSL.Context(SSL.DTLS_METHOD)
        # The certificates are self-signed: only the fingerprint counts, which signaling carries.
        context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *_: True)
        context.set_options(SSL.OP_NO_QUERY_MTU)
        context.use_certificate(certificate)
        context.use_privatekey(key)
        context.set_tlsext_use_srtp(b":".join(p.name for p in profiles))
        return cls(context, _fingerprint(certificate))


class DtlsEndpoint:
    """One end of one association; ``server=False`` is a browser's role towards an SFU."""

    def __init__(self, identity: Identity, *, server: bool = False) -> None:
        self._ssl = SSL.Connection(identity.context, None)
        self._ssl.set_ciphertext_mtu(_MTU)
        self._server = server
        if server:
            self._ssl.set_accept_state()
        else:
            self._ssl.set_connect_state()
        self.keys: ClientKeys | None = None
        self.peer_fingerprint: str | None = None
        self.closed_by_peer = False

    def start(self) -> None:
        """Make the first flight, if this end sends one."""
        self._advance()

    def receive(self, datagram: bytes) -> None:
        """Take a datagram that came in. Raises OpenSSL.SSL.Error when the handshake fails."""
        self._ssl.bio_write(datagram)
        if self.keys is None:
            self._advance()
            return
        try:
            self._ssl.recv(1)
        except SSL.ZeroReturnError:
            self.closed_by_peer = True
        except (SSL.WantReadError, SSL.SysCallError):
            pass  # pyOpenSSL raises SysCallError for a record that OpenSSL dropped

    def outgoing(self) -> list[bytes]:
        """Datagrams to send now."""
        stream = b""
        while True:
            try:
                stream += self._ssl.bio_read(65536)
            except SSL.WantReadError:
                break
        datagrams: list[bytes] = []
        while stream:
            size = _RECORD_HEADER + int.from_bytes(stream[11:13], "big")
            if datagrams and len(datagrams[-1]) + size <= _MTU:
                datagrams[-1] += stream[:size]
            else:
                datagrams.append(stream[:size])
            stream = stream[size:]
        return datagrams

    def timeout(self) -> float | None:
        """Seconds until ``handle_timeout`` is due, None if never."""
        timeout: float | None = self._ssl.DTLSv1_get_timeout()
        return timeout

    def handle_timeout(self) -> None:
        """Repeat the last flight if it is due."""
        self._ssl.DTLSv1_handle_timeout()

    def close(self) -> None:
        """Send close_notify."""
        if self.keys is not None:
            self._ssl.shutdown()

    def _advance(self) -> None:
        try:
            self._ssl.do_handshake()
        except SSL.WantReadError:
            return
        name = self._ssl.get_selected_srtp_profile()
        profile = next(p for p in SRTP_PROFILES if p.name == name)
        size, salt = profile.key_length, profile.salt_length
        material = self._ssl.export_keying_material(b"EXTRACTOR-dtls_srtp", 2 * (size + salt))
        # RFC 5764 §4.2: client key, server key, client salt, server salt
        client = material[:size] + material[2 * size : 2 * size + salt]
        server = material[size : 2 * size] + material[2 * size + salt :]
        tx, rx = (server, client) if self._server else (client, server)
        self.keys = ClientKeys(profile, tx, rx)
        certificate = self._ssl.get_peer_certificate(as_cryptography=True)
        assert certificate is not None  # verification demands one
        self.peer_fingerprint = _fingerprint(certificate)


def _fingerprint(certificate: x509.Certificate) -> str:
    der = certificate.public_bytes(serialization.Encoding.DER)
    return hashlib.sha256(der).digest().hex(":").upper()

"""The server's end of a DTLS-SRTP handshake (RFC 5763, RFC 5764), made by aiortc.

aiortc's ``RTCDtlsTransport`` is an asyncio object on top of an ICE transport. ``DatagramPath``
stands in for the latter: a queue of incoming datagrams, and a function that sends outgoing ones.

Only the handshake is made here. What follows is ``association``'s, without OpenSSL.

The server is always the DTLS server (``role: auto`` on the wire). mediasoup-client's receiving side
offers ``actpass``, and a client cannot answer that with ``passive``.

This is the only file that imports aiortc. ``dtls`` imports it late, because aiortc imports codecs,
too: PyAV with ffmpeg's libraries, which nothing here uses. Private names of aiortc are used:
``_create_ssl_context``, ``_srtp_profiles``, ``_setup_srtp``, ``_set_role``, ``_ssl``. Therefore
aiortc's minor version is pinned.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence

from aiortc.rtcdtlstransport import (
    SRTP_AEAD_AES_128_GCM,
    SRTP_AEAD_AES_256_GCM,
    SRTP_AES128_CM_SHA1_80,
    RTCCertificate,
    RTCDtlsFingerprint,
    RTCDtlsParameters,
    RTCDtlsTransport,
    SRTPProtectionProfile,
)
from OpenSSL import SSL

from meet_trio.media.association import CIPHER_SUITES, Association, RecordKey
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

# a ClientHello of two datagrams, a certificate flight, and room for retransmissions
_MAX_QUEUED_DATAGRAMS = 16

_DTLS_1_2 = 0xFEFD  # RFC 6347 §4.1


class DatagramPath:
    """Stands in for aiortc's ICE transport. aiortc's DTLS uses only ``role``, ``_recv`` and
    ``_send`` of it.
    """

    role = "controlled"

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self._queue: asyncio.Queue[bytes] = asyncio.Queue(_MAX_QUEUED_DATAGRAMS)
        self._send_datagram = send
        self.last = b""  # the datagram that was sent last
        self.reader: asyncio.Task[Association] | None = None

    def feed(self, datagram: bytes) -> None:
        # If the queue is full, the datagram is lost, as it may be in the network. DTLS retransmits.
        with contextlib.suppress(asyncio.QueueFull):
            self._queue.put_nowait(datagram)

    def unread(self) -> list[bytes]:
        """The datagrams that wait, which are taken out."""
        return [self._queue.get_nowait() for _ in range(self._queue.qsize())]

    def mute(self) -> None:
        """Send nothing from now on; ``last`` is set all the same."""
        self._send_datagram = _drop

    async def _recv(self) -> bytes:
        # aiortc calls this through asyncio.wait_for. Before Python 3.12 that loses a cancellation
        # that comes together with a datagram, so the handshake could go on for ever.
        if self.reader is not None and self.reader.cancelling():
            raise ConnectionError("cancelled")
        return await self._queue.get()

    async def _send(self, datagram: bytes) -> None:
        self.last = datagram
        self._send_datagram(datagram)


def _drop(datagram: bytes) -> None:
    pass


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
        return self._context


class DtlsIdentity:
    """A new certificate with its key."""

    def __init__(self) -> None:
        self._certificate = _Certificate.generateCertificate()
        self.fingerprints: tuple[DtlsFingerprint, ...] = tuple(
            DtlsFingerprint(f.algorithm, f.value) for f in self._certificate.getFingerprints()
        )

    def path(self, send: Callable[[bytes], None]) -> DatagramPath:
        """The way of one association's datagrams."""
        return DatagramPath(send)

    def server(self, path: DatagramPath) -> "DtlsServer":
        """The server of one association, with this certificate."""
        return DtlsServer(path, self._certificate)


class DtlsServer(RTCDtlsTransport):
    """The handshake of one association."""

    def __init__(self, path: DatagramPath, certificate: RTCCertificate) -> None:
        super().__init__(path, [certificate])  # type: ignore[arg-type]  # see DatagramPath
        self._srtp_profiles = _PROFILES
        self._set_role("server")
        self._path = path
        self.keys: SrtpKeys | None = None

    def _setup_srtp(self) -> None:
        assert self._ssl is not None  # start() made it
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
        self.keys = SrtpKeys(
            profile=_PROFILE_NUMBERS[profile.openssl_profile],
            tx=profile.get_key_and_salt(keying, 1),
            rx=profile.get_key_and_salt(keying, 0),
        )

    async def shake_hands(
        self, fingerprints: Sequence[DtlsFingerprint], connected: Callable[[SrtpKeys], None]
    ) -> Association:
        """Make the handshake and call ``connected``. Raises DtlsError."""
        task = asyncio.current_task()
        assert task is not None
        self._path.reader = task
        try:
            await self.start(
                RTCDtlsParameters([RTCDtlsFingerprint(f.algorithm, f.value) for f in fingerprints])
            )
            if task.cancelling():  # see _recv
                raise asyncio.CancelledError
            # start() does not raise on failure
            if self.state != "connected" or self.keys is None or self._ssl is None:
                raise DtlsError("handshake failed, or the certificate has another fingerprint")
            connected(self.keys)
            return await self._reduce(self._ssl)
        finally:
            self._path.reader = None
            await self.stop()  # sends close_notify, without waiting
            self._ssl = None  # frees it now: this object may be part of a cycle

    async def _reduce(self, ssl: SSL.Connection) -> Association:
        last_flight = self._path.last
        self._path.mute()
        await self.stop()
        suite = ssl.get_cipher_name()
        master, client, server = ssl.master_key(), ssl.client_random(), ssl.server_random()
        assert suite is not None and master is not None  # noqa: PT018  # the handshake is done
        assert client is not None and server is not None  # noqa: PT018
        key = RecordKey.derive(suite, master, client, server)
        return Association(last_flight, self._path.last, key)

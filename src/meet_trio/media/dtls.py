"""DTLS-SRTP handshakes (RFC 5763, RFC 5764), made by aiortc and run from Trio.

This is the only file that imports aiortc, asyncio or trio-asyncio. aiortc's ``RTCDtlsTransport`` is
an asyncio object on top of an ICE transport. ``_DatagramPath`` stands in for the latter: a queue of
incoming datagrams, and a function that sends outgoing ones. The engine demultiplexes, so only DTLS
datagrams of authenticated addresses come here, a few for each transport. After the handshake the
SRTP keys go to the engine. Media never passes through Python.

The server is always the DTLS server (``role: auto`` on the wire). mediasoup-client's receiving side
offers ``actpass``, and a client cannot answer that with ``passive``.

A session is one Trio task, ``DtlsSession.run``. Cancelling it ends the asyncio side before it
returns. This file uses private names of aiortc: ``_srtp_profiles``, ``_setup_srtp``, ``_set_role``,
``_ssl``, ``_task``. Therefore aiortc's minor version is pinned.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Sequence

import attrs
import trio
import trio_asyncio
from aiortc.rtcdtlstransport import (
    SRTP_AEAD_AES_128_GCM,
    SRTP_AEAD_AES_256_GCM,
    SRTP_AES128_CM_SHA1_80,
    X509_DIGEST_ALGORITHMS,
    RTCCertificate,
    RTCDtlsFingerprint,
    RTCDtlsParameters,
    RTCDtlsTransport,
)

from meet_trio.errors import MeetError
from meet_trio.ortc import DtlsFingerprint

logger = logging.getLogger("meet_trio.media.dtls")

# In order of preference. AES-128-GCM costs the engine half as much CPU as each of the others.
_PROFILES = [SRTP_AEAD_AES_128_GCM, SRTP_AEAD_AES_256_GCM, SRTP_AES128_CM_SHA1_80]

# RFC 5764 §4.1.2, RFC 7714 §14.2: DTLS-SRTP protection profile numbers
_PROFILE_NUMBERS = {
    SRTP_AES128_CM_SHA1_80.openssl_profile: 0x0001,
    SRTP_AEAD_AES_128_GCM.openssl_profile: 0x0007,
    SRTP_AEAD_AES_256_GCM.openssl_profile: 0x0008,
}

FINGERPRINT_ALGORITHMS = frozenset(X509_DIGEST_ALGORITHMS)
"""Names of hash functions (RFC 8122 §5). A client must send a fingerprint with one of them."""

# a ClientHello of two datagrams, a certificate flight, and room for retransmissions
_MAX_QUEUED_DATAGRAMS = 16


class DtlsError(MeetError):
    """The handshake failed, or the fingerprints do not match the client's certificate."""


@attrs.frozen
class SrtpKeys:
    """The result of a handshake: the number of the SRTP profile (RFC 5764 §4.1.2), and for each
    direction the master key followed by the master salt.
    """

    profile: int
    tx: bytes = attrs.field(repr=False)
    rx: bytes = attrs.field(repr=False)


class _DatagramPath:
    """Stands in for aiortc's ICE transport. aiortc's DTLS uses only ``role``, ``_recv`` and
    ``_send`` of it.
    """

    role = "controlled"

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self._queue: asyncio.Queue[bytes] = asyncio.Queue(_MAX_QUEUED_DATAGRAMS)
        self._send_datagram = send
        self.reader: asyncio.Task[None] | None = None

    def feed(self, datagram: bytes) -> None:
        # If the queue is full, the datagram is lost, as it may be in the network. DTLS retransmits.
        with contextlib.suppress(asyncio.QueueFull):
            self._queue.put_nowait(datagram)

    async def _recv(self) -> bytes:
        # aiortc calls this through asyncio.wait_for. Before Python 3.12 that loses a cancellation
        # that comes together with a datagram, so the handshake could go on for ever.
        if self.reader is not None and self.reader.cancelling():
            raise ConnectionError("cancelled")
        return await self._queue.get()

    async def _send(self, datagram: bytes) -> None:
        self._send_datagram(datagram)


class _DtlsServer(RTCDtlsTransport):
    def __init__(self, path: _DatagramPath, certificate: RTCCertificate) -> None:
        super().__init__(path, [certificate])  # type: ignore[arg-type]  # see _DatagramPath
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

    async def run(
        self, fingerprints: Sequence[DtlsFingerprint], connected: Callable[[SrtpKeys], None]
    ) -> None:
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
            if self.state != "connected" or self.keys is None or self._task is None:
                raise DtlsError("handshake failed, or the certificate has another fingerprint")
            connected(self.keys)
            await self._task  # until the client's close_notify
        finally:
            await self.stop()  # sends close_notify, without waiting


class DtlsBridge:
    """The DTLS sessions of the server, on one asyncio loop and with one certificate."""

    def __init__(self, loop: trio_asyncio.TrioEventLoop) -> None:
        self._loop = loop
        self._certificate = RTCCertificate.generateCertificate()
        self.fingerprints: tuple[DtlsFingerprint, ...] = tuple(
            DtlsFingerprint(f.algorithm, f.value) for f in self._certificate.getFingerprints()
        )

    def task_count(self) -> int:
        """The number of asyncio tasks on the bridge's loop."""
        return len(asyncio.all_tasks(self._loop))

    def open_session(self, send: Callable[[bytes], None]) -> "DtlsSession":
        """A new session. ``send`` is called with each outgoing datagram and must not block."""
        return DtlsSession(self._loop, self._certificate, send)


class DtlsSession:
    """One DTLS association. ``feed`` takes datagrams from the start. ``run`` starts the handshake
    once the client's fingerprints are known.
    """

    def __init__(
        self,
        loop: trio_asyncio.TrioEventLoop,
        certificate: RTCCertificate,
        send: Callable[[bytes], None],
    ) -> None:
        self._loop = loop
        self._certificate = certificate
        self._path = _DatagramPath(send)

    def feed(self, datagram: bytes) -> None:
        """Take an incoming datagram. Datagrams before ``run`` are queued."""
        self._path.feed(datagram)

    async def run(
        self,
        fingerprints: Sequence[DtlsFingerprint],
        connected: Callable[[SrtpKeys], None],
    ) -> None:
        """Make the handshake and call ``connected`` with the keys. Returns when the client sends
        close_notify. Raises DtlsError.

        There is no timeout here. The caller sets a deadline around this call and removes it in
        ``connected``.
        """
        server = _DtlsServer(self._path, self._certificate)
        try:
            await trio_asyncio.aio_as_trio(server.run, loop=self._loop)(fingerprints, connected)
        except asyncio.CancelledError:
            # The asyncio loop is closing. Trio's own cancellation follows at the next checkpoint.
            raise DtlsError("the bridge is closed") from None


def _log_loop_error(loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    # Without a handler, an asyncio exception that is never retrieved would end the Trio program.
    error = context.get("exception")
    logger.error(
        "asyncio: %s",
        context.get("message"),
        exc_info=error if isinstance(error, BaseException) else None,
    )


@contextlib.asynccontextmanager
async def open_bridge() -> AsyncIterator[DtlsBridge]:
    """The asyncio loop that aiortc runs on, for the time of the ``async with``."""
    async with trio_asyncio.open_loop() as loop:
        loop.set_exception_handler(_log_loop_error)
        bridge = DtlsBridge(loop)
        yield bridge
        # all sessions have ended with their tasks
        await trio.lowlevel.checkpoint()

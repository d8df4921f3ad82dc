"""DTLS-SRTP handshakes (RFC 5763, RFC 5764) by aiortc, run from Trio.

This is the only file that imports aiortc, asyncio or trio-asyncio. aiortc's ``RTCDtlsTransport`` is
an asyncio object that wants an ICE transport below it; here that is a queue of datagrams on the way
in and a plain function on the way out. The engine demultiplexes, so nothing but DTLS datagrams of
authenticated addresses comes here, a handful for each transport. Once the handshake is done the
SRTP keys go to the engine and media never passes through Python.

We are always the DTLS server (``role: auto`` on the wire): mediasoup-client's receiving side always
offers ``actpass``, which a client cannot answer with ``passive``.

A session is one Trio task, ``DtlsSession.run``; cancelling it ends the asyncio side before it
returns. Private names of aiortc in use: ``_srtp_profiles``, ``_setup_srtp``, ``_set_role``,
``_ssl``, ``_task``. Its minor version is pinned for that.
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

# Preference order; AES-128-GCM costs the engine half of AES-256-GCM or the SHA-1 profile.
_PROFILES = [SRTP_AEAD_AES_128_GCM, SRTP_AEAD_AES_256_GCM, SRTP_AES128_CM_SHA1_80]

# RFC 5764 §4.1.2, RFC 7714 §14.2: DTLS-SRTP protection profile numbers
_PROFILE_NUMBERS = {
    SRTP_AES128_CM_SHA1_80.openssl_profile: 0x0001,
    SRTP_AEAD_AES_128_GCM.openssl_profile: 0x0007,
    SRTP_AEAD_AES_256_GCM.openssl_profile: 0x0008,
}

FINGERPRINT_ALGORITHMS = frozenset(X509_DIGEST_ALGORITHMS)
"""Hash functions (RFC 8122 §5 names) of which a client must use at least one."""

# A ClientHello of two datagrams, a certificate flight, and room for retransmissions.
_MAX_QUEUED_DATAGRAMS = 16


class DtlsError(MeetError):
    """The handshake failed or the other side's certificate is not the announced one."""


@attrs.frozen
class SrtpKeys:
    """What a handshake yields: the profile's number (RFC 5764 §4.1.2) and master key + salt for
    each direction.
    """

    profile: int
    tx: bytes = attrs.field(repr=False)
    rx: bytes = attrs.field(repr=False)


class _DatagramPath:
    """Stands in for aiortc's ICE transport: ``role``, ``_recv`` and ``_send`` are all that DTLS
    needs of it.
    """

    role = "controlled"

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self._queue: asyncio.Queue[bytes] = asyncio.Queue(_MAX_QUEUED_DATAGRAMS)
        self._out = send
        self.reader: asyncio.Task[None] | None = None

    def feed(self, datagram: bytes) -> None:
        # A full queue loses the datagram, as the network may; DTLS retransmits.
        with contextlib.suppress(asyncio.QueueFull):
            self._queue.put_nowait(datagram)

    async def _recv(self) -> bytes:
        # Before Python 3.12 asyncio.wait_for, which aiortc calls this through, drops a cancellation
        # that comes together with a datagram, and a handshake may then go on for ever.
        if self.reader is not None and self.reader.cancelling():
            raise ConnectionError("cancelled")
        return await self._queue.get()

    async def _send(self, datagram: bytes) -> None:
        self._out(datagram)


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
        # RFC 5764 §4.2: client keys first, then the server's; we are the server
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
            # start() returns silently on failure
            if self.state != "connected" or self.keys is None or self._task is None:
                raise DtlsError("handshake failed, or the certificate has another fingerprint")
            connected(self.keys)
            await self._task  # until the client's close_notify
        finally:
            await self.stop()  # close_notify; sends without waiting


class DtlsBridge:
    """The asyncio loop's side of the server: one certificate, any number of sessions."""

    def __init__(self, loop: trio_asyncio.TrioEventLoop) -> None:
        self._loop = loop
        self._certificate = RTCCertificate.generateCertificate()
        self.fingerprints: tuple[DtlsFingerprint, ...] = tuple(
            DtlsFingerprint(f.algorithm, f.value) for f in self._certificate.getFingerprints()
        )

    def task_count(self) -> int:
        """Number of asyncio tasks alive on the bridge's loop."""
        return len(asyncio.all_tasks(self._loop))

    def open_session(self, send: Callable[[bytes], None]) -> "DtlsSession":
        """A new server side; ``send`` is called with each datagram to go out and must not block."""
        return DtlsSession(self._loop, self._certificate, send)


class DtlsSession:
    """One DTLS association. ``feed`` datagrams from the start, ``run`` it once the client's
    fingerprints are known.
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
        """Take a datagram that came in; those that come before ``run`` wait."""
        self._path.feed(datagram)

    async def run(
        self,
        fingerprints: Sequence[DtlsFingerprint],
        connected: Callable[[SrtpKeys], None],
    ) -> None:
        """Shake hands, call ``connected`` with the keys, stay until the client says goodbye.

        There is no timeout in here: put a deadline around it that ``connected`` lifts. Raises
        DtlsError.
        """
        server = _DtlsServer(self._path, self._certificate)
        try:
            await trio_asyncio.aio_as_trio(server.run, loop=self._loop)(fingerprints, connected)
        except asyncio.CancelledError:
            # The loop is closing under us; Trio's own cancellation follows at the next checkpoint.
            raise DtlsError("the bridge is closed") from None


def _report(loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    # Without a handler, an error that nobody retrieves would end the whole Trio program.
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
        loop.set_exception_handler(_report)
        bridge = DtlsBridge(loop)
        yield bridge
        # sessions belong to tasks that have ended by now
        await trio.lowlevel.checkpoint()

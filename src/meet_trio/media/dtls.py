"""The bridge between Trio and aiortc's DTLS (``dtls_server``), which runs on an asyncio loop.

The engine demultiplexes, so only DTLS datagrams of authenticated addresses come here, a few for
each transport. After the handshake the SRTP keys go to the engine. Media never passes through
Python.

aiortc is loaded in a thread when the first room is made (``DtlsBridge.want``). It takes as long and
nearly as much memory as all the rest of the server. Who makes a transport awaits ``loaded`` before.
An aiortc that cannot be loaded ends the server; one that is not installed does so at the start.

A session is one Trio task, ``DtlsSession.run``. Cancelling it ends the asyncio side before it
returns. Only this file and ``dtls_server`` import asyncio, only this one imports trio-asyncio.
"""

import asyncio
import contextlib
import importlib.util
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING

import trio
import trio_asyncio

from meet_trio.media.handshake import DtlsError, SrtpKeys
from meet_trio.ortc import DtlsFingerprint

if TYPE_CHECKING:
    from meet_trio.media.association import Association
    from meet_trio.media.dtls_server import DatagramPath, DtlsIdentity

logger = logging.getLogger("meet_trio.media.dtls")

FINGERPRINT_ALGORITHMS = frozenset({"sha-256", "sha-384", "sha-512"})
"""Names of hash functions (RFC 8122 §5), those of aiortc. A client must send a fingerprint with one
of them.
"""


def _import_aiortc() -> "DtlsIdentity":
    from meet_trio.media.dtls_server import DtlsIdentity

    return DtlsIdentity()


class DtlsBridge:
    """The DTLS sessions of the server, on one asyncio loop and with one certificate."""

    def __init__(self, loop: trio_asyncio.TrioEventLoop) -> None:
        self._loop = loop
        self._identity: DtlsIdentity | None = None
        self._wanted = trio.Event()
        self._loaded = trio.Event()

    async def run(self) -> None:
        """Load aiortc once it is wanted."""
        await self._wanted.wait()
        await self.load()

    def want(self) -> None:
        """Sessions will soon be opened. Idempotent."""
        self._wanted.set()

    async def load(self) -> None:
        """Import aiortc and make the certificate. Before that there are no sessions.

        An import cannot be interrupted, so a cancellation waits for its end.
        """
        self._identity = await trio.to_thread.run_sync(_import_aiortc)
        self._loaded.set()

    async def loaded(self) -> None:
        """Wait until ``load`` is done."""
        await self._loaded.wait()

    @property
    def fingerprints(self) -> Sequence[DtlsFingerprint]:
        """Those of the certificate."""
        return self._loaded_identity().fingerprints

    def task_count(self) -> int:
        """The number of asyncio tasks on the bridge's loop."""
        return len(asyncio.all_tasks(self._loop))

    def open_session(self, send: Callable[[bytes], None]) -> "DtlsSession":
        """A new session. ``send`` is called with each outgoing datagram and must not block."""
        return DtlsSession(self._loop, self._loaded_identity(), send)

    def _loaded_identity(self) -> "DtlsIdentity":
        assert self._identity is not None, "not loaded"
        return self._identity


class DtlsSession:
    """One DTLS association. ``feed`` takes datagrams from the start. ``run`` starts the handshake
    once the client's fingerprints are known.
    """

    def __init__(
        self,
        loop: trio_asyncio.TrioEventLoop,
        identity: "DtlsIdentity",
        send: Callable[[bytes], None],
    ) -> None:
        self._loop = loop
        self._identity = identity
        self._send = send
        self._path: DatagramPath | None = identity.path(send)  # None: the handshake is done
        self._association: Association | None = None
        self._ended = trio.Event()  # by the client

    def feed(self, datagram: bytes) -> None:
        """Take an incoming datagram. Datagrams before ``run`` are queued."""
        if self._path is not None:
            self._path.feed(datagram)
        elif self._association is not None:
            if (answer := self._association.hear_untrusted(datagram)) is not None:
                self._send(answer)
            if self._association.ended:
                self._ended.set()

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
        assert self._path is not None
        path = self._path
        try:
            self._association = await trio_asyncio.aio_as_trio(
                self._identity.server(path).shake_hands, loop=self._loop
            )(fingerprints, connected)
        except asyncio.CancelledError:
            # The asyncio loop is closing. Trio's own cancellation follows at the next checkpoint.
            raise DtlsError("the bridge is closed") from None
        finally:
            self._path = None
        for datagram in path.unread():
            self.feed(datagram)
        del path
        try:
            await self._ended.wait()
        finally:
            if not self._ended.is_set():
                self._send(self._association.goodbye)


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
    """The asyncio loop that aiortc runs on, for the time of the ``async with``. Raises ImportError
    if aiortc is not installed.
    """
    if importlib.util.find_spec("aiortc") is None:
        raise ImportError("aiortc is not installed")
    async with trio_asyncio.open_loop() as loop:
        loop.set_exception_handler(_log_loop_error)
        bridge = DtlsBridge(loop)
        yield bridge
        # all sessions have ended with their tasks
        await trio.lowlevel.checkpoint()

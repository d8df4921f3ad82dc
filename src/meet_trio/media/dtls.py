"""The bridge between Trio and aiortc's DTLS (``dtls_server``), which runs on an asyncio loop.

The engine demultiplexes, so only DTLS datagrams of authenticated addresses come here, a few for
each transport. After the handshake the SRTP keys go to the engine. Media never passes through
Python.

A datagram is handled when it comes, in the step of the task that brings it (``DtlsSession.feed``).
A handshake has no task and waits in no queue. What becomes of it is told to its owner. The loop
keeps the time: one timer for all handshakes repeats flights that were lost.

aiortc is loaded in a thread when the first room is made (``DtlsBridge.want``). It takes as long and
nearly as much memory as all the rest of the server. Who makes a transport awaits ``loaded`` before.
An aiortc that cannot be loaded ends the server; one that is not installed does so at the start.

Only this file imports asyncio and trio-asyncio.
"""

import asyncio
import contextlib
import contextvars
import importlib.util
import logging
import math
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING, Protocol

import attrs
import trio
import trio_asyncio

from meet_trio.media.handshake import SrtpKeys
from meet_trio.ortc import DtlsFingerprint

if TYPE_CHECKING:
    from meet_trio.media.association import Association
    from meet_trio.media.dtls_server import DtlsHandshake, DtlsIdentity

logger = logging.getLogger("meet_trio.media.dtls")

FINGERPRINT_ALGORITHMS = frozenset({"sha-256", "sha-384", "sha-512"})
"""Names of hash functions (RFC 8122 §5), those of aiortc. A client must send a fingerprint with one
of them.
"""

# a ClientHello of two datagrams, a certificate flight, and room for retransmissions
_MAX_EARLY_DATAGRAMS = 16

# Seconds until a flight is repeated for the first time (RFC 6347 §4.2.4.1). As long as handshakes
# run, the timer fires at least as often. So it finds each flight before it is due.
_FIRST_REPEAT = 1.0
_LEAST_WAIT = 0.01  # seconds; OpenSSL takes what is due within 15 ms as due


class DtlsOwner(Protocol):
    """Whom a session tells. It must not block."""

    def send_dtls(self, datagram: bytes) -> None:
        """Send a datagram to the client."""

    def dtls_connected(self, keys: SrtpKeys) -> None:
        """The handshake is done."""

    def dtls_ended(self, error: Exception | None) -> None:
        """The session has ended by itself: None is the client's close_notify, DtlsError a handshake
        that failed, everything else a fault of this program.
        """


def _import_aiortc(pem: bytes | None) -> "DtlsIdentity":
    from meet_trio.media.dtls_server import DtlsIdentity

    return DtlsIdentity.generate() if pem is None else DtlsIdentity.from_pem(pem)


class DtlsBridge:
    """The DTLS sessions of the server, on one asyncio loop and with one certificate.

    ``kept_pem``: the certificate and key of an earlier process, with which this one goes on.
    """

    def __init__(self, loop: trio_asyncio.TrioEventLoop) -> None:
        self._loop = loop
        self.kept_pem: bytes | None = None
        self._identity: DtlsIdentity | None = None
        self._wanted = trio.Event()
        self._loaded = trio.Event()
        self._running: set[DtlsSession] = set()  # their handshakes
        self._timer: asyncio.TimerHandle | None = None
        self._context = contextvars.copy_context()  # of no session: the timer is everybody's

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
        self._identity = await trio.to_thread.run_sync(_import_aiortc, self.kept_pem)
        self._loaded.set()

    @property
    def pem(self) -> bytes:
        """The certificate and its key, for a later process."""
        return self._loaded_identity().pem

    @property
    def is_loaded(self) -> bool:
        """Whether ``load`` is done."""
        return self._loaded.is_set()

    @property
    def handshakes(self) -> int:
        """The number of handshakes that are being made."""
        return len(self._running)

    async def loaded(self) -> None:
        """Wait until ``load`` is done. No other task runs if it is."""
        if not self._loaded.is_set():
            await self._loaded.wait()

    @property
    def fingerprints(self) -> Sequence[DtlsFingerprint]:
        """Those of the certificate."""
        return self._loaded_identity().fingerprints

    def task_count(self) -> int:
        """The number of asyncio tasks on the bridge's loop, and of handshakes."""
        return len(asyncio.all_tasks(self._loop)) + len(self._running)

    def open_session(
        self, owner: DtlsOwner, association: "Association | None" = None
    ) -> "DtlsSession":
        """A new session, or one that goes on with the ``association`` of an earlier process. Its
        opener closes it.
        """
        if association is None:
            return DtlsSession(self, owner)
        return DtlsSession(self, owner, early=None, association=association)

    def begin(
        self,
        session: "DtlsSession",
        send: Callable[[bytes], None],
        fingerprints: Sequence[DtlsFingerprint],
    ) -> "DtlsHandshake":
        """A handshake for this session, whose lost flights are repeated until ``end``."""
        handshake = self._loaded_identity().handshake(send, fingerprints)
        self._running.add(session)
        if self._timer is None:
            self._set_timer(_FIRST_REPEAT)
        return handshake

    def end(self, session: "DtlsSession") -> None:
        """The session has no handshake any more. Idempotent."""
        self._running.discard(session)

    def _keep_time(self) -> None:
        self._timer = None
        wait = _FIRST_REPEAT
        try:
            now = trio.current_time()
            for session in tuple(self._running):
                if session.look_at <= now:
                    session.look_at = now + min(session.keep_time(), _FIRST_REPEAT)
                wait = min(wait, session.look_at - now)
        finally:  # also after a fault of an owner
            if self._running:
                self._set_timer(max(wait, _LEAST_WAIT))

    def _set_timer(self, seconds: float) -> None:
        self._timer = self._loop.call_later(seconds, self._keep_time, context=self._context)

    def _loaded_identity(self) -> "DtlsIdentity":
        assert self._identity is not None, "not loaded"
        return self._identity


@attrs.define(eq=False)
class DtlsSession:
    """One DTLS association, from its making to ``close``. ``feed`` takes datagrams all the time.
    ``start`` begins the handshake. There is no deadline: the owner has one.
    """

    _bridge: DtlsBridge
    _owner: DtlsOwner | None  # None: the session is over
    _early: list[bytes] | None = attrs.field(factory=list)  # None: it has started
    _fingerprints: Sequence[DtlsFingerprint] = ()
    _handshake: "DtlsHandshake | None" = None
    look_at: float = 0.0
    """For the bridge: the time before which no flight is due. To ask OpenSSL takes 3 µs."""
    association: "Association | None" = None
    """What is left of the handshake, once it is done."""

    def start(self, fingerprints: Sequence[DtlsFingerprint]) -> None:
        """The fingerprints of the client's certificate are known. Called once."""
        assert self._early is not None
        early, self._early, self._fingerprints = self._early, None, fingerprints
        for datagram in early:
            self.feed(datagram)

    def feed(self, datagram: bytes) -> None:
        """Take an incoming datagram. Datagrams before ``start`` are kept, a few of them: more are
        lost, as they may be in the network.
        """
        owner = self._owner
        if owner is None:
            return
        if self._early is not None:
            if len(self._early) < _MAX_EARLY_DATAGRAMS:
                self._early.append(datagram)
            return
        try:
            if self.association is None:
                self._shake_hands(owner, datagram)
            else:
                self._hear(owner, self.association, datagram)
        except Exception as error:
            self._fail(error)

    def keep_time(self) -> float:
        """Repeat the last flight of the handshake if its time has come. Returns the seconds until
        its next time.
        """
        if self._handshake is None:
            return math.inf
        try:
            timeout = self._handshake.timeout()
            if timeout == 0:
                self._handshake.repeat()
                timeout = self._handshake.timeout()
        except Exception as error:
            self._fail(error)
            timeout = None
        return math.inf if timeout is None else timeout

    def close(self, *, tell: bool = True) -> None:
        """End the session. With ``tell`` a client that is connected is told. Idempotent."""
        owner, self._owner = self._owner, None
        self._end_handshake()
        if tell and owner is not None and self.association is not None:
            owner.send_dtls(self.association.goodbye)

    def _shake_hands(self, owner: DtlsOwner, datagram: bytes) -> None:
        if self._handshake is None:
            self._handshake = self._bridge.begin(self, owner.send_dtls, self._fingerprints)
        result = self._handshake.take_untrusted(datagram)
        if result is not None:
            self._end_handshake()
            keys, self.association = result
            owner.dtls_connected(keys)
            self._end_if_told(owner, self.association)

    def _hear(self, owner: DtlsOwner, association: "Association", datagram: bytes) -> None:
        if (answer := association.hear_untrusted(datagram)) is not None:
            owner.send_dtls(answer)
        self._end_if_told(owner, association)

    def _end_if_told(self, owner: DtlsOwner, association: "Association") -> None:
        if association.ended and self._owner is not None:
            self._owner = None
            owner.dtls_ended(None)

    def _fail(self, error: Exception) -> None:
        owner = self._owner
        if owner is None:
            raise error  # of an owner who has ended the session
        try:
            self.close()
        finally:
            owner.dtls_ended(error)

    def _end_handshake(self) -> None:
        self._bridge.end(self)
        handshake, self._handshake, self._fingerprints = self._handshake, None, ()
        if handshake is not None:
            handshake.close()


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

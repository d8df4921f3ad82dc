"""WebRTC transports: ICE-lite and DTLS, from the creation of a transport to its end.

    new ──connect()──▶ connecting ──keys──▶ connected ──close_notify, silence, close()──▶ closed
     └──────────────────────┴── deadline, DTLS failure, close() ──────────────────────────▶ closed

A transport has no task. ``open`` adds it to the engine, ``close`` removes it and tells its owner.
It closes itself when it has failed. Who opens it closes it at the latest at its own end.

A new transport may wait for ``connect`` as long as its peer lives: mediasoup-client connects a
transport with its first track, which may be hours later. From ``connect`` on there is a deadline.
Once the transport is connected, the engine checks that the client's STUN requests go on (RFC 7675).

The client sends no ICE candidates or credentials. The engine learns the path from a STUN binding
request that has the transport's password.
"""

import base64
import contextlib
import contextvars
import logging
import secrets
import uuid
from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

import attrs
import trio

from meet_trio.deadlines import Timer
from meet_trio.engine import DtlsDatagram, IceConnected, IceMoved, IceSilent, Kept
from meet_trio.errors import BadRequest
from meet_trio.media.dtls import DtlsBridge, DtlsSession
from meet_trio.media.engines import EngineHost, TransportEvent
from meet_trio.media.handshake import DtlsError, SrtpKeys
from meet_trio.media.records import WebRtcRecord
from meet_trio.media.settings import TransportSettings
from meet_trio.media.successor import LATER, NotKept
from meet_trio.ortc import DtlsFingerprint
from meet_trio.ortc.fields import Json
from meet_trio.tallies import Tally

if TYPE_CHECKING:
    from meet_trio.media.association import Association

logger = logging.getLogger("meet_trio.media.transport")

_ICE_BYTES = 20  # random ones


class TransportState(StrEnum):
    NEW = "new"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    CLOSED = "closed"


def count_change(kind: str, before: TransportState, after: TransportState, tally: Tally) -> None:
    """A transport that runs changes its state. A closed one is not there any more."""
    tally.transports.move((kind, before), None if after is TransportState.CLOSED else (kind, after))


class TransportOwner(Protocol):
    """Who opens a transport."""

    def transport_changed(self, transport: Any) -> None:
        """Its record is another one. It must not block."""

    def transport_ended(self, transport_id: str, why: str) -> None:
        """The engine has it no more: it was closed, was not connected in time, its client fell
        silent or sent close_notify, or DTLS failed. It must not block.
        """


@attrs.frozen
class IceParameters:
    """ICE credentials (RFC 8445 §5.3). The server is always ICE-lite."""

    username_fragment: str
    password: str = attrs.field(repr=False)

    @classmethod
    def generate(cls) -> "IceParameters":
        # 160 random bits each. The engine finds the transport by the username fragment.
        return cls(_random_ice_chars(), _random_ice_chars())

    def to_json(self) -> dict[str, Json]:
        return {
            "usernameFragment": self.username_fragment,
            "password": self.password,
            "iceLite": True,
        }


@attrs.define(eq=False)
class WebRtcTransport:
    """One client's path for media. ``number`` is its id in the engine, ``id`` on the wire.

    ``resumed`` makes that of an earlier process. ``kept`` is then what its engine has left, or
    ``LATER``: it is opened, and either ``go_on`` or ``discard`` follows.

    ``addresses`` are those of its candidates, the preferred one first. With ``force_tcp`` there are
    no candidates for UDP.
    """

    host: EngineHost
    bridge: DtlsBridge
    settings: TransportSettings
    addresses: Sequence[str]
    producing: bool
    consuming: bool
    force_tcp: bool = False
    tally: Tally = attrs.field(factory=Tally)
    id: str = attrs.field(factory=lambda: str(uuid.uuid4()))
    number: int = attrs.field()
    ice: IceParameters = attrs.field(factory=IceParameters.generate)
    state: TransportState = TransportState.NEW
    connected_after: float | None = None
    """Seconds from ``connect`` until media could flow."""
    moves: int = 0
    """How often the client has nominated another path."""
    max_outgoing: int = 0
    """Bit/s, as the client has asked for; 0: no limit, or that of an earlier process."""
    _keys: SrtpKeys | None = None
    _association: "Association | None" = None
    _kept: Kept | None = attrs.field(default=None, repr=False)
    # of its opening: records about events of the engine carry its ids too
    _context: contextvars.Context = attrs.field(factory=contextvars.copy_context)
    _owner: TransportOwner | None = None  # None: not open
    _deadline: Timer | None = None  # for connecting
    _asked_at: float | None = None  # for ``connect``
    _dtls_at: float | None = None  # the first datagram, and ``connect``
    _heard_dtls: bool = False
    _connect_result: str = "abandoned"
    _dtls: DtlsSession = attrs.field(init=False)

    @number.default
    def _(self) -> int:
        return self.host.new_number()

    def __attrs_post_init__(self) -> None:
        self._dtls = self.bridge.open_session(self, self._association)

    @classmethod
    def resumed(
        cls,
        record: WebRtcRecord,
        host: EngineHost,
        bridge: DtlsBridge,
        settings: TransportSettings,
        addresses: Sequence[str],
        tally: Tally,
        kept: Kept,
    ) -> "WebRtcTransport":
        """The transport of a record, not open yet."""
        connected = record.keys is not None
        return cls(
            host=host,
            bridge=bridge,
            settings=settings,
            addresses=addresses,
            producing=record.producing,
            consuming=record.consuming,
            force_tcp=record.force_tcp,
            tally=tally,
            id=record.id,
            number=record.number,
            ice=IceParameters(record.username_fragment, record.password),
            state=TransportState.CONNECTED if connected else TransportState.NEW,
            connected_after=record.connected_after,
            moves=record.moves,
            keys=record.keys,
            association=record.association,
            kept=kept,
            asked_at=trio.current_time() if connected else None,
        )

    def record(self, room_id: str, peer_id: str) -> WebRtcRecord | None:
        """What a later process needs; None while a handshake is made, which ends with this one."""
        if self.state not in (TransportState.NEW, TransportState.CONNECTED):
            return None
        return WebRtcRecord(
            room_id,
            peer_id,
            self.id,
            self.number,
            self.host.index,
            self.producing,
            self.consuming,
            self.connected_after,
            self.moves,
            force_tcp=self.force_tcp,
            username_fragment=self.ice.username_fragment,
            password=self.ice.password,
            keys=self._keys,
            association=self._dtls.association,
        )

    def parameters(self) -> dict[str, Json]:
        """The answer to ``createWebRtcTransport`` (mediasoup's shapes)."""
        return {
            "id": self.id,
            "iceParameters": self.ice.to_json(),
            "iceCandidates": self._candidates(),
            "dtlsParameters": {
                "role": "auto",
                "fingerprints": [fingerprint.to_json() for fingerprint in self.bridge.fingerprints],
            },
        }

    def _candidates(self) -> list[Json]:
        """A UDP candidate for each address, then a TCP candidate for each (RFC 6544). Priorities
        are mediasoup's: the formula of RFC 8445 §5.1.2.1 with mediasoup's local preferences.
        """
        kinds: list[dict[str, Json]] = [
            {"foundation": "udpcandidate", "protocol": "udp"},
            {"foundation": "tcpcandidate", "protocol": "tcp", "tcpType": "passive"},
        ]
        local_preferences = {"udp": 11_000, "tcp": 9_900}
        candidates: list[Json] = []
        for kind in kinds[self.force_tcp :]:
            for index, address in enumerate(self.addresses):
                preference = local_preferences[str(kind["protocol"])] - 200 * index
                candidates.append(
                    kind
                    | {
                        "priority": (64 << 24) + (preference << 8) + 255,
                        "ip": address,
                        "address": address,
                        "port": self.host.engine.port,
                        "type": "host",
                    }
                )
        return candidates

    def connect(self, fingerprints: Sequence[DtlsFingerprint]) -> None:
        """Start the handshake: the fingerprints of the client's certificate are known. Raises
        BadRequest at the second call.
        """
        if self._asked_at is not None:
            raise BadRequest("transportId: this transport has been connected before")
        self._enter(TransportState.CONNECTING)
        self._asked_at = trio.current_time()
        self._deadline = self.host.deadlines.timer(self._give_up)
        self._deadline.set(self._asked_at + self.settings.connect_timeout)
        self._note_handshake()
        self._context.run(logger.debug, "the client asks to connect")
        self._tell_of_change()
        self._dtls.start(fingerprints)

    def restart_ice(self) -> IceParameters:
        """Set new credentials (RFC 8445 §2.4). The old ones are valid until the client uses the new
        ones. Media goes on.
        """
        ice = IceParameters.generate()
        self.host.engine.restart_ice(self.number, ice.username_fragment, ice.password)
        self.ice = ice
        self._log("ICE restarts")
        self._tell_of_change()
        return ice

    def open(self, owner: TransportOwner) -> None:
        """Add the transport to the engine. If this raises, nothing is left of it."""
        self._context = contextvars.copy_context()
        try:
            if self._kept is not LATER:
                self.host.admit(self, self._kept)
        except BaseException:
            self.state = TransportState.CLOSED
            raise
        self.host.watch_transport(self.number, self)
        self.tally.transports.move(None, ("webrtc", self.state))
        what, level = "transport made", logging.INFO
        if self._kept is not None:
            what, level = "transport goes on", logging.DEBUG  # its room has a line for all
        self._owner, self._kept = owner, None
        logger.log(level, what, extra={"producing": self.producing, "consuming": self.consuming})

    def is_kept(self, kept: Kept) -> bool:
        """Whether there is what it cannot go on without."""
        return self._keys is None or self.number in kept.transports

    def go_on(self, kept: Kept) -> None:
        """It was opened for ``LATER``. Raises what ``open`` raises."""
        self.host.admit(self, kept)

    def discard(self) -> None:
        """It was opened for ``LATER``, and is not needed. Nobody is told."""
        self._owner = None
        self._enter(TransportState.CLOSED)
        self.host.unwatch_transport(self.number)
        self._dtls.close(tell=False)

    def enter_engine(self, kept: Kept | None) -> None:
        """See ``Resident``. A connected one does not begin anew: its client has its keys, and no
        index of SRTP is used twice with one key.
        """
        engine = self.host.engine
        if not (kept is None or self.is_kept(kept)):
            raise NotKept(f"nothing of transport {self.id} was kept")
        engine.add_transport(self.number, self.ice.username_fragment, self.ice.password)
        try:
            engine.set_max_incoming_bitrate(self.number, self.settings.max_incoming_bitrate)
            if self._keys is not None:
                engine.set_srtp(self.number, self._keys.profile, self._keys.tx, self._keys.rx)
            if kept is not None and (blob := kept.transports.get(self.number)) is not None:
                engine.resume_transport(self.number, blob, kept.exact)
            if self.max_outgoing:
                engine.set_max_outgoing_bitrate(self.number, self.max_outgoing)
        except BaseException:
            engine.remove_transport(self.number)
            raise

    def lost(self) -> None:
        """See ``Resident``."""
        self._fail("its engine has lost it")

    def limit_outgoing(self, bps: int) -> None:
        """The most that its consumers may send together, in bit/s; 0: no limit."""
        self.host.engine.set_max_outgoing_bitrate(self.number, bps)
        self.max_outgoing = bps

    def close(self) -> None:
        """Remove the transport from the engine, and tell its owner. Idempotent."""
        self._fail("closed")

    def _fail(self, why: str) -> None:
        if self._owner is not None:
            owner, self._owner = self._owner, None
            self._context.run(self._end, owner, why)

    def _end(self, owner: TransportOwner, why: str) -> None:
        self._cancel_deadline()
        if self.state is TransportState.CONNECTING:
            self.tally.connects[self._connect_result] += 1
        self._enter(TransportState.CLOSED)
        try:
            with contextlib.ExitStack() as ends:  # all of them, also if one fails; the last first
                if self.host.dismiss(self):
                    ends.callback(self.host.engine.remove_transport, self.number)
                ends.callback(self.host.unwatch_transport, self.number)
                ends.callback(self._dtls.close)
        except Exception:
            logger.exception("the transport failed")
            why = "failed"
        owner.transport_ended(self.id, why)

    def _give_up(self) -> None:
        self._connect_result = "no_path" if self._dtls_at is None else "timed_out"
        self._fail(f"not connected within {self.settings.connect_timeout:g} s")

    def _cancel_deadline(self) -> None:
        deadline, self._deadline = self._deadline, None
        if deadline is not None:
            deadline.cancel()

    def send_dtls(self, datagram: bytes) -> None:
        self.host.engine.send_dtls(self.number, datagram)

    def dtls_connected(self, keys: SrtpKeys) -> None:
        self.host.engine.set_srtp(self.number, keys.profile, keys.tx, keys.rx)
        self._keys = keys
        self._cancel_deadline()
        self._enter(TransportState.CONNECTED)
        self.tally.connects["connected"] += 1
        assert self._asked_at is not None  # DTLS waits for ``connect``
        now = trio.current_time()
        self.connected_after = now - self._asked_at
        self.tally.connect_time.add(self.connected_after)
        if self._dtls_at is not None:
            self.tally.handshake_time.add(now - self._dtls_at)
        self._log("DTLS connected in %.0f ms", 1000 * self.connected_after)
        self._tell_of_change()

    def _tell_of_change(self) -> None:
        if self._owner is not None:
            self._owner.transport_changed(self)

    def dtls_ended(self, error: Exception | None) -> None:
        if error is None:
            self._fail("the client sent close_notify")
        elif isinstance(error, DtlsError):
            self._connect_result = "failed"
            self._fail(f"DTLS: {error}")
        else:
            self._context.run(logger.error, "the transport failed", exc_info=error)
            self._fail("failed")

    def _enter(self, state: TransportState) -> None:
        count_change("webrtc", self.state, state, self.tally)
        self.state = state

    def _note_handshake(self) -> None:
        """It begins when the client's first datagram is there and its fingerprints are known."""
        if self._heard_dtls and self._asked_at is not None and self._dtls_at is None:
            self._dtls_at = trio.current_time()
            self.tally.handshakes += 1

    def handle_engine_event(self, event: TransportEvent) -> None:
        match event:
            case DtlsDatagram():
                self._heard_dtls = True
                self._note_handshake()
                self._dtls.feed(event.data)
            case IceConnected():
                self._log("ICE connected from %s port %d", event.ip, event.port)
            case IceMoved():
                self.moves += 1
                self._log("ICE moved to %s port %d", event.ip, event.port)
            case IceSilent():
                self._fail("no STUN checks from the client any more")

    def _log(self, text: str, *args: object) -> None:
        self._context.run(logger.info, text, *args)


def _random_ice_chars() -> str:
    """32 letters and digits. RFC 8445 §15.4 allows more characters; these need no escaping."""
    return base64.b32encode(secrets.token_bytes(_ICE_BYTES)).decode().lower()

"""A browser's side of a WebRTC transport: one socket, ICE controlling agent, DTLS client, SRTP.

The socket is UDP, or TCP (RFC 4571) if the server's candidate is TCP.

``run`` is its whole life. It checks the server's one candidate until that answers, and keeps
consent fresh (RFC 7675) every 2.5 s as Chromium does. It runs the handshake, and then hands
decrypted packets to ``on_rtp`` and ``on_rtcp``. Sending is a plain call that never waits: a full
socket buffer loses the packet, like a network. Media that is sent before the keys are known is lost
too.

For bad networks ``drop_outgoing`` and ``drop_incoming`` decide for each datagram. ``move`` changes
to another local port, like a browser that changes networks. ``silent`` stops everything that this
side sends.
"""

import contextlib
import secrets
import socket
import struct
from collections.abc import Callable, Mapping
from typing import Any

import attrs
import pylibsrtp
import trio
from support.wire import WireError
from support.wire.demux import DatagramKind, classify
from support.wire.rtcp import RtcpPacket, build_rtcp, parse_rtcp_untrusted
from support.wire.rtp import RtpPacket, build_rtp, parse_rtp_untrusted
from support.wire.stun import (
    BINDING_REQUEST,
    BINDING_SUCCESS,
    binding_request,
    binding_response,
    build_stun,
    has_integrity_untrusted,
    parse_stun_untrusted,
)

from meet_trio.bench.dtls import ClientKeys, DtlsEndpoint, Identity

_CONSENT_INTERVAL = 2.5
_FIRST_CHECK_INTERVAL = 0.05
_BATCH = 64
_STREAM_BUFFER = 1 << 18

SRTP_POLICIES = {
    b"SRTP_AEAD_AES_128_GCM": pylibsrtp.Policy.SRTP_PROFILE_AEAD_AES_128_GCM,
    b"SRTP_AEAD_AES_256_GCM": pylibsrtp.Policy.SRTP_PROFILE_AEAD_AES_256_GCM,
    b"SRTP_AES128_CM_SHA1_80": pylibsrtp.Policy.SRTP_PROFILE_AES128_CM_SHA1_80,
}


class TransportError(Exception):
    """The server does something that a browser would not accept."""


@attrs.frozen
class RemoteParameters:
    """The server's answer to ``createWebRtcTransport``."""

    id: str
    ufrag: str
    password: str
    address: tuple[str, int]
    fingerprints: frozenset[str]
    """SHA-256 ones."""
    tcp: bool = False

    @classmethod
    def from_answer(cls, answer: Mapping[str, Any]) -> "RemoteParameters":
        """The parameters with the candidate that the server prefers."""
        candidate = max(answer["iceCandidates"], key=lambda c: c["priority"])
        return cls(
            answer["id"],
            answer["iceParameters"]["usernameFragment"],
            answer["iceParameters"]["password"],
            (candidate["ip"], candidate["port"]),
            frozenset(
                f["value"]
                for f in answer["dtlsParameters"]["fingerprints"]
                if f["algorithm"] == "sha-256"
            ),
            candidate["protocol"] == "tcp",
        )


def _never(_: bytes) -> bool:
    return False


def _ignore(_: object) -> None:
    pass


@attrs.define(eq=False)
class ClientTransport:
    """One of a participant's transports. All counters start at 0 and count datagrams."""

    identity: Identity
    remote: RemoteParameters
    on_rtp: Callable[[RtpPacket], None] = _ignore
    on_rtcp: Callable[[tuple[RtcpPacket, ...]], None] = _ignore
    drop_outgoing: Callable[[bytes], bool] = _never
    drop_incoming: Callable[[bytes], bool] = _never
    silent: bool = False
    ice_connected: trio.Event = attrs.field(factory=trio.Event)
    connected: trio.Event = attrs.field(factory=trio.Event)
    closed_by_peer: trio.Event = attrs.field(factory=trio.Event)
    sent: int = 0
    received: int = 0
    undecryptable: int = 0
    """Datagrams that failed authentication or were replayed."""
    checks_answered: int = 0
    _ufrag: str = attrs.field(factory=lambda: secrets.token_hex(4))
    _password: str = attrs.field(factory=lambda: secrets.token_hex(16))
    _tie_breaker: int = attrs.field(factory=lambda: secrets.randbits(64))
    _pending: dict[bytes, RemoteParameters] = attrs.field(factory=dict)
    _transport_sequence: int = 0
    _dtls: DtlsEndpoint = attrs.field(init=False)
    _dtls_moved: trio.Event = attrs.field(factory=trio.Event)
    _socket: socket.socket = attrs.field(init=False)
    _moved: trio.Event = attrs.field(factory=trio.Event)
    _unsent: bytearray = attrs.field(factory=bytearray)
    """With TCP: bytes that the kernel has not taken yet."""
    _unread: bytearray = attrs.field(factory=bytearray)
    """With TCP: the beginning of a frame."""
    _tx: pylibsrtp.Session | None = None
    _rx: pylibsrtp.Session | None = None

    def __attrs_post_init__(self) -> None:
        self._dtls = DtlsEndpoint(self.identity)
        self._socket = self._open_socket()

    @property
    def keys(self) -> ClientKeys | None:
        """Those of SRTP, once DTLS is done."""
        return self._dtls.keys

    async def run(self) -> None:
        """Run until cancelled. Raises TransportError or OpenSSL.SSL.Error when DTLS fails."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._receive)
                nursery.start_soon(self._keep_consent)
                nursery.start_soon(self._shake_hands)
        finally:
            self._socket.close()

    def move(self) -> None:
        """Go on from another local port: the server must follow once a check arrives from there.

        A TCP connection is reset.
        """
        self._unsent.clear()
        self._unread.clear()
        before, self._socket = self._socket, self._open_socket()
        # Wakes the receiving task, which then waits on the new socket.
        trio.lowlevel.notify_closing(before)
        before.close()
        self._moved.set()
        self._moved = trio.Event()
        self.check(nominate=True)

    def use_ice_parameters(self, ufrag: str, password: str) -> None:
        """Continue with the credentials of an ICE restart."""
        self.remote = attrs.evolve(self.remote, ufrag=ufrag, password=password)
        self._ufrag, self._password = secrets.token_hex(4), secrets.token_hex(16)
        self.check(nominate=True)

    def check(self, *, nominate: bool) -> None:
        """Send one connectivity check."""
        request = binding_request(
            remote_ufrag=self.remote.ufrag,
            local_ufrag=self._ufrag,
            tie_breaker=self._tie_breaker,
            nominate=nominate,
        )
        if len(self._pending) > 100:
            self._pending.clear()  # these are lost
        self._pending[request.transaction_id] = self.remote
        self.send(build_stun(request, self.remote.password))

    def send(self, datagram: bytes) -> None:
        """Send ``datagram`` unchanged."""
        if self.silent or self.drop_outgoing(datagram):
            return
        # An unreachable, full or closed socket loses it, like any datagram.
        with contextlib.suppress(OSError):
            if self.remote.tcp:
                self._send_frame(datagram)
            else:
                self._socket.send(datagram)
            self.sent += 1

    def send_rtp(self, packet: RtpPacket, transport_cc_id: int | None = None) -> None:
        """Protect and send; with ``transport_cc_id`` the packet gets the next transport-wide
        number.
        """
        if self._tx is None:
            return
        if transport_cc_id is not None:
            number = self._transport_sequence.to_bytes(2, "big")
            self._transport_sequence = (self._transport_sequence + 1) & 0xFFFF
            packet = attrs.evolve(packet, extensions={**packet.extensions, transport_cc_id: number})
        self.send(self._tx.protect(build_rtp(packet)))

    def send_rtcp(self, packets: list[RtcpPacket]) -> None:
        """Protect and send one compound packet."""
        self.send_rtcp_bytes(build_rtcp(packets))

    def send_rtcp_bytes(self, compound: bytes) -> None:
        """Protect and send a compound packet that is built already."""
        if self._tx is not None:
            self.send(self._tx.protect_rtcp(compound))

    def allow_large_packets(self) -> None:
        """Allow packets larger than pylibsrtp's buffer; the transport must be connected."""
        assert self._tx is not None
        self._tx._cdata = pylibsrtp._binding.ffi.new("char[]", 4096)
        self._tx._buffer = pylibsrtp._binding.ffi.buffer(self._tx._cdata)

    def say_goodbye(self) -> None:
        """Send DTLS close_notify, as a browser does when its RTCPeerConnection is closed."""
        self._dtls.close()
        self._flush_dtls()

    def _open_socket(self) -> socket.socket:
        family = socket.AF_INET6 if ":" in self.remote.address[0] else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM if self.remote.tcp else socket.SOCK_DGRAM)
        sock.setblocking(False)
        if self.remote.tcp:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with contextlib.suppress(BlockingIOError):  # TCP: data sent before it is connected waits
            sock.connect(self.remote.address)
        return sock

    def _send_frame(self, datagram: bytes) -> None:
        """Bytes that do not fit are sent with the next frames: there is always a next check."""
        if len(self._unsent) > _STREAM_BUFFER:
            raise BlockingIOError
        self._unsent += len(datagram).to_bytes(2, "big") + datagram
        with contextlib.suppress(BlockingIOError):
            del self._unsent[: self._socket.send(self._unsent)]

    async def _receive(self) -> None:
        while True:
            with contextlib.suppress(trio.ClosedResourceError):  # the transport moved
                await trio.lowlevel.wait_readable(self._socket)
            if self.remote.tcp:
                await self._read_stream()
            else:
                self._read_datagrams()

    def _read_datagrams(self) -> None:
        for _ in range(_BATCH):
            try:
                datagram = self._socket.recv(2048)
            except BlockingIOError:
                break
            except OSError:  # an ICMP error of an earlier datagram
                continue
            self._take(datagram)

    async def _read_stream(self) -> None:
        moved = self._moved
        try:
            data = self._socket.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:  # closed by either side
            await moved.wait()
            return
        self._unread += data
        while len(self._unread) >= 2:
            end = 2 + int.from_bytes(self._unread[:2], "big")
            if len(self._unread) < end:
                return
            datagram = bytes(self._unread[2:end])
            del self._unread[:end]
            self._take(datagram)

    def _take(self, datagram: bytes) -> None:
        if datagram and not self.drop_incoming(datagram):
            self.received += 1
            self._handle(datagram)

    def _handle(self, datagram: bytes) -> None:
        match classify(datagram):
            case DatagramKind.STUN:
                self._handle_stun(datagram)
            case DatagramKind.DTLS:
                self._dtls.receive(datagram)
                self._flush_dtls()
                self._use_keys()
                self._dtls_moved.set()
                if self._dtls.closed_by_peer:
                    self.closed_by_peer.set()
            case DatagramKind.RTP if self._rx is not None:
                try:
                    plain = self._rx.unprotect(datagram)
                except pylibsrtp.Error:
                    self.undecryptable += 1
                    return
                self.on_rtp(parse_rtp_untrusted(plain))
            case DatagramKind.RTCP if self._rx is not None:
                try:
                    plain = self._rx.unprotect_rtcp(datagram)
                except pylibsrtp.Error:
                    self.undecryptable += 1
                    return
                self.on_rtcp(parse_rtcp_untrusted(plain))

    def _handle_stun(self, datagram: bytes) -> None:
        try:
            message = parse_stun_untrusted(datagram)
        except WireError as error:
            raise TransportError(f"the server sent bad STUN: {error}") from None
        if message.message_type == BINDING_SUCCESS:
            remote = self._pending.pop(message.transaction_id, None)
            if remote is None:
                return
            if not has_integrity_untrusted(datagram, remote.password):
                raise TransportError("the server's STUN answer is not authentic")
            self.checks_answered += 1
            self.ice_connected.set()
        elif message.message_type == BINDING_REQUEST:
            # An ICE-lite server never sends checks; a full agent would get an answer.
            answer = binding_response(message, self.remote.address)
            self.send(build_stun(answer, self._password))

    async def _keep_consent(self) -> None:
        interval = _FIRST_CHECK_INTERVAL
        while not self.ice_connected.is_set():
            # Chromium's first check does not nominate.
            self.check(nominate=interval != _FIRST_CHECK_INTERVAL)
            with trio.move_on_after(interval):
                await self.ice_connected.wait()
            interval = min(2 * interval, 1.0)
        while True:
            self.check(nominate=True)
            await trio.sleep(_CONSENT_INTERVAL)

    async def _shake_hands(self) -> None:
        await self.ice_connected.wait()
        self._dtls.start()
        self._flush_dtls()
        while self._dtls.keys is None:
            self._dtls_moved = trio.Event()
            timeout = self._dtls.timeout()
            with trio.move_on_after(float("inf") if timeout is None else timeout) as scope:
                await self._dtls_moved.wait()
            if scope.cancelled_caught:
                self._dtls.handle_timeout()
                self._flush_dtls()
        self.connected.set()

    def _use_keys(self) -> None:
        """At once: the next datagram may be media, and a browser handles them in order."""
        keys = self._dtls.keys
        if keys is None or self._tx is not None:
            return
        if self._dtls.peer_fingerprint not in self.remote.fingerprints:
            raise TransportError("the server's certificate has another fingerprint")
        self._tx = pylibsrtp.Session(
            pylibsrtp.Policy(
                key=keys.tx,
                ssrc_type=pylibsrtp.Policy.SSRC_ANY_OUTBOUND,
                srtp_profile=SRTP_POLICIES[keys.profile.name],
            )
        )
        self._rx = pylibsrtp.Session(
            pylibsrtp.Policy(
                key=keys.rx,
                ssrc_type=pylibsrtp.Policy.SSRC_ANY_INBOUND,
                srtp_profile=SRTP_POLICIES[keys.profile.name],
            )
        )

    def _flush_dtls(self) -> None:
        for datagram in self._dtls.outgoing():
            self.send(datagram)

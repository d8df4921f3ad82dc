"""The clients' media: Python's side of a crowd (``engine.Crowd``).

Python opens the sockets, makes the DTLS handshake, and tells the crowd what to send and what to
expect. No media passes through Python.
"""

import contextlib
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, assert_never

import attrs
import trio

from meet_trio.bench.dtls import DtlsEndpoint, Identity
from meet_trio.bench.errors import BenchError
from meet_trio.doctor import stun
from meet_trio.engine import (
    CheckAnswered,
    Crowd,
    CrowdFailed,
    CrowdReport,
    DtlsReceived,
    FeedSpec,
    StreamBegun,
    ViewedSpec,
)

_PROFILES = {
    b"SRTP_AES128_CM_SHA1_80": 0x0001,
    b"SRTP_AEAD_AES_128_GCM": 0x0007,
    b"SRTP_AEAD_AES_256_GCM": 0x0008,
}
_USE_CANDIDATE = 0x0025
_PRIORITY = 0x6E7F00FF  # of a peer-reflexive candidate (RFC 8445 §5.1.2.1)
_PLAIN_PORTS = range(20_000, 32_768)
"""Our ports of plain RTP: outside of those that a server on this machine has for its own."""
_BIND_TRIES = 100


@attrs.define(eq=False)
class MediaEnd:
    """The client's end of one transport. ``begun`` has the streams' first packets, by SSRC."""

    host: "CrowdHost"
    number: int
    dtls: DtlsEndpoint | None = None
    fingerprints: frozenset[str] = frozenset()
    answered: trio.Event = attrs.field(factory=trio.Event)
    moved: trio.Event = attrs.field(factory=trio.Event)
    begun: dict[int, float] = attrs.field(factory=dict)
    on_begun: Callable[[float], None] = lambda at: None

    def view(self, spec: ViewedSpec) -> None:
        self.host.crowd.add_viewed(self.number, spec)

    def send(self, spec: FeedSpec) -> None:
        self.host.crowd.add_feed(self.number, spec)

    async def shake_hands(self) -> None:
        """ICE, then DTLS as its client; returns when media can flow. Raises BenchError."""
        dtls = self.dtls
        assert dtls is not None
        await self.answered.wait()
        dtls.start()
        self._flush()
        while dtls.keys is None:
            self.moved = trio.Event()
            timeout = dtls.timeout()
            with trio.move_on_after(float("inf") if timeout is None else timeout) as scope:
                await self.moved.wait()
            if scope.cancelled_caught:
                dtls.handle_timeout()
                self._flush()

    def take_dtls(self, datagram: bytes) -> None:
        """At once, because media follows the last datagram of a handshake."""
        dtls = self.dtls
        if dtls is None:
            return
        unknown = dtls.keys is None
        dtls.receive(datagram)
        self._flush()
        if unknown and dtls.keys is not None:
            if dtls.peer_fingerprint not in self.fingerprints:
                raise BenchError("the server's certificate has another fingerprint than it said")
            profile = _PROFILES[dtls.keys.profile.name]
            self.host.crowd.set_srtp(self.number, profile, dtls.keys.tx, dtls.keys.rx)
        self.moved.set()

    def _flush(self) -> None:
        assert self.dtls is not None
        for datagram in self.dtls.outgoing():
            self.host.crowd.send(self.number, datagram)


@attrs.define(eq=False)
class CrowdHost:
    """One crowd and its endpoints."""

    crowd: Crowd
    identity: Identity
    endpoints: list[MediaEnd] = attrs.field(factory=list)
    _reports: dict[int, trio.MemorySendChannel[CrowdReport]] = attrs.field(factory=dict)
    _next_token: int = 0

    async def run(self) -> None:
        """Take the crowd's events until cancelled. Raises BenchError."""
        while True:
            await trio.lowlevel.wait_readable(self.crowd.event_fd)
            for event in self.crowd.read_events():
                match event:
                    case CheckAnswered(endpoint):
                        self.endpoints[endpoint].answered.set()
                    case DtlsReceived(endpoint, datagram):
                        self.endpoints[endpoint].take_dtls(datagram)
                    case StreamBegun(endpoint, ssrc, at):
                        self.endpoints[endpoint].begun[ssrc] = at
                        self.endpoints[endpoint].on_begun(at)
                    case CrowdReport(token):
                        if token in self._reports:
                            self._reports.pop(token).send_nowait(event)
                    case CrowdFailed(reason):
                        raise BenchError(reason)
                    case _:
                        assert_never(event)

    async def report(self) -> CrowdReport:
        """What the crowd has done so far."""
        token, self._next_token = self._next_token, self._next_token + 1
        send, receive = trio.open_memory_channel[CrowdReport](1)
        self._reports[token] = send
        self.crowd.request_report(token)
        return await receive.receive()

    def add_webrtc(self, answer: Mapping[str, Any], transport_cc_id: int) -> MediaEnd:
        """The end of a transport that ``createWebRtcTransport`` has made; ICE begins at once."""
        candidate = max(
            (c for c in answer["iceCandidates"] if c["protocol"] == "udp"),
            key=lambda c: int(c["priority"]),
            default=None,
        )
        if candidate is None:
            raise BenchError("the server offers no UDP candidate")
        address = str(candidate.get("ip") or candidate.get("address")), int(candidate["port"])
        ice = answer["iceParameters"]
        check = _check(ice["usernameFragment"], ice["password"])
        endpoint = self._add(_connected(address), None, check, transport_cc_id)
        endpoint.dtls = DtlsEndpoint(self.identity)
        endpoint.fingerprints = frozenset(
            f["value"]
            for f in answer["dtlsParameters"]["fingerprints"]
            if f["algorithm"] == "sha-256"
        )
        return endpoint

    def add_plain(self, answer: Mapping[str, Any]) -> tuple[MediaEnd, tuple[str, int, int]]:
        """The end of a transport that ``createPlainTransport`` has made, and its address with the
        ports for RTP and RTCP.
        """
        ip = str(answer["ip"])
        rtp = _connected((ip, int(answer["port"])), _PLAIN_PORTS)
        try:
            rtcp = _connected((ip, int(answer["rtcpPort"])), _PLAIN_PORTS)
        except BaseException:
            rtp.close()
            raise
        own, port = rtp.getsockname()[:2]
        ports = str(own), int(port), int(rtcp.getsockname()[1])
        return self._add(rtp, rtcp, b"", 0), ports

    def _add(
        self, rtp: socket.socket, rtcp: socket.socket | None, check: bytes, transport_cc_id: int
    ) -> MediaEnd:
        # the crowd closes the sockets from here on, also if this fails
        number = self.crowd.add_endpoint(
            rtp.detach(), rtcp.detach() if rtcp else -1, check, transport_cc_id, new_ssrc()
        )
        endpoint = MediaEnd(self, number)
        self.endpoints.append(endpoint)
        return endpoint


@contextlib.asynccontextmanager
async def open_crowd(identity: Identity, *, join: bool) -> AsyncIterator[CrowdHost]:
    """A crowd for the time of the ``async with``."""
    crowd = Crowd(join)
    try:
        async with trio.open_nursery() as nursery:
            host = CrowdHost(crowd, identity)
            nursery.start_soon(host.run)
            yield host
            nursery.cancel_scope.cancel()
    finally:
        crowd.close()


def new_ssrc() -> int:
    return secrets.randbelow((1 << 32) - 2) + 1


def _connected(address: tuple[str, int], ports: range | None = None) -> socket.socket:
    """``ports``: the own port is one of these."""
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_DGRAM)
    try:
        opened.setblocking(False)
        if ports is not None:
            _bind(opened, ports)
        opened.connect(address)
    except OSError as error:
        opened.close()
        raise BenchError(f"{address[0]}:{address[1]}: {error}") from None
    except BaseException:
        opened.close()
        raise
    return opened


def _bind(opened: socket.socket, ports: range) -> None:
    for _ in range(_BIND_TRIES):
        with contextlib.suppress(OSError):
            opened.bind(("", ports[secrets.randbelow(len(ports))]))
            return
    raise BenchError(f"no port from {ports[0]} to {ports[-1]} was found free")


def _check(ufrag: str, password: str) -> bytes:
    """A connectivity check that nominates (RFC 8445 §7.2.2)."""
    message = stun.StunMessage(
        stun.BINDING | stun.REQUEST,
        (
            (stun.USERNAME, f"{ufrag}:{secrets.token_hex(4)}".encode()),
            (stun.PRIORITY, _PRIORITY.to_bytes(4, "big")),
            (stun.ICE_CONTROLLING, secrets.token_bytes(8)),
            (_USE_CANDIDATE, b""),
        ),
    )
    return stun.build(message, password.encode())

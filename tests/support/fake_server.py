"""A small media server: what one client transport needs at the other end, to test the client by
itself.

It has ICE-lite and a DTLS server on one UDP socket. Each RTP packet comes back unchanged, each RTCP
packet is kept. ``drop`` decides which incoming datagrams are lost.
"""

import contextlib
import secrets
from collections.abc import AsyncIterator, Callable

import attrs
import pylibsrtp
import trio
from support.transport import SRTP_POLICIES, RemoteParameters
from support.wire.demux import DatagramKind, classify
from support.wire.rtcp import RtcpPacket, build_rtcp, parse_rtcp_untrusted
from support.wire.rtp import RtpPacket, build_rtp, parse_rtp_untrusted
from support.wire.stun import (
    USE_CANDIDATE,
    USERNAME,
    binding_response,
    build_stun,
    has_integrity_untrusted,
    parse_stun_untrusted,
)

from meet_trio.bench.dtls import DtlsEndpoint, Identity


@attrs.define(eq=False)
class FakeServer:
    """The server side of one transport. ``echo`` maps each RTP packet received to the one sent
    back.
    """

    socket: trio.socket.SocketType
    identity: Identity
    echo: Callable[[RtpPacket], RtpPacket | None] = lambda packet: packet
    drop: Callable[[bytes], bool] = lambda _: False
    ufrag: str = attrs.field(factory=lambda: secrets.token_hex(4))
    password: str = attrs.field(factory=lambda: secrets.token_hex(16))
    address: tuple[str, int] | None = None
    """The client's address at its last check."""
    checks: int = 0
    nominations: int = 0
    rtp: list[RtpPacket] = attrs.field(factory=list)
    rtcp: list[RtcpPacket] = attrs.field(factory=list)
    goodbye: bool = False
    _dtls: DtlsEndpoint = attrs.field(init=False)
    _tx: pylibsrtp.Session | None = None
    _rx: pylibsrtp.Session | None = None

    def __attrs_post_init__(self) -> None:
        self._dtls = DtlsEndpoint(self.identity, server=True)

    def parameters(self, fingerprint: str | None = None) -> RemoteParameters:
        ip, port = self.socket.getsockname()
        return RemoteParameters(
            "fake",
            self.ufrag,
            self.password,
            (ip, port),
            frozenset({fingerprint or self.identity.fingerprint}),
        )

    async def run(self) -> None:
        while True:
            datagram, address = await self.socket.recvfrom(2048)
            if not self.drop(datagram):
                for answer in self._handle(datagram, address):
                    assert self.address is not None
                    await self.socket.sendto(answer, self.address)

    async def send_rtcp(self, packets: list[RtcpPacket]) -> None:
        assert self._tx is not None
        assert self.address is not None
        await self.socket.sendto(self._tx.protect_rtcp(build_rtcp(packets)), self.address)

    def _handle(self, datagram: bytes, address: tuple[str, int]) -> list[bytes]:
        match classify(datagram):
            case DatagramKind.STUN:
                request = parse_stun_untrusted(datagram)
                username = request.get(USERNAME) or b""
                if not username.startswith(self.ufrag.encode() + b":"):
                    return []
                if not has_integrity_untrusted(datagram, self.password):
                    return []
                self.checks += 1
                self.nominations += request.get(USE_CANDIDATE) is not None
                self.address = address
                return [build_stun(binding_response(request, address), self.password)]
            case DatagramKind.DTLS:
                self._dtls.receive(datagram)
                self.goodbye = self._dtls.closed_by_peer
                if self._dtls.keys is not None and self._tx is None:
                    keys = self._dtls.keys
                    profile = SRTP_POLICIES[keys.profile.name]
                    outbound = pylibsrtp.Policy.SSRC_ANY_OUTBOUND
                    inbound = pylibsrtp.Policy.SSRC_ANY_INBOUND
                    self._tx = pylibsrtp.Session(
                        pylibsrtp.Policy(key=keys.tx, ssrc_type=outbound, srtp_profile=profile)
                    )
                    self._rx = pylibsrtp.Session(
                        pylibsrtp.Policy(key=keys.rx, ssrc_type=inbound, srtp_profile=profile)
                    )
                return self._dtls.outgoing()
            case DatagramKind.RTP if self._rx is not None and self._tx is not None:
                packet = parse_rtp_untrusted(self._rx.unprotect(datagram))
                self.rtp.append(packet)
                answer = self.echo(packet)
                return [] if answer is None else [self._tx.protect(build_rtp(answer))]
            case DatagramKind.RTCP if self._rx is not None:
                self.rtcp += parse_rtcp_untrusted(self._rx.unprotect_rtcp(datagram))
        return []


@contextlib.asynccontextmanager
async def open_fake_server(identity: Identity | None = None) -> AsyncIterator[FakeServer]:
    """A running FakeServer on a loopback port."""
    with trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM) as socket:
        await socket.bind(("127.0.0.1", 0))
        server = FakeServer(socket, identity or Identity.generate())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.run)
            yield server
            nursery.cancel_scope.cancel()

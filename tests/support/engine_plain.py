"""A plain transport's far side for ``engine_world``: RTP and RTCP in clear, on two ports each way.

    world = World()
    alice = PlainClient.open(world, comedia=True)
    alice.send(packet)
    assert alice.rtcp_of(ReceiverReport)

``rtp`` and ``rtcp`` have only datagrams for this client, by the right one of the engine's two
sockets. All other datagrams are in ``astray``.
"""

import attrs
from support.engine_world import FarSide, World
from support.wire.rtcp import RtcpPacket, build_rtcp, parse_rtcp_untrusted
from support.wire.rtp import RtpPacket, build_rtp, parse_rtp_untrusted

LOOPBACK = ("127.0.0.0/8",)


@attrs.define(eq=False)
class PlainClient(FarSide):
    world: World
    number: int
    ip: str = "127.0.0.1"
    port: int = 7000
    rtcp_port: int = 7001
    astray: list[tuple[bool, str, int, bytes]] = attrs.field(factory=list)
    _rtp: list[RtpPacket] = attrs.field(factory=list)
    _rtcp: list[RtcpPacket] = attrs.field(factory=list)

    @classmethod
    def open(
        cls, world: World, *, comedia: bool = False, allowed: tuple[str, ...] = LOOPBACK
    ) -> "PlainClient":
        client = cls(world, world.new_number())
        world.core.add_plain_transport(client.number, -1, -1, allowed, comedia)
        return client

    def connect(self) -> "PlainClient":
        self.world.core.connect_plain_transport(self.number, self.ip, self.port, self.rtcp_port)
        self.world.deliver()
        return self

    def send(self, *packets: RtpPacket) -> None:
        for packet in packets:
            self.send_raw(build_rtp(packet))

    def send_rtcp(self, *packets: RtcpPacket) -> None:
        self.send_raw(build_rtcp(packets), rtcp=True)

    def send_raw(
        self, data: bytes, *, rtcp: bool = False, address: tuple[str, int] | None = None
    ) -> None:
        ip, port = address or (self.ip, self.rtcp_port if rtcp else self.port)
        self.world.core.plain_datagram(self.number, ip, port, data, rtcp)
        self.world.deliver()

    @property
    def rtp(self) -> list[RtpPacket]:
        self._collect()
        return self._rtp

    @property
    def rtcp(self) -> list[RtcpPacket]:
        self._collect()
        return self._rtcp

    def _collect(self) -> None:
        sent, self.world.plain_sent = self.world.plain_sent, []
        for number, rtcp, ip, port, data in sent:
            if number != self.number:
                self.world.plain_sent.append((number, rtcp, ip, port, data))
            elif (ip, port) != (self.ip, self.rtcp_port if rtcp else self.port):
                self.astray.append((rtcp, ip, port, data))
            elif rtcp:
                self._rtcp.extend(parse_rtcp_untrusted(data))
            else:
                self._rtp.append(parse_rtp_untrusted(data))

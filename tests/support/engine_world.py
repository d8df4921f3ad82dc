"""The engine's core with a clock and a network of the test's own, and clients around it that hold
the other ends: ICE, SRTP by libsrtp (pylibsrtp, the oracle), RTP and RTCP.

    world = World()
    alice, bob = world.client(), world.client()
    producer = world.produce(alice, video())
    consumer = world.consume(bob, producer)
    alice.send(packet)
    world.run(0.1)
    assert bob.rtp[...]

Time passes only in ``run``, and packets move only in ``send…`` and ``run``; datagrams arrive at
once. In every test no SRTP index may be used twice with other bytes: ``indices`` watches all
packets that leave.
"""

import itertools
import secrets
from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeVar

import attrs
import pylibsrtp
from pylibsrtp import Policy
from support.indices import PLAIN, Indices
from support.wire.demux import DatagramKind, classify
from support.wire.rtcp import RtcpPacket, SenderReport, build_rtcp, parse_rtcp_untrusted
from support.wire.rtp import RtpPacket, build_rtp, parse_rtp_untrusted
from support.wire.stun import binding_request, build_stun
from support.wire.vp8 import (
    Vp8Descriptor,
    build_vp8_descriptor,
    key_frame_header,
    parse_vp8_untrusted,
)

from meet_trio.engine import (
    ConsumerSpec,
    Core,
    EncodingSpec,
    EngineEvent,
    EngineSettings,
    ProducerSpec,
    Stats,
    StatsReady,
)

T = TypeVar("T")

MID_URI = "urn:ietf:params:rtp-hdrext:sdes:mid"
RID_URI = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"
REPAIRED_RID_URI = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id"
ABS_SEND_TIME_URI = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"
TRANSPORT_CC_URI = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
AUDIO_LEVEL_URI = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
ORIENTATION_URI = "urn:3gpp:video-orientation"

PUBLISHED = {
    MID_URI: 9,
    RID_URI: 10,
    REPAIRED_RID_URI: 11,
    ABS_SEND_TIME_URI: 2,
    TRANSPORT_CC_URI: 3,
    AUDIO_LEVEL_URI: 1,
    ORIENTATION_URI: 4,
}
"""Ids on the publishers' side; the viewers' side has others."""
VIEWED = {MID_URI: 1, ABS_SEND_TIME_URI: 4, AUDIO_LEVEL_URI: 10, ORIENTATION_URI: 11}
"""A viewer without transport-wide numbers: the engine does not adapt to its link."""
VIEWED_ADAPTED = {**VIEWED, TRANSPORT_CC_URI: 5}

PROFILES = {
    0x0001: (Policy.SRTP_PROFILE_AES128_CM_SHA1_80, 30),
    0x0007: (Policy.SRTP_PROFILE_AEAD_AES_128_GCM, 28),
    0x0008: (Policy.SRTP_PROFILE_AEAD_AES_256_GCM, 44),
}

CLOCK = 90_000


def video(**changes: Any) -> ProducerSpec:
    """A VP8 camera with one encoding, SSRC 1000 and RTX 1001."""
    spec = ProducerSpec(
        kind="video",
        codec="video/vp8",
        payload_type=96,
        rtx_payload_type=97,
        clock_rate=CLOCK,
        mid="v0",
        encodings=(EncodingSpec(ssrc=1000, rtx_ssrc=1001),),
        header_extensions=PUBLISHED,
        nack=True,
        pli=True,
        fir=True,
        transport_cc=True,
        remb=True,
    )
    return attrs.evolve(spec, **changes)


def simulcast(layers: int = 3, **changes: Any) -> ProducerSpec:
    """A VP8 camera with RIDs r0, r1… and no announced SSRCs."""
    return video(encodings=tuple(EncodingSpec(rid=f"r{i}") for i in range(layers)), **changes)


def audio(**changes: Any) -> ProducerSpec:
    """A microphone, SSRC 2000."""
    spec = ProducerSpec(
        kind="audio",
        codec="audio/opus",
        payload_type=111,
        rtx_payload_type=None,
        clock_rate=48_000,
        mid="a0",
        encodings=(EncodingSpec(ssrc=2000),),
        header_extensions=PUBLISHED,
        nack=False,
        pli=False,
        fir=False,
        transport_cc=True,
        remb=False,
    )
    return attrs.evolve(spec, **changes)


def viewed(number: int, **changes: Any) -> ConsumerSpec:
    """A consumer's stream: its SSRC is the number + 50000, RTX + 60000."""
    spec = ConsumerSpec(
        ssrc=number + 50_000,
        rtx_ssrc=number + 60_000,
        payload_type=101,
        rtx_payload_type=102,
        mid=str(number),
        cname="publisher",
        header_extensions=VIEWED,
        nack=True,
        pli=True,
        fir=True,
        paused=False,
    )
    return attrs.evolve(spec, **changes)


class FarSide(Protocol):
    """A transport's far side, of either kind."""

    number: int

    @property
    def rtcp(self) -> list[RtcpPacket]: ...

    def rtcp_of(self, kind: type[T]) -> list[T]:
        return [p for p in self.rtcp if isinstance(p, kind)]


@attrs.define(eq=False)
class EngineClient(FarSide):
    """One transport's far side. ``rtp`` and ``rtcp`` have the decrypted packets that came."""

    world: "World"
    number: int
    ufrag: str
    password: str
    address: tuple[str, int]
    tx: pylibsrtp.Session | None = None
    rx: pylibsrtp.Session | None = None
    rtp: list[RtpPacket] = attrs.field(factory=list)
    rtcp: list[RtcpPacket] = attrs.field(factory=list)
    stun: list[bytes] = attrs.field(factory=list)
    dtls: list[bytes] = attrs.field(factory=list)
    raw: list[bytes] = attrs.field(factory=list)
    """Media datagrams as they came, encrypted."""
    drop: Callable[[bytes], bool] = lambda _: False
    """Called with each media datagram to the client; True drops it."""
    receive_media: Callable[[bytes], None] | None = None
    """Takes the media datagrams in place of ``rtp`` and ``raw``."""
    profile: int = PLAIN
    keyed: int = 0
    """The number of key pairs so far."""

    def check(
        self,
        *,
        nominate: bool = True,
        address: tuple[str, int] | None = None,
        password: str | None = None,
        ufrag: str | None = None,
    ) -> None:
        """Send one connectivity check."""
        request = binding_request(
            remote_ufrag=ufrag or self.ufrag, local_ufrag="theirs", tie_breaker=1, nominate=nominate
        )
        data = build_stun(request, password or self.password)
        if address:
            self.world.further_addresses[address] = self
        self.world.core.datagram(*(address or self.address), data)
        self.world.deliver()

    def set_keys(self, profile: int = 0x0007) -> None:
        """Set the SRTP keys as if DTLS were done."""
        name, length = PROFILES[profile]
        self.profile = profile
        self.keyed += 1
        ours, theirs = secrets.token_bytes(length), secrets.token_bytes(length)
        self.world.core.set_srtp(self.number, profile, theirs, ours)
        self.tx = pylibsrtp.Session(
            Policy(key=ours, ssrc_type=Policy.SSRC_ANY_OUTBOUND, srtp_profile=name)
        )
        receive = Policy(key=theirs, ssrc_type=Policy.SSRC_ANY_INBOUND, srtp_profile=name)
        receive.allow_repeat_tx = False
        receive.window_size = 1024
        self.rx = pylibsrtp.Session(receive)

    def protect(self, packet: RtpPacket) -> bytes:
        assert self.tx is not None
        data: bytes = self.tx.protect(build_rtp(packet))
        return data

    def send(self, *packets: RtpPacket) -> None:
        for packet in packets:
            self.send_raw(self.protect(packet))

    def protect_rtcp(self, *packets: RtcpPacket) -> bytes:
        assert self.tx is not None
        data: bytes = self.tx.protect_rtcp(build_rtcp(packets))
        return data

    def send_rtcp(self, *packets: RtcpPacket) -> None:
        self.send_raw(self.protect_rtcp(*packets))

    def send_raw(self, data: bytes) -> None:
        self.world.core.datagram(*self.address, data)
        self.world.deliver()

    def receive(self, data: bytes) -> None:
        match classify(data):
            case DatagramKind.STUN:
                self.stun.append(data)
            case DatagramKind.DTLS:
                self.dtls.append(data)
            case DatagramKind.RTP if self.receive_media is not None:
                self.receive_media(data)
            case DatagramKind.RTP:
                self.raw.append(data)
                if not self.drop(data):
                    assert self.rx is not None
                    self.rtp.append(parse_rtp_untrusted(self.rx.unprotect(data)))
            case DatagramKind.RTCP:
                assert self.rx is not None
                self.rtcp.extend(parse_rtcp_untrusted(self.rx.unprotect_rtcp(data)))


@attrs.define(eq=False)
class World:
    settings: EngineSettings = attrs.field(factory=EngineSettings)
    core: Core = attrs.field(init=False)
    events: list[EngineEvent] = attrs.field(factory=list)
    clients: list[EngineClient] = attrs.field(factory=list)
    plain_sent: list[tuple[int, bool, str, int, bytes]] = attrs.field(factory=list)
    """Datagrams that left by the sockets of plain transports, see ``engine_plain``."""
    further_addresses: dict[tuple[str, int], EngineClient] = attrs.field(factory=dict)
    """Addresses that clients have sent checks from, beside their own."""
    indices: Indices = attrs.field(factory=Indices)
    _numbers: "itertools.count[int]" = attrs.field(factory=lambda: itertools.count(1))

    def __attrs_post_init__(self) -> None:
        self.core = Core(self.settings, seed=1)

    @property
    def now(self) -> float:
        """The time in seconds."""
        return self.core.now / 1e6

    def client(self, profile: int | None = 0x0007) -> EngineClient:
        """A client whose transport is connected; with ``profile`` None it has no keys."""
        client = self.new_client()
        client.check()
        if profile is not None:
            client.set_keys(profile)
        self.deliver()
        return client

    def new_number(self) -> int:
        return next(self._numbers)

    def new_client(self) -> EngineClient:
        """A client that has not sent anything yet."""
        number = next(self._numbers)
        address = (f"10.0.0.{number}", 5000 + number)
        client = EngineClient(self, number, f"ufrag{number}", f"password-of-{number}", address)
        self.core.add_transport(number, client.ufrag, client.password)
        self.clients.append(client)
        return client

    def produce(self, client: FarSide, spec: ProducerSpec) -> int:
        number = next(self._numbers)
        self.core.add_producer(number, client.number, spec)
        return number

    def consume(self, client: FarSide, producer: int, **changes: Any) -> int:
        """Add a consumer; its SSRC is the id + 50000, RTX + 60000."""
        number = next(self._numbers)
        self.core.add_consumer(number, client.number, producer, viewed(number, **changes))
        self.deliver()
        return number

    def run(self, seconds: float, step: float = 0.005) -> None:
        """Let time pass, in steps."""
        end = self.core.now + round(seconds * 1e6)
        while self.core.now < end:
            self.core.now = min(self.core.now + round(step * 1e6), end)
            self.core.tick()
            self.deliver()

    def deliver(self) -> None:
        """Hand each datagram to the client it was sent to."""
        for ip, port, data in self.core.take_sent():
            owner = self.further_addresses.get((ip, port))
            for client in self.clients:
                if client.address == (ip, port):
                    owner = client
                    client.receive(data)
            if owner:
                self.watch(owner, data)
        for plain in self.core.take_plain_sent():
            self.plain_sent.append(plain)
            number, rtcp, *_, data = plain
            if not rtcp:
                self.indices.rtp(("plain", number), data)
        self.events.extend(self.core.take_events())

    def watch(self, client: EngineClient, data: bytes) -> None:
        """Check a datagram that was sent to ``client``, also at an address where it is not
        received.
        """
        session = (client.number, client.keyed)
        match classify(data):
            case DatagramKind.RTP:
                self.indices.rtp(session, data)
            case DatagramKind.RTCP:
                self.indices.rtcp(session, client.profile, data)

    def take_events(self, kind: type[T]) -> list[T]:
        """Events of ``kind`` since the last call."""
        self.core.tick()
        self.deliver()
        taken: list[T] = [e for e in self.events if isinstance(e, kind)]
        self.events = [e for e in self.events if not isinstance(e, kind)]
        return taken

    def stats(self) -> Stats:
        self.core.request_stats(1)
        (ready,) = self.take_events(StatsReady)
        stats: Stats = ready.stats
        return stats

    def counter(self, name: str) -> int:
        return int(self.stats()["engine"][name])


@attrs.define(eq=False)
class Camera:
    """One VP8 stream: ``frame()`` returns the packets of the next frame, 30 a second."""

    ssrc: int = 1000
    payload_type: int = 96
    extensions: dict[int, bytes] = attrs.field(factory=dict)
    parts: int = 2
    sequence: int = 65_500
    timestamp: int = 1_000_000
    picture: int = 100
    tl0: int = 50
    tag: bytes = b""

    def frame(self, *, key: bool = False) -> list[RtpPacket]:
        packets = [self._part(i, key) for i in range(self.parts)]
        self.timestamp = (self.timestamp + 3000) & 0xFFFFFFFF
        self.picture = (self.picture + 1) & 0x7FFF
        self.tl0 = (self.tl0 + 1) & 0xFF
        return packets

    def _part(self, part: int, key: bool) -> RtpPacket:
        descriptor = Vp8Descriptor(
            start_of_partition=part == 0,
            picture_id=self.picture,
            tl0_picture_index=self.tl0,
            temporal_layer=0,
        )
        head = b"" if part else key_frame_header(640, 360) if key else b"\x01\0\0"
        body = b"%s %d.%d" % (self.tag, self.picture, part)
        packet = RtpPacket(
            payload_type=self.payload_type,
            sequence_number=self.sequence,
            timestamp=self.timestamp,
            ssrc=self.ssrc,
            payload=build_vp8_descriptor(descriptor) + head + body,
            marker=part == self.parts - 1,
            extensions=self.extensions,
        )
        self.sequence = (self.sequence + 1) & 0xFFFF
        return packet


def layer_cameras(count: int = 3, *, mid: str = "v0") -> list[Camera]:
    """The cameras of ``simulcast(count)``, with random offsets like a browser's."""
    return [
        Camera(
            ssrc=3000 + i,
            extensions={9: mid.encode(), 10: b"r%d" % i},
            sequence=1000 * (i + 1),
            timestamp=123_456_789 * (i + 1),
            picture=1000 * (i + 1),
            tl0=10 * i,
            tag=b"r%d" % i,
        )
        for i in range(count)
    ]


def layers_of(packets: Iterable[RtpPacket]) -> list[bytes]:
    """The tags of the layers, in order, without repetition."""
    found: list[bytes] = []
    for packet in packets:
        data = parse_vp8_untrusted(packet.payload)[1]
        tag = next(t for t in (b"r0", b"r1", b"r2") if t in data)
        if not found or found[-1] != tag:
            found.append(tag)
    return found


def changes_of_ssrc(camera: Camera, count: int) -> list[RtpPacket]:
    """A packet after each of ``count`` changes of SSRC, without a key frame. The last ones have
    sequence numbers that the camera's own first packets had.
    """
    one, other = attrs.evolve(camera, ssrc=5001), attrs.evolve(camera, ssrc=5002)
    for each in (one, other):
        each.sequence = (camera.sequence - 8 - count // 2) & 0xFFFF
        each.parts = 1
    return [(other if i % 2 else one).frame()[0] for i in range(count)]


def sender_report(ssrc: int, ntp: int, rtp_timestamp: int) -> SenderReport:
    return SenderReport(ssrc=ssrc, ntp=ntp, rtp_timestamp=rtp_timestamp, packets=1, octets=1)


def of(packets: Iterable[RtpPacket], ssrc: int) -> list[RtpPacket]:
    return [p for p in packets if p.ssrc == ssrc]

"""Datagrams that go to the kernel together, and come from it together, on real sockets."""

import contextlib
import socket
import struct
from collections.abc import Iterator
from typing import Any

import attrs
import pytest
from support.engine_plain import LOOPBACK
from support.engine_threads import resources, running_engine, wait_event
from support.engine_world import Camera, audio, video, viewed
from support.namespace import open_machine
from support.wire.rtp import RtpPacket, build_rtp, parse_rtp_untrusted

from meet_trio.engine import EncodingSpec, Engine, EngineSettings, StatsReady

UDP_SEGMENT, UDP_GRO = 103, 104
SIZES = (700, 700, 700, 701, 701)  # of the payloads of a frame, as libwebrtc makes them
FRAMES = 20


@attrs.define(eq=False)
class Bench:
    """A camera on plain RTP, and one viewer."""

    engine: Engine
    camera: socket.socket
    viewer: socket.socket
    sent: list[RtpPacket] = attrs.field(factory=list)
    _frames: Camera = attrs.field(factory=lambda: Camera(tag=b"x" * 800, parts=len(SIZES)))

    def send_frame(self, *, joined: bool, behind: bytes = b"") -> None:
        """``joined``: as one message, which the engine's socket receives as one. Its last datagram
        is ``behind``.
        """
        frame = [
            attrs.evolve(p, payload=p.payload[:size])
            for p, size in zip(self._frames.frame(key=not self.sent), SIZES, strict=True)
        ]
        self.sent += frame
        raw = [build_rtp(attrs.evolve(p, padding=max(SIZES) - len(p.payload))) for p in frame]
        if joined:
            length = struct.pack("H", len(raw[0]))
            self.camera.sendmsg([*raw, behind], [(socket.IPPROTO_UDP, UDP_SEGMENT, length)])
            return
        for data in raw:
            self.camera.send(data)

    def receive(self) -> RtpPacket:
        return parse_rtp_untrusted(self.viewer.recv(65536))

    def counters(self) -> dict[str, Any]:
        self.engine.request_stats(1)
        counters: dict[str, Any] = wait_event(self.engine, StatsReady).stats["engine"]
        return counters


def bound(ip: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.settimeout(5)
    sock.bind((ip, 0))
    return sock


def bound_to_all() -> socket.socket:
    """For both IP versions."""
    sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    sock.bind(("::", 0))
    return sock


@contextlib.contextmanager
def open_bench(*, gso: bool = True, ip: str = "127.0.0.1") -> Iterator[Bench]:
    """``ip``: the clients' address. One that begins with ``::ffff:`` is an IPv4 address, and the
    engine's sockets are of both versions.
    """
    mapped = ip.startswith("::ffff:")
    ip = ip.removeprefix("::ffff:")
    with contextlib.ExitStack() as stack:
        engine = running_engine(EngineSettings(gso=gso))
        stack.callback(engine.close)
        camera, camera_rtcp, viewer, viewer_rtcp = (
            stack.enter_context(bound(ip)) for _ in range(4)
        )
        for transport in (1, 2):
            rtp, rtcp = (bound_to_all() if mapped else bound(ip) for _ in range(2))
            if transport == 1:
                camera.connect((ip, rtp.getsockname()[1]))
                camera_rtcp.connect((ip, rtcp.getsockname()[1]))
            engine.add_plain_transport(
                transport, rtp.detach(), rtcp.detach(), (*LOOPBACK, "::1"), transport == 1
            )
        ports = viewer.getsockname()[1], viewer_rtcp.getsockname()[1]
        engine.connect_plain_transport(2, ip, *ports)
        spec = video(encodings=(EncodingSpec(ssrc=1000),), rtx_payload_type=None)
        engine.add_producer(1, 1, spec)
        viewing = viewed(1, rtx_ssrc=None, rtx_payload_type=None, mid="", header_extensions={})
        engine.add_consumer(1, 2, 1, viewing)
        bench = Bench(engine, camera, viewer)
        bench.counters()
        yield bench


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    before = resources()
    yield
    assert resources() == before


def received(*, gso: bool, joined: bool) -> list[tuple[int, int, bool, bytes]]:
    """What the viewer gets: numbers and timestamps from the first ones on."""
    with open_bench(gso=gso) as bench:
        out: list[RtpPacket] = []
        for _ in range(FRAMES):
            bench.send_frame(joined=joined)
            out += [bench.receive() for _ in SIZES]
        assert [p.payload[9:] for p in out] == [p.payload[9:] for p in bench.sent]
        assert bench.counters()["datagrams_refused"] == 0
        first = out[0]
        return [
            (
                p.sequence_number - first.sequence_number & 0xFFFF,
                p.timestamp - first.timestamp & 0xFFFFFFFF,
                p.marker,
                p.payload,
            )
            for p in out
        ]


def test_a_viewer_gets_the_same_with_and_without() -> None:
    alone = received(gso=False, joined=False)
    assert received(gso=True, joined=False) == alone
    assert received(gso=True, joined=True) == alone
    assert received(gso=False, joined=True) == alone


def messages(bench: Bench, count: int = len(SIZES)) -> list[tuple[int, int]]:
    """The lengths of the messages that so many datagrams come in, and those of their datagrams."""
    out: list[tuple[int, int]] = []
    while sum(-(-n // each) for n, each in out) < count:
        data, notes, *_ = bench.viewer.recvmsg(65536, socket.CMSG_SPACE(4))
        each = struct.unpack("i", notes[0][2])[0] if notes else len(data)
        out.append((len(data), each))
    return out


@pytest.mark.parametrize("ip", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
def test_a_frame_leaves_as_one_message(ip: str) -> None:
    """Also because its packets are made equally long."""
    with open_bench(ip=ip) as bench:
        bench.viewer.setsockopt(socket.IPPROTO_UDP, UDP_GRO, 1)
        bench.send_frame(joined=True)
        messages(bench)  # a key frame's first packet is sent alone
        bench.send_frame(joined=True)
        assert messages(bench) == [(5 * 713, 713)]


def test_a_shorter_packet_of_another_stream_leaves_behind_it() -> None:
    with open_bench() as bench:
        bench.engine.add_producer(2, 1, audio())
        hearing = viewed(2, rtx_ssrc=None, rtx_payload_type=None, mid="", header_extensions={})
        bench.engine.add_consumer(2, 2, 2, attrs.evolve(hearing, nack=False))
        bench.counters()
        bench.viewer.setsockopt(socket.IPPROTO_UDP, UDP_GRO, 1)
        microphone = Camera(ssrc=2000, payload_type=111, parts=1, tag=b"z" * 50)
        for _ in range(2):
            sound = build_rtp(microphone.frame()[0])
            bench.send_frame(joined=True, behind=sound)
            came = messages(bench, len(SIZES) + 1)  # at first some are sent alone
        assert came == [(5 * 713 + len(sound), 713)]


def test_it_does_not_where_that_is_switched_off() -> None:
    with open_bench(gso=False) as bench:
        bench.viewer.setsockopt(socket.IPPROTO_UDP, UDP_GRO, 1)
        bench.send_frame(joined=True)
        assert messages(bench) == [(size + 12, size + 12) for size in SIZES]


def test_datagrams_above_the_mtu_arrive() -> None:
    """Neither as one message nor without fragments."""
    with open_machine() as machine:
        with machine.inside():
            stack = contextlib.ExitStack()
            bench = stack.enter_context(open_bench())
        with stack:
            machine.run("link set lo mtu 600")
            for _ in range(3):
                bench.send_frame(joined=False)
                got = [bench.receive() for _ in SIZES]
                assert [len(p.payload) for p in got] == list(SIZES)
            assert bench.counters()["datagrams_refused"] == 0

"""Several engines on real sockets and threads: packets between them, and their ends."""

import itertools
import secrets
import select
import socket
import time
from collections.abc import Iterable, Iterator
from typing import Any

import attrs
import pylibsrtp
import pytest
from pylibsrtp import Policy
from support.engine_threads import resources, running_engine, wait_event
from support.engine_world import PROFILES, Camera, layer_cameras, of, simulcast, video, viewed
from support.indices import Indices
from support.wire.demux import DatagramKind, classify
from support.wire.rtcp import Pli, RtcpPacket, parse_rtcp_untrusted
from support.wire.rtp import RtpPacket, build_rtp, parse_rtp_untrusted
from support.wire.stun import binding_request, build_stun
from support.wire.vp8 import parse_vp8_untrusted

from meet_trio.engine import Engine, ProducerSpec, StatsReady

PROFILE = 0x0007
numbers = itertools.count(1)


@attrs.define(eq=False)
class SocketClient:
    """The far side of one transport, on a socket."""

    engine: Engine
    number: int = attrs.field(factory=lambda: next(numbers))
    sock: socket.socket = attrs.field(init=False)
    tx: pylibsrtp.Session = attrs.field(init=False)
    rx: pylibsrtp.Session = attrs.field(init=False)
    rtp: list[RtpPacket] = attrs.field(factory=list)
    rtcp: list[RtcpPacket] = attrs.field(factory=list)
    indices: Indices = attrs.field(factory=Indices)

    def __attrs_post_init__(self) -> None:
        name, length = PROFILES[PROFILE]
        ours, theirs = secrets.token_bytes(length), secrets.token_bytes(length)
        self.tx = pylibsrtp.Session(
            Policy(key=ours, ssrc_type=Policy.SSRC_ANY_OUTBOUND, srtp_profile=name)
        )
        self.rx = pylibsrtp.Session(
            Policy(key=theirs, ssrc_type=Policy.SSRC_ANY_INBOUND, srtp_profile=name)
        )
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.settimeout(5)
        self.sock.connect(("127.0.0.1", self.engine.port))
        ufrag, password = f"u{self.number}", f"password-of-{self.number}"
        self.engine.add_transport(self.number, ufrag, password)
        request = binding_request(
            remote_ufrag=ufrag, local_ufrag="theirs", tie_breaker=1, nominate=True
        )
        self.sock.send(build_stun(request, password))
        assert classify(self.sock.recv(2048)) is DatagramKind.STUN
        self.engine.set_srtp(self.number, PROFILE, theirs, ours)

    def send(self, *packets: RtpPacket) -> None:
        for packet in packets:
            self.sock.send(self.tx.protect(build_rtp(packet)))

    def receive(self) -> None:
        """Receive the next datagram; fails after a while."""
        data = self.sock.recv(2048)
        match classify(data):
            case DatagramKind.RTP:
                self.indices.rtp(self.number, data)
                self.rtp.append(parse_rtp_untrusted(self.rx.unprotect(data)))
            case DatagramKind.RTCP:
                self.indices.rtcp(self.number, PROFILE, data)
                self.rtcp.extend(parse_rtcp_untrusted(self.rx.unprotect_rtcp(data)))

    def receive_all(self, seconds: float) -> None:
        """Receive until nothing has come for ``seconds``."""
        while select.select([self.sock], [], [], seconds)[0]:
            self.receive()

    def produce(self, spec: ProducerSpec | None = None) -> int:
        producer = next(numbers)
        self.engine.add_producer(producer, self.number, spec or video())
        return producer

    def consume(self, producer: int) -> int:
        """Add a consumer; returns its SSRC."""
        consumer = next(numbers)
        self.engine.add_consumer(consumer, self.number, producer, viewed(consumer))
        return consumer + 50_000

    def close(self) -> None:
        self.sock.close()


@pytest.fixture
def engines() -> Iterator[list[Engine]]:
    engines = [running_engine() for _ in range(3)]
    yield engines
    for engine in engines:
        engine.close()


@pytest.fixture
def clients(engines: list[Engine]) -> Iterator[list[SocketClient]]:
    clients = [SocketClient(engine) for engine in engines]
    yield clients
    for client in clients:
        client.close()


def mirror(producer: int, spec: ProducerSpec, source: Engine, *sinks: Engine) -> None:
    for sink in sinks:
        sink.add_mirror(producer, spec)
        source.relay_producer(producer, sink)


def stats(engine: Engine) -> dict[str, Any]:
    engine.request_stats(1)
    return dict(wait_event(engine, StatsReady).stats)


def test_packets_reach_viewers_of_other_engines(
    engines: list[Engine], clients: list[SocketClient]
) -> None:
    alice, *viewers = clients
    producer = alice.produce()
    mirror(producer, video(), *engines)
    ssrcs = [viewer.consume(producer) for viewer in viewers]
    camera = Camera()
    alice.send(*camera.frame())
    while not any(isinstance(p, Pli) for p in alice.rtcp):
        alice.receive()  # the request for a viewer of another engine
    while not all(of(viewer.rtp, ssrc) for viewer, ssrc in zip(viewers, ssrcs, strict=True)):
        alice.send(*camera.frame(key=True))  # the other engine may have asked later
        for viewer in viewers:
            viewer.receive_all(0.02)
    before = [len(of(viewer.rtp, ssrc)) for viewer, ssrc in zip(viewers, ssrcs, strict=True)]
    for _ in range(20):
        alice.send(*camera.frame())
    for viewer, ssrc, begun in zip(viewers, ssrcs, before, strict=True):
        while len(of(viewer.rtp, ssrc)) < begun + 40:
            viewer.receive()
        first = viewer.rtp[0].sequence_number
        found = [(p.sequence_number - first) & 0xFFFF for p in of(viewer.rtp, ssrc)]
        assert found == list(range(begun + 40))
    # All that crosses is taken; what was sent first may cross only now.
    deadline = time.monotonic() + 10
    crossed, taken = 0, -1
    while taken != crossed:
        assert time.monotonic() < deadline, (crossed, taken)
        crossed = stats(engines[0])["engine"]["relay_packets_out"]
        taken = sum(stats(engine)["engine"]["relay_packets_in"] for engine in engines[1:])
    assert crossed >= sum(before) + 2 * 40


def test_a_sleeping_engine_is_woken(engines: list[Engine], clients: list[SocketClient]) -> None:
    alice, bob, _ = clients
    producer = alice.produce()
    mirror(producer, video(), engines[0], engines[1])
    ssrc = bob.consume(producer)
    camera = Camera(parts=1)
    while not of(bob.rtp, ssrc):
        alice.send(*camera.frame(key=True))
        bob.receive_all(0.02)

    def carry() -> None:
        """Send a frame and receive until it comes."""
        (sent,) = camera.frame()
        alice.send(sent)
        body = parse_vp8_untrusted(sent.payload)[1]
        while parse_vp8_untrusted(bob.rtp[-1].payload)[1] != body:
            bob.receive()

    carry()
    # Without a wake-up an engine looks ten times a second.
    start, rounds = time.monotonic(), 200
    for _ in range(rounds):
        carry()
    assert time.monotonic() - start < rounds * 0.1 / 2


def test_a_command_wakes_a_sleeping_engine(engines: list[Engine]) -> None:
    # Without a wake-up an engine looks ten times a second.
    start, rounds = time.monotonic(), 200
    for _ in range(rounds):
        stats(engines[0])
    assert time.monotonic() - start < rounds * 0.1 / 2


def test_layers_across_engines(engines: list[Engine], clients: list[SocketClient]) -> None:
    alice, bob, _ = clients
    spec = simulcast()
    producer = alice.produce(spec)
    mirror(producer, spec, engines[0], engines[1])
    ssrc = bob.consume(producer)
    engines[1].set_preferred_layers(ssrc - 50_000, 1)
    cameras = layer_cameras()

    def watch(tag: bytes) -> None:
        """Send until a frame of this layer comes."""
        deadline = time.monotonic() + 10
        bob.rtp.clear()
        while not any(tag in p.payload for p in bob.rtp):
            assert time.monotonic() < deadline
            wished = {p.media_ssrc for p in alice.rtcp if isinstance(p, Pli)}
            alice.rtcp.clear()
            for camera in cameras:
                alice.send(*camera.frame(key=camera.ssrc in wished))
            for client in (alice, bob):
                client.receive_all(0.02)

    watch(b"r1")
    engines[1].set_preferred_layers(ssrc - 50_000, 0)
    watch(b"r0")
    engines[1].set_preferred_layers(ssrc - 50_000, 2)
    watch(b"r2")


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_engines_end_in_any_order(order: tuple[int, ...]) -> None:
    before = resources()
    engines = [running_engine() for _ in range(3)]
    clients = [SocketClient(engine) for engine in engines]
    producers = [client.produce() for client in clients]
    for i, j in itertools.permutations(range(3), 2):
        mirror(producers[i], video(), engines[i], engines[j])
        clients[j].consume(producers[i])
    cameras = [Camera() for _ in clients]

    def send(working: Iterable[int]) -> None:
        for _ in range(20):
            for i in working:
                clients[i].send(*cameras[i].frame(key=True))

    deadline = time.monotonic() + 10
    while not all(stats(e)["engine"]["relay_packets_in"] for e in engines):
        assert time.monotonic() < deadline
        send(order)
    for at, gone in enumerate(order):
        working = order[at + 1 :]
        send([gone, *working])
        clients[gone].close()
        engines[gone].close()
        for i in working:  # Python may learn later that the engine has ended
            engines[i].relay_producer(producers[i], engines[gone])
            engines[i].stop_relaying(producers[i], engines[gone])
            engines[gone].relay_producer(producers[gone], engines[i])
            engines[gone].stop_relaying(producers[gone], engines[i])
            engines[i].remove_producer(producers[gone])
        for i in working:
            assert stats(engines[i])["engine"]["mirrors"] == len(working) - 1
    assert resources() == before


def test_what_is_kept_of_an_engine_that_has_ended(engines: list[Engine]) -> None:
    first, second, _ = engines
    client = SocketClient(first)
    producer = client.produce()
    before = resources()
    for _ in range(5):
        engine = running_engine()
        mirror(producer, video(), first, engine)
        mirror(producer, video(), first, second)
        assert str(producer) in stats(engine)["mirrors"]
        engine.close()
    deadline = time.monotonic() + 5
    while resources() != before:
        assert time.monotonic() < deadline
        first.read_events()
        time.sleep(0.01)
    client.close()

"""Plain transports on real sockets: the sockets that datagrams use, and when they close."""

import contextlib
import os
import socket
from collections.abc import Iterator
from typing import Any

import attrs
import pytest
from support.engine_plain import LOOPBACK
from support.engine_threads import resources, running_engine, wait_event
from support.engine_world import audio, video, viewed
from support.wire.rtcp import Pli, ReceiverReport, SenderReport, build_rtcp, parse_rtcp_untrusted
from support.wire.rtp import RtpPacket, build_rtp, parse_rtp_untrusted

from meet_trio.engine import (
    ConsumerSpec,
    EncodingSpec,
    Engine,
    PacketsTraced,
    PlainConnected,
    StatsReady,
    StreamStarted,
)

Pair = tuple[socket.socket, socket.socket]
REPORT = SenderReport(ssrc=2000, ntp=1 << 40, rtp_timestamp=0, packets=1, octets=1)


@attrs.define(eq=False)
class Bench:
    """An engine and clients' sockets, all closed at the end."""

    engine: Engine = attrs.field(factory=lambda: running_engine())
    sockets: contextlib.ExitStack = attrs.field(factory=contextlib.ExitStack)

    def pair(self, ip: str = "127.0.0.1") -> Pair:
        family = socket.AF_INET6 if ":" in ip else socket.AF_INET
        rtp, rtcp = (
            self.sockets.enter_context(socket.socket(family, socket.SOCK_DGRAM)) for _ in range(2)
        )
        for sock in (rtp, rtcp):
            sock.bind((ip, 0))
            sock.settimeout(5)
        return rtp, rtcp

    def add(self, transport: int, *, comedia: bool = False, ip: str = "127.0.0.1") -> Pair:
        """Add a plain transport; returns the client's sockets, connected to it."""
        ours, client = self.pair(ip), self.pair(ip)
        for mine, theirs in zip(client, ours, strict=True):
            mine.connect(theirs.getsockname())
        self.engine.add_plain_transport(
            transport, ours[0].fileno(), ours[1].fileno(), (*LOOPBACK, "::1"), comedia
        )
        for sock in ours:
            sock.detach()
        return client

    def connect(self, transport: int, client: Pair) -> None:
        ip, port = client[0].getsockname()[:2]
        self.engine.connect_plain_transport(transport, ip, port, client[1].getsockname()[1])

    def settle(self) -> dict[str, Any]:
        """Wait until all commands are done; returns the engine's counters."""
        self.engine.request_stats(1)
        counters: dict[str, Any] = wait_event(self.engine, StatsReady).stats["engine"]
        return counters


@pytest.fixture
def bench() -> Iterator[Bench]:
    before = resources()
    bench = Bench()
    yield bench
    bench.engine.close()
    bench.sockets.close()
    assert resources() == before


def consumer(ssrc: int) -> ConsumerSpec:
    """A consumer of a plain viewer: packets without extensions or RTX."""
    return viewed(ssrc - 50_000, rtx_ssrc=None, rtx_payload_type=None, mid="", header_extensions={})


def packet(sequence: int, payload: bytes = b"sound") -> bytes:
    return build_rtp(
        RtpPacket(
            payload_type=111,
            sequence_number=sequence,
            timestamp=960 * sequence,
            ssrc=2000,
            payload=payload,
        )
    )


@pytest.mark.parametrize("ip", ["127.0.0.1", "::1"])
def test_from_one_to_another(bench: Bench, ip: str) -> None:
    alice, bob = bench.add(1, comedia=True, ip=ip), bench.add(2, ip=ip)
    bench.connect(2, bob)
    bench.engine.add_producer(1, 1, audio())
    bench.engine.add_consumer(1, 2, 1, consumer(55_000))
    for i in range(100):
        alice[0].send(packet(i, b"%d" % i))
        got = parse_rtp_untrusted(bob[0].recv(2048))
        assert (got.payload, got.ssrc, got.payload_type) == (b"%d" % i, 55_000, 101)
    connected = wait_event(bench.engine, PlainConnected)
    assert connected.ip == ip
    assert connected.port in (alice[0].getsockname()[1], bob[0].getsockname()[1])
    alice[1].send(build_rtcp([REPORT]))
    assert isinstance(parse_rtcp_untrusted(alice[1].recv(2048))[0], ReceiverReport)
    assert isinstance(parse_rtcp_untrusted(bob[1].recv(2048))[0], SenderReport)


def test_one_socket_for_rtp_and_rtcp(bench: Bench) -> None:
    """A client that multiplexes gets both on its one port."""
    alice, two = bench.add(1, comedia=True), bench.pair()
    client = bench.pair()[0]
    names = [sock.getsockname() for sock in two]
    bench.engine.add_plain_transport(2, two[0].fileno(), two[1].fileno(), LOOPBACK, False)
    for sock in two:
        sock.detach()
    bench.connect(2, (client, client))
    bench.engine.add_producer(1, 1, audio())
    bench.engine.add_consumer(1, 2, 1, consumer(55_000))
    alice[0].send(packet(1, b"sound"))
    data, source = client.recvfrom(2048)
    assert (parse_rtp_untrusted(data).payload, source) == (b"sound", names[0])
    alice[1].send(build_rtcp([REPORT]))
    data, source = client.recvfrom(2048)
    assert isinstance(parse_rtcp_untrusted(data)[0], SenderReport)
    assert source == names[1]


def test_many_transports_at_once(bench: Bench) -> None:
    """Batches of several sockets, in both directions."""
    alice = bench.add(1, comedia=True)
    bench.engine.add_producer(1, 1, audio())
    viewers = [bench.add(10 + i) for i in range(50)]
    for i, viewer in enumerate(viewers):
        bench.connect(10 + i, viewer)
        bench.engine.add_consumer(i, 10 + i, 1, consumer(55_000 + i))
    bench.settle()
    for i in range(20):
        alice[0].send(packet(i, b"%d" % i))
    for i, viewer in enumerate(viewers):
        packets = [parse_rtp_untrusted(viewer[0].recv(2048)) for _ in range(20)]
        assert [p.payload for p in packets] == [b"%d" % k for k in range(20)]
        assert {p.ssrc for p in packets} == {55_000 + i}
    assert bench.settle()["datagrams_refused"] == 0


def test_key_frames_are_asked_for_by_the_rtcp_socket(bench: Bench) -> None:
    alice, bob = bench.add(1, comedia=True), bench.add(2)
    spec = video(encodings=(EncodingSpec(ssrc=2000),), rtx_payload_type=None, payload_type=111)
    bench.engine.add_producer(1, 1, spec)
    alice[1].send(build_rtcp([REPORT]))
    alice[0].send(packet(1))
    wait_event(bench.engine, StreamStarted)
    bench.engine.add_consumer(1, 2, 1, consumer(55_000))
    bench.connect(2, bob)
    while not any(isinstance(p, Pli) for p in parse_rtcp_untrusted(alice[1].recv(2048))):
        pass


def test_ports_are_free_when_a_transport_has_gone(bench: Bench) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for transport in range(1, 200):
        client = bench.add(transport, comedia=True)
        address = client[0].getpeername()
        client[0].send(packet(1))
        bench.engine.remove_transport(transport)
        for sock in client:
            sock.close()
    bench.settle()
    assert len(os.listdir("/proc/self/fd")) == before
    with socket.socket(type=socket.SOCK_DGRAM) as again:
        again.bind(address)


def test_sockets_that_nobody_took_are_closed() -> None:
    """The transports live when the engine ends, wait in a command, or come after the end. A call
    that raises leaves the sockets to the caller.
    """
    before = resources()
    bench = Bench()
    for transport in range(1, 50):
        bench.add(transport)
    bench.engine.close()
    bench.add(99)
    rtp, rtcp = bench.pair()
    with pytest.raises(ValueError, match="17 networks"):
        bench.engine.add_plain_transport(100, rtp.fileno(), rtcp.fileno(), ["127.0.0.1"] * 17, True)
    rtp.getsockname()
    bench.sockets.close()
    assert resources() == before


def test_what_is_no_socket_and_what_is_there_already(bench: Bench) -> None:
    """They are closed at once; the transport that has the number goes on."""
    alice = bench.add(1, comedia=True)
    bench.engine.add_producer(1, 1, audio())
    before = len(os.listdir("/proc/self/fd"))
    read, write = os.pipe()
    bench.engine.add_plain_transport(2, read, write, LOOPBACK, True)
    other = bench.add(1)
    bench.settle()
    assert len(os.listdir("/proc/self/fd")) == before + len(other)
    alice[0].send(packet(1))
    assert wait_event(bench.engine, StreamStarted).ssrc == 2000


def test_an_ipv4_socket_has_no_way_to_ipv6(bench: Bench) -> None:
    """The first bytes of such an address are somebody's IPv4 address: nothing goes there."""
    with socket.socket(type=socket.SOCK_DGRAM) as victim:
        victim.bind(("127.0.0.1", 0))
        victim.settimeout(0.3)
        alice = bench.add(1, comedia=True)
        rtp, rtcp = bench.pair()
        bench.engine.add_plain_transport(2, rtp.detach(), rtcp.detach(), ["7f00:1::/32"], False)
        port = victim.getsockname()[1]
        bench.engine.connect_plain_transport(2, "7f00:1::", port, port)
        bench.engine.add_producer(1, 1, audio())
        bench.engine.add_consumer(1, 2, 1, consumer(55_000))
        for i in range(5):
            alice[0].send(packet(i))
        wait_event(bench.engine, StreamStarted)
        counters = bench.settle()
        assert counters["datagrams_refused"] == counters["rtp_forwarded"] > 0
        with pytest.raises(TimeoutError):
            victim.recv(2048)


def test_traces_leave_room_for_other_events(bench: Bench) -> None:
    """If nobody reads, packets of the trace are lost, and neither media nor other events."""
    alice, bob = bench.add(1, comedia=True), bench.add(2)
    bench.connect(2, bob)
    bench.engine.add_producer(1, 1, audio())
    bench.engine.add_consumer(1, 2, 1, consumer(55_000))
    bench.engine.trace_transport(1, True)
    for number in range(1500):
        alice[0].send(packet(number, bytes(1200)))
        bob[0].recv(2048)
    events = bench.engine.read_events()
    waited = [event for event in events if isinstance(event, PacketsTraced)]
    assert 16 <= len(waited) <= 18  # TRACED_SLOTS, and what came while they were read
    assert sum(len(list(event)) for event in waited) < 1500
    assert {PlainConnected, StreamStarted} <= {type(event) for event in events}
    alice[0].send(packet(1500))
    while wait_event(bench.engine, PacketsTraced).lost == 0:
        pass

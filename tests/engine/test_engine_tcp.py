"""ICE-TCP on real sockets: frames, media, moves between UDP and TCP."""

import random
import socket
import struct
from collections.abc import Iterator

import pytest
from support.engine_tcp import EngineEvents, EngineSocket, frame, wait_until
from support.engine_threads import running_engine
from support.engine_world import Camera, video, viewed
from support.wire.rtcp import Pli
from support.wire.rtp import RtpPacket
from support.wire.stun import (
    XOR_MAPPED_ADDRESS,
    parse_stun_untrusted,
    parse_xor_address_untrusted,
)

from meet_trio.engine import DtlsDatagram, Engine, EngineSettings, IceConnected, IceMoved

SEND_BUFFER = 64 * 1024


@pytest.fixture
def engine() -> Iterator[Engine]:
    settings = EngineSettings(listen_ips=("127.0.0.1", "::1"), tcp_send_buffer=SEND_BUFFER)
    engine = running_engine(settings)
    yield engine
    engine.close()


@pytest.fixture
def events(engine: Engine) -> EngineEvents:
    return EngineEvents(engine)


def publish(client: EngineSocket, producer: int = 1) -> None:
    client.add()
    client.check()
    client.set_keys()
    client.engine.add_producer(producer, client.number, video())


def view(client: EngineSocket, producer: int = 1) -> None:
    client.add()
    client.check()
    client.set_keys()
    client.engine.add_consumer(client.number, client.number, producer, viewed(client.number))
    EngineEvents(client.engine).figures()  # the answer to this comes after the commands are applied


def receive_frames(client: EngineSocket, count: int) -> list[RtpPacket]:
    return [client.receive_rtp() for _ in range(count * 2)]


@pytest.mark.parametrize("ip", ["127.0.0.1", "::1"])
def test_ice_and_dtls_both_ways(engine: Engine, events: EngineEvents, ip: str) -> None:
    with EngineSocket.tcp(engine, 7, ip) as client:
        client.add()
        client.send(client.request())
        answer = parse_stun_untrusted(client.receive())
        mapped = dict(answer.attributes)[XOR_MAPPED_ADDRESS]
        assert parse_xor_address_untrusted(mapped, answer.transaction_id) == client.address
        assert events.next(IceConnected) == IceConnected(7, *client.address)
        client.send(b"\x16hello")
        assert events.next(DtlsDatagram) == DtlsDatagram(7, b"\x16hello")
        engine.send_dtls(7, b"\x16" + bytes(2000))
        assert client.receive() == b"\x16" + bytes(2000)
        stats = events.figures()
        assert stats["transports"]["7"]["protocol"] == "tcp"
        assert stats["transports"]["7"]["address"] == list(client.address)
        assert (stats["engine"]["tcp_connections"], stats["engine"]["tcp_strangers"]) == (1, 0)


def test_frames_are_cut_anywhere(engine: Engine, events: EngineEvents) -> None:
    with EngineSocket.tcp(engine, 7) as client:
        client.add()
        for byte in frame(client.request()):
            client.sock.sendall(bytes([byte]))
        assert client.receive()
        texts = [b"\x16%d " % i + bytes(i * 97) for i in range(20)]
        stream = b"".join(map(frame, texts))
        randomness = random.Random(1)
        while stream:
            size = randomness.choice([1, 2, 3, 50, 1000, 5000])
            client.sock.sendall(stream[:size])
            stream = stream[size:]
        assert [events.next(DtlsDatagram).data for _ in texts] == texts


def test_media_from_tcp_to_tcp_and_udp(engine: Engine) -> None:
    camera = Camera()
    with (
        EngineSocket.tcp(engine, 1) as alice,
        EngineSocket.tcp(engine, 2) as bob,
        EngineSocket.tcp(engine, 3, "::1") as carol,
        EngineSocket.udp(engine, 4) as dave,
        EngineSocket.udp(engine, 5, "::1") as eve,
    ):
        publish(alice)
        for viewer in (bob, carol, dave, eve):
            view(viewer)
        for i in range(30):
            alice.send_rtp(*camera.frame(key=i == 0))
        for viewer in (bob, carol, dave, eve):
            came = receive_frames(viewer, 30)
            assert {p.ssrc for p in came} == {50_000 + viewer.number}
            first = came[0].sequence_number
            assert [p.sequence_number for p in came] == [first + i for i in range(60)]


def test_media_from_udp_to_tcp(engine: Engine) -> None:
    camera = Camera()
    with EngineSocket.udp(engine, 1) as alice, EngineSocket.tcp(engine, 2) as bob:
        publish(alice)
        view(bob)
        alice.send_rtp(*camera.frame(key=True), *camera.frame())
        assert len(receive_frames(bob, 2)) == 4


def test_a_slow_receiver_loses_packets_and_nobody_else(
    engine: Engine, events: EngineEvents
) -> None:
    camera = Camera(tag=b"x" * 1000)
    with (
        EngineSocket.udp(engine, 1) as alice,
        EngineSocket.tcp(engine, 2, buffer=4096) as slow,
        EngineSocket.tcp(engine, 3) as quick,
    ):
        publish(alice)
        view(slow)
        view(quick)
        frames = 0
        while events.counter("tcp_datagrams_dropped") < 100:
            alice.send_rtp(*camera.frame(key=frames == 0))
            frames += 1
            receive_frames(quick, 1)
            assert frames < 10_000, "everything finds room"
        stats = events.figures()
        assert stats["engine"]["tcp_connections"] == 2
        # It reads again: first the packets that waited, then a gap, then new packets.
        before = slow.receive_rtp()
        lost = 0
        while not lost:
            alice.send_rtp(*camera.frame())
            frames += 1
            after = slow.receive_rtp()
            lost = (after.sequence_number - before.sequence_number) % 65536 - 1
            before = after
        assert lost >= 90
        slow.send_rtcp(Pli(sender_ssrc=1, media_ssrc=50_002))
        wait_until(lambda: events.figures()["consumers"]["2"]["pliCount"] == 1)
        alice.send_rtp(*camera.frame(key=True))
        while b"\x9d\x01\x2a" not in slow.receive_rtp().payload[:20]:
            pass


def test_a_reset_in_the_middle_of_a_frame(engine: Engine, events: EngineEvents) -> None:
    with EngineSocket.tcp(engine, 7) as client, EngineSocket.tcp(engine, 7) as again:
        client.add()
        client.check()
        assert events.next(IceConnected).port == client.address[1]
        client.sock.sendall(frame(b"\x16" + bytes(500))[:100])
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.sock.close()
        wait_until(lambda: events.counter("tcp_connections") == 1)
        assert events.figures()["transports"]["7"]["address"] is None
        engine.send_dtls(7, b"\x16lost")
        # The transport lives on; no nomination is needed.
        again.check(nominate=False)
        assert events.next(IceMoved) == IceMoved(7, *again.address)
        engine.send_dtls(7, b"\x16hello")
        assert again.receive() == b"\x16hello"


def test_from_udp_to_tcp_and_back(engine: Engine, events: EngineEvents) -> None:
    with EngineSocket.udp(engine, 7) as udp, EngineSocket.tcp(engine, 7) as tcp:
        udp.add()
        udp.check()
        assert events.next(IceConnected).port == udp.address[1]
        tcp.check(nominate=False)
        engine.send_dtls(7, b"\x16by UDP")
        assert udp.receive() == b"\x16by UDP"
        tcp.check(nominate=True)
        assert events.next(IceMoved) == IceMoved(7, *tcp.address)
        engine.send_dtls(7, b"\x16by TCP")
        assert tcp.receive() == b"\x16by TCP"
        udp.check(nominate=True)
        assert events.next(IceMoved) == IceMoved(7, *udp.address)
        tcp.check(nominate=True)
        assert events.next(IceMoved) == IceMoved(7, *tcp.address)
        tcp.sock.close()  # the remaining path takes over
        assert events.next(IceMoved) == IceMoved(7, *udp.address)
        engine.send_dtls(7, b"\x16by UDP again")
        assert udp.receive() == b"\x16by UDP again"


def test_a_connection_ends_with_its_transport(engine: Engine, events: EngineEvents) -> None:
    with EngineSocket.tcp(engine, 7) as client:
        client.add()
        client.check()
        engine.send_dtls(7, b"\x15goodbye")
        engine.remove_transport(7)
        assert client.receive() == b"\x15goodbye"
        assert client.is_closed()
        assert events.counter("tcp_connections") == 0


def test_closing_an_engine_ends_connections(engine: Engine) -> None:
    with EngineSocket.tcp(engine, 7) as client, EngineSocket.tcp(engine, 8) as stranger:
        client.add()
        client.check()
        engine.close()
        assert client.is_closed()
        assert stranger.is_closed()

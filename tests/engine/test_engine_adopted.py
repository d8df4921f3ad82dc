"""Engines that begin held, and engines that take over the sockets of an earlier one."""

import os
import select
import socket
import struct
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import pytest
from support.engine_threads import PASSWORD, UFRAG, resources, wait_event
from support.wire.stun import BINDING_SUCCESS, binding_request, build_stun, parse_stun_untrusted

from meet_trio.engine import (
    DtlsDatagram,
    Engine,
    EngineEvent,
    EngineSettings,
    IceConnected,
    IceSilent,
    StatsReady,
)

RING = 4096
LOCAL = ("127.0.0.1",)
Pair = tuple[int, int]


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    before = resources()
    yield
    assert resources() == before


@pytest.fixture
def client() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        yield sock


def check() -> bytes:
    request = binding_request(
        remote_ufrag=UFRAG, local_ufrag="theirs", tie_breaker=1, nominate=True
    )
    return build_stun(request, PASSWORD)


def answered(sock: socket.socket) -> bool:
    return parse_stun_untrusted(sock.recv(2048)).message_type == BINDING_SUCCESS


def events_until(engine: Engine, kind: type[EngineEvent], count: int) -> list[Any]:
    """All events up to the one that makes ``count`` of ``kind``."""
    heard: list[Any] = []
    while sum(isinstance(event, kind) for event in heard) < count:
        assert select.select([engine.event_fd], [], [], 5)[0]
        heard += engine.read_events()
    return heard


def hand_over(settings: EngineSettings) -> tuple[EngineSettings, list[Pair]]:
    """What an engine that has ended leaves: its port, and duplicates of its sockets."""
    engine = Engine(settings)
    try:
        kept = [(os.dup(udp), os.dup(tcp)) for udp, tcp in engine.sockets]
        return attrs.evolve(settings, port=engine.port), kept
    finally:
        engine.close()


def test_a_held_engine_reads_nothing_until_it_has_all_commands(client: socket.socket) -> None:
    engine = Engine(EngineSettings(listen_ips=LOCAL))
    try:
        client.connect(("127.0.0.1", engine.port))
        client.send(check())
        client.send(b"\x16hello")
        for number in range(1, 3 * RING):
            engine.add_transport(number, f"{UFRAG}-{number}", PASSWORD)
        engine.request_stats(1)
        assert not select.select([client], [], [], 0.3)[0]
        assert engine.read_events() == []
        while engine.waiting:  # for room in the ring
            assert select.select([engine.event_fd], [], [], 5)[0]
            assert engine.read_events() == []
        engine.add_transport(3 * RING, UFRAG, PASSWORD)
        engine.begin()
        assert answered(client)
        engine.begin()  # once more does nothing
        engine.request_stats(2)
        heard = events_until(engine, StatsReady, 2)
        assert IceConnected(3 * RING, *client.getsockname()) in heard
        assert DtlsDatagram(3 * RING, b"\x16hello") in heard
        counters = heard[-1].stats["engine"]
        assert counters["commands"] == 3 * RING + 4
        assert counters["dropped_stun_unknown_ufrag"] == 0
    finally:
        engine.close()


def test_a_held_engine_sleeps_and_ends() -> None:
    engine, other = Engine(EngineSettings()), Engine(EngineSettings())
    try:
        engine.relay_producer(1, other)  # nothing that the other engine puts into the link wakes it
        engine.begin()
        other.request_stats(1)
        assert not select.select([other.event_fd], [], [], 0.5)[0]
        other.begin()
        assert wait_event(other, StatsReady).stats["engine"]["turns"] < 20
    finally:
        engine.close()
        other.close()


@pytest.mark.parametrize("ips", [LOCAL, ("::",), ("0.0.0.0", "::"), ("::1", "127.0.0.1")])
def test_what_came_between_two_engines_is_served_by_the_second(
    ips: tuple[str, ...], client: socket.socket
) -> None:
    settings, kept = hand_over(EngineSettings(listen_ips=ips))
    client.connect(("127.0.0.1", settings.port))
    client.send(check())
    with socket.create_connection(("127.0.0.1", settings.port), 5) as stream:
        request = check()
        stream.sendall(struct.pack("!H", len(request)) + request)
        engine = Engine(settings, kept)
        try:
            assert engine.sockets == tuple(kept)
            assert engine.port == settings.port
            engine.add_transport(1, UFRAG, PASSWORD)
            engine.begin()
            assert answered(client)
            assert stream.recv(2048)[2:4] == BINDING_SUCCESS.to_bytes(2, "big")
        finally:
            engine.close()


@pytest.mark.parametrize("blob", [None, b"no blob"])
def test_a_transport_with_keys_that_goes_on_from_nothing_is_told_to_be_silent(
    blob: bytes | None, client: socket.socket
) -> None:
    engine = Engine(EngineSettings(listen_ips=LOCAL))
    try:
        client.connect(("127.0.0.1", engine.port))
        engine.add_transport(1, UFRAG, PASSWORD)
        engine.set_srtp(1, 0x0007, bytes(28), bytes(28))
        if blob is not None:
            engine.resume_transport(1, blob)
        client.send(check())
        engine.begin()
        assert wait_event(engine, IceSilent) == IceSilent(1)
        assert not select.select([client], [], [], 0.3)[0]
    finally:
        engine.close()


def test_any_port_will_do_if_none_is_set() -> None:
    settings, kept = hand_over(EngineSettings(listen_ips=LOCAL))
    engine = Engine(attrs.evolve(settings, port=0), kept)
    try:
        assert engine.port == settings.port
    finally:
        engine.close()


def _udp(ip: str = "127.0.0.1", port: int = 0) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((ip, port))
    return sock


def _connected() -> socket.socket:
    sock = _udp()
    sock.connect(("127.0.0.1", 9))
    return sock


def _unbound() -> socket.socket:
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)


def _not_listening() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.bind(("127.0.0.1", 0))
    return sock


def _of_unix() -> socket.socket:
    return socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)


def _of_six() -> socket.socket:
    sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    sock.bind(("::ffff:127.0.0.1", 0))
    return sock


@pytest.mark.parametrize(
    ("place", "other"),
    [
        (0, _udp),  # another port than the TCP socket has
        (0, lambda: _udp("127.0.0.2")),
        (0, _unbound),
        (0, _not_listening),
        (0, _of_unix),
        (0, _of_six),
        (1, _not_listening),
        (1, lambda: socket.create_server(("127.0.0.1", 0))),
        (1, _udp),
    ],
)
def test_a_socket_that_is_not_the_engines_is_refused(
    place: int, other: Callable[[], socket.socket]
) -> None:
    settings, [pair] = hand_over(EngineSettings(listen_ips=LOCAL))
    with other() as wrong:
        offered = [pair[0], pair[1]]
        offered[place] = wrong.fileno()
        with pytest.raises(ValueError, match=r"sockets: the one for (UDP|TCP) 127\.0\.0\.1"):
            Engine(settings, [(offered[0], offered[1])])
        wrong.getsockname()  # it is the caller's
    for fd in pair:
        os.close(fd)


def test_a_connected_socket_is_refused() -> None:
    with _connected() as wrong:
        port = wrong.getsockname()[1]
        with socket.create_server(("127.0.0.1", port)) as tcp:
            settings = EngineSettings(listen_ips=LOCAL, port=port)
            with pytest.raises(ValueError, match="sockets: the one for UDP"):
                Engine(settings, [(wrong.fileno(), tcp.fileno())])


def test_sockets_that_do_not_fit_the_settings_are_refused() -> None:
    settings, kept = hand_over(EngineSettings(listen_ips=("0.0.0.0", "::")))
    with pytest.raises(ValueError, match="sockets: 1 pairs for 2 addresses"):
        Engine(settings, kept[:1])
    with pytest.raises(ValueError, match="sockets: the one for UDP"):
        Engine(settings, kept[::-1])
    alone = attrs.evolve(settings, listen_ips=("::",))  # would have to accept IPv4 too
    with pytest.raises(ValueError, match="sockets: the one for UDP ::"):
        Engine(alone, kept[1:])
    for fd in (fd for pair in kept for fd in pair):
        os.close(fd)
    with pytest.raises(OSError, match="Bad file descriptor"):
        Engine(settings, kept)

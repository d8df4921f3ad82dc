"""The engine's thread on real sockets: opening and closing, events, commands, a datagram's path."""

import select
import socket
import time
from collections.abc import Iterator

import pytest
from support.engine_threads import PASSWORD, UFRAG, resources, running_engine, wait_event
from support.stalled_engine import stalled
from support.wire.stun import (
    BINDING_SUCCESS,
    XOR_MAPPED_ADDRESS,
    binding_request,
    build_stun,
    parse_stun_untrusted,
    parse_xor_address_untrusted,
)

from meet_trio.engine import (
    DtlsDatagram,
    Engine,
    EngineSettings,
    IceConnected,
    StatsReady,
)


@pytest.fixture
def engine() -> Iterator[Engine]:
    before = resources()
    engine = running_engine()
    yield engine
    engine.close()
    engine.close()
    assert resources() == before


@pytest.fixture
def client(engine: Engine) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        sock.connect(("127.0.0.1", engine.port))
        yield sock


def check(sock: socket.socket) -> None:
    request = binding_request(
        remote_ufrag=UFRAG, local_ufrag="theirs", tie_breaker=1, nominate=True
    )
    sock.send(build_stun(request, PASSWORD))
    answer = parse_stun_untrusted(sock.recv(2048))
    assert answer.message_type == BINDING_SUCCESS
    assert answer.transaction_id == request.transaction_id
    mapped = dict(answer.attributes)[XOR_MAPPED_ADDRESS]
    address = parse_xor_address_untrusted(mapped, answer.transaction_id)
    assert address == sock.getsockname()[:2]


def test_ice_and_dtls_over_the_socket(engine: Engine, client: socket.socket) -> None:
    engine.add_transport(7, UFRAG, PASSWORD)
    check(client)
    assert wait_event(engine, IceConnected) == IceConnected(7, *client.getsockname())
    client.send(b"\x16hello")
    assert wait_event(engine, DtlsDatagram) == DtlsDatagram(7, b"\x16hello")
    engine.send_dtls(7, b"\x16" + bytes(1400))
    assert client.recv(2048) == b"\x16" + bytes(1400)


@pytest.mark.parametrize("ips", [("::",), ("0.0.0.0", "::"), ("::1", "127.0.0.1")])
def test_dual_stack(ips: tuple[str, ...]) -> None:
    engine = running_engine(EngineSettings(listen_ips=ips))
    try:
        assert engine.ips == ips
        engine.add_transport(1, UFRAG, PASSWORD)
        for family, ip in ((socket.AF_INET6, "::1"), (socket.AF_INET, "127.0.0.1")):
            with socket.socket(family, socket.SOCK_DGRAM) as sock:
                sock.settimeout(5)
                sock.connect((ip, engine.port))
                check(sock)
    finally:
        engine.close()


def test_a_port_in_use_is_named() -> None:
    before = resources()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"UDP 127.0.0.1:{port}"):
            running_engine(EngineSettings(port=port))
    with pytest.raises(OSError, match=r"UDP 192\.0\.2\.1:0"):
        running_engine(EngineSettings(listen_ips=("127.0.0.1", "192.0.2.1")))
    assert resources() == before


def test_addresses_that_cannot_be_are_refused() -> None:
    for ips in ((), ("nonsense",), ("fe80::1%" + "e" * 60,), ("127.0.0.1",) * 17):
        with pytest.raises(ValueError, match=r"listen_ips|nonsense"):
            running_engine(EngineSettings(listen_ips=ips))


def test_opened_and_closed_many_times_nothing_is_left() -> None:
    before = resources()
    for _ in range(20):
        engine = running_engine()
        engine.add_transport(1, UFRAG, PASSWORD)
        engine.send_dtls(1, b"\x16never sent")
        engine.request_stats(1)  # the answer is not read
        engine.close()
    assert resources() == before


def test_dropping_it_closes_it() -> None:
    before = resources()
    engine = running_engine()
    assert resources() != before
    del engine
    assert resources() == before


def test_after_close_commands_do_nothing_and_the_rest_says_so() -> None:
    engine = running_engine()
    engine.close()
    engine.remove_transport(1)
    engine.send_dtls(1, b"\x16x")
    with pytest.raises(ValueError, match="closed"):
        engine.read_events()


def test_the_event_fd_is_readable_only_while_events_wait(
    engine: Engine, client: socket.socket
) -> None:
    assert select.select([engine.event_fd], [], [], 0)[0] == []
    engine.add_transport(1, UFRAG, PASSWORD)
    for number in range(5):
        engine.request_stats(number)
    tokens: list[int] = []
    while len(tokens) < 5:
        assert select.select([engine.event_fd], [], [], 5)[0]
        tokens += [e.token for e in engine.read_events() if isinstance(e, StatsReady)]
    assert tokens == list(range(5))
    assert engine.read_events() == []
    assert select.select([engine.event_fd], [], [], 0.2)[0] == []


def test_turns_and_the_time_in_them_are_counted(engine: Engine) -> None:
    engine.request_stats(1)
    quiet = wait_event(engine, StatsReady).stats["engine"]
    with stalled(engine):
        from_here = time.monotonic()
        time.sleep(0.05)
        stood_still = (time.monotonic() - from_here) * 1e6
    engine.request_stats(2)  # it may be taken in the turn that stood still, which is not over then
    wait_event(engine, StatsReady)
    engine.request_stats(3)
    figures = wait_event(engine, StatsReady).stats["engine"]
    assert figures["turns"] > quiet["turns"]
    assert figures["longest_turn_us"] >= stood_still
    assert figures["longest_recent_turn_us"] == figures["longest_turn_us"]
    assert figures["busy_us"] >= quiet["busy_us"] + stood_still

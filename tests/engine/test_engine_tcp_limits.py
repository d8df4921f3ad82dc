"""Limits for strangers at the engine's TCP port: they get little, and not for long."""

import os
import resource
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from support.engine_tcp import EngineEvents, EngineSocket, frame, wait_until
from support.engine_threads import running_engine

from meet_trio.engine import Engine, EngineSettings, IceConnected

LONG = 600.0


@contextmanager
def engine_with(
    *,
    connections: int = 100,
    strangers: int = 100,
    per_address: int = 100,
    timeout: float = LONG,
    ips: tuple[str, ...] = ("127.0.0.1",),
) -> Iterator[tuple[Engine, EngineEvents]]:
    engine = running_engine(
        EngineSettings(
            listen_ips=ips,
            max_tcp_connections=connections,
            max_tcp_strangers=strangers,
            max_tcp_strangers_per_address=per_address,
            tcp_stranger_timeout=timeout,
        )
    )
    try:
        yield engine, EngineEvents(engine)
    finally:
        engine.close()


def connect(engine: Engine, number: int, stack: ExitStack, ip: str = "127.0.0.1") -> EngineSocket:
    return stack.enter_context(EngineSocket.tcp(engine, number, ip))


def engine_cpu_seconds() -> float:
    """CPU seconds of this process's other threads so far; needs no descriptor."""
    return time.process_time() - time.thread_time()


def is_open(client: EngineSocket) -> bool:
    client.check()
    return True


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\0\0", id="empty"),
        pytest.param(b"\x08\x01", id="too long"),
        pytest.param(frame(b"\x16\xfe\xfd" + bytes(50)), id="DTLS"),
        pytest.param(frame(b"\x80\x60" + bytes(50)), id="RTP"),
        pytest.param(frame(b"\0\1\0\0" + bytes(16)), id="STUN without its cookie"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: media.example\r\n\r\n", id="HTTP"),
        pytest.param(b"\x16\x03\x01\x02\0\1\0\1\xfc\3\3" + bytes(500), id="TLS"),
    ],
)
def test_who_does_not_begin_with_stun_is_sent_away(data: bytes) -> None:
    with engine_with() as (engine, events), ExitStack() as stack:
        client = connect(engine, 1, stack)
        client.sock.sendall(data)
        assert client.is_closed()
        assert events.counter("tcp_bad_frames") == 1
        assert events.counter("tcp_connections") == 0


@pytest.mark.parametrize("data", [b"\0\0", b"\x08\x01", b"\xff\xff"])
def test_a_known_client_that_breaks_the_framing_is_sent_away(data: bytes) -> None:
    with engine_with() as (engine, events), ExitStack() as stack:
        client = connect(engine, 1, stack)
        client.add()
        client.check()
        client.send(b"\x80rubbish in a frame is no reason")
        client.check()
        client.sock.sendall(data)
        assert client.is_closed()
        assert events.counter("tcp_bad_frames") == 1


def test_strangers_are_sent_away_in_time() -> None:
    with engine_with(timeout=0.5) as (engine, events), ExitStack() as stack:
        silent, slow, wrong, known = (connect(engine, i, stack) for i in range(4))
        known.add()
        known.check()
        wrong.add()
        start = time.monotonic()
        dripping = iter(frame(silent.request()))
        while events.counter("tcp_strangers_timed_out") < 3:
            try:
                slow.sock.sendall(bytes([next(dripping)]))  # the frame is never complete in time
                wrong.send(wrong.request(password="a guess"))
            except ConnectionError:
                pass
            assert time.monotonic() < start + 5
            time.sleep(0.05)
        assert time.monotonic() > start + 0.4
        assert silent.is_closed()
        assert slow.is_closed()
        assert wrong.is_closed()
        assert is_open(known)


def test_of_too_many_strangers_the_oldest_goes() -> None:
    with engine_with(strangers=3) as (engine, events), ExitStack() as stack:
        known = connect(engine, 1, stack)
        known.add()
        known.check()
        strangers = [connect(engine, i, stack) for i in range(10, 15)]
        wait_until(lambda: events.counter("tcp_accepted") == 6)
        assert strangers[0].is_closed()
        assert strangers[1].is_closed()
        assert events.counter("tcp_strangers") == 3
        assert events.counter("tcp_strangers_displaced") == 2
        for client in strangers[2:]:
            client.add()
            assert is_open(client)
        assert is_open(known)
        assert events.counter("tcp_strangers") == 0


def test_one_address_has_its_own_number_of_strangers() -> None:
    ips = ("127.0.0.1", "::1")
    with engine_with(per_address=2, ips=ips) as (engine, events), ExitStack() as stack:
        other = connect(engine, 1, stack, "::1")  # the oldest of all
        wait_until(lambda: events.counter("tcp_accepted") == 1)
        flood = [connect(engine, i, stack) for i in range(2, 22)]
        wait_until(lambda: events.counter("tcp_accepted") == 21)
        assert all(client.is_closed() for client in flood[:-2])
        assert events.counter("tcp_strangers") == 3
        for client in (other, *flood[-2:]):
            client.add()
            assert is_open(client)


def test_connections_in_all() -> None:
    with engine_with(connections=3) as (engine, events), ExitStack() as stack:
        known = [connect(engine, i, stack) for i in range(2)]
        for client in known:
            client.add()
            client.check()
        stranger, another = connect(engine, 5, stack), connect(engine, 6, stack)
        assert stranger.is_closed()  # it made room
        another.add()
        another.check()
        refused = connect(engine, 7, stack)
        assert refused.is_closed()
        assert events.counter("tcp_refused") == 1
        assert all(map(is_open, [*known, another]))
        another.sock.close()
        wait_until(lambda: events.counter("tcp_connections") == 2)
        refused = connect(engine, 7, stack)
        refused.add()
        assert is_open(refused)


def test_one_transport_has_few_connections() -> None:
    with engine_with() as (engine, events), ExitStack() as stack:
        clients = [connect(engine, 1, stack) for _ in range(20)]
        clients[0].add()
        for client in clients:
            client.check(nominate=client is clients[0])
        wait_until(lambda: events.counter("tcp_connections") == 8)
        assert clients[1].is_closed()
        assert is_open(clients[0])
        assert is_open(clients[-1])


def test_no_connections_at_all() -> None:
    with engine_with(connections=0) as (engine, _), ExitStack() as stack:
        assert connect(engine, 1, stack).is_closed()


def test_without_descriptors_the_engine_waits_and_does_not_spin() -> None:
    """Connections wait in the kernel until there are descriptors again."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with engine_with() as (engine, events), ExitStack() as stack:
        known = connect(engine, 1, stack)
        known.add()
        known.check()
        assert events.next(IceConnected)
        waiting = stack.enter_context(EngineSocket.unconnected(engine, 2))
        waiting.add()
        highest = max(map(int, os.listdir("/proc/self/fd")))
        start = time.monotonic()
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest, hard))
        fillers = []
        while True:  # also descriptors below the limit
            try:
                fillers.append(os.dup(0))
            except OSError:
                break
        waiting.sock.connect(("127.0.0.1", engine.port))
        waiting.send(waiting.request())
        wait_until(lambda: events.counter("tcp_accept_pauses") >= 1)
        used, since = engine_cpu_seconds(), time.monotonic()
        wait_until(lambda: events.counter("tcp_accept_pauses") >= 4)
        assert engine_cpu_seconds() - used < (time.monotonic() - since) / 4
        assert events.counter("tcp_accepted") == 1
        assert is_open(known)
        assert events.counter("tcp_accept_pauses") <= (time.monotonic() - start) / 0.25 + 1
        for fd in fillers:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert waiting.receive()  # the answer to its check
        assert events.counter("tcp_accepted") == 2

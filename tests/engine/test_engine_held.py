"""Engines that are held after they have begun, and go on, here or in another engine."""

import os
import select
import socket
import struct
import time
from collections.abc import Iterator

import attrs
import pytest
from support.engine_killed import (
    ALICE,
    LOCAL,
    NAMES,
    PASSWORD,
    PRODUCER,
    Publisher,
    Viewer,
    furnish,
)
from support.engine_threads import resources, wait_event
from support.engine_world import Camera
from support.wire.stun import binding_request, build_stun

from meet_trio.engine import (
    DtlsDatagram,
    Engine,
    EngineHeld,
    EngineSettings,
    Kept,
    StatsReady,
    read_kept,
)

NOTHING = Kept(0, {}, {}, {}, [])


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    before = resources()
    yield
    assert resources() == before


@attrs.define(eq=False)
class Stage:
    """An engine with a region, Alice, who sends, and Bob, who receives."""

    engine: Engine
    file: int
    alice: Publisher
    bob: Viewer
    camera: Camera = attrs.field(factory=lambda: Camera(parts=4))
    held: int = 0

    def hold(self) -> Kept:
        """What the engine has kept when it is held."""
        self.held += 1
        self.engine.hold(self.held)
        assert wait_event(self.engine, EngineHeld).token == self.held
        return read_kept(self.file)

    def shoot(self, frames: int = 1, *, key: bool = False) -> None:
        for i in range(frames):
            self.alice.send(self.camera.frame(key=key and not i))

    def seen(self, count: int) -> bool:
        """Whether Bob gets so many packets in all, and no more."""
        deadline = time.monotonic() + 10
        while len(self.bob.packets) < count and time.monotonic() < deadline:
            self.bob.receive(0.1)
        self.bob.receive(0.2)
        return len(self.bob.packets) == count

    def numbers_are_whole(self) -> bool:
        first = self.bob.packets[0].sequence_number
        numbers = [(p.sequence_number - first) & 0xFFFF for p in self.bob.packets]
        return numbers == list(range(len(numbers)))


@pytest.fixture
def stage() -> Iterator[Stage]:
    file = os.memfd_create("region")
    engine = Engine(LOCAL, region_fd=file)
    alice, bob = Publisher(engine.port), Viewer(engine.port)
    try:
        furnish(engine, NOTHING)
        alice.check()
        bob.check()
        made = Stage(engine, file, alice, bob)
        made.shoot(5, key=True)
        assert made.seen(20)
        yield made
    finally:
        engine.close()
        alice.sock.close()
        bob.sock.close()
        os.close(file)


def heard_dtls(sock: socket.socket) -> list[bytes]:
    """The DTLS records (RFC 9443, section 3) among what has come, and what comes in 0.2 s."""
    records = []
    while select.select([sock], [], [], 0.2)[0]:
        datagram = sock.recv(2048)
        if 20 <= datagram[0] <= 63:
            records.append(datagram)
    return records


def test_a_held_engine_leaves_what_comes_and_goes_on_as_if_nothing_had_been(stage: Stage) -> None:
    kept = stage.hold()
    stage.shoot(10)
    assert stage.seen(20)
    assert read_kept(stage.file) == kept  # it does nothing
    stage.engine.request_stats(7)
    counters = wait_event(stage.engine, StatsReady).stats["engine"]
    assert counters["datagrams_in"] == 22
    stage.engine.begin()
    assert stage.seen(60)
    assert stage.numbers_are_whole()


def test_another_engine_goes_on_while_the_held_one_lives_and_after_its_end(stage: Stage) -> None:
    stage.shoot(30)  # it is held in the middle
    kept = stage.hold()
    ((udp, tcp),) = stage.engine.sockets
    settings = attrs.evolve(LOCAL, port=stage.engine.port)
    other = Engine(settings, [(os.dup(udp), os.dup(tcp))])
    try:
        furnish(other, kept)
        stage.shoot(10)
        assert stage.seen(180)
        stage.engine.send_dtls(ALICE, b"\x15close_notify")
        stage.engine.remove_transport(ALICE)
        stage.engine.close()
        assert not heard_dtls(stage.alice.sock)  # RTCP comes from the other engine
        stage.shoot(10)
        assert stage.seen(220)
        assert stage.numbers_are_whole()
        with socket.create_connection(("127.0.0.1", settings.port), 5) as stream:
            request = build_stun(
                binding_request(
                    remote_ufrag=NAMES[ALICE], local_ufrag="far", tie_breaker=1, nominate=True
                ),
                PASSWORD,
            )
            stream.sendall(struct.pack("!H", len(request)) + request)
            assert stream.recv(2048)
    finally:
        other.close()


def test_if_the_other_engine_fails_the_held_one_begins_again(stage: Stage) -> None:
    stage.shoot(30)
    kept = stage.hold()
    ((udp, tcp),) = stage.engine.sockets
    other = Engine(attrs.evolve(LOCAL, port=stage.engine.port), [(os.dup(udp), os.dup(tcp))])
    other.add_transport(ALICE, NAMES[ALICE], PASSWORD)
    other.resume_transport(ALICE, kept.transports[ALICE])
    other.close()
    stage.engine.begin()
    assert stage.seen(140)
    assert stage.numbers_are_whole()


def test_a_held_engine_sends_nothing_that_it_is_told_to_send(stage: Stage) -> None:
    stage.hold()
    while select.select([stage.alice.sock], [], [], 0)[0]:
        stage.alice.sock.recv(2048)  # reports from before the hold
    stage.engine.send_dtls(ALICE, b"\x16hello")
    stage.engine.request_keyframe(PRODUCER)
    stage.engine.request_stats(1)
    wait_event(stage.engine, StatsReady)
    assert not select.select([stage.alice.sock], [], [], 0.2)[0]
    stage.engine.begin()
    stage.engine.send_dtls(ALICE, b"\x16again")
    assert heard_dtls(stage.alice.sock) == [b"\x16again"]


def test_events_from_before_the_hold_come_before_its_answer(stage: Stage) -> None:
    stage.engine.read_events()
    stage.alice.sock.send(b"\x16hello")
    assert select.select([stage.engine.event_fd], [], [], 5)[0]
    stage.engine.hold(1)
    heard = []
    while not any(isinstance(event, EngineHeld) for event in heard):
        assert select.select([stage.engine.event_fd], [], [], 5)[0]
        heard += stage.engine.read_events()
    assert isinstance(heard[-1], EngineHeld)
    assert DtlsDatagram(ALICE, b"\x16hello") in heard


def test_a_new_engine_is_held_already() -> None:
    engine = Engine(EngineSettings())
    try:
        engine.hold(5)
        assert wait_event(engine, EngineHeld).token == 5
        engine.begin()
        engine.request_stats(1)
        wait_event(engine, StatsReady)
    finally:
        engine.close()


def test_of_a_hold_and_a_beginning_that_wait_the_last_one_counts(stage: Stage) -> None:
    def fill() -> None:
        while not stage.engine.waiting:
            stage.engine.set_consumer_priority(99, 1)

    def empty() -> None:
        while stage.engine.waiting:
            assert select.select([stage.engine.event_fd], [], [], 5)[0]
            stage.engine.read_events()

    fill()
    stage.engine.hold(1)
    stage.engine.begin()
    empty()
    stage.shoot()
    assert stage.seen(24)
    fill()
    stage.engine.begin()
    stage.engine.hold(2)
    assert wait_event(stage.engine, EngineHeld).token == 2
    assert not stage.engine.waiting
    stage.shoot()
    assert stage.seen(24)
    stage.engine.begin()
    assert stage.seen(28)


def test_a_connection_that_another_process_has_too_is_not_ended(stage: Stage) -> None:
    """The end of the held engine closes its descriptors, and says nothing to the client."""
    listener, port = os.dup(stage.engine.sockets[0][1]), stage.engine.port
    stage.hold()
    with socket.create_connection(("127.0.0.1", port), 5) as waiting:
        stage.engine.close()
        with socket.socket(fileno=listener) as ours, ours.accept()[0] as accepted:
            accepted.sendall(b"still here")
            assert waiting.recv(64) == b"still here"

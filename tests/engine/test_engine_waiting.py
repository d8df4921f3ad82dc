"""Commands that wait while an engine's thread is too busy to take them."""

import itertools
import select
import socket
from collections.abc import Iterator

import pytest
from support.engine_threads import PASSWORD, UFRAG, resources, running_engine, wait_event
from support.engine_world import audio, viewed
from support.stalled_engine import stalled

from meet_trio.engine import Engine, StatsReady, records

RING = 4096
MORE = 3 * RING
PRODUCER = audio()
CONSUMER = viewed(3)


@pytest.fixture
def engine() -> Iterator[Engine]:
    before = resources()
    engine = running_engine()
    yield engine
    engine.close()
    assert resources() == before


def fill(engine: Engine) -> None:
    """Give commands without effect until commands wait."""
    while not engine.waiting:
        engine.request_keyframe(1 << 30)


def figures(engine: Engine) -> dict[str, dict[str, object]]:
    engine.request_stats(1)
    stats: dict[str, dict[str, object]] = wait_event(engine, StatsReady).stats
    return stats


def test_a_flood_of_commands_waits_and_none_is_lost(engine: Engine) -> None:
    with stalled(engine):
        for number in range(1, MORE):
            engine.add_transport(number, f"{UFRAG}{number}", PASSWORD)
        assert engine.waiting > MORE - RING - 10
    assert set(figures(engine)["transports"]) == {str(number) for number in range(1, MORE)}
    assert engine.waiting == 0


def test_commands_that_waited_are_given_in_order(engine: Engine) -> None:
    with stalled(engine):
        fill(engine)
        engine.add_transport(1, UFRAG, PASSWORD)
        engine.add_producer(2, 1, PRODUCER)
        engine.add_consumer(3, 1, 2, CONSUMER)
        engine.set_consumer_paused(3, True)
        engine.set_producer_paused(2, True)
    stats = figures(engine)
    assert stats["producers"]["2"]["paused"] is True  # type: ignore[index]
    assert stats["consumers"]["3"]["paused"] is True  # type: ignore[index]
    assert stats["consumers"]["3"]["producer"] == 2  # type: ignore[index]


def test_of_what_changes_often_only_the_newest_waits(engine: Engine) -> None:
    engine.add_transport(1, UFRAG, PASSWORD)
    engine.add_producer(2, 1, PRODUCER)
    with stalled(engine):
        fill(engine)
        before = engine.waiting
        for n in range(10_000):
            engine.set_producer_paused(2, n % 2 == 0)
            engine.set_max_incoming_bitrate(1, n)
            engine.restart_ice(1, f"{UFRAG}{n}", PASSWORD)
            engine.send_dtls(1, b"\x16x")
            engine.request_stats(n)
        assert engine.waiting == before + 3 + 8 + 1
    assert wait_event(engine, StatsReady).token == 9_999
    stats = figures(engine)
    assert stats["producers"]["2"]["paused"] is False  # type: ignore[index]
    assert stats["transports"]["1"]["maxIncomingBitrate"] == 9_999  # type: ignore[index]


def test_of_what_comes_and_goes_nothing_waits(engine: Engine) -> None:
    """Plain transports are among them: their sockets are closed at once."""
    engine.add_transport(1, UFRAG, PASSWORD)
    with stalled(engine):
        fill(engine)
        before, handles = engine.waiting, resources()
        for number in itertools.islice(itertools.count(10, 4), 500):
            sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
            engine.add_plain_transport(number, *(s.detach() for s in sockets), (), False)
            engine.set_max_incoming_bitrate(number, 1)
            engine.set_max_outgoing_bitrate(number, 1)
            engine.add_producer(number + 1, number, PRODUCER)
            engine.add_mirror(number + 2, PRODUCER)
            engine.add_consumer(number + 3, 1, number + 2, CONSUMER)
            engine.set_consumer_paused(number + 3, True)
            engine.set_preferred_layers(number + 3, 0)
            engine.set_consumer_priority(number + 3, 2)
            engine.request_consumer_keyframe(number + 3)
            engine.remove_consumer(number + 3)
            engine.remove_producer(number + 2)
            engine.remove_producer(number + 1)
            engine.remove_transport(number)
        assert (engine.waiting, resources()) == (before, handles)


def test_what_the_engine_knows_is_removed_however_late(engine: Engine) -> None:
    engine.add_transport(1, UFRAG, PASSWORD)
    engine.add_producer(2, 1, PRODUCER)
    engine.add_mirror(3, PRODUCER)
    with stalled(engine):
        fill(engine)
        before = engine.waiting
        # a mirror gets the same number when a viewer comes back
        for _ in range(100):
            engine.remove_producer(3)
            engine.add_mirror(3, PRODUCER)
            engine.set_producer_paused(3, True)
        engine.remove_producer(2)
        assert engine.waiting == before + 1 + 2 + 1
    stats = figures(engine)
    assert stats["producers"] == {}
    assert stats["mirrors"]["3"]["paused"] is True  # type: ignore[index]


def test_relays_wait_as_everything_does(engine: Engine) -> None:
    other = running_engine()
    try:
        other.add_mirror(2, PRODUCER)
        engine.add_transport(1, UFRAG, PASSWORD)
        engine.add_producer(2, 1, PRODUCER)
        with stalled(engine):
            fill(engine)
            before = engine.waiting
            for _ in range(100):
                engine.relay_producer(2, other)
                engine.stop_relaying(2, other)
            assert engine.waiting == before
            engine.relay_producer(2, other)
            assert engine.waiting == before + 1
        figures(engine)
        assert engine.waiting == 0
    finally:
        other.close()


def test_closed_while_commands_wait_nothing_is_left() -> None:
    before = resources()
    for _ in range(3):
        busy, other = running_engine(), running_engine()
        with stalled(busy):
            fill(busy)
            sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
            busy.add_plain_transport(1, *(s.detach() for s in sockets), (), False)
            busy.send_dtls(1, b"\x16x")
            busy.add_producer(2, 1, PRODUCER)
            other.add_mirror(2, PRODUCER)
            busy.relay_producer(2, other)
            other.relay_producer(3, busy)
        busy.close()
        other.close()
    assert resources() == before


def test_one_that_was_given_up_takes_no_commands_and_ends(engine: Engine) -> None:
    with stalled(engine):
        fill(engine)
        engine.give_up()
        assert engine.waiting == 0
        handles = resources()
        sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
        engine.add_plain_transport(1, *(s.detach() for s in sockets), (), False)
        fill_once = 2 * RING
        for number in range(fill_once):
            engine.remove_transport(number)
        assert (engine.waiting, resources()) == (0, handles)


def test_an_event_that_is_not_understood_is_lost_alone(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real, asked = records.StatsReady, 0

    def not_the_second(token: int, stats: dict[str, object]) -> StatsReady:
        nonlocal asked
        asked += 1
        if token == 2:
            raise ValueError("200 is no event's number")
        return real(token, stats)

    monkeypatch.setattr(records, "StatsReady", not_the_second)
    for token in (1, 2, 3):
        engine.request_stats(token)
    heard: list[int] = []
    while asked < 3:
        assert select.select([engine.event_fd], [], [], 5)[0]
        heard += [event.token for event in engine.read_events() if isinstance(event, real)]
    assert heard == [1, 3]
    assert "is lost" in caplog.text

"""When publishers are told which layers are wanted: more at once, less after a while."""

import pytest

from meet_trio import ortc
from meet_trio.bench.rtp_parameters import simulcast_encodings, video_parameters
from meet_trio.live.layers_wanted import FALL, LayersWanted
from meet_trio.room import Producer

INFINITY = float("inf")


@pytest.fixture
def producer() -> Producer:
    """Three layers, which one viewer wants."""
    params = ortc.parse_rtp_parameters(
        video_parameters(mid="1", encodings=simulcast_encodings(3), cname="c")
    )
    rtp = ortc.negotiate_producer(
        "video", params, ortc.router_capabilities(), iter(range(1, 9)).__next__
    )
    producer = Producer("cam", "A", rtp, "webcam", {}, layers_wanted=True)
    want(producer, 2)
    return producer


def want(producer: Producer, layer: int | None) -> None:
    producer.wishes = [int(n == layer) for n in range(3)]


def test_all_layers_need_no_message(producer: Producer) -> None:
    wanted = LayersWanted()
    assert not wanted.is_due(producer, 0.0)
    assert wanted.deadline() == INFINITY


@pytest.mark.parametrize("less", [1, 0, None])
def test_less_is_told_after_a_while_and_more_at_once(producer: Producer, less: int | None) -> None:
    wanted = LayersWanted()
    want(producer, less)
    assert not wanted.is_due(producer, 1.0)
    assert wanted.deadline() == 1.0 + FALL
    assert not wanted.is_due(producer, 3.0)  # another viewer's wish does not put it off
    assert wanted.deadline() == 1.0 + FALL
    assert wanted.fallen(0.9 + FALL) == []
    assert wanted.fallen(1.0 + FALL) == [producer]
    assert wanted.is_due(producer, 1.0 + FALL)
    assert wanted.deadline() == INFINITY
    assert not wanted.is_due(producer, 9.0)
    want(producer, 2)
    assert wanted.is_due(producer, 9.0)
    assert not wanted.is_due(producer, 9.0)


def test_who_changes_its_mind_in_time_is_not_noticed(producer: Producer) -> None:
    wanted = LayersWanted()
    for second in range(0, 100, 4):
        want(producer, 0)
        assert not wanted.is_due(producer, second)
        want(producer, 2)
        assert not wanted.is_due(producer, second + 3.9)
        assert wanted.deadline() == INFINITY


def test_messages_are_few_whatever_a_viewer_asks_for(producer: Producer) -> None:
    wanted = LayersWanted()
    count = 0
    for step in range(1000):  # 100 seconds
        now = step / 10
        want(producer, (None, 0, 1, 2)[step // 70 % 4])
        count += wanted.is_due(producer, now)
        count += sum(wanted.is_due(each, now) for each in wanted.fallen(now))
    assert 4 < count <= 2 * 100 / FALL


def test_nothing_is_left_of_a_closed_producer(producer: Producer) -> None:
    wanted = LayersWanted()
    want(producer, 1)
    assert not wanted.is_due(producer, 0.0)
    assert wanted.is_due(producer, FALL)
    want(producer, 0)
    assert not wanted.is_due(producer, FALL)
    wanted.forget("cam")
    assert wanted.deadline() == INFINITY
    assert not wanted._told

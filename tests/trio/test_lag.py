"""The lag of the loop: entries of the histogram, and the figures computed from it."""

import time

import pytest
import trio
from support.lag_figures import quantile, share_above

from meet_trio.lag import BOUNDS, LoopLag, TurnLengths


def spin(seconds: float) -> None:
    """Hold the loop and the CPU for at least ``seconds``."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


async def test_a_turn_that_works_is_in_both_histograms() -> None:
    lag = LoopLag()
    async with trio.open_nursery() as nursery:
        await nursery.start(lag.run)
        await trio.sleep(0.001)
        spin(0.06)
        await trio.sleep(0.001)
        nursery.cancel_scope.cancel()
    for turns in (lag.held, lag.worked):
        bucket = BOUNDS.index(0.05) + 1
        assert sum(turns.counts[bucket:]) >= 1
        assert sum(turns.seconds[bucket:]) >= 0.06


async def test_a_turn_that_waits_holds_the_loop_and_does_not_work() -> None:
    lag = LoopLag()
    async with trio.open_nursery() as nursery:
        await nursery.start(lag.run)
        await trio.sleep(0.001)
        time.sleep(0.06)  # noqa: ASYNC251  # as if the kernel ran another process
        await trio.sleep(0.001)
        nursery.cancel_scope.cancel()
    bucket = BOUNDS.index(0.05) + 1
    assert sum(lag.held.counts[bucket:]) >= 1
    assert sum(lag.worked.seconds) < 0.05


async def test_time_spent_waiting_for_io_is_no_lag() -> None:
    lag = LoopLag()
    async with trio.open_nursery() as nursery:
        await nursery.start(lag.run)
        await trio.sleep(0.3)
        told = lag.to_json()
        nursery.cancel_scope.cancel()
    seconds = told["seconds"]
    assert isinstance(seconds, float)
    assert seconds >= 0.3
    assert sum(lag.worked.seconds) < 0.15


async def test_nothing_is_watched_after_the_end() -> None:
    lag = LoopLag()
    async with trio.open_nursery() as nursery:
        await nursery.start(lag.run)
        await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    before = lag.to_json()
    await trio.sleep(0.01)
    assert lag.to_json() == before


def of_turns(*lengths: float) -> TurnLengths:
    turns = TurnLengths()
    for length in lengths:
        turns.add(length)
    return turns


def share(limit: float, turns: TurnLengths, total: float) -> float:
    return share_above(limit, turns.counts, turns.seconds, total)


def test_a_stall_weighs_by_the_clock() -> None:
    # ten seconds, in which one turn took a second and a thousand took a millisecond each
    turns = of_turns(1.0, *[0.001] * 1000)
    assert share(0, turns, 10) == pytest.approx(0.2)
    assert share(0.02, turns, 10) == pytest.approx(0.098)
    assert share(0.5, turns, 10) == pytest.approx(0.05)
    assert share(1.0, turns, 10) == 0


def test_the_quantile_is_where_the_shares_are_crossed() -> None:
    turns = of_turns(1.0, *[0.001] * 1000)
    figures = (turns.counts, turns.seconds, 10.0)
    assert quantile(0.95, *figures) == pytest.approx(0.5)
    assert 0.5 < quantile(0.99, *figures) <= 1.0
    assert quantile(0.5, *figures) == 0
    assert quantile(0.99, *(of_turns(60.0).counts, of_turns(60.0).seconds, 60.0)) == float("inf")


def test_of_nothing_there_is_no_lag() -> None:
    turns = of_turns()
    assert quantile(0.99, turns.counts, turns.seconds, 1.0) == 0


def test_turns_at_a_bound_are_below_it() -> None:
    for bound in BOUNDS:
        turns = of_turns(bound)
        assert share(bound, turns, 1.0) == 0
        assert turns.counts[BOUNDS.index(bound)] == 1
    assert of_turns(2 * BOUNDS[-1]).counts[-1] == 1

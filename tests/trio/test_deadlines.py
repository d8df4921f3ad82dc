"""Deadlines of many objects, which one task sees to."""

import logging
import math
from functools import partial

import pytest
import trio
import trio.testing
from support.loop_turns import counting

from meet_trio.deadlines import Deadlines, Timer

MANY = 1000


class Called:
    """A timer that notes when it is called."""

    def __init__(self, deadlines: Deadlines) -> None:
        self.at: list[float] = []
        self.timer = deadlines.timer(self._call)

    def _call(self) -> None:
        self.at.append(trio.current_time())


def running(nursery: trio.Nursery) -> Deadlines:
    deadlines = Deadlines()
    nursery.start_soon(deadlines.run)
    return deadlines


async def test_each_at_its_time(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    deadlines = running(nursery)
    await trio.testing.wait_all_tasks_blocked()
    called = [Called(deadlines) for _ in range(5)]
    start = trio.current_time()
    for one, due in zip(called, (9.0, 3.0, 5.0, 3.0, math.inf), strict=True):
        one.timer.set(start + due)
    await trio.sleep(100)
    assert [[at - start for at in one.at] for one in called] == [[9.0], [3.0], [5.0], [3.0], []]


async def test_a_deadline_can_move(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    deadlines = running(nursery)
    await trio.testing.wait_all_tasks_blocked()
    later, sooner, never = (Called(deadlines) for _ in range(3))
    start = trio.current_time()
    for one, first, then in ((later, 5, 8), (sooner, 8, 5), (never, 5, math.inf)):
        one.timer.set(start + first)
        one.timer.set(start + then)
    await trio.sleep(6)
    assert (later.at, sooner.at) == ([], [start + 5])
    sooner.timer.set(start + 7)  # and once more
    await trio.sleep(100)
    assert (later.at, sooner.at, never.at) == ([start + 8], [start + 5, start + 7], [])


async def test_who_is_cancelled_is_not_called_and_nothing_of_it_is_left(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    deadlines = running(nursery)
    called = [Called(deadlines) for _ in range(3)]
    for one in called:
        one.timer.set(5.0)
    called[1].timer.cancel()
    called[1].timer.set(6.0)
    await trio.sleep(10)
    assert [len(one.at) for one in called] == [1, 0, 1]
    called[0].timer.set(20.0)
    called[0].timer.cancel()
    assert not deadlines._buckets
    await trio.sleep(20)
    assert not deadlines._times


async def test_a_call_may_cancel_another_that_is_due(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    deadlines, called = running(nursery), list[str]()
    timers: list[Timer] = []

    def call(name: str) -> None:
        called.append(name)
        for timer in timers:
            timer.cancel()

    timers += [deadlines.timer(partial(call, name)) for name in "ab"]
    for timer in timers:
        timer.set(1.0)
    await trio.sleep(5)
    assert called == ["a"]


async def test_a_deadline_that_moves_with_each_message_leaves_nothing(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    deadlines = running(nursery)
    one = Called(deadlines)
    for number in range(MANY):
        one.timer.set(25.0 + number / 100)
    assert len(deadlines._times) == len(deadlines._buckets) == 1
    await trio.sleep(100)
    assert one.at == [25.0 + (MANY - 1) / 100]


async def test_a_fault_is_logged_and_the_others_are_called(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    deadlines = running(nursery)

    def fail() -> None:
        raise RuntimeError("broken")

    one, fault = Called(deadlines), deadlines.timer(fail)
    for timer in (fault, one.timer):
        timer.set(1.0)
    with caplog.at_level(logging.ERROR):
        await trio.sleep(2)
    assert one.at == [1.0]
    assert [record.message for record in caplog.records] == ["a deadline failed"]


async def test_many_of_one_moment_leave_turns_to_others(nursery: trio.Nursery) -> None:
    deadlines, now = running(nursery), trio.current_time()
    with counting() as turns:
        for _ in range(MANY):
            deadlines.timer(turns.count).set(now + 0.01)
        await trio.sleep(0.02)
        await trio.testing.wait_all_tasks_blocked()
    assert sum(turns.happened.values()) == MANY
    assert turns.most <= 64

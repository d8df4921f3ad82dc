"""Deadlines of many objects in one task."""

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from meet_trio.media.deadlines import Deadlines


async def test_they_pass_at_their_times(autojump_clock: MockClock) -> None:
    """Whenever they are set: before the task runs, while it waits, and while one passes."""
    deadlines = Deadlines()
    passed: list[tuple[str, float]] = []
    began = trio.current_time()

    def note(name: str, then: float | None = None) -> None:
        passed.append((name, trio.current_time() - began))
        if then is not None:
            deadlines.set(began + then, lambda: note("then"))

    deadlines.set(began + 5, lambda: note("before"))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(deadlines.run)
        await trio.sleep(1)
        for time in (9, 3, 4, 3):
            deadlines.set(began + time, lambda: note("while", 3.5))
        deadlines.set(began - 1, lambda: note("late"))
        await trio.sleep(100)
        nursery.cancel_scope.cancel()
    assert passed == [
        ("late", 1), ("while", 3), ("while", 3), ("then", 3.5), ("then", 3.5), ("while", 4),
        ("then", 4), ("before", 5), ("while", 9), ("then", 9),
    ]  # fmt: skip


async def test_a_cancelled_one_does_not_pass(autojump_clock: MockClock) -> None:
    deadlines = Deadlines()
    passed: list[int] = []
    set_ones = [
        deadlines.set(trio.current_time() + n, lambda n=n: passed.append(n)) for n in range(5)
    ]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(deadlines.run)
        set_ones[0].cancel()
        set_ones[2].cancel()
        await trio.sleep(100)
        set_ones[3].cancel()  # it has passed
        nursery.cancel_scope.cancel()
    assert passed == [1, 3, 4]
    assert not deadlines._waiting


async def test_a_fault_is_not_the_others(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    deadlines = Deadlines()
    passed: list[bool] = []

    def fail() -> None:
        raise ZeroDivisionError

    async with trio.open_nursery() as nursery:
        nursery.start_soon(deadlines.run)
        for function in (fail, lambda: passed.append(True)):
            deadlines.set(trio.current_time() + 1, function)
        await trio.sleep(2)
        nursery.cancel_scope.cancel()
    assert passed == [True]
    assert "a deadline failed" in caplog.text

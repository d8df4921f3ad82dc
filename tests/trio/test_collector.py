"""Full collections are as rare as promised, and the process is left as it was."""

import gc
import itertools
import mmap
from collections.abc import Iterator

import attrs
import pytest
import trio
from trio.testing import MockClock

from meet_trio import collector


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    thresholds, frozen = gc.get_threshold(), gc.get_freeze_count()
    yield
    assert (gc.get_threshold(), gc.get_freeze_count()) == (thresholds, frozen)


@attrs.define
class Collections:
    """Each collection takes ``seconds`` by a clock of its own; ``at`` has their times by Trio's
    clock.
    """

    seconds: float
    at: list[float] = attrs.field(factory=list)
    now: float = 0.0

    def collect(self) -> None:
        self.at.append(trio.current_time())
        self.now += self.seconds

    def clock(self) -> float:
        return self.now


async def gaps(seconds: float, autojump_clock: MockClock) -> list[float]:
    """Pauses between full collections that take ``seconds`` each; the first collection is at the
    start.
    """
    made = Collections(seconds)
    with trio.move_on_after(1000):
        await collector.run(interval=60, share=0.004, collect=made.collect, clock=made.clock)
    return [round(b - a, 3) for a, b in zip(made.at, made.at[1:], strict=False)]


async def test_short_ones_come_once_in_an_interval(autojump_clock: MockClock) -> None:
    assert await gaps(0.01, autojump_clock) == [60.0] * 16


async def test_long_ones_take_no_more_than_their_share(autojump_clock: MockClock) -> None:
    assert await gaps(0.8, autojump_clock) == [60.0] + [200.0] * 4


async def test_one_comes_early_when_the_process_has_grown(autojump_clock: MockClock) -> None:
    made, sizes = Collections(0.8), itertools.chain([100], [149] * 6, itertools.repeat(150))
    with trio.move_on_after(59):
        await collector.run(
            growth=50, collect=made.collect, clock=made.clock, size=lambda: next(sizes)
        )
    assert made.at[1] - made.at[0] == 30
    assert len(made.at) == 2  # growth counts from the size after the second collection


def test_what_a_process_has() -> None:
    before = collector.resident_memory()
    with mmap.mmap(-1, 50_000_000) as fresh:  # the heap may have as much that is free
        fresh.write(b"x" * len(fresh))
        assert 40_000_000 < collector.resident_memory() - before < 200_000_000


async def test_python_makes_none_by_itself_when_many_objects_come() -> None:
    full = []

    def note(phase: str, info: dict[str, int]) -> None:
        if phase == "start" and info["generation"] == 2:
            full.append(info)

    async with trio.open_nursery() as nursery:
        await nursery.start(collector.run)
        gc.callbacks.append(note)
        try:
            kept = [[number] for number in range(400_000)]
            for _ in range(200):  # many more, for a moment
                [[number] for number in range(8000)]
        finally:
            gc.callbacks.remove(note)
        assert len(kept) == 400_000
        assert full == []
        nursery.cancel_scope.cancel()


async def test_what_the_start_has_made_is_not_looked_at() -> None:
    async with trio.open_nursery() as nursery:
        await nursery.start(collector.run)
        assert gc.get_freeze_count() > 10_000
        nursery.cancel_scope.cancel()


async def test_what_is_loaded_late_is_not_visited_either(autojump_clock: MockClock) -> None:
    loaded = trio.Event()
    async with trio.open_nursery() as nursery:
        await nursery.start(collector.run)
        nursery.start_soon(collector.freeze_when, loaded.wait)
        await trio.sleep(1)
        late = [[number] for number in range(10_000)]
        frozen = gc.get_freeze_count()
        loaded.set()
        await trio.sleep(1)
        assert gc.get_freeze_count() >= frozen + len(late)
        nursery.cancel_scope.cancel()


async def test_nothing_is_collected_before_it_runs(autojump_clock: MockClock) -> None:
    collector.hold()
    assert not gc.isenabled()
    with trio.move_on_after(1):
        await collector.run()
    assert gc.isenabled()

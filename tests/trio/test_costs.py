"""The cost of a request grows with the objects it changes and the peers it notifies. No request
goes through the whole room to find them: instructions are counted in rooms of one to two hundred.
"""

from pathlib import Path

from support.costs import GROWS, SIZES, Measured, measure, slope
from support.steps import OTHERS, measure_calls, measure_connecting, measure_steps
from trio.testing import MockClock

DOCUMENT = Path(__file__).parents[2] / "docs" / "costs.md"


def check(measured: Measured, what: str) -> None:
    for method, counts in measured.items():
        small, big = slope(counts, 10, 60), slope(counts, 60, 200)
        where = f"{method} by {what}: {counts}"
        if what in GROWS[method]:
            # The cost per peer or stream is constant; it does not rise with their number.
            assert 10 < big < 1.1 * small + 10, where
        else:
            assert max(counts[size] for size in SIZES[1:]) < counts[10] + 50, where


async def test_requests_cost_what_they_change_and_whom_they_tell(
    autojump_clock: MockClock,
) -> None:
    by_peers, by_streams = await measure()
    assert by_peers.keys() == by_streams.keys() == GROWS.keys()
    check(by_peers, "peers")
    check(by_streams, "streams")


async def test_a_join_wakes_few_tasks_and_none_for_those_who_are_told() -> None:
    steps = await measure_steps()
    few, many = (steps[others] for others in OTHERS)
    # Two queues between the websocket and the handlers would make it twenty more, a task for each
    # offer and one for each conversation ten.
    assert few <= 79, steps
    assert many <= few + 6, steps


async def test_a_call_of_kolab_is_one_task_that_waits_twice() -> None:
    steps, functions = await measure_calls()
    # One of the listener, one of the limiter, two or three of the connection (it waits for the
    # head, and for the end), one of the new peer. By Hypercorn's own server they were 35.
    assert steps <= 6
    assert functions <= 175  # by Hypercorn's own server and Starlette's applications 758


async def test_a_transport_is_connected_in_few_steps() -> None:
    """Each request: reading the socket, handling it, writing. Each event of the engine: one."""
    assert await measure_connecting() <= 12  # 9, and wake-ups that come by chance


def test_the_table_says_what_is_tested() -> None:
    rows = [line.split(" | ") for line in DOCUMENT.read_text(encoding="utf-8").splitlines()]
    documented = {row[0].strip("| `"): row[-1].strip(" |") for row in rows if len(row) == 5}
    del documented["request"]
    assert documented == {method: grows or "nothing" for method, grows in GROWS.items()}

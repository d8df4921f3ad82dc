"""A log that nobody can flood."""

import logging

from meet_trio.logs import RepeatFilter
from meet_trio.rates import Rate


def record(message: str, *args: object, level: int = logging.INFO) -> logging.LogRecord:
    return logging.LogRecord("meet_trio.x", level, __file__, 1, message, args, None)


def test_repeats_are_left_out_and_counted() -> None:
    now = 0.0
    repeats = RepeatFilter(Rate(per_second=0.5, burst=3), lambda: now)
    came = [repeats.filter(record("refused %s", n)) for n in range(100)]
    assert came == [True] * 3 + [False] * 97
    assert repeats.filter(record("something else"))
    now = 2.0
    again = record("refused %s: 100%%", "x")
    assert repeats.filter(again)
    assert again.getMessage() == "refused x: 100%"
    again = record("refused %s", "y")
    assert repeats.filter(again)
    assert again.getMessage() == "refused y (97 more like this were left out)"
    assert not repeats.filter(record("refused %s", "z"))
    now = 4.0
    again = record("refused %s", "100%")
    assert repeats.filter(again)
    assert again.getMessage() == "refused 100% (1 more like this were left out)"


def test_debugging_is_left_alone() -> None:
    repeats = RepeatFilter(Rate(per_second=1, burst=1), lambda: 0.0)
    assert all(repeats.filter(record("packet", level=logging.DEBUG)) for _ in range(50))


def test_texts_made_on_the_fly_do_not_pile_up() -> None:
    repeats = RepeatFilter(Rate(per_second=1, burst=1), lambda: 0.0)
    for n in range(5000):
        repeats.filter(record(f"text {n}"))
    assert len(repeats._kinds) <= 1000

"""A log that clients cannot flood."""

import logging
import sys

import pytest

from meet_trio.logs import MOST_BYTES, LineFormatter, RepeatFilter
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


def shown(message: str, *args: object) -> str:
    return LineFormatter("INFO %(name)s: %(message)s").format(record(message, *args))


@pytest.mark.parametrize(
    ("name", "comes"),
    [
        ("ping", "ping"),
        ("Zoë 日本 👋", "Zoë 日本 👋"),
        ("x\n2026 ERROR all is lost", r"x\n2026 ERROR all is lost"),
        ("a\r\tb\0c", r"a\r\tb\x00c"),
        ("\x1b[2Jgone", r"\x1b[2Jgone"),
        ("\x85 \u2028 \u2029", r"\x85 \u2028 \u2029"),
        ("\u202eright to left", r"\u202eright to left"),
        ("half \ud83d of one", r"half \ud83d of one"),
    ],
)
def test_a_record_is_one_line_that_anybody_can_read(name: str, comes: str) -> None:
    assert shown("request %s", name) == f"INFO meet_trio.x: request {comes}"


@pytest.mark.parametrize("character", ["x", "\n", "é", "\U0001f44b"])
def test_a_line_ends(character: str) -> None:
    line = shown("request %s", character * 900_000)
    assert len(line.encode()) < MOST_BYTES + 100
    assert line.endswith("… (900008 characters in all)")
    assert len(shown("request %s", character * 400).encode()) < MOST_BYTES


def failure(text: str) -> logging.LogRecord:
    try:
        raise ValueError(text)
    except ValueError:
        return logging.LogRecord("x", logging.ERROR, __file__, 1, "failed", (), sys.exc_info())


def test_an_error_cannot_look_like_another_record() -> None:
    formatter = LineFormatter("%(levelname)s %(message)s")
    first, *more = formatter.format(failure("no\nERROR all is lost\x1b[2J")).split("\n")
    assert first == "ERROR failed"
    assert more[0] == "  | Traceback (most recent call last):"
    assert more[-2:] == ["  | ValueError: no", r"  | ERROR all is lost\x1b[2J"]
    assert all(line.startswith("  | ") for line in more)
    endless = formatter.format(failure("x\n" * 500_000))
    assert len(endless) < 4 * 8 * MOST_BYTES
    assert "Traceback" in endless

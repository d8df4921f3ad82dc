"""A log that clients can neither flood nor forge, in both formats, and levels of its parts."""

import fcntl
import json
import logging
import os
import signal
import sys
import termios
import threading
from collections.abc import Iterator
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.logs import Log, bound, logging_as_before, open_log

from meet_trio.logs.levels import TAGS
from meet_trio.logs.lines import MOST_BYTES, console_line, json_line
from meet_trio.logs.repeats import RepeatFilter
from meet_trio.logs.settings import Level, LogSettings
from meet_trio.logs.setup import set_up_logging
from meet_trio.rates import Rate


def record(
    message: str, *args: object, level: int = logging.INFO, **extra: str
) -> logging.LogRecord:
    made = logging.LogRecord("meet_trio.x", level, __file__, 1, message, args, None)
    made.__dict__.update(extra)
    return made


# Repeats


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
    for n in range(25_000):
        repeats.filter(record("joined", peer=str(n)))
    assert len(repeats._own) <= 10_000


def test_one_peer_cannot_leave_gaps_in_the_stories_of_others() -> None:
    now = 0.0
    repeats = RepeatFilter(Rate(per_second=1, burst=20), lambda: now)
    with bound(room="r", peer="flood"):
        assert sum(repeats.filter(record("joined")) for _ in range(1000)) == 10
    for n in range(100):
        with bound(room="r", peer=str(n)):
            assert repeats.filter(record("joined"))
    # a record about another peer is part of that peer's story
    with bound(room="r", peer="flood"):
        assert repeats.filter(record("joined", peer="another"))
    # all peers together have a limit too
    came = [repeats.filter(record("joined", peer=f"x{n}")) for n in range(1000)]
    assert came == [True] * 89 + [False] * 911
    now = 5.0
    again = record("joined", peer="flood")
    assert repeats.filter(again)
    assert again.getMessage() == "joined (1901 more like this were left out)"


# Lines

Format = Literal["console", "json"]


def line_of(made: logging.LogRecord, form: Format, **fields: object) -> str:
    render = json_line if form == "json" else console_line
    return render(made, fields)


def shown(message: str, *args: object) -> str:
    return line_of(record(message, *args), "console")


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
    assert shown("request %s", name).endswith(f" INFO    meet_trio.x: request {comes}")
    in_json = line_of(record("request %s", name), "json", source=name)
    assert in_json.isprintable()
    told = json.loads(in_json)
    assert (told["event"], told["source"]) == (f"request {comes}", comes)


def test_fields_follow_the_text_ids_first() -> None:
    made = record("made", level=logging.WARNING)
    made.created = 1_700_000_000.9996
    fields = {"seconds": 0.25, "transport": "t", "room": "r", "secure": True, "why": None}
    line = line_of(made, "console", **fields)
    assert line.endswith(
        "WARNING meet_trio.x: made  room=r transport=t seconds=0.25 secure=True why=None"
    )
    assert list(json.loads(line_of(made, "json", **fields)).items()) == [
        ("time", "2023-11-14T22:13:20.999Z"),
        ("level", "warning"),
        ("part", "meet_trio.x"),
        ("event", "made"),
        ("room", "r"),
        ("transport", "t"),
        ("seconds", 0.25),
        ("secure", True),
        ("why", None),
    ]


@pytest.mark.parametrize("character", ["x", "\n", "é", "\U0001f44b", '"', "\\"])
@pytest.mark.parametrize("form", ["console", "json"])
def test_a_line_ends(character: str, form: Format) -> None:
    line = line_of(record("request %s", character * 900_000), form, peer="p" * 36)
    assert MOST_BYTES / 4 < len(line.encode()) <= MOST_BYTES
    if form == "json":
        assert json.loads(line)["peer"] == "p" * 36
    else:
        assert line.endswith("… (900008 characters in all)  peer=" + "p" * 36)


TEXTS = st.text(st.sampled_from('a"\\\n\x1bé日\U0001f44b\ud83d'), max_size=60).map(lambda t: t * 40)
VALUES = st.one_of(TEXTS, st.integers(), st.floats(), st.none(), st.booleans(), st.binary())


@given(TEXTS, st.dictionaries(st.sampled_from([f"f{n}" for n in range(60)]), VALUES), TEXTS)
def test_a_json_line_is_json_and_bounded(text: str, fields: dict[str, Any], error: str) -> None:
    for made in (record("%s", text), failure(error, text)):
        line = line_of(made, "json", **fields)
        assert len(line.encode()) <= MOST_BYTES
        told = json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
        assert {"time", "level", "part", "event"} <= told.keys()
        assert len(told) + told.get("left_out", 0) >= len(fields) + 4
        (console, *more) = line_of(made, "console", **fields).split("\n")
        assert len(console.encode()) <= MOST_BYTES
        assert all(len(each.encode()) <= MOST_BYTES for each in more)


def failure(error: str, text: str = "failed") -> logging.LogRecord:
    try:
        raise ValueError(error)
    except ValueError:
        made = record("%s", text, level=logging.ERROR)
        made.exc_info = sys.exc_info()
        return made


def test_an_error_cannot_look_like_another_record() -> None:
    first, *more = line_of(failure("no\nERROR all is lost\x1b[2J"), "console").split("\n")
    assert first.endswith("ERROR   meet_trio.x: failed")
    assert more[0] == "  | Traceback (most recent call last):"
    assert more[-2:] == ["  | ValueError: no", r"  | ERROR all is lost\x1b[2J"]
    assert all(line.startswith("  | ") for line in more)
    endless = line_of(failure("x\n" * 500_000), "console")
    assert len(endless) < 4 * 8 * MOST_BYTES
    assert "Traceback" in endless


def test_an_error_is_one_field_in_json() -> None:
    told = json.loads(line_of(failure("no\nERROR all is lost\x1b[2J"), "json", peer="p"))
    lines = told["exception"].split("\n")
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[-2:] == ["ValueError: no", r"ERROR all is lost\x1b[2J"]
    # one that is too long keeps its beginning and its end
    told = json.loads(line_of(failure("x\n" * 5000 + "the reason"), "json", peer="p"))
    assert told["peer"] == "p"
    assert told["exception"].startswith("Traceback (most recent call last):\n")
    assert told["exception"].endswith("\nx\nthe reason")


# Levels


@pytest.fixture
def log() -> Iterator[Log]:
    for name in PARTS:
        logging.getLogger(name)
    with open_log() as log:
        yield log


PARTS = ("meet_trio.live.room", "meet_trio.live.peer", "meet_trio.media.dtls", "httpx.client")


def said(log: Log) -> str:
    """The records that are logged, by first letter of level and last part of the name."""
    log.clear()
    for name in (*PARTS, "meet_trio.live.made_later"):
        logger = logging.getLogger(name)
        for at in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR):
            logger.log(at, "said")
    logging.Logger.manager.loggerDict.pop("meet_trio.live.made_later")
    lines = [line.split() for line in log.lines]
    return " ".join(f"{line[2][0]}:{line[3][:-1].rpartition('.')[2]}" for line in lines)


def these(levels: str, *names: str) -> str:
    return " ".join(f"{level}:{name}" for name in names for level in levels)


def test_levels_change_while_running(log: Log) -> None:
    usual = f"{these('IWE', 'room', 'peer', 'dtls')} {these('WE', 'client')}"
    assert said(log) == f"{usual} {these('IWE', 'made_later')}"
    log.levels.set("debug", "meet_trio.live")
    assert log.levels.describe() == {"level": "info", "parts": {"meet_trio.live": "debug"}}
    live = these("DIWE", "room", "peer")
    assert said(log) == (
        f"{live} {these('IWE', 'dtls')} {these('WE', 'client')} {these('DIWE', 'made_later')}"
    )
    log.levels.set("error")
    log.levels.set("warning", "kolabmeet-server:live.peer")
    log.levels.set("info", "httpx*")
    assert said(log) == (
        f"{these('DIWE', 'room')} {these('WE', 'peer')} {these('E', 'dtls')} "
        f"{these('IWE', 'client')} {these('DIWE', 'made_later')}"
    )
    log.levels.set("error", "meet_trio.live")  # the newest rule decides
    log.levels.reset("httpx*")
    assert said(log) == f"{these('E', 'room', 'peer', 'dtls')} {these('WE', 'client')} E:made_later"
    log.levels.reset()
    assert log.levels.describe() == {"level": "info", "parts": {}}
    assert said(log) == f"{usual} {these('IWE', 'made_later')}"


def test_a_record_that_is_not_wanted_is_not_made(log: Log) -> None:
    log.levels.set("debug", "meet_trio.live.room")
    assert logging.getLogger("meet_trio.live.room").isEnabledFor(logging.DEBUG)
    assert not logging.getLogger("meet_trio.live.peer").isEnabledFor(logging.DEBUG)
    assert not logging.getLogger("httpx.client").isEnabledFor(logging.INFO)
    log.levels.reset()
    assert not logging.getLogger("meet_trio.live.room").isEnabledFor(logging.DEBUG)


def test_settings_that_are_read_again_replace_all_levels(log: Log) -> None:
    log.levels.set("debug", "meet_trio.live")
    log.levels.configure(LogSettings(level="error", debug="meet_trio.media"))
    assert said(log) == (
        f"{these('E', 'room', 'peer')} {these('DIWE', 'dtls')} {these('WE', 'client')} E:made_later"
    )
    log.levels.set("info")
    log.levels.reset()
    assert log.levels.describe() == {"level": "error", "parts": {"meet_trio.media": "debug"}}


@pytest.mark.parametrize(
    ("level", "part", "says"),
    [
        ("loud", None, "loud: one of debug, info, warning, error is wanted"),
        ("info", "meet_trio.liev", "meet_trio.liev: no part has that name"),
    ],
)
def test_a_level_that_cannot_be_set(log: Log, level: str, part: str | None, says: str) -> None:
    before = log.levels.describe()
    with pytest.raises(ValueError, match=says):
        log.levels.set(level, part)
    assert log.levels.describe() == before
    with pytest.raises(ValueError, match="no level of its own"):
        log.levels.reset("meet_trio.live")


def test_tags_of_the_original_name_parts_that_exist() -> None:
    import meet_trio.app  # noqa: F401  # makes the loggers

    with open_log() as log:
        for part in {part for parts in TAGS.values() for part in parts}:
            log.levels.set("debug", part)


ALL_OF_ROOM = these("DIW", "room")


@pytest.mark.parametrize(
    ("level", "debug", "comes"),
    [
        ("warning", None, "W:room W:engine W:client"),
        ("info", "1", "I:room W:room I:engine W:engine W:client"),
        ("debug", None, f"{ALL_OF_ROOM} {these('DIW', 'engine')} W:client"),
        ("info", "kolabmeet-server*", f"{ALL_OF_ROOM} {these('DIW', 'engine')} W:client"),
        ("info", "kolabmeet-server:room", f"{ALL_OF_ROOM} I:engine W:engine W:client"),
        ("info", "*,-*engine", f"{ALL_OF_ROOM} I:engine W:engine {these('DIW', 'client')}"),
        ("info", "meet_trio.room mediasoup*", f"{ALL_OF_ROOM} I:engine W:engine W:client"),
    ],
)
def test_the_variable_debug(level: Level, debug: str | None, comes: str) -> None:
    with open_log(LogSettings(level=level, debug=debug)) as log:
        for name in ("meet_trio.room", "meet_trio.engine", "httpx.client"):
            for at in (logging.DEBUG, logging.INFO, logging.WARNING):
                logging.getLogger(name).log(at, "said")
        lines = [line.split() for line in log.lines]
    assert " ".join(f"{n[2][0]}:{n[3][:-1].rpartition('.')[2]}" for n in lines) == comes


def test_records_of_libraries_take_the_same_way() -> None:
    with open_log(LogSettings(format="json")) as log, bound(room="r"):
        logging.getLogger("hypercorn.error").warning("x\ny %s", "z", extra={"peer": "p"})
        (line,) = log.lines
    told = json.loads(line)
    del told["time"]
    assert told == {
        "level": "warning",
        "part": "hypercorn.error",
        "event": r"x\ny z",
        "room": "r",
        "peer": "p",
    }


def test_a_record_is_written_at_once_and_by_one_call() -> None:
    reading, writing = os.pipe2(os.O_DIRECT)  # one read returns what one write has written
    try:
        with open(writing, "w", buffering=1000) as stream, logging_as_before():
            stream.write("before")
            set_up_logging(LogSettings(), stream)
            for name in ("one", "zwölf"):
                logging.getLogger("meet_trio.x").error("request %s", name)
            came = [os.read(reading, 65536) for _ in range(3)]
    finally:
        os.close(reading)
    assert came[0] == b"before"
    assert [line.decode().partition(" request ")[2] for line in came[1:]] == ["one\n", "zwölf\n"]


def test_without_standard_error_nothing_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)  # as Python does if it is closed at the start
    with logging_as_before():
        set_up_logging(LogSettings())
        logging.getLogger("meet_trio.x").error("said")


def test_a_line_that_a_signal_interrupts_is_whole() -> None:
    reading, writing = os.pipe()
    room = fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    came = bytearray()

    def read() -> None:
        while chunk := os.read(reading, 1000):
            came.extend(chunk)

    def read_if_full(*args: object) -> None:
        waiting = fcntl.ioctl(reading, termios.FIONREAD, bytes(4))
        if int.from_bytes(waiting, sys.byteorder) == room:
            signal.setitimer(signal.ITIMER_REAL, 0)
            reader.start()

    reader = threading.Thread(target=read)
    before = signal.signal(signal.SIGALRM, read_if_full)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
        with open(writing, "w") as stream, logging_as_before():
            set_up_logging(LogSettings(), stream)
            try:
                raise ValueError("x\n" * 5000)
            except ValueError:
                logging.getLogger("meet_trio.x").exception("failed")
        reader.join()
    finally:
        signal.signal(signal.SIGALRM, before)
        os.close(reading)
    assert came.count(b"  | x\n") > 4000
    assert came.endswith(b"  | x\n  | \n")

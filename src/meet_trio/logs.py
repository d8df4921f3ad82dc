"""Protects the log from clients that flood it or forge lines in it.

``RepeatFilter`` limits the rate of equal records. The next record that passes says how many were
left out. Records are equal if they come from the same logger with the same text before formatting;
the values filled in may differ. Debug records are not limited: an operator who turns them on wants
all of them.

``LineFormatter`` escapes the text of every record. Methods, names and paths in it may come from
clients. Callers of a logger need not care about that.
"""

import fnmatch
import logging
import re
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal

import attrs

from meet_trio.rates import Bucket, Rate
from meet_trio.settings import kinds
from meet_trio.settings.about import about
from meet_trio.settings.kinds import one_of, or_none, whole

_MOST_KINDS = 1000  # the code has far fewer different texts


@attrs.frozen(kw_only=True)
class LogSettings:
    """``debug`` has patterns of loggers, see ``DebugPattern``."""

    level: Literal["debug", "info", "warning", "error"] = attrs.field(
        default="info",
        metadata=about(
            "process.log_level",
            one_of("debug", "info", "warning", "error"),
            "least level that is logged",
            operator=True,
            reload=True,
        ),
    )
    debug: str | None = attrs.field(
        default=None,
        metadata=about(
            "process.debug",
            or_none(kinds.TEXT),
            "patterns of loggers that are logged in full: kolabmeet-server*, or meet_trio.PART.*",
            env="DEBUG",
            operator=True,
            reload=True,
            example="meet_trio.live.*",
        ),
    )
    repeats: int = attrs.field(
        default=20,
        metadata=about(
            "process.log_repeats",
            whole(1, 1_000_000),
            "lines of the log that say the same at once; further ones come at one per second, "
            "with the number of those left out",
            reload=True,
        ),
    )


@attrs.define(eq=False)
class _Kind:
    """All records with the same text before formatting."""

    bucket: Bucket
    left_out: int = 0


class RepeatFilter(logging.Filter):
    """Limits the rate of equal records. It has to be added to the handlers, not to a logger: only
    filters of handlers get the records of all loggers.
    """

    def __init__(
        self,
        rate: Rate,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self._rate = rate
        self._clock = clock
        self._kinds: dict[tuple[str, str], _Kind] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record passes. If equal ones were left out before, their number is added to
        its text.
        """
        if record.levelno <= logging.DEBUG:
            return True
        if len(self._kinds) >= _MOST_KINDS:
            self._kinds.clear()
        key = (record.name, str(record.msg))
        kind = self._kinds.setdefault(key, _Kind(Bucket(self._rate)))
        if not kind.bucket.take(self._clock()):
            kind.bucket.give_back()  # records that are left out make no debt
            kind.left_out += 1
            return False
        if kind.left_out:
            record.msg = f"{record.getMessage()} ({kind.left_out} more like this were left out)"
            record.args = ()
            kind.left_out = 0
        return True


class LogLevels:
    """Levels of the log while the server runs. A part is the name of a logger without
    ``meet_trio.``, such as ``live.room``.
    """

    def set(self, level: str, part: str | None = None) -> None:
        logging.getLogger(_logger_name(part)).setLevel(level.upper())

    def reset(self, part: str | None = None) -> None:
        """Let a part follow the whole again; None: all parts."""
        names = [_logger_name(part)] if part else list(self._own_levels())
        for name in names:
            if name != _PACKAGE:
                logging.getLogger(name).setLevel(logging.NOTSET)

    def describe(self) -> dict[str, str]:
        """``{"meet_trio": "info", "meet_trio.live.room": "debug"}``: parts with a level of their
        own.
        """
        return {name: logging.getLevelName(at).lower() for name, at in self._own_levels().items()}

    def _own_levels(self) -> dict[str, int]:
        known = logging.root.manager.loggerDict
        names = sorted(name for name in known if name.startswith(f"{_PACKAGE}."))
        own = {name: logging.getLogger(name).level for name in names}
        whole = logging.getLogger(_PACKAGE).getEffectiveLevel()
        return {_PACKAGE: whole} | {name: level for name, level in own.items() if level}


_PACKAGE = "meet_trio"


def _logger_name(part: str | None) -> str:
    return _PACKAGE if part is None else f"{_PACKAGE}.{part.removeprefix(f'{_PACKAGE}.')}"


MOST_BYTES = 4096
"""The most bytes of UTF-8 in the text of one line. A traceback may have eight times as much."""

# characters that end a line, control a terminal, or change the direction of writing
_UNPRINTABLE = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def one_line(text: str) -> str:
    """``text`` with control characters escaped, and cut at ``MOST_BYTES`` of UTF-8. If it is cut,
    the number of its characters is added.
    """
    shown = _UNPRINTABLE.sub(_escape, text[:MOST_BYTES])
    encoded = shown.encode()
    if len(encoded) <= MOST_BYTES and len(text) <= MOST_BYTES:
        return shown
    shown = encoded[:MOST_BYTES].decode(errors="ignore")
    return f"{shown}… ({len(text)} characters in all)"


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    return {"\n": r"\n", "\r": r"\r", "\t": r"\t"}.get(
        found[0], f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
    )


class LineFormatter(logging.Formatter):
    """Writes each record as one line of limited length, so that no client can forge another record.
    The lines of a traceback follow, each behind a bar.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        record.message = one_line(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:  # noqa: N802
        text = super().formatException(ei)
        most = 8 * MOST_BYTES
        if len(text) > most:  # the beginning has the outermost calls, the end has the error
            text = f"{text[: most // 2]}\n…\n{text[-most // 2 :]}"
        return "\n".join(f"  | {one_line(line)}" for line in text.split("\n"))


_LOG_FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"


def set_up_logging(settings: LogSettings) -> None:
    """Log to standard error: this package from ``level`` on, libraries from warnings on.

    ``debug`` has patterns of loggers, as the DEBUG variable of the original server. Commas or
    blanks separate them, and a leading ``-`` excludes. Matching loggers are logged in full. The
    names of the original work too: ``kolabmeet-server`` is this package, and
    ``kolabmeet-server:room`` is ``meet_trio.room``.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(LineFormatter(_LOG_FORMAT))
    least = logging.getLevelNamesMapping()[settings.level.upper()]
    pattern = DebugPattern(settings.debug or "")
    if pattern.wanted:  # otherwise the loggers' levels alone decide
        handler.addFilter(
            lambda record: (
                record.levelno >= (least if _is_ours(record.name) else logging.WARNING)
                or pattern.matches(record.name)
            )
        )
    # It comes after the other filter, because only records that are shown count.
    handler.addFilter(RepeatFilter(Rate(per_second=1, burst=settings.repeats)))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.DEBUG if pattern.foreign else logging.WARNING)
    logging.getLogger("meet_trio").setLevel(logging.DEBUG if pattern.wanted else least)


def _is_ours(name: str) -> bool:
    return name == "meet_trio" or name.startswith("meet_trio.")


class DebugPattern:
    """The patterns of the variable DEBUG."""

    def __init__(self, text: str) -> None:
        words = [word for word in re.split(r"[\s,]+", text) if word]
        self.excluded = [word[1:] for word in words if word.startswith("-")]
        self.wanted = [word for word in words if not word.startswith("-")]
        # A pattern that names neither this package nor the original may match a library's logger.
        self.foreign = any(
            not word.startswith(("kolabmeet-server", "meet_trio")) for word in self.wanted
        )

    def matches(self, logger: str) -> bool:
        """Whether all records of a logger are shown."""
        names = [logger]
        if _is_ours(logger):
            part = logger.removeprefix("meet_trio").removeprefix(".")
            names.append(f"kolabmeet-server:{part}" if part else "kolabmeet-server")
        return _any_match(names, self.wanted) and not _any_match(names, self.excluded)


def _any_match(names: Sequence[str], patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for name in names for pattern in patterns)

"""A log that nobody can flood: of records that say the same, so many come through at once and so
many in the long run. The next one that does says how many were left out.

Two records say the same when their text before formatting is the same, whatever is filled in.
Debugging is left alone: who asks for it wants all of it.

And a log that nobody can forge: ``LineFormatter`` is the one place where what clients chose
(methods, names, paths) is made harmless, so that no call of a logger has to think of it.
"""

import logging
import re
import time
from collections.abc import Callable
from typing import Any

import attrs

from meet_trio.rates import Bucket, Rate

_MOST_KINDS = 1000  # texts that are written out in the code are far fewer


@attrs.define(eq=False)
class _Kind:
    bucket: Bucket
    left_out: int = 0


class RepeatFilter(logging.Filter):
    """For handlers."""

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
        """Whether it comes through; its text is changed when it has to say what did not."""
        if record.levelno <= logging.DEBUG:
            return True
        if len(self._kinds) >= _MOST_KINDS:
            self._kinds.clear()
        key = (record.name, str(record.msg))
        kind = self._kinds.setdefault(key, _Kind(Bucket(self._rate)))
        if not kind.bucket.take(self._clock()):
            kind.bucket.give_back()  # what is not written is no debt
            kind.left_out += 1
            return False
        if kind.left_out:
            record.msg = f"{record.getMessage()} ({kind.left_out} more like this were left out)"
            record.args = ()
            kind.left_out = 0
        return True


MOST_BYTES = 4096
"""Of one line's text, in UTF-8; of a traceback eight times as much."""

# what could end a line, move the cursor of a terminal, or turn the order of what is read around
_UNPRINTABLE = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def one_line(text: str) -> str:
    """``text`` with its control characters escaped, cut at ``MOST_BYTES`` of UTF-8; what is cut is
    counted in characters.
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
    """One record, one line, whatever clients have put into it: nobody writes a line in another's
    name, and none is endless. Lines of a traceback follow, each behind a bar.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        record.message = one_line(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:  # noqa: N802
        text = super().formatException(ei)
        most = 8 * MOST_BYTES
        if len(text) > most:  # the end says what went wrong, the beginning where it came from
            text = f"{text[: most // 2]}\n…\n{text[-most // 2 :]}"
        return "\n".join(f"  | {one_line(line)}" for line in text.split("\n"))

"""A log that nobody can flood: of records that say the same, so many come through at once and so
many in the long run. The next one that does says how many were left out.

Two records say the same when their text before formatting is the same, whatever is filled in.
Debugging is left alone: who asks for it wants all of it.
"""

import logging
import time
from collections.abc import Callable

import attrs

from .rates import Bucket, Rate

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

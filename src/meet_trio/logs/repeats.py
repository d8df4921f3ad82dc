"""Limits how often the log says the same.

Records are equal if they come from the same logger with the same text before formatting; the values
filled in may differ. The next record that passes says how many were left out.

A record with the id of a peer, or of a room, is part of that object's story. Such records have two
limits: a small one for each object, so that no client can flood the log with its own story, and a
large one for all objects, so that the stories of many calls are whole.

Debug records are not limited: an operator who turns them on wants all of them.
"""

import logging
import time
from collections.abc import Callable, Hashable

import attrs

from meet_trio.logs.context import bound_ids
from meet_trio.rates import Bucket, Rate

_MOST_KINDS = 1000  # the code has far fewer different texts
_MOST_OWN = 10_000  # kinds of single peers and rooms


@attrs.define(eq=False)
class _Kind(Bucket):
    """All records with the same text before formatting, or those of them with the same id."""

    left_out: int = 0

    def passes(self, now: float) -> bool:
        if self.take(now):
            return True
        self.give_back()  # records that are left out make no debt
        self.left_out += 1
        return False


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
        self._rate_of_one = Rate(rate.per_second / 5, max(1.0, rate.burst / 2))
        self._rate_of_all = Rate(rate.per_second * 10, rate.burst * 10)
        self._clock = clock
        self._kinds: dict[Hashable, _Kind] = {}
        self._own: dict[Hashable, _Kind] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record passes. If equal ones were left out before, their number is added to
        its text.
        """
        if record.levelno <= logging.DEBUG:
            return True
        text, now = (record.name, str(record.msg)), self._clock()
        whose = _whose(record)
        own = None
        if whose is None:
            kind = _kind(self._kinds, _MOST_KINDS, text, self._rate)
        else:
            own = _kind(self._own, _MOST_OWN, (text, whose), self._rate_of_one)
            if not own.passes(now):
                return False
            kind = _kind(self._kinds, _MOST_KINDS, (text, "of all"), self._rate_of_all)
        if not kind.passes(now):
            return False
        if left_out := kind.left_out + (own.left_out if own is not None else 0):
            record.msg = f"{record.getMessage()} ({left_out} more like this were left out)"
            record.args = ()
            kind.left_out = 0
            if own is not None:
                own.left_out = 0
        return True


def _whose(record: logging.LogRecord) -> object:
    """The id of the peer that a record is about, else of the room, else None."""
    given, bound = record.__dict__, bound_ids()
    for name in ("peer", "room"):
        if (found := given.get(name) or bound.get(name)) is not None:
            return found
    return None


def _kind(kinds: dict[Hashable, _Kind], most: int, key: Hashable, rate: Rate) -> _Kind:
    if (known := kinds.get(key)) is not None:
        return known
    if len(kinds) >= most:
        kinds.clear()
    return kinds.setdefault(key, _Kind(rate))

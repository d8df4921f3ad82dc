"""Sums of the engines' counters for a room. Any peer may ask for them, so the cost is bounded.

An engine reports all of its objects at once, so the cost of one report grows with the number of
objects in all rooms. Therefore each engine is asked at most once in ``INTERVAL`` seconds. Its
report is kept until the next one, and makes the sums for each transport of a room when they are
asked for.
"""

from collections import Counter
from collections.abc import Iterable, MutableMapping
from weakref import WeakKeyDictionary

import attrs
import trio

from meet_trio.engine import Stats
from meet_trio.media.engines import EngineError, EngineHost
from meet_trio.media.plain import Transport

INTERVAL = 10.0


@attrs.define(eq=False)
class _Report:
    """The last report of one engine; None if it has not answered."""

    lock: trio.Lock = attrs.field(factory=trio.Lock)
    asked_at: float = float("-inf")
    stats: Stats | None = None


@attrs.define(eq=False)
class EngineTotals:
    """The sums of all engines."""

    _engines: MutableMapping[EngineHost, _Report] = attrs.field(factory=WeakKeyDictionary)

    async def sum_over(self, transports: Iterable[Transport]) -> Counter[str]:
        """The sums over ``transports``, up to ``INTERVAL`` seconds old. An engine that does not
        answer adds nothing.
        """
        total: Counter[str] = Counter()
        for transport in tuple(transports):
            stats = await self._recent(transport.host)
            if stats is not None:
                total.update(stats.sums_of(transport.number))
        return total

    async def _recent(self, host: EngineHost) -> Stats | None:
        engine = self._engines.setdefault(host, _Report())
        if trio.current_time() - engine.asked_at < INTERVAL:
            return engine.stats
        async with engine.lock:
            # another task may have asked while this one waited for the lock
            if trio.current_time() - engine.asked_at >= INTERVAL:
                try:
                    engine.stats = await host.stats()
                except EngineError:
                    engine.stats = None
                engine.asked_at = trio.current_time()
        return engine.stats

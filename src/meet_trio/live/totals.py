"""Sums of the engines' counters for a room. Any peer may ask for them, so the cost is bounded.

An engine reports all of its objects at once, so the cost of one report grows with the number of
objects in all rooms. Therefore each engine is asked at most once in ``INTERVAL`` seconds. Of its
report only the sums for each transport are kept; a room's total is the sum over its transports.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any
from weakref import WeakKeyDictionary

import attrs
import trio

from meet_trio.media.engines import EngineError, EngineHost
from meet_trio.media.plain import Transport

INTERVAL = 10.0

_TRANSPORTS = ("packetsReceived", "bytesReceived", "packetsSent", "bytesSent")
_CONSUMERS = ("packetsLost", "nackCount", "pliCount")


@attrs.define(eq=False)
class _EngineSums:
    """The last report of one engine. ``sums``: by transport number, then by the engine's name of
    the counter.
    """

    lock: trio.Lock = attrs.field(factory=trio.Lock)
    asked_at: float = float("-inf")
    sums: Mapping[int, Counter[str]] = attrs.field(factory=dict)


@attrs.define(eq=False)
class EngineTotals:
    """The sums of all engines."""

    _engines: MutableMapping[EngineHost, _EngineSums] = attrs.field(factory=WeakKeyDictionary)

    async def sum_over(self, transports: Iterable[Transport]) -> Counter[str]:
        """The sums over ``transports``, up to ``INTERVAL`` seconds old. An engine that does not
        answer adds nothing.
        """
        total: Counter[str] = Counter()
        for transport in tuple(transports):
            sums = await self._recent(transport.host)
            total.update(sums.get(transport.number, Counter()))
        return total

    async def _recent(self, host: EngineHost) -> Mapping[int, Counter[str]]:
        engine = self._engines.setdefault(host, _EngineSums())
        if trio.current_time() - engine.asked_at < INTERVAL:
            return engine.sums
        async with engine.lock:
            # another task may have asked while this one waited for the lock
            if trio.current_time() - engine.asked_at >= INTERVAL:
                try:
                    engine.sums = _sums(await host.stats())
                except EngineError:
                    engine.sums = {}
                engine.asked_at = trio.current_time()
        return engine.sums


def _sums(figures: Mapping[str, object]) -> dict[int, Counter[str]]:
    sums = {
        int(number): Counter({name: entry[name] for name in _TRANSPORTS})
        for number, entry in _table(figures, "transports").items()
    }
    for entry in _table(figures, "consumers").values():
        own = sums.setdefault(entry["transport"], Counter())
        for name in _CONSUMERS:
            own[name] += entry[name]
    return sums


def _table(figures: Mapping[str, object], kind: str) -> Mapping[str, Any]:
    table = figures.get(kind)
    return table if isinstance(table, Mapping) else {}

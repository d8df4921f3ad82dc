"""What engines count for a room, in all, for those who ask without being trusted.

An engine tells about all of its objects or about none, and to hear that costs as much as there are
objects in all rooms. So it is asked at most once in ``INTERVAL`` seconds, for everybody; of its
answer only the sums for each transport are kept, from which a room's own are added up.
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
class _Engine:
    """``sums``: by transport number, then by the engine's names."""

    asking: trio.Lock = attrs.field(factory=trio.Lock)
    asked_at: float = float("-inf")
    sums: Mapping[int, Counter[str]] = attrs.field(factory=dict)


@attrs.define(eq=False)
class EngineTotals:
    """Of all engines."""

    _engines: MutableMapping[EngineHost, _Engine] = attrs.field(factory=WeakKeyDictionary)

    async def of(self, transports: Iterable[Transport]) -> Counter[str]:
        """Sums over these, up to ``INTERVAL`` seconds old; of an engine that does not answer there
        are none.
        """
        total: Counter[str] = Counter()
        for transport in tuple(transports):
            sums = await self._recent(transport.host)
            total.update(sums.get(transport.number, Counter()))
        return total

    async def _recent(self, host: EngineHost) -> Mapping[int, Counter[str]]:
        engine = self._engines.setdefault(host, _Engine())
        if trio.current_time() - engine.asked_at < INTERVAL:
            return engine.sums
        async with engine.asking:
            # unless somebody has just done it
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

"""The figures of single objects, out of the engines' reports."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from meet_trio.live.figures import EngineFigures, ask_engines, figures_of
from meet_trio.live.room import LiveRoom
from meet_trio.live.streams import LiveConsumer, LiveProducer
from meet_trio.media.engines import EngineHost
from meet_trio.media.plain import Transport

FigureTable = Literal["transports", "producers", "mirrors", "consumers"]
Figures = Mapping[str, Any]

NOTHING: Figures = {}
"""The figures of an object that its engine does not know, or of an engine that does not answer."""


class Reports:
    """One report of each engine that was asked. It reads the figures of an object on demand."""

    def __init__(self, engines: EngineFigures) -> None:
        self.engines = engines

    @classmethod
    async def ask(cls, hosts: Iterable[EngineHost]) -> "Reports":
        """Ask each engine once, all at the same time."""
        return cls(await ask_engines(set(hosts)))

    @classmethod
    async def of_rooms(cls, rooms: Iterable[LiveRoom]) -> "Reports":
        """Ask the engines that these rooms use."""
        return await cls.ask(host for room in rooms for host in room.placement.used)

    def transport(self, transport: Transport) -> Figures:
        return self._figures("transports", transport.host, transport.number)

    def producer(self, producer: LiveProducer) -> Figures:
        return self._figures("producers", producer.transport.host, producer.number)

    def consumer(self, consumer: LiveConsumer) -> Figures:
        return self._figures("consumers", consumer.transport.host, consumer.number)

    def engine(self, host: EngineHost) -> Figures:
        """Counters and gauges of an engine."""
        found: Figures = self.engines[host]["engine"] if host in self.engines else NOTHING
        return found

    def _figures(self, kind: FigureTable, host: EngineHost, number: int) -> Figures:
        return figures_of(self.engines, host, kind, number)


def streams(producer: Figures) -> list[Figures]:
    """The figures of a producer's encodings, the lowest first."""
    return list(producer.get("streams", ()))

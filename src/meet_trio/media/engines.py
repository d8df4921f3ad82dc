"""The one door to the engines: who owns one, and the Trio task that reads its events.

An ``EngineHost`` holds one engine (one C thread, one UDP port). Its task waits for the engine's
eventfd and hands each event on: those of a transport to that transport, those of a producer or
consumer into the bounded channel of their room. Those channels carry advice (layers, audio levels);
when one is full its event is dropped and counted, nobody waits.

Ids in the engines are integers, given out by the hosts and never used twice in the life of the
process, on whichever engine: a producer has the same id on every engine that it is mirrored to.
"""

import contextlib
import logging
from collections.abc import AsyncIterator, Iterator
from typing import Protocol

import trio

from meet_trio.engine import (
    AudioLevel,
    ConsumerScore,
    DtlsDatagram,
    Engine,
    EngineFailed,
    EngineSettings,
    Event,
    IceConnected,
    IceMoved,
    IceSilent,
    LayerChanged,
    PlainConnected,
    ProducerScore,
    StatsReady,
    StreamStarted,
)
from meet_trio.errors import MeetError

logger = logging.getLogger("meet_trio.media.engines")

STATS_DEADLINE = 2.0  # seconds; an engine answers between two batches of packets

TransportEvent = IceConnected | IceMoved | IceSilent | PlainConnected | DtlsDatagram


class EngineError(MeetError):
    """The engine does not answer or has failed."""


class TransportSink(Protocol):
    """What takes a transport's events; must return at once."""

    def handle_engine_event(self, event: TransportEvent) -> None: ...


class EngineHost:
    """One engine: its objects' ids, its events, its statistics."""

    def __init__(self, engine: Engine, numbers: Iterator[int]) -> None:
        self.engine = engine
        self.failure = trio.Event()
        self.peers = 0  # placed here, of all rooms
        self.dropped_events = 0
        self._numbers = numbers
        self._transports: dict[int, TransportSink] = {}
        self._producers: dict[int, trio.MemorySendChannel[Event]] = {}
        self._consumers: dict[int, trio.MemorySendChannel[Event]] = {}
        self._stats_waiting: dict[int, trio.MemorySendChannel[dict[str, object]]] = {}

    @property
    def failed(self) -> bool:
        """The engine's thread has ended by itself; it forwards nothing any more."""
        return self.failure.is_set()

    def new_number(self) -> int:
        return next(self._numbers)

    @contextlib.contextmanager
    def transport_events(self, number: int, sink: TransportSink) -> Iterator[None]:
        """Events of transport ``number`` go to ``sink`` for the time of the ``with``."""
        self._transports[number] = sink
        try:
            yield
        finally:
            del self._transports[number]

    def watch_producer(self, number: int, channel: trio.MemorySendChannel[Event]) -> None:
        self._producers[number] = channel

    def unwatch_producer(self, number: int) -> None:
        self._producers.pop(number, None)

    def watch_consumer(self, number: int, channel: trio.MemorySendChannel[Event]) -> None:
        self._consumers[number] = channel

    def unwatch_consumer(self, number: int) -> None:
        self._consumers.pop(number, None)

    def object_counts(self) -> dict[str, int]:
        """Entries that Python holds for this engine; all zero when no room is open."""
        return {
            "transports": len(self._transports),
            "producers": len(self._producers),
            "consumers": len(self._consumers),
            "stats": len(self._stats_waiting),
        }

    async def stats(self) -> dict[str, object]:
        """The engine's own figures, see ``Engine.request_stats``. Raises EngineError when it does
        not answer.
        """
        if self.failed:
            raise EngineError(f"the engine on port {self.engine.port} has failed")
        token = self.new_number()
        send, receive = trio.open_memory_channel[dict[str, object]](1)
        self._stats_waiting[token] = send
        try:
            self.engine.request_stats(token)
            with trio.fail_after(STATS_DEADLINE):
                return await receive.receive()
        except trio.TooSlowError:
            raise EngineError(f"the engine on port {self.engine.port} does not answer") from None
        finally:
            del self._stats_waiting[token]

    async def run(self) -> None:
        """Hand on events until cancelled."""
        while True:
            await trio.lowlevel.wait_readable(self.engine.event_fd)
            for event in self.engine.read_events():
                self._hand_on(event)

    def _hand_on(self, event: Event) -> None:
        match event:
            case IceConnected() | IceMoved() | IceSilent() | PlainConnected() | DtlsDatagram():
                # None: removed while the event was under way
                if (sink := self._transports.get(event.transport)) is not None:
                    sink.handle_engine_event(event)
            case LayerChanged(consumer=number) | ConsumerScore(consumer=number):
                self._advise(self._consumers.get(number), event)
            case (
                AudioLevel(producer=number)
                | ProducerScore(producer=number)
                | StreamStarted(producer=number)
            ):
                self._advise(self._producers.get(number), event)
            case StatsReady():
                if (waiting := self._stats_waiting.get(event.token)) is not None:
                    with contextlib.suppress(trio.WouldBlock):
                        waiting.send_nowait(event.stats)
            case EngineFailed():
                self.failure.set()
                logger.critical("engine on port %d failed: %s", self.engine.port, event.message)

    def _advise(self, channel: trio.MemorySendChannel[Event] | None, event: Event) -> None:
        if channel is None:
            return
        try:
            channel.send_nowait(event)
        except trio.WouldBlock:
            self.dropped_events += 1
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the room is closing


@contextlib.asynccontextmanager
async def open_engine(
    settings: EngineSettings, numbers: Iterator[int]
) -> AsyncIterator[EngineHost]:
    """An engine's thread and the task that reads its events, for the time of the ``async with``.

    ``numbers``: ids for its objects, shared by all engines that exchange streams. Raises OSError
    when the port cannot be had.
    """
    engine = Engine(settings)
    try:
        host = EngineHost(engine, numbers)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(host.run)
            try:
                yield host
            finally:
                nursery.cancel_scope.cancel()
    finally:
        engine.close()

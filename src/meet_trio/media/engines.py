"""The one door to the engines: who owns one, and the Trio task that reads its events.

An ``EngineHost`` holds one engine (one C thread, one UDP port). Its task waits for the engine's
eventfd and hands each event on: those of a transport to that transport, those of a producer or
consumer into the mailbox of their room. Those carry advice (layers, scores), of which only the
newest matters: a mailbox keeps one of each kind for each object, so it is bounded by them and loses
nothing. What rooms have no use for ends here.

An engine that is too busy to take commands has them wait (``Engine.waiting``). One that takes none
for ``TAKING_DEADLINE`` seconds has failed like one whose thread has ended.

Ids in the engines are integers, given out by the hosts and never used twice in the life of the
process, on whichever engine: a producer has the same id on every engine that it is mirrored to.
"""

import contextlib
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator
from typing import Protocol

import trio

from meet_trio.engine import (
    ConsumerScore,
    DtlsDatagram,
    Engine,
    EngineEvent,
    EngineFailed,
    EngineSettings,
    IceConnected,
    IceMoved,
    IceSilent,
    LayerChanged,
    PlainConnected,
    ProducerScore,
    StatsReady,
)
from meet_trio.errors import MeetError

logger = logging.getLogger("meet_trio.media.engines")

STATS_DEADLINE = 2.0  # seconds; an engine answers between two batches of packets
TAKING_DEADLINE = 10.0
LOOKS = 10  # in that time: a machine that was asleep for longer has had one of them

Advice = LayerChanged | ConsumerScore | ProducerScore
TransportEvent = IceConnected | IceMoved | IceSilent | PlainConnected | DtlsDatagram


class EngineError(MeetError):
    """The engine does not answer or has failed."""


class TransportSink(Protocol):
    """What takes a transport's events; must return at once."""

    def handle_engine_event(self, event: TransportEvent) -> None: ...


class Mailbox:
    """Advice for one room: of each kind the newest for each object that is watched."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[tuple[type[Advice], int], Advice] = OrderedDict()
        self._filled = trio.Event()

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, number: int, advice: Advice) -> None:
        """About object ``number``; what was said before of the same is forgotten."""
        self._waiting[type(advice), number] = advice
        self._filled.set()

    def forget(self, number: int) -> None:
        """The object is gone."""
        for kind in (LayerChanged, ConsumerScore, ProducerScore):
            self._waiting.pop((kind, number), None)

    async def take(self) -> Advice:
        """What waits for the longest, once there is something. For one reader."""
        while True:
            await trio.lowlevel.checkpoint()
            if self._waiting:
                return self._waiting.popitem(last=False)[1]
            self._filled = trio.Event()
            await self._filled.wait()


class EngineHost:
    """One engine: its objects' ids, its events, its statistics."""

    def __init__(self, engine: Engine, numbers: Iterator[int]) -> None:
        self.engine = engine
        self.failure = trio.Event()
        self.peers = 0  # placed here, of all rooms
        self._numbers = numbers
        self._transports: dict[int, TransportSink] = {}
        self._producers: dict[int, Mailbox] = {}
        self._consumers: dict[int, Mailbox] = {}
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

    def watch_producer(self, number: int, mailbox: Mailbox) -> None:
        self._producers[number] = mailbox

    def unwatch_producer(self, number: int) -> None:
        if (mailbox := self._producers.pop(number, None)) is not None:
            mailbox.forget(number)

    def watch_consumer(self, number: int, mailbox: Mailbox) -> None:
        self._consumers[number] = mailbox

    def unwatch_consumer(self, number: int) -> None:
        if (mailbox := self._consumers.pop(number, None)) is not None:
            mailbox.forget(number)

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
        in_vain = 0
        while True:
            with trio.move_on_after(TAKING_DEADLINE / LOOKS) as look:
                await trio.lowlevel.wait_readable(self.engine.event_fd)
            # an engine that takes some of what waits says so
            stuck = look.cancelled_caught and self.engine.waiting > 0
            in_vain = in_vain + 1 if stuck else 0
            if in_vain == LOOKS:
                self.engine.give_up()
                self._fail(f"it has taken no commands for {TAKING_DEADLINE:g} s")
            for event in self.engine.read_events():
                try:
                    self._hand_on(event)
                except Exception:
                    # of one object; the others' events come behind it
                    logger.exception("engine on port %d: %r is lost", self.engine.port, event)

    def _fail(self, why: str) -> None:
        self.failure.set()
        logger.critical("engine on port %d failed: %s", self.engine.port, why)

    def _hand_on(self, event: EngineEvent) -> None:
        match event:
            case IceConnected() | IceMoved() | IceSilent() | PlainConnected() | DtlsDatagram():
                # None: removed while the event was under way
                if (sink := self._transports.get(event.transport)) is not None:
                    sink.handle_engine_event(event)
            case LayerChanged(consumer=number) | ConsumerScore(consumer=number):
                if (mailbox := self._consumers.get(number)) is not None:
                    mailbox.put(number, event)
            case ProducerScore(producer=number):
                if (mailbox := self._producers.get(number)) is not None:
                    mailbox.put(number, event)
            case StatsReady():
                self._answer(event)
            case EngineFailed():
                self._fail(event.message)

    def _answer(self, event: StatsReady) -> None:
        # of requests that wait for the engine it gets the last: that is new enough for the others
        for token, waiting in self._stats_waiting.items():
            if token <= event.token:
                with contextlib.suppress(trio.WouldBlock):
                    waiting.send_nowait(event.stats)


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

"""The hosts of the engines: each owns one engine and runs the Trio task that reads its events.

An ``EngineHost`` holds one engine (one C thread, one UDP port). Its task waits for the engine's
eventfd. It gives the events of a transport to that transport. Events of producers and consumers are
advice (layers, scores, audio
levels), and go to the mailbox of their room. Only the newest advice of each kind
about an object matters, so a mailbox keeps only that. The number of objects bounds the mailbox.
Statistics and failures are handled here.

Commands to a busy engine wait (``Engine.waiting``). If an engine takes no commands for
``COMMAND_DEADLINE`` seconds while some wait, it has failed, like an engine whose thread has ended.

Objects in the engines have integer ids, called numbers. The hosts assign them. A number is unique
in the process, across all engines: the mirrors of a producer on other engines have its number.
"""

import contextlib
import logging
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from typing import Protocol, assert_never, get_args

import attrs
import trio

from meet_trio.deadlines import Deadlines
from meet_trio.engine import (
    AudioLevel,
    ConsumerScore,
    ConsumerStarted,
    DtlsDatagram,
    Engine,
    EngineEvent,
    EngineFailed,
    EngineSettings,
    IceConnected,
    IceMoved,
    IceSilent,
    LayerChanged,
    PacketsTraced,
    PlainConnected,
    ProducerScore,
    SnapshotReady,
    Stats,
    StatsReady,
    StreamStarted,
    aead_library,
)
from meet_trio.errors import LimitExceeded, MeetError, NotFound
from meet_trio.turns import Turns

logger = logging.getLogger("meet_trio.media.engines")

STATS_DEADLINE = 2.0  # seconds; an engine answers between two batches of packets
COMMAND_DEADLINE = 10.0  # seconds
# The number of checks within ``COMMAND_DEADLINE``. An engine has failed when all of them in a row
# found it stuck. The time alone would not do: it also passes while the machine is suspended.
CHECKS = 10

# A datagram of a handshake takes up to half a millisecond: two signatures and a key exchange.
DTLS_PER_TURN = 4

MOST_TAPS = 4  # transports of an engine that are traced at once
TAP_EVENTS = 256  # that wait for a slow reader
TAP_BYTES = 4 * 1024 * 1024  # of packets that wait for it

Advice = LayerChanged | ConsumerScore | ConsumerStarted | ProducerScore | AudioLevel | StreamStarted
TransportEvent = IceConnected | IceMoved | IceSilent | PlainConnected | DtlsDatagram
TappedEvent = TransportEvent | PacketsTraced | LayerChanged | ConsumerScore


class EngineError(MeetError):
    """The engine does not answer or has failed."""


class TransportSink(Protocol):
    """The receiver of a transport's events. It must not block."""

    def handle_engine_event(self, event: TransportEvent) -> None: ...


class Mailbox:
    """The advice for one room: the newest of each kind for each watched object."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[tuple[type[Advice], int], Advice] = OrderedDict()
        self._filled = trio.Event()

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, number: int, advice: Advice) -> None:
        """Add advice about the object ``number``. It replaces older advice of the same kind."""
        self._waiting[type(advice), number] = advice
        self._filled.set()

    def forget(self, number: int) -> None:
        """Drop the advice about the object ``number``: it is no longer watched."""
        for kind in get_args(Advice):
            self._waiting.pop((kind, number), None)

    async def take(self) -> Advice:
        """Wait for advice and return the oldest. There may be only one reader."""
        while True:
            await trio.lowlevel.checkpoint()
            if self._waiting:
                return self._waiting.popitem(last=False)[1]
            self._filled = trio.Event()
            await self._filled.wait()


@attrs.define(eq=False)
class Tap:
    """What an engine tells of one transport while it is traced: its packets and events, and the
    events of ``consumers``, which are numbers.

    What finds no room is lost. ``lost`` counts such packets, ``events_lost`` the other events.
    """

    transport: int
    consumers: Collection[int] = frozenset()
    lost: int = 0
    events_lost: int = 0
    _waiting: deque[TappedEvent] = attrs.field(factory=deque)
    _bytes: int = 0
    _over: bool = False
    _changed: trio.Event = attrs.field(factory=trio.Event)

    def put(self, event: EngineEvent) -> None:
        """Keep the event if it is about this transport or its consumers."""
        match event:
            case PacketsTraced() if event.transport == self.transport:
                if len(self._waiting) >= TAP_EVENTS or self._bytes >= TAP_BYTES:
                    self.lost += sum(1 for _ in event)
                    return
                self._bytes += len(event.records)
            case IceConnected() | IceMoved() | IceSilent() | PlainConnected() | DtlsDatagram():
                if event.transport != self.transport:
                    return
            case LayerChanged() | ConsumerScore():
                if event.consumer not in self.consumers:
                    return
            case _:
                return
        if len(self._waiting) >= TAP_EVENTS:
            self.events_lost += 1
            return
        self._waiting.append(event)
        self._changed.set()

    def end(self) -> None:
        """The transport or its engine has ended: nothing more will come."""
        self._over = True
        self._changed.set()

    async def take(self) -> TappedEvent | None:
        """The oldest event, as soon as there is one. None: it was the last. There may be only one
        reader.
        """
        while True:
            await trio.lowlevel.checkpoint()
            if self._waiting:
                event = self._waiting.popleft()
                if isinstance(event, PacketsTraced):
                    self._bytes -= len(event.records)
                return event
            if self._over:
                return None
            self._changed = trio.Event()
            await self._changed.wait()


class EngineHost:
    """One engine: its objects' ids, its events, its statistics. ``index``: its place among all."""

    def __init__(self, engine: Engine, numbers: Iterator[int], index: int = 0) -> None:
        self.engine = engine
        self.index = index
        self.failure = trio.Event()
        self.stuck_for = 0.0  # seconds for which it has taken no commands while some wait
        self.peers = 0  # peers of all rooms that are placed on this engine
        self.deadlines = Deadlines()  # of its transports; the registry runs them
        self._numbers = numbers
        self._transports: dict[int, TransportSink] = {}
        self._producers: dict[int, Mailbox] = {}
        self._consumers: dict[int, Mailbox] = {}
        self._levels: dict[int, Mailbox] = {}  # by producer
        self._taps: dict[int, Tap] = {}  # by transport
        self._stats_waiting: dict[int, trio.MemorySendChannel[Stats]] = {}
        self._snapshot_waiting: trio.MemorySendChannel[SnapshotReady] | None = None

    @property
    def failed(self) -> bool:
        """Whether the engine's thread has ended by itself, or takes no commands any more."""
        return self.failure.is_set()

    def new_number(self) -> int:
        return next(self._numbers)

    def watch_transport(self, number: int, sink: TransportSink) -> None:
        """Give the events of transport ``number`` to ``sink`` until ``unwatch_transport``."""
        self._transports[number] = sink

    def unwatch_transport(self, number: int) -> None:
        self._transports.pop(number, None)
        if (tap := self._taps.get(number)) is not None:
            tap.end()

    @contextlib.contextmanager
    def tap(self, number: int) -> Iterator[Tap]:
        """Trace transport ``number`` within the ``with`` block.

        Raises EngineError if the engine has failed, NotFound if it has no such transport, and
        LimitExceeded if ``MOST_TAPS`` are traced, or this one is.
        """
        if self.failed:
            raise EngineError(f"the engine on port {self.engine.port} has failed")
        if number not in self._transports:
            raise NotFound("the transport has ended")
        if number in self._taps:
            raise LimitExceeded("the transport is traced already")
        if len(self._taps) >= MOST_TAPS:
            raise LimitExceeded(f"{MOST_TAPS} transports of the same engine are traced already")
        tap = self._taps[number] = Tap(number)
        try:
            self.engine.trace_transport(number, True)
            yield tap
        finally:
            del self._taps[number]
            self.engine.trace_transport(number, False)

    def traces(self, number: int) -> bool:
        """Whether transport ``number`` is traced now."""
        return number in self._taps

    def watch_producer(self, number: int, mailbox: Mailbox) -> None:
        self._producers[number] = mailbox

    def watch_level(self, number: int, mailbox: Mailbox) -> None:
        """Put the producer's audio levels into ``mailbox`` too, until ``unwatch_producer``."""
        self.engine.watch_audio_level(number)
        self._levels[number] = mailbox

    def unwatch_producer(self, number: int) -> None:
        self._levels.pop(number, None)
        if (mailbox := self._producers.pop(number, None)) is not None:
            mailbox.forget(number)

    def watch_consumer(self, number: int, mailbox: Mailbox) -> None:
        self._consumers[number] = mailbox

    def unwatch_consumer(self, number: int) -> None:
        if (mailbox := self._consumers.pop(number, None)) is not None:
            mailbox.forget(number)

    def object_counts(self) -> dict[str, int]:
        """The number of entries that Python holds for this engine: all 0 if no room is open."""
        return {
            "transports": len(self._transports),
            "producers": len(self._producers),
            "consumers": len(self._consumers),
            "levels": len(self._levels),
            "taps": len(self._taps),
            "stats": len(self._stats_waiting),
        }

    async def stats(self) -> Stats:
        """The engine's statistics, see ``Engine.request_stats``. Raises EngineError if it has
        failed or does not answer.
        """
        if self.failed:
            raise EngineError(f"the engine on port {self.engine.port} has failed")
        token = self.new_number()
        send, receive = trio.open_memory_channel[Stats](1)
        self._stats_waiting[token] = send
        try:
            self.engine.request_stats(token)
            with trio.fail_after(STATS_DEADLINE):
                return await receive.receive()
        except trio.TooSlowError:
            raise EngineError(f"the engine on port {self.engine.port} does not answer") from None
        finally:
            del self._stats_waiting[token]

    async def snapshot(self) -> SnapshotReady:
        """What another machine needs to go on with this engine's objects, see
        ``Engine.request_snapshot``. One caller at a time. Raises EngineError if the engine has
        failed or does not answer.
        """
        if self.failed:
            raise EngineError(f"the engine on port {self.engine.port} has failed")
        token = self.new_number()
        self._snapshot_waiting, receive = trio.open_memory_channel[SnapshotReady](1)
        try:
            self.engine.request_snapshot(token)
            with trio.fail_after(STATS_DEADLINE):
                while (answer := await receive.receive()).token != token:
                    pass  # of a request that was given up
                return answer
        except trio.TooSlowError:
            raise EngineError(f"the engine on port {self.engine.port} does not answer") from None
        finally:
            self._snapshot_waiting = None

    async def run(self) -> None:
        """Read events and pass them on until cancelled. Notice an engine that takes no commands."""
        checks_stuck = 0
        while True:
            with trio.move_on_after(COMMAND_DEADLINE / CHECKS) as check:
                await trio.lowlevel.wait_readable(self.engine.event_fd)
            # while commands wait, an engine signals the eventfd when it has taken some
            stuck = check.cancelled_caught and self.engine.waiting > 0
            checks_stuck = checks_stuck + 1 if stuck else 0
            self.stuck_for = checks_stuck * COMMAND_DEADLINE / CHECKS
            if checks_stuck == CHECKS:
                self.engine.give_up()
                self._fail(f"it has taken no commands for {COMMAND_DEADLINE:g} s")
            turns = Turns(DTLS_PER_TURN)
            for event in self.engine.read_events():
                try:
                    self._dispatch(event)
                except Exception:
                    # a fault about one object must not hold up the events of the others
                    logger.exception("engine on port %d: %r is lost", self.engine.port, event)
                if isinstance(event, DtlsDatagram):
                    await turns.spend()

    def _fail(self, why: str) -> None:
        self.failure.set()
        for tap in self._taps.values():
            tap.end()
        logger.critical("engine on port %d failed: %s", self.engine.port, why)

    def _dispatch(self, event: EngineEvent) -> None:
        """Give an event to its receiver. Each type of event has a case, and mypy finds a missing
        one.
        """
        for tap in self._taps.values():
            tap.put(event)
        match event:
            case IceConnected() | IceMoved() | IceSilent() | PlainConnected() | DtlsDatagram():
                # None: the transport was removed after the engine had sent the event
                if (sink := self._transports.get(event.transport)) is not None:
                    sink.handle_engine_event(event)
            case (
                LayerChanged(consumer=number)
                | ConsumerScore(consumer=number)
                | ConsumerStarted(consumer=number)
            ):
                if (mailbox := self._consumers.get(number)) is not None:
                    mailbox.put(number, event)
            case ProducerScore(producer=number) | StreamStarted(producer=number):
                if (mailbox := self._producers.get(number)) is not None:
                    mailbox.put(number, event)
            case AudioLevel(producer=number):
                if (mailbox := self._levels.get(number)) is not None:
                    mailbox.put(number, event)
            case StatsReady():
                self._answer_stats(event)
            case SnapshotReady():
                if self._snapshot_waiting is not None:
                    with contextlib.suppress(trio.WouldBlock):
                        self._snapshot_waiting.send_nowait(event)
            case EngineFailed():
                self._fail(event.message)
            case PacketsTraced():
                pass  # for taps only
            case _:
                assert_never(event)

    def _answer_stats(self, event: StatsReady) -> None:
        # Requests that wait for a busy engine are merged into the last one. Its token is the
        # highest, and its answer is new enough for the earlier ones.
        for token, waiting in self._stats_waiting.items():
            if token <= event.token:
                with contextlib.suppress(trio.WouldBlock):
                    waiting.send_nowait(event.stats)


def tell_cipher(settings: EngineSettings) -> None:
    """Log which library encrypts the media of engines with these settings."""
    library = aead_library(settings.aead)
    why_not = f" ({library.why_not})" if library.why_not else ""
    logger.info("media is encrypted by %s%s", library.name, why_not)


@contextlib.asynccontextmanager
async def open_engine(
    settings: EngineSettings,
    numbers: Iterator[int],
    index: int = 0,
    *,
    sockets: Sequence[tuple[int, int]] = (),
    region: int = -1,
    held: bool = False,
) -> AsyncIterator[EngineHost]:
    """Run an engine's thread and the task that reads its events within the ``async with`` block.

    ``numbers`` gives the ids of its objects. All engines that exchange streams must share it.
    ``sockets`` and ``region``: see ``Engine``. With ``held`` the caller calls ``begin`` of the
    engine. Raises OSError if the engine cannot bind its port, ValueError if ``sockets`` are not
    those of ``settings``.
    """
    engine = Engine(settings, sockets, region, index)
    try:
        if not held:
            engine.begin()
        host = EngineHost(engine, numbers, index)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(host.run)
            try:
                yield host
            finally:
                nursery.cancel_scope.cancel()
    finally:
        engine.close()

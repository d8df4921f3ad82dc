"""The hosts of the engines: each owns one engine and runs the Trio task that reads its events.

An ``EngineHost`` holds one engine (one C thread, one UDP port). Its task waits for the engine's
eventfd. It gives the events of a transport to that transport. Events of producers and consumers are
advice (layers, scores, audio
levels), and go to the mailbox of their room. Only the newest advice of each kind
about an object matters, so a mailbox keeps only that. The number of objects bounds the mailbox.
Statistics and failures are handled here.

Commands to a busy engine wait (``Engine.waiting``). If an engine takes no commands for
``COMMAND_DEADLINE`` seconds while some wait, it has failed.

An engine whose thread has ended by itself is dead, and another one takes its place
(``successor``). That is one step of the loop: no other task sees a host without an engine, or one
that lacks an object. Commands that the dead engine has not taken are no loss, because an object is
given to the next one as it is then. An engine that dies too often has failed.

Objects in the engines have integer ids, called numbers. The hosts assign them. A number is unique
in the process, across all engines: the mirrors of a producer on other engines have its number.
"""

import contextlib
import logging
import select
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from typing import Protocol, assert_never, get_args

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
    EngineHeld,
    EngineSettings,
    IceConnected,
    IceMoved,
    IceSilent,
    Kept,
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
from meet_trio.errors import LimitExceeded, MeetError, NotFound, reason_of
from meet_trio.media.successor import (
    DEATHS_WITHIN,
    Deaths,
    EngineMaker,
    MemoryRegions,
    NotKept,
    Regions,
    Resident,
    Successors,
)
from meet_trio.media.taps import MOST_TAPS, Tap
from meet_trio.turns import Turns

logger = logging.getLogger("meet_trio.media.engines")

STATS_DEADLINE = 2.0  # seconds; an engine answers between two batches of packets
COMMAND_DEADLINE = 10.0  # seconds
DEFAULT_DEATHS = 3
# The number of checks within ``COMMAND_DEADLINE``. An engine has failed when all of them in a row
# found it stuck. The time alone would not do: it also passes while the machine is suspended.
CHECKS = 10

# A datagram of a handshake takes up to half a millisecond: two signatures and a key exchange.
DTLS_PER_TURN = 4

Advice = LayerChanged | ConsumerScore | ConsumerStarted | ProducerScore | AudioLevel | StreamStarted
TransportEvent = IceConnected | IceMoved | IceSilent | PlainConnected | DtlsDatagram


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


class EngineHost:
    """One engine: its objects, their ids, its events, its statistics. ``index``: its place among
    all. ``successors`` makes engines in its place; None: it has failed when it dies. ``deaths`` of
    them within ``DEATHS_WITHIN`` seconds are too many.
    """

    def __init__(
        self,
        engine: Engine,
        numbers: Iterator[int],
        index: int = 0,
        successors: Successors | None = None,
        deaths: int = DEFAULT_DEATHS,
    ) -> None:
        self.engine = engine  # another one after its death
        self.index = index
        self.failure = trio.Event()
        self.stuck_for = 0.0  # seconds for which it has taken no commands while some wait
        self.peers = 0  # peers of all rooms that are placed on this engine
        self.deadlines = Deadlines()  # of its transports; the registry runs them
        self.restarts = 0  # engines that took the place of one that had died
        self._successors = successors
        self._deaths = Deaths(deaths)
        self._residents: dict[Resident, None] = {}  # in the order in which they were made
        self._numbers = numbers
        self._transports: dict[int, TransportSink] = {}
        self._producers: dict[int, Mailbox] = {}
        self._consumers: dict[int, Mailbox] = {}
        self._levels: dict[int, Mailbox] = {}  # by producer
        self._taps: dict[int, Tap] = {}  # by transport
        self._stats_waiting: dict[int, trio.MemorySendChannel[Stats]] = {}
        self._holds: dict[int, trio.Event] = {}  # by token
        self._snapshot_waiting: trio.MemorySendChannel[SnapshotReady] | None = None
        self._sends_until = 0  # see ``send_until``

    @property
    def failed(self) -> bool:
        """Whether the engine's thread has ended by itself, or takes no commands any more."""
        return self.failure.is_set()

    def new_number(self) -> int:
        return next(self._numbers)

    def admit(self, resident: Resident, kept: Kept | None = None) -> None:
        """Give an object to the engine, and to each one that takes its place, until ``dismiss``.
        What it needs in the engine was admitted before. ``kept`` is what the engine of an earlier
        process has left; None: the object is new. Raises what ``enter_engine`` raises.
        """
        resident.enter_engine(kept)
        self._residents[resident] = None

    def dismiss(self, resident: Resident) -> bool:
        """The object is to be removed from the engine, by who has admitted it. False: the engine
        does not have it, because it was dismissed before or was lost.
        """
        return self._residents.pop(resident, self) is None

    def holds(self, resident: Resident) -> bool:
        """Whether it was admitted, and neither dismissed nor lost."""
        return resident in self._residents

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
            "residents": len(self._residents),
            "transports": len(self._transports),
            "producers": len(self._producers),
            "consumers": len(self._consumers),
            "levels": len(self._levels),
            "taps": len(self._taps),
            "stats": len(self._stats_waiting),
            "holds": len(self._holds),
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

    @contextlib.contextmanager
    def holding(self) -> Iterator[trio.Event]:
        """Hold the engine, see ``Engine.hold``. The event is set when it has answered."""
        token = self.new_number()
        held = self._holds[token] = trio.Event()
        try:
            self.engine.hold(token)
            yield held
        finally:
            del self._holds[token]

    def take_events(self) -> None:
        """Pass on what waits, without Trio."""
        for event in self.engine.read_events():
            self._dispatch_safely(event)

    def send_until(self, time: int) -> None:
        """See ``Engine.send_until``. It holds for engines in its place too."""
        self._sends_until = time
        self.engine.send_until(time)

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
            turns, death = Turns(DTLS_PER_TURN), None
            for event in self.engine.read_events():
                if isinstance(event, EngineFailed):
                    death = event.message
                self._dispatch_safely(event)
                if isinstance(event, DtlsDatagram):
                    await turns.spend()
            if death is not None and not self.failed:  # what it has told before was heard
                self._die(death)
                checks_stuck = 0

    def _dispatch_safely(self, event: EngineEvent) -> None:
        try:
            self._dispatch(event)
        except Exception:
            # a fault about one object must not hold up the events of the others
            logger.exception("engine on port %d: %r is lost", self.engine.port, event)

    def _fail(self, why: str) -> None:
        self.failure.set()
        for tap in self._taps.values():
            tap.end()
        logger.critical("engine on port %d failed: %s", self.engine.port, why)

    def _die(self, why: str) -> None:
        began = time.perf_counter()
        if self._successors is None:
            self._fail(why)
        elif not self._deaths.add(trio.current_time()):
            self._fail(f"{why}; that was death {self._deaths.count} in {DEATHS_WITHIN:g} s")
        else:
            try:
                lost = self._succeed(self._successors)
            except (OSError, ValueError) as error:
                self._fail(f"{why}; no other can take its place: {reason_of(error)}")
                return
            self.restarts += 1
            logger.error(
                "engine on port %d has died: %s; another one has its %d objects after %.0f ms",
                self.engine.port,
                why,
                len(self._residents),
                1000 * (time.perf_counter() - began),
            )
            for resident in lost:
                try:
                    resident.lost()
                except Exception:
                    logger.exception("ending an object that an engine has lost failed")

    def _succeed(self, successors: Successors) -> list[Resident]:
        """Put another engine in the place of the dead one. Returns the objects that it lacks."""
        dead = self.engine
        self.engine, kept = successors.make(dead)
        for damage in kept.damaged:
            logger.warning("engine on port %d: %s", self.engine.port, damage)
        lost = []
        for resident in list(self._residents):
            if not self._admit_again(resident, kept):
                self.dismiss(resident)
                lost.append(resident)
        for number in self._levels:
            self.engine.watch_audio_level(number)
        for number in self._taps:
            self.engine.trace_transport(number, True)
        if self._stats_waiting:
            self.engine.request_stats(max(self._stats_waiting))
        if self._sends_until:
            self.engine.send_until(self._sends_until)
        successors.begin(self.engine, dead)
        return lost

    def _admit_again(self, resident: Resident, kept: Kept) -> bool:
        try:
            resident.enter_engine(kept)
        except NotKept as error:
            logger.warning("engine on port %d has lost an object: %s", self.engine.port, error)
            return False
        except Exception:
            logger.exception("giving an object to the next engine failed")
            return False
        return True

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
            case EngineHeld(token=token):
                if (held := self._holds.get(token)) is not None:
                    held.set()
            case SnapshotReady():
                if self._snapshot_waiting is not None:
                    with contextlib.suppress(trio.WouldBlock):
                        self._snapshot_waiting.send_nowait(event)
            case EngineFailed():
                pass  # after the events that came before it, see ``run``
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


def hold_all(hosts: Collection[EngineHost], timeout: float) -> None:
    """Hold all engines of the process, so that another one can go on: none reads or sends any more,
    and nothing waits between them. What they have told until then is passed on. No other task runs
    meanwhile. They begin again if this raises. Raises EngineError if one does not answer for
    ``timeout`` seconds; one that has failed is held already.
    """
    deadline = time.monotonic() + timeout
    hosts = [host for host in hosts if not host.failed]
    try:
        for _ in range(2):  # what one has relayed before its hold waits for another
            with contextlib.ExitStack() as asked:
                _wait_until_held(
                    {one: asked.enter_context(one.holding()) for one in hosts}, deadline
                )
    except BaseException:
        for host in hosts:
            host.engine.begin()
        raise


def _wait_until_held(holds: Mapping[EngineHost, trio.Event], deadline: float) -> None:
    while waiting := [host for host, held in holds.items() if not held.is_set()]:
        left = deadline - time.monotonic()
        if left <= 0:
            raise EngineError(f"the engine on port {waiting[0].engine.port} does not answer")
        told = select.poll()
        for host in waiting:
            told.register(host.engine.event_fd, select.POLLIN)
        told.poll(left * 1e3)
        for host in holds:
            host.take_events()


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
    regions: Regions | None = None,
    held: bool = False,
    deaths: int = DEFAULT_DEATHS,
) -> AsyncIterator[EngineHost]:
    """Run an engine's thread and the task that reads its events within the ``async with`` block.

    ``numbers`` gives the ids of its objects. All engines that exchange streams must share it.
    ``sockets``: see ``Engine``. ``regions``: where its region and those of its successors lie;
    None: in memory that ends with the process. With ``held`` the caller calls ``begin`` of the
    engine. Raises OSError if the engine cannot bind its port, ValueError if ``sockets`` are not
    those of ``settings``.
    """
    maker = EngineMaker(settings, index, regions or MemoryRegions())
    with contextlib.closing(maker):
        host = EngineHost(maker.first(sockets), numbers, index, maker, deaths)
        try:
            if not held:
                host.engine.begin()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(host.run)
                try:
                    yield host
                finally:
                    nursery.cancel_scope.cancel()
        finally:
            host.engine.close()

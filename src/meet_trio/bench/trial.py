"""One run: rooms are made, peers join at a rate, media flows and is counted, the rooms are closed.

The peers' connections live in a nursery that outlives the work, so that a run that is stopped or
has failed still closes its rooms: the first peer of each is its owner and asks the server for it.
If that fails too, the server closes an empty room by itself.
"""

import contextlib
import itertools
import math
import os
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import attrs
import trio

from meet_trio.bench.api import Admission, Api
from meet_trio.bench.client import LoadClient
from meet_trio.bench.dtls import Identity
from meet_trio.bench.errors import BenchError
from meet_trio.bench.histogram import Histogram
from meet_trio.bench.joins import Joins, Lag, Newcomers
from meet_trio.bench.light_peer import RequestFailed
from meet_trio.bench.media import CrowdHost, open_crowd
from meet_trio.bench.process import usage
from meet_trio.bench.result import Result
from meet_trio.bench.samples import Interval, Sample
from meet_trio.bench.scenario import Scenario
from meet_trio.lag import Snapshot

_SUBSCRIBER, _PUBLISHER, _OWNER = 1, 2, 16  # bits of a role
_CLOSING_AT_ONCE = 50
_SETTLE = 0.5  # seconds, for what is under way when the feeds stop
_MOST_SAMPLES = 3600
_PING_INTERVAL = 0.1  # seconds; one peer after the other
_MOST_PINGS = 10_000
_ENDED = OSError, trio.BrokenResourceError, trio.ClosedResourceError
_MOST_REASONS = 20  # kinds of failure that are told apart


@attrs.define(eq=False)
class Trial:
    """``pids``: the server's processes, if they are on this machine. ``on_sample`` is called about
    once a second with the newest interval, ``on_phase`` with what is done now.
    """

    api: Api
    scenario: Scenario
    pids: Sequence[int] = ()
    ssl_context: ssl.SSLContext | None = None
    on_phase: Callable[[str], None] = lambda text: None
    on_sample: Callable[[Interval], None] = lambda interval: None
    close_timeout: float = 5.0
    """Seconds, for all rooms."""
    clients: list[LoadClient] = attrs.field(factory=list)
    """Without newcomers."""
    _owners: list[LoadClient] = attrs.field(factory=list)
    _rooms: list[str] = attrs.field(factory=list)
    _hosts: list[CrowdHost] = attrs.field(factory=list)
    _later: CrowdHost | None = None
    """The newcomers' own, so that their media is counted by itself."""
    _numbers: dict[str, int] = attrs.field(factory=dict)
    """The publishers' numbers by their peers' ids."""
    _work: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    _samples: list[Sample] = attrs.field(factory=list)
    _pings: list[float] = attrs.field(factory=list)
    _joined: Sequence[LoadClient] = ()
    """Those of the last time of joining, whose figures count."""
    _begun: Sample | None = None
    _joining: Interval | None = None
    _measuring: Interval | None = None
    _lag: Lag | None = None
    _newcomers: Newcomers | None = None

    def stop(self) -> None:
        """End the work; ``run`` closes the rooms and returns what there is."""
        self._work.cancel()

    async def run(self) -> Result:
        """Raises BenchError if the server cannot be used."""
        async with AsyncExitStack() as stack:
            identity = Identity.generate()
            for _ in range(self.scenario.threads):
                opening = open_crowd(identity, join=self.scenario.join_datagrams)
                self._hosts.append(await stack.enter_async_context(opening))
            if self.scenario.newcomers:
                opening = open_crowd(identity, join=self.scenario.join_datagrams)
                self._later = await stack.enter_async_context(opening)
            async with trio.open_nursery() as nursery:
                try:
                    with self._work:
                        await self._do_work(nursery)
                    return await self._result()
                finally:
                    with trio.CancelScope(shield=True), trio.move_on_after(self.close_timeout):
                        await self._close_rooms()
                    nursery.cancel_scope.cancel()

    async def _do_work(self, nursery: trio.Nursery) -> None:
        self.on_phase("making rooms")
        self._begun = await self._sample()
        await self._invite()
        if self.scenario.quiet_joins:
            self._set_silent(True)
        publishers = [c for c in self.clients if c.publisher is not None]
        subscribers = [c for c in self.clients if c.publisher is None]
        self.on_phase(f"{len(publishers)} publishers join")
        await self._join(nursery, publishers)
        failures = [c.failure for c in publishers if c.failure is not None]
        if failures:
            raise BenchError(f"a publisher cannot join: {failures[0]}")
        if subscribers:
            self.on_phase(f"{len(subscribers)} subscribers join")
            await self._join(nursery, subscribers)
        if self.scenario.quiet_joins:
            self._set_silent(False)
        self.on_phase("warming up")
        await self._watch(self.scenario.warm_up)
        self.on_phase("measuring")
        self._samples.clear()
        self._pings.clear()
        turns = await self.api.lag()
        async with self._pinging(self._pings):
            await self._watch(self.scenario.duration)
        self._measuring = Interval(self._samples[0], self._samples[-1])
        self._lag = await self._lag_since(turns)
        if self._later is not None:
            await self._receive(nursery, self._later)
        self._set_silent(True)
        await trio.sleep(_SETTLE)

    def _set_silent(self, silent: bool) -> None:
        for host in self._hosts:
            host.crowd.set_silent(silent)

    # rooms and peers

    async def _invite(self) -> None:
        """Make the rooms and invite the peers; nobody connects yet."""
        scenario = self.scenario
        each = scenario.publishers + scenario.subscribers
        for _ in range(scenario.rooms):
            room = await self.api.create_room()
            self._rooms.append(room)
            for index in range(each):
                publishes = index < scenario.publishers
                role = _SUBSCRIBER | (_PUBLISHER if publishes else 0) | (0 if index else _OWNER)
                invitation = await self.api.create_peer(room, role)
                if publishes:
                    self._numbers[invitation.peer] = len(self._numbers)
                client = LoadClient(
                    scenario,
                    self._hosts[len(self.clients) % len(self._hosts)],
                    partial(_at_once, invitation),
                    self._numbers,
                    self._numbers[invitation.peer] if publishes else None,
                    scenario.viewed(publisher=publishes),
                    self.ssl_context,
                )
                self.clients.append(client)
                if index == 0:
                    self._owners.append(client)

    async def _join(self, nursery: trio.Nursery, clients: Sequence[LoadClient]) -> None:
        """Let clients join at the rate of the scenario, and wait for all of them."""
        before = await self._sample()
        await self._let_in(nursery, clients, self.scenario.join_rate)
        self._joining = Interval(before, await self._sample())
        self._joined = clients

    async def _let_in(
        self, nursery: trio.Nursery, clients: Sequence[LoadClient], rate: float
    ) -> None:
        began = time.monotonic()
        for number, client in enumerate(clients):
            await trio.sleep(max(0.0, began + number / rate - time.monotonic()))
            nursery.start_soon(client.stay)
        for client in clients:
            await client.settled.wait()

    async def _receive(self, nursery: trio.Nursery, host: CrowdHost) -> None:
        """Let the newcomers come, and watch those who are there."""
        scenario, rooms = self.scenario, itertools.cycle(self._rooms)
        viewed = scenario.viewed(publisher=False)
        clients = [
            LoadClient(
                scenario,
                host,
                partial(self.api.create_peer, next(rooms), _SUBSCRIBER),
                self._numbers,
                None,
                viewed,
                self.ssl_context,
            )
            for _ in range(scenario.newcomers)
        ]
        self.on_phase(f"{len(clients)} newcomers join")
        pings: list[float] = []
        turns = await self.api.lag()
        before, own = await self._sample(), await self._sample([host])
        async with self._pinging(pings):
            await self._let_in(nursery, clients, scenario.newcomer_rate)
        others = Interval(before, await self._sample())
        self._newcomers = Newcomers(
            self._joins_of(clients, others, clients),
            others,
            Interval(own, await self._sample([host])),
            pings,
            await self._lag_since(turns),
        )

    async def _close_rooms(self) -> None:
        self.on_phase("closing rooms")
        limiter = trio.CapacityLimiter(_CLOSING_AT_ONCE)

        async def close(owner: LoadClient) -> None:
            if owner.peer is None or owner.peer.closed.is_set():
                return
            async with limiter:
                # otherwise the room is closed already, or its peers are about to go
                with contextlib.suppress(RequestFailed, *_ENDED):
                    await owner.peer.request("moderator:closeRoom", {})

        async with trio.open_nursery() as nursery:
            for owner in self._owners:
                nursery.start_soon(close, owner)

    # figures

    async def _sample(self, hosts: Sequence[CrowdHost] = ()) -> Sample:
        """``hosts``: these alone; empty: all but the newcomers'."""
        reports = [await host.report() for host in hosts or self._hosts]
        counters: Counter[str] = Counter()
        delay = Histogram()
        for report in reports:
            counters.update(report.counters)
            delay = delay.plus(Histogram(report.delays))
        return Sample(
            at=time.monotonic(),
            counters={name: counters[name] for name in reports[0].counters},
            delay=delay,
            longest_delay=max(report.longest_delay for report in reports),
            server=usage(self.pids) if self.pids else None,
            generator=usage([os.getpid()]),
            threads=len(reports),
        )

    async def _watch(self, seconds: float) -> None:
        """Take samples for this time."""
        count = max(1, min(_MOST_SAMPLES, math.ceil(seconds)))
        start = time.monotonic()
        self._samples.append(await self._sample())
        for number in range(1, count + 1):
            await trio.sleep(max(0.0, start + number * seconds / count - time.monotonic()))
            self._samples.append(await self._sample())
            self.on_sample(Interval(*self._samples[-2:]))

    async def _lag_since(self, before: Snapshot | None) -> Lag | None:
        after = await self.api.lag() if before is not None else None
        return None if before is None or after is None else Lag(before, after)

    @asynccontextmanager
    async def _pinging(self, pings: list[float]) -> AsyncIterator[None]:
        """Measure round trips of signaling, one peer after the other."""

        interval = max(_PING_INTERVAL, self.scenario.duration / _MOST_PINGS)

        async def ping() -> None:
            for client in itertools.cycle(self.clients):
                start = time.monotonic()
                if client.peer is not None and client.failure is None:
                    with contextlib.suppress(RequestFailed, *_ENDED):
                        await client.peer.request("ping")
                        pings.append(time.monotonic() - start)
                await trio.sleep(interval)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ping)
            yield
            nursery.cancel_scope.cancel()

    async def _result(self) -> Result:
        return Result(
            scenario=self.scenario,
            begun=self._begun,
            joins=self._joins(),
            joining=self._joining,
            measuring=self._measuring,
            final=await self._sample(),
            samples=tuple(self._samples),
            pings=tuple(self._pings),
            stopped=self._work.cancelled_caught,
            lag=self._lag,
            newcomers=self._newcomers,
        )

    def _joins(self) -> Joins:
        """Of those who joined last; the failures are everybody's."""
        return self._joins_of(self._joined or self.clients, self._joining, self.clients)

    def _joins_of(
        self,
        clients: Sequence[LoadClient],
        interval: Interval | None,
        may_have_failed: Sequence[LoadClient],
    ) -> Joins:
        well = [c for c in clients if c.settled.is_set() and c.failure is None]
        reasons = Counter(c.failure for c in may_have_failed if c.failure is not None)
        server = None if interval is None else interval.server
        # with quiet joins media has waited for the last one, but not for newcomers
        watched = [] if self.scenario.quiet_joins and clients is self._joined else well
        return Joins(
            wanted=len(clients),
            done=len(well),
            seconds=0.0 if interval is None else interval.seconds,
            signaling=[c.joined for c in well if c.joined is not None],
            connected=[c.connected for c in well if c.connected is not None],
            first_media=[c.first_media for c in watched if c.first_media is not None],
            all_media=[c.all_media for c in watched if c.all_media is not None],
            failures=dict(reasons.most_common(_MOST_REASONS)),
            cpu=None if server is None else server.cpu,
        )


async def _at_once(invitation: Admission) -> Admission:
    return invitation

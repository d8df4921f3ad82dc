"""The server that holds the lease: it renews it, and writes what has changed.

Two connections: what is large must not keep a beat waiting.
"""

import logging
import time
import zlib
from collections.abc import Callable, Sequence

import attrs
import trio

from meet_trio.errors import MeetError
from meet_trio.journal.lease_note import NO_LEASE_BEFORE, LeaseBefore, LeaseNote
from meet_trio.media.engines import EngineError, EngineHost
from meet_trio.redis_state import scripts
from meet_trio.redis_state.candidate import LOOKS, READ_TIMEOUT, Taken
from meet_trio.redis_state.lease import Holding
from meet_trio.redis_state.link import Link, RedisGone, open_link
from meet_trio.redis_state.scripts import FORGOTTEN_AFTER, key
from meet_trio.redis_state.sealing import Sealer
from meet_trio.redis_state.settings import RedisSettings
from meet_trio.redis_state.store import Batch, RedisStore

logger = logging.getLogger("meet_trio.redis_state.holder")

_RETRY = 0.25


class LeaseLost(MeetError):
    """Another server holds the lease. This one must end, and write nothing."""


class _Stale(RedisGone):
    """Redis has done a later command already."""


@attrs.define(eq=False)
class LeaseHolder:
    """``before``: what this server's own process before has noted; its lease is this one's.
    ``note``: where this process notes the same. ``hosts`` are those of the engines, which begin
    after ``ready``.
    """

    settings: RedisSettings
    sealer: Sealer
    owner: str
    before: LeaseBefore = NO_LEASE_BEFORE
    taken: Taken = attrs.field(factory=Taken)
    note: LeaseNote | None = None
    store: RedisStore = attrs.field(factory=RedisStore)
    hosts: Sequence[EngineHost] = ()
    clock: Callable[[], float] = time.monotonic
    holding: Holding = attrs.field(init=False)
    _fence: int = attrs.field(init=False)
    _sequence: int = 0
    _data: str = ""  # the key of what Redis has; empty: all has to be written
    _generation: int = 0
    _last_beat: int = 0
    _ceilings: bool = True  # an engine may have those of the one before it
    _failing: bool = False
    _silent: bool = False
    _ready: trio.Event = attrs.field(factory=trio.Event)

    def __attrs_post_init__(self) -> None:
        self._fence = self.taken.fence
        self.holding = self._new_holding()
        self._bind()

    def _new_holding(self) -> Holding:
        if self._fence:
            return Holding(self.settings.lease, self.taken.sent)
        if self.before.until is None:
            return Holding(self.settings.lease, self.clock())
        # Redis has not been asked yet, and a standby may take the lease of the process before.
        return Holding(self.settings.lease, self.before.until - self.settings.lease, bound=True)

    def follow(self, before: LeaseBefore) -> None:
        """Another process has held the lease until now, and does nothing any more."""
        self.before = before
        self.holding = self._new_holding()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled. Raises LeaseLost."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._renew)
            nursery.start_soon(self._write)
            task_status.started()

    def ready(self) -> None:
        """The store has all that goes on. From now on it replaces what is in Redis. The engines
        may begin.
        """
        self._bind()
        self._ready.set()

    async def give_up(self) -> None:
        """A clean end: another server may begin at once, and finds nothing. ``run`` has ended."""
        try:
            async with open_link(self.settings) as link:
                await link.call(
                    scripts.GIVE_UP, [self._key("lease"), self._key("fast")], self.owner
                )
        except RedisGone as error:
            logger.warning("the state in Redis is left for an hour: %s", error)

    # Beats

    async def _renew(self) -> None:
        interval = self.settings.lease / LOOKS
        async with open_link(self.settings) as link:
            while True:
                sent = self.clock()
                try:
                    await self._beat(link, sent, interval)
                except RedisGone as error:
                    self._fail(error)
                self._bind()
                await trio.sleep(max(0.0, sent + interval - self.clock()))

    async def _beat(self, link: Link, sent: float, limit: float) -> None:
        beat = self.holding.next_beat()
        self._bind()
        answer = await link.call(
            scripts.BEAT,
            [self._key("lease"), self._key("standby"), self._key("fast")],
            self.owner,
            self._fence,
            beat.number,
            beat.watched,
            FORGOTTEN_AFTER,
            limit=min(limit, self.settings.timeout),
        )
        if answer[0] == 0:
            await self._take_again(link, answer[1].decode(), int(answer[2]))
        elif answer[0] == 1:
            self.holding.answered(beat, sent, answer[1] == b"1")
            if int(answer[2]) < self._last_beat or answer[3].decode() != self._data:
                self._data = ""  # Redis has lost what it had
                self.store.work.set()
            self._last_beat = beat.number

    async def _take_again(self, link: Link, owner: str, fence: int) -> None:
        """Redis has lost the lease, has read an older one from its disk, or was not there when this
        server began.
        """
        if fence >= self._fence and owner not in ("", *self.before.owners):
            self._lose()
        sent = self.clock()
        taken = await link.call(
            scripts.TAKE,
            [self._key("lease"), self._key("fast"), self._key("standby")],
            self.owner,
            owner,
            self._fence,
            "*",
            round(self.settings.lease * 1000),
            FORGOTTEN_AFTER,
            1,
        )
        if taken is not None:
            self._fence, self._sequence, self._last_beat, self._data = taken[0], 0, 0, ""
            self.holding.taken_again(sent)
            self.before = NO_LEASE_BEFORE
            self.store.work.set()

    def _lose(self) -> None:
        for host in self.hosts:
            host.send_until(1)
        logger.error("another server has taken the lease, and this one has stopped sending")
        raise LeaseLost("another server has taken the lease")

    def _bind(self) -> None:
        """Tell the engines until when they may send, and the next process here."""
        until = self.holding.sends_until
        if self.note is not None:
            self.note.write(LeaseBefore((*self.before.owners, self.owner), until))
        for host in self.hosts:
            host.send_until(0 if until is None else round(until * 1e6))
        silent = until is not None and self.clock() >= until
        if silent and not self._silent:
            logger.error("nothing is sent: Redis does not answer, and a standby may take over")
        if self._silent and not silent:
            logger.info("media is sent again")
        self._silent = silent

    # Records and snapshots

    async def _write(self) -> None:
        await self._ready.wait()
        async with open_link(self.settings) as link:
            due = self.clock()
            while True:
                self._lift_ceilings()
                try:
                    if self._fence:
                        await self._write_records(link)
                        if self.clock() >= due and self.holding.watched:
                            due = self.clock() + self.settings.snapshot
                            await self._write_snapshots(link, self.holding.watched)
                        self._succeed()
                except RedisGone as error:
                    if not isinstance(error, _Stale):
                        self._fail(error)
                    await trio.sleep(_RETRY)
                pause = due - self.clock() if self.holding.watched else _RETRY
                with trio.move_on_after(max(0.01, min(pause, _RETRY))):
                    await self.store.work.wait()

    async def _write_records(self, link: Link) -> None:
        if self._data and self.store.changed_size <= self.settings.batch:
            if self.store.changed:
                await self._put(link, self._data, self.store.take(), counts=False)
            return
        self._generation += 1
        data = self._key(f"data:{self.owner}.{self._generation}")
        self.store.take()
        for keys in self.store.slices(self.settings.batch):
            await self._put(link, data, Batch(self.store.payloads(keys)), counts=False)
        await self._put(link, data, self.store.take(), counts=True)
        self._data = data

    async def _put(self, link: Link, data: str, batch: Batch, *, counts: bool) -> None:
        sealer = self.sealer
        self._sequence += 1
        arguments: list[bytes | str | int] = [sealer.name(key) for key in batch.drops]
        for name, payload in batch.puts:
            field = sealer.name(name)
            arguments += [field, sealer.seal(field, name.encode() + b"\0" + payload)]
        try:
            answer = await link.call(
                scripts.WRITE,
                [self._key("lease"), data],
                self.owner,
                self._fence,
                self._sequence,
                int(counts),
                FORGOTTEN_AFTER,
                len(batch.drops),
                *arguments,
                limit=max(READ_TIMEOUT, self.settings.timeout),
            )
            if answer != 1:
                raise _Stale("the lease has changed")
        except BaseException:
            self.store.give_back(batch)
            raise

    async def _write_snapshots(self, link: Link, watched: int) -> None:
        self._sequence += 1
        sequence = self._sequence
        arguments: list[bytes | str | int] = []
        taken: list[tuple[EngineHost, int]] = []
        self._ceilings = True
        for host in self.hosts:
            try:
                ready = await host.snapshot()
            except EngineError:
                continue  # it has failed, and health says so
            field = b"%d" % host.index
            packed = zlib.compress(ready.snapshot, 1)
            arguments += [field, self.sealer.seal(b"fast " + field, packed)]
            taken.append((host, ready.token))
        answer = await link.call(
            scripts.SNAPSHOT,
            [self._key("lease"), self._key("fast")],
            self.owner,
            self._fence,
            sequence,
            watched,
            FORGOTTEN_AFTER,
            *arguments,
        )
        if answer != 1:
            raise _Stale("the lease has changed")
        for host, token in taken:
            host.engine.snapshot_stored(token)

    def _lift_ceilings(self) -> None:
        """Once it is not bound no snapshot is left in Redis, and none that is on its way is taken
        there any more.
        """
        if self._ceilings and self.holding.sends_until is None:
            self._ceilings = False
            for host in self.hosts:
                host.engine.snapshot_stored(0)

    def _fail(self, error: RedisGone) -> None:
        if not self._failing:
            self._failing = True
            logger.error("the state of calls is not kept in Redis: %s", error)

    def _succeed(self) -> None:
        if self._failing:
            self._failing = False
            logger.info("the state of calls is kept in Redis again")

    def _key(self, part: str) -> str:
        return key(self.sealer.server, part)

"""Waiting for the lease, and reading what the holder before has left."""

import logging
import time
import zlib
from collections.abc import Callable, Mapping, Sequence

import attrs
import trio

from meet_trio.engine import Kept
from meet_trio.redis_state import scripts
from meet_trio.redis_state.lease import GIVEN_UP, Candidacy, Lease
from meet_trio.redis_state.link import Link, RedisGone, open_link
from meet_trio.redis_state.scripts import FORGOTTEN_AFTER, key
from meet_trio.redis_state.sealing import Sealer, Unsealable
from meet_trio.redis_state.settings import RedisSettings

logger = logging.getLogger("meet_trio.redis_state.candidate")

LOOKS = 3
"""In the time of a lease."""
SIGN = 3
"""Leases for which the sign of a candidate lasts."""
SILENT = 5
"""Leases without a beat after which an operator is told."""
READ_TIMEOUT = 10.0
_LONGEST_SNAPSHOT = 2**28
_OLDEST = 3600.0


@attrs.frozen
class Taken:
    """``fence`` 0: Redis was not reached, and the lease is not held yet. ``sent``: when the lease
    was asked for. ``local``: this server's own process was the holder before, so what it has left
    on this machine counts. Otherwise ``entries`` and ``engines`` do.
    """

    fence: int = 0
    sent: float = 0.0
    local: bool = True
    entries: Mapping[str, bytes] = attrs.field(factory=dict)
    engines: Sequence[Kept] = ()


@attrs.define(eq=False)
class Candidate:
    """``owner``: this process. ``before``: names of the processes of this server before it, which
    have ended. ``waits`` is called once if the lease is not free.
    """

    settings: RedisSettings
    sealer: Sealer
    owner: str
    before: Sequence[str]
    waits: Callable[[], None] = lambda: None
    clock: Callable[[], float] = time.monotonic
    _told: bool = False
    _told_silence: bool = False
    _waiting: bool = False

    async def acquire(self) -> Taken:
        """The lease. A server without standby does not wait for a Redis that is gone."""
        settings = self.settings
        candidacy = Candidacy(self.owner, settings.lease, not settings.standby)
        failing = False
        async with open_link(settings) as link:
            while True:
                try:
                    taken = await self._try(link, candidacy)
                    if taken is not None:
                        return taken
                    failing = False
                    self._wait()
                except RedisGone as error:
                    if not settings.standby:
                        logger.error("no state is kept in Redis: %s", error)
                        return Taken()
                    if not failing:
                        logger.error("waiting for Redis, without which no lease is had: %s", error)
                    failing = True
                await trio.sleep(settings.lease / LOOKS)

    async def _try(self, link: Link, candidacy: Candidacy) -> Taken | None:
        seen = await self._look(link)
        own = seen.owner in self.before
        if not own and not candidacy.may_take(seen, self.clock()):
            self._tell(seen, candidacy)
            return None
        sent = self.clock()
        taken = await link.call(
            scripts.TAKE,
            [self._key("lease"), self._key("fast"), self._key("standby")],
            self.owner,
            seen.owner,
            seen.fence,
            "*" if own else seen.beat,
            round(self.settings.lease * 1000),
            FORGOTTEN_AFTER,
            int(own),
        )
        if taken is None:
            return None
        found = await link.call(
            scripts.READ,
            [self._key("lease"), taken[1].decode() or self._key("data"), self._key("fast")],
            self.owner,
            limit=max(READ_TIMEOUT, self.settings.timeout),
        )
        if found is None:
            return None
        local = own or (not seen.owner and not self.settings.standby)
        if not local and seen.owner:
            logger.warning("this server takes over from another one")
        return Taken(
            taken[0],
            sent,
            local,
            {} if local else self._entries(found[0]),
            self._engines(found[1], found[2]),
        )

    def _wait(self) -> None:
        if not self._waiting:
            self._waiting = True
            self.waits()

    async def _look(self, link: Link) -> Lease:
        found = await link.call(
            scripts.LOOK,
            [self._key("lease"), self._key("standby")],
            self.owner if self.settings.standby else "",
            round(self.settings.lease * SIGN * 1000),
        )
        owner, *numbers = ((value or b"").decode() for value in found)
        fence, beat, watched, ttl = (int(number or 0) for number in numbers)
        return Lease(owner, fence, beat, watched, ttl / 1000)

    def _tell(self, seen: Lease, candidacy: Candidacy) -> None:
        if seen.owner and not self._told:
            self._told = True
            logger.info("another server holds the lease; this one waits for it")
        since = candidacy.unwatched_since
        silent = since is not None and self.clock() - since > self.settings.lease * SILENT
        if silent and not self._told_silence:
            logger.warning(
                "the holder of the lease is silent, and may go on alone: if it has ended, say"
                " HSET %s owner %s to Redis",
                self._key("lease"),
                GIVEN_UP,
            )
        self._told_silence = silent

    def _entries(self, fields: Sequence[bytes]) -> Mapping[str, bytes]:
        entries: dict[str, bytes] = {}
        refused: str | None = None
        count = 0
        for field, sealed in zip(fields[::2], fields[1::2], strict=True):
            try:
                name, _, payload = self.sealer.open(field, sealed).partition(b"\0")
            except Unsealable as error:
                refused, count = str(error), count + 1
                continue
            entries[name.decode()] = payload
        if refused is not None:
            logger.error("%d records in Redis cannot be read: %s", count, refused)
        return entries

    def _engines(self, fields: Sequence[bytes], now: int) -> Sequence[Kept]:
        """``now``: the time of Redis in ms."""
        found = []
        at = int(dict(zip(fields[::2], fields[1::2], strict=True)).get(b"at", now))
        age = min(max(0.0, (now - at) / 1000), _OLDEST)
        for field, sealed in zip(fields[::2], fields[1::2], strict=True):
            if not field.isdigit():
                continue
            try:
                packed = self.sealer.open(b"fast " + field, sealed)
                snapshot = zlib.decompressobj().decompress(packed, _LONGEST_SNAPSHOT)
                found.append(Kept.from_snapshot(int(field), snapshot, age))
            except (ValueError, zlib.error) as error:
                logger.error("the numbers of engine %d cannot be read: %s", int(field), error)
        return found

    def _key(self, part: str) -> str:
        return key(self.sealer.server, part)

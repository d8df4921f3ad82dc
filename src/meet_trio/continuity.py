"""What this process takes over from the one before it, and leaves for the next.

    sockets        kept by the service manager (``kept_sockets``)
    the log        records of rooms, peers, transports, streams (``journal``)
    regions        a file for each engine: numbers, replay windows (``engine/c/base/region.h``)

The files of the process before are read first. This process writes its own beside them, until all
is taken over. ``commit`` then makes its own the ones that count, and the engines begin.
"""

import contextlib
import itertools
import logging
import os
import re
import socket
from collections.abc import Iterator, Mapping, Sequence

import attrs

from meet_trio.engine import EngineSettings, Kept, read_kept
from meet_trio.errors import ConfigError, reason_of
from meet_trio.journal.clock import boot_id, boot_time
from meet_trio.journal.directory import StateDirectory, open_state
from meet_trio.journal.folder import Folder, overwrite
from meet_trio.journal.follow import LogFollower
from meet_trio.journal.journal import Journal
from meet_trio.journal.lease_note import NO_LEASE_BEFORE, LeaseBefore, read_lease
from meet_trio.journal.log import StateLog, read_log
from meet_trio.journal.settings import StateSettings
from meet_trio.kept_sockets import KeptSockets
from meet_trio.media.successor import MemoryRegions, Regions
from meet_trio.records import RecordStore, of_kinds

_OF_ANY_AGE = frozenset({"api_token", "webhook"})
"""The kinds of records that are true also after the calls."""

logger = logging.getLogger("meet_trio.continuity")


@attrs.frozen
class RegionFiles:
    """The files of the engines' regions. ``folder`` is this process's."""

    folder: Folder

    def create(self, index: int) -> int:
        """See ``Regions``. Until it counts it has a name that a later process does not read."""
        with contextlib.suppress(FileNotFoundError):
            self.folder.remove(_new_region(index))
        return self.folder.create(_new_region(index))

    def adopt(self, index: int) -> None:
        self.folder.rename(_new_region(index), _region(index))

    def discard(self, descriptor: int) -> None:
        """It may have had passwords."""
        try:
            overwrite(descriptor)
        finally:
            os.close(descriptor)


_NUMBER = re.compile(rb'"number": ?(\d{1,10})')
_SKIPPED_NUMBERS = 2**20
"""More than an engine has got between two snapshots."""


@attrs.frozen
class Stores:
    """Several, which all keep everything."""

    stores: Sequence[RecordStore]

    def put(self, key: str, payload: bytes) -> None:
        for store in self.stores:
            store.put(key, payload)

    def drop(self, key: str) -> None:
        for store in self.stores:
            store.drop(key)

    def flush(self) -> None:
        for store in self.stores:
            store.flush()


@attrs.define(eq=False)
class Continuity:
    """``entries`` are those of the log of the process before, ``engines`` what its engines have
    left. ``journal`` None: nothing is kept on this machine. ``lease_before``: what that process has
    noted about its lease. ``exact`` False: they are of another machine, and older than its end.
    """

    sockets: KeptSockets
    directory: StateDirectory | None = None
    journal: Journal | None = None
    entries: Mapping[str, bytes] = attrs.field(factory=dict)
    engines: Sequence[Kept] = ()
    lease_before: LeaseBefore = NO_LEASE_BEFORE
    exact: bool = True
    redis: RecordStore | None = None
    _ended: bool = False
    _follower: LogFollower | None = None
    _numbers: Iterator[int] = attrs.field(factory=lambda: itertools.count(1))

    @property
    def store(self) -> RecordStore | None:
        """Where records are kept."""
        stores = [one for one in (self.journal, self.redis) if one is not None]
        return Stores(stores) if len(stores) > 1 else stores[0] if stores else None

    def go_on_from(self, entries: Mapping[str, bytes], engines: Sequence[Kept]) -> None:
        """Another machine has left this. What a process here has left is older."""
        self.entries, self.engines, self.exact = entries, engines, False
        self._count_numbers()

    def new_number(self) -> int:
        """For a new object in the engines: above those of all that is resumed."""
        return next(self._numbers)

    def check_successor(self) -> None:
        """Raises ConfigError if this process cannot go on with all that another one, which runs,
        will leave: settings have changed that need a restart.
        """
        if self.directory is None or self.directory.before is None:
            raise ConfigError("http.host, http.port and state.dir: another value needs a restart")
        if any(name.startswith("media-") for name in self.sockets.unused):
            raise ConfigError(
                "media.listen_ip, media.port and media.workers: another value needs a restart"
            )

    def follow(self) -> Mapping[str, bytes]:
        """The entries of the log of the process before, which still runs, as they are by now."""
        if self.directory is None or self.directory.before is None or self.sockets.clean_start:
            return {}
        if self._follower is None:
            self._follower = LogFollower(self.directory.before)
        return self._follower.read()

    def read(self, grace: float) -> Sequence[str]:
        """Read what the process before has left. What ended more than ``grace`` seconds ago is not
        taken over. Returns what cannot be read, in words.
        """
        if self.directory is None or self.directory.before is None or self.sockets.clean_start:
            return []
        before = self.directory.before
        log = read_log(before) if self._follower is None else self._follower.finish()
        for damage in log.damaged:
            logger.warning("the log of the process before: %s", damage)
        why = log.too_old(boot_time(), boot_id(), grace)
        if why is not None:
            logger.warning("the calls of the process before are over: %s", why)
            self.entries = of_kinds(log.entries, _OF_ANY_AGE)
            return [*log.damaged, why]
        self.entries = log.entries
        lost = list(log.damaged)
        self.lease_before = read_lease(self.directory.before)
        self.engines = list(_read_regions(self.directory.before, lost))
        self._count_numbers()
        return lost

    def _count_numbers(self) -> None:
        used = [
            number
            for engine in self.engines
            for kept in (engine.transports, engine.producers, engine.consumers)
            for number in kept
        ]
        if not self.exact:  # the records and the engines are of different times
            used += [int(n) for one in self.entries.values() for n in _NUMBER.findall(one)]
            used.append(max(used, default=0) + _SKIPPED_NUMBERS)
        self._numbers = itertools.count(max(used, default=0) + 1)

    @property
    def regions(self) -> Regions:
        """Files for the regions of engines."""
        if self.directory is None:
            return MemoryRegions()
        return RegionFiles(self.directory.current)

    def take_sockets(self, index: int, engine: EngineSettings) -> list[tuple[int, int]]:
        """The sockets of an engine before; empty if one of them is missing."""
        found: list[tuple[socket.socket, socket.socket]] = []
        for number in range(len(engine.listen_ips)):
            pair = [self.sockets.take(name) for name in _names(index, number)]
            if None in pair:
                for one in (*pair, *(one for both in found for one in both)):
                    if one is not None:
                        one.close()
                return []
            found.append((pair[0], pair[1]))  # type: ignore[arg-type]
        return [(udp.detach(), tcp.detach()) for udp, tcp in found]

    def keep_sockets(self, index: int, sockets: Sequence[tuple[int, int]]) -> None:
        """Hand the sockets of an engine to the next process."""
        for number, pair in enumerate(sockets):
            for name, fd in zip(_names(index, number), pair, strict=True):
                self.sockets.keep(name, fd)

    def flush(self) -> None:
        """Write what has changed, so that less is left for ``commit``."""
        if self.journal is not None:
            self.journal.flush()

    def commit(self) -> None:
        """This process has taken over all that it could."""
        if self.directory is None:
            return
        if self.journal is not None:
            self.journal.flush()
        self.directory.commit()
        self.entries, self.engines, self._follower = {}, (), None

    def wipe_before(self) -> None:
        """Wipe what the process before has left. May take a tenth of a second."""
        if self.directory is not None:
            self.directory.wipe_before()
            self.directory.forget_others()

    def end(self) -> None:
        """A clean end: nothing is left, once the engines have ended. They use their regions."""
        self._ended = True


@contextlib.contextmanager
def open_continuity(
    settings: StateSettings, sockets: KeptSockets, server: str, lock: int | None = None
) -> Iterator[Continuity]:
    """``server`` names this server. ``lock``: see ``open_state``.

    Raises ConfigError if the directory that an operator chose cannot be used.
    """
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(open_state(settings, server, lock))
        if directory is None:
            yield Continuity(sockets)
            return
        log = StateLog(directory.current, settings, boot_id(), boot_time())
        stack.callback(log.close)
        found = Continuity(sockets, directory, Journal(log))
        try:
            yield found
        finally:
            if found._ended:
                directory.remove()


def _read_regions(before: Folder, lost: list[str]) -> Iterator[Kept]:
    for name in sorted(os.listdir(before.descriptor)):
        if not name.startswith("engine-"):
            continue
        try:
            descriptor = before.open(name)
            if descriptor is None:
                continue
            try:
                yield read_kept(descriptor)
            finally:
                os.close(descriptor)
        except (OSError, ValueError) as error:
            logger.warning("%s of the process before: %s", name, reason_of(error))
            lost.append(f"{name}: {reason_of(error)}")


def _region(index: int) -> str:
    return f"engine-{index}"


def _new_region(index: int) -> str:
    return f"new-engine-{index}"


def _names(index: int, number: int) -> tuple[str, str]:
    return f"media-{index}-udp-{number}", f"media-{index}-tcp-{number}"

"""What this process takes over from the one before it, and leaves for the next.

    sockets        kept by the service manager (``kept_sockets``)
    the log        records of rooms, peers, transports, streams (``journal``)
    regions        a file for each engine: numbers, replay windows (``engine/c/base/region.h``)

The files of the process before are read first. This process writes its own beside them, until all
is taken over. ``commit`` then makes its own the ones that count, and the engines begin.
"""

import contextlib
import logging
import os
import re
import socket
from collections.abc import Iterator, Mapping, Sequence

import attrs

from meet_trio.engine import EngineSettings, Kept, read_kept
from meet_trio.errors import reason_of
from meet_trio.journal.clock import boot_id, boot_time
from meet_trio.journal.directory import StateDirectory, open_state
from meet_trio.journal.folder import Folder
from meet_trio.journal.journal import Journal
from meet_trio.journal.log import StateLog, read_log
from meet_trio.journal.settings import StateSettings
from meet_trio.kept_sockets import KeptSockets
from meet_trio.records import RecordStore

logger = logging.getLogger("meet_trio.continuity")


_OWNER = "owner"
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
    left. ``journal`` None: nothing is kept on this machine. ``owner_before`` is what that process
    has written by ``write_owner``. ``exact`` False: they are of another machine, and older than
    its end.
    """

    sockets: KeptSockets
    directory: StateDirectory | None = None
    journal: Journal | None = None
    entries: Mapping[str, bytes] = attrs.field(factory=dict)
    engines: Sequence[Kept] = ()
    owner_before: str = ""
    exact: bool = True
    redis: RecordStore | None = None

    @property
    def store(self) -> RecordStore | None:
        """Where records are kept."""
        stores = [one for one in (self.journal, self.redis) if one is not None]
        return Stores(stores) if len(stores) > 1 else stores[0] if stores else None

    def go_on_from(self, entries: Mapping[str, bytes], engines: Sequence[Kept]) -> None:
        """Another machine has left this. What a process here has left is older."""
        self.entries, self.engines, self.exact = entries, engines, False

    def write_owner(self, owner: str) -> None:
        """Let the next process here know whose lease it goes on with."""
        if self.directory is not None:
            folder = self.directory.current
            descriptor = folder.create(_OWNER)
            try:
                folder.write_at(descriptor, owner.encode(), 0)
            finally:
                os.close(descriptor)

    @property
    def first_number(self) -> int:
        """Numbers of new objects in the engines begin here."""
        used = [
            number
            for engine in self.engines
            for kept in (engine.transports, engine.producers, engine.consumers)
            for number in kept
        ]
        if not self.exact:  # the records and the engines are of different times
            used += [int(n) for one in self.entries.values() for n in _NUMBER.findall(one)]
            used.append(max(used, default=0) + _SKIPPED_NUMBERS)
        return max(used, default=0) + 1

    def open_region(self, index: int) -> int:
        """The descriptor of a new file for an engine, which the caller closes; -1: it has none."""
        if self.directory is None:
            return -1
        return self.directory.current.create(_region(index))

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

    def commit(self) -> None:
        """This process has taken over all that it could."""
        if self.directory is None:
            return
        if self.journal is not None:
            self.journal.flush()
        self.directory.commit()
        self.entries, self.engines = {}, ()

    def wipe_before(self) -> None:
        """Wipe what the process before has left. May take a tenth of a second."""
        if self.directory is not None:
            self.directory.wipe_before()
            self.directory.forget_others()

    def end(self) -> None:
        """A clean end: nothing is left."""
        if self.directory is not None:
            self.directory.remove()


@contextlib.contextmanager
def open_continuity(
    settings: StateSettings, sockets: KeptSockets, server: str, grace: float
) -> Iterator[Continuity]:
    """``server`` names this server. What ended more than ``grace`` seconds ago is not taken over.

    Raises ConfigError if the directory that an operator chose cannot be used.
    """
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(open_state(settings, server))
        if directory is None:
            yield Continuity(sockets)
            return
        now = boot_time()
        log = StateLog(directory.current, settings, boot_id(), now)
        stack.callback(log.close)
        found = Continuity(sockets, directory, Journal(log))
        if directory.before is not None and not sockets.clean_start:
            _read(found, directory.before, now, grace)
        yield found


def _read_owner(before: Folder) -> str:
    try:
        descriptor = before.open(_OWNER)
        if descriptor is None:
            return ""
        with open(descriptor, "rb") as file:
            return file.read(256).decode("ascii")
    except (OSError, ValueError):
        return ""


def _read(found: Continuity, before: Folder, now: float, grace: float) -> None:
    log = read_log(before)
    for damage in log.damaged:
        logger.warning("the log of the process before: %s", damage)
    why = log.too_old(now, boot_id(), grace)
    if why is not None:
        logger.warning("the calls of the process before are over: %s", why)
        return
    found.entries = log.entries
    found.owner_before = _read_owner(before)
    found.engines = list(_read_regions(before))


def _read_regions(before: Folder) -> Iterator[Kept]:
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


def _region(index: int) -> str:
    return f"engine-{index}"


def _names(index: int, number: int) -> tuple[str, str]:
    return f"media-{index}-udp-{number}", f"media-{index}-tcp-{number}"

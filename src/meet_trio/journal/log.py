"""The append log of slow state. Pure but for the system calls of its folder; time is passed in.

``put`` and ``drop`` change the entries in memory and note their keys. ``flush`` writes all that was
noted by one call of ``pwrite``, as one turn (``format``). What is put twice in a turn is written
once. Nothing is synced to a disk: on tmpfs a write is kept once it has returned, whatever becomes
of the process.

A write that fails, because the file system is full or the log has reached its size, ends nothing.
What it left is cut off, and the keys stay noted: they are at most the objects that live, and those
that were dropped since. The log says it once, tries again after ``RETRY`` seconds, and says when it
has caught up. It catches up in slices, which are one turn for a reader.

What is replaced or dropped stays in the file as dead bytes. ``compact`` writes a new file, when

- more bytes are dead than alive, and more than ``FLOOR``,
- an entry was dropped ``wipe_within`` seconds ago: it may hold the keys of a call that has ended,
- or the log has reached its size, and would not without the dead bytes.

It works in slices of ``SLICE_ENTRIES`` entries or about ``SLICE_BYTES``, one for each call, so no
turn of the loop is long. Entries that change meanwhile go into the old file as ever, and are noted
for the new one. A slice takes as many more as have changed since the last one, so the work always
comes to its end. Then the new file takes the old one's name, in one system call: before it
the old file is whole, after it the new one is. The old one is overwritten, in slices too, and then
removed. If the new file does not fit, it is given up, and wiped too. ``RETRY_COMPACTION`` seconds
later it is tried again.

All payloads stay in memory, so the new file does not depend on what the old one still holds. That
is as much again as the live bytes of the log.
"""

import contextlib
import logging
import os

import attrs

from meet_trio.errors import reason_of
from meet_trio.journal.folder import ZEROS, Folder, LogFolder
from meet_trio.journal.format import (
    ENTRY_SIZE,
    HEADER_SIZE,
    MARK_SIZE,
    MAX_KEY,
    MAX_PAYLOAD,
    KeptLog,
    beat_offset,
    encode_beat,
    encode_entry,
    encode_header,
    parse,
)
from meet_trio.journal.settings import LARGEST, StateSettings

logger = logging.getLogger("meet_trio.journal.log")

NAME = "log"
_NEW_NAME, _OLD_NAME = "log.new", "log.old"
FLOOR = 2**20
RETRY = 1.0
RETRY_COMPACTION = 10.0
SLICE_ENTRIES = 64
SLICE_BYTES = 2**16
_NEVER = float("inf")


class _Full(OSError):
    pass


@attrs.define(eq=False)
class _File:
    """``unwritten``: the keys whose entries it does not have as they are now, and whether it has an
    earlier one. ``changed``: how often one of them has changed since the last write. ``in_turn``:
    its last turn has no end yet.
    """

    descriptor: int
    mark: bytes
    unwritten: dict[str, bool] = attrs.field(factory=dict)
    changed: int = 0
    size: int = HEADER_SIZE
    next_sequence: int = 0
    in_turn: bool = False
    torn: bool = False  # something is behind ``size``

    @property
    def is_current(self) -> bool:
        return not (self.unwritten or self.in_turn)


class StateLog:
    """A new log in ``folder``. ``boot`` is the boot id; ``now`` is CLOCK_BOOTTIME in seconds, here
    and in all methods. ``close`` must be called in the end; it removes nothing.

    The file is made at once, which may raise OSError. No later call does.
    """

    def __init__(self, folder: LogFolder, settings: StateSettings, boot: bytes, now: float) -> None:
        self._folder = folder
        self._settings = settings
        self._boot = boot
        self._live: dict[str, bytes] = {}
        self._live_size = 0  # bytes of their entries
        self._beats = 0
        self._retry_at = -_NEVER  # for a turn that could not be written
        self._failing = False
        self._full = False  # for lack of ``max_size``
        self._file = self._create(NAME, now)
        # what follows is about a new file in place of the present one
        self._next: _File | None = None
        self._compact_at = -_NEVER  # after one that was given up
        self._wipe_at = _NEVER  # when dropped entries have to be overwritten
        self._old: _File | None = None  # is overwritten; ``size`` is what is left

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self._file.size

    @property
    def live_size(self) -> int:
        """Those of them that a new file would have too."""
        return HEADER_SIZE + self._live_size

    @property
    def unwritten(self) -> int:
        """Entries that are not in the file as they are now."""
        return len(self._file.unwritten)

    def put(self, key: str, payload: bytes) -> None:
        """Have an entry, or have it in place of the earlier one. Raises ValueError if key or
        payload is too long for an entry; then nothing has changed.
        """
        if not 0 < len(key.encode()) <= MAX_KEY or len(payload) > MAX_PAYLOAD:
            raise ValueError(f"no entry of a log: {key[:80]!r}, {len(payload)} bytes")
        self._note(key)
        self._live_size += _size(key, payload)
        self._live[key] = payload

    def drop(self, key: str) -> None:
        """Have no entry of that key."""
        if key not in self._live:
            return
        self._note(key)
        del self._live[key]
        for file in (self._file, self._next):
            if file is not None and not file.unwritten[key]:
                del file.unwritten[key]  # it has never heard of it

    @property
    def is_current(self) -> bool:
        """Whether all that has changed is written."""
        return self._file.is_current

    def flush(self, now: float) -> bool:
        """Write what has changed since the last call, as one turn. Returns whether there is more to
        write at once, which is so after trouble only.
        """
        file = self._file
        if now < self._retry_at:
            file.changed = 0  # or all would be written at once
            return False
        if file.is_current:
            return False
        try:
            keys = self._write_slice(file)
        except OSError as error:
            self._fail(error, now)
            return False
        if any(key not in self._live for key in keys):
            self._wipe_at = min(self._wipe_at, now + self._settings.wipe_within)
        if file.is_current:
            self._caught_up()
        return not file.is_current

    def compact(self, now: float) -> bool:
        """Do a slice of what is due. Returns whether there is more to do at once. ``flush`` comes
        before it.
        """
        if self._old is not None:
            self._wipe_slice(self._old)
            return True
        if self._next is None and not self._due(now):
            return False
        try:
            if self._next is None:
                self._begin_next(now)
            else:
                if not self._next.is_current:
                    self._write_slice(self._next)
                if self._next.is_current:
                    self._replace(self._next, now)
        except OSError as error:
            logger.debug("the log could not be written anew: %s", reason_of(error))
            self._give_up_next(now)
        return self._next is not None or self._old is not None

    def beat(self, now: float) -> None:
        """Say in the file that the process lives."""
        try:
            self._beats += 1
            self._beat(self._file, now)
        except OSError as error:
            self._fail(error, now)
        else:
            if self._file.is_current:
                self._caught_up()

    def close(self) -> None:
        for file in (self._file, self._next, self._old):
            if file is not None:
                self._folder.close(file.descriptor)

    def _note(self, key: str) -> None:
        """The entry of that key changes now."""
        there = key in self._live
        if there:
            self._live_size -= _size(key, self._live[key])
        for file in (self._file, self._next):
            if file is not None:
                file.unwritten.setdefault(key, there)
                file.changed += 1

    def _fail(self, error: OSError, now: float) -> None:
        self._retry_at = now + RETRY
        self._full = isinstance(error, _Full)
        if not self._failing:
            self._failing = True
            logger.error("the state of calls is not kept: %s", reason_of(error))

    def _caught_up(self) -> None:
        self._retry_at = -_NEVER
        self._full = False
        if self._failing:
            self._failing = False
            logger.info("the state of calls is kept again")

    def _create(self, name: str, now: float) -> _File:
        mark = os.urandom(MARK_SIZE)
        descriptor = self._folder.create(name)
        try:
            self._write_all(descriptor, encode_header(mark, self._boot, now), 0)
        except OSError:
            self._folder.close(descriptor)
            self._remove(name)
            raise
        return _File(descriptor, mark)

    def _beat(self, file: _File, now: float) -> None:
        self._write_all(file.descriptor, encode_beat(file.mark, now), beat_offset(self._beats))

    def _write_slice(self, file: _File) -> list[str]:
        """Append entries that the file does not have, and return their keys: as many as have
        changed since the last slice, and some more. If they are all, they end a turn.
        """
        keys = self._next_keys(file)
        file.changed = 0
        whole = len(keys) == len(file.unwritten)
        # A turn may have lost the rest of its entries before they were written. That there is no
        # entry without a key ends it.
        entries = keys or [""]
        beyond = file.next_sequence + len(entries)
        last = beyond - 1 if whole else None
        data = b"".join(
            encode_entry(file.mark, n, key.encode(), self._live.get(key), n == last)
            for n, key in enumerate(entries, file.next_sequence)
        )
        self._append(file, data)
        file.next_sequence = beyond
        file.in_turn = not whole
        for key in keys:
            del file.unwritten[key]
        return keys

    def _next_keys(self, file: _File) -> list[str]:
        keys: list[str] = []
        size = 0
        for key in file.unwritten:
            further = len(keys) - file.changed
            if further >= SLICE_ENTRIES or size >= SLICE_BYTES:
                break
            keys.append(key)
            if further >= 0:
                size += len(self._live.get(key, b""))
        return keys

    def _append(self, file: _File, data: bytes) -> None:
        if file.size + len(data) > self._settings.max_size:
            raise _Full("it has reached state.max_size")
        if file.torn:
            self._cut(file)
        try:
            self._write_all(file.descriptor, data, file.size)
        except OSError:
            file.torn = True
            with contextlib.suppress(OSError):
                self._cut(file)
            raise
        file.size += len(data)

    def _write_all(self, descriptor: int, data: bytes, offset: int) -> None:
        written = self._folder.write_at(descriptor, data, offset)
        while written < len(data):
            written += self._folder.write_at(descriptor, data[written:], offset + written)

    def _cut(self, file: _File) -> None:
        self._folder.cut(file.descriptor, file.size)
        file.torn = False

    def _remove(self, name: str) -> None:
        with contextlib.suppress(OSError):
            self._folder.remove(name)

    def _due(self, now: float) -> bool:
        """Whether a new file is due."""
        dead = self._file.size - self.live_size
        due = (
            now >= self._wipe_at
            or dead > max(self._live_size, FLOOR)
            or (self._full and self.live_size <= self._settings.max_size)
        )
        return due and now >= self._compact_at

    def _begin_next(self, now: float) -> None:
        self._remove(_NEW_NAME)
        self._next = self._create(_NEW_NAME, now)
        self._next.unwritten = dict.fromkeys(self._live, False)
        self._wipe_at = _NEVER  # it will have no dropped entry

    def _replace(self, file: _File, now: float) -> None:
        """The new file, which has all entries as they are now, takes the place of the present
        one.
        """
        self._beats = 1
        self._beat(file, now)
        self._remove(_OLD_NAME)
        self._folder.link(NAME, _OLD_NAME)
        self._folder.rename(_NEW_NAME, NAME)
        self._old, self._file, self._next = self._file, file, None
        self._caught_up()

    def _give_up_next(self, now: float) -> None:
        """The new file cannot be made now. What it has is wiped."""
        self._compact_at = now + RETRY_COMPACTION
        self._wipe_at = min(self._wipe_at, self._compact_at)
        if self._next is not None:
            with contextlib.suppress(OSError):
                self._folder.rename(_NEW_NAME, _OLD_NAME)
            self._old, self._next = self._next, None

    def _wipe_slice(self, old: _File) -> None:
        """From its end, so that its memory is given back in slices too."""
        try:
            begin = max(0, old.size - len(ZEROS))
            self._write_all(old.descriptor, ZEROS[: old.size - begin], begin)
            old.size = begin
            self._cut(old)
        except OSError:
            old.size = 0  # it is given up
        if not old.size:
            self._remove(_OLD_NAME)
            self._folder.close(old.descriptor)
            self._old = None


def _size(key: str, payload: bytes) -> int:
    """Bytes of an entry."""
    return ENTRY_SIZE + len(key.encode()) + len(payload)


def read_log(folder: Folder) -> KeptLog:
    """The log that a process has left in its folder. Never raises. Takes at most twice
    ``LARGEST`` bytes of memory.
    """
    try:
        descriptor = folder.open(NAME)
        if descriptor is None:
            return KeptLog({}, ["there is no log"])
        with open(descriptor, "rb") as file:
            if os.fstat(descriptor).st_size > LARGEST:
                return KeptLog({}, [f"it is larger than {LARGEST} bytes"])
            return parse(file.read())
    except OSError as error:
        return KeptLog({}, [f"it cannot be read: {reason_of(error)}"])

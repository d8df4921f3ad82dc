"""Reads the log of a process that still runs, again and again.

A log grows by whole turns at its end. So what was read once is not read again, and the entries are
at any time those at the end of some turn. When the process has the log written anew (``log``),
another file has its name, and that is read from its beginning. The one before is overwritten from
then on: what was read is true if the name still leads to the same file afterwards.
"""

import os
from collections.abc import Mapping

import attrs

from meet_trio.journal.clock import UNKNOWN_BOOT
from meet_trio.journal.folder import Folder
from meet_trio.journal.format import HEADER_SIZE, KeptLog, Reading, read_header
from meet_trio.journal.log import NAME, read_log
from meet_trio.journal.settings import LARGEST

_TRIES = 3  # a file is not written anew so soon


@attrs.define(eq=False)
class LogFollower:
    """The log in ``folder``, which is another process's."""

    folder: Folder
    _mark: bytes = b""  # of the file that is read
    _reading: Reading = attrs.field(factory=lambda: Reading(b"", b""))
    _offset: int = 0
    _size: int = 0
    _boot: bytes = UNKNOWN_BOOT
    _beat: float | None = None

    def read(self) -> Mapping[str, bytes]:
        """The entries by now. What is not whole is left out; there may be more of it later. It is
        the same mapping as long as it is the same file. Never raises.
        """
        for _ in range(_TRIES):
            try:
                if self._read():
                    break
            except OSError:
                self._forget()
        return self._reading.entries

    def finish(self) -> KeptLog:
        """The process stands still, and has written everything: see ``read_log``."""
        self.read()
        if self._mark and self._offset == self._size and self._reading.is_whole:
            return KeptLog(self._reading.entries, [], self._beat, self._boot)
        return read_log(self.folder)  # which names what is damaged

    def _read(self) -> bool:
        """Returns whether what was read is true."""
        descriptor = self.folder.open(NAME)
        if descriptor is None:
            self._forget()
            return True
        try:
            found = os.fstat(descriptor)
            header = read_header(os.pread(descriptor, HEADER_SIZE, 0))
            readable = header is not None and found.st_size <= LARGEST
            if header is not None and readable:
                mark, self._boot, self._beat = header
                if mark != self._mark or found.st_size < self._offset:
                    self._forget()
                    self._mark, self._offset, self._reading = mark, HEADER_SIZE, Reading(b"", mark)
                self._size = found.st_size
                data = os.pread(descriptor, self._size - self._offset, self._offset)
            now = os.stat(NAME, dir_fd=self.folder.descriptor, follow_symlinks=False)
            if not os.path.samestat(now, found):
                self._forget()
                return False
            if readable:
                self._offset += self._reading.read_turns(data)
            else:
                self._forget()
            return True
        finally:
            os.close(descriptor)

    def _forget(self) -> None:
        self._mark, self._offset, self._size = b"", 0, 0
        self._reading = Reading(b"", b"")

"""What a process of the server notes about its lease in Redis, for the next one on this machine.

Both have the same clock. So the next one knows until when it may send if Redis does not answer, and
need not wait for a lease that was this machine's. The note is one write of ``SIZE`` bytes.
"""

import logging
import os
from collections.abc import Sequence

import attrs

from meet_trio.errors import reason_of
from meet_trio.journal.folder import Folder

logger = logging.getLogger("meet_trio.journal.lease_note")

SIZE = 512
_NAME = "lease"
_MOST_OWNERS = 8
_LONGEST_OWNER = 32


@attrs.frozen
class LeaseBefore:
    """``owners``: under which names that process may have the lease. ``until``: by CLOCK_MONOTONIC,
    when it must have stopped; None: it was not bound.
    """

    owners: Sequence[str] = ()
    until: float | None = None


NO_LEASE_BEFORE = LeaseBefore()


@attrs.define(eq=False)
class LeaseNote:
    """The note of this process, in its folder of the state directory."""

    folder: Folder
    _descriptor: int = -1
    _written: LeaseBefore | None = None
    _failed: bool = False

    def write(self, lease: LeaseBefore) -> None:
        """Replace what was noted. What cannot be written is logged once."""
        if lease == self._written:
            return
        until = "-" if lease.until is None else repr(lease.until)
        text = " ".join([until, *lease.owners[-_MOST_OWNERS:]])
        try:
            if self._descriptor < 0:
                self._descriptor = self.folder.create(_NAME)
            self.folder.write_at(self._descriptor, text.ljust(SIZE).encode("ascii"), 0)
        except OSError as error:
            if not self._failed:
                self._failed = True
                logger.warning(
                    "the lease cannot be noted for the next process: %s", reason_of(error)
                )
        else:
            self._written = lease

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def read_lease(before: Folder) -> LeaseBefore:
    """The note in a folder. One that is missing or damaged says nothing."""
    try:
        descriptor = before.open(_NAME)
        if descriptor is None:
            return NO_LEASE_BEFORE
        with open(descriptor, "rb") as file:
            until, *owners = file.read(SIZE).decode("ascii").split()
        owners = [owner for owner in owners if len(owner) <= _LONGEST_OWNER]
        return LeaseBefore(tuple(owners), None if until == "-" else float(until))
    except (OSError, ValueError):
        return NO_LEASE_BEFORE

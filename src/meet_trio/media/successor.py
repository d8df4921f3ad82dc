"""What takes the place of an engine whose thread has died.

The engine's objects are in its region (``engine/c/base/region.h``), and its sockets are open. So
another engine goes on with both, in the same way as that of a later process: it is given each
object again, with what the region holds of it, and begins then. Without a state directory the
region lies in memory that ends with the process.
"""

import contextlib
import os
from collections import deque
from collections.abc import Sequence
from typing import Final, Protocol

import attrs

from meet_trio.engine import Engine, EngineSettings, Kept, read_kept
from meet_trio.errors import MeetError

DEATHS_WITHIN: Final = 60.0  # seconds
LATER: Final = Kept(0, {}, {}, {}, ())
"""In the place of what an engine has left: that engine still runs. The object is made, and enters
its engine in ``go_on``.
"""


class NotKept(MeetError):
    """What the engine knew of an object is needed and was not kept."""


class Resident(Protocol):
    """An object in an engine, which its host can give to another engine."""

    def enter_engine(self, kept: Kept | None) -> None:
        """Give the commands that make it to its host's engine. ``kept`` is what an engine before
        has left; None: the object is new. If this raises, nothing is left of it in the engine.

        Raises NotKept, and ValueError like the engine's commands.
        """

    def lost(self) -> None:
        """``enter_engine`` has raised in the place of an engine that has died."""


class Regions(Protocol):
    """Files for the regions of engines."""

    def create(self, index: int) -> int:
        """The descriptor of an empty file for a new engine. It counts from ``adopt`` on. Raises
        OSError.
        """

    def adopt(self, index: int) -> None:
        """A later process resumes from the file that was created last. Raises OSError."""

    def discard(self, descriptor: int) -> None:
        """Close a file that does not count any more, and leave nothing of it."""


class MemoryRegions:
    """Files without a name, which end with the process."""

    def create(self, index: int) -> int:
        return os.memfd_create(f"meet-engine-{index}")

    def adopt(self, index: int) -> None:
        pass

    def discard(self, descriptor: int) -> None:
        os.close(descriptor)


class Successors(Protocol):
    """Makes engines in the place of one that has died."""

    def make(self, dead: Engine) -> tuple[Engine, Kept]:
        """A held engine with the sockets of ``dead``, and what that has left. Raises OSError and
        ValueError; then there is no new engine.
        """

    def begin(self, engine: Engine, dead: Engine) -> None:
        """All objects were given to ``engine``: let it run, and free what ``dead`` has. Raises
        OSError before it runs.
        """


@attrs.define(eq=False)
class EngineMaker:
    """Makes the engine number ``index``, and those in its place. ``close`` closes its file."""

    settings: EngineSettings
    index: int = 0
    regions: Regions = attrs.field(factory=MemoryRegions)
    _file: int = -1  # of the engine that runs
    _next_file: int = -1  # of the one that is held

    def first(self, sockets: Sequence[tuple[int, int]] = ()) -> Engine:
        """See ``Engine``, which is held."""
        engine = self._open(self.settings, sockets)
        self._file, self._next_file = self._next_file, -1
        try:
            self.regions.adopt(self.index)
        except BaseException:
            engine.close()
            raise
        # those in its place have its port
        self.settings = attrs.evolve(self.settings, port=engine.port)
        return engine

    def make(self, dead: Engine) -> tuple[Engine, Kept]:
        dead.join()
        kept = read_kept(self._file)
        with contextlib.ExitStack() as on_failure:
            sockets = [tuple(_duplicate(on_failure, fd) for fd in pair) for pair in dead.sockets]
            engine = self._open(self.settings, sockets)  # type: ignore[arg-type]
            on_failure.pop_all()
        return engine, kept

    def begin(self, engine: Engine, dead: Engine) -> None:
        self.regions.adopt(self.index)
        engine.begin()
        before, self._file, self._next_file = self._file, self._next_file, -1
        dead.close()
        self.regions.discard(before)

    def close(self) -> None:
        """The file stays as it is."""
        for file in (self._file, self._next_file):
            if file >= 0:
                os.close(file)
        self._file = self._next_file = -1

    def _open(self, settings: EngineSettings, sockets: Sequence[tuple[int, int]]) -> Engine:
        file = self.regions.create(self.index)
        try:
            engine = Engine(settings, sockets, file, self.index)
        except BaseException:
            os.close(file)
            raise
        self._next_file = file
        return engine


@attrs.define
class Deaths:
    """The deaths of one engine. ``most`` within ``DEATHS_WITHIN`` seconds are too many."""

    most: int
    _times: deque[float] = attrs.field(factory=deque)

    @property
    def count(self) -> int:
        return len(self._times)

    def add(self, now: float) -> bool:
        """Whether it may be followed by another engine."""
        self._times.append(now)
        while self._times[0] <= now - DEATHS_WITHIN:
            self._times.popleft()
        return len(self._times) < self.most


def _duplicate(on_failure: contextlib.ExitStack, fd: int) -> int:
    duplicate = os.dup(fd)
    on_failure.callback(os.close, duplicate)
    return duplicate

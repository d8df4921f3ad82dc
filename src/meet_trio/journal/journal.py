"""The log of slow state while the server runs: the task that writes what has changed.

Objects are put and dropped in any task. The task writes them in the next turn of the loop, all
together. Who must not tell a client of something that is not kept yet calls ``flush`` first.

Once a second the task says in the log that the process lives, tries again what could not be
written, and looks whether a new file is due. That is then written in slices, one for each turn.
"""

from collections.abc import Callable

import attrs
import trio

from meet_trio.journal.clock import boot_time
from meet_trio.journal.log import StateLog

BEAT_INTERVAL = 1.0


@attrs.define(eq=False)
class Journal:
    """``log`` stays its owner's, who closes it after ``run`` has ended."""

    log: StateLog
    clock: Callable[[], float] = boot_time
    _work: trio.Event = attrs.field(factory=trio.Event)

    def put(self, key: str, payload: bytes) -> None:
        """See ``StateLog.put``. Written soon."""
        self.log.put(key, payload)
        self._work.set()

    def drop(self, key: str) -> None:
        """Have no entry of that key any more, soon."""
        self.log.drop(key)
        self._work.set()

    def flush(self) -> None:
        """Write at once what has changed."""
        self.log.flush(self.clock())

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Write until cancelled, and then what is left."""
        task_status.started()
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._beat)
                while True:
                    await self._work.wait()
                    self._work = trio.Event()
                    await self._write()
        finally:
            self.log.beat(self.clock())
            self.flush()

    async def _write(self) -> None:
        while True:
            now = self.clock()
            behind = self.log.flush(now)
            if not (self.log.compact(now) or behind):
                break
            await trio.lowlevel.checkpoint()

    async def _beat(self) -> None:
        while True:
            self.log.beat(self.clock())
            self._work.set()
            await trio.sleep(BEAT_INTERVAL)

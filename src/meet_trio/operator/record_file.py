"""A file of records: one JSON object a line, added at the end.

A thread writes, so a slow disk holds up no call. A file that was renamed or removed, as logrotate
does, is opened anew at its path. What cannot be written is logged and lost.
"""

import json
import logging
import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs
import trio

from meet_trio.errors import ConfigError

logger = logging.getLogger("meet_trio.operator.record_file")

_MODE = 0o640
_AT_ONCE = 100  # records that one call of the thread writes


@attrs.define(eq=False)
class RecordFile:
    """Opens the file at once. Raises ConfigError if that is not possible.

    Records from now on go to another file if ``path`` changes, and nowhere while it is None.
    """

    path: Path | None
    max_waiting: int
    lost: int = 0
    _target: Path | None = None  # of the records that wait
    _descriptor: int | None = None
    _due: tuple[
        trio.MemorySendChannel[Mapping[str, object]],
        trio.MemoryReceiveChannel[Mapping[str, object]],
    ] = attrs.field(init=False)
    _over: trio.Event = attrs.field(factory=trio.Event)
    _writing: threading.Lock = attrs.field(factory=threading.Lock)

    def __attrs_post_init__(self) -> None:
        self._due = trio.open_memory_channel[Mapping[str, object]](self.max_waiting)
        if self.path is not None:
            self._descriptor = _open_or_refuse(self.path)

    def check(self, path: Path | None) -> None:
        """Raise ConfigError if ``path`` cannot take the place of the present one."""
        if path not in (None, self.path):
            os.close(_open_or_refuse(path))

    def put(self, record: Mapping[str, object]) -> None:
        """Have a record written soon. Never waits."""
        if self.path is None:
            return
        self._target = self.path
        try:
            self._due[0].send_nowait(record)
        except (trio.WouldBlock, trio.ClosedResourceError, trio.BrokenResourceError):
            self._lose(1, "too many records wait")

    async def drain(self, deadline: float) -> None:
        """No more records come. Wait until those that wait are written, at most until
        ``deadline``.
        """
        self._due[0].close()
        with trio.move_on_at(deadline):
            await self._over.wait()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Write until cancelled, or until all is written after ``drain`` was called."""
        task_status.started()
        try:
            async for first in self._due[1]:
                records = [first]
                while len(records) < _AT_ONCE:
                    try:
                        records.append(self._due[1].receive_nowait())
                    except (trio.WouldBlock, trio.EndOfChannel):
                        break
                try:
                    # A disk that hangs must not hold up the end of the server.
                    await trio.to_thread.run_sync(self._write, records, abandon_on_cancel=True)
                except (OSError, ValueError) as error:
                    self._lose(len(records), str(error))
        finally:
            self._due[0].close()
            self._due[1].close()
            self._over.set()
            self._close_unless_writing()

    def _lose(self, count: int, why: str) -> None:
        self.lost += count
        logger.error("records of quality are lost: %s", why, extra={"lost": self.lost})

    def _write(self, records: Sequence[Mapping[str, object]]) -> None:
        """Called in a thread, one call at a time. One that was abandoned closes the file."""
        lines = [json.dumps(each, separators=(",", ":"), allow_nan=False) for each in records]
        left = memoryview(("\n".join(lines) + "\n").encode())
        try:
            with self._writing:
                descriptor = self._current()
                while left:
                    left = left[os.write(descriptor, left) :]
        finally:
            if self._over.is_set():
                self._close_unless_writing()

    def _current(self) -> int:
        """The descriptor of the file that is at the path now."""
        target = self._target
        assert target is not None  # ``put`` has set it
        if self._descriptor is not None:
            try:
                there, ours = os.stat(target), os.fstat(self._descriptor)
                if os.path.samestat(there, ours):
                    return self._descriptor
            except FileNotFoundError:
                pass
            self._close()
        self._descriptor = _open(target)
        return self._descriptor

    def _close_unless_writing(self) -> None:
        if self._writing.acquire(blocking=False):
            self._close()
            self._writing.release()

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _open(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, _MODE)


def _open_or_refuse(path: Path) -> int:
    try:
        return _open(path)
    except OSError as error:
        raise ConfigError(f"quality.file: {path}: {error.strerror}") from None

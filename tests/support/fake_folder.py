"""A folder in memory that can be full, can fail at any call, and remembers what a killed process
would have left: the files before and after each call, and in the middle of each write.
"""

import errno
import os
from collections.abc import Mapping

import attrs

Disk = Mapping[str, bytes]


@attrs.define(eq=False)
class FakeFolder:
    """``room``: bytes that fit into all files together, as on a small file system. ``fail_at``:
    numbers of calls that fail. ``broken``: all fail. ``remembers``: it notes what is left.
    """

    room: int = 2**40
    fail_at: frozenset[int] = frozenset()
    broken: bool = False
    remembers: bool = False
    calls: list[str] = attrs.field(factory=list)
    bytes_written: int = 0
    left: list[Disk] = attrs.field(factory=list)
    """What a killed process would have left, moment by moment."""
    unwiped: list[str] = attrs.field(factory=list)
    """Names whose file was removed, or an old log's that was cut, with something in it."""
    _files: dict[int, bytearray] = attrs.field(factory=dict)  # by descriptor
    _names: dict[str, bytearray] = attrs.field(factory=dict)

    @property
    def open_descriptors(self) -> int:
        return len(self._files)

    @property
    def disk(self) -> Disk:
        return {name: bytes(content) for name, content in self._names.items()}

    def create(self, name: str) -> int:
        self._call("create")
        if name in self._names:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        descriptor = len(self.calls)
        self._names[name] = self._files[descriptor] = bytearray()
        self._remember()
        return descriptor

    def write_at(self, descriptor: int, data: bytes, offset: int) -> int:
        self._call("write_at")
        file = self._files[descriptor]
        grows = max(0, offset + len(data) - len(file))
        fits = len(data) - max(0, grows - self._free())
        if fits <= 0 < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        for torn in {fits // 3, fits - 1}:
            _write(file, data[:torn], offset)
            self._remember()
        _write(file, data[:fits], offset)
        self._remember()
        self.bytes_written += fits
        return fits

    def cut(self, descriptor: int, size: int) -> None:
        self._call("cut")
        file = self._files[descriptor]
        if any(file[size:]) and file is self._names.get("log.old"):
            self.unwiped.append("log.old")
        del file[size:]
        self._remember()

    def close(self, descriptor: int) -> None:
        del self._files[descriptor]

    def link(self, name: str, other: str) -> None:
        self._call("link")
        assert other not in self._names
        self._names[other] = self._names[name]
        self._remember()

    def rename(self, name: str, other: str) -> None:
        self._call("rename")
        self._note_end(other)
        self._names[other] = self._names.pop(name)
        self._remember()

    def remove(self, name: str) -> None:
        self._call("remove")
        if name not in self._names:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        self._note_end(name)
        del self._names[name]
        self._remember()

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if self.broken or len(self.calls) in self.fail_at:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    def _free(self) -> int:
        files = {id(file): len(file) for file in (*self._files.values(), *self._names.values())}
        return self.room - sum(files.values())

    def _note_end(self, name: str) -> None:
        """The file may lose its last name."""
        file = self._names.get(name)
        names = sum(1 for other in self._names.values() if other is file)
        if file is not None and names == 1 and any(file):
            self.unwiped.append(name)

    def _remember(self) -> None:
        if self.remembers:
            self.left.append(self.disk)


def _write(file: bytearray, data: bytes, offset: int) -> None:
    file.extend(bytes(max(0, offset - len(file))))
    file[offset : offset + len(data)] = data

"""The files of one process in the state directory, by the system calls that they need.

A folder is used by its descriptor, so nothing that happens to the names above it matters. Files are
made anew, readable by nobody else, and found without following symbolic links. All raise OSError.

To wipe is to overwrite and then to remove. On tmpfs the bytes of a file are in one place in memory,
so they are gone then. Pages that were swapped out before may still be in the swap space.
"""

import contextlib
import errno
import os
import stat
from pathlib import Path
from typing import Protocol

import attrs

FILE_MODE = 0o600
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK: a pipe that nobody reads must not hold the start up
_OLD = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
ZEROS = bytes(2**18)


class LogFolder(Protocol):
    """What a log needs of its folder."""

    def create(self, name: str) -> int: ...

    def write_at(self, descriptor: int, data: bytes, offset: int) -> int: ...

    def cut(self, descriptor: int, size: int) -> None: ...

    def close(self, descriptor: int) -> None: ...

    def link(self, name: str, other: str) -> None: ...

    def rename(self, name: str, other: str) -> None: ...

    def remove(self, name: str) -> None: ...


@attrs.frozen
class Folder:
    """``descriptor`` is that of the folder, and stays its owner's. ``path`` is for messages."""

    descriptor: int
    path: Path

    def create(self, name: str) -> int:
        """The descriptor of a new, empty file. Raises FileExistsError."""
        descriptor = os.open(name, _NEW, FILE_MODE, dir_fd=self.descriptor)
        os.fchmod(descriptor, FILE_MODE)  # whatever the umask and the folder's ACL say
        return descriptor

    def open(self, name: str, flags: int = os.O_RDONLY) -> int | None:
        """The descriptor of a file; None if there is none. Raises OSError for what is no file of
        this user's.
        """
        try:
            descriptor = os.open(name, flags | _OLD, dir_fd=self.descriptor)
        except FileNotFoundError:
            return None
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
            os.close(descriptor)
            raise PermissionError(f"{self.path / name} is no file of this user's")
        return descriptor

    def write_at(self, descriptor: int, data: bytes, offset: int) -> int:
        return os.pwrite(descriptor, data, offset)

    def cut(self, descriptor: int, size: int) -> None:
        os.ftruncate(descriptor, size)

    def close(self, descriptor: int) -> None:
        os.close(descriptor)

    def link(self, name: str, other: str) -> None:
        os.link(name, other, src_dir_fd=self.descriptor, dst_dir_fd=self.descriptor)

    def rename(self, name: str, other: str) -> None:
        os.rename(name, other, src_dir_fd=self.descriptor, dst_dir_fd=self.descriptor)

    def remove(self, name: str) -> None:
        os.unlink(name, dir_fd=self.descriptor)

    def wipe(self) -> None:
        """Wipe all files. What is no file, such as a symbolic link, is removed as it is. Raises an
        error after all were tried.
        """
        with contextlib.ExitStack() as all_tried:
            for name in os.listdir(self.descriptor):
                all_tried.callback(self._wipe_file, name)

    def _wipe_file(self, name: str) -> None:
        try:
            descriptor = self.open(name, os.O_RDWR)
        except OSError:
            descriptor = None  # a link, a pipe
        try:
            if descriptor is not None:
                overwrite(descriptor)
        finally:
            if descriptor is not None:
                os.close(descriptor)
            self.remove(name)


def overwrite(descriptor: int) -> None:
    """Overwrite the bytes that a file has. Holes stay holes, so it takes no more space."""
    at, size = 0, os.fstat(descriptor).st_size
    while at < size:
        try:
            at = os.lseek(descriptor, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return  # only a hole follows
            raise
        end = os.lseek(descriptor, at, os.SEEK_HOLE)
        while at < end:
            at += os.pwrite(descriptor, memoryview(ZEROS)[: end - at], at)

"""The state directory: what a process of the server leaves for the next one.

    state.dir/                    0700 or so; shared by all servers of this user
        12443-127.0.0.1/          0700; of the server that listens there, which holds a lock on it
            7/                    what the process before has left, whole
            8.new/                what this process writes, until it has resumed everything
                log
                engine-0

A server is known by the address and port of its HTTP side. That is where its clients come back to,
so it is what a process must have in common with the one before. Two servers of one machine differ
in it, and each has a directory of its own. The lock (``flock``) keeps two processes from one
directory. The kernel releases it when the last descriptor is closed, so also after ``kill -9``.

Each process has a folder of its own. Until ``commit`` the folder of the process before is the one
that counts: a process that dies while it resumes has changed nothing, and the next one begins with
the same state. ``commit`` is one call of ``rename``. It must come before this process's engines
send their first packet, because from then on the indices in the older folder are used up.

Nobody else may have a hand in it. The directories belong to this user, others may not write into
them, and no symbolic link is followed to them or in them. All of it is in memory (tmpfs, ramfs),
so it ends with the machine, unless ``state.allow_disk`` is set.

Keys are in these files, so they are overwritten before they are removed: those of the process
before after ``commit``, one's own in a clean end (``remove``), and those of servers that have not
come back within ``FORGOTTEN_AFTER`` seconds by whichever server starts next (``forget_others``).
"""

import contextlib
import fcntl
import logging
import os
import re
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import attrs

from meet_trio.errors import ConfigError, MeetError, reason_of
from meet_trio.journal.folder import Folder
from meet_trio.journal.settings import StateSettings

logger = logging.getLogger("meet_trio.journal.directory")

FORGOTTEN_AFTER = 3600.0
_MODE = 0o700
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_IN_MEMORY = {"tmpfs", "ramfs"}
_FOLDER = re.compile(r"([1-9][0-9]{0,17})(\.new)?")
_SERVER = re.compile(r"[0-9]{1,5}-[^/]+")
_MOUNTS = Path("/proc/self/mountinfo")


class StateUnusable(MeetError):
    """The state directory cannot be used. The message names it and says why."""


def server_name(host: str, port: int) -> str:
    """The name of the directory of the server that listens there."""
    return f"{port}-{host}"


@attrs.define(eq=False)
class StateDirectory:
    """The directory of one server. ``before`` is the folder of the process before, None if it has
    left nothing. ``current`` is this process's.
    """

    path: Path
    before: Folder | None
    current: Folder
    _parent: int
    _descriptor: int
    _number: int

    def commit(self) -> None:
        """From now on this process's folder is the one to resume from. Raises OSError."""
        os.rename(
            f"{self._number}.new",
            str(self._number),
            src_dir_fd=self._descriptor,
            dst_dir_fd=self._descriptor,
        )

    def wipe_before(self) -> None:
        """Wipe what the process before has left. It may be called in a thread, and may take a tenth
        of a second.
        """
        if self.before is not None:
            _wipe(self._descriptor, self.path, [self.before.path.name])

    @property
    def lock(self) -> int:
        """The descriptor that holds the lock on the directory. A process that gets a duplicate of
        it holds the same lock, until both have closed theirs.
        """
        return self._descriptor

    def wipe_unfinished(self) -> None:
        """Wipe what a process has begun that was to take over from this one, and has not."""
        names = [name for name in os.listdir(self._descriptor) if name != str(self._number)]
        _wipe(self._descriptor, self.path, [name for name in names if name.endswith(".new")])

    def remove(self) -> None:
        """A clean end: wipe everything."""
        _wipe(self._descriptor, self.path, os.listdir(self._descriptor))
        with contextlib.suppress(OSError):
            os.rmdir(self.path.name, dir_fd=self._parent)

    def forget_others(self) -> None:
        """Wipe what other servers have left, which have not run for a long time."""
        for name in os.listdir(self._parent):
            if name != self.path.name and _SERVER.fullmatch(name):
                _forget(self._parent, self.path.parent, name)


@contextlib.contextmanager
def open_state(
    settings: StateSettings, server: str, lock: int | None = None
) -> Iterator[StateDirectory | None]:
    """The directory of the server of that name, locked within the ``with`` block; None if nothing
    is kept. In the end everything stays as it is.

    ``lock``: the same of a process from which this one takes over. If it is of another directory,
    it is not used. It is closed in the end.

    Raises ConfigError if the directory that an operator chose cannot be used: an operator who has
    chosen one counts on it. At the default one the server runs without.
    """
    with contextlib.ExitStack() as stack:
        found = None
        if lock is not None:
            stack.callback(os.close, lock)
        if settings.dir is not None:
            try:
                found = _open(stack, settings.dir.path, server, settings.allow_disk, lock)
            except StateUnusable as error:
                if settings.dir.chosen:
                    raise ConfigError(f"state.dir: {error}") from None
                logger.warning("a restart will end all calls: %s (state.dir)", error)
        yield found


def _open(
    stack: contextlib.ExitStack, base: Path, server: str, allow_disk: bool, lock: int | None
) -> StateDirectory:
    path = base / server
    with contextlib.ExitStack() as on_failure:
        try:
            parent = _open_base(on_failure, base)
            if lock is not None and _is_there(lock, parent, path.name):
                descriptor = lock
            else:
                descriptor = _open_locked(on_failure, parent, path)
            if not allow_disk and (kind := _file_system(descriptor)) not in _IN_MEMORY:
                raise StateUnusable(f"{base}: it is on {kind}, and not in memory (tmpfs)")
            found = _make_folders(on_failure, parent, descriptor, path)
        except OSError as error:
            raise StateUnusable(f"{base}: {reason_of(error)}") from None
        stack.enter_context(on_failure.pop_all())
        return found


def _open_base(stack: contextlib.ExitStack, path: Path) -> int:
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, _MODE)
    descriptor = _open_directory(stack, path, None)
    _refuse_others(descriptor, path, stat.S_IWGRP | stat.S_IWOTH)
    return descriptor


def _open_locked(stack: contextlib.ExitStack, parent: int, path: Path) -> int:
    """The server's directory. The one that was opened may be removed before it is locked."""
    while True:
        with contextlib.suppress(FileExistsError):
            os.mkdir(path.name, _MODE, dir_fd=parent)
        descriptor = _open_directory(stack, path, parent)
        _refuse_others(descriptor, path, stat.S_IRWXG | stat.S_IRWXO)
        if not _lock(descriptor):
            raise StateUnusable(f"{path}: another server uses it")
        if _is_there(descriptor, parent, path.name):
            return descriptor


def _open_directory(stack: contextlib.ExitStack, path: Path, parent: int | None) -> int:
    if stat.S_ISLNK(os.lstat(path if parent is None else path.name, dir_fd=parent).st_mode):
        raise StateUnusable(f"{path}: it is a symbolic link")
    # a link that has come since then is refused by O_NOFOLLOW
    descriptor = os.open(path if parent is None else path.name, _DIRECTORY, dir_fd=parent)
    stack.callback(os.close, descriptor)
    return descriptor


def _refuse_others(descriptor: int, path: Path, rights: int) -> None:
    found = os.fstat(descriptor)
    if found.st_uid != os.geteuid():
        raise StateUnusable(f"{path}: it belongs to another user")
    if found.st_mode & rights:
        mode = stat.S_IMODE(found.st_mode)
        raise StateUnusable(f"{path}: it is open to other users (mode {mode:04o})")


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_there(descriptor: int, parent: int, name: str) -> bool:
    """Whether the name still leads to the open directory."""
    try:
        found = os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(found, os.fstat(descriptor))


def _file_system(descriptor: int) -> str:
    """The kind of file system that a file is on, from proc_pid_mountinfo(5)."""
    device = os.fstat(descriptor).st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for line in _MOUNTS.read_text(errors="replace").splitlines():
        fields, _, rest = line.partition(" - ")
        if fields.split()[2] == wanted:
            return rest.split()[0]
    return "another file system"  # Btrfs has devices that no mount names


def _make_folders(
    stack: contextlib.ExitStack, parent: int, descriptor: int, path: Path
) -> StateDirectory:
    names = os.listdir(descriptor)
    found = [match for name in names if (match := _FOLDER.fullmatch(name))]
    whole = max((int(match[1]) for match in found if match[2] is None), default=0)
    # of processes that died while they resumed, or before they had wiped those before them
    _wipe(descriptor, path, [name for name in names if name != str(whole)])
    before = None
    if whole:
        path_before = path / str(whole)
        before = Folder(_open_directory(stack, path_before, descriptor), path_before)
    # greater also than that of one that could not be wiped
    number = 1 + max((int(match[1]) for match in found), default=0)
    name = f"{number}.new"
    os.mkdir(name, _MODE, dir_fd=descriptor)
    current = Folder(_open_directory(stack, path / name, descriptor), path / name)
    return StateDirectory(path, before, current, parent, descriptor, number)


def _wipe(descriptor: int, path: Path, names: list[str]) -> None:
    """Wipe these folders of a server's directory, and remove what is no folder. What is left is
    logged.
    """
    for name in names:
        try:
            _wipe_folder(descriptor, path / name)
        except (OSError, StateUnusable) as error:
            logger.warning("old state is left: %s: %s", path / name, reason_of(error))


def _wipe_folder(parent: int, path: Path) -> None:
    with contextlib.suppress(IsADirectoryError):
        os.unlink(path.name, dir_fd=parent)
        return
    with contextlib.ExitStack() as stack:
        Folder(_open_directory(stack, path, parent), path).wipe()
    os.rmdir(path.name, dir_fd=parent)


def _forget(parent: int, base: Path, name: str) -> None:
    """Wipe the directory of another server if nobody holds its lock, and nobody has written there
    for ``FORGOTTEN_AFTER`` seconds.
    """
    with contextlib.ExitStack() as stack:
        try:
            descriptor = _open_directory(stack, base / name, parent)
            if not _lock(descriptor) or time.time() - _newest_change(descriptor) < FORGOTTEN_AFTER:
                return
            _wipe(descriptor, base / name, os.listdir(descriptor))
            os.rmdir(name, dir_fd=parent)
        except (OSError, StateUnusable) as error:
            logger.warning("old state is left: %s: %s", base / name, reason_of(error))


def _newest_change(descriptor: int) -> float:
    """The newest time of change below a server's directory, by the wall clock."""
    newest = os.fstat(descriptor).st_mtime
    for _, _, names, folder in os.fwalk(".", dir_fd=descriptor):
        for name in names:
            found = os.stat(name, dir_fd=folder, follow_symlinks=False)
            newest = max(newest, found.st_mtime)
    return newest

"""The console's unix socket: made so that only its owner can ever connect, and removed in the end.

- The mode is set on the socket before ``bind``, and Linux makes the file with it. So there is no
  moment at which the file has another mode, and the process's umask, which other threads share,
  stays as it is.
- A file that nobody answers at is left over from a server that was killed, and is replaced. One
  that is answered belongs to another server. ``flock`` on the directory keeps two servers that
  start together from replacing each other's.
- A socket that a server before this one has left with the service manager is used again if the file
  at the path is still its own: the name that it is kept by has the file's device and inode.
- In the end the file is removed only if it is still this server's (device and inode).
"""

import contextlib
import errno
import fcntl
import logging
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

from meet_trio.console.settings import ConsoleSettings
from meet_trio.errors import ConfigError, MeetError
from meet_trio.kept_sockets import KeptSockets

logger = logging.getLogger("meet_trio.console")

_BACKLOG = 16
_MODE = 0o600


class SocketUnusable(MeetError):
    """The socket cannot be made. The message names the path and the reason."""


@contextlib.contextmanager
def open_console_socket(
    settings: ConsoleSettings, kept: KeptSockets | None = None
) -> Iterator[socket.socket | None]:
    """The listening socket within the ``with`` block; None if there is no console.

    Raises ConfigError if the socket that an operator chose cannot be made: an operator who has
    asked for a console counts on it. At the default path the server runs without one, because calls
    do not need it, and two servers may run on a developer's machine.
    """
    with contextlib.ExitStack() as stack:
        listening = None
        if settings.socket is not None:
            path = settings.socket.path
            try:
                if not settings.socket.chosen:
                    with contextlib.suppress(OSError):
                        path.parent.mkdir(mode=0o700, exist_ok=True)
                listening = stack.enter_context(open_socket(path, kept))
            except SocketUnusable as error:
                if settings.socket.chosen:
                    raise ConfigError(f"console.socket: {error}") from None
                logger.warning("there is no console: %s (console.socket)", error)
        yield listening


@contextlib.contextmanager
def open_socket(path: Path, kept: KeptSockets | None = None) -> Iterator[socket.socket]:
    """A listening socket at ``path`` within the ``with`` block. Raises SocketUnusable."""
    kept = kept or KeptSockets()
    try:
        listening = _inherited(path, kept) or _listen(path, kept)
    except OSError as error:
        raise SocketUnusable(f"{path}: {error.strerror or error}") from None
    with listening:
        own = _identity(path)
        try:
            yield listening
        finally:
            # while it listens no other server can take the file for a stale one
            if own is not None and _identity(path) == own:
                with contextlib.suppress(OSError):
                    path.unlink()


def _inherited(path: Path, kept: KeptSockets) -> socket.socket | None:
    def fits(one: socket.socket) -> bool:
        return (
            (one.family, one.type) == (socket.AF_UNIX, socket.SOCK_STREAM)
            and one.getsockname() == os.fspath(path)
            and one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1
            and not stat.S_IMODE(path.lstat().st_mode) & ~_MODE
        )

    name = _name(path)
    found = None if name is None else kept.take(name, fits)
    if found is not None:
        found.setblocking(False)
    return found


def _name(path: Path) -> str | None:
    """The name by which the socket of the file at ``path`` is kept. None: there is no file."""
    identity = _identity(path)
    return None if identity is None else f"console-{identity[0]:x}-{identity[1]:x}"


def _listen(path: Path, kept: KeptSockets) -> socket.socket:
    with _locked(path.parent), contextlib.ExitStack() as on_failure:
        _remove_stale(path)
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        on_failure.callback(listening.close)
        os.fchmod(listening.fileno(), _MODE)
        listening.bind(os.fspath(path))
        on_failure.callback(path.unlink)
        if stat.S_IMODE(path.lstat().st_mode) & ~_MODE:
            raise SocketUnusable(f"{path}: its file system gives others access")
        listening.listen(_BACKLOG)
        name = _name(path)
        if name is not None:
            kept.keep(name, listening.fileno())
        on_failure.pop_all()
        return listening


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SocketUnusable(f"{directory}: another server is starting there") from None
        yield
    finally:
        os.close(fd)  # which unlocks it


def _remove_stale(path: Path) -> None:
    """Remove the socket of a server that is no more. Raises SocketUnusable for anything else."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise SocketUnusable(f"{path}: there is a file that is no socket; it was left as it is")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
        code = probe.connect_ex(os.fspath(path))
    if code in (0, errno.EAGAIN):  # EAGAIN: its backlog is full
        raise SocketUnusable(f"{path}: another server has its console there")
    if code != errno.ECONNREFUSED:
        raise SocketUnusable(f"{path}: {os.strerror(code)}")
    path.unlink()


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_dev, found.st_ino

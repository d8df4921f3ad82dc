"""The sockets that outlive this process: it is handed those of the process before it, and hands its
own on.

The service manager, systemd or ``supervisor``, holds a duplicate of each. It gives them to the next
process as ``sd_listen_fds(3)`` says: descriptors from 3 on, with the variables LISTEN_PID,
LISTEN_FDS and LISTEN_FDNAMES. ``Notifier`` has the other direction, ``FDSTORE=1``.

A name says what a socket is for, and where: ``http-127.0.0.1-12443``, ``media-0-udp-0`` (engine,
kind, number of the address). So settings that have changed ask for another name, and whoever takes
a socket checks that it is what its name says.
"""

import contextlib
import logging
import os
import socket
from collections.abc import Callable, Collection, Mapping, MutableMapping
from functools import partial

import attrs

logger = logging.getLogger("meet_trio.kept_sockets")

FIRST = 3
"""The first descriptor that is handed over (SD_LISTEN_FDS_START)."""
CLEAN_START = "SUPERVISOR_CLEAN_START"
"""The variable by which the supervisor says that nothing but listening sockets is left."""

Keep = Callable[[str, int], None]
Forget = Callable[[str], None]
Main = Callable[[int], bool]


def _keep_nothing(name: str, fd: int) -> None:
    pass


def _forget_nothing(name: str) -> None:
    pass


def _has_no_manager(pid: int) -> bool:
    return True


@attrs.define(eq=False)
class KeptSockets:
    """``tell_keep(name, fd)`` and ``tell_forget(name)`` tell the manager; they never wait.
    ``tell_main(pid)``: that process is the server from now on; returns whether it was told.

    ``clean_start``: the processes before this one have crashed too often, and nothing of them is
    to be resumed.

    ``borrowed``: the sockets are used by a process that runs (``meet_trio.upgrade``). Until
    ``own`` nothing is told to the manager, and no socket is shut down.
    """

    _inherited: dict[str, socket.socket] = attrs.field(factory=dict)
    _tell_keep: Keep = _keep_nothing
    _tell_forget: Forget = _forget_nothing
    clean_start: bool = False
    tell_main: Main = _has_no_manager
    borrowed: bool = False
    _used: dict[str, int] = attrs.field(factory=dict)  # by this process
    _unfit: list[tuple[str, socket.socket]] = attrs.field(factory=list)
    _untold: list[Callable[[], None]] = attrs.field(factory=list)

    @classmethod
    def from_environ(
        cls,
        environ: MutableMapping[str, str],
        keep: Keep,
        forget: Forget,
        main: Main = _has_no_manager,
    ) -> "KeptSockets":
        """The sockets that this process was handed. The variables are removed, since they are about
        no other process; the descriptors are not inherited by others.
        """
        clean = environ.pop(CLEAN_START, "") == "1"
        kept = cls(tell_keep=keep, tell_forget=forget, clean_start=clean, tell_main=main)
        pid, count, names = (
            environ.pop(name, "") for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")
        )
        if pid == str(os.getpid()) and count.isdecimal():
            kept._adopt(int(count), names.split(":"))
        return kept

    def _adopt(self, count: int, names: list[str]) -> None:
        if len(names) != count:
            names = [""] * count  # without names nobody can take them
        for fd, name in enumerate(names, FIRST):
            if not name or name in self._inherited:
                with contextlib.suppress(OSError):
                    os.close(fd)
                continue
            try:
                os.set_inheritable(fd, False)
                self._inherited[name] = socket.socket(fileno=fd)
            except OSError:  # no socket, or not open
                with contextlib.suppress(OSError):
                    os.close(fd)
                self._tell_forget(name)

    def take(
        self, name: str, fits: Callable[[socket.socket], bool] = lambda inherited: True
    ) -> socket.socket | None:
        """The inherited socket of that name, once; it is the caller's from then on, and is kept
        further. None: there is none, or it does not fit, and is closed.
        """
        inherited = self._inherited.pop(name, None)
        if inherited is not None and not fits(inherited):
            self._close(name, inherited)
            return None
        if inherited is not None:
            self._used[name] = inherited.fileno()
        return inherited

    def keep(self, name: str, fd: int) -> None:
        """Hand the socket ``fd`` to the next process. The manager gets a duplicate.
        One of that name that it has already must be forgotten before.
        """
        self._used[name] = fd
        self._tell(partial(self._tell_keep, name, fd))

    def forget(self, name: str) -> None:
        """The manager closes its duplicate of the socket."""
        self._used.pop(name, None)
        self._tell(partial(self._tell_forget, name))

    @property
    def used(self) -> Mapping[str, int]:
        """The descriptors of this process's sockets by name, for a process that takes over."""
        return self._used

    @property
    def unused(self) -> Collection[str]:
        """The names of inherited sockets that nobody has taken."""
        return [*self._inherited, *(name for name, _ in self._unfit)]

    def borrow(self, sockets: Mapping[str, int]) -> None:
        """Inherit the sockets of a process that runs. The descriptors are this process's own."""
        self.borrowed = True
        for name, fd in sockets.items():
            self._inherited[name] = socket.socket(fileno=fd)

    def own(self) -> None:
        """The other process is no more: tell the manager what has waited."""
        self.borrowed = False
        for tell in self._untold:
            tell()
        self._untold.clear()
        for name, one in self._unfit:
            self._close(name, one)
        self._unfit.clear()

    def _tell(self, tell: Callable[[], None]) -> None:
        if self.borrowed:
            self._untold.append(tell)
        else:
            tell()

    def make_room(self, port: int) -> bool:
        """Close the inherited sockets of a TCP or UDP port that nobody has taken: settings have
        changed, and they are in the way. Returns whether there were any.
        """
        if self.borrowed:
            return False
        found = [name for name, one in self._inherited.items() if _port(one) == port]
        for name in found:
            self._close(name, self._inherited.pop(name))
        return bool(found)

    def close_rest(self) -> None:
        """Close what nobody has taken by the end of the start."""
        for name in list(self._inherited):
            logger.info("nothing uses the inherited socket %s any more: closed", name)
            self._close(name, self._inherited.pop(name))

    def _close(self, name: str, inherited: socket.socket) -> None:
        if self.borrowed:
            self._unfit.append((name, inherited))
            return
        with contextlib.suppress(OSError):
            # the manager's duplicate listens no more from now on, and not from when it is told
            inherited.shutdown(socket.SHUT_RDWR)
        inherited.close()
        self._used.pop(name, None)
        self._tell_forget(name)


def _port(inherited: socket.socket) -> int | None:
    if inherited.family not in (socket.AF_INET, socket.AF_INET6):
        return None
    try:
        port: int = inherited.getsockname()[1]
    except OSError:
        return None
    return port

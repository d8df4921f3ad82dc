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
from collections.abc import Callable, MutableMapping

import attrs

logger = logging.getLogger("meet_trio.kept_sockets")

FIRST = 3
"""The first descriptor that is handed over (SD_LISTEN_FDS_START)."""
CLEAN_START = "SUPERVISOR_CLEAN_START"
"""The variable by which the supervisor says that nothing but listening sockets is left."""

Keep = Callable[[str, int], None]
Forget = Callable[[str], None]


def _keep_nothing(name: str, fd: int) -> None:
    pass


def _forget_nothing(name: str) -> None:
    pass


@attrs.define(eq=False)
class KeptSockets:
    """``tell_keep(name, fd)`` and ``tell_forget(name)`` tell the manager; they never wait.

    ``clean_start``: the processes before this one have crashed too often, and nothing of them is
    to be resumed.
    """

    _inherited: dict[str, socket.socket] = attrs.field(factory=dict)
    _tell_keep: Keep = _keep_nothing
    _tell_forget: Forget = _forget_nothing
    clean_start: bool = False

    @classmethod
    def from_environ(
        cls, environ: MutableMapping[str, str], keep: Keep, forget: Forget
    ) -> "KeptSockets":
        """The sockets that this process was handed. The variables are removed, since they are about
        no other process; the descriptors are not inherited by others.
        """
        clean = environ.pop(CLEAN_START, "") == "1"
        kept = cls(tell_keep=keep, tell_forget=forget, clean_start=clean)
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
        return inherited

    def keep(self, name: str, fd: int) -> None:
        """Hand the socket ``fd`` to the next process. The manager gets a duplicate.
        One of that name that it has already must be forgotten before.
        """
        self._tell_keep(name, fd)

    def forget(self, name: str) -> None:
        """The manager closes its duplicate of the socket."""
        self._tell_forget(name)

    def make_room(self, port: int) -> bool:
        """Close the inherited sockets of a TCP or UDP port that nobody has taken: settings have
        changed, and they are in the way. Returns whether there were any.
        """
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
        with contextlib.suppress(OSError):
            # the manager's duplicate listens no more from now on, and not from when it is told
            inherited.shutdown(socket.SHUT_RDWR)
        inherited.close()
        self._tell_forget(name)


def _port(inherited: socket.socket) -> int | None:
    if inherited.family not in (socket.AF_INET, socket.AF_INET6):
        return None
    try:
        port: int = inherited.getsockname()[1]
    except OSError:
        return None
    return port

"""Starts the server as a child that cannot outlive the supervisor.

The kernel kills the child when its parent dies (PR_SET_PDEATHSIG). The child asks for that between
``fork`` and ``exec``, and then looks whether its parent still lives, so there is no moment at which
it could be left alone. An interpreter with capabilities in its file (``setcap``) would lose that at
``exec``: use the capabilities of a unit or a container instead.
"""

import ctypes
import fcntl
import os
import signal
from collections.abc import Sequence

from meet_trio.supervisor.messages import Messages

FIRST = 3  # SD_LISTEN_FDS_START
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_STARTING = (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
"""Ignored until the server takes them. SIGINT stays ignored: a terminal sends it to both.

SIGTERM waits until the server takes it (``daemon``), so that one that is still starting ends in
order too: it may have to wipe the keys of the calls that it was to go on with.
"""

_prctl = ctypes.CDLL(None, use_errno=True).prctl


def adopt_orphans() -> None:
    """Be the parent of processes whose parent has ended: a server that has taken over from the one
    that was started here (PR_SET_CHILD_SUBREAPER).
    """
    _prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def start(
    command: Sequence[str],
    messages: Messages,
    sockets: Sequence[tuple[str, int]],
    watchdog: float,
    *,
    clean: bool,
) -> int:
    """Start ``command`` with ``sockets``, names and descriptors. Returns the process's id.

    Raises OSError if there is no process to be had.
    """
    environ = dict(os.environ)
    environ["LISTEN_FDS"] = str(len(sockets))
    environ["LISTEN_FDNAMES"] = ":".join(name for name, _ in sockets)
    environ["WATCHDOG_USEC"] = str(int(watchdog * 1e6))
    environ.setdefault("PYTHONFAULTHANDLER", "1")  # SIGABRT shows where the server hung
    if clean:
        environ["SUPERVISOR_CLEAN_START"] = "1"
    handed = [fd for _, fd in sockets]
    if messages.path_fd is None:
        environ["NOTIFY_SOCKET"] = messages.name
    else:
        environ["NOTIFY_SOCKET"] = f"/proc/self/fd/{FIRST + len(handed)}"
        handed.append(messages.path_fd)
    parent = os.getpid()
    environ["SUPERVISOR_PID"] = str(parent)
    every = set(signal.Signals)
    # The child has the supervisor's handlers, and its wakeup descriptor, until it resets them.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, every)
    try:
        pid = os.fork()
        if pid == 0:
            _become(command, environ, handed, parent, before)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return pid


def _become(
    command: Sequence[str],
    environ: dict[str, str],
    handed: Sequence[int],
    parent: int,
    mask: set[int | signal.Signals],
) -> None:
    try:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        for number in _STARTING:
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, {*mask, signal.SIGTERM})
        # above all targets first: a descriptor may stand where another one is to be
        above = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, FIRST + len(handed)) for fd in handed]
        for target, fd in enumerate(above, FIRST):
            os.dup2(fd, target, inheritable=True)
        environ["LISTEN_PID"] = environ["WATCHDOG_PID"] = str(os.getpid())
        os.execve(command[0], list(command), environ)
    except BaseException as error:
        os.write(2, f"meet-trio: {command[0]} cannot be started: {error}\n".encode())
    finally:
        os._exit(127)

"""The supervisor's loop: one ``poll`` for the server's messages and for signals.

| event | what follows |
|---|---|
| the server ends with 0 | so does the supervisor |
| it ends with 2 and has never been ready | so does the supervisor: its settings are invalid |
| it ends otherwise | another one is started at once, with the sockets that are kept |
| it crashes again and again | see ``crash_loop`` |
| MAINPID= from the server | that process is the server from now on, see ``meet_trio.upgrade`` |
| it is silent for ``watchdog`` seconds | SIGABRT, a second later SIGKILL, and another one |
| SIGTERM, SIGINT | SIGTERM for the server; SIGKILL a second after ``shutdown``; the end |
| the server does not end in order then | another one, which wipes what is left, and ends at once |
| SIGHUP, SIGUSR1, SIGUSR2 | go on to the server, to one that starts when it is ready |
"""

import contextlib
import os
import select
import signal
import socket
import time
from collections.abc import Sequence

from meet_trio.supervisor import child
from meet_trio.supervisor.crash_loop import CLEAN, GIVE_UP, CrashLoop
from meet_trio.supervisor.messages import Messages
from meet_trio.supervisor.store import Store

_START_TIMEOUT = 90.0  # seconds until READY=1
_ABORT_TIMEOUT = 1.0  # seconds from SIGABRT to SIGKILL, for the lines of faulthandler
_SHUTDOWN_EXTRA = 1.0  # seconds beyond the time that the server promises
_RETRY = 1.0  # seconds, if the machine has no process left
_LATE = 1.0  # seconds: the supervisor itself was stopped, and so may the server have been
_PASSED_ON = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
_END = (signal.SIGTERM, signal.SIGINT)
_INVALID_SETTINGS = 2


class Supervisor:
    """``watchdog`` and ``shutdown`` are in seconds. ``command`` begins with a program's path."""

    def __init__(self, watchdog: float, shutdown: float, command: Sequence[str]) -> None:
        self._watchdog = watchdog
        self._shutdown = shutdown
        self._command = command
        self._store = Store()
        self._messages = Messages()
        self._crashes = CrashLoop()
        self._signals, self._wakeup = socket.socketpair()
        self._pid = 0
        self._ready = False  # the present server
        self._ever_ready = False
        self._stopping = False
        self._aborting = False
        self._wiping = False  # the present server only wipes what others have left
        self._deadline = 0.0  # when the present server is ended
        self._waiting: list[int] = []  # signals for a server that starts

    def run(self) -> int:
        """Supervise until the end. Returns the exit status."""
        self._signals.setblocking(False)
        self._wakeup.setblocking(False)
        signal.set_wakeup_fd(self._wakeup.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGCHLD, *_END, *_PASSED_ON):
            signal.signal(number, lambda *_: None)
        child.adopt_orphans()
        poll = select.poll()
        poll.register(self._messages.fileno(), select.POLLIN)
        poll.register(self._signals.fileno(), select.POLLIN)
        self._start()
        while True:
            wait = max(0.0, self._deadline - time.monotonic())
            before = time.monotonic()
            poll.poll(wait * 1e3)
            if time.monotonic() - before > wait + _LATE and not self._stopping:
                self._deadline += time.monotonic() - before
            self._take_messages()
            self._take_signals()
            if self._stopping and not self._pid:
                return 0
            status = self._reap()
            if status is not None:
                code = self._ended(status)
                if code is not None:
                    return code
            elif time.monotonic() >= self._deadline:
                self._too_late()

    def _start(self) -> None:
        now = time.monotonic()
        self._crashes.started(now)
        self._ready = self._aborting = False
        self._deadline = now + _START_TIMEOUT
        try:
            self._pid = child.start(
                self._command,
                self._messages,
                self._store.items(),
                self._watchdog,
                clean=self._crashes.clean or self._wiping,
            )
        except OSError as error:
            _print_line(f"the server cannot be started, tried again in a second: {error}")
            self._deadline = now + _RETRY

    def _take_messages(self) -> None:
        for lines, fds in self._messages.take(lambda: self._pid):
            self._take(lines, fds)

    def _take(self, lines: dict[str, str], fds: list[int]) -> None:
        name = lines.get("FDNAME", "")
        stores = lines.get("FDSTORE") == "1"
        for fd in fds:
            if not stores:
                os.close(fd)
            elif (why := self._store.add(name, fd)) is not None:
                _print_line(why)
        if lines.get("FDSTOREREMOVE") == "1":
            self._store.remove(name)
        if (pid := lines.get("MAINPID", "")).isdecimal():
            self._follow(int(pid))
        if self._stopping or self._aborting:
            return
        if lines.get("READY") == "1":
            self._ready = self._ever_ready = True
            self._deadline = time.monotonic() + self._watchdog
            while self._waiting:
                self._send(self._waiting.pop(0))
        if lines.get("WATCHDOG") == "1" and self._ready:
            self._deadline = time.monotonic() + self._watchdog
        if lines.get("STOPPING") == "1":  # by itself, after a drain: its webhooks have their time
            self._ready = False
            self._deadline = time.monotonic() + _START_TIMEOUT

    def _follow(self, pid: int) -> None:
        """Another process has taken over from the server, which ends."""
        self._pid = pid
        self._crashes.started(time.monotonic())
        if self._stopping:
            self._send(signal.SIGTERM)
        elif self._aborting:  # the one that was silent is not the server any more
            self._aborting = False
            self._deadline = time.monotonic() + self._watchdog

    def _take_signals(self) -> None:
        try:
            numbers = self._signals.recv(4096)
        except BlockingIOError:
            return
        for number in numbers:
            if number in _END and not self._stopping:
                self._stopping = True
                self._end_server()
            elif number in _PASSED_ON and self._ready:
                self._send(number)
            elif number in _PASSED_ON and number not in self._waiting:
                self._waiting.append(number)

    def _send(self, number: int) -> None:
        if self._pid:  # not reaped yet, so the id is the server's
            os.kill(self._pid, number)

    def _reap(self) -> int | None:
        """The status of the server if it has ended. As the first process of a container the
        supervisor reaps others too.
        """
        while True:
            ended = self._look_at(os.P_PID, self._pid) if self._pid else None
            if ended:
                self._take_messages()  # the last ones; they may name another server
                if ended != self._pid:
                    os.waitpid(ended, 0)
                    continue
                return os.waitpid(ended, 0)[1]
            other = self._look_at(os.P_ALL, 0)
            if not other:
                return None
            if other != self._pid:
                os.waitpid(other, 0)

    def _look_at(self, kind: int, pid: int) -> int:
        """The id of such a child that has ended, which stays; 0: there is none."""
        try:
            found = os.waitid(kind, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return 0
        return 0 if found is None else found.si_pid

    def _ended(self, status: int) -> int | None:
        """Start another server, or return the exit status of the supervisor."""
        self._pid = 0
        code = os.waitstatus_to_exitcode(status)
        if code == 0 or (self._stopping and (self._wiping or not len(self._store))):
            return 0
        if self._stopping:
            self._wipe()
            return None
        if code == _INVALID_SETTINGS and not self._ever_ready:
            return code
        how = f"ended with status {code}" if code > 0 else f"was ended by {_name(-code)}"
        what = self._crashes.crashed(time.monotonic())
        if what == GIVE_UP:
            _print_line(f"the server {how}, again and again: given up")
            return 1
        if what == CLEAN:
            self._store.keep_only_listening()
            _print_line(
                f"the server {how}, again and again: the next one starts without what it left"
            )
        else:
            _print_line(f"the server {how}: another one starts")
        self._start()
        return None

    def _wipe(self) -> None:
        """The server has left keys of calls that nobody will go on with."""
        self._wiping = True
        self._start()
        self._end_server()

    def _end_server(self) -> None:
        self._deadline = time.monotonic() + self._shutdown + _SHUTDOWN_EXTRA
        self._send(signal.SIGTERM)

    def _too_late(self) -> None:
        if not self._pid:
            self._start()
            return
        if self._stopping or self._aborting:
            self._send(signal.SIGKILL)
            self._deadline = time.monotonic() + _ABORT_TIMEOUT
            return
        _print_line("the server does not answer: it is ended (SIGABRT)")
        self._aborting = True
        self._deadline = time.monotonic() + _ABORT_TIMEOUT
        self._send(signal.SIGABRT)


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"


def _print_line(text: str) -> None:
    with contextlib.suppress(OSError):  # nobody reads standard error any more
        os.write(2, f"meet-trio: {text}\n".encode())

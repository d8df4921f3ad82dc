"""Tells the service manager how the server is, by the protocol of ``sd_notify(3)``.

A message is a datagram of lines ``NAME=value`` to the unix socket that the variable NOTIFY_SOCKET
names. Without that variable nothing is sent. Sending never waits. A message that could not be sent
is sent again with the next one, its newest values only, so that a full queue costs no message for
good. A socket that is gone is logged once and ends nothing.

``store`` and ``remove`` are about sockets that the manager keeps for the next process
(``sd_pid_notify_with_fds(3)``). Each is a message of its own, in order. One that could not be sent
waits with a duplicate of its socket and is sent again, at first after 50 ms.

WATCHDOG=1 is sent by a task, so it stops when the loop stops. A failed engine does not stop it: the
rooms of other engines go on, and ``health`` tells of it. If all engines have failed, a restart
harms nobody and is all that helps, so the messages stop.
"""

import logging
import os
import socket
import time
from collections import deque
from collections.abc import Callable, Mapping

import attrs
import trio

logger = logging.getLogger("meet_trio.operator.notify")

_STATUS_INTERVAL = 10.0  # seconds between two messages, if the watchdog needs none
_MAIN_TIMEOUT = 0.5  # seconds for MAINPID, in which the server does nothing else
_FIRST_RETRY = 0.05  # seconds; the queue of a unix socket has room for ten messages by default


@attrs.define(eq=False)
class Notifier:
    """``address`` None: there is no service manager. ``watchdog`` is the time in seconds after
    which it takes a silent server for dead, or None.
    """

    address: str | None = None
    watchdog: float | None = None
    _unsent: dict[str, str] = attrs.field(factory=dict)
    _about_sockets: deque[tuple[str, int | None]] = attrs.field(factory=deque)
    _failing: bool = False

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> "Notifier":
        """The notifier of the variables NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID."""
        address = environ.get("NOTIFY_SOCKET") or None
        if address is not None and not address.startswith(("/", "@")):
            logger.warning("NOTIFY_SOCKET: not a unix socket, ignored: %s", address)
            address = None
        return cls(address, _watchdog(environ) if address else None)

    def ready(self) -> None:
        """The server listens, or has read its settings again."""
        self._unsent.pop("RELOADING", None)
        self._unsent.pop("MONOTONIC_USEC", None)
        self._send({"READY": "1"})

    def reloading(self) -> None:
        """The settings are being read again. ``ready`` follows."""
        self._unsent.pop("READY", None)
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send({"RELOADING": "1", "MONOTONIC_USEC": str(now)})

    def stopping(self) -> None:
        """The server ends."""
        self._send({"STOPPING": "1"})

    def store(self, name: str, fd: int) -> None:
        """The manager is to keep a duplicate of ``fd`` for the next process. FDPOLL=0: systemd
        would drop one with an error, which any ICMP message brings to a UDP socket.
        """
        if self.address is not None:
            self._about_sockets.append((f"FDSTORE=1\nFDNAME={name}\nFDPOLL=0", os.dup(fd)))
            self._flush()

    def remove(self, name: str) -> None:
        """The manager is to close what it keeps under that name."""
        if self.address is not None:
            self._about_sockets.append((f"FDSTOREREMOVE=1\nFDNAME={name}", None))
            self._flush()

    def main_is(self, pid: int) -> bool:
        """Another process is the server from now on, and this one ends. Tries for half a second
        until the manager has taken it, which drops what that process says before. Returns whether
        it has.
        """
        if self.address is None:
            return True
        deadline = time.monotonic() + _MAIN_TIMEOUT
        while time.monotonic() < deadline:
            self._flush()
            if not self._about_sockets and self._put(f"MAINPID={pid}"):
                return True
            time.sleep(_FIRST_RETRY / 10)
        return False

    def tell(self, status: str) -> None:
        """Send the status now."""
        self._send({"STATUS": status})

    async def run(self, status: Callable[[], str], alive: Callable[[], bool]) -> None:
        """Send ``status()`` now and then, and what the watchdog waits for while ``alive()``. Until
        cancelled.
        """
        if self.address is None:
            return
        interval = _STATUS_INTERVAL
        if self.watchdog is not None:
            interval = min(interval, self.watchdog / 2)
        retry = _FIRST_RETRY
        while True:
            message = {"STATUS": status()}
            if self.watchdog is not None and alive():
                message["WATCHDOG"] = "1"
            self._send(message)
            retry = min(interval, 2 * retry) if self._about_sockets else _FIRST_RETRY
            await trio.sleep(retry if self._about_sockets else interval)

    def _send(self, message: Mapping[str, str]) -> None:
        if self.address is None:
            return
        self._unsent.update(message)
        datagram = "\n".join(f"{name}={value}" for name, value in self._unsent.items())
        self._flush()
        if not self._put(datagram):
            self._unsent.pop("WATCHDOG", None)  # it would lie later
            return
        self._unsent.clear()

    def _flush(self) -> None:
        """Send what waits about sockets, as far as the manager takes it."""
        while self._about_sockets:
            datagram, fd = self._about_sockets[0]
            if not self._put(datagram, fd):
                return
            self._about_sockets.popleft()
            if fd is not None:
                os.close(fd)

    def _put(self, datagram: str, fd: int | None = None) -> bool:
        assert self.address is not None
        address = f"\0{self.address[1:]}" if self.address.startswith("@") else self.address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as door:
                door.setblocking(False)
                door.connect(address)
                if fd is None:
                    door.send(datagram.encode())
                else:
                    socket.send_fds(door, [datagram.encode()], [fd])
        except OSError as error:
            # A queue that is full for a moment is no failure: the message follows.
            if not self._failing and not (fd is not None and isinstance(error, BlockingIOError)):
                logger.warning("the service manager cannot be told: %s", error)
                self._failing = True
            return False
        self._failing = False
        return True


def _watchdog(environ: Mapping[str, str]) -> float | None:
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None  # meant for another process
    microseconds = environ.get("WATCHDOG_USEC", "")
    if not microseconds.isdecimal() or int(microseconds) == 0:
        return None
    return int(microseconds) / 1e6

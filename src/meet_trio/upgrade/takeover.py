"""The new process of an upgrade: says what it has done, and waits for the old one.

Until ``go`` the old process may go on at any time, with the same sockets and the same state
directory. So whatever fails here before, this process ends at once, without any of the steps of a
clean end: those would close what belongs to the other one.
"""

import contextlib
import ctypes
import importlib
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator, MutableMapping, Sequence
from typing import Any, NoReturn

import attrs
import trio

from meet_trio import __version__
from meet_trio.edge.moving import MovedConnection
from meet_trio.errors import RecordError
from meet_trio.kept_sockets import KeptSockets
from meet_trio.live.room import LiveRoom
from meet_trio.upgrade.channel import Channel, ChannelBroken
from meet_trio.upgrade.successor import CHANNEL_VARIABLE

logger = logging.getLogger("meet_trio.upgrade")

_PR_SET_PDEATHSIG = 1
_MOST_NAMED = 3  # records that are lost
_KEEPER_LOOKS = 5000  # times, each after a millisecond: until the old process has ended


@attrs.define(eq=False)
class Takeover:
    """``before``: the id of the old process. ``keeper``: that of the process whose child this one
    is then; 0: a service manager's.
    """

    _channel: Channel
    before: int = 0
    keeper: int = 0
    lock: int | None = None
    expected: Sequence[int] = ()
    """How many rooms and peers the old process has."""
    _over: bool = False
    _began: float = 0.0  # when the old process has held its engines, by CLOCK_MONOTONIC

    @classmethod
    def from_environ(cls, environ: MutableMapping[str, str]) -> "Takeover | None":
        """None: this process was not started by another server. The variable is removed."""
        number = environ.pop(CHANNEL_VARIABLE, "")
        if not number.isdecimal():
            return None
        os.set_inheritable(int(number), False)
        # a terminal sends it to all; the process that waits for this one passes it on
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        return cls(Channel(socket.socket(fileno=int(number))))

    @contextlib.contextmanager
    def guard(self) -> Iterator[None]:
        """Whatever is raised within the ``with`` block before ``go`` ends the process."""
        try:
            yield
        except BaseException as error:
            if self._over:
                raise
            self.fail(error)

    def fail(self, error: BaseException) -> NoReturn:
        """Tell the old process why this one cannot go on, and end."""
        if not isinstance(error, ChannelBroken):
            with contextlib.suppress(ChannelBroken):
                self._channel.send({"failed": _words(error)})
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1)

    def begin(self, kept: KeptSockets, late: Callable[[bool], Iterable[str]]) -> None:
        """The settings are read. Load everything, and take the sockets of the old process.
        ``late(dtls)``: the modules that a server loads late; whether DTLS is among them.
        """
        with self.guard():
            hello, _ = self._channel.receive()
            self.before, self.keeper = int(hello["pid"]), int(hello["keeper"])
            for name in late(bool(hello["dtls"])):
                importlib.import_module(name)
            self._channel.send({"ready": __version__})
            message, descriptors = self._channel.receive()
            if message["lock"]:
                self.lock = descriptors.pop()
            kept.borrow(dict(zip(message["sockets"], descriptors, strict=True)))

    async def opened(
        self, kept: KeptSockets, prepare: Callable[[], None]
    ) -> Sequence[MovedConnection]:
        """All is opened. Wait until the old process has written its state, and holds still. Until
        then ``prepare`` is called as often as that one wants, and does what can be done already.
        """
        self._channel.send({"opened": True, "prepares": True})
        message, descriptors = await self._wait("prepare", "state")
        while "state" not in message:
            prepare()
            self._channel.send({"prepared": True})
            message, descriptors = await self._wait("prepare", "state")
        self._began = float(message["held_at"])
        self.expected = [message["rooms"], message["peers"]]
        sockets, connections = message["sockets"], message["connections"]
        kept.borrow(dict(zip(sockets, descriptors[: len(sockets)], strict=True)))
        rest = descriptors[len(sockets) :]
        return [
            MovedConnection.from_json(descriptor, found)
            for descriptor, found in zip(rest, connections, strict=True)
        ]

    def check(self, lost: Sequence[str], rooms: Collection[LiveRoom]) -> None:
        """Raises RecordError if something of the old process's is ``lost``: it had better go on."""
        if lost:
            raise RecordError("; ".join(lost[:_MOST_NAMED]))
        found = [len(rooms), sum(len(room.peers) for room in rooms)]
        if found != self.expected:
            raise RecordError(f"{found} rooms and peers could be resumed, not {self.expected}")

    async def go(self, rooms: int) -> None:
        """This process has taken over all. Wait until the old one does nothing any more."""
        self._channel.send({"resumed": rooms})
        await self._wait("go")
        self._over = True
        self._channel.close()
        took = 1e3 * (time.monotonic() - self._began)
        logger.info(
            "took over from process %d, which has stood still for %.0f ms", self.before, took
        )

    async def follow_keeper(self) -> None:
        """End with the process that waits for this one, once this one is its child
        (PR_SET_PDEATHSIG).
        """
        if not self.keeper:
            return
        for _ in range(_KEEPER_LOOKS):
            if os.getppid() == self.keeper:
                ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
                if os.getppid() == self.keeper:
                    return
            await trio.sleep(0.001)
        logger.error("the process that waits for the server has ended, so the server ends")
        os.kill(os.getpid(), signal.SIGTERM)

    async def _wait(self, *names: str) -> tuple[dict[str, Any], list[int]]:
        await self._channel.readable()
        message, descriptors = self._channel.receive()
        if message.keys().isdisjoint(names):
            raise ChannelBroken(f"the old process has not said {' or '.join(names)}")
        return message, descriptors


def guarded(takeover: Takeover | None) -> contextlib.AbstractContextManager[None]:
    """``Takeover.guard``, or without a takeover nothing."""
    return contextlib.nullcontext() if takeover is None else takeover.guard()


def _words(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(map(_words, error.exceptions))
    return f"{type(error).__name__}: {error}"

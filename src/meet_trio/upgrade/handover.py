"""The old process of an upgrade.

Until the new one is ready and has opened all that it can open beside this one, this process serves
as before. So it does while the new one makes the rooms of the log as it is by then. Then the gate
before all clients is closed, until each request that was read is answered, and the new one makes
anew what has changed. The rest is one step of a task: the engines are held, the state is written,
the new process gets it with the connections that are at rest, and says that it has resumed all. No
other task runs meanwhile, so nothing changes. In the end this process says ``go`` and ends without
a further step.

Whatever fails before, the step ends: the engines go on, the gate is opened, the new process is
killed. Nobody has noticed more than that media came late.
"""

import contextlib
import logging
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NoReturn

import attrs
import trio

from meet_trio.continuity import Continuity
from meet_trio.edge.front_door import FrontDoor
from meet_trio.edge.moving import MovedConnection
from meet_trio.errors import LimitExceeded
from meet_trio.live.registry import Registry
from meet_trio.media.dtls import DtlsBridge
from meet_trio.media.engines import EngineError, EngineHost, hold_all
from meet_trio.operator.drain import Drain
from meet_trio.upgrade.channel import ChannelBroken
from meet_trio.upgrade.settings import UpgradeSettings
from meet_trio.upgrade.successor import (
    KEEPER_VARIABLE,
    Successor,
    UpgradeFailed,
    own_command,
    start_successor,
)

logger = logging.getLogger("meet_trio.upgrade")

_LOOK = 0.002  # seconds between two looks at what is not at rest yet
_FLUSHES = 10_000  # slices of a log that is behind
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
_ENDS = frozenset({signal.SIGTERM, signal.SIGINT})


@attrs.define(eq=False)
class Upgrade:
    """``polls()``: how many requests wait for something to be sent, and are no reason to wait."""

    settings: UpgradeSettings
    continuity: Continuity
    registry: Registry
    drain: Drain
    bridge: DtlsBridge
    hosts: Sequence[EngineHost]
    door: FrontDoor
    polls: Callable[[], int]
    command: Callable[[], list[str]] = own_command
    _restless: Collection[Any] | None = None
    _prepares: bool = False  # the new process does so; one of an earlier version does not
    _handed: dict[str, int] = attrs.field(factory=dict)
    _scope: trio.CancelScope | None = None

    async def run(self, tell: Callable[[Mapping[str, object]], Awaitable[None]]) -> None:
        """Start a new process and hand over to it. If that goes well, this never returns. Raises
        LimitExceeded if it cannot be done now, UpgradeFailed if it has failed. ``tell`` is told of
        the new process before it takes over.
        """
        if self._scope is not None:
            raise LimitExceeded("an upgrade is under way already")
        self._refuse_bad_moment()
        with trio.CancelScope() as self._scope:
            try:
                await self._run(tell)
            except ChannelBroken as error:
                logger.warning("upgrade: given up, the server goes on: %s", error)
                raise UpgradeFailed(str(error)) from None
            finally:
                self._scope = None
        raise UpgradeFailed("the server ends")

    def give_up(self) -> None:
        """The server ends. Idempotent."""
        if self._scope is not None:
            self._scope.cancel()

    def _refuse_bad_moment(self) -> None:
        if self.registry.stopping:
            raise LimitExceeded("the server ends")
        if self.drain.active:
            raise LimitExceeded("the server drains, and ends when it is empty")
        if self.continuity.directory is None:
            raise LimitExceeded("nothing is kept for another process (state.dir)")

    async def _run(self, tell: Callable[[Mapping[str, object]], Awaitable[None]]) -> NoReturn:
        keeper = _keeper()
        logger.info("upgrade: a new process starts")
        variables = {KEEPER_VARIABLE: str(keeper)} if keeper else {}
        try:
            async with start_successor(self.command(), variables) as successor:
                try:
                    with trio.fail_after(self.settings.start_timeout):
                        version = await self._prepare(successor, keeper)
                except trio.TooSlowError:
                    raise UpgradeFailed(
                        "the new process was not ready in time (upgrade.start_timeout)"
                    ) from None
                news = {"pid": successor.pid, "version": version}
                await tell({**news, "state": "ready"})
                await tell({**news, "state": "takes over"})  # so the first one was written
                await self._settle_and_hand_over(successor, keeper)
        finally:
            assert self.continuity.directory is not None
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(self.continuity.directory.wipe_unfinished)

    async def _settle_and_hand_over(self, successor: Successor, keeper: int) -> NoReturn:
        for _ in range(2):  # the second one has what has changed in the first
            await self._have_prepared(successor, self.settings.start_timeout, "start_timeout")
        await self._settle(self._handshakes, self._patience())
        self._refuse_bad_moment()
        self.door.gate.close()
        try:
            until = self._patience()
            await self._settle_all(until)
            # Next to nothing changes any more, so next to nothing is left to do after the hold.
            await self._have_prepared(successor, self.settings.hold_timeout, "hold_timeout")
            await self._settle_all(until)
            self._refuse_bad_moment()
            self._hand_over(successor, keeper)
        finally:
            self.door.gate.open()

    async def _have_prepared(self, successor: Successor, within: float, name: str) -> None:
        """Have the new process do what can be done with the log as it is now."""
        if not self._prepares:
            return
        successor.channel.send({"prepare": True})
        try:
            with trio.fail_after(within):
                await successor.wait("prepared")
        except trio.TooSlowError:
            raise UpgradeFailed(
                f"the new process has not prepared in time (upgrade.{name})"
            ) from None

    async def _prepare(self, successor: Successor, keeper: int) -> object:
        """Have it load and open everything. Returns its version."""
        assert self.continuity.directory is not None
        dtls = self.bridge.is_loaded
        successor.channel.send({"pid": os.getpid(), "keeper": keeper, "dtls": dtls})
        version = (await successor.wait("ready"))["ready"]
        logger.info("upgrade: process %d is ready, version %s", successor.pid, version)
        sockets = self.continuity.sockets.used
        self._handed = dict(sockets)
        fds = [*sockets.values(), self.continuity.directory.lock]
        successor.channel.send({"sockets": list(sockets), "lock": True}, fds)
        self._prepares = "prepares" in await successor.wait("opened")
        return version

    def _patience(self) -> float:
        return trio.current_time() + self.settings.settle_timeout

    async def _settle_all(self, until: float) -> None:
        self._restless = None
        await self._settle(self._busy, until)

    async def _settle(self, left: Callable[[], int], until: float) -> None:
        """Wait until nothing is ``left``, or until that time."""
        with trio.move_on_at(until):
            while left():  # noqa: ASYNC110  no event tells it
                await trio.sleep(_LOOK)

    def _handshakes(self) -> int:
        return self.bridge.handshakes

    def _busy(self) -> int:
        self._restless = self.door.restless(self._restless)
        return max(0, len(self._restless) - self.polls())

    def _hand_over(self, successor: Successor, keeper: int) -> NoReturn:
        """In one step of this task. Returns only by raising: then nothing has happened."""
        with _signals_wait() as came, contextlib.ExitStack() as on_failure:
            held_at = time.monotonic()
            self._hold()
            for host in self.hosts:
                on_failure.callback(host.engine.begin)
            moved = [one for one in self.door.moving() if one is not None]
            self._write_state(moved)
            self._send_state(successor, moved, held_at)
            successor.take("resumed", self.settings.hold_timeout)
            if not _ENDS.isdisjoint(came):
                raise UpgradeFailed("a signal ends the server")
            if not self.continuity.sockets.tell_main(successor.pid):
                raise UpgradeFailed("the service manager cannot be told")
            try:
                successor.channel.send({"go": True})
            except ChannelBroken:
                os._exit(1)  # the manager waits for that process now, which has crashed
            # What comes from now on waits for the program that this process becomes, if it stays.
            signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
            for one in came:
                os.kill(successor.pid, one)
            self._end(keeper)

    def _hold(self) -> None:
        try:
            hold_all(self.hosts, self.settings.hold_timeout)
        except EngineError as error:
            raise UpgradeFailed(str(error)) from None

    def _write_state(self, moved: Iterable[MovedConnection]) -> None:
        sockets = {id for one in moved for id in one.socket_ids}
        for room in self.registry.rooms.values():
            room.hand_over(sockets)
        journal = self.continuity.journal
        assert journal is not None
        for _ in range(_FLUSHES):
            if not journal.log.flush(journal.clock()):
                break
        if not journal.log.is_current:
            raise UpgradeFailed("the state cannot be written (errors/log-state-not-kept.md)")

    def _send_state(
        self, successor: Successor, moved: Sequence[MovedConnection], held_at: float
    ) -> None:
        new = {
            name: fd
            for name, fd in self.continuity.sockets.used.items()
            if self._handed.get(name) != fd
        }
        left = self.door.connections - len(moved)
        logger.info("upgrade: %d connections go on, %d come back", len(moved), left)
        successor.channel.send(
            {
                "state": True,
                "held_at": held_at,
                "rooms": len(self.registry.rooms),
                "peers": self.registry.count_peers(),
                "sockets": list(new),
                "connections": [one.to_json() for one in moved],
            },
            [*new.values(), *(one.descriptor for one in moved)],
        )

    def _end(self, keeper: int) -> NoReturn:
        """End without touching anything that both processes have: the kernel closes it all."""
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        if keeper == os.getpid():
            try:
                # -P: modules in the working directory are not the program's
                how = "-I" if sys.flags.isolated else "-P"
                os.execv(sys.executable, [sys.executable, how, "-m", "meet_trio.upgrade.stay"])
            except OSError:
                os._exit(0)
        os._exit(0)


def _keeper() -> int:
    """The process that waits for the server: the supervisor, or this one, which stays. 0: a service
    manager, which follows the server from process to process.
    """
    parent = os.getppid()
    if os.environ.get(KEEPER_VARIABLE) == str(parent):
        return parent
    return 0 if os.environ.get("NOTIFY_SOCKET") else os.getpid()


@contextlib.contextmanager
def _signals_wait() -> Iterator[list[int]]:
    """Signals that come within the ``with`` block are put into a list, and raised at its end."""
    came: list[int] = []
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    try:
        for number, handler in before.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, lambda number, frame: came.append(number))
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for one in came:
            signal.raise_signal(one)

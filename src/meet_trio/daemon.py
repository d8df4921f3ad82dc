"""The server as a service: signals, and the service manager.

| signal | effect |
|---|---|
| SIGTERM, SIGINT | the server says goodbye to everybody and ends |
| SIGHUP | the settings and the TLS files are read again |
| SIGUSR1 | the server drains: no new rooms; it ends when the last room has ended |
| SIGUSR2 | the drain is taken back |

A terminal that is closed sends SIGHUP too. A server that was started in that terminal ends then.

The process ends with 0 after all of these.
"""

import logging
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence

import attrs
import trio

from meet_trio import collector
from meet_trio.app import Running, serve
from meet_trio.config import Settings
from meet_trio.console.call import Levels
from meet_trio.errors import ConfigError
from meet_trio.kept_sockets import KeptSockets
from meet_trio.operator.notify import Notifier
from meet_trio.upgrade.takeover import Takeover

logger = logging.getLogger("meet_trio.daemon")

Reread = Callable[[Settings], Settings]


def run(
    settings: Settings,
    *,
    levels: Levels | None = None,
    started: Callable[[Running], None] = lambda running: None,
    reread: Reread = lambda present: present,
    notifier: Notifier | None = None,
    kept: KeptSockets | None = None,
    takeover: Takeover | None = None,
) -> None:
    """Run a server until a signal ends it, or a drain. ``started`` is called once it listens.

    ``levels`` are those of the log, and ``takeover``: see ``serve``.

    ``reread(present)`` reads the settings again, or raises ConfigError. It is called in a thread.
    """
    daemon = Daemon(
        settings,
        levels,
        started,
        reread,
        notifier or Notifier(),
        kept or KeptSockets(),
        takeover,
        terminal=_has_terminal(),
    )
    for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        # Before and after ``Daemon.run`` they would end the process with another exit code. A
        # terminal that is closed may send SIGHUP twice.
        signal.signal(number, signal.SIG_IGN)
    trio.run(daemon.run)


@attrs.define(eq=False)
class Daemon:
    """One run of the server. ``terminal``: standard input was a terminal at the start."""

    settings: Settings
    levels: Levels | None
    started: Callable[[Running], None]
    reread: Reread
    notifier: Notifier
    kept: KeptSockets = attrs.field(factory=KeptSockets)
    takeover: Takeover | None = None
    terminal: bool = False
    _reload_due: trio.Event = attrs.field(factory=trio.Event)
    _running: Running | None = None

    async def run(self) -> None:
        with trio.open_signal_receiver(*self._signals()) as signals:
            # the supervisor has it wait until now
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
            async with trio.open_nursery() as listening:
                async with trio.open_nursery() as nursery:
                    listening.start_soon(self._listen, signals, nursery.cancel_scope)
                    if self.settings.redis.standby:
                        self._tell_manager(nursery)  # it may wait for days
                    running = await nursery.start(self._serve, nursery.cancel_scope)
                    self._running = running
                    await nursery.start(collector.run)
                    nursery.start_soon(collector.freeze_when, running.bridge.loaded)
                    nursery.start_soon(self._reload, running)
                    self.started(running)
                    if self.settings.redis.standby:
                        self.notifier.tell(_status(running))  # the address follows it
                    else:
                        self._tell_manager(nursery)
                listening.cancel_scope.cancel()

    def _tell_manager(self, nursery: trio.Nursery) -> None:
        self.notifier.ready()
        nursery.start_soon(
            self.notifier.run,
            lambda: _status(self._running),
            lambda: _any_engine_works(self._running),
        )

    def _signals(self) -> Sequence[signal.Signals]:
        """A supervisor has SIGINT ignored: a terminal sends it to both, and the supervisor's end is
        the server's.
        """
        found = [signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2]
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            found.append(signal.SIGINT)
        return found

    async def _serve(
        self, whole: trio.CancelScope, *, task_status: trio.TaskStatus[Running]
    ) -> None:
        await serve(
            self.settings,
            levels=self.levels,
            kept=self.kept,
            takeover=self.takeover,
            task_status=task_status,
        )
        self.notifier.stopping()
        whole.cancel()

    async def _listen(self, signals: AsyncIterator[int], whole: trio.CancelScope) -> None:
        """Take signals until the server has ended. Signals that are not taken would be raised once
        more after that, and end the process in their own way.
        """
        async for number in signals:
            if self._ends(number):
                self.notifier.stopping()
                whole.cancel()

    def _ends(self, number: int) -> bool:
        """Do what a signal asks for. Returns whether it ends the server."""
        running = self._running
        if running is None:  # it starts, or stands by
            return number in (signal.SIGTERM, signal.SIGINT)
        match number:
            case signal.SIGHUP if self.terminal and not _has_terminal():
                return True
            case signal.SIGHUP:
                self._reload_due.set()
            case signal.SIGUSR1:
                if not running.drain.start():
                    logger.warning("SIGUSR1: the server drains already")
            case signal.SIGUSR2:
                if not running.drain.undo():
                    logger.warning("SIGUSR2: the server does not drain")
            case _:
                return True
        return False

    async def _reload(self, running: Running) -> None:
        while True:
            await self._reload_due.wait()
            # a signal that comes from now on is about files that may be newer
            self._reload_due = trio.Event()
            self.notifier.reloading()
            try:
                await self._reload_once(running)
            finally:
                self.notifier.ready()

    async def _reload_once(self, running: Running) -> None:
        present = running.reload.settings
        try:
            wanted = await trio.to_thread.run_sync(self.reread, present, abandon_on_cancel=True)
            done = await running.reload.take(wanted)
        except ConfigError as error:
            logger.error("reload: refused, nothing has changed: %s", error)
            return
        except Exception:
            logger.exception("reload: failed, nothing has changed")
            return
        logger.info("reload: changed: %s", ", ".join(done.taken) or "no setting")
        if done.settings.listener.tls_cert is not None:
            logger.info("reload: new connections get %s", done.settings.listener.tls_cert)
        if done.left:
            logger.warning("reload: needs a restart: %s", ", ".join(done.left))


def _has_terminal() -> bool:
    return sys.__stdin__ is not None and not sys.__stdin__.closed and sys.__stdin__.isatty()


def _status(running: Running | None) -> str:
    if running is None:
        return "standing by"
    return f"draining: {running.drain.left()}" if running.drain.active else running.drain.left()


def _any_engine_works(running: Running | None) -> bool:
    return running is None or not all(host.failed for host in running.hosts)

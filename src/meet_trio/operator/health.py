"""The health of the server: the reasons for which a load balancer should send it nobody new.

- An engine has failed, has taken no commands for some time, or does not answer. Every few seconds
  each engine is asked for its figures. A single missing answer counts for nothing: the loop may
  have been late.
- An engine was busy for nearly all of the time between its last two answers. Media is late then.
- Tasks wait too long for their turn, see ``lag``. The last ten seconds count.
- Webhooks are stuck: many wait, one waits for long, or the last ones were given up.
- The server drains or shuts down.

Each of these is a sentence. There are none while the server is healthy. The bounds are settings.
The life of the loop itself is the watchdog's concern, see ``notify``.
"""

from collections import deque
from typing import Protocol

import attrs
import trio

from meet_trio.lag import LoopLag, Snapshot, share_above
from meet_trio.live.registry import Registry
from meet_trio.media.engines import EngineError, EngineHost
from meet_trio.operator.settings import HealthSettings

_WINDOW = 10  # seconds of the loop's lag that count
_ASK_INTERVAL = 5.0  # seconds between two questions to an engine
_MISSING_ANSWERS = 2  # in a row, after which an engine is called silent


class Webhooks(Protocol):
    """The part of the outbox that health looks at."""

    @property
    def pending(self) -> int: ...

    @property
    def oldest(self) -> float | None: ...

    @property
    def lost_in_a_row(self) -> int: ...


@attrs.frozen
class Answer:
    """``at``: when an engine answered. ``busy``: the seconds that its thread had worked by then."""

    at: float
    busy: float


@attrs.define(eq=False)
class Health:
    """``settings`` may be replaced at any time."""

    settings: HealthSettings
    registry: Registry
    lag: LoopLag
    webhooks: Webhooks
    # of the last seconds, the oldest first
    _snapshots: deque[Snapshot] = attrs.field(factory=lambda: deque(maxlen=_WINDOW))
    _missing_answers: dict[EngineHost, int] = attrs.field(factory=dict)
    _answers: dict[EngineHost, deque[Answer]] = attrs.field(factory=dict)
    """The last two of each engine."""

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Watch the loop and the engines until cancelled."""
        async with trio.open_nursery() as nursery:
            for host in self.registry.context.hosts:
                nursery.start_soon(self._ask, host)
            task_status.started()
            while True:
                self._snapshots.append(self.lag.snapshot())
                await trio.sleep(1)

    def reasons(self) -> list[str]:
        """Why the server is not healthy. Empty: it is."""
        return [*self._of_state(), *self._of_engines(), *self._of_loop(), *self._of_webhooks()]

    async def _ask(self, host: EngineHost) -> None:
        while not host.failed:
            try:
                busy = (await host.stats())["engine"].get("busy_us", 0) / 1e6
                answers = self._answers.setdefault(host, deque(maxlen=2))
                answers.append(Answer(trio.current_time(), busy))
                self._missing_answers[host] = 0
            except EngineError:
                self._missing_answers[host] = self._missing_answers.get(host, 0) + 1
            await trio.sleep(_ASK_INTERVAL)

    def _of_state(self) -> list[str]:
        if self.registry.stopping:
            return ["shutting down"]
        if self.registry.draining:
            left = len(self.registry.rooms)
            return [f"draining: no new rooms, {left} {'room' if left == 1 else 'rooms'} left"]
        return []

    def _of_engines(self) -> list[str]:
        found = []
        for host in self.registry.context.hosts:
            name = f"the media engine on port {host.engine.port}"
            if host.failed:
                found.append(f"{name} has failed")
            elif host.stuck_for >= self.settings.engine_wait:
                found.append(f"{name} has taken no commands for {host.stuck_for:g} s")
            elif self._missing_answers.get(host, 0) >= _MISSING_ANSWERS:
                found.append(f"{name} does not answer")
            elif (share := self._busy_share(host)) > self.settings.engine_busy:
                found.append(f"{name} is busy {share:.0%} of the time")
        return found

    def _busy_share(self, host: EngineHost) -> float:
        """Between the last two answers; 0 before there are two."""
        answers = self._answers.get(host)
        if answers is None or len(answers) < 2:
            return 0.0
        before, after = answers
        return (after.busy - before.busy) / (after.at - before.at)

    def _of_loop(self) -> list[str]:
        if not self._snapshots:
            return []
        bound, most = self.settings.loop_lag, self.settings.loop_lag_share
        share = share_above(bound, self._snapshots[0], self.lag.snapshot())
        if share <= most:
            return []
        return [
            f"the event loop is late: tasks waited more than {bound:g} s in {share:.0%} of the "
            f"last {_WINDOW} s"
        ]

    def _of_webhooks(self) -> list[str]:
        settings, webhooks, found = self.settings, self.webhooks, []
        if settings.webhooks_waiting is not None and webhooks.pending > settings.webhooks_waiting:
            found.append(f"{webhooks.pending} webhooks wait")
        age = 0.0 if webhooks.oldest is None else trio.current_time() - webhooks.oldest
        if settings.webhook_age is not None and age > settings.webhook_age:
            found.append(f"a webhook has waited for {age:.0f} s")
        lost = webhooks.lost_in_a_row
        if settings.webhooks_lost is not None and lost >= settings.webhooks_lost:
            found.append(f"the last {lost} webhooks were not delivered")
        return found

"""Trials: ICE credentials at each engine, for seconds, without a room and without a peer.

``meet-trio doctor`` asks for them, and sends STUN requests to the announced addresses. The answers
show that the path to each engine's port is open. A trial takes no DTLS and forwards nothing. One
more than ``MOST_TRIALS`` calls at once is refused.
"""

from collections.abc import Sequence

import attrs
import trio

from meet_trio.engine import Kept
from meet_trio.errors import LimitExceeded
from meet_trio.media.engines import EngineHost
from meet_trio.media.transport import IceParameters
from meet_trio.ortc.fields import Json

LIFETIME = 15.0  # seconds; longer than the doctor takes
MOST_TRIALS = 4


@attrs.define(eq=False)
class _Trial:
    """One at one engine."""

    host: EngineHost
    number: int = attrs.field()
    ice: IceParameters = attrs.field(factory=IceParameters.generate)

    @number.default
    def _(self) -> int:
        return self.host.new_number()

    def enter_engine(self, kept: Kept | None) -> None:
        """See ``Resident``. It always begins anew."""
        ice = self.ice
        self.host.engine.add_transport(self.number, ice.username_fragment, ice.password)

    def lost(self) -> None:
        """It ends with its time."""

    def end(self) -> None:
        self.host.dismiss(self)
        self.host.engine.remove_transport(self.number)


@attrs.define(eq=False)
class Trials:
    """``open`` begins trials, which end in ``nursery``."""

    hosts: Sequence[EngineHost]
    nursery: trio.Nursery
    _open: int = 0

    async def open(self) -> list[dict[str, Json]]:
        """The port and the credentials at each engine that works. Raises LimitExceeded."""
        if self._open >= MOST_TRIALS:
            raise LimitExceeded(f"{MOST_TRIALS} trials of media are open already")
        return list(await self.nursery.start(self._run))

    async def _run(self, *, task_status: trio.TaskStatus[list[dict[str, Json]]]) -> None:
        self._open += 1
        added: list[_Trial] = []
        given: list[dict[str, Json]] = []
        try:
            for host in self.hosts:
                if host.failed:
                    continue
                trial = _Trial(host)
                host.admit(trial)
                added.append(trial)
                given.append({"port": host.engine.port} | trial.ice.to_json())
            task_status.started(given)
            await trio.sleep(LIFETIME)
        finally:
            self._open -= 1
            for trial in added:
                trial.end()

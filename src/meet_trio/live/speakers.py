"""Who speaks in one room, and whose camera is forwarded there (last-N).

A room listens from the moment when a peer asks who speaks or when last-N is set, until the room
ends. A room where nobody has asked gets no audio levels from the engines. Once it listens it goes
on, because a client could otherwise make much work by asking again and again.

While somebody speaks, ``run`` looks ten times a second who the dominant speaker is. In silence it
sleeps. Consumers that last-N holds back or lets go are settled in batches with pauses, because
their clients are told, and a room may have hundreds.
"""

import logging
from collections.abc import Callable

import attrs
import trio

from meet_trio.ortc.fields import Json
from meet_trio.rates import Bucket
from meet_trio.room import Consumer, Outcome, Room
from meet_trio.room.outcome import notices
from meet_trio.room.speakers import FRAME, SILENT, Speakers

logger = logging.getLogger("meet_trio.live.speakers")

LEVELS_INTERVAL = 0.3  # seconds between two ``audioLevels``
LEAST_LEVEL = -80  # dBov; peers that are less loud are not in ``audioLevels``
MOST_LEVELS = 10  # peers in one ``audioLevels``

SETTLED_AT_ONCE = 8
SETTLE_PAUSE = 0.004  # seconds


@attrs.define(eq=False)
class LiveSpeakers:
    """The speakers of the room ``state``.

    - ``perform(outcome)`` performs an outcome of the state, and ``follow`` after it.
    - ``apply_pause(consumer)`` makes the engine follow the state of a consumer.
    - ``budget``: of the messages with audio levels, for all rooms together.
    """

    state: Room
    perform: Callable[[Outcome], object]
    apply_pause: Callable[[Consumer], None]
    budget: Bucket
    listening: bool = False
    speakers: Speakers = attrs.field(factory=Speakers)
    _levels: dict[str, dict[str, int]] = attrs.field(factory=dict)  # by peer and producer, dBov
    _told: str | None = None
    _volumes: list[tuple[str, int]] = attrs.field(factory=list)  # that were told last
    _volumes_due: bool = False
    _next_volumes: float = 0.0
    _due: trio.Event = attrs.field(factory=trio.Event)
    _unsettled: trio.Event = attrs.field(factory=trio.Event)

    def hear(self, peer_id: str, producer_id: str, level: int) -> None:
        """A microphone of the peer has ``level`` dBov. A peer is as loud as its loudest one."""
        levels = self._levels.setdefault(peer_id, {})
        levels[producer_id] = level
        self._heard(peer_id, levels)

    def forget_producer(self, peer_id: str, producer_id: str) -> None:
        levels = self._levels.get(peer_id, {})
        if levels.pop(producer_id, None) is not None:
            self._heard(peer_id, levels)

    def forget_peer(self, peer_id: str) -> None:
        self._levels.pop(peer_id, None)
        self.speakers.leave(peer_id)
        self._volumes_due = True
        self._due.set()

    def _heard(self, peer_id: str, levels: dict[str, int]) -> None:
        loudest = max(levels.values(), default=SILENT)
        self.speakers.hear(peer_id, loudest, trio.current_time())
        self._volumes_due = True
        self._due.set()

    def tell_levels(self) -> None:
        """Tell the audio levels soon, although they may not have changed: a peer has asked."""
        self._volumes = []
        self._volumes_due = True
        self._due.set()

    @property
    def dominant(self) -> str | None:
        return self.speakers.dominant

    def follow(self, now: float) -> Outcome:
        """Bring the front of last-N up to date after any change of the room. Returns what has to be
        told: a new dominant speaker, a new front.
        """
        outcome = self.state.update_front(self.speakers.latest, now)
        if self.state.unsettled:
            self._unsettled.set()
        if self.state.last_n.deadline != float("inf"):
            self._due.set()
        if self.speakers.dominant == self._told:
            return outcome
        self._told = self.speakers.dominant
        spoke = notices(self.state.speaker_listeners, "activeSpeaker", {"peerId": self._told})
        return attrs.evolve(outcome, after=(*spoke, *outcome.after))

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._listen)
            nursery.start_soon(self._settle)

    async def _listen(self) -> None:
        while True:
            await self._due.wait()
            self._due = trio.Event()
            while self._has_to_look():
                await trio.sleep(FRAME)
                try:
                    self._look(trio.current_time())
                except Exception:
                    logger.exception("finding who speaks failed")

    def _has_to_look(self) -> bool:
        return (
            self.speakers.awake
            or self.state.last_n.deadline != float("inf")
            or (self._volumes_due and bool(self.state.level_listeners))
        )

    def _look(self, now: float) -> None:
        self.speakers.decide(now)
        self.perform(Outcome())
        if self._volumes_due and now >= self._next_volumes:
            self._next_volumes = now + LEVELS_INTERVAL
            self._tell_volumes(now)

    def _tell_volumes(self, now: float) -> None:
        """Tell the levels, if they have changed and the budget allows it. If not, they are told
        later.
        """
        listeners = self.state.level_listeners
        if not listeners or self.budget.wait(now) > 0:
            return
        self._volumes_due = False
        volumes = self.speakers.volumes(LEAST_LEVEL, MOST_LEVELS)
        if volumes == self._volumes:
            return
        self.budget.take(now, len(listeners))
        self._volumes = volumes
        data: dict[str, Json] = {
            "volumes": [{"peerId": peer, "volume": volume} for peer, volume in volumes]
        }
        self.perform(Outcome(after=notices(listeners, "audioLevels", data)))

    async def _settle(self) -> None:
        while True:
            await self._unsettled.wait()
            self._unsettled = trio.Event()
            while self.state.unsettled:
                try:
                    changed, outcome = self.state.settle(SETTLED_AT_ONCE)
                    for consumer in changed:
                        self.apply_pause(consumer)
                    self.perform(outcome)
                except Exception:
                    logger.exception("holding consumers back by last-N failed")
                await trio.sleep(SETTLE_PAUSE)

"""When a publisher is told which of its layers the viewers want.

A layer that nobody wants costs its publisher bandwidth and computing time. The wish of a viewer is
the highest layer that it has asked for. The bandwidth that viewers have plays no part: a layer that
does not fit today has to be there as soon as it fits.

A publisher is told at once that a higher layer is wanted than before, and ``FALL`` seconds later
that only lower ones are. So a publisher gets two messages in ``FALL`` seconds at most for each of
its producers, whatever its viewers ask for.
"""

from collections.abc import Callable

import attrs
import trio

from meet_trio.live.log_errors import log_errors
from meet_trio.room import Producer, Room

_UNKNOWN = -2  # in place of a layer
FALL = 5.0  # seconds; after that a layer that nobody wants is given up


@attrs.define(eq=False)
class LayersWanted:
    """What the publishers of a room know. The time is passed in, in seconds."""

    # by producer id: the highest wanted layer, -1 if none is, or _UNKNOWN; without an entry, all
    # layers
    _told: dict[str, int] = attrs.field(factory=dict)
    # producers of which less is wanted than was told, and the time to tell it; the first in front
    _falling: dict[str, tuple[Producer, float]] = attrs.field(factory=dict)

    def is_due(self, producer: Producer, now: float) -> bool:
        """Whether the publisher is to be told now what is wanted of ``producer``. True is returned
        once for each message.
        """
        wanted = producer.highest_wanted()
        layer = -1 if wanted is None else wanted
        told = self._told.get(producer.id, len(producer.wishes) - 1)
        if layer < told:
            _, at = self._falling.setdefault(producer.id, (producer, now + FALL))
            if now < at:
                return False
        self._falling.pop(producer.id, None)
        self._told[producer.id] = layer
        return layer != told

    def resume(self, producer: Producer) -> None:
        """Nobody knows what an earlier process has told: the publisher is told in any case."""
        self._told[producer.id] = _UNKNOWN

    def deadline(self) -> float:
        """The time at which ``fallen`` is to be called; infinity: not at all."""
        return next((at for _, at in self._falling.values()), float("inf"))

    def fallen(self, now: float) -> list[Producer]:
        """The producers whose publishers have waited long enough to be told of less."""
        return [producer for producer, at in self._falling.values() if at <= now]

    def forget(self, producer_id: str) -> None:
        """The producer is closed."""
        self._told.pop(producer_id, None)
        self._falling.pop(producer_id, None)


@attrs.define(eq=False)
class WishTeller:
    """Tells the publishers of the room ``state``. ``notify(peer_id, method, data)`` tells one."""

    state: Room
    notify: Callable[[str, str, object], None]
    _wanted: LayersWanted = attrs.field(factory=LayersWanted)
    _due: trio.Event = attrs.field(factory=trio.Event)

    def forget(self, producer_id: str) -> None:
        """The producer is closed."""
        self._wanted.forget(producer_id)

    def resume(self) -> None:
        """The room is that of an earlier process."""
        for producer in self.state.producers.values():
            if producer.layers_wanted:
                self._wanted.resume(producer)
                self.state.wishes_changed[producer.id] = producer
        self.check()

    def check(self) -> None:
        """The room may have changed."""
        if self.state.wishes_changed:
            self._due.set()

    async def run(self) -> None:
        """Tell them until cancelled."""
        while True:
            with trio.move_on_at(self._wanted.deadline()):
                await self._due.wait()
            self._due = trio.Event()
            now = trio.current_time()
            changed = list(self.state.wishes_changed.values())
            self.state.wishes_changed.clear()
            for producer in (*changed, *self._wanted.fallen(now)):
                with log_errors(f"wishes for producer {producer.id}"):
                    if self._wanted.is_due(producer, now):
                        data = {
                            "producerId": producer.id,
                            "spatialLayer": producer.highest_wanted(),
                        }
                        self.notify(producer.peer_id, "producerLayersWanted", data)

"""Which engine each peer of a room is on.

A room fills one engine until it has ``spread_size`` peers there, then takes the one with the least
to do; when it is on all of them, its peers go where it has the fewest. A peer stays where it was
placed for as long as it is in the room, so all its transports share one engine's port. An engine
that has failed is not used any more.
"""

from collections.abc import Collection, Sequence

import attrs

from meet_trio.errors import LimitExceeded
from meet_trio.media.engines import EngineHost


@attrs.define(eq=False)
class Placement:
    """The engines of one room. ``hosts`` are all there are."""

    hosts: Sequence[EngineHost]
    spread_size: int
    _places: dict[str, EngineHost] = attrs.field(factory=dict)

    @property
    def used(self) -> Collection[EngineHost]:
        """Engines that peers of the room are on."""
        return set(self._places.values())

    def place(self, peer_id: str) -> EngineHost:
        """The peer's engine; its place is taken until ``leave``. Raises LimitExceeded when no
        engine is working.
        """
        if (host := self._places.get(peer_id)) is None:
            host = self._places[peer_id] = self._choose()
            host.peers += 1
        return host

    def leave(self, peer_id: str) -> None:
        """The peer is gone; harmless for one that was never placed."""
        if (host := self._places.pop(peer_id, None)) is not None:
            host.peers -= 1

    def _choose(self) -> EngineHost:
        working = [host for host in self.hosts if not host.failed]
        if not working:
            raise LimitExceeded("no media engine is working")
        here = dict.fromkeys(working, 0)
        for host in self._places.values():
            if host in here:
                here[host] += 1
        with_room = [host for host in working if 0 < here[host] < self.spread_size]
        if with_room:
            return max(with_room, key=lambda host: here[host])
        unused = [host for host in working if not here[host]]
        return min(unused or working, key=lambda host: (here[host], host.peers))

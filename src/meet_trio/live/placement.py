"""Chooses the engine of each peer of a room.

A room fills one engine until it has ``spread_size`` peers there. It then takes the unused engine
with the fewest peers of all rooms. Once the room is on all engines, each new peer goes to the one
with the fewest peers of this room. A peer stays on its engine until it leaves the room, so all its
transports use the port of one engine. A failed engine gets no new peers.
"""

from collections import Counter
from collections.abc import Collection, Sequence

import attrs

from meet_trio.errors import LimitExceeded
from meet_trio.media.engines import EngineHost


@attrs.define(eq=False)
class Placement:
    """The engines of one room. ``hosts`` are all engines of the server."""

    hosts: Sequence[EngineHost]
    spread_size: int
    _places: dict[str, EngineHost] = attrs.field(factory=dict)
    _peers_here: Counter[EngineHost] = attrs.field(factory=Counter)  # of this room

    @property
    def used(self) -> Collection[EngineHost]:
        """The engines that the room has peers on."""
        return {host for host, peers in self._peers_here.items() if peers}

    def place(self, peer_id: str) -> EngineHost:
        """The peer's engine, chosen at the first call and the same until ``leave``. Raises
        LimitExceeded if no engine is working.
        """
        if (host := self._places.get(peer_id)) is None:
            host = self._choose()
            self.place_again(peer_id, host)
        return host

    def place_of(self, peer_id: str) -> EngineHost | None:
        """The peer's engine, None if none was chosen yet."""
        return self._places.get(peer_id)

    def place_again(self, peer_id: str, host: EngineHost) -> None:
        """The peer was on this engine in an earlier process."""
        self._places[peer_id] = host
        host.peers += 1
        self._peers_here[host] += 1

    def leave(self, peer_id: str) -> None:
        """Forget the peer. Does nothing if it was never placed."""
        if (host := self._places.pop(peer_id, None)) is not None:
            host.peers -= 1
            self._peers_here[host] -= 1

    def _choose(self) -> EngineHost:
        working = [host for host in self.hosts if not host.failed]
        if not working:
            raise LimitExceeded("no media engine is working")
        peers_here = self._peers_here
        not_full = [host for host in working if 0 < peers_here[host] < self.spread_size]
        if not_full:
            return max(not_full, key=lambda host: peers_here[host])
        unused = [host for host in working if not peers_here[host]]
        return min(unused or working, key=lambda host: (peers_here[host], host.peers))

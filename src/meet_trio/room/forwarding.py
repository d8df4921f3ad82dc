"""Who is told who speaks, and whose cameras are forwarded to whom: last-N, pinned peers."""

from collections import OrderedDict
from collections.abc import Collection, Iterator

import attrs

from meet_trio.ortc.fields import Json
from meet_trio.room.last_n import LastN
from meet_trio.room.members import Members
from meet_trio.room.outcome import Notice, Outcome, notices
from meet_trio.room.peer import Consumer, Producer
from meet_trio.room.roles import Role

_LOOKS = 16  # consumers that ``settle`` looks at for each that it may change


@attrs.define(eq=False)
class Forwarding(Members):
    """``unsettled`` is the number of consumers that ``settle`` has to look at."""

    last_n: LastN = attrs.field(factory=LastN, init=False)
    # the peers that have asked who speaks, and those of them that get audio levels too
    speaker_listeners: frozenset[str] = attrs.field(default=frozenset(), init=False)
    level_listeners: frozenset[str] = attrs.field(default=frozenset(), init=False)
    # consumers that last-N may hold back or let go, by id, in the order of their turns
    _unsettled: OrderedDict[str, Consumer] = attrs.field(factory=OrderedDict, init=False)

    def subscribe_speakers(self, peer_id: str, audio_levels: bool) -> Outcome:
        """The peer is told who speaks from now on, and with ``audio_levels`` how loud."""
        self._present(peer_id)
        self.speaker_listeners |= {peer_id}
        self.level_listeners -= {peer_id}
        if audio_levels:
            self.level_listeners |= {peer_id}
        self._note(("peer", peer_id))
        return Outcome()

    def unsubscribe_speakers(self, peer_id: str) -> Outcome:
        if peer_id in self.speaker_listeners:
            self.speaker_listeners -= {peer_id}
            self.level_listeners -= {peer_id}
            self._note(("peer", peer_id))
        return Outcome()

    def set_last_n(self, by: str, n: int | None) -> Outcome:
        """A moderator sets N. ``update_front`` tells the peers."""
        self._require(by, Role.MODERATOR)
        self.last_n.set(n)
        self._note(("last_n", self.id))
        return Outcome()

    def pin_peers(self, peer_id: str, pinned: Collection[str]) -> Outcome:
        """The peer gets the cameras of these peers in spite of last-N, and no longer those of the
        peers that it had pinned before.
        """
        peer = self._present(peer_id)
        changed = peer.pinned ^ frozenset(pinned)
        peer.pinned = frozenset(pinned)
        self._note(("peer", peer_id))
        for other in changed & self.peers.keys():
            for producer in self.peers[other].producers.values():
                if producer.is_camera and (consumer := peer.consumers.get(producer.id)):
                    self._unsettled[consumer.id] = consumer
        return Outcome()

    def update_front(self, latest: Collection[str], now: float) -> Outcome:
        """Work out whose cameras are forwarded. ``latest`` are the latest speakers, the newest
        first. ``settle`` then has the consumers for which this may have changed.
        """
        self.last_n.rank(latest)
        before, was_stale = (self.last_n.n, self.last_n.front), self.last_n.stale
        affected = self.last_n.update(self._cameras(), now, self._cameras(paused=True))
        if was_stale or affected:
            self._note(("last_n", self.id))
        for peer_id in affected:
            if (peer := self.peers.get(peer_id)) is None:
                continue
            for producer in peer.producers.values():
                if producer.is_camera:
                    for consumer in producer.consumers.values():
                        self._unsettled[consumer.id] = consumer
        if (self.last_n.n, self.last_n.front) == before:
            return Outcome()
        return Outcome(after=notices(self.speaker_listeners, "forwardedPeers", self.forwarded()))

    @property
    def unsettled(self) -> int:
        return len(self._unsettled)

    def settle(self, most: int) -> tuple[list[Consumer], Outcome]:
        """Hold back or let go up to ``most`` consumers. Returns those that have changed. Others
        cost little, so more of them are looked at.
        """
        changed: list[Consumer] = []
        told: list[Notice] = []
        for _ in range(_LOOKS * most):
            if not self._unsettled or len(changed) == most:
                break
            consumer = self._unsettled.popitem(last=False)[1]
            held_back = not self._forwards(consumer)
            if held_back is not consumer.held_back:
                consumer.held_back = held_back
                self._note(("consumer", consumer.id))
                changed.append(consumer)
                if not self.producers[consumer.producer_id].paused:
                    told.append(pause_notice(consumer, held_back))
        return changed, Outcome(after=tuple(told))

    def _cameras(self, *, paused: bool = False) -> Iterator[str]:
        """The peers with a camera that is on, or one that is paused, the oldest camera first."""
        return (p.peer_id for p in self.producers.values() if p.is_camera and p.paused is paused)

    def _cameras_changed(self, producer: Producer) -> None:
        if producer.is_camera:
            self.last_n.stale = True

    def _forwards(self, consumer: Consumer) -> bool:
        producer = self.producers[consumer.producer_id]
        viewer = self.peers[consumer.peer_id]
        return (
            not producer.is_camera
            or producer.peer_id in viewer.pinned
            or self.last_n.wants(viewer.id, producer.peer_id, sees=not consumer.held_back)
        )

    def forwarded(self) -> dict[str, Json]:
        """The data of ``forwardedPeers``."""
        return {"lastN": self.last_n.n, "peerIds": list(self.last_n.front)}


def pause_notice(consumer: Consumer, paused: bool) -> Notice:
    method = "consumerPaused" if paused else "consumerResumed"
    return Notice(frozenset({consumer.peer_id}), method, {"consumerId": consumer.id})

"""The producers and consumers of a meeting: which there are, which are missing, which are paused,
and which layers the viewers want.
"""

from collections.abc import Callable, Collection
from itertools import islice

import attrs

from meet_trio.errors import LimitExceeded, NotFound
from meet_trio.ortc import ProducerRtp
from meet_trio.records import Key
from meet_trio.room.forwarding import Forwarding, pause_notice
from meet_trio.room.outcome import Notice, Outcome
from meet_trio.room.peer import PRIORITIES, Consumer, Layers, Peer, Producer
from meet_trio.room.requests import Produce
from meet_trio.room.roles import Role


@attrs.define(eq=False)
class Streams(Forwarding):
    """``missing`` is the number of consumers that ``missing_consumers`` would list.
    ``wishes_changed`` has the producers with ``layers_wanted`` whose ``wishes`` have changed; the
    caller removes them.
    """

    # the peers with ``missing`` above 0, by id
    _unserved: dict[str, Peer] = attrs.field(factory=dict, init=False)
    missing: int = attrs.field(default=0, init=False)
    wishes_changed: dict[str, Producer] = attrs.field(factory=dict, init=False)

    def add_producer(
        self, peer_id: str, producer_id: str, request: Produce, rtp: ProducerRtp
    ) -> Producer:
        """Add a producer. ``missing_consumers`` then lists its consumers that are to be made."""
        self.check_may_produce(peer_id)
        self._last_order += 1
        producer = Producer(
            producer_id,
            peer_id,
            rtp,
            request.source,
            request.app_data,
            self._last_order,
            layers_wanted=request.layers_wanted,
        )
        self._insert_producer(producer)
        for viewer in self.peers.values():
            if viewer.wants(producer):
                viewer.lacking[producer_id] = producer
                self._update_missing(viewer)
        return producer

    def check_may_produce(self, peer_id: str) -> None:
        """Raise what ``add_producer`` would raise: for callers that have work to do before it."""
        self._require(peer_id, Role.PUBLISHER)
        if len(self.peers[peer_id].producers) >= self.limits.producers_per_peer:
            most = self.limits.producers_per_peer
            raise LimitExceeded(f"a peer has at most {most} producers (limits.producers_per_peer)")

    def own_producer(self, peer_id: str, producer_id: str) -> Producer:
        producer = self.producers.get(producer_id)
        if producer is None or producer.peer_id != peer_id:
            raise NotFound("producerId: no such producer of this peer")
        return producer

    def close_producer(self, peer_id: str, producer_id: str) -> Outcome:
        producer = self.own_producer(peer_id, producer_id)
        watched = self.consumers_of(producer_id)
        self._forget_producer(producer)
        return Outcome(
            after=self._forget_consumers(watched),
            closed_producers=(producer_id,),
            closed_consumers=tuple(consumer.id for consumer in watched),
        )

    def pause_producer(self, peer_id: str, producer_id: str, paused: bool) -> Outcome:
        """Pause or resume."""
        self.own_producer(peer_id, producer_id).paused_by_peer = paused
        self._note(("producer", producer_id))
        return Outcome(after=self._update_pauses(peer_id))

    def missing_consumers(self, most: int | None = None) -> list[tuple[Peer, Producer]]:
        """The consumers that are to be made, as pairs of the receiving peer and the producer: the
        first ``most`` of them. The attribute ``missing`` is their whole number.

        A peer that has joined and can receive gets a consumer of every producer of the other peers
        that its capabilities allow, up to ``consumers_per_peer``. The pairs of one peer follow each
        other, the oldest producer first.
        """
        pairs = (
            (peer, producer)
            for peer in self._unserved.values()
            for producer in sorted(peer.lacking.values(), key=lambda producer: producer.order)[
                : peer.missing
            ]
        )
        return list(islice(pairs, most))

    def add_consumer(
        self,
        consumer_id: str,
        peer_id: str,
        producer_id: str,
        mid: str,
        new_ssrc: Callable[[], int],
    ) -> Consumer:
        """Add a consumer, see ``ConsumerTemplate.fill``. Raises NotFound if the peer or the
        producer is no longer there, or if the peer knows none of the producer's codecs.
        """
        peer, producer = self._present(peer_id), self.producers.get(producer_id)
        if producer is None:
            raise NotFound("the producer has gone")
        capabilities = peer.rtp_capabilities
        template = None if capabilities is None else producer.templates.get(capabilities)
        if template is None:
            raise NotFound("the peer cannot receive this producer")
        rtp = template.fill(mid, new_ssrc)
        self._last_order += 1
        consumer = Consumer(
            consumer_id,
            peer_id,
            producer_id,
            rtp,
            template,
            self._last_order,
            PRIORITIES.get(producer.source, 1),
        )
        self._insert_consumer(consumer, peer, producer)
        consumer.held_back = True  # until now it sees nothing
        consumer.held_back = not self._forwards(consumer)
        peer.lacking.pop(producer_id, None)
        self._update_missing(peer)
        return consumer

    def own_consumer(self, peer_id: str, consumer_id: str) -> Consumer:
        consumer = self.consumers.get(consumer_id)
        if consumer is None or consumer.peer_id != peer_id:
            raise NotFound("consumerId: no such consumer of this peer")
        return consumer

    def pause_consumer(self, peer_id: str, consumer_id: str, paused: bool) -> Outcome:
        """The receiving peer pauses or resumes its consumer. No other peer is told."""
        consumer = self.own_consumer(peer_id, consumer_id)
        self._count_wish(consumer, -1)
        consumer.paused = paused
        self._count_wish(consumer, 1)
        self._note(("consumer", consumer_id))
        return Outcome()

    def prefer_layers(self, peer_id: str, consumer_id: str, layers: Layers) -> Outcome:
        """The receiving peer wants no more than these layers."""
        consumer = self.own_consumer(peer_id, consumer_id)
        self._count_wish(consumer, -1)
        consumer.preferred = layers
        self._count_wish(consumer, 1)
        self._note(("consumer", consumer_id))
        return Outcome()

    def prioritize(self, peer_id: str, consumer_id: str, priority: int) -> Outcome:
        """The receiving peer sets the priority among its own consumers."""
        self.own_consumer(peer_id, consumer_id).priority = priority
        self._note(("consumer", consumer_id))
        return Outcome()

    def remove_consumer(self, consumer_id: str, *, refused: bool = False) -> Outcome:
        """Remove a consumer without a notice: its transport was closed, or the client did not
        accept it (``refused``).
        """
        consumer = self.consumers.get(consumer_id)
        if consumer is None:
            return Outcome()
        peer, producer = self.peers[consumer.peer_id], self.producers[consumer.producer_id]
        self._forget_consumer(consumer)
        if refused:
            self._refuse(peer, producer.id)
        elif peer.wants(producer):
            peer.lacking[producer.id] = producer
            self._update_missing(peer)
        return Outcome(closed_consumers=(consumer_id,))

    def refuse(self, peer_id: str, producer_id: str) -> None:
        """Do not list this consumer as missing until the peer joins again: it cannot be made."""
        peer = self._peer(peer_id)
        self._refuse(peer, producer_id)
        peer.lacking.pop(producer_id, None)
        self._update_missing(peer)

    def consumers_of(self, producer_id: str) -> list[Consumer]:
        producer = self.producers.get(producer_id)
        return [] if producer is None else list(producer.consumers.values())

    def set_receiving(self, peer_id: str, receiving: bool) -> None:
        """Record whether the peer has a transport for consumers. Does nothing if it has left."""
        peer = self.peers.get(peer_id)
        if peer is not None and peer.receiving is not receiving:
            peer.receiving = receiving
            self._note(("peer", peer_id))
            self._find_lacking(peer)

    def _insert_producer(self, producer: Producer) -> None:
        """Add a producer to the room and to its peer."""
        self.producers[producer.id] = producer
        self.peers[producer.peer_id].producers[producer.id] = producer
        self._wishes_change(producer)
        self._cameras_changed(producer)
        self._note(("producer", producer.id))

    def _insert_consumer(self, consumer: Consumer, peer: Peer, producer: Producer) -> None:
        """Add a consumer to the room, to its peer and to its producer."""
        self.consumers[consumer.id] = consumer
        peer.consumers[producer.id] = producer.consumers[peer.id] = consumer
        self._count_wish(consumer, 1)
        self._note(("consumer", consumer.id))
        if self._notes is not None:
            self._notes.use(_template_key(peer, producer.id), consumer.template)

    def _refuse(self, peer: Peer, producer_id: str) -> None:
        peer.refused.add(producer_id)
        self._note(("refusal", peer.id, producer_id))

    def _forget_refusals(self, peer: Peer) -> None:
        """The peer refuses nothing any more."""
        for producer_id in peer.refused:
            self._note_removal(("refusal", peer.id, producer_id))
        peer.refused.clear()

    def _update_pauses(self, peer_id: str) -> tuple[Notice, ...]:
        """Set ``paused`` of the peer's producers from ``paused_by_peer`` and its role. Returns the
        notices to their viewers.
        """
        may_publish = Role.PUBLISHER in self.peers[peer_id].role
        to_viewers: list[Notice] = []
        for producer in self.peers[peer_id].producers.values():
            paused = producer.paused_by_peer or not may_publish
            if paused == producer.paused:
                continue
            producer.paused = paused
            self._cameras_changed(producer)
            to_viewers.extend(
                pause_notice(consumer, paused)
                for consumer in producer.consumers.values()
                if not consumer.held_back
            )
        return tuple(to_viewers)

    def _find_lacking(self, peer: Peer) -> None:
        """Work out ``lacking`` of the peer from all producers of the room."""
        peer.lacking = {p.id: p for p in self.producers.values() if peer.wants(p)}
        self._update_missing(peer)

    def _update_missing(self, peer: Peer) -> None:
        """Bring ``missing`` and ``_unserved`` up to date, after ``lacking`` or ``consumers`` of the
        peer has changed.
        """
        room_for = max(0, self.limits.consumers_per_peer - len(peer.consumers))
        missing = min(len(peer.lacking), room_for)
        self.missing += missing - peer.missing
        peer.missing = missing
        if missing:
            self._unserved[peer.id] = peer
        else:
            self._unserved.pop(peer.id, None)

    def _count_wish(self, consumer: Consumer, number: int) -> None:
        """Add ``number`` to the wishes that are like this consumer's."""
        producer = self.producers.get(consumer.producer_id)
        if producer is None:
            return
        layer = consumer.highest_wanted(len(producer.wishes))
        if layer is not None:
            producer.wishes[layer] += number
            self._wishes_change(producer)

    def _wishes_change(self, producer: Producer) -> None:
        if producer.layers_wanted:
            self.wishes_changed[producer.id] = producer

    def _forget_producer(self, producer: Producer) -> None:
        """Remove a producer. This comes before its consumers are removed: none of their peers then
        lacks it.
        """
        del self.producers[producer.id]
        self.wishes_changed.pop(producer.id, None)
        self._cameras_changed(producer)
        del self.peers[producer.peer_id].producers[producer.id]
        self._note_removal(("producer", producer.id))
        for peer in self.peers.values():
            if producer.id in peer.refused:
                peer.refused.remove(producer.id)
                self._note_removal(("refusal", peer.id, producer.id))
            if peer.lacking.pop(producer.id, None) is not None:
                self._update_missing(peer)

    def _forget_consumer(self, consumer: Consumer) -> None:
        """Remove a consumer. Its peer may have another one in its place, if it was at its limit."""
        self._count_wish(consumer, -1)
        del self.consumers[consumer.id]
        self._unsettled.pop(consumer.id, None)
        peer, producer = self.peers[consumer.peer_id], self.producers.get(consumer.producer_id)
        del peer.consumers[consumer.producer_id]
        if producer is not None:
            del producer.consumers[consumer.peer_id]
        self._note_removal(("consumer", consumer.id))
        if self._notes is not None:
            self._notes.release(_template_key(peer, consumer.producer_id))
        self._update_missing(peer)

    def _forget_consumers(self, consumers: Collection[Consumer]) -> tuple[Notice, ...]:
        """Remove consumers. Returns one notice for each, to its peer."""
        for consumer in consumers:
            self._forget_consumer(consumer)
        return tuple(
            Notice(frozenset({consumer.peer_id}), "consumerClosed", {"consumerId": consumer.id})
            for consumer in consumers
        )


def _template_key(peer: Peer, producer_id: str) -> Key:
    """The key of the template of the peer's consumer of a producer."""
    assert peer.rtp_capabilities is not None  # a consumer was negotiated with them
    return "template", producer_id, peer.rtp_capabilities.name

"""A meeting as pure state: its peers, their roles, and the notices that they get.

Every verb checks first and changes afterwards. If it raises (``Forbidden``, ``NotFound``,
``LimitExceeded``), nothing has changed. It returns an ``Outcome`` with all that has to be sent and
done about the change. A verb that changes nothing announces nothing. There is no I/O here, no clock
and no randomness: ids, tokens and times are passed in.

The cost of a verb is proportional to what it changes and to the number of peers that are told. Each
peer knows its producers, its consumers and the producers that it lacks, and each producer knows its
consumers. So no verb searches the whole room for a few objects.

"Everyone" means every connected peer. A peer that has not joined yet gets the notices already.
"""

import hmac
from collections import OrderedDict
from collections.abc import Collection, Iterator
from itertools import islice

import attrs

from meet_trio.errors import Forbidden, LimitExceeded, NotFound
from meet_trio.ortc import ProducerRtp, RtpCapabilities
from meet_trio.ortc.fields import Json
from meet_trio.room.last_n import LastN
from meet_trio.room.limits import RoomLimits
from meet_trio.room.outcome import JoinAnswer, Notice, Outcome, Webhook, notices
from meet_trio.room.peer import PRIORITIES, Consumer, Layers, Peer, Producer
from meet_trio.room.requests import Produce
from meet_trio.room.roles import Role

_LOOKS = 16  # consumers that ``settle`` looks at for each that it may change


@attrs.define(eq=False)
class Room:
    """One meeting. ``created_at`` is in Unix seconds. ``missing`` is the number of consumers that
    ``missing_consumers`` would list. ``wishes_changed`` has the producers with ``layers_wanted``
    whose ``wishes`` have changed; the caller removes them. ``unsettled`` is the number of consumers
    that ``settle`` has to look at.
    """

    id: str
    created_at: int
    limits: RoomLimits = attrs.field(factory=RoomLimits)
    closed: bool = attrs.field(default=False, init=False)
    peers: dict[str, Peer] = attrs.field(factory=dict, init=False)
    producers: dict[str, Producer] = attrs.field(factory=dict, init=False)
    consumers: dict[str, Consumer] = attrs.field(factory=dict, init=False)
    # ids of the connected peers; immutable, so that notices can share it
    _everyone: frozenset[str] = attrs.field(default=frozenset(), init=False)
    # the peers with ``missing`` above 0, by id
    _unserved: dict[str, Peer] = attrs.field(factory=dict, init=False)
    missing: int = attrs.field(default=0, init=False)
    wishes_changed: dict[str, Producer] = attrs.field(factory=dict, init=False)
    _last_order: int = attrs.field(default=0, init=False)
    last_n: LastN = attrs.field(factory=LastN, init=False)
    # the peers that have asked who speaks, and those of them that get audio levels too
    speaker_listeners: frozenset[str] = attrs.field(default=frozenset(), init=False)
    level_listeners: frozenset[str] = attrs.field(default=frozenset(), init=False)
    # consumers that last-N may hold back or let go, by id, in the order of their turns
    _unsettled: OrderedDict[str, Consumer] = attrs.field(factory=OrderedDict, init=False)

    # Joining and leaving

    def add_peer(self, peer_id: str, role: Role, token: str) -> Peer:
        """Invite a peer. The other peers do not see it before ``connect``."""
        if self.closed:
            raise NotFound("the room is closed")
        if len(self.peers) >= self.limits.peers:
            raise LimitExceeded(
                f"a room has at most {self.limits.peers} peers (limits.peers_per_room)"
            )
        peer = self.peers[peer_id] = Peer(peer_id, role, token)
        return peer

    def authenticate(self, peer_id: str, token: str) -> Peer:
        """The peer, if ``token`` is its token. Raises the same Forbidden for an unknown peer and
        for a wrong token.
        """
        peer = self.peers.get(peer_id)
        expected = peer.token if peer is not None else ""
        # compare_digest refuses str that is not ASCII, so bytes are compared
        equal = hmac.compare_digest(expected.encode(), token.encode(errors="replace"))
        if peer is None or not equal:
            raise Forbidden("unknown peer or wrong token")
        return peer

    def connect(self, peer_id: str) -> None:
        """The peer's first socket is accepted: the other peers see it from now on."""
        self._peer(peer_id).connected = True
        self._everyone |= {peer_id}

    @property
    def is_empty(self) -> bool:
        """Whether no peer is connected. Invited peers do not count."""
        return not self._everyone

    def join(
        self, peer_id: str, nickname: str | None, rtp_capabilities: RtpCapabilities | None
    ) -> Outcome:
        """The peer joins, or joins again after its page was reloaded. Joining again closes its
        consumers, and they are offered again. Negotiations are shared among peers whose
        ``rtp_capabilities`` are one object, see ``ortc.KnownCapabilities``.
        """
        peer = self._present(peer_id)
        renamed = () if nickname is None else self.change_nickname(peer_id, nickname).before
        stale = list(peer.consumers.values())
        after = (
            *notices(self._others(peer_id), "newPeer", peer.info()),
            *self._forget_consumers(stale),
        )
        peer.refused.clear()
        peer.joined = True
        peer.rtp_capabilities = rtp_capabilities
        self._find_lacking(peer)
        return Outcome(
            before=renamed,
            result={
                "peers": [other.info() for other in self._connected() if other is not peer],
                **peer.info(),
            },
            after=after,
            closed_consumers=tuple(consumer.id for consumer in stale),
        )

    def set_receiving(self, peer_id: str, receiving: bool) -> None:
        """Record whether the peer has a transport for consumers. Does nothing if it has left."""
        peer = self.peers.get(peer_id)
        if peer is not None and peer.receiving is not receiving:
            peer.receiving = receiving
            self._find_lacking(peer)

    def leave(self, peer_id: str) -> Outcome:
        """The peer leaves by itself, or its socket did not come back, or it never connected."""
        peer = self._peer(peer_id)
        was_seen = peer.connected
        self._everyone -= {peer_id}
        self.unsubscribe_speakers(peer_id)
        own_consumers = list(peer.consumers.values())
        for consumer in own_consumers:
            self._forget_consumer(consumer)
        producers = list(peer.producers.values())
        watched = [consumer for producer in producers for consumer in producer.consumers.values()]
        for producer in producers:
            self._forget_producer(producer)
        peer_closed = notices(self._everyone, "peerClosed", {"peerId": peer_id}) if was_seen else ()
        consumers_closed = self._forget_consumers(watched)
        del self.peers[peer_id]
        self._unserved.pop(peer_id, None)
        self.missing -= peer.missing
        return Outcome(
            before=(*peer_closed, *consumers_closed),
            removed_peers=(peer_id,),
            closed_producers=tuple(producer.id for producer in producers),
            closed_consumers=tuple(consumer.id for consumer in (*own_consumers, *watched)),
        )

    def kick(self, by: str, peer_id: str) -> Outcome:
        """A moderator removes a peer. The owner cannot be removed, for the same reason as in
        ``remove_role``: a moderator could take over the room.
        """
        self._require(by, Role.MODERATOR)
        if Role.OWNER in self._present(peer_id).role:
            raise Forbidden("peerId: the owner stays")
        return self.expel(peer_id)

    def expel(self, peer_id: str, reason: str = "") -> Outcome:
        """The operator removes a peer, which may be the owner or one that has not connected yet. It
        is told the reason, if there is one.
        """
        outcome = self.leave(peer_id)
        data: dict[str, Json] = {"reason": reason} if reason else {}
        farewell = Notice(frozenset({peer_id}), "moderator:kickPeer", data)
        return attrs.evolve(outcome, before=(farewell, *outcome.before))

    def close_by(self, by: str) -> Outcome:
        """The owner ends the meeting for all."""
        self._require(by, Role.OWNER)
        return self._dismiss(self._others(by))

    def _dismiss(self, told: frozenset[str]) -> Outcome:
        farewell = notices(told, "moderator:closeRoom", None)
        return attrs.evolve(self.close(), before=farewell)

    def end(self) -> Outcome:
        """The server ends the meeting and tells everybody, as if its owner had ended it. Kolab's
        client leaves a meeting after this notice only: it ignores the end of its socket.
        """
        return self._dismiss(self._everyone)

    def close(self) -> Outcome:
        """The server ends the meeting. No peer is left, so every later verb raises NotFound."""
        if self.closed:
            return Outcome()
        self.closed = True
        outcome = Outcome(
            webhooks=(Webhook("roomClosed", self.id),),
            removed_peers=tuple(self.peers),
            closed_producers=tuple(self.producers),
            closed_consumers=tuple(self.consumers),
        )
        for things in (
            self.peers,
            self.producers,
            self.consumers,
            self._unserved,
            self._unsettled,
        ):
            things.clear()
        self.wishes_changed.clear()
        self._everyone = self.speaker_listeners = self.level_listeners = frozenset()
        self.missing = 0
        return outcome

    # Messages of peers

    def change_nickname(self, peer_id: str, nickname: str) -> Outcome:
        peer = self._present(peer_id)
        if nickname == peer.nickname:
            return Outcome()
        peer.nickname = nickname
        return self._announce("changeNickname", {"peerId": peer_id, "nickname": nickname})

    def raise_hand(self, peer_id: str, raised: bool) -> Outcome:
        peer = self._present(peer_id)
        if raised == peer.raised_hand:
            return Outcome()
        peer.raised_hand = raised
        return self._announce("changeRaisedHand", {"peerId": peer_id, "raisedHand": raised})

    def chat(self, peer_id: str, message: str) -> Outcome:
        peer = self._present(peer_id)
        data: dict[str, Json] = {
            "peerId": peer_id,
            "nickname": peer.nickname,
            "message": message,
        }
        return self._announce("chatMessage", data)

    def signal(self, type: str, data: Json, role: Role | None) -> Outcome:
        """A signal from Kolab, to everyone or to the peers with at least one bit of ``role``."""
        to = {p.id for p in self._connected() if role is None or p.role & role}
        return Outcome(before=notices(to, f"signal:{type}", data))

    # Moderation

    def add_role(self, by: str, peer_id: str, role: Role) -> Outcome:
        """Bits that the peer has already are ignored, OWNER among them."""
        self._require(by, Role.MODERATOR)
        peer = self._present(peer_id)
        gained = role & ~peer.role
        if Role.OWNER in gained:
            raise Forbidden("role: nobody becomes owner")
        if not gained:
            return Outcome()
        hand_lowered: tuple[Notice, ...] = ()
        if Role.PUBLISHER in gained:
            hand_lowered = self.raise_hand(peer_id, False).before
        return self._change_role(peer, peer.role | gained, hand_lowered)

    def remove_role(self, by: str, peer_id: str, role: Role) -> Outcome:
        """Bits that the peer does not have are ignored.

        If the peer loses PUBLISHER, its producers are paused until it has the role again.
        """
        self._require(by, Role.MODERATOR)
        peer = self._present(peer_id)
        lost = role & peer.role
        if Role.OWNER in lost:
            raise Forbidden("role: the owner stays owner")
        if Role.MODERATOR in lost and Role.OWNER in peer.role:
            raise Forbidden("role: the owner stays moderator")
        if not lost:
            return Outcome()
        language_cleared: tuple[Notice, ...] = ()
        if Role.PUBLISHER in lost and peer.language:
            peer.language = None
            language_cleared = self._language_changed(peer).before
        return self._change_role(peer, peer.role & ~lost, language_cleared)

    def change_language(self, by: str, peer_id: str, language: str | None) -> Outcome:
        self._require(by, Role.MODERATOR)
        peer = self._present(peer_id)
        if language == peer.language:
            return Outcome()
        peer.language = language
        return self._language_changed(peer)

    def answer_join_request(self, by: str, request_id: str, answer: JoinAnswer) -> Outcome:
        self._require(by, Role.MODERATOR)
        return Outcome(webhooks=(Webhook(answer, self.id, request_id),))

    # Streams

    def add_producer(
        self, peer_id: str, producer_id: str, request: Produce, rtp: ProducerRtp
    ) -> Producer:
        """Add a producer. ``missing_consumers`` then lists its consumers that are to be made."""
        self.check_may_produce(peer_id)
        self._last_order += 1
        producer = self.producers[producer_id] = Producer(
            producer_id,
            peer_id,
            rtp,
            request.source,
            request.app_data,
            self._last_order,
            layers_wanted=request.layers_wanted,
        )
        self.peers[peer_id].producers[producer_id] = producer
        self._wishes_change(producer)
        self._cameras_changed(producer)
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

    def add_consumer(self, consumer_id: str, peer_id: str, producer_id: str) -> Consumer:
        """Add a consumer. Raises NotFound if the peer or the producer is no longer there."""
        peer, producer = self._present(peer_id), self.producers.get(producer_id)
        if producer is None:
            raise NotFound("the producer has gone")
        priority = PRIORITIES.get(producer.source, 1)
        consumer = Consumer(consumer_id, peer_id, producer_id, priority)
        self.consumers[consumer_id] = consumer
        peer.consumers[producer_id] = producer.consumers[peer_id] = consumer
        self._count_wish(consumer, 1)
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
        return Outcome()

    def prefer_layers(self, peer_id: str, consumer_id: str, layers: Layers) -> Outcome:
        """The receiving peer wants no more than these layers."""
        consumer = self.own_consumer(peer_id, consumer_id)
        self._count_wish(consumer, -1)
        consumer.preferred = layers
        self._count_wish(consumer, 1)
        return Outcome()

    def prioritize(self, peer_id: str, consumer_id: str, priority: int) -> Outcome:
        """The receiving peer sets the priority among its own consumers."""
        self.own_consumer(peer_id, consumer_id).priority = priority
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
            peer.refused.add(producer.id)
        elif peer.wants(producer):
            peer.lacking[producer.id] = producer
            self._update_missing(peer)
        return Outcome(closed_consumers=(consumer_id,))

    def refuse(self, peer_id: str, producer_id: str) -> None:
        """Do not list this consumer as missing until the peer joins again: it cannot be made."""
        peer = self._peer(peer_id)
        peer.refused.add(producer_id)
        peer.lacking.pop(producer_id, None)
        self._update_missing(peer)

    def consumers_of(self, producer_id: str) -> list[Consumer]:
        producer = self.producers.get(producer_id)
        return [] if producer is None else list(producer.consumers.values())

    # Speakers

    def subscribe_speakers(self, peer_id: str, audio_levels: bool) -> Outcome:
        """The peer is told who speaks from now on, and with ``audio_levels`` how loud."""
        self._present(peer_id)
        self.speaker_listeners |= {peer_id}
        self.level_listeners -= {peer_id}
        if audio_levels:
            self.level_listeners |= {peer_id}
        return Outcome()

    def unsubscribe_speakers(self, peer_id: str) -> Outcome:
        self.speaker_listeners -= {peer_id}
        self.level_listeners -= {peer_id}
        return Outcome()

    def set_last_n(self, by: str, n: int | None) -> Outcome:
        """A moderator sets N. ``update_front`` tells the peers."""
        self._require(by, Role.MODERATOR)
        self.last_n.set(n)
        return Outcome()

    def pin_peers(self, peer_id: str, pinned: Collection[str]) -> Outcome:
        """The peer gets the cameras of these peers in spite of last-N, and no longer those of the
        peers that it had pinned before.
        """
        peer = self._present(peer_id)
        changed = peer.pinned ^ frozenset(pinned)
        peer.pinned = frozenset(pinned)
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
        before = self.last_n.n, self.last_n.front
        for peer_id in self.last_n.update(self._cameras(), now):
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
                changed.append(consumer)
                if not self.producers[consumer.producer_id].paused:
                    told.append(_pause_notice(consumer, held_back))
        return changed, Outcome(after=tuple(told))

    def _cameras(self) -> Iterator[str]:
        """The peers with a camera that is on, the oldest camera first."""
        return (p.peer_id for p in self.producers.values() if p.is_camera and not p.paused)

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

    # Helpers

    def _peer(self, peer_id: str) -> Peer:
        peer = self.peers.get(peer_id)
        if peer is None:
            raise NotFound("peerId: no such peer in the room")
        return peer

    def _present(self, peer_id: str) -> Peer:
        """A connected peer: one that the others see."""
        peer = self._peer(peer_id)
        if not peer.connected:
            raise NotFound("peerId: no such peer in the room")
        return peer

    def _require(self, peer_id: str, role: Role) -> None:
        if role not in self._present(peer_id).role:
            raise Forbidden(f"only for the role {role.name}")

    def _connected(self) -> list[Peer]:
        return [peer for peer in self.peers.values() if peer.connected]

    def _others(self, peer_id: str) -> frozenset[str]:
        return self._everyone - {peer_id}

    def _announce(self, method: str, data: Json) -> Outcome:
        """Tell everyone. The peer that asked gets the notice before its acknowledgement."""
        return Outcome(before=notices(self._everyone, method, data))

    def _change_role(self, peer: Peer, role: Role, first: tuple[Notice, ...]) -> Outcome:
        """Change the role and announce it after the notices ``first``.

        This may change ``paused`` of the peer's producers; the caller has to tell the engine.
        """
        peer.role = role
        outcome = self._announce("changeRole", {"peerId": peer.id, "role": int(role)})
        return attrs.evolve(
            outcome, before=(*first, *outcome.before), after=self._update_pauses(peer.id)
        )

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
                _pause_notice(consumer, paused)
                for consumer in producer.consumers.values()
                if not consumer.held_back
            )
        return tuple(to_viewers)

    def _language_changed(self, peer: Peer) -> Outcome:
        return self._announce("changeLanguage", {"peerId": peer.id, "language": peer.language})

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
        for peer in self.peers.values():
            peer.refused.discard(producer.id)
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
        self._update_missing(peer)

    def _forget_consumers(self, consumers: Collection[Consumer]) -> tuple[Notice, ...]:
        """Remove consumers. Returns one notice for each, to its peer."""
        for consumer in consumers:
            self._forget_consumer(consumer)
        return tuple(
            Notice(frozenset({consumer.peer_id}), "consumerClosed", {"consumerId": consumer.id})
            for consumer in consumers
        )


def _pause_notice(consumer: Consumer, paused: bool) -> Notice:
    method = "consumerPaused" if paused else "consumerResumed"
    return Notice(frozenset({consumer.peer_id}), method, {"consumerId": consumer.id})

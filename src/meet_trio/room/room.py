"""A meeting as pure state: who is there, what each may do, who is told what.

Every verb checks first and changes afterwards: when it raises (``Forbidden``, ``NotFound``,
``LimitExceeded``) nothing has changed. What has to be said and done about a change is the
``Outcome`` it returns. Nothing is announced that did not change. There is no I/O here, no clock, no
randomness: ids, tokens and times are handed in.

What a verb does is proportional to what it changes and to those that it tells. Things are found by
those that they belong to: a peer knows its producers, its consumers and what it lacks, a producer
its consumers. So nothing ever looks through the whole room for the few that it needs.

"Everyone" is every connected peer, joined or not: a peer that waits before the door hears the room
already.
"""

import hmac
from collections.abc import Collection
from itertools import islice

import attrs

from meet_trio.errors import Forbidden, LimitExceeded, NotFound
from meet_trio.ortc import ProducerRtp, RtpCapabilities
from meet_trio.ortc.fields import Json
from meet_trio.room.forms import CapabilityPool
from meet_trio.room.limits import RoomLimits
from meet_trio.room.outcome import JoinAnswer, Notice, Outcome, Webhook, notices
from meet_trio.room.peer import Consumer, Peer, Producer
from meet_trio.room.requests import Produce
from meet_trio.room.roles import Role


@attrs.define(eq=False)
class Room:
    """``created_at`` in Unix seconds."""

    id: str
    created_at: int
    limits: RoomLimits = attrs.field(factory=RoomLimits)
    closed: bool = attrs.field(default=False, init=False)
    peers: dict[str, Peer] = attrs.field(factory=dict, init=False)
    producers: dict[str, Producer] = attrs.field(factory=dict, init=False)
    consumers: dict[str, Consumer] = attrs.field(factory=dict, init=False)
    # the connected; a new set for each change of them, so that notices can share it
    _everyone: frozenset[str] = attrs.field(default=frozenset(), init=False)
    # those that lack something and may have it
    _unserved: dict[str, Peer] = attrs.field(factory=dict, init=False)
    missing: int = attrs.field(default=0, init=False)
    _capabilities: CapabilityPool = attrs.field(factory=CapabilityPool, init=False)
    _produced: int = attrs.field(default=0, init=False)

    # Coming and going

    def add_peer(self, peer_id: str, role: Role, token: str) -> Peer:
        """Somebody is invited; nobody sees it before ``connect``."""
        if self.closed:
            raise NotFound("the room is closed")
        if len(self.peers) >= self.limits.peers:
            raise LimitExceeded(f"a room has at most {self.limits.peers} peers")
        peer = self.peers[peer_id] = Peer(peer_id, role, token)
        return peer

    def authenticate(self, peer_id: str, token: str) -> Peer:
        """The peer with this token; Forbidden alike for an unknown peer and a wrong token."""
        peer = self.peers.get(peer_id)
        expected = peer.token if peer is not None else ""
        # bytes: compare_digest refuses text that is not ASCII
        right = hmac.compare_digest(expected.encode(), token.encode(errors="replace"))
        if peer is None or not right:
            raise Forbidden("unknown peer or wrong token")
        return peer

    def connect(self, peer_id: str) -> None:
        """The peer's first socket is there: from now on it is one of the room."""
        self._peer(peer_id).connected = True
        self._everyone |= {peer_id}

    @property
    def is_empty(self) -> bool:
        """No peer is connected; the invited do not count."""
        return not self._everyone

    def join(
        self, peer_id: str, nickname: str | None, rtp_capabilities: RtpCapabilities | None
    ) -> Outcome:
        """Also a second time, by a page that forgot what it knew: its consumers are made anew."""
        peer = self._present(peer_id)
        renamed = () if nickname is None else self.change_nickname(peer_id, nickname).before
        stale = list(peer.consumers.values())
        told = (
            *notices(self._others(peer_id), "newPeer", peer.info()),
            *self._forget_consumers(stale),
        )
        peer.refused.clear()
        peer.joined = True
        peer.rtp_capabilities = self._capabilities.shared(rtp_capabilities)
        self._look_around(peer)
        return Outcome(
            before=renamed,
            result={
                "peers": [other.info() for other in self._connected() if other is not peer],
                **peer.info(),
            },
            after=told,
            closed_consumers=tuple(consumer.id for consumer in stale),
        )

    def receives(self, peer_id: str, able: bool) -> None:
        """Whether the peer has a transport to receive on; harmless for one that is gone."""
        peer = self.peers.get(peer_id)
        if peer is not None and peer.receiving is not able:
            peer.receiving = able
            self._look_around(peer)

    def leave(self, peer_id: str) -> Outcome:
        """By itself, or because its socket did not come back, or because it never came."""
        peer = self._peer(peer_id)
        was_seen = peer.connected
        self._everyone -= {peer_id}
        own_consumers = list(peer.consumers.values())
        for consumer in own_consumers:
            self._forget_consumer(consumer)
        producers = list(peer.producers.values())
        watched = [consumer for producer in producers for consumer in producer.consumers.values()]
        for producer in producers:
            self._forget_producer(producer)
        goodbye = notices(self._everyone, "peerClosed", {"peerId": peer_id}) if was_seen else ()
        told = self._forget_consumers(watched)
        del self.peers[peer_id]
        self._unserved.pop(peer_id, None)
        self.missing -= peer.missing
        return Outcome(
            before=(*goodbye, *told),
            gone=(peer_id,),
            closed_producers=tuple(producer.id for producer in producers),
            closed_consumers=tuple(consumer.id for consumer in (*own_consumers, *watched)),
        )

    def kick(self, by: str, peer_id: str) -> Outcome:
        """The owner stays, as with ``remove_role``: else a moderator could take the room over."""
        self._require(by, Role.MODERATOR)
        if Role.OWNER in self._present(peer_id).role:
            raise Forbidden("peerId: the owner stays")
        outcome = self.leave(peer_id)
        farewell = Notice(frozenset({peer_id}), "moderator:kickPeer", {})
        return attrs.evolve(outcome, before=(farewell, *outcome.before))

    def close_by(self, by: str) -> Outcome:
        """The owner ends the meeting for all."""
        self._require(by, Role.OWNER)
        farewell = notices(self._others(by), "moderator:closeRoom", None)
        return attrs.evolve(self.close(), before=farewell)

    def close(self) -> Outcome:
        """The server ends it. Afterwards no peer is known, so every verb says NotFound."""
        if self.closed:
            return Outcome()
        self.closed = True
        outcome = Outcome(
            webhooks=(Webhook("roomClosed", self.id),),
            gone=tuple(self.peers),
            closed_producers=tuple(self.producers),
            closed_consumers=tuple(self.consumers),
        )
        for things in (self.peers, self.producers, self.consumers, self._unserved):
            things.clear()
        self._everyone = frozenset()
        self.missing = 0
        return outcome

    # What peers say

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
        """Word from Kolab: to everyone, or to those with at least one bit of ``role``."""
        to = {p.id for p in self._connected() if role is None or p.role & role}
        return Outcome(before=notices(to, f"signal:{type}", data))

    # Moderation

    def add_role(self, by: str, peer_id: str, role: Role) -> Outcome:
        """Bits that the peer has already are not looked at, whatever they are."""
        self._require(by, Role.MODERATOR)
        peer = self._present(peer_id)
        gained = role & ~peer.role
        if Role.OWNER in gained:
            raise Forbidden("role: nobody becomes owner")
        if not gained:
            return Outcome()
        hand_down: tuple[Notice, ...] = ()
        if Role.PUBLISHER in gained:
            hand_down = self.raise_hand(peer_id, False).before
        return self._change_role(peer, peer.role | gained, hand_down)

    def remove_role(self, by: str, peer_id: str, role: Role) -> Outcome:
        """Bits that the peer does not have are not looked at, whatever they are.

        Whoever loses PUBLISHER is silent: its producers stay, paused, until it has the role again.
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
        silenced: tuple[Notice, ...] = ()
        if Role.PUBLISHER in lost and peer.language:
            peer.language = None
            silenced = self._language_changed(peer).before
        return self._change_role(peer, peer.role & ~lost, silenced)

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
        """Consumers of it are found by ``missing_consumers``."""
        self.check_may_produce(peer_id)
        self._produced += 1
        producer = self.producers[producer_id] = Producer(
            producer_id, peer_id, rtp, request.source, request.app_data, self._produced
        )
        self.peers[peer_id].producers[producer_id] = producer
        for viewer in self.peers.values():
            if viewer.wants(producer):
                viewer.lacking[producer_id] = producer
                self._serve_or_not(viewer)
        return producer

    def check_may_produce(self, peer_id: str) -> None:
        """Raises what ``add_producer`` would, for those that have to do something before it."""
        self._require(peer_id, Role.PUBLISHER)
        if len(self.peers[peer_id].producers) >= self.limits.producers_per_peer:
            raise LimitExceeded(f"a peer has at most {self.limits.producers_per_peer} producers")

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
        return Outcome(after=self._settle_pauses(peer_id))

    def missing_consumers(self, most: int | None = None) -> list[tuple[Peer, Producer]]:
        """Who should get a consumer of what and has none yet, the first ``most`` of them; there are
        ``missing``, which is known without looking.

        A peer gets every stream of the others that its capabilities allow, once it has joined and
        can receive, up to ``consumers_per_peer``. Viewer by viewer, oldest producer first.
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
        """NotFound if the peer or the producer has gone meanwhile."""
        peer, producer = self._present(peer_id), self.producers.get(producer_id)
        if producer is None:
            raise NotFound("the producer has gone")
        consumer = self.consumers[consumer_id] = Consumer(consumer_id, peer_id, producer_id)
        peer.consumers[producer_id] = producer.consumers[peer_id] = consumer
        peer.lacking.pop(producer_id, None)
        self._serve_or_not(peer)
        return consumer

    def own_consumer(self, peer_id: str, consumer_id: str) -> Consumer:
        consumer = self.consumers.get(consumer_id)
        if consumer is None or consumer.peer_id != peer_id:
            raise NotFound("consumerId: no such consumer of this peer")
        return consumer

    def pause_consumer(self, peer_id: str, consumer_id: str, paused: bool) -> Outcome:
        """Pause or resume, by the peer that receives it; nobody else is told."""
        self.own_consumer(peer_id, consumer_id).paused = paused
        return Outcome()

    def remove_consumer(self, consumer_id: str, *, refused: bool = False) -> Outcome:
        """Its transport has gone, or (``refused``) its client would not have it: no notice."""
        consumer = self.consumers.get(consumer_id)
        if consumer is None:
            return Outcome()
        peer, producer = self.peers[consumer.peer_id], self.producers[consumer.producer_id]
        self._forget_consumer(consumer)
        if refused:
            peer.refused.add(producer.id)
        elif peer.wants(producer):
            peer.lacking[producer.id] = producer
            self._serve_or_not(peer)
        return Outcome(closed_consumers=(consumer_id,))

    def refuse(self, peer_id: str, producer_id: str) -> None:
        """No consumer can be made, so none is missing until the peer joins anew."""
        peer = self._peer(peer_id)
        peer.refused.add(producer_id)
        peer.lacking.pop(producer_id, None)
        self._serve_or_not(peer)

    def consumers_of(self, producer_id: str) -> list[Consumer]:
        producer = self.producers.get(producer_id)
        return [] if producer is None else list(producer.consumers.values())

    # Inside

    def _peer(self, peer_id: str) -> Peer:
        peer = self.peers.get(peer_id)
        if peer is None:
            raise NotFound("peerId: no such peer in the room")
        return peer

    def _present(self, peer_id: str) -> Peer:
        """A peer that the others see."""
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
        """Everyone hears it, the one who caused it before its acknowledgement."""
        return Outcome(before=notices(self._everyone, method, data))

    def _change_role(self, peer: Peer, role: Role, first: tuple[Notice, ...]) -> Outcome:
        """The caller makes the engine heed the ``paused`` of the peer's producers afterwards."""
        peer.role = role
        outcome = self._announce("changeRole", {"peerId": peer.id, "role": int(role)})
        return attrs.evolve(
            outcome, before=(*first, *outcome.before), after=self._settle_pauses(peer.id)
        )

    def _settle_pauses(self, peer_id: str) -> tuple[Notice, ...]:
        """Pause and resume the peer's producers as it wants and may; their viewers are told."""
        may_publish = Role.PUBLISHER in self.peers[peer_id].role
        told: list[Notice] = []
        for producer in self.peers[peer_id].producers.values():
            paused = producer.paused_by_peer or not may_publish
            if paused == producer.paused:
                continue
            producer.paused = paused
            method = "consumerPaused" if paused else "consumerResumed"
            told.extend(
                Notice(frozenset({consumer.peer_id}), method, {"consumerId": consumer.id})
                for consumer in producer.consumers.values()
            )
        return tuple(told)

    def _language_changed(self, peer: Peer) -> Outcome:
        return self._announce("changeLanguage", {"peerId": peer.id, "language": peer.language})

    def _look_around(self, peer: Peer) -> None:
        """Find what it lacks, from nothing."""
        peer.lacking = {p.id: p for p in self.producers.values() if peer.wants(p)}
        self._serve_or_not(peer)

    def _serve_or_not(self, peer: Peer) -> None:
        """Something has changed that ``_unserved`` hangs on."""
        room_for = max(0, self.limits.consumers_per_peer - len(peer.consumers))
        missing = min(len(peer.lacking), room_for)
        self.missing += missing - peer.missing
        peer.missing = missing
        if missing:
            self._unserved[peer.id] = peer
        else:
            self._unserved.pop(peer.id, None)

    def _forget_producer(self, producer: Producer) -> None:
        """Before its consumers."""
        del self.producers[producer.id]
        del self.peers[producer.peer_id].producers[producer.id]
        for peer in self.peers.values():
            peer.refused.discard(producer.id)
            if peer.lacking.pop(producer.id, None) is not None:
                self._serve_or_not(peer)

    def _forget_consumer(self, consumer: Consumer) -> None:
        """Its peer may have another one now."""
        del self.consumers[consumer.id]
        peer, producer = self.peers[consumer.peer_id], self.producers.get(consumer.producer_id)
        del peer.consumers[consumer.producer_id]
        if producer is not None:
            del producer.consumers[consumer.peer_id]
        self._serve_or_not(peer)

    def _forget_consumers(self, consumers: Collection[Consumer]) -> tuple[Notice, ...]:
        """Their peers are told, one notice for each."""
        for consumer in consumers:
            self._forget_consumer(consumer)
        return tuple(
            Notice(frozenset({consumer.peer_id}), "consumerClosed", {"consumerId": consumer.id})
            for consumer in consumers
        )

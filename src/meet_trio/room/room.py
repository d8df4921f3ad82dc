"""A meeting as pure state: its peers, their roles, and the notices that they get.

Every verb checks first and changes afterwards. If it raises (``Forbidden``, ``NotFound``,
``LimitExceeded``), nothing has changed. It returns an ``Outcome`` with all that has to be sent and
done about the change. A verb that changes nothing announces nothing. There is no I/O here, no clock
and no randomness: ids, tokens and times are passed in.

The cost of a verb is proportional to what it changes and to the number of peers that are told. Each
peer knows its producers, its consumers and the producers that it lacks, and each producer knows its
consumers. So no verb searches the whole room for a few objects.

Each class of this package uses what those before it are: ``Members``, ``Forwarding``, ``Streams``,
``Recorded``, ``Room``.

A room that is ``recorded`` notes which objects a verb has changed. ``take_changes`` gives their
records, and ``restore_room`` makes an equal room of all records (``room/restore.py``).

"Everyone" means every connected peer. A peer that has not joined yet gets the notices already.
"""

import hmac

import attrs

from meet_trio.errors import Forbidden, LimitExceeded, NotFound
from meet_trio.json_text import JsonText
from meet_trio.ortc import RtpCapabilities
from meet_trio.ortc.fields import Json
from meet_trio.room.outcome import JoinAnswer, Notice, Outcome, Webhook, notices
from meet_trio.room.peer import Peer
from meet_trio.room.recorded import Recorded
from meet_trio.room.roles import Role


@attrs.define(eq=False)
class Room(Recorded):
    """One meeting."""

    # Joining and leaving

    def add_peer(self, peer_id: str, role: Role, token: str) -> Peer:
        """Invite a peer. The other peers do not see it before ``connect``."""
        if self.closed:
            raise NotFound("the room is closed")
        if len(self.peers) >= self.limits.peers:
            raise LimitExceeded(
                f"a room has at most {self.limits.peers} peers (limits.peers_per_room)"
            )
        self._last_order += 1
        peer = self.peers[peer_id] = Peer(peer_id, role, token, self._last_order)
        self._note(("peer", peer_id))
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
        self._note(("peer", peer_id))

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
        self._forget_refusals(peer)
        peer.joined = True
        self._set_capabilities(peer, rtp_capabilities)
        self._note(("peer", peer_id))
        self._find_lacking(peer)
        others = ",".join([p.info_text() for p in self._connected() if p is not peer])
        return Outcome(
            before=renamed,
            result=JsonText(f'{{"peers":[{others}],{peer.info_text()[1:]}'),
            after=after,
            closed_consumers=tuple(consumer.id for consumer in stale),
        )

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
        self._forget_refusals(peer)
        self._set_capabilities(peer, None)
        del self.peers[peer_id]
        self._note_removal(("peer", peer_id))
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
        self._note_the_end()
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
        self._note(("peer", peer_id))
        return self._announce("changeNickname", {"peerId": peer_id, "nickname": nickname})

    def raise_hand(self, peer_id: str, raised: bool) -> Outcome:
        peer = self._present(peer_id)
        if raised == peer.raised_hand:
            return Outcome()
        peer.raised_hand = raised
        self._note(("peer", peer_id))
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
        self._note(("peer", peer_id))
        return self._language_changed(peer)

    def answer_join_request(self, by: str, request_id: str, answer: JoinAnswer) -> Outcome:
        self._require(by, Role.MODERATOR)
        return Outcome(webhooks=(Webhook(answer, self.id, request_id),))

    # Helpers

    def _change_role(self, peer: Peer, role: Role, first: tuple[Notice, ...]) -> Outcome:
        """Change the role and announce it after the notices ``first``.

        This may change ``paused`` of the peer's producers; the caller has to tell the engine.
        """
        peer.role = role
        self._note(("peer", peer.id))
        outcome = self._announce("changeRole", {"peerId": peer.id, "role": int(role)})
        return attrs.evolve(
            outcome, before=(*first, *outcome.before), after=self._update_pauses(peer.id)
        )

    def _language_changed(self, peer: Peer) -> Outcome:
        return self._announce("changeLanguage", {"peerId": peer.id, "language": peer.language})

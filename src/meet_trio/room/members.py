"""The peers of a meeting, and what is asked about them for every verb."""

import attrs

from meet_trio.errors import Forbidden, NotFound
from meet_trio.ortc.fields import Json
from meet_trio.records import Key, Notes
from meet_trio.room.limits import RoomLimits
from meet_trio.room.outcome import Outcome, notices
from meet_trio.room.peer import Consumer, Peer, Producer
from meet_trio.room.roles import Role


@attrs.define(eq=False)
class Members:
    """One meeting. ``created_at`` is in Unix seconds. ``recorded``: what changes is noted, for
    ``Recorded.take_changes``.
    """

    id: str
    created_at: int
    limits: RoomLimits = attrs.field(factory=RoomLimits)
    recorded: bool = False
    closed: bool = attrs.field(default=False, init=False)
    peers: dict[str, Peer] = attrs.field(factory=dict, init=False)
    producers: dict[str, Producer] = attrs.field(factory=dict, init=False)
    consumers: dict[str, Consumer] = attrs.field(factory=dict, init=False)
    # ids of the connected peers; immutable, so that notices can share it
    _everyone: frozenset[str] = attrs.field(default=frozenset(), init=False)
    _last_order: int = attrs.field(default=0, init=False)
    _notes: Notes | None = attrs.field(init=False)

    @_notes.default
    def _(self) -> Notes | None:
        return Notes() if self.recorded else None

    def __attrs_post_init__(self) -> None:
        self._note(("room", self.id))
        self._note(("last_n", self.id))

    def _note(self, key: Key) -> None:
        """The object with this key was added, or a value of its record has changed."""
        if self._notes is not None:
            self._notes.put(key)

    def _note_removal(self, key: Key) -> None:
        if self._notes is not None:
            self._notes.drop(key)

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

"""The stays of a room's peers, from the invitation to the record of each.

A stay ends with its peer, or with the room for all who are in it. What happens then is told at
once, or in turns of the loop if a whole room has to be told of: a record takes 0.13 ms. The room's
end is told after the last stay.
"""

import logging
import time
from collections.abc import Callable, Iterable

import attrs

from meet_trio.live.attendance import PeerEnd
from meet_trio.live.peer import LivePeer
from meet_trio.room import Peer
from meet_trio.turns import Turns

logger = logging.getLogger("meet_trio.live.room")

TOLD_PER_TURN = 8


@attrs.define(eq=False)
class Stays:
    """``record`` is called once for each stay that has ended. It does not raise."""

    room_id: str
    record: Callable[[LivePeer], None]
    joined: int = 0
    """Peers that have joined and not left."""
    most_joined: int = 0
    """The most of them at any time."""
    # the state of each peer that has not left, also while it is no longer in the room's state
    _members: dict[str, Peer] = attrs.field(factory=dict)
    # peers whose tasks have ended with the room's; the room's end says why
    _ended_with_room: list[LivePeer] = attrs.field(factory=list)
    # those whose stays have ended with the room, until they are recorded
    _untold: list[LivePeer] = attrs.field(factory=list)

    def begin(self, state: Peer) -> None:
        """The peer is invited."""
        self._members[state.id] = state

    def join(self, peer: LivePeer) -> bool:
        """The peer has joined. Returns whether this is the first time."""
        if peer.attendance.joined is not None:
            return False
        peer.attendance.joined = time.time()
        self.joined += 1
        self.most_joined = max(self.most_joined, self.joined)
        return True

    def resume(self, peer: LivePeer) -> None:
        """The peer was there in an earlier process."""
        if peer.attendance.joined is not None:
            self.joined += 1

    def end(self, peer: LivePeer) -> None:
        """The peer's task has ended."""
        if peer.attendance.why is None:
            self._ended_with_room.append(peer)
        elif self._end(peer, peer.attendance.why):
            self._tell(peer)

    def end_all(self, present: Iterable[LivePeer], why: PeerEnd) -> None:
        """The room has closed, with these peers in it. ``tell_all`` must follow."""
        for peer in (*self._ended_with_room, *present):
            if self._end(peer, why):
                self._untold.append(peer)
        self._ended_with_room.clear()

    async def tell_all(self) -> None:
        """Record the stays that have ended with the room, in turns."""
        turns = Turns(TOLD_PER_TURN)
        while self._untold:
            self._tell(self._untold.pop())
            await turns.spend()

    def _end(self, peer: LivePeer, why: PeerEnd) -> bool:
        """The first call counts. Returns whether it was this."""
        attendance = peer.attendance
        if attendance.left is not None:
            return False
        attendance.left, attendance.why = time.time(), attendance.why or why
        attendance.role = self._members.pop(peer.id).role
        if attendance.joined is not None:
            self.joined -= 1
        return True

    def _tell(self, peer: LivePeer) -> None:
        logger.info("gone: %s", peer.attendance.why, extra={"room": self.room_id, "peer": peer.id})
        self.record(peer)

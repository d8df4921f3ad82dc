"""Keeps the notices that their peers may not have received, for a later process.

A notice is kept before its bytes leave, for all its peers. A little later, when it has been written
to the sockets, it is kept no longer for the peers whose kernel has all of it: the kernel sends it
also after the end of this process. Later still it is kept again for those whose TCP has not
acknowledged it. They may be on a network that is gone. It stays kept until they have received it,
or have left:

    told ──FIRST_LOOK──▶ for those in whose outboxes it is ──SECOND_LOOK──▶ for those who have not
                         or who are away                                    acknowledged it, …

The kernel is asked about a peer's socket twice a second at most, whatever it was told.

So a process that is killed leaves what its clients miss, and next to nothing that they have.

Values that a later process finds out and tells again are not kept (``_TOLD_AGAIN``). Of the others
each costs a record for all of its peers together, and a look at each peer's outbox, twice. What is
kept is bounded by what may wait for the peers (``max_backlog``, the outboxes of their sockets).
"""

import math
from collections.abc import Awaitable, Callable, Collection, Container, Iterable, Mapping, Set
from typing import cast

import attrs
import trio

from meet_trio.live.keeper import RoomKeeper
from meet_trio.live.log_errors import log_errors
from meet_trio.live.peer import LivePeer, Notification
from meet_trio.live.records import NoticeRecord
from meet_trio.ortc.fields import Json
from meet_trio.turns import Turns

FIRST_LOOK = 0.05  # seconds after a notice was told
SECOND_LOOK = 0.5  # at the earliest, see ``_moment``
LOOK_INTERVAL = 0.5  # seconds between further looks
PEERS_PER_TURN = 128  # of 1 to 10 µs each

_TOLD_AGAIN = frozenset(
    {"audioLevels", "consumerLayersChanged", "consumerScoreChanged", "producerLayersWanted"}
)


@attrs.define(eq=False)
class _Told:
    """A notice. ``to``: those who may not have received it. ``kept_for``: the same as it is kept.
    ``since``: when it was told, or given to a new socket.
    """

    notification: Notification
    to: Collection[str]
    kept_for: Collection[str]
    since: float
    due: float


@attrs.define(eq=False)
class Deliveries:
    """Those of the room ``room_id`` with these ``peers``. ``start(follow)`` starts a task of the
    room, if it is open.
    """

    room_id: str
    peers: Mapping[str, LivePeer]
    keeper: RoomKeeper
    start: Callable[[Callable[[], Awaitable[None]]], bool]
    _next: int = 0
    # by number; each is in one of the two
    _looked_at: dict[int, _Told] = attrs.field(factory=dict)
    _parked: dict[int, _Told] = attrs.field(factory=dict)  # for peers without a socket only
    _following: bool = False

    def tell(self, notification: Notification, to: Collection[str]) -> None:
        """The notification is about to be sent to these peers."""
        if not self.keeper.keeps or notification.method in _TOLD_AGAIN:
            return
        number = self._next
        self._next += 1
        now = trio.current_time()
        self._looked_at[number] = _Told(notification, to, to, now, now + FIRST_LOOK)
        self._note(number)
        self._follow_soon()

    def resume(self, records: Iterable[NoticeRecord]) -> None:
        """An earlier process has told this, and nobody has a socket yet."""
        now = trio.current_time()
        for record in sorted(records, key=lambda record: record.number):
            to = [peer_id for peer_id in sorted(record.to) if peer_id in self.peers]
            if not to:
                continue
            notification = Notification(record.method, record.data)
            for peer_id in to:
                self.peers[peer_id].send_notification(notification)
            self._parked[record.number] = _Told(notification, to, to, now, math.inf)
            self._next = record.number + 1
            self._note(record.number)

    def socket_came(self, peer: LivePeer) -> None:
        """The peer has a new socket, with all that it has missed."""
        now = trio.current_time()
        for number, told in list(self._parked.items()):
            if peer.id in told.to:
                told.since, told.due = now, now + FIRST_LOOK
                self._looked_at[number] = self._parked.pop(number)
        self._follow_soon()

    def peer_gone(self, peer_id: str) -> None:
        """The peer receives nothing any more."""
        for number, told in list(self._parked.items()):
            if peer_id in told.to:
                self._settle(number, told, [other for other in told.to if other != peer_id])

    def hand_over(self, sockets: Container[str]) -> None:
        """Another process may go on at once with the sockets of these ids: what they were given
        reaches their peers. If it does not, the next looks find again what is missing.
        """
        young = trio.current_time() - SECOND_LOOK
        connected = {
            peer_id: peer.connection.socket.id in sockets
            for peer_id, peer in self.peers.items()
            if peer.connection is not None and self._looked_at
        }
        unwritten = {
            peer_id: self.peers[peer_id].missing(acknowledged=False)
            for peer_id, goes_on in connected.items()
            if not goes_on
        }

        def misses(told: _Told, peer_id: str) -> bool:
            if connected.get(peer_id, False):
                return False
            if peer_id in unwritten and told.since > young:
                return told.notification in unwritten[peer_id]
            return True

        for number, told in self._looked_at.items():
            self._keep_for(number, told, [p for p in told.kept_for if misses(told, p)])

    def end(self) -> None:
        """The room is over."""
        for number in (*self._looked_at, *self._parked):
            self.keeper.note_removal("notice", self.room_id, str(number))
        self._looked_at.clear()
        self._parked.clear()

    def record(self, number: int) -> NoticeRecord | None:
        """What is to be kept of a notice."""
        told = self._looked_at.get(number) or self._parked.get(number)
        if told is None or not told.kept_for:
            return None
        notification = told.notification
        data, to = cast(Json, notification.data), frozenset(told.kept_for)
        return NoticeRecord(self.room_id, number, notification.method, data, to)

    def _note(self, number: int) -> None:
        self.keeper.note("notice", self.room_id, str(number))

    def _follow_soon(self) -> None:
        if self._looked_at and not self._following:
            self._following = self.start(self._follow)

    async def _follow(self) -> None:
        """Look at the outboxes until nothing is on its way to a socket."""
        try:
            while self._looked_at:
                due = min(told.due for told in self._looked_at.values())
                # looks at notices that were told soon after each other are one
                await trio.sleep_until(max(due, trio.current_time() + FIRST_LOOK))
                with log_errors("looking for notices that were not received"):
                    await self._look(trio.current_time())
                self.keeper.write()
        finally:
            self._following = False

    async def _look(self, now: float) -> None:
        due = {number: told for number, told in self._looked_at.items() if told.due <= now}
        for old, chosen in ((False, self._younger(due, now)), (True, self._older(due, now))):
            if not chosen:
                continue
            peer_ids = {peer_id for told in chosen.values() for peer_id in told.to}
            missing = await self._find_missing(peer_ids, old)
            for number, told in chosen.items():
                if number not in self._looked_at:
                    continue  # the room is over
                of = told.notification
                left = [p for p in missing.keys() & told.to if of in missing[p]]
                if old:
                    self._settle(number, told, left)
                else:
                    told.due = _moment(told.since + SECOND_LOOK)
                    self._keep_for(number, told, left)

    def _younger(self, due: Mapping[int, _Told], now: float) -> dict[int, _Told]:
        return {n: told for n, told in due.items() if now < told.since + SECOND_LOOK}

    def _older(self, due: Mapping[int, _Told], now: float) -> dict[int, _Told]:
        return {n: told for n, told in due.items() if now >= told.since + SECOND_LOOK}

    async def _find_missing(self, peer_ids: Collection[str], old: bool) -> dict[str, Set[object]]:
        """The notifications that each of these peers has not received, as far as is known."""
        turns, missing = Turns(PEERS_PER_TURN), dict[str, Set[object]]()
        for peer_id in peer_ids:
            peer = self.peers.get(peer_id)
            if peer is not None and (of_peer := peer.missing(acknowledged=old)):
                missing[peer_id] = of_peer
            await turns.spend()
        return missing

    def _settle(self, number: int, told: _Told, left: Collection[str]) -> None:
        """Only those who are ``left`` may not have received it."""
        told.to = left
        self._keep_for(number, told, left)
        self._looked_at.pop(number, None)
        self._parked.pop(number, None)
        if any(self._has_socket(peer_id) for peer_id in left):
            told.due = _moment(trio.current_time() + LOOK_INTERVAL)
            self._looked_at[number] = told
        elif left:
            told.due = math.inf
            self._parked[number] = told

    def _keep_for(self, number: int, told: _Told, left: Collection[str]) -> None:
        if len(left) != len(told.kept_for) or set(left) != set(told.kept_for):
            told.kept_for = left
            self._note(number)

    def _has_socket(self, peer_id: str) -> bool:
        peer = self.peers.get(peer_id)
        return peer is not None and peer.connection is not None


def _moment(at: float) -> float:
    """The next moment of a look. They are ``LOOK_INTERVAL`` apart, so one look is for all notices
    of that time.
    """
    return math.ceil(at / LOOK_INTERVAL) * LOOK_INTERVAL

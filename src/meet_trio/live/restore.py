"""Makes the rooms of an earlier process again, with their peers, transports and streams.

Records that cannot be read, and objects that lack what they need, are left out and named. The rest
goes on: the engines get each object under its number, and what they have kept of it, before they
read their first packet. Peers have no sockets yet. They are where a lost socket leaves a peer.

What is told to peers meanwhile waits in their backlogs.

No index of SRTP is used twice with one key. So a connected transport of which its engine has kept
nothing is left out: its client makes another one, with other keys. A consumer of which nothing is
kept is offered anew, with another SSRC.

Most of the work needs the records alone. So it can be done while the earlier process still runs:
``prepare`` makes the rooms of the records as they are, and notes them for a later process. The
engines get nothing before ``finish``, when that process stands still. A room of which a record has
changed meanwhile is discarded, and made anew. So the result is what it would be without
``prepare``.
"""

import logging
from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence

import attrs

from meet_trio.engine import Kept
from meet_trio.errors import RecordError
from meet_trio.live import remake
from meet_trio.live.attendance import StayRecord
from meet_trio.live.records import LIVE_RECORDS, NoticeRecord
from meet_trio.live.room import LiveRoom, RoomContext
from meet_trio.media.engines import EngineHost
from meet_trio.media.records import TRANSPORT_RECORDS, IdentityRecord, PlainRecord
from meet_trio.media.successor import LATER
from meet_trio.records import Record, read_record
from meet_trio.room import ROOM_RECORDS
from meet_trio.room.records import RoomRecord

logger = logging.getLogger("meet_trio.live.restore")

_KINDS: Mapping[str, type[Record]] = {
    **ROOM_RECORDS,
    **LIVE_RECORDS,
    **TRANSPORT_RECORDS,
    IdentityRecord.KIND: IdentityRecord,
    StayRecord.KIND: StayRecord,
}


def restore_rooms(
    entries: Mapping[str, bytes],
    kept: Sequence[Kept],
    addresses: Sequence[str],
    context: RoomContext,
    lost: list[str] | None = None,
    *,
    exact: bool = True,
) -> list[LiveRoom]:
    """The rooms of the ``entries`` of a log, for ``Registry.go_on``. What cannot be read is left
    out, and named in ``lost``.

    ``kept`` is what the engines have left. Their successors in ``context.hosts`` must not have
    begun. ``addresses``: those of ``AnnouncedAddresses``. ``exact`` False: the entries are older
    than the end of their process.
    """
    restorer = Restorer(context, addresses)
    restorer.take(entries)
    return restorer.finish(kept, [] if lost is None else lost, exact=exact)


@attrs.define(eq=False)
class Restorer:
    """Each ``take`` gives it all entries of a log, as they are then. ``prepare`` may come after any
    of them, or after none. ``finish`` ends it. ``others``: the kinds of records that are not of
    rooms.
    """

    context: RoomContext
    addresses: Sequence[str]
    others: Container[str] = ()
    of_others: dict[str, bytes] = attrs.field(factory=dict)
    """The entries of the kinds that are not of rooms."""
    _newest: Mapping[str, bytes] = attrs.field(factory=dict)
    _known: dict[str, bytes] = attrs.field(factory=dict)  # the same, in the order of their reading
    _changed: set[str] = attrs.field(factory=set)  # rooms that have to be made anew
    # by key: the record and the id of its room, or why it cannot be read
    _records: dict[str, tuple[str, Record]] = attrs.field(factory=dict)
    _unreadable: dict[str, RecordError] = attrs.field(factory=dict)
    _prepared: dict[str, LiveRoom] = attrs.field(factory=dict)
    # by room and key, the stays that have changed since their room was prepared
    _stays: dict[str, dict[str, StayRecord]] = attrs.field(factory=lambda: defaultdict(dict))

    def take(self, entries: Mapping[str, bytes]) -> None:
        """Read what has changed since the last call. A room of which only a stay or a notice is
        another one needs not be made anew.
        """
        self._newest = entries
        for key, payload in entries.items():
            if self._known.get(key) != payload:
                self._read(key, payload)
        if len(self._known) != len(entries):
            for key in self._known.keys() - entries.keys():
                self._forget(key)

    def prepare(self) -> None:
        """Make the rooms that are new or have changed, and write them. What cannot be made now is
        left to ``finish``. Raises what the engines' commands raise.
        """
        self._discard(self._changed)
        hosts = self._hosts()
        later, lost = dict.fromkeys(hosts.values(), LATER), list[str]()
        maker = remake.RoomMaker(self.context, hosts, later, self.addresses, lost, exact=True)
        for room_id, records in self._by_room().items():
            if not room_id or room_id in self._prepared:
                continue
            if any(isinstance(record, PlainRecord) for record in records):
                continue  # its sockets are handed over once
            lost.clear()
            try:
                room = maker.make(records)
            except RecordError:
                continue
            if lost:
                remake.discard(room)
                continue
            room.keeper.write()
            self._prepared[room_id] = room
            self._stays.pop(room_id, None)  # it has them

    def finish(
        self, kept: Sequence[Kept], lost: list[str], *, exact: bool = True
    ) -> list[LiveRoom]:
        """The rooms of the entries that were taken last, see ``restore_rooms``."""
        self._discard(self._changed)
        if not (self._records or self._unreadable):
            return []
        hosts = self._hosts()
        engines = {hosts[one.index]: one for one in kept if one.index in hosts}
        for one in kept:
            for damage in one.damaged:
                logger.warning("engine %d: %s", one.index, damage)
                lost.append(f"engine {one.index}: {damage}")
        for key, error in self._unreadable.items():
            logger.warning("left out: %s: %s", key, error)
            lost.append(f"{key}: {error}")
        self._discard([i for i, r in self._prepared.items() if not remake.is_kept(r, engines)])
        by_room = self._by_room()
        for record in by_room.pop("", ()):
            if isinstance(record, IdentityRecord):
                self.context.bridge.kept_pem = record.pem
        if by_room:
            self.context.bridge.want()
        rooms = []
        for room_id, records in by_room.items():
            left_out = list[str]()
            try:
                if (room := self._prepared.pop(room_id, None)) is not None:
                    remake.go_on(room, engines)
                    remake.resume_stays(room, self._stays.pop(room_id, {}).values())
                else:
                    maker = remake.RoomMaker(
                        self.context, hosts, engines, self.addresses, left_out, exact
                    )
                    room = maker.make(records)
                remake.finish(room, (r for r in records if isinstance(r, NoticeRecord)))
                rooms.append(room)
            except RecordError as error:
                logger.warning("room %s is lost: %s", room_id, error)
                left_out.append(f"room {room_id}: {error}")
            for text in left_out:
                logger.warning("left out: %s", text)
            lost += left_out
        return rooms

    def _hosts(self) -> dict[int, EngineHost]:
        return {host.index: host for host in self.context.hosts}

    def _discard(self, room_ids: Iterable[str]) -> None:
        for room_id in room_ids:
            if (room := self._prepared.pop(room_id, None)) is not None:
                remake.discard(room)
        self._changed.clear()

    def _by_room(self) -> dict[str, list[Record]]:
        """The records of each room, in the order of the entries; of those that are prepared the
        notices only.
        """
        found: dict[str, list[Record]] = defaultdict(list)
        for key in self._newest:
            if (known := self._records.get(key)) is not None:
                room_id, record = known
                of_room = found[room_id]
                if room_id not in self._prepared or isinstance(record, NoticeRecord):
                    of_room.append(record)
        return found

    def _read(self, key: str, payload: bytes) -> None:
        self._known[key] = payload
        if key.partition("/")[0] in self.others:
            self.of_others[key] = payload
            return
        self._unreadable.pop(key, None)
        try:
            record = read_record(key, payload, _KINDS)
        except RecordError as error:
            self._unreadable[key] = error
            self._forget_record(key)
            return
        room_id = getattr(record, "id" if isinstance(record, RoomRecord) else "room_id", "")
        if key in self._records and self._records[key][0] != room_id:
            self._forget_record(key)
        self._records[key] = room_id, record
        if isinstance(record, StayRecord):
            self._stays[room_id][key] = record
        elif not isinstance(record, NoticeRecord):
            self._changed.add(room_id)

    def _forget(self, key: str) -> None:
        del self._known[key]
        self.of_others.pop(key, None)
        self._unreadable.pop(key, None)
        self._forget_record(key)

    def _forget_record(self, key: str) -> None:
        room_id, record = self._records.pop(key, (None, None))
        if room_id is not None and not isinstance(record, NoticeRecord):
            self._changed.add(room_id)

"""Makes the rooms of an earlier process again, with their peers, transports and streams.

Records that cannot be read, and objects that lack what they need, are left out and named. The rest
goes on: the engines get each object under its number, and what they have kept of it, before they
read their first packet. Peers have no sockets yet. They are where a lost socket leaves a peer.

What is told to peers meanwhile waits in their backlogs.

No index of SRTP is used twice with one key. So a connected transport of which its engine has kept
nothing is left out: its client makes another one, with other keys. A consumer of which nothing is
kept is offered anew, with another SSRC.
"""

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import attrs
import trio

from meet_trio.engine import Kept
from meet_trio.errors import MeetError, RecordError
from meet_trio.live.attendance import StayRecord
from meet_trio.live.records import (
    LIVE_RECORDS,
    MeetingRecord,
    NoticeRecord,
    SeatRecord,
    SendingRecord,
    ViewingRecord,
)
from meet_trio.live.room import LiveRoom, RoomContext
from meet_trio.live.streams import NOTHING_KEPT, KeptEngines, Resumed
from meet_trio.media.engines import EngineHost
from meet_trio.media.plain import PlainTransport, Transport
from meet_trio.media.records import (
    TRANSPORT_RECORDS,
    IdentityRecord,
    PlainRecord,
    TransportRecord,
    WebRtcRecord,
)
from meet_trio.media.successor import NotKept
from meet_trio.media.transport import WebRtcTransport
from meet_trio.records import Record, read_records
from meet_trio.room import ROOM_RECORDS, restore_room
from meet_trio.room.records import RoomRecord

logger = logging.getLogger("meet_trio.live.restore")

SKIPPED_SSRCS = 2**20
"""More than a room can have used since its entry was written: a consumer takes longer than 10 µs,
and a process ends some seconds after its last write (docs/standby.md)."""
SKIPPED_MIDS = 2**16
"""More than a peer can have used since."""

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
    lost = [] if lost is None else lost
    records = _read(entries, lost)
    hosts = {host.index: host for host in context.hosts}
    engines = {hosts[one.index]: one for one in kept if one.index in hosts}
    for one in kept:
        for damage in one.damaged:
            logger.warning("engine %d: %s", one.index, damage)
            lost.append(f"engine {one.index}: {damage}")
    for record in records.pop("", ()):
        if isinstance(record, IdentityRecord):
            context.bridge.kept_pem = record.pem
    if records:
        context.bridge.want()
    rooms = []
    for room_id, of_room in records.items():
        try:
            rooms.append(
                _Restoring(context, hosts, engines, addresses, lost, exact).restore(of_room)
            )
        except RecordError as error:
            logger.warning("room %s is lost: %s", room_id, error)
            lost.append(f"room {room_id}: {error}")
    return rooms


def _read(entries: Mapping[str, bytes], lost: list[str]) -> dict[str, list[Record]]:
    """The records by room."""
    records: dict[str, list[Record]] = defaultdict(list)
    for record in read_records(entries, _KINDS, lost):
        room_id = getattr(record, "id" if isinstance(record, RoomRecord) else "room_id", "")
        records[room_id].append(record)
    return records


@attrs.define(eq=False)
class _Restoring:
    """One room."""

    context: RoomContext
    hosts: Mapping[int, EngineHost]
    engines: KeptEngines
    addresses: Sequence[str]
    lost: list[str]
    exact: bool

    def restore(self, records: Iterable[Record]) -> LiveRoom:
        by_kind: dict[str, list[Record]] = defaultdict(list)
        for record in records:
            by_kind[record.KIND].append(record)
        pure = [record for kind in ROOM_RECORDS for record in by_kind[kind]]
        now = trio.current_time()
        state, left_out = restore_room(pure, now, self.context.capabilities.share)
        for one in left_out:
            logger.warning("left out: %s", one)
            self.lost.append(str(one))
        meetings = [r for r in by_kind["meeting"] if isinstance(r, MeetingRecord)]
        if not meetings:
            raise RecordError("meeting: the record is missing")
        room = LiveRoom(state.id, self.context, meetings[0].created_at, state=state)
        meeting = meetings[0]
        if not self.exact:
            meeting = attrs.evolve(meeting, ssrcs=(meeting.ssrcs + SKIPPED_SSRCS) % 2**32)
        room.resume(meeting)
        for record in by_kind["seat"]:
            if isinstance(record, SeatRecord) and record.peer_id in state.peers:
                if not self.exact:
                    record = attrs.evolve(record, mids=record.mids + SKIPPED_MIDS)
                room.resume_peer(record, self._host(record.engine))
        for record in by_kind["stay"]:
            if isinstance(record, StayRecord) and record.peer_id in room.peers:
                room.peers[record.peer_id].attendance.resume(record)
                room.stay_changed(room.peers[record.peer_id])
        for kind in TRANSPORT_RECORDS:
            for record in by_kind[kind]:
                self._transport(room, record)
        for record in by_kind["sending"]:
            if isinstance(record, SendingRecord):
                self._producer(room, record)
        for record in by_kind["viewing"]:
            if isinstance(record, ViewingRecord):
                self._consumer(room, record)
        room.deliveries.resume(r for r in by_kind["notice"] if isinstance(r, NoticeRecord))
        room.settle()
        return room

    def _host(self, index: int | None) -> EngineHost | None:
        return None if index is None else self.hosts.get(index)

    def _transport(self, room: LiveRoom, record: Record) -> None:
        assert isinstance(record, TransportRecord)
        peer, host = room.peers.get(record.peer_id), self._host(record.engine)
        if peer is None or host is None:
            self._leave_out(record, "its peer or engine is missing")
            return
        try:
            peer.adopt_transport(self._make_transport(record, host))
        except (MeetError, ValueError) as error:
            self._leave_out(record, str(error))

    def _leave_out(self, record: TransportRecord, why: str) -> None:
        logger.warning("left out: transport %s: %s", record.id, why)
        self.lost.append(f"transport {record.id}: {why}")

    def _make_transport(self, record: TransportRecord, host: EngineHost) -> Transport:
        context, kept = self.context, self.engines.get(host, NOTHING_KEPT)
        common = (context.transport_settings, self.addresses, context.tally, kept)
        if isinstance(record, WebRtcRecord):
            return WebRtcTransport.resumed(record, host, context.bridge, *common)
        assert isinstance(record, PlainRecord)
        return PlainTransport.resumed(record, host, context.plain_ports, *common)

    def _producer(self, room: LiveRoom, record: SendingRecord) -> None:
        state = room.state.producers.get(record.id)
        peer = None if state is None else room.peers.get(state.peer_id)
        if state is None or peer is None:
            return
        transport = peer.transports.get(record.transport_id)
        if transport is not None:
            resumed = Resumed(record.number, self.engines)
            room.streams.adopt_producer(state, transport, resumed)

    def _consumer(self, room: LiveRoom, record: ViewingRecord) -> None:
        state = room.state.consumers.get(record.id)
        if state is None or state.producer_id not in room.streams.producers:
            return
        peer = room.peers.get(state.peer_id)
        transport = None if peer is None else peer.transports.get(record.transport_id)
        if peer is None or transport is None:
            return
        resumed = Resumed(record.number, self.engines, record.accepted)
        try:
            consumer = room.streams.adopt_consumer(peer, state, transport, resumed)
        except NotKept:
            return
        if not consumer.accepted:
            room.offers.resume(peer, consumer)

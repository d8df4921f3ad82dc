"""Makes one room of an earlier process again, with its peers, transports and streams: at once, or
while that process still runs. See ``restore``.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import attrs
import trio

from meet_trio.errors import MeetError, RecordError
from meet_trio.live.attendance import StayRecord
from meet_trio.live.records import (
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
from meet_trio.media.records import TRANSPORT_RECORDS, PlainRecord, TransportRecord, WebRtcRecord
from meet_trio.media.successor import NotKept
from meet_trio.media.transport import WebRtcTransport
from meet_trio.records import Record
from meet_trio.room import ROOM_RECORDS, restore_room

SKIPPED_SSRCS = 2**20
"""More than a room can have used since its entry was written: a consumer takes longer than 10 µs,
and a process ends some seconds after its last write (docs/standby.md)."""
SKIPPED_MIDS = 2**16
"""More than a peer can have used since."""


@attrs.define(eq=False)
class RoomMaker:
    """Makes one room of its records. ``engines``: what their engines have left. What is left out is
    named in ``lost``.
    """

    context: RoomContext
    hosts: Mapping[int, EngineHost]
    engines: KeptEngines
    addresses: Sequence[str]
    lost: list[str]
    exact: bool

    def make(self, records: Iterable[Record]) -> LiveRoom:
        """The room, which ``finish`` completes. Raises RecordError, and what commands raise."""
        by_kind: dict[str, list[Record]] = defaultdict(list)
        for record in records:
            by_kind[record.KIND].append(record)
        pure = [record for kind in ROOM_RECORDS for record in by_kind[kind]]
        now = trio.current_time()
        state, left_out = restore_room(pure, now, self.context.capabilities.share)
        self.lost.extend(map(str, left_out))
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
        resume_stays(room, (r for r in by_kind["stay"] if isinstance(r, StayRecord)))
        for kind in TRANSPORT_RECORDS:
            for record in by_kind[kind]:
                self._transport(room, record)
        for record in by_kind["sending"]:
            if isinstance(record, SendingRecord):
                self._producer(room, record)
        for record in by_kind["viewing"]:
            if isinstance(record, ViewingRecord):
                self._consumer(room, record)
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


def finish(room: LiveRoom, notices: Iterable[NoticeRecord]) -> None:
    """Complete a room, whose engines know by now what was left of it."""
    room.deliveries.resume(notices)
    room.settle()


# Rooms that were made while their process still ran, with ``LATER`` for each engine. Their objects
# have entered no engine.


def is_kept(room: LiveRoom, engines: KeptEngines) -> bool:
    """Whether the engines have left all that the room has."""
    transports = (own for peer in room.peers.values() for own in peer.transports.values())
    return all(
        isinstance(own, WebRtcTransport) and own.is_kept(engines.get(own.host, NOTHING_KEPT))
        for own in transports
    ) and all(
        consumer.is_kept(engines.get(consumer.transport.host, NOTHING_KEPT))
        for consumer in room.consumers.values()
    )


def go_on(room: LiveRoom, engines: KeptEngines) -> None:
    """Its process has ended, and has left this."""
    for peer in room.peers.values():
        for own in peer.transports.values():
            assert isinstance(own, WebRtcTransport)
            own.go_on(engines.get(own.host, NOTHING_KEPT))
    for producer in room.producers.values():
        producer.go_on(engines.get(producer.transport.host, NOTHING_KEPT))
    for consumer in room.consumers.values():
        consumer.go_on(engines.get(consumer.transport.host, NOTHING_KEPT))
    room.state.restore_last_n(room.state.last_n.kept(), trio.current_time())


def resume_stays(room: LiveRoom, records: Iterable[StayRecord]) -> None:
    for record in records:
        if (peer := room.peers.get(record.peer_id)) is not None:
            peer.attendance.resume(record)
            room.stay_changed(peer)


def discard(room: LiveRoom) -> None:
    """It is not needed. Leave nothing of it in the log. Nobody has heard of it."""
    keeper = room.keeper
    for consumer_id, consumer in room.consumers.items():
        keeper.note_removal("viewing", consumer_id)
        consumer.discard()
    for producer_id, producer in room.producers.items():
        keeper.note_removal("sending", producer_id)
        producer.discard()
    for peer_id, peer in room.peers.items():
        for own in peer.transports.values():
            assert isinstance(own, WebRtcTransport)
            keeper.note_removal("webrtc", own.id)
            own.discard()
        room.placement.leave(peer_id)
        keeper.note_removal("seat", peer_id)
        keeper.note_removal("stay", peer_id)
    keeper.note_removal("meeting", room.id)
    room.state.close()
    keeper.write()

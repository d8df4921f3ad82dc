"""Makes a room of its records, which an earlier process has kept.

The records may come from a damaged file, in which some are missing. What does not fit together is
left out and named, so one lost record costs what depends on it and no more. What the room then has
follows all rules that its verbs keep: ids are unique, every relation has both of its ends, and no
limit of the room is exceeded.

What follows from other values is worked out. Three things are not kept, because nobody can tell
them apart from what is worked out: the turns of the peers that lack consumers, the turns of the
consumers that last-N has yet to settle, and until when exactly a peer lingers.
"""

from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import TypeVar

import attrs

from meet_trio.errors import RecordError
from meet_trio.ortc import RtpCapabilities
from meet_trio.records import Record, key_text
from meet_trio.room.peer import Consumer, Peer, Producer
from meet_trio.room.records import (
    CapabilitiesRecord,
    ConsumerRecord,
    LastNRecord,
    PeerRecord,
    ProducerRecord,
    RefusalRecord,
    RoomRecord,
    TemplateRecord,
)
from meet_trio.room.room import Room
from meet_trio.room.templates import ConsumerTemplate

_R = TypeVar("_R", bound=Record)


@attrs.frozen
class LeftOut:
    """A record that is left out, or a part of it, and why."""

    record: Record
    why: str

    def __str__(self) -> str:
        return f"{key_text(self.record.key)}: {self.why}"


def restore_room(
    records: Iterable[Record], now: float, share: Callable[[RtpCapabilities], RtpCapabilities]
) -> tuple[Room, list[LeftOut]]:
    """The room, and what was left out of it.

    - ``records``: all of one room, in any order.
    - ``now``: the time of ``Room.update_front``.
    - ``share``: the one object for all capabilities that are equal, ``KnownCapabilities.share``.

    The room is ``recorded``, and everything is noted as changed. So the first ``take_changes`` has
    all of its records. Raises ``RecordError`` if the record of the room itself is missing.
    """
    kept = list(records)
    heads = _of_kind(kept, RoomRecord)
    if len(heads) != 1:
        raise RecordError(f"room: expected one record of this kind, there are {len(heads)}")
    (head,) = heads
    restoring = _Restoring(Room(head.id, head.created_at, head.limits, recorded=True), share)
    restoring.restore(kept, now)
    return restoring.room, restoring.left_out


@attrs.define(eq=False)
class _Restoring:
    room: Room
    share: Callable[[RtpCapabilities], RtpCapabilities]
    left_out: list[LeftOut] = attrs.field(factory=list)
    # by what the records call them; another version may have made the names otherwise
    capabilities: dict[str, RtpCapabilities] = attrs.field(factory=dict)
    named: dict[str, str | None] = attrs.field(factory=dict)  # the peers' capabilities
    templates: dict[tuple[str, str], ConsumerTemplate] = attrs.field(factory=dict)
    mids: set[tuple[str, str]] = attrs.field(factory=set)  # with the peer
    ssrcs: set[int] = attrs.field(factory=set)

    def restore(self, records: list[Record], now: float) -> None:
        records = [record for record in records if self._belongs(record)]
        for last_n in _of_kind(records, LastNRecord):
            self.room.restore_last_n(last_n.kept, now)
        for capabilities in _of_kind(records, CapabilitiesRecord):
            self.capabilities[capabilities.name] = self.share(capabilities.capabilities)
        for peer in _in_order(records, PeerRecord):
            self._try(peer, self._peer)
        for producer in _in_order(records, ProducerRecord):
            self._try(producer, self._producer)
        for template in _of_kind(records, TemplateRecord):
            self._try(template, self._template)
        for refusal in _of_kind(records, RefusalRecord):
            self._try(refusal, self._refusal)
        for consumer in _in_order(records, ConsumerRecord):
            self._try(consumer, self._consumer)
        self.room.finish_restoring()

    def _belongs(self, record: Record) -> bool:
        room_id = record.id if isinstance(record, RoomRecord) else getattr(record, "room_id", None)
        if room_id != self.room.id:
            self.left_out.append(LeftOut(record, "it is of another room"))
        return room_id == self.room.id

    def _try(self, record: _R, restore: Callable[[_R], str | None]) -> None:
        why = restore(record)
        if why is not None:
            self.left_out.append(LeftOut(record, why))

    # Each of these returns why the record is left out, or None.

    def _peer(self, record: PeerRecord) -> str | None:
        if record.id in self.room.peers:
            return "a peer with this id is there already"
        if len(self.room.peers) >= self.room.limits.peers:
            return f"the room has {self.room.limits.peers} peers already"
        name = record.capabilities
        capabilities = None if name is None else self.capabilities.get(name)
        self.named[record.id] = None if capabilities is None else name
        peer = Peer(
            record.id,
            record.role,
            record.token,
            record.order,
            record.connected,
            record.joined,
            record.nickname,
            record.language,
            record.raised_hand,
            receiving=record.receiving,
        )
        peer.pinned = record.pinned
        self.room.restore_peer(peer, capabilities, record.hears)
        if name is not None and capabilities is None:
            return "its capabilities are missing: it receives nothing before it joins again"
        return None

    def _producer(self, record: ProducerRecord) -> str | None:
        peer = self.room.peers.get(record.peer_id)
        if record.id in self.room.producers:
            return "a producer with this id is there already"
        if peer is None:
            return "its peer is missing"
        if len(peer.producers) >= self.room.limits.producers_per_peer:
            return f"its peer has {self.room.limits.producers_per_peer} producers already"
        self.room.restore_producer(
            Producer(
                record.id,
                record.peer_id,
                record.rtp,
                record.source,
                record.app_data,
                record.order,
                paused_by_peer=record.paused_by_peer,
                layers_wanted=record.layers_wanted,
            )
        )
        return None

    def _template(self, record: TemplateRecord) -> str | None:
        producer = self.room.producers.get(record.producer_id)
        capabilities = self.capabilities.get(record.capabilities)
        if producer is None:
            return "its producer is missing"
        if capabilities is None:
            return "its capabilities are missing"
        template = ConsumerTemplate(record.rtp)
        self.templates[record.producer_id, record.capabilities] = template
        producer.templates.put(capabilities, template)
        return None

    def _refusal(self, record: RefusalRecord) -> str | None:
        peer = self.room.peers.get(record.peer_id)
        if peer is None:
            return "its peer is missing"
        if record.producer_id not in self.room.producers:
            return "its producer is missing"
        self.room.restore_refusal(peer, record.producer_id)
        return None

    def _consumer(self, record: ConsumerRecord) -> str | None:
        peer = self.room.peers.get(record.peer_id)
        producer = self.room.producers.get(record.producer_id)
        if peer is None:
            return "its peer is missing"
        if producer is None:
            return "its producer is missing"
        template = self.templates.get((producer.id, self.named[peer.id] or ""))
        if template is None:
            return "its template is missing"
        (encoding,) = template.rtp.params.encodings
        if (encoding.rtx_ssrc is None) is not (record.rtx_ssrc is None):
            return "its template has other streams"
        ssrcs = [ssrc for ssrc in (record.ssrc, record.rtx_ssrc) if ssrc is not None]
        why = self._consumer_collides(record, peer, producer, ssrcs)
        if why is not None:
            return why
        self.mids.add((peer.id, record.mid))
        self.ssrcs.update(ssrcs)
        consumer = Consumer(
            record.id,
            peer.id,
            producer.id,
            template.fill(record.mid, iter(ssrcs).__next__),
            template,
            record.order,
            record.priority,
            record.paused,
            record.preferred,
            record.held_back,
        )
        self.room.restore_consumer(consumer, peer, producer)
        return None

    def _consumer_collides(
        self, record: ConsumerRecord, peer: Peer, producer: Producer, ssrcs: list[int]
    ) -> str | None:
        """Why the room cannot have this consumer beside those that it has, or None."""
        if not peer.connected:
            return "its peer has not connected"
        if producer.peer_id == peer.id:
            return "its producer is the peer's own"
        if record.id in self.room.consumers:
            return "a consumer with this id is there already"
        if producer.id in peer.consumers:
            return "its peer has a consumer of this producer already"
        if producer.id in peer.refused:
            return "its peer has refused it"
        if len(peer.consumers) >= self.room.limits.consumers_per_peer:
            return f"its peer has {self.room.limits.consumers_per_peer} consumers already"
        if (peer.id, record.mid) in self.mids:
            return "another consumer of its peer has its mid"
        if len({*ssrcs}) != len(ssrcs) or not self.ssrcs.isdisjoint(ssrcs):
            return "another stream of the room has its ssrc"
        return None


def _of_kind(records: Iterable[Record], kind: type[_R]) -> list[_R]:
    return [record for record in records if isinstance(record, kind)]


def _in_order(records: Iterable[Record], kind: type[_R]) -> list[_R]:
    return sorted(_of_kind(records, kind), key=attrgetter("order"))

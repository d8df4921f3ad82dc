"""The records of a room, from the notes of its verbs; and how objects of records come back into it.

``restore.py`` decides which records fit together. The methods ``restore_…`` here trust it.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final, cast

import attrs

from meet_trio.ortc import RtpCapabilities
from meet_trio.records import Changes, Key, Record
from meet_trio.room.last_n import KeptLastN, LastN
from meet_trio.room.peer import Consumer, Peer, Producer
from meet_trio.room.records import (
    CapabilitiesRecord,
    ConsumerRecord,
    Hears,
    LastNRecord,
    PeerRecord,
    ProducerRecord,
    RefusalRecord,
    RoomRecord,
    TemplateRecord,
)
from meet_trio.room.roles import Role
from meet_trio.room.streams import Streams
from meet_trio.room.templates import ConsumerTemplate


@attrs.define(eq=False)
class Recorded(Streams):
    """A meeting whose state can be written down."""

    def take_changes(self) -> Changes:
        """The records of what was added or changed since the last call, as it is now, and the keys
        of what was removed. It costs as much as has changed. Of a room that is not ``recorded``
        there are none.
        """
        if self._notes is None:
            return Changes()
        changed, removed = self._notes.take()
        records = tuple(_MAKERS[kind](self, *ids) for kind, *ids in changed)
        return Changes(records, tuple(removed))

    def note_everything(self) -> None:
        """The next ``take_changes`` has the records of all objects."""
        for key in self._keys():
            self._note(key)

    def _note_the_end(self) -> None:
        for key in self._keys():
            self._note_removal(key)

    def _keys(self) -> Iterable[Key]:
        """The keys of all records."""
        if self._notes is None:
            return
        yield "room", self.id
        yield "last_n", self.id
        yield from self._notes.shared()
        for peer in self.peers.values():
            yield "peer", peer.id
            for producer_id in peer.refused:
                yield "refusal", peer.id, producer_id
        for producer_id in self.producers:
            yield "producer", producer_id
        for consumer_id in self.consumers:
            yield "consumer", consumer_id

    def _set_capabilities(self, peer: Peer, capabilities: RtpCapabilities | None) -> None:
        """The peer has no consumers, which would belong to the capabilities that it had."""
        old, peer.rtp_capabilities = peer.rtp_capabilities, capabilities
        if self._notes is None or old is capabilities:
            return
        if capabilities is not None:
            self._notes.use(self._capabilities_key(capabilities), capabilities)
        if old is not None:
            self._notes.release(self._capabilities_key(old))

    def _capabilities_key(self, capabilities: RtpCapabilities) -> Key:
        return "capabilities", self.id, capabilities.name

    def _shared(self, *key: str) -> object:
        assert self._notes is not None  # only notes lead to here
        return self._notes.thing(key)

    # Coming back

    def restore_last_n(self, kept: KeptLastN, now: float) -> None:
        self.last_n = LastN.restored(kept, now)

    def restore_peer(self, peer: Peer, capabilities: RtpCapabilities | None, hears: Hears) -> None:
        self.peers[peer.id] = peer
        self._keep_order(peer.order)
        self._set_capabilities(peer, capabilities)
        if peer.connected:
            self._everyone |= {peer.id}
        if hears != "nothing":
            self.speaker_listeners |= {peer.id}
        if hears == "levels":
            self.level_listeners |= {peer.id}

    def restore_producer(self, producer: Producer) -> None:
        """Its ``paused`` is worked out."""
        may_publish = Role.PUBLISHER in self.peers[producer.peer_id].role
        producer.paused = producer.paused_by_peer or not may_publish
        self._keep_order(producer.order)
        self._insert_producer(producer)

    def restore_refusal(self, peer: Peer, producer_id: str) -> None:
        self._refuse(peer, producer_id)

    def restore_consumer(self, consumer: Consumer, peer: Peer, producer: Producer) -> None:
        self._keep_order(consumer.order)
        self._insert_consumer(consumer, peer, producer)

    def finish_restoring(self) -> None:
        """Work out what follows from the objects: what each peer lacks, and which consumers last-N
        has yet to hold back or let go.
        """
        for peer in self.peers.values():
            self._find_lacking(peer)
        for consumer in self.consumers.values():
            if consumer.held_back == self._forwards(consumer):
                self._unsettled[consumer.id] = consumer
        self.note_everything()

    def _keep_order(self, order: int) -> None:
        self._last_order = max(self._last_order, order)


def _hears(room: Recorded, peer_id: str) -> Hears:
    if peer_id in room.level_listeners:
        return "levels"
    return "speakers" if peer_id in room.speaker_listeners else "nothing"


def _room_record(room: Recorded, _: str) -> Record:
    return RoomRecord(room.id, room.created_at, room.limits)


def _last_n_record(room: Recorded, _: str) -> Record:
    return LastNRecord(room.id, room.last_n.kept())


def _capabilities_record(room: Recorded, room_id: str, name: str) -> Record:
    capabilities = room._shared("capabilities", room_id, name)
    return CapabilitiesRecord(room_id, name, cast(RtpCapabilities, capabilities))


def _peer_record(room: Recorded, peer_id: str) -> Record:
    peer = room.peers[peer_id]
    capabilities = peer.rtp_capabilities
    return PeerRecord(
        room_id=room.id,
        id=peer_id,
        order=peer.order,
        role=peer.role,
        token=peer.token,
        connected=peer.connected,
        joined=peer.joined,
        nickname=peer.nickname,
        language=peer.language,
        raised_hand=peer.raised_hand,
        capabilities=None if capabilities is None else capabilities.name,
        receiving=peer.receiving,
        pinned=peer.pinned,
        hears=_hears(room, peer_id),
    )


def _producer_record(room: Recorded, producer_id: str) -> Record:
    producer = room.producers[producer_id]
    return ProducerRecord(
        room_id=room.id,
        id=producer_id,
        peer_id=producer.peer_id,
        order=producer.order,
        rtp=producer.rtp,
        source=producer.source,
        app_data=producer.app_data,
        layers_wanted=producer.layers_wanted,
        paused_by_peer=producer.paused_by_peer,
    )


def _template_record(room: Recorded, producer_id: str, capabilities: str) -> Record:
    template = room._shared("template", producer_id, capabilities)
    return TemplateRecord(room.id, producer_id, capabilities, cast(ConsumerTemplate, template).rtp)


def _consumer_record(room: Recorded, consumer_id: str) -> Record:
    consumer = room.consumers[consumer_id]
    params = consumer.rtp.params
    (encoding,) = params.encodings
    assert params.mid is not None  # the template was filled
    assert encoding.ssrc is not None
    return ConsumerRecord(
        room_id=room.id,
        id=consumer_id,
        peer_id=consumer.peer_id,
        producer_id=consumer.producer_id,
        order=consumer.order,
        mid=params.mid,
        ssrc=encoding.ssrc,
        rtx_ssrc=encoding.rtx_ssrc,
        priority=consumer.priority,
        paused=consumer.paused,
        preferred=consumer.preferred,
        held_back=consumer.held_back,
    )


def _refusal_record(room: Recorded, peer_id: str, producer_id: str) -> Record:
    return RefusalRecord(room.id, peer_id, producer_id)


_MAKERS: Final[Mapping[str, Callable[..., Record]]] = {
    "room": _room_record,
    "last_n": _last_n_record,
    "capabilities": _capabilities_record,
    "peer": _peer_record,
    "producer": _producer_record,
    "template": _template_record,
    "consumer": _consumer_record,
    "refusal": _refusal_record,
}

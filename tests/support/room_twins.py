"""A room and, for each verb, a second one that is made of the first one's records.

``Twins`` looks like the room. A verb is called on both, and must do the same to both. The records
come from what ``take_changes`` has given after each verb before, as a later process would find
them. So a change that nobody has noted shows at once, and so does a value that is not restored.
"""

import json
from collections import OrderedDict
from collections.abc import Collection, Mapping
from functools import lru_cache, partial
from typing import Any

from meet_trio.errors import RequestError
from meet_trio.ortc import KnownCapabilities, RtpCapabilities, router_capabilities
from meet_trio.records import Changes, Key, Record
from meet_trio.room import ROOM_RECORDS, Consumer, Outcome, Peer, Producer, Room, restore_room

READS = {
    "authenticate",
    "check_may_produce",
    "consumers_of",
    "forwarded",
    "missing_consumers",
    "own_consumer",
    "own_producer",
}


def write(kept: dict[Key, bytes], changes: Changes) -> None:
    """Write changes to what is kept, as a log would."""
    for key in changes.removed:
        kept.pop(key, None)
    for record in changes.records:
        assert record.key not in changes.removed
        kept[record.key] = record.to_json()


@lru_cache(1000)  # most records stay the same from verb to verb
def read(kind: str, payload: bytes) -> Record:
    return ROOM_RECORDS[kind].from_json(payload)


def restored(
    kept: Mapping[Key, bytes], known: KnownCapabilities, now: float = 0.0
) -> tuple[Room, list[str]]:
    records = [read(key[0], payload) for key, payload in kept.items()]
    room, left_out = restore_room(records, now, known.share)
    return room, [str(each) for each in left_out]


def observed(room: Room) -> dict[str, Any]:
    """All that can be seen of a room, or decides what it does next."""
    for things in (room.peers, room.producers, room.consumers):
        orders = [thing.order for thing in things.values()]  # type: ignore[attr-defined]
        assert orders == sorted(set(orders))
    pairs = [(peer.id, producer.id) for peer, producer in room.missing_consumers()]
    return {
        "room": (room.id, room.created_at, room.limits, room.closed, room.is_empty),
        "peers": [
            (
                (p.id, p.role, p.token, p.connected, p.joined, p.nickname, p.language),
                (p.raised_hand, p.receiving, p.refused, p.missing, p.pinned, p.info_text()),
                id(p.rtp_capabilities),
                [*p.producers],
                [*p.consumers],
                {*p.lacking},
            )
            for p in room.peers.values()
        ],
        "producers": [
            (
                (p.id, p.peer_id, p.rtp, p.source, p.paused, p.paused_by_peer, p.layers_wanted),
                json.dumps(p.app_data),
                p.wishes,
                p.highest_wanted(),
                [*p.consumers],
            )
            for p in room.producers.values()
        ],
        "consumers": [
            (
                (c.id, c.peer_id, c.producer_id, c.priority, c.paused, c.preferred, c.held_back),
                c.rtp,
                c.template.rtp,
            )
            for c in room.consumers.values()
        ],
        "missing": (room.missing, sorted(pairs)),
        "everyone": room._everyone,
        "listeners": (room.speaker_listeners, room.level_listeners),
        "last-N": (room.last_n.kept(), room.forwarded()),
        "to settle": {c.id for c in room._unsettled.values() if c.held_back == room._forwards(c)},
    }


class Twins:
    """See above. ``clients``: the objects that peers have as their capabilities."""

    def __init__(self, room: Room, clients: Collection[RtpCapabilities]) -> None:
        self.room = room
        self.known = KnownCapabilities(router_capabilities())
        assert all(self.known.share(client) is client for client in clients)
        self.kept: dict[Key, bytes] = {}
        write(self.kept, room.take_changes())
        self.twin = self._restore()

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.room, name)
        return partial(self._both, name) if callable(value) and name not in READS else value

    def _both(self, verb: str, *args: Any, **options: Any) -> Any:
        if self.room.closed:
            return getattr(self.room, verb)(*args, **options)
        twin = self.twin
        mine, theirs = list(args), list(args)
        if verb == "add_consumer":  # the same SSRCs for both
            ssrcs = [args[-1](), args[-1]()]
            mine[-1], theirs[-1] = iter(ssrcs).__next__, iter(ssrcs).__next__
        try:
            result = getattr(self.room, verb)(*mine, **options)
        except RequestError as error:
            result = error
        write(self.kept, self.room.take_changes())
        try:
            other = getattr(twin, verb)(*theirs, **options)
        except RequestError as error:
            other = error
        assert plain(result) == plain(other)
        if self.room.closed:
            assert not self.kept
        else:
            seen, self.twin = observed(self.room), self._restore()
            assert observed(twin) == seen
            assert observed(self.twin) == seen
        if isinstance(result, RequestError):
            raise result
        return result

    def _restore(self) -> Room:
        """The room of the records. Its turns and the ends of its lingering are made those of the
        other, because they are not kept.
        """
        twin, left_out = restored(self.kept, self.known)
        assert not left_out
        again: dict[Key, bytes] = {}
        write(again, twin.take_changes())
        assert again == self.kept
        assert [*twin.last_n._lingering] == [*self.room.last_n._lingering]
        twin.last_n._lingering = dict(self.room.last_n._lingering)
        assert twin._unsettled.keys() <= self.room._unsettled.keys()
        twin._unsettled = OrderedDict(
            (consumer_id, twin.consumers[consumer_id])
            for consumer_id in self.room._unsettled
            if consumer_id in twin._unsettled
        )
        assert self.room.wishes_changed.keys() <= twin.wishes_changed.keys()
        return twin


def plain(result: Any) -> object:
    """A result that equals that of the twin."""
    match result:
        case Peer() | Producer() | Consumer():
            return type(result), result.id
        case (list(consumers), Outcome() as outcome):
            return [consumer.id for consumer in consumers], outcome
        case RequestError():
            return type(result), str(result)
    return result

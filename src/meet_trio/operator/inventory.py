"""All objects of a registry, and how an operator names one.

An operator names an object by its id, or by a beginning of it that no other object of its kind has.
Without a name the latest object is meant, as in the console of the original server.

Listing every object is one pass over dictionaries without any work for each object: 0.1 ms for a
thousand. What is made of an object afterwards is the caller's to bound.
"""

from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

import attrs

from meet_trio.errors import RequestError
from meet_trio.live.peer import LivePeer
from meet_trio.live.registry import Registry
from meet_trio.live.room import LiveRoom
from meet_trio.live.streams import LiveConsumer, LiveProducer
from meet_trio.media.plain import Transport

_SHOWN = 5  # candidates that an error names

Thing = TypeVar("Thing", LiveRoom, LivePeer, Transport, LiveProducer, LiveConsumer)


class UnknownObject(RequestError):
    """No object has the given id, or several have ids that begin so. The message says which."""


@attrs.frozen
class Found(Generic[Thing]):
    """One object and the room that it is in. ``order`` is higher for a later object of its kind.
    ``peer_id``: whose it is, empty for a room.
    """

    room: LiveRoom
    id: str
    thing: Thing
    order: float
    peer_id: str = ""


@attrs.frozen
class Inventory:
    """The objects of ``registry``, at the moment of each call."""

    registry: Registry

    def rooms(self) -> list[Found[LiveRoom]]:
        return [Found(room, room.id, room, room.created_at) for room in self._rooms()]

    def peers(self) -> list[Found[LivePeer]]:
        """All peers, those that have not connected yet too."""
        return [
            Found(room, peer.id, peer, peer.invited_at, peer.id)
            for room in self._rooms()
            for peer in room.peers.values()
            if peer.id in room.state.peers  # a kicked peer's task lives a moment longer
        ]

    def transports(self) -> list[Found[Transport]]:
        return [
            Found(found.room, transport.id, transport, transport.number, found.id)
            for found in self.peers()
            for transport in found.thing.transports.values()
        ]

    def producers(self) -> list[Found[LiveProducer]]:
        return [
            Found(room, producer_id, producer, producer.number, producer.state.peer_id)
            for room in self._rooms()
            for producer_id, producer in room.producers.items()
        ]

    def consumers(self) -> list[Found[LiveConsumer]]:
        return [
            Found(room, consumer_id, consumer, consumer.number, consumer.state.peer_id)
            for room in self._rooms()
            for consumer_id, consumer in room.consumers.items()
        ]

    def _rooms(self) -> Iterator[LiveRoom]:
        return (room for room in self.registry.rooms.values() if not room.state.closed)


def choose(kind: str, things: Iterable[Found[Thing]], name: str | None) -> Found[Thing]:
    """The object that ``name`` means. ``kind`` is the word for errors, such as ``room``. Raises
    UnknownObject.
    """
    things = list(things)
    if name is None:
        if not things:
            raise UnknownObject(f"there is no {kind}")
        return max(reversed(things), key=lambda found: found.order)
    if exact := [found for found in things if found.id == name]:
        return exact[0]
    near = [found for found in things if name and found.id.startswith(name)]
    if not near:
        raise UnknownObject(f"there is no {kind} whose id begins with {name[:80]!r}")
    if len(near) > 1:
        some = ", ".join(found.id for found in near[:_SHOWN])
        more = f" and {len(near) - _SHOWN} more" if len(near) > _SHOWN else ""
        raise UnknownObject(f"{name!r} begins the ids of {len(near)} {kind}s: {some}{more}")
    return near[0]

"""All objects of a registry, and how an operator names one.

An operator names an object by its id, or by a beginning of it that no other object of its kind has.
Without a name the latest object is meant, as in the console of the original server.

Lists are made in several turns of the loop, ``_BATCH`` objects in each.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Generic, TypeVar

import attrs

from meet_trio.errors import RequestError
from meet_trio.live.peer import LivePeer
from meet_trio.live.registry import Registry
from meet_trio.live.room import LiveRoom
from meet_trio.live.streams import LiveConsumer, LiveProducer
from meet_trio.media.plain import Transport
from meet_trio.turns import Turns

_SHOWN = 5  # candidates that an error names
_BATCH = 1000  # about a millisecond

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
    """The objects of ``registry``. While a list is made, objects may come and go: a listed one may
    have ended.
    """

    registry: Registry
    turns: Turns

    async def rooms(self) -> list[Found[LiveRoom]]:
        return await self._gather(
            Found(room, room.id, room, room.created_at) for room in self._rooms()
        )

    async def peers(self) -> list[Found[LivePeer]]:
        """All peers, those that have not connected yet too."""
        return await self._gather(
            Found(room, peer.id, peer, peer.attendance.invited, peer.id)
            for room in self._rooms()
            for peer in list(room.peers.values())
            if peer.id in room.state.peers  # a kicked peer's task lives a moment longer
        )

    async def transports(self) -> list[Found[Transport]]:
        return await self._gather(
            Found(room, transport.id, transport, transport.number, peer.id)
            for room in self._rooms()
            for peer in list(room.peers.values())
            for transport in list(peer.transports.values())
        )

    async def producers(self) -> list[Found[LiveProducer]]:
        return await self._gather(
            Found(room, p.state.id, p, p.number, p.state.peer_id)
            for room in self._rooms()
            for p in list(room.producers.values())
        )

    async def consumers(self) -> list[Found[LiveConsumer]]:
        return await self._gather(
            Found(room, c.state.id, c, c.number, c.state.peer_id)
            for room in self._rooms()
            for c in list(room.consumers.values())
        )

    def _rooms(self) -> Iterator[LiveRoom]:
        return (r for r in list(self.registry.rooms.values()) if not r.state.closed)

    async def _gather(self, found: Iterator[Found[Thing]]) -> list[Found[Thing]]:
        """All of them, a batch in each turn of the loop."""
        gathered: list[Found[Thing]] = []
        while batch := list(islice(found, _BATCH)):
            gathered += batch
            if len(batch) == _BATCH:
                await self.turns.end()
        return gathered


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

"""Statistics of rooms: of every object for ``GET stats``, and sums for a room for ``dumpStats``.

Any peer may send ``dumpStats``, so its sums come from ``EngineTotals``, which bounds their cost.
"""

import json
import logging
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import attrs
import trio

from meet_trio.engine import Stats
from meet_trio.live.peer import LivePeer
from meet_trio.live.room import LiveRoom
from meet_trio.live.shared_answer import SharedAnswer
from meet_trio.media.engines import EngineError, EngineHost
from meet_trio.turns import Turns

logger = logging.getLogger("meet_trio.live.figures")

OBJECTS_PER_TURN = 64
"""Objects whose figures are read in one turn of the loop."""

EngineFigures = Mapping[EngineHost, Stats]


@attrs.define(eq=False)
class RoomsFigures:
    """The answer to ``GET stats``, as JSON text."""

    _answer: SharedAnswer[bytes] = attrs.field(factory=SharedAnswer)

    async def collect(self, rooms: Iterable[LiveRoom]) -> bytes:
        """``{roomId: {peerId: {id, nickname, consumers, producers, transports}}}``, not older than
        the call.
        """
        return await self._answer.get(partial(_rooms_figures, rooms))


async def _rooms_figures(rooms: Iterable[LiveRoom]) -> bytes:
    """Each engine is asked once. The figures of an engine that does not answer are left out. Rooms
    may close and peers may leave while the engines are asked; only those that are still there are
    in the answer. A kicked peer is left out, although its task lives a moment longer.
    """
    rooms = list(rooms)
    engines = await ask_engines({host for room in rooms for host in room.placement.used})
    found: dict[str, bytes] = {}
    turns = Turns(OBJECTS_PER_TURN)
    for room in rooms:
        peers: dict[str, bytes] = {}
        for peer in list(room.peers.values()):
            if peer.id in room.state.peers:
                figures = _peer_figures(room, peer, engines)
                peers[peer.id] = _json(figures)
                objects = sum(len(each) for each in figures.values() if isinstance(each, list))
                await turns.spend(1 + objects)
        if not room.state.closed:
            found[room.id] = _json_object(peers)
    return _json_object(found)


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _json_object(members: Mapping[str, bytes]) -> bytes:
    """A JSON object of members whose values are JSON text already."""
    return b"{" + b",".join(_json(key) + b":" + text for key, text in members.items()) + b"}"


async def room_totals(room: LiveRoom) -> dict[str, int]:
    """The number of objects of each kind in a room, and the engines' recent counters for it."""
    transports = [
        transport for peer in room.peers.values() for transport in peer.transports.values()
    ]
    counted = await room.context.totals.sum_over(transports)
    return {
        "peers": len(room.peers),
        "transports": len(transports),
        "producers": len(room.producers),
        "consumers": len(room.consumers),
        **counted,
    }


async def ask_engines(hosts: Iterable[EngineHost]) -> EngineFigures:
    """The figures of each engine that answers. All are asked at the same time."""
    found: dict[EngineHost, Stats] = {}

    async def ask(host: EngineHost) -> None:
        try:
            found[host] = await host.stats()
        except EngineError as error:
            logger.error("%s", error)

    async with trio.open_nursery() as nursery:
        for host in hosts:
            nursery.start_soon(ask, host)
    return found


def figures_of(engines: EngineFigures, host: EngineHost, kind: str, number: int) -> dict[str, Any]:
    """The figures of one object. Empty if its engine did not answer, or does not have it."""
    return dict(engines[host][kind].get(str(number), {})) if host in engines else {}


def _peer_figures(room: LiveRoom, peer: LivePeer, engines: EngineFigures) -> dict[str, object]:
    state = room.state.peers[peer.id]
    return {
        "id": peer.id,
        "nickname": state.nickname,
        "consumers": [
            {
                "id": c.state.id,
                "kind": c.rtp.kind,
                **figures_of(engines, c.transport.host, "consumers", c.number),
            }
            for c in [room.consumers[consumer.id] for consumer in state.consumers.values()]
        ],
        "producers": [
            {
                "id": p.state.id,
                "kind": p.state.rtp.kind,
                **figures_of(engines, p.transport.host, "producers", p.number),
            }
            for p in [room.producers[producer_id] for producer_id in state.producers]
        ],
        "transports": [
            {
                "id": t.id,
                "state": t.state.value,
                **figures_of(engines, t.host, "transports", t.number),
            }
            for t in peer.transports.values()
        ],
    }

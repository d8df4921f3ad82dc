"""Damaged, missing, foreign and newer records: what is damaged is left out, the rest goes on."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import trio
from support.kept_worlds import Past, meeting, open_kept_world, open_next
from support.live_agreement import disagreements
from support.live_fakes import Client, World
from support.live_scenes import transport
from trio.testing import MockClock

from meet_trio.live.attendance import StayRecord
from meet_trio.live.records import LIVE_RECORDS
from meet_trio.media.records import TRANSPORT_RECORDS
from meet_trio.room import ROOM_RECORDS

KINDS = sorted({*LIVE_RECORDS, *TRANSPORT_RECORDS, *ROOM_RECORDS, StayRecord.KIND} - {"plain"})
WRONG = (None, "x", "", -1, 2**70, [], {}, True, "y" * 300_000)


async def two_meetings(world: World) -> tuple[Past, str]:
    """Something of each kind in the first, whose id is returned with what is kept."""
    room, ada, bob = await meeting(world)
    await meeting(world)
    own = await transport(bob.socket, consuming=True)
    room.peers[bob.id].transports[own].close()
    assert await ada.socket.ask("moderator:setLastN", n=1) == []
    producer = next(iter(room.state.peers[ada.id].producers))
    room.state.refuse(bob.id, next(iter(room.state.producers)))
    bob.socket.lose()
    assert await ada.socket.ask("pauseProducer", producerId=producer) == []
    assert await ada.socket.ask("chatMessage", message="hello") == []
    await trio.sleep(1)
    return Past(world), room.id


def of_room(entries: Mapping[str, bytes], room_id: str, kind: str) -> list[str]:
    """Keys of the room's records of a kind."""
    own = [key for key in entries if key.partition("/")[0] == kind]
    return [key for key in own if room_id in (key, *json.loads(entries[key]).values())]


def damaged(entries: Mapping[str, bytes], key: str, other_room: str) -> Iterator[dict[str, bytes]]:
    """The entries with each field of one record damaged in each way; without it; of other bytes."""
    good: dict[str, Any] = json.loads(entries[key])
    for field in good.keys() - {"data"}:  # which may be any JSON
        values = [value for value in (*WRONG, other_room) if value != good[field]]
        if field == "method":  # any text is one, but the fake socket knows those of the server
            values = [value for value in values if not isinstance(value, str) or not value]
        for value in values:
            yield {**entries, key: json.dumps({**good, field: value}).encode()}
        yield {**entries, key: json.dumps({k: v for k, v in good.items() if k != field}).encode()}
    yield {k: v for k, v in entries.items() if k != key}
    for payload in (b"", b"\xff", b"[]", b"{" * 100_000, b'{"version":99}', entries[key][:-1]):
        yield {**entries, key: payload}
    yield {**entries, f"{key}x": entries[key]}
    yield {**entries, f"moon{key}": entries[key]}


@pytest.mark.parametrize("kind", KINDS)
async def test_the_rest_goes_on(
    autojump_clock: MockClock, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_kept_world() as world:
        past, room_id = await two_meetings(world)
    (other,) = past.rooms.keys() - {room_id}
    key = of_room(past.entries, room_id, kind)[-1]
    assert len(past.rooms) == 2
    tried = 0
    for entries in damaged(past.entries, key, other):
        caplog.clear()
        async with open_next(past, entries) as world:
            assert disagreements(world) == []
            assert other in world.registry.rooms
            named = "left out" in caplog.text or "is lost" in caplog.text
            if not _is_json(entries.get(key, b"{}")):
                assert named
            # it is there again, or named
            assert named or key not in entries or key in Past(world).entries
            for room in world.registry.rooms.values():
                for peer in list(room.peers.values()):
                    await Client(world, room, peer.id, room.state.peers[peer.id].token).connect()
            await trio.sleep(1)
            assert disagreements(world) == []
            assert "Traceback" not in caplog.text
        tried += 1
    assert tried >= 30


def _is_json(payload: bytes) -> bool:
    try:
        return isinstance(json.loads(payload), dict)
    except (ValueError, RecursionError):
        return False

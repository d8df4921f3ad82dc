"""Rooms that are made while their process still runs are as if they had been made after its end."""

import copy
import json
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import attrs
import pytest
import trio
import trio.testing
from support.kept_worlds import DictStore, Past, exported, meeting, open_kept_world
from support.live_agreement import disagreements
from support.live_fakes import Client, World
from support.live_scenes import join, produce, transport
from support.peers import EVERYTHING
from support.random_scene import Scene
from trio.testing import MockClock

from meet_trio.engine import Kept
from meet_trio.live.restore import Restorer
from meet_trio.live.room import LiveRoom
from meet_trio.live.settings import RoomSettings
from meet_trio.media.plain import PlainTransport
from meet_trio.media.records import PlainRecord
from meet_trio.media.transport import WebRtcTransport
from meet_trio.room import Role

APART = 0.4  # seconds between two looks at the log
SPREAD = RoomSettings(spread_size=1)


def entries_of(world: World) -> Mapping[str, bytes]:
    assert isinstance(world.keeper.store, DictStore)
    return dict(world.keeper.store.written)


async def restored(
    world: World,
    looks: Sequence[Mapping[str, bytes]],
    past: Past,
    kept: Sequence[Kept] | None = None,
) -> tuple[dict[str, Any], dict[str, LiveRoom]]:
    """What a process makes of ``past`` that has looked at the log before; and what it has prepared
    by then.
    """
    restorer, lost = Restorer(world.registry.context, ["192.0.2.9"]), list[str]()
    for entries in looks:
        restorer.take(entries)
        restorer.prepare()
        assert all(engine.is_empty() for engine in world.engines)
        await trio.sleep(APART)
    prepared = dict(restorer._prepared)
    restorer.take(past.entries)
    rooms = restorer.finish(past.kept if kept is None else kept, lost)
    for room in rooms:
        room.keeper.write()
    picture = picture_of(world, rooms) | {"lost": sorted(lost)}
    await world.registry.go_on(rooms)
    await trio.testing.wait_all_tasks_blocked()
    assert disagreements(world) == []
    return picture, prepared


def picture_of(world: World, rooms: Sequence[LiveRoom]) -> dict[str, Any]:
    """Everything that could differ. Times are seconds from now."""
    now = trio.current_time()
    context = world.registry.context
    return {
        "rooms": {room.id: picture_of_room(room, now) for room in rooms},
        "written": {key: json.loads(value) for key, value in entries_of(world).items()},
        "engines": [
            {name: copy.deepcopy(value) for name, value in vars(engine).items() if name != "world"}
            for engine in world.engines
        ],
        "hosts": [(host.object_counts(), host.peers) for host in world.hosts],
        # transports may have another order, and depend on none
        "residents": [
            [type(one).__name__ for one in host._residents if not isinstance(one, WebRtcTransport)]
            for host in world.hosts
        ],
        "transports": {k: n for k, n in context.tally.transports.numbers.items() if n},
        "sessions": sum(session.running for session in world.bridge.sessions),
        "wanted": world.bridge.wanted,
    }


def picture_of_room(room: LiveRoom, now: float) -> dict[str, Any]:
    last_n = room.state.last_n
    return {
        "records": {key: json.loads(value) for key, value in exported(room).items()},
        "lingering": {peer: until - now for peer, until in last_n._lingering.items()},
        "missing": room.state.missing,
        "peers": {peer.id: picture_of_peer(peer) for peer in room.peers.values()},
        "order": [list(room.peers), list(room.producers), list(room.consumers)],
        "waiting": [
            None if one._waiting_since is None else one._waiting_since - now
            for one in (*room.producers.values(), *room.consumers.values())
        ],
        "offers": [list(room.offers._parked), list(room.offers._asked), list(room.offers._again)],
        "notices": {n: list(told.to) for n, told in room.deliveries._parked.items()},
        "next notice": room.deliveries._next,
        "meeting": room._make_record(("meeting", room.id)),
        "stays": (room.stays.joined, room.stays.most_joined, list(room.stays._members)),
        "ssrcs": set(room.streams.ssrcs),
    }


def picture_of_peer(peer: Any) -> dict[str, Any]:
    return {
        "backlog": [one.payload if hasattr(one, "payload") else one.data for one in peer._backlog],
        "transports": [(one.number, one.state) for one in peer.transports.values()],
        "receiving": getattr(peer.receiving_transport(), "id", None),
        "attendance": attrs.asdict(peer.attendance),
        "place": (peer.presence, peer.address, peer.mids_reserved),
    }


@pytest.mark.parametrize("engines", [1, 2])
@pytest.mark.parametrize("seed", range(12))
async def test_it_is_as_if_made_after_the_end(
    autojump_clock: MockClock, seed: int, engines: int
) -> None:
    """Whatever happens in between."""
    pick = random.Random(seed)
    async with open_kept_world(engines, room_settings=SPREAD) as world:
        scene = Scene(world, await world.registry.create_room(), pick)
        await meeting(world)
        for _ in range(30):
            await scene.step()
        looks = []
        for _ in range(3):
            looks.append(entries_of(world))
            for _ in range(pick.randrange(5)):
                await scene.step()
                await trio.testing.wait_all_tasks_blocked()
        past = Past(world)
    async with open_kept_world(engines, room_settings=SPREAD) as world:
        after, _ = await restored(world, [], past)
    async with open_kept_world(engines, room_settings=SPREAD) as world:
        ahead, _ = await restored(world, looks, past)
    assert ahead == after


Change = Callable[[World, LiveRoom, Client, Client], Awaitable[object]]


async def joins(world: World, room: LiveRoom, ada: Client, bob: Client) -> None:
    carol = await world.enter(room, EVERYTHING)
    await join(carol, "Carol")
    await transport(carol.socket, consuming=True)
    await produce(carol)


async def leaves(world: World, room: LiveRoom, ada: Client, bob: Client) -> None:
    bob.socket.go()


async def closes(world: World, room: LiveRoom, ada: Client, bob: Client) -> None:
    state = room.state.peers[ada.id]
    assert await ada.socket.ask("closeProducer", producerId=next(iter(state.producers))) == []


async def pauses(world: World, room: LiveRoom, ada: Client, bob: Client) -> None:
    consumer = next(iter(room.state.peers[bob.id].consumers.values()))
    assert await bob.socket.ask("pauseConsumer", consumerId=consumer.id) == []


async def other_role(world: World, room: LiveRoom, ada: Client, bob: Client) -> None:
    role = int(Role.PUBLISHER)
    assert await ada.socket.ask("moderator:removeRole", peerId=bob.id, role=role) == []


async def room_closes(world: World, room: LiveRoom, ada: Client, bob: Client) -> None:
    room.close()


async def room_begins(world: World, room: LiveRoom, ada: Client, bob: Client) -> None:
    await joins(world, await world.registry.create_room(), ada, bob)


async def connects(world: World, room: LiveRoom, ada: Client, bob: Client) -> None:
    """The record of a transport is dropped, and written again behind that of a later one."""
    first, _ = [t for t in room.peers[ada.id].transports.values() if t.state == "new"]
    fingerprints = [{"algorithm": "sha-256", "value": ":".join(["AB"] * 32)}]
    parameters = {"role": "client", "fingerprints": fingerprints}
    answer = await ada.socket.ask(
        "connectWebRtcTransport", transportId=first.id, dtlsParameters=parameters
    )
    assert answer == []
    (session,) = [one for one in world.bridge.sessions if one.owner is first]
    session.complete()


async def new_password(world: World, room: LiveRoom, ada: Client, bob: Client) -> None:
    own = next(iter(room.peers[ada.id].transports.values()))
    assert isinstance(own, WebRtcTransport)
    own.restart_ice()


async def chats(world: World, room: LiveRoom, ada: Client, bob: Client) -> None:
    await ada.socket.ask("chatMessage", message="x")


async def sees(world: World, room: LiveRoom, ada: Client, bob: Client) -> None:
    peer = room.peers[bob.id]
    peer.attendance.video.add(1, 2.5)
    room.stay_changed(peer)


@pytest.mark.parametrize(
    ("change", "is_kept"),
    [
        *((change, False) for change in (joins, leaves, closes, pauses, other_role, room_closes)),
        *((change, False) for change in (new_password, connects)),
        *((change, True) for change in (room_begins, chats, sees)),
    ],
)
async def test_only_what_has_changed_is_made_anew(
    autojump_clock: MockClock, change: Change, is_kept: bool
) -> None:
    async with open_kept_world(2, room_settings=SPREAD) as world:
        room, ada, bob = await meeting(world)
        other, *_ = await meeting(world)
        for _ in range(2):
            await transport(ada.socket, consuming=False)
        await trio.sleep(2)
        looks = [entries_of(world)]
        await change(world, room, ada, bob)
        await trio.testing.wait_all_tasks_blocked()
        past = Past(world)
        assert past.entries != looks[0]
        assert all(engine.mirrors for engine in world.engines)
    async with open_kept_world(2, room_settings=SPREAD) as world:
        after, _ = await restored(world, [], past)
    async with open_kept_world(2, room_settings=SPREAD) as world:
        ahead, prepared = await restored(world, looks, past)
        assert prepared.keys() == {room.id, other.id}
        now = world.registry.rooms
        assert (now.get(room.id) is prepared[room.id]) is is_kept
        assert now[other.id] is prepared[other.id]
    assert ahead == after


async def test_who_falls_out_of_the_front_lingers_as_long(autojump_clock: MockClock) -> None:
    async with open_kept_world() as world:
        room, ada, bob = await meeting(world)
        await transport(bob.socket, consuming=True)
        assert await ada.socket.ask("moderator:setLastN", n=1) == []
        carol = await world.enter(room, EVERYTHING)
        await join(carol)
        await produce(carol, "video")
        room.speakers.speakers.latest = [carol.id, bob.id]
        room._perform(room.state.update_front([carol.id, bob.id], trio.current_time()))
        past = Past(world)
        assert room.state.last_n._lingering
    pictures = []
    for looks in ([], [past.entries]):
        async with open_kept_world() as world:
            pictures.append((await restored(world, looks, past))[0])
    assert pictures[0]["rooms"][room.id]["lingering"]
    assert pictures[0] == pictures[1]


async def test_rooms_with_plain_transports_wait(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For their sockets, which are handed over once."""
    taken = []

    def resumed(record: PlainRecord, *rest: Any) -> None:
        taken.append(record.id)
        raise ValueError("no sockets")

    monkeypatch.setattr(PlainTransport, "resumed", resumed)
    async with open_kept_world() as world:
        room, ada, _ = await meeting(world)
        other, *_ = await meeting(world)
        answer = await ada.socket.ask("createPlainTransport", producing=True, consuming=False)
        assert answer[0] is None
        past = Past(world)
    async with open_kept_world() as world:
        _, prepared = await restored(world, [past.entries], past)
        assert prepared.keys() == {other.id}
        assert world.registry.rooms.keys() == {room.id, other.id}
        assert len(taken) == 1


async def test_what_an_engine_has_not_kept(autojump_clock: MockClock) -> None:
    """A room in which an object cannot go on is made anew, without that."""
    async with open_kept_world() as world:
        room, *_ = await meeting(world)
        await meeting(world)
        past = Past(world)
        (number, *_) = [consumer.number for consumer in room.consumers.values()]
    (whole,) = past.kept
    consumers = {n: blob for n, blob in whole.consumers.items() if n != number}
    kept = [attrs.evolve(whole, consumers=consumers)]
    pictures = []
    for looks in ([], [past.entries]):
        async with open_kept_world() as world:
            picture, prepared = await restored(world, looks, past, kept)
            pictures.append(picture)
            rooms = world.registry.rooms
            assert [rooms[i] is one for i, one in prepared.items()] == [False, True][
                : len(prepared)
            ]
    assert pictures[0] == pictures[1]


async def test_what_is_not_whole_yet_is_no_loss(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_kept_world() as world:
        room, ada, _ = await meeting(world)
        past = Past(world)
    damaged = {**past.entries, f"meeting/{room.id}": b"{", "unknown/1": b"{}"}
    in_part = {key: value for key, value in past.entries.items() if key != f"peer/{ada.id}"}
    async with open_kept_world() as world:
        after, _ = await restored(world, [], past)
    for look in (damaged, in_part):
        async with open_kept_world() as world:
            ahead, prepared = await restored(world, [look], past)
            assert (prepared, ahead["lost"]) == ({}, [])
        assert ahead == after
    assert not [record for record in caplog.records if "left out" in record.getMessage()]

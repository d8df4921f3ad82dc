"""Notices that clients miss while the server is killed: each hears them once, in their order."""

import json

import trio
from support.kept_worlds import Past, meeting, open_kept_world, open_next
from support.live_fakes import Client, FakeSocket, World
from support.live_scenes import join
from support.peers import PARTICIPANT
from trio.testing import MockClock

from meet_trio.live.deliveries import FIRST_LOOK, LOOK_INTERVAL, SECOND_LOOK
from meet_trio.live.peer import Notification


def kept_notices(world: World) -> list[tuple[str, list[str]]]:
    """Method and peers of the notices that are kept."""
    entries = Past(world).entries
    records = [json.loads(v) for k, v in entries.items() if k.startswith("notice/")]
    records.sort(key=lambda record: record["number"])
    return [(record["method"], record["to"]) for record in records]


async def come_back(world: World, before: Client) -> FakeSocket:
    (room,) = world.registry.rooms.values()
    client = Client(world, room, before.id, before.token)
    return await client.connect()


def texts(socket: FakeSocket) -> list[str]:
    return [notice["message"] for notice in socket.notices("chatMessage")]  # type: ignore[index]


async def chat(client: Client, text: str) -> None:
    assert await client.socket.ask("chatMessage", message=text) == []


async def test_who_was_away_hears_all_that_it_has_missed(autojump_clock: MockClock) -> None:
    async with open_kept_world() as world:
        _, ada, bob = await meeting(world)
        bob.socket.lose()
        await trio.sleep(1)
        for number in range(3):
            await chat(ada, f"text {number} 🙂")
        await trio.sleep(3)
        assert kept_notices(world) == [("chatMessage", [bob.id])] * 3
        past = Past(world)
    async with open_next(past) as world:
        socket = await come_back(world, bob)
        assert [entry[1] for entry in socket.log] == ["roomBack"] + ["chatMessage"] * 3
        assert texts(socket) == [f"text {number} 🙂" for number in range(3)]
        assert texts(await come_back(world, ada)) == []
        await trio.sleep(SECOND_LOOK + LOOK_INTERVAL)
        assert kept_notices(world) == []
        past = Past(world)
    async with open_next(past) as world:
        assert texts(await come_back(world, bob)) == []


async def test_what_the_kernel_has_is_not_told_twice(autojump_clock: MockClock) -> None:
    async with open_kept_world() as world:
        _, ada, bob = await meeting(world)
        await chat(ada, "hello")
        assert kept_notices(world) == [("chatMessage", sorted([ada.id, bob.id]))]
        await trio.sleep(FIRST_LOOK)
        await trio.testing.wait_all_tasks_blocked()
        assert kept_notices(world) == []


async def test_what_waits_in_an_outbox_is_kept(autojump_clock: MockClock) -> None:
    async with open_kept_world() as world:
        _, ada, bob = await meeting(world)
        bob.socket.on_network = False
        bob.socket.unacknowledged = bob.socket.in_outbox  # a client that does not read
        await chat(ada, "hello")
        for _ in range(3):
            await trio.sleep(SECOND_LOOK + LOOK_INTERVAL)
            assert kept_notices(world) == [("chatMessage", [bob.id])]
        past = Past(world)
        bob.socket.in_outbox.clear()
        await trio.sleep(2)
        assert kept_notices(world) == []
    async with open_next(past) as world:
        assert texts(await come_back(world, bob)) == ["hello"]


async def test_what_is_not_acknowledged_is_kept_after_a_while(autojump_clock: MockClock) -> None:
    async with open_kept_world() as world:
        _, ada, bob = await meeting(world)
        bob.socket.on_network = False
        await chat(ada, "hello")
        await trio.sleep(FIRST_LOOK + 0.01)
        assert kept_notices(world) == []  # the kernel may still send it
        await trio.sleep(SECOND_LOOK + LOOK_INTERVAL)
        assert kept_notices(world) == [("chatMessage", [bob.id])]
        past = Past(world)
        bob.socket.lose()  # in the same process it is the same
        assert texts(await bob.connect()) == ["hello"]
        await trio.sleep(2)
        assert kept_notices(world) == []
    async with open_next(past) as world:
        assert texts(await come_back(world, bob)) == ["hello"]


async def test_notices_of_both_processes_keep_their_order(autojump_clock: MockClock) -> None:
    async with open_kept_world() as world:
        _, ada, bob = await meeting(world)
        bob.socket.lose()
        await chat(ada, "first")
        await trio.sleep(1)
        past = Past(world)
    async with open_next(past) as world:
        (room,) = world.registry.rooms.values()
        again = Client(world, room, ada.id, ada.token)
        await again.connect()
        await chat(again, "second")
        await trio.sleep(1)
        past = Past(world)
    async with open_next(past) as world:
        assert texts(await come_back(world, bob)) == ["first", "second"]


async def test_room_ready_is_kept(autojump_clock: MockClock) -> None:
    """A new peer whose first socket was lost with the process, and all that came on it."""
    async with open_kept_world() as world:
        room = await world.registry.create_room()
        invitation = room.invite(PARTICIPANT)
        client = Client(world, room, invitation.peer_id, invitation.auth_token)
        await client.connect()
        past = Past(world)
    async with open_next(past) as world:
        socket = await come_back(world, client)
        assert [entry[1] for entry in socket.log] == ["roomBack", "roomReady"]


async def test_who_has_left_is_told_nothing(autojump_clock: MockClock) -> None:
    async with open_kept_world() as world:
        room, ada, bob = await meeting(world)
        bob.socket.lose()
        await chat(ada, "hello")
        await trio.sleep(1)
        assert kept_notices(world) == [("chatMessage", [bob.id])]
        await trio.sleep(room.context.peer_settings.reconnect_grace)
        assert bob.id not in room.peers
        await trio.sleep(1)
        assert kept_notices(world) == []


async def test_a_room_that_has_ended_keeps_no_notice(autojump_clock: MockClock) -> None:
    async with open_kept_world() as world:
        room, ada, bob = await meeting(world)
        bob.socket.lose()
        await chat(ada, "hello")
        room.close()
        await trio.sleep(1)
        assert Past(world).entries == {}


async def test_what_is_told_again_anyway_is_not_kept(autojump_clock: MockClock) -> None:
    async with open_kept_world() as world:
        room, _, bob = await meeting(world)
        for method in ("consumerScoreChanged", "consumerLayersChanged", "producerLayersWanted"):
            room.deliveries.tell(Notification(method, {}), [bob.id])
        room.keeper.write()
        assert kept_notices(world) == []


async def test_notices_about_what_was_not_resumed(autojump_clock: MockClock) -> None:
    """They are told before the room runs. Who comes back hears them, who does not is forgotten."""
    async with open_kept_world() as world:
        _, ada, bob = await meeting(world)
        past = Past(world)
    entries = {k: v for k, v in past.entries.items() if not k.startswith("viewing/")}
    async with open_next(past, entries) as world:
        (room,) = world.registry.rooms.values()
        told = kept_notices(world)
        assert {method for method, _ in told} == {"consumerClosed"}
        assert {peer_id for _, (peer_id,) in told} == {ada.id, bob.id}
        await trio.sleep(room.context.peer_settings.reconnect_grace + 1)
        assert kept_notices(world) == []


async def test_a_handover_tells_nobody_twice(autojump_clock: MockClock) -> None:
    """Ada's socket goes on in the next process, Bob's does not, and Cleo has none."""
    async with open_kept_world() as world:
        room, ada, bob = await meeting(world)
        cleo = await world.enter(room)
        await join(cleo)
        cleo.socket.lose()
        for client in (ada, bob):
            client.socket.on_network = False
        await chat(ada, "long ago")
        await trio.sleep(SECOND_LOOK + 2 * LOOK_INTERVAL)
        await chat(ada, "is with the kernel")
        await chat(ada, "waits")
        bob.socket.in_outbox.append(bob.socket.unacknowledged.pop())
        assert [to for _, to in kept_notices(world)] == [sorted([ada.id, bob.id, cleo.id])] * 3
        room.hand_over({ada.socket.id})
        everybody = sorted([bob.id, cleo.id])
        assert [to for _, to in kept_notices(world)] == [everybody, [cleo.id], everybody]
        await trio.sleep(SECOND_LOOK + 2 * LOOK_INTERVAL)  # it was given up
        assert [to for _, to in kept_notices(world)] == [sorted([ada.id, bob.id, cleo.id])] * 3

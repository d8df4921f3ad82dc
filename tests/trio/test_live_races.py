"""Events between two steps of an operation: requests of others, lost sockets, second sockets."""

import pytest
import trio
import trio.testing
from support.live_fakes import FakeSocket
from support.live_scenes import join, open_world, pair, produce, say, transport
from trio.testing import MockClock

from meet_trio.live.peer import Notification
from meet_trio.live.settings import PeerSettings
from meet_trio.media.transport import TransportState
from meet_trio.room import Role

FINGERPRINT = {"algorithm": "sha-256", "value": ":".join(["AB"] * 32)}


@pytest.mark.parametrize("steps", range(6))
async def test_nothing_is_offered_on_a_transport_before_its_client_knows_it(
    autojump_clock: MockClock, steps: int
) -> None:
    async with open_world() as world:
        room, ada, _ = await pair(world)
        await produce(ada)
        cy = await world.enter(room)
        await join(cy, "Cy")
        cy.socket.log.clear()
        say(cy.socket, "createWebRtcTransport", consuming=True)
        for _ in range(steps):
            await trio.lowlevel.checkpoint()
        # Any change makes the room look for missing consumers.
        await ada.socket.ask("raisedHand", raisedHand=True)
        assert [e[0] for e in cy.socket.log if e[0] != "notice"] == ["ack", "call"]


@pytest.mark.parametrize("steps", range(6))
async def test_a_second_socket_amid_a_request_of_the_first(
    autojump_clock: MockClock, steps: int
) -> None:
    """The request is done once or not at all, and its answer goes to its own socket."""
    async with open_world() as world:
        room, _, bob = await pair(world)
        first, peer = bob.socket, room.peers[bob.id]
        before = len(world.engine.transports)
        asked = say(first, "createWebRtcTransport", producing=True)
        for _ in range(steps):
            await trio.lowlevel.checkpoint()
        await bob.connect()
        done = len(peer.transports) - 1
        assert done == (asked.answer is not None)
        # No transport is left in the engine without its state.
        assert len(world.engine.transports) == before + done
        assert [entry[0] for entry in bob.socket.log] == ["notice"]
        assert await bob.socket.ask("ping") == [None]


@pytest.mark.parametrize("steps", range(6))
async def test_a_socket_lost_amid_its_request(autojump_clock: MockClock, steps: int) -> None:
    """The request came, so it is done, once; the answer is lost with the socket."""
    async with open_world() as world:
        room, ada, bob = await pair(world)
        say(bob.socket, "createWebRtcTransport", producing=True)
        say(bob.socket, "chatMessage", message="last words")
        for _ in range(steps):
            await trio.lowlevel.checkpoint()
        bob.socket.lose()
        await trio.testing.wait_all_tasks_blocked()
        await bob.connect()
        assert bob.socket.notices()[0] == ("roomBack", {})
        assert "ack" not in [entry[0] for entry in bob.socket.log]
        assert len(room.peers[bob.id].transports) == 2
        assert len(ada.socket.notices("chatMessage")) == 1


@pytest.mark.parametrize("answer", [[None], [500, "I have it already"], None])
async def test_who_was_asked_on_a_lost_socket_may_refuse_to_do_it_twice(
    autojump_clock: MockClock, answer: list[object] | None
) -> None:
    async with open_world() as world:
        _, ada, bob = await pair(world)
        bob.socket.answer_calls = None
        await produce(ada, "video")
        assert [method for method, _ in bob.socket.calls] == ["newConsumer"]
        assert list(world.engine.consumer_paused.values()) == [True]
        peer = bob.room.peers[bob.id]
        bob.socket.lose()
        bob.socket = FakeSocket()
        bob.socket.answer_calls = answer
        world.nursery.start_soon(peer.serve, bob.socket)
        await trio.sleep(61)
        assert len(bob.socket.calls) == (3 if answer is None else 1)
        assert list(world.engine.consumer_paused.values()) == [False]


async def test_a_request_waits_for_the_next_socket(autojump_clock: MockClock) -> None:
    async with open_world() as world:
        _, ada, bob = await pair(world)
        bob.socket.lose()
        await trio.testing.wait_all_tasks_blocked()
        producer_id = await produce(ada)
        await ada.socket.ask("chatMessage", message="hi")
        await trio.sleep(5)
        await bob.connect()
        kinds = [entry[:2] for entry in bob.socket.log]
        assert kinds == [
            ("notice", "roomBack"),
            ("notice", "chatMessage"),
            ("call", "newConsumer"),
        ]
        # A producer that is closed before its client could hear of it is not offered any more.
        bob.socket.lose()
        await trio.testing.wait_all_tasks_blocked()
        second = await produce(ada, "video")
        await ada.socket.ask("closeProducer", producerId=second)
        await bob.connect()
        assert bob.socket.calls == []
        assert len(world.engine.consumers) == 1
        await ada.socket.ask("closeProducer", producerId=producer_id)
        assert world.engine.consumers == {}


async def test_two_sockets_at_once_and_the_last_stays(autojump_clock: MockClock) -> None:
    async with open_world() as world:
        room, ada, bob = await pair(world)
        peer = room.peers[bob.id]
        sockets = [FakeSocket() for _ in range(3)]
        for socket in sockets:
            world.nursery.start_soon(peer.serve, socket)
        await trio.testing.wait_all_tasks_blocked()
        alive = [socket for socket in sockets if socket.reason is None]
        assert len(alive) == 1
        bob.socket = alive[0]
        assert await bob.socket.ask("chatMessage", message="once") == []
        assert len(ada.socket.notices("chatMessage")) == 1
        assert [len(s.notices("chatMessage")) for s in sockets] == [
            int(s in alive) for s in sockets
        ]
        await trio.sleep(60)
        assert ada.socket.notices("peerClosed") == []


async def test_a_transport_whose_answer_was_lost_is_not_used(autojump_clock: MockClock) -> None:
    async with open_world() as world:
        room, ada, _ = await pair(world)
        cy = await world.enter(room)
        await transport(cy.socket, consuming=True)  # Cy never hears of this one
        cy.socket.lose()
        await cy.connect()
        second = await transport(cy.socket, consuming=True)
        await join(cy, "Cy")
        await produce(ada)
        numbers = {t.id: t.number for t in room.peers[cy.id].transports.values()}
        (used,) = {on for on, _ in world.engine.consumers.values()} & set(numbers.values())
        assert used == numbers[second]
        # A transport that is being connected stays in use.
        await cy.socket.ask(
            "connectWebRtcTransport",
            transportId=second,
            dtlsParameters={"role": "client", "fingerprints": [FINGERPRINT]},
        )
        await transport(cy.socket, consuming=True)
        await produce(ada, "video")
        assert [on for on, _ in world.engine.consumers.values()].count(used) == 2


@pytest.mark.parametrize("noticed", [False, True])
async def test_what_a_lost_socket_did_not_get_through_comes_first(
    autojump_clock: MockClock, noticed: bool
) -> None:
    """The server may notice the loss before the next socket comes, or not."""
    async with open_world() as world:
        _, ada, bob = await pair(world)
        lost = bob.socket
        who = {"id": "x", "language": None, "nickname": False, "role": 1, "raisedHand": False}
        lost.stuck = [("newPeer", who), ("peerClosed", {"peerId": "x"})]
        if noticed:
            lost.lose()
            await trio.testing.wait_all_tasks_blocked()
            await ada.socket.ask("raisedHand", raisedHand=True)
        await bob.connect()
        methods = ["roomBack", "newPeer", "peerClosed"] + ["changeRaisedHand"] * noticed
        assert [method for method, _ in bob.socket.notices()] == methods  # type: ignore[misc]
        # They are sent once.
        bob.socket.lose()
        await trio.testing.wait_all_tasks_blocked()
        await bob.connect()
        assert bob.socket.notices() == [("roomBack", {})]


async def test_a_first_socket_that_is_lost_before_its_greeting(autojump_clock: MockClock) -> None:
    async with open_world() as world:
        room = await world.registry.create_room()
        invitation = room.invite(Role(3))
        peer = room.peers[invitation.peer_id]
        sockets = [FakeSocket(), FakeSocket()]
        sockets[0].lose()
        for socket in sockets:
            world.nursery.start_soon(peer.serve, socket)
            await trio.testing.wait_all_tasks_blocked()
        greetings = [method for method, _ in sockets[1].notices()]  # type: ignore[misc]
        assert greetings == ["roomBack", "roomReady"]


async def test_too_much_that_did_not_get_through(autojump_clock: MockClock) -> None:
    async with open_world(peer_settings=PeerSettings(max_backlog=5)) as world:
        room, ada, bob = await pair(world)
        bob.socket.stuck = [("signal:news", number) for number in range(6)]
        bob.socket.lose()
        await trio.testing.wait_all_tasks_blocked()
        assert bob.id not in room.peers
        assert ada.socket.notices("peerClosed") == [{"peerId": bob.id}]


async def test_too_many_bytes_that_did_not_get_through(autojump_clock: MockClock) -> None:
    async with open_world(max_backlog_bytes=10_000) as world:
        room, ada, bob = await pair(world)
        bob.socket.stuck = [("signal:news", "x" * 4000)]
        bob.socket.lose()
        await trio.testing.wait_all_tasks_blocked()
        peer = room.peers[bob.id]
        peer.notify("signal:news", "y" * 4000)
        await bob.connect()
        assert bob.socket.notices("signal:news") == ["x" * 4000, "y" * 4000]
        bob.socket.lose()
        await trio.testing.wait_all_tasks_blocked()
        for letter in "xyz":  # notices that it has got do not count
            assert bob.id in room.peers
            peer.notify("signal:news", letter * 4000)
            await trio.testing.wait_all_tasks_blocked()
        assert bob.id not in room.peers
        assert ada.socket.notices("peerClosed") == [{"peerId": bob.id}]


@pytest.mark.parametrize("noticed", [False, True])
async def test_more_than_is_kept_did_not_get_through(
    autojump_clock: MockClock, noticed: bool
) -> None:
    async with open_world() as world:
        room, ada, bob = await pair(world)
        bob.socket.stuck = None
        if noticed:
            bob.socket.lose()
            await trio.testing.wait_all_tasks_blocked()
        else:
            await bob.connect()
        assert bob.id not in room.peers
        assert ada.socket.notices("peerClosed") == [{"peerId": bob.id}]


async def test_a_notice_is_encoded_once_whatever_becomes_of_the_sockets(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_world() as world:
        room, _, bob = await pair(world)
        notice = Notification("signal:news", 1)
        heard = room.peers[bob.id]
        bob.socket.lose()
        await trio.testing.wait_all_tasks_blocked()
        heard.send_notification(notice)
        given: list[object] = []
        monkeypatch.setattr(FakeSocket, "emit_encoded", lambda self, event: given.append(event))
        await bob.connect()
        assert given == [notice]


async def test_what_is_said_while_a_dead_socket_is_being_put_away(
    autojump_clock: MockClock,
) -> None:
    async with open_world() as world:
        room, _, bob = await pair(world)
        bob.socket.lose()
        # The peer's task has not heard of the end yet.
        assert room.peers[bob.id].connection is not None
        room.peers[bob.id].notify("signal:news", 1)
        await trio.testing.wait_all_tasks_blocked()
        await bob.connect()
        assert bob.socket.notices() == [("roomBack", {}), ("signal:news", 1)]


async def test_no_transport_is_opened_for_a_peer_that_is_leaving(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request goes on when the peer's other transports are closed already."""
    async with open_world() as world:
        room, _, bob = await pair(world)
        peer, go_on = room.peers[bob.id], trio.Event()
        (known,) = peer.transports.values()
        states: list[TransportState] = []

        async def loaded_late() -> None:
            with trio.CancelScope(shield=True):  # so that the request comes as late as that
                await go_on.wait()
            states.append(known.state)

        monkeypatch.setattr(world.bridge, "loaded", loaded_late)
        say(bob.socket, "createWebRtcTransport", forceTcp=False, producing=True, consuming=False)
        await trio.testing.wait_all_tasks_blocked()
        peer.leave("left")
        await trio.testing.wait_all_tasks_blocked()
        go_on.set()
        await trio.testing.wait_all_tasks_blocked()
        assert states == [TransportState.CLOSED]
        assert bob.id not in room.peers
        assert not peer.transports
        assert not world.engine.transports


async def test_all_transports_of_a_peer_end_at_once(autojump_clock: MockClock) -> None:
    """Also if its client takes its time to say goodbye."""
    async with open_world() as world:
        room, _, bob = await pair(world)
        await transport(bob.socket, consuming=False)
        ours = list(room.peers[bob.id].transports.values())
        assert len(ours) == 2
        room.peers[bob.id].leave("left")
        for _ in range(2):
            await trio.lowlevel.checkpoint()
        assert all(each.state is TransportState.CLOSED for each in ours)
        assert not world.engine.transports.keys() & {each.number for each in ours}


async def test_a_fault_at_the_end_of_a_socket_ends_the_peer(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """It would wait for ever, and its room with it: no deadline was set for its next socket."""
    async with open_world() as world:
        room, _, bob = await pair(world)

        def unreceived() -> None:
            raise OSError("a fault")

        bob.socket.unreceived = unreceived  # type: ignore[method-assign,assignment]
        bob.socket.lose()
        await trio.testing.wait_all_tasks_blocked()
        assert bob.id not in room.peers
        assert "the peer failed" in caplog.text

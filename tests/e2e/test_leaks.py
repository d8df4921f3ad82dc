"""Every way a room can end leaves nothing behind: no task, descriptor, engine object or memory.

50 rooms of three participants with real DTLS and media run, many at once. Each room ends in one of
the ways below. Then all counts must be the same as before.
"""

import ctypes
import gc
import itertools
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import trio
from support.api import MeetApi
from support.crowd import meet
from support.helper import Helper
from support.participant import Participant, open_participant
from support.peers import PARTICIPANT
from support.server import TOKEN, LocalServer, open_server, quick_settings
from support.signaling import open_signaling

from meet_trio.bench.dtls import Identity
from meet_trio.room import Role

ROOMS = 50
PATIENCE = 8.0  # seconds; only tests of a timeout wait for it
AT_ONCE = 20  # the participants live on this machine too
ROUNDS = 3
MAX_GROWTH = 4 * 1024 * 1024  # bytes of resident memory from the second round to the last

ROLES = (
    Role.OWNER | Role.MODERATOR | Role.PUBLISHER,
    Role.PUBLISHER,
    PARTICIPANT,
)
IDENTITY = Identity.generate()

People = list[Participant]


async def leave(people: People) -> None:
    for participant in people:
        await participant.leave()


async def kick(people: People) -> None:
    owner, *others = people
    for other in others:
        assert other.id is not None
        await owner.request("moderator:kickPeer", {"peerId": other.id})
        await other.signaling.closed.wait()
        assert other.signaling.disconnected_by_server
    await owner.leave()


async def close_room(people: People) -> None:
    owner, *others = people
    await owner.request("moderator:closeRoom")
    for other in others:
        await other.signaling.wait_notice("moderator:closeRoom")
        await other.signaling.closed.wait()


async def reset(people: People) -> None:
    for participant in people:
        participant.abort()


async def close_tab(people: People) -> None:
    """The end of the ``async with`` closes the websocket without a Socket.IO disconnect."""


async def say_dtls_goodbye(people: People) -> None:
    for participant in people:
        assert participant.send is not None
        assert participant.receive is not None
        participant.send.transport.say_goodbye()
        participant.receive.transport.say_goodbye()


async def close_streams_first(people: People) -> None:
    for participant in people:
        for producer in list(participant.producers.values()):
            await participant.close_producer(producer)
    await leave(people)


WAYS: list[Callable[[People], Awaitable[None]]] = [
    leave,
    kick,
    close_room,
    reset,
    close_tab,
    say_dtls_goodbye,
    close_streams_first,
]


async def meet_and_end(server: LocalServer, end: Callable[[People], Awaitable[None]]) -> None:
    """Three people meet, see and hear each other, and end the room in one way."""
    room = await server.api.create_room()
    async with AsyncExitStack() as stack:
        people = [
            await stack.enter_async_context(
                open_participant(await server.api.create_peer(room, role), identity=IDENTITY)
            )
            for role in ROLES
        ]
        async with trio.open_nursery() as nursery:
            for participant in people:
                nursery.start_soon(meet, participant, len(people) - 1)
        for participant in people:
            for consumer in participant.consumers.values():
                assert consumer.stream.faults == []
        await end(people)


async def kill_process(server: LocalServer) -> None:
    """All three people live in a process of their own, which is killed."""
    room = await server.api.create_room()
    urls = [await server.api.create_peer(room, role) for role in ROLES]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = await trio.lowlevel.open_process(
        [sys.executable, "-m", "support.crowd", *urls],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    async with process.stdout, process.stdin:
        try:
            said = b""
            while not said.endswith(b"\n"):
                said += await process.stdout.receive_some() or b" ended\n"
            assert said == b"ready\n"
        finally:
            process.kill()
            await process.wait()


async def vanish_in_handshake(server: LocalServer) -> None:
    """All people are cancelled during ICE and DTLS: the server's answers are dropped until then."""
    room = await server.api.create_room()
    async with AsyncExitStack() as stack:
        people = [
            await stack.enter_async_context(
                open_participant(await server.api.create_peer(room, role), identity=IDENTITY)
            )
            for role in ROLES
        ]
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                for index, participant in enumerate(people):
                    nursery.start_soon(connect_halfway, participant, index, scope)
        assert scope.cancelled_caught


async def connect_halfway(participant: Participant, flights: int, scope: trio.CancelScope) -> None:
    """Run the handshake until ``flights`` DTLS datagrams of the server have come, then
    cancel all.
    """
    await participant.join()
    await participant.create_transports()
    assert participant.send is not None
    assert participant.receive is not None
    seen = 0

    def drop(datagram: bytes) -> bool:
        nonlocal seen
        if not 20 <= datagram[0] < 64:
            return False
        seen += 1
        if seen > 2:
            scope.cancel()
        return seen > flights

    participant.send.transport.drop_incoming = drop
    participant.receive.transport.drop_incoming = drop
    await participant.connect()
    await trio.sleep_forever()


async def close_room_in_handshake(server: LocalServer) -> None:
    """The room is closed during the handshakes of its peers: the server's side is cancelled."""
    room = await server.api.create_room()
    async with AsyncExitStack() as stack:
        owner, other = [
            await stack.enter_async_context(
                open_participant(await server.api.create_peer(room, role), identity=IDENTITY)
            )
            for role in ROLES[:2]
        ]
        for participant in (owner, other):
            await participant.join()
            await participant.create_transports()
        assert other.send is not None
        transport = other.send.transport
        flight = trio.Event()

        def drop(datagram: bytes) -> bool:
            dtls = 20 <= datagram[0] < 64
            if dtls:
                flight.set()
            return dtls

        # The server's flight never arrives, so its handshake keeps waiting.
        transport.drop_incoming = drop
        other.nursery.start_soon(other.connect_transport, transport)
        await flight.wait()
        await owner.request("moderator:closeRoom")
        await other.signaling.closed.wait()
        other.nursery.cancel_scope.cancel()


async def stall_in_handshake(server: LocalServer) -> None:
    """The peer stays, but its handshakes stall: the server closes the transports."""
    room = await server.api.create_room()
    url = await server.api.create_peer(room, Role.PUBLISHER)
    async with open_participant(url, identity=IDENTITY) as participant:
        await participant.join()
        await participant.create_transports()
        assert participant.send is not None
        transport = participant.send.transport
        transport.drop_incoming = lambda datagram: 20 <= datagram[0] < 64
        participant.nursery.start_soon(participant.connect_transport, transport)
        await transport.ice_connected.wait()
        (peer,) = server.running.registry.rooms[room].peers.values()
        while len(peer.transports) > 1:  # the other one was never asked to connect
            await trio.sleep(0.1)
        await participant.request("ping")


async def never_connect(server: LocalServer) -> None:
    """A room with one peer that never connects, and one that connects and sends nothing."""
    room = await server.api.create_room()
    await server.api.create_peer(room, Role.PUBLISHER)
    url = await server.api.create_peer(room, Role.PUBLISHER)
    async with open_signaling(url):
        pass


OTHER_ENDS = [
    kill_process,
    vanish_in_handshake,
    close_room_in_handshake,
    stall_in_handshake,
    never_connect,
]


async def one_round(server: LocalServer, rooms: int) -> None:
    at_once = trio.CapacityLimiter(AT_ONCE)

    async def one_room(number: int) -> None:
        async with at_once:
            kind = number % (len(WAYS) + len(OTHER_ENDS))
            if kind < len(WAYS):
                await meet_and_end(server, WAYS[kind])
            else:
                await OTHER_ENDS[kind - len(WAYS)](server)

    async with trio.open_nursery() as nursery:
        for number in range(rooms):
            nursery.start_soon(one_room, number)


@pytest.mark.parametrize("end", WAYS, ids=lambda way: way.__name__)
async def test_one_room(end: Callable[[People], Awaitable[None]]) -> None:
    async with open_server() as server:
        before = await server.counts()
        with trio.fail_after(60):
            await meet_and_end(server, end)
        assert await server.settled(before, 30) == before


@pytest.mark.parametrize("scene", OTHER_ENDS, ids=lambda way: way.__name__)
async def test_one_room_that_never_meets(
    scene: Callable[[LocalServer], Awaitable[None]],
) -> None:
    async with open_server() as server:
        before = await server.counts()
        with trio.fail_after(60):
            await scene(server)
        assert await server.settled(before, 30) == before


async def test_fifty_rooms_leave_nothing_behind() -> None:
    # Two engines, with every room on both.
    async with open_server(quick_settings(patience=PATIENCE, workers=2, spread_size=2)) as server:
        before = await server.counts()
        memory: list[int] = []
        for _ in range(ROUNDS):
            with trio.fail_after(90):
                await one_round(server, ROOMS)
            assert await server.settled(before, 2 * PATIENCE) == before
            memory.append(resident_bytes())
        print("resident bytes after each round:", memory)
        assert memory[-1] - memory[1] < MAX_GROWTH, memory


def resident_bytes() -> int:
    """Resident memory of this process, without memory that allocators keep for later."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


# The server alone, in a process of its own

MANY_ROOMS, PEERS, MANY_ROUNDS = 10, 9, 5
MEETING_AT_ONCE = 3
MAX_ROOMS_BYTES = 1024 * 1024  # of resident memory for all rooms of a round


async def meet_and_leave(api: MeetApi) -> None:
    """A room of ``PEERS`` with real DTLS who hear each other; then all leave."""
    room_id = await api.create_room()
    everybody = trio.Event()
    here = 0

    async def one() -> None:
        nonlocal here
        url = await api.create_peer(room_id, PARTICIPANT)
        async with open_participant(url, identity=IDENTITY) as person:
            await person.join()
            await person.connect()
            await person.produce_audio(interval=0.2)
            await person.wait_consumers("audio", PEERS - 1)
            here += 1
            if here == PEERS:
                everybody.set()
            await everybody.wait()
            await person.leave()

    async with trio.open_nursery() as nursery:
        for _ in range(PEERS):
            nursery.start_soon(one)


async def test_many_rooms_leave_the_process_as_it_was() -> None:
    """The first round allocates what as many peers at once need, and allocators keep it. A leak
    grows in every later round: an object that each room leaves behind adds one of its type per
    room. Counts of other objects (timers that Trio clears away now and then) fall again in some
    round.
    """
    helper = Helper.start("support.counted_server")
    try:
        settings = {"patience": 60, "workers": 2, "spread_size": 4}
        port = (await helper.aask({"start": settings}))["port"]
        api = MeetApi("127.0.0.1", port, TOKEN)
        counts = []
        for _ in range(MANY_ROUNDS):
            at_once = trio.CapacityLimiter(MEETING_AT_ONCE)

            async def one_room(at_once: trio.CapacityLimiter = at_once) -> None:
                async with at_once:
                    await meet_and_leave(api)

            async with trio.open_nursery() as nursery:
                for _ in range(MANY_ROOMS):
                    nursery.start_soon(one_room)
            while await api.rooms():
                await trio.sleep(0.05)
            counts.append(await helper.aask({"count": True}))
    finally:
        helper.stop()
    print([(count["blocks"], count["resident"] // 1024) for count in counts])
    growing = {
        kind: growth
        for kind in counts[-1]["objects"]
        if (growth := least_growth([count["objects"].get(kind, 0) for count in counts]))
        >= MANY_ROOMS
    }
    assert growing == {}
    assert least_growth([count["blocks"] for count in counts]) < MANY_ROOMS * PEERS
    assert least_growth([count["resident"] for count in counts]) < MAX_ROOMS_BYTES


def least_growth(counts: list[int]) -> int:
    """The smallest growth from one round to the next, without the first round."""
    return min(new - old for old, new in itertools.pairwise(counts[1:]))

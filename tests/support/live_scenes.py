"""Scenes with the fakes of ``live_fakes``: a world, joined peers, streams."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import trio
from support.live_fakes import Client, FakeEngine, FakeEvent, FakeSocket, World
from support.peers import CAPABILITIES, EVERYTHING

from meet_trio.bench.rtp_parameters import audio_parameters, simulcast_encodings, video_parameters
from meet_trio.live.room import LiveRoom
from meet_trio.live.settings import PeerSettings, RoomSettings


@contextlib.asynccontextmanager
async def open_world(
    room_settings: RoomSettings | None = None,
    peer_settings: PeerSettings | None = None,
    engines: int | list[FakeEngine] = 1,
    **parts: Any,
) -> AsyncIterator[World]:
    """A world with so many engines, or with these, whose rooms leave nothing behind. ``parts`` are
    further attributes of ``World``.
    """
    if isinstance(engines, int):
        engines = [FakeEngine(44444 + i) for i in range(engines)]
    async with trio.open_nursery() as nursery:
        world = World(
            nursery,
            room_settings or RoomSettings(),
            peer_settings or PeerSettings(),
            engines=engines,
            **parts,
        )
        await nursery.start(world.registry.run)
        yield world
        nursery.cancel_scope.cancel()
    assert world.is_clean(), (world.engines, [host.object_counts() for host in world.hosts])


def say(socket: FakeSocket, method: str, **data: object) -> FakeEvent:
    """Send a request without waiting for its answer."""
    event = FakeEvent("request", ({"method": method, "data": data},), socket)
    socket._send.send_nowait(event)
    return event


async def transport(socket: FakeSocket, *, consuming: bool) -> str:
    answer = await socket.ask(
        "createWebRtcTransport", forceTcp=False, producing=not consuming, consuming=consuming
    )
    assert answer[0] is None
    result = answer[1]
    assert isinstance(result, dict)
    return str(result["id"])


async def join(client: Client, name: str = "x") -> None:
    answer = await client.socket.ask("join", nickname=name, rtpCapabilities=CAPABILITIES)
    assert answer[0] is None


async def produce(client: Client, kind: str = "audio") -> str:
    """Send a microphone (``audio``), a camera (``video``, or ``simulcast`` in two encodings) or a
    ``screen``. Returns its id.
    """
    transport_id = await transport(client.socket, consuming=False)
    if kind == "audio":
        parameters = audio_parameters(mid="0", ssrc=1000, cname="c")
    else:
        one = [{"ssrc": 2000, "rtx": {"ssrc": 2001}}]
        encodings = simulcast_encodings(2) if kind == "simulcast" else one
        parameters = video_parameters(mid="1", encodings=encodings, cname="c")
    source = {"audio": "mic", "screen": "screen"}.get(kind, "webcam")
    answer = await client.socket.ask(
        "produce",
        transportId=transport_id,
        kind="audio" if kind == "audio" else "video",
        rtpParameters=parameters,
        appData={"source": source},
    )
    assert answer[0] is None, answer
    result = answer[1]
    assert isinstance(result, dict)
    return str(result["id"])


async def pair(world: World) -> tuple[LiveRoom, Client, Client]:
    """Two joined peers, the second with a receiving transport."""
    room = await world.registry.create_room()
    ada, bob = await world.enter(room, EVERYTHING), await world.enter(room)
    await join(ada, "Ada")
    await transport(bob.socket, consuming=True)
    await join(bob, "Bob")
    return room, ada, bob

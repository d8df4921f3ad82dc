"""The cost of a request in Python, counted and not timed: bytecode instructions that this package
executes from the request to the last of its consequences.

Rooms are those of ``live_fakes``: real rooms, peers and handlers, fake engines and sockets. The
counts leave out the work of sockets and engines for a message, and loops inside of C (copying a
set, writing JSON). Both grow with the same things. Each room has a guest who can receive and has
not joined.
"""

import contextlib
import math
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import attrs
import trio
from support.live_fakes import Client, World
from support.live_scenes import join, say, transport
from support.peers import CAPABILITIES, EVERYTHING

import meet_trio
from meet_trio.bench.rtp_parameters import audio_parameters
from meet_trio.live.settings import PeerSettings, RoomSettings
from meet_trio.media.engines import STATS_DEADLINE
from meet_trio.rates import Rate

SIZES = (1, 10, 60, 200)
# Quantities that a request may grow with: peers in the room, and streams with the same peers.
GROWS = {
    "ping": "",
    "getRouterRtpCapabilities": "",
    "dumpStats": "",
    "restartIce": "",
    "createWebRtcTransport": "",
    "pauseConsumer": "",
    "resumeConsumer": "",
    "setConsumerPreferredLayers": "",
    "setConsumerPriority": "",
    "requestConsumerKeyFrame": "",
    "setTransportMaxBitrate": "",
    "moderator:joinRequestAccept": "",
    "subscribeSpeakers": "",
    "unsubscribeSpeakers": "",
    "setPinnedPeers": "",
    "moderator:setLastN": "streams",
    "raisedHand": "peers",
    "changeNickname": "peers",
    "chatMessage": "peers",
    "moderator:changeLanguage": "peers",
    "moderator:removeRole": "peers",
    "moderator:addRole": "peers",
    "moderator:kickPeer": "peers",
    "produce": "peers",
    "pauseProducer": "peers",
    "resumeProducer": "peers",
    "closeProducer": "peers",
    "join": "peers, streams",
}
PUBLISHERS = 14
_OURS = str(Path(meet_trio.__file__).parent)
OFFERED = 1.0  # seconds after which all missing consumers have been offered

_ENDLESS = Rate(1e12, 1e12)


class Counter:
    """``count`` of the instructions that this package executes within ``on``."""

    def __init__(self) -> None:
        self.count = 0

    @contextlib.contextmanager
    def on(self) -> Iterator[None]:
        before = sys.gettrace()
        sys.settrace(self._enter)
        try:
            yield
        finally:
            sys.settrace(before)

    def _enter(self, frame: FrameType, event: str, arg: object) -> Callable[..., Any] | None:
        if not frame.f_code.co_filename.startswith(_OURS):
            return None
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        return self._step

    def _step(self, frame: FrameType, event: str, arg: object) -> Callable[..., Any]:
        if event == "opcode":
            self.count += 1
        return self._step


@attrs.define
class Scene:
    """Ada, who makes requests, in a room of ``peers`` who all get ``producers`` streams."""

    world: World
    ada: Client
    sending: str
    made: int = 0

    async def produce(self, client: Client, transport_id: str) -> str:
        self.made += 1
        answer = await client.socket.ask(
            "produce",
            transportId=transport_id,
            kind="audio",
            rtpParameters=audio_parameters(mid=str(self.made), ssrc=1000 + self.made, cname="c"),
            appData={"source": "mic"},
        )
        assert answer[0] is None, answer
        return str(answer[1]["id"])  # type: ignore[index]

    async def count(self, method: str, **data: object) -> int:
        """The cost of one request, which has to succeed."""
        counter = Counter()
        with counter.on():
            answer = await self.ada.socket.ask(method, **data)
            await trio.sleep(OFFERED)
        assert not answer or answer[0] is None, (method, answer)
        return counter.count


@contextlib.asynccontextmanager
async def open_scene(peers: int, producers: int) -> AsyncIterator[Scene]:
    """The ``producers`` belong to the others, or to Ada if she is alone."""
    settings = PeerSettings(
        requests=_ENDLESS, announcements=_ENDLESS, work=_ENDLESS, work_pace=math.inf
    )
    async with trio.open_nursery() as nursery:
        world = World(nursery, RoomSettings(), settings)
        await nursery.start(world.registry.run)
        room = await world.registry.create_room()
        clients = [await world.enter(room, EVERYTHING) for _ in range(peers)]
        for client in clients:
            await transport(client.socket, consuming=True)
        guest = await world.enter(room)
        await transport(guest.socket, consuming=True)
        for number, client in enumerate(clients):
            await join(client, f"Guest {number}")
        ada, *others = clients
        scene = Scene(world, ada, await transport(ada.socket, consuming=False))
        publishers = (others or clients)[: PUBLISHERS - 1]
        ways = [await transport(client.socket, consuming=False) for client in publishers]
        for number in range(producers):
            at = number % len(publishers)
            await scene.produce(publishers[at], ways[at])
        await trio.sleep(OFFERED)
        yield scene
        nursery.cancel_scope.cancel()


async def costs(peers: int, producers: int) -> dict[str, int]:
    """The cost of each request in such a room."""
    async with open_scene(peers, producers) as scene:
        found: dict[str, int] = {}

        async def ask(method: str, **data: object) -> None:
            found[method] = await scene.count(method, **data)

        ada, room = scene.ada, scene.ada.room
        # The first request waits for an engine that does not answer.
        say(ada.socket, "dumpStats")
        await trio.sleep(STATS_DEADLINE + 1)
        for method in ("ping", "getRouterRtpCapabilities", "dumpStats"):
            await ask(method)
        await ask("restartIce", transportId=scene.sending)
        await ask("createWebRtcTransport", forceTcp=False, producing=True, consuming=False)
        own = next((c for c in room.state.consumers.values() if c.peer_id == ada.id), None)
        if own is not None:
            await ask("pauseConsumer", consumerId=own.id)
            await ask("resumeConsumer", consumerId=own.id)
            await ask("setConsumerPreferredLayers", consumerId=own.id, spatialLayer=0)
            await ask("setConsumerPriority", consumerId=own.id, priority=2)
            await ask("requestConsumerKeyFrame", consumerId=own.id)
            await ask("setTransportMaxBitrate", maxBitrate=500_000)
        # The first one makes the room listen, which costs a command for each microphone once.
        await ada.socket.ask("subscribeSpeakers")
        await ask("subscribeSpeakers", audioLevels=True)
        await ask("unsubscribeSpeakers")
        await ask("setPinnedPeers", peerIds=[ada.id])
        await ask("moderator:setLastN", n=9)
        await ada.socket.ask("moderator:setLastN", n=None)
        await ask("raisedHand", raisedHand=True)
        await ask("changeNickname", nickname="Ada")
        await ask("chatMessage", message="hello")
        await ask("moderator:changeLanguage", peerId=ada.id, language="de")
        await ask("moderator:removeRole", peerId=ada.id, role=8)
        await ask("moderator:addRole", peerId=ada.id, role=8)
        await ask("moderator:joinRequestAccept", requestId="1")
        await ask(
            "produce",
            transportId=scene.sending,
            kind="audio",
            rtpParameters=audio_parameters(mid="own", ssrc=999, cname="c"),
            appData={"source": "mic"},
        )
        producer_id = [p.id for p in room.state.producers.values() if p.peer_id == ada.id][-1]
        for method in ("pauseProducer", "resumeProducer", "closeProducer"):
            await ask(method, producerId=producer_id)
        await ask("join", nickname="Ada", rtpCapabilities=CAPABILITIES)
        late = await scene.world.enter(room)
        await ask("moderator:kickPeer", peerId=late.id)
        return found


Measured = dict[str, dict[int, int]]


async def measure() -> tuple[Measured, Measured]:
    """The costs of each request by the number of peers with one stream in the room, and by the
    number of streams with ``PUBLISHERS`` peers.
    """
    by_peers: Measured = {}
    by_streams: Measured = {}
    for size in SIZES:
        for measured, (peers, producers) in (
            (by_peers, (size, 1)),
            (by_streams, (PUBLISHERS, size)),
        ):
            for method, count in (await costs(peers, producers)).items():
                measured.setdefault(method, {})[size] = count
    return by_peers, by_streams


def slope(counts: dict[int, int], low: int, high: int) -> float:
    """Instructions for each additional peer or stream."""
    return (counts[high] - counts[low]) / (high - low)


def table(by_peers: Measured, by_streams: Measured) -> list[str]:
    """The table as lines of Markdown."""
    lines = [
        "| request | one peer, one stream | each further peer | each further stream | grows with |",
        "|---|---|---|---|---|",
    ]
    for method, grows in GROWS.items():
        peers, streams = by_peers[method], by_streams[method]
        lines.append(
            f"| `{method}` | {peers[min(peers)]} | {slope(peers, 60, 200):.0f} "
            f"| {slope(streams, 60, 200):.0f} | {grows or 'nothing'} |"
        )
    return lines

"""The steps of tasks that a join takes in the whole server, by real sockets on loopback, and those
of Kolab's call before it.

A step is what a task does between two waits. Each costs Trio's scheduler as much as a hundred
bytecode instructions or more, and the first of a turn of the loop a system call, whatever the task
does in it.
"""

import contextlib
import sys
from collections.abc import AsyncIterator, Iterator
from types import FrameType

import attrs
import trio
import trio.testing
from support.peers import CAPABILITIES
from support.server import LocalServer, open_server
from support.transport import ClientTransport, RemoteParameters

from meet_trio.bench.dtls import Identity
from meet_trio.bench.light_peer import LightPeer, open_light_peer
from meet_trio.bench.rtp_parameters import audio_parameters

OTHERS = (2, 22)  # peers who are there already
PUBLISHERS = 2
_SETTLED = 0.05  # seconds without a step, after which nothing of a request is left to do
_SERVER = ("meet_trio.", "trio_websocket.", "hypercorn.")
_CLIENT = "meet_trio.bench."


@attrs.define(eq=False)
class Steps(trio.abc.Instrument):
    """The number of steps of the server's tasks, or of those whose names begin with ``names``."""

    names: str | tuple[str, ...] = _SERVER
    count: int = 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if task.name.startswith(self.names) and not task.name.startswith(_CLIENT):
            self.count += 1

    @contextlib.contextmanager
    def on(self) -> Iterator[None]:
        trio.lowlevel.add_instrument(self)
        try:
            yield
        finally:
            trio.lowlevel.remove_instrument(self)


# The code that a call of Kolab goes through, beside h11 and Trio, which its client here uses too.
_OF_A_CALL = ("/meet_trio/edge/", "/meet_trio/logs/", "/hypercorn/", "/starlette/")
_CALLS = 10


@contextlib.contextmanager
def counted_functions() -> Iterator[list[str]]:
    """The functions in ``_OF_A_CALL`` that this thread calls, and coroutines that it continues."""
    called: list[str] = []

    def note(frame: FrameType, event: str, argument: object) -> None:
        if event == "call" and any(part in frame.f_code.co_filename for part in _OF_A_CALL):
            called.append(frame.f_code.co_qualname)

    sys.setprofile(note)
    try:
        yield called
    finally:
        sys.setprofile(None)


async def measure_calls() -> tuple[int, int]:
    """The steps of one call of Kolab that invites a peer, from accepting its connection to closing
    it, and the functions that it calls. Of several calls the one with the least, because other
    tasks of the server have steps too.
    """
    async with open_server() as server:
        room = await server.api.create_room()
        found = []
        for _ in range(_CALLS):
            steps = Steps()
            await trio.testing.wait_all_tasks_blocked(_SETTLED)
            with steps.on(), counted_functions() as called:
                await server.api.create_peer(room, role=31)
                await trio.testing.wait_all_tasks_blocked(_SETTLED)
            found.append((steps.count, len(called)))
        return min(steps for steps, _ in found), min(functions for _, functions in found)


async def measure_steps() -> dict[int, int]:
    """The steps of a join in rooms with so many ``OTHERS``."""
    async with open_server() as server:
        return {others: await _steps_of_a_join(server, others) for others in OTHERS}


async def measure_connecting() -> int:
    """The least steps of making and connecting a transport, with ICE and DTLS."""
    async with open_server() as server:
        room = await server.api.create_room()
        return min([await _steps_of_connecting(server, room) for _ in range(4)])


async def _steps_of_connecting(server: LocalServer, room: str) -> int:
    steps, identity = Steps((*_SERVER, "trio_asyncio.")), Identity.generate()
    token = await server.api.create_peer(room, role=31)
    async with open_light_peer(token) as peer, trio.open_nursery() as nursery:
        await peer.request("join", {"nickname": "x", "rtpCapabilities": CAPABILITIES})
        await trio.testing.wait_all_tasks_blocked(_SETTLED)
        with steps.on():
            kind = {"forceTcp": False, "producing": False, "consuming": True}
            answer = await peer.request("createWebRtcTransport", kind)
            client = ClientTransport(identity, RemoteParameters.from_answer(answer))
            nursery.start_soon(client.run)
            own = {"algorithm": "sha-256", "value": identity.fingerprint}
            dtls = {"role": "client", "fingerprints": [own]}
            data = {"transportId": answer["id"], "dtlsParameters": dtls}
            await peer.request("connectWebRtcTransport", data)
            await client.connected.wait()
            await trio.testing.wait_all_tasks_blocked(_SETTLED)
        nursery.cancel_scope.cancel()
    return steps.count


async def _steps_of_a_join(server: LocalServer, others: int) -> int:
    steps = Steps()
    room = await server.api.create_room()
    async with contextlib.AsyncExitStack() as stack:
        for number in range(others):
            peer = await stack.enter_async_context(_joined(server, room))
            if number < PUBLISHERS:
                await _publish(peer)
        await trio.testing.wait_all_tasks_blocked(_SETTLED)
        with steps.on():
            await stack.enter_async_context(_joined(server, room))
            await trio.testing.wait_all_tasks_blocked(_SETTLED)
    return steps.count


@contextlib.asynccontextmanager
async def _joined(server: LocalServer, room: str) -> AsyncIterator[LightPeer]:
    """A viewer who has joined, and has a transport to receive."""
    token = await server.api.create_peer(room, role=31)
    async with open_light_peer(token) as peer:
        await peer.request("join", {"nickname": "x", "rtpCapabilities": CAPABILITIES})
        await _transport(peer, producing=False)
        yield peer


async def _publish(peer: LightPeer) -> None:
    await peer.request(
        "produce",
        {
            "transportId": await _transport(peer, producing=True),
            "kind": "audio",
            "rtpParameters": audio_parameters(mid="1", ssrc=1000, cname="c"),
            "appData": {"source": "mic"},
        },
    )


async def _transport(peer: LightPeer, *, producing: bool) -> str:
    kind = {"forceTcp": False, "producing": producing, "consuming": not producing}
    return str((await peer.request("createWebRtcTransport", kind))["id"])

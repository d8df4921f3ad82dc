"""The environment of attacks: the server, the meeting that they disturb, a large room
of their own.
"""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import attrs
import trio
from support.api import MeetApi
from support.attacks import Target
from support.participant import open_participant
from support.peers import CAPABILITIES, PARTICIPANT

from meet_trio.bench.dtls import Identity
from meet_trio.bench.light_peer import LightPeer, open_light_peer
from meet_trio.bench.rtp_parameters import audio_parameters
from meet_trio.room import Role

LARGE = 60

Press = Callable[[float], Awaitable[dict[str, float] | None]]
"""Attacks for a number of seconds; returns figures for the test."""
Attack = Callable[["Field"], contextlib.AbstractAsyncContextManager[Press]]


class Attacks(dict[str, Attack]):
    """By their names."""

    def add(self, press: Callable[["Field"], AsyncIterator[Press]]) -> Attack:
        """Decorate a generator of one value: it becomes the context manager of an attack."""
        made = self[press.__name__] = contextlib.asynccontextmanager(press)
        return made


@attrs.define(eq=False)
class Guest:
    """A light peer in a room."""

    peer: LightPeer
    receiving: str
    """Its transport's id."""
    sending: str | None = None
    producer: str | None = None


@attrs.define(eq=False)
class Field:
    """``room`` is the honest meeting. ``nursery`` lives as long as the process."""

    nursery: trio.Nursery
    target: Target
    room: str
    identity: Identity = attrs.field(factory=Identity.generate)
    _sixty: list[Guest] = attrs.field(factory=list)
    sixty_room: str = ""

    @property
    def api(self) -> MeetApi:
        return self.target.api

    async def invite(self, room: str | None = None, role: Role = PARTICIPANT) -> str:
        """The token URL of a new peer of ``room``, by default of the meeting."""
        return await self.api.create_peer(room or self.room, role)

    async def sixty(self) -> list[Guest]:
        """A room of sixty peers who announce a microphone each; made once, and kept."""
        if not self._sixty:
            self.sixty_room = await self.api.create_room()
            await self.nursery.start(self._keep_sixty)
        return self._sixty

    async def _keep_sixty(self, *, task_status: trio.TaskStatus[None]) -> None:
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(LARGE):
                guest = await enter(stack, await self.invite(self.sixty_room), speaking=True)
                self._sixty.append(guest)
            while any(g.peer.requests["newConsumer"] < LARGE - 1 for g in self._sixty):
                await trio.sleep(0.05)
            task_status.started()
            await trio.sleep_forever()


async def enter(stack: contextlib.AsyncExitStack, url: str, *, speaking: bool = False) -> Guest:
    """A light peer that has joined and can receive; with ``speaking`` it also sends."""
    peer = await stack.enter_async_context(open_light_peer(url))
    await peer.request("join", {"nickname": "x", "rtpCapabilities": CAPABILITIES})
    kind = {"forceTcp": False, "producing": False, "consuming": True}
    guest = Guest(peer, (await peer.request("createWebRtcTransport", kind))["id"])
    if speaking:
        kind = {"forceTcp": False, "producing": True, "consuming": False}
        guest.sending = (await peer.request("createWebRtcTransport", kind))["id"]
        guest.producer = (await peer.request("produce", microphone(guest.sending)))["id"]
    return guest


def microphone(transport: str | None, mid: str = "0", ssrc: int = 1000) -> dict[str, Any]:
    """The data of a ``produce`` request."""
    return {
        "transportId": transport,
        "kind": "audio",
        "rtpParameters": audio_parameters(mid, ssrc=ssrc, cname="x"),
        "appData": {"source": "mic"},
    }


@contextlib.asynccontextmanager
async def participant(
    field: Field, room: str | None = None, *, send: bool = True, receive: bool = True
) -> Any:
    """A participant with real media, joined and connected."""
    async with open_participant(await field.invite(room), identity=field.identity) as person:
        await person.join("Mallory")
        await person.connect(send=send, receive=receive)
        yield person


async def until(seconds: float, act: Callable[[], Awaitable[object]], pause: float = 0) -> int:
    """Call ``act`` again and again for ``seconds``; returns the number of calls."""
    count, end = 0, trio.current_time() + seconds
    while trio.current_time() < end:
        await act()
        count += 1
        await trio.sleep(pause)
    return count

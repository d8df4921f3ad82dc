"""Honest people as a process of their own, who measure how long things take: ``python -m
support.honest``, driven by ``helper.Helper``.

    {"come": {"port", "token", "rooms", "size"}}  → {"here": number}
    {"mark": true}                                → {"here": number}
    {"tell": true}                                → {"here", "request", "chat", "api", "failed"}

They sit in rooms of ``size``. Between ``mark`` and ``tell`` each sends ``ping`` at times, and chat
to its room; all of them together do so ``PINGS`` and ``CHATS`` times a second. A client with the
API's token calls its ``ping`` over a new connection each time. ``request``, ``chat`` and ``api``
are the seconds that each of these took. No client waits for another client's answer, so a server
that stands still delays many requests and not just one. A chat message counts once for each peer
who gets it. ``failed`` are API calls without an answer, or with another one.
"""

import contextlib
import random
import re
import time
from typing import Any

import attrs
import trio
from support.api import ApiError, MeetApi
from support.helper import conversation
from support.peers import CAPABILITIES, PARTICIPANT

from meet_trio.bench.light_peer import LightPeer, open_light_peer

PINGS = 120.0  # a second, over all people
CHATS = 12.0
CALLS = 20.0
PATIENCE = 20.0  # seconds, for steps that began before "tell"
JOINING = 30  # at the same time
_CHAT = re.compile(rb'"message":"now (\d+) ([0-9.]+)"')


@attrs.define(eq=False)
class Gauge:
    """The durations of steps that began in the measured stretch."""

    stretch: int = 0
    open: bool = False
    took: list[float] = attrs.field(factory=list)
    begun: dict[int, float] = attrs.field(factory=dict)
    _next: int = 0

    def mark(self) -> None:
        self.stretch += 1
        self.open = True
        self.took.clear()
        self.begun.clear()

    def begin(self) -> int:
        """Start a step; returns the number to pass to ``end``."""
        self._next += 1
        if self.open:
            self.begun[self._next] = time.monotonic()
        return self._next

    def end(self, number: int) -> None:
        began = self.begun.pop(number, None)
        if began is not None:
            self.took.append(time.monotonic() - began)

    async def tell(self) -> list[float]:
        """The durations in seconds; for a step that has not ended in ``PATIENCE``, the
        time so far.
        """
        self.open = False
        with trio.move_on_after(PATIENCE):
            while self.begun:
                await trio.sleep(0.01)
        now = time.monotonic()
        return self.took + [now - began for began in self.begun.values()]


@attrs.define(eq=False)
class People:
    nursery: trio.Nursery
    request: Gauge = attrs.field(factory=Gauge)
    api: Gauge = attrs.field(factory=Gauge)
    here: int = 0
    failed: int = 0
    chat: list[float] = attrs.field(factory=list)
    said: int = 0
    _measured: bool = False
    _stretch: int = 0

    async def answer(self, question: dict[str, Any]) -> object:
        match question:
            case {"come": {"port": port, "token": token, "rooms": rooms, "size": size}}:
                await self.come(MeetApi("127.0.0.1", port, token), rooms, size)
            case {"mark": _}:
                self.request.mark()
                self.api.mark()
                self.failed = self.said = 0
                self.chat.clear()
                self._stretch += 1
                self._measured = True
            case {"tell": _}:
                return await self.tell()
        return {"here": self.here}

    async def tell(self) -> dict[str, object]:
        self._measured = False
        request, api = await self.request.tell(), await self.api.tell()
        with trio.move_on_after(PATIENCE):
            while len(self.chat) < self.said:
                await trio.sleep(0.01)
        chat = self.chat + [PATIENCE] * (self.said - len(self.chat))
        return {
            "here": self.here,
            "request": request,
            "chat": chat,
            "api": api,
            "failed": self.failed,
        }

    async def come(self, api: MeetApi, rooms: int, size: int) -> None:
        limit = trio.CapacityLimiter(JOINING)
        wanted = self.here + rooms * size
        for _ in range(rooms):
            room_id = await api.create_room()
            for _ in range(size):
                url = await api.create_peer(room_id, PARTICIPANT)
                self.nursery.start_soon(self._live, url, limit, size)
        while self.here < wanted:
            await trio.sleep(0.02)
        self.nursery.start_soon(self._call, api)

    async def _live(self, url: str, limit: trio.CapacityLimiter, size: int) -> None:
        async with contextlib.AsyncExitStack() as stack:
            async with limit:
                peer = await stack.enter_async_context(open_light_peer(url))
                peer.on_notice = self._hear
                await peer.request("join", {"nickname": "x", "rtpCapabilities": CAPABILITIES})
            self.here += 1
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._ping, peer)
                    nursery.start_soon(self._chat, peer, size)
                    await peer.closed.wait()
                    nursery.cancel_scope.cancel()
            except* trio.BrokenResourceError:
                pass
            finally:
                self.here -= 1

    async def _ping(self, peer: LightPeer) -> None:
        while True:
            await trio.sleep(self.here / PINGS * random.uniform(0.5, 1.5))
            if self._measured:
                number = self.request.begin()
                await peer.request("ping")
                self.request.end(number)

    async def _chat(self, peer: LightPeer, size: int) -> None:
        while True:
            await trio.sleep(self.here / CHATS * random.uniform(0, 2))
            if self._measured:
                self.said += size
                said = f"now {self._stretch} {time.monotonic()}"
                await peer.request("chatMessage", {"message": said})

    def _hear(self, method: str, frame: bytes) -> None:
        found = _CHAT.search(frame) if method == "chatMessage" else None
        if found is not None and int(found[1]) == self._stretch:
            self.chat.append(time.monotonic() - float(found[2]))

    async def _call(self, api: MeetApi) -> None:
        while True:
            if self._measured:
                self.nursery.start_soon(self._call_once, api)
            await trio.sleep(1 / CALLS)

    async def _call_once(self, api: MeetApi) -> None:
        number = self.api.begin()
        try:
            path, headers = f"{api.prefix}/ping", {"X-Auth-Token": api.token}
            if await api.fetch("GET", path, headers) != b"PONG":
                self.failed += 1
        except (OSError, trio.BrokenResourceError, ApiError):
            self.failed += 1
        self.api.end(number)


async def _main() -> None:
    async with trio.open_nursery() as nursery:
        await conversation(People(nursery).answer)
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(_main)

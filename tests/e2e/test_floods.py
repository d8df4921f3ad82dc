"""Floods of datagrams at the media port of a server with a meeting in it: the engine drops and
counts them, Python gets next to no events, and the meeting goes on.
"""

import contextlib
import random
import socket
from collections.abc import AsyncIterator, Callable

import attrs
import pytest
import trio
from support.attacks import dtls_hello, stun_request
from support.meeting import open_meeting
from support.participant import Participant
from support.server import Counts, LocalServer, open_server

from meet_trio.engine import EngineEvent
from meet_trio.media.engines import EngineHost

COUNT = 20_000
SOURCES = 20
TRIES = 3
MOST_EVENTS = 1000  # of 20,000 datagrams; the handshake of a transport may get 50 in a second


@attrs.define
class Scene:
    """A server with two people who hear and see each other; ``heard`` holds the events that reached
    Python.
    """

    server: LocalServer
    people: list[Participant]
    heard: list[EngineEvent]

    @property
    def victim(self) -> Participant:
        return self.people[0]

    @property
    def address(self) -> tuple[str, int]:
        assert self.victim.send is not None
        return self.victim.send.transport.remote.address

    async def counters(self) -> dict[str, int]:
        stats = await self.server.running.hosts[0].stats()
        counters = stats["engine"]
        assert isinstance(counters, dict)
        return counters

    async def check(self) -> None:
        """Both still get frames of each other."""
        for person in self.people:
            for consumer in person.consumers.values():
                await person.wait_frames(consumer, 2)


@contextlib.asynccontextmanager
async def scene(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    heard: list[EngineEvent] = []
    real = EngineHost._dispatch

    def dispatch(host: EngineHost, event: EngineEvent) -> None:
        heard.append(event)
        real(host, event)

    monkeypatch.setattr(EngineHost, "_dispatch", dispatch)
    with trio.fail_after(90):
        async with open_server() as server:
            room_id = await server.api.create_room()
            async with open_meeting(server.api, room_id, interval=0.1, fps=5) as people:
                yield Scene(server, people, heard)


async def flood(scene: Scene, datagram: Callable[[int], bytes], *, own: bool = False) -> None:
    """Send from addresses unknown to the engine, or (``own``) from the victim's own transport."""
    address = scene.address
    assert scene.victim.send is not None
    transport = scene.victim.send.transport

    def send() -> None:
        with contextlib.ExitStack() as stack:
            sockets = [
                stack.enter_context(socket.socket(type=socket.SOCK_DGRAM)) for _ in range(SOURCES)
            ]
            for index in range(COUNT):
                with contextlib.suppress(OSError):
                    if own:
                        transport._socket.send(datagram(index))
                    else:
                        sockets[index % SOURCES].sendto(datagram(index), address)

    async with trio.open_nursery() as nursery:
        over = trio.Event()

        async def go_on() -> None:
            while not over.is_set():
                await scene.check()

        nursery.start_soon(go_on)
        await trio.to_thread.run_sync(send)
        over.set()


async def run_flood(
    scene: Scene, counter: str, datagram: Callable[[int], bytes], *, own: bool = False
) -> None:
    """The engine's ``counter`` must rise by a good part of the flood. The kernel may drop the rest,
    and nearly all of it if the engine has no CPU at that moment: then the flood is repeated.
    """
    counts = await scene.server.counts()
    for _ in range(TRIES):
        before = await scene.counters()
        scene.heard.clear()
        await flood(scene, datagram, own=own)
        await scene.check()
        after = await scene.counters()
        assert len(scene.heard) < MOST_EVENTS, len(scene.heard)
        if after[counter] - before[counter] > COUNT / 10:
            break
    else:
        pytest.fail(f"{counter}: {before}, {after}")
    # The counts before may include a call of the API that was just ending.
    with trio.fail_after(10):
        while not _within(await scene.server.counts(), counts):
            await trio.sleep(0.05)


def _within(after: Counts, before: Counts) -> bool:
    return all(a <= b for a, b in zip(attrs.astuple(after), attrs.astuple(before), strict=True))


async def test_stun(monkeypatch: pytest.MonkeyPatch) -> None:
    async with scene(monkeypatch) as where:
        assert where.victim.send is not None
        ufrag = where.victim.send.transport.remote.ufrag
        await run_flood(where, "dropped_stun_unknown_ufrag", lambda i: stun_request(f"x{i:x}:y"))
        await run_flood(where, "dropped_stun_unauthentic", lambda i: stun_request(f"{ufrag}:y"))


async def test_dtls(monkeypatch: pytest.MonkeyPatch) -> None:
    async with scene(monkeypatch) as where:
        await run_flood(where, "dropped_unknown_address", lambda i: dtls_hello())
        # Datagrams from the address of a transport go to its handshake, at a bounded rate.
        await run_flood(where, "dropped_dtls_rate", lambda i: dtls_hello(), own=True)


async def test_anything_else(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = random.Random(1)
    async with scene(monkeypatch) as where:
        for first, counter in [(0x50, "dropped_unknown_kind"), (0x80, "dropped_unknown_address")]:
            await run_flood(
                where,
                counter,
                lambda i, first=first: bytes([first]) + noise.randbytes(i % 1300),  # type: ignore[misc]
            )
        # with the victim's address, but without its keys
        rtp = b"\x80\x60" + bytes(10)
        await run_flood(
            where, "dropped_rtp_unauthentic", lambda i: rtp + noise.randbytes(100), own=True
        )

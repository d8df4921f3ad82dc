"""Limits never hurt honest people: the largest crowds from one address, directly or through a
proxy, with all settings at their defaults.
"""

import contextlib
import json
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import attrs
import pytest
import trio
from support.api import ApiError, MeetApi
from support.daemon import Daemon, api_of, start_daemon
from support.machine import Stopwatch
from support.nginx import open_nginx
from support.peers import CAPABILITIES, PARTICIPANT

from meet_trio.bench.light_peer import HandshakeRefused, LightPeer, open_light_peer
from meet_trio.bench.rtp_parameters import audio_parameters

JOINED = 10  # seconds, for two hundred
PATIENCE = 60  # seconds, for steps without a promised time


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    running = start_daemon()
    yield running
    stop(running)


def stop(daemon: Daemon) -> None:
    code, _ = daemon.stop(deadline=10)  # a thousand goodbyes take their time on a busy machine
    # Tests receive media on loopback alone, which a server warns about.
    log = "".join(line for line in daemon.log if "media is on loopback alone" not in line)
    assert code == 0, log[-5000:]
    for word in ("Traceback", "WARNING", "ERROR", "too many"):
        assert word not in log, log[-5000:]


@attrs.define
class Crowd:
    """Peers in one process. They create transports and send no media."""

    nursery: trio.Nursery
    port: int | None
    headers: dict[str, str]
    peers: list[LightPeer] = attrs.field(factory=list)
    stay: trio.Event = attrs.field(factory=trio.Event)

    async def come(self, urls: list[str], *, speaking: bool = False) -> None:
        """All connect at once. Returns when each has joined and has both of its transports. With
        ``speaking`` each also announces a microphone.
        """
        wanted = len(self.peers) + len(urls)
        for index, url in enumerate(urls):
            self.nursery.start_soon(self._live, url, f"Guest {index}", speaking)
        while len(self.peers) < wanted:
            await trio.sleep(0.02)

    async def _live(self, url: str, name: str, speaking: bool) -> None:
        async with open_light_peer(url, port=self.port, headers=self.headers) as peer:
            await peer.request("getRouterRtpCapabilities")
            await peer.request("join", {"nickname": name, "rtpCapabilities": CAPABILITIES})
            for producing in (True,) if speaking else (True, False):
                kind = {"forceTcp": False, "producing": producing, "consuming": not producing}
                made = await peer.request("createWebRtcTransport", kind)
                if speaking:
                    microphone = {
                        "transportId": made["id"],
                        "kind": "audio",
                        "rtpParameters": audio_parameters(mid="0", ssrc=1000, cname=name),
                        "appData": {"source": "mic"},
                    }
                    await peer.request("produce", microphone)
            self.peers.append(peer)
            await self.stay.wait()

    async def all_told(self, method: str, count: int) -> None:
        """Wait until each peer has had ``count`` notices of ``method``, with any others
        in between.
        """
        while any(peer.notices[method] < count for peer in self.peers):
            await trio.sleep(0.02)


@contextlib.asynccontextmanager
async def crowd(
    port: int | None = None, headers: dict[str, str] | None = None
) -> AsyncIterator[Crowd]:
    async with trio.open_nursery() as nursery:
        yield Crowd(nursery, port, headers or {})
        nursery.cancel_scope.cancel()


async def invite(api: MeetApi, count: int) -> list[str]:
    """``count`` tokens for one new room."""
    room_id = await api.create_room()
    return [await api.create_peer(room_id, PARTICIPANT) for _ in range(count)]


async def check_rooms(api: MeetApi, sizes: list[int]) -> None:
    stats = await api.call("GET", "/stats")
    assert [len(peers) for peers in stats.values()] == sizes
    assert all(len(p["transports"]) == 2 for peers in stats.values() for p in peers.values())


async def come_in_time(people: Crowd, urls: list[str], daemon: Daemon) -> None:
    """All join within ten seconds, without the time that other load on the machine takes."""
    watch = Stopwatch.start(daemon.process.pid, os.getpid())
    await people.come(urls)
    print(f"{len(urls)} joined in {watch.seconds:.1f} s")
    assert watch.seconds < JOINED


async def test_two_hundred_of_one_address_join_within_ten_seconds(daemon: Daemon) -> None:
    api = api_of(daemon)
    async with crowd() as people:
        with trio.fail_after(PATIENCE):
            urls = await invite(api, 200)
            await come_in_time(people, urls, daemon)
            await check_rooms(api, [200])
            # one message reaches all
            await people.peers[0].request("chatMessage", {"message": "hello"})
            await people.all_told("chatMessage", 1)


async def test_through_a_proxy_that_keeps_its_connections(tmp_path: Path) -> None:
    """The page, the API and two hundred websockets, over connections that have carried requests."""
    daemon = start_daemon("--http-trusted-proxies", "127.0.0.1")
    try:
        with open_nginx(daemon.port, tmp_path) as port:
            api = attrs.evolve(api_of(daemon), port=port)
            async with crowd(port) as people:
                with trio.fail_after(PATIENCE):
                    page = await api.fetch("GET", "/", {})
                    assert b"<html" in page
                    urls = await invite(api, 200)
                    await come_in_time(people, urls, daemon)
                    await check_rooms(api, [200])
                    assert (await api.call("GET", "/health"))["success"] is True
    finally:
        stop(daemon)


async def test_a_proxys_clients_are_told_apart(tmp_path: Path) -> None:
    """A client that asks too often is refused by its own address; the proxy's other clients are
    not.
    """
    daemon = start_daemon(
        "--http-trusted-proxies", "127.0.0.1", "--http-request-burst", "5",
        "--http-requests-per-second", "0.1",
    )  # fmt: skip
    try:
        with open_nginx(daemon.port, tmp_path) as port, trio.fail_after(PATIENCE):
            api = attrs.evolve(api_of(daemon), port=port)
            straight = api_of(daemon)
            # nginx appends 127.0.0.1, a trusted proxy, to this header.
            bad, good = {"X-Forwarded-For": "192.0.2.1"}, {"X-Forwarded-For": "192.0.2.2"}
            for _ in range(5):
                assert await api.fetch("GET", "/ping", bad) == b"PONG"
            with pytest.raises(ApiError) as refused:
                await api.fetch("GET", "/ping", bad)
            assert refused.value.status == 429
            assert "too many requests" in json.loads(refused.value.body)["error"]
            [url] = await invite(api, 1)
            with pytest.raises(HandshakeRefused) as told:
                async with open_light_peer(url[:-1], port=port, headers=bad):
                    pass
            assert told.value.status == 429
            # other clients, and the client with the right token
            assert await api.fetch("GET", "/ping", good) == b"PONG"
            assert await straight.fetch("GET", "/ping", {}) == b"PONG"
            async with crowd(port, bad) as people:
                await people.come([url])
            assert await api.create_room()
    finally:
        daemon.stop()


async def test_a_room_of_five_hundred(daemon: Daemon) -> None:
    api = api_of(daemon)
    async with crowd() as people:
        with trio.fail_after(PATIENCE):
            await people.come(await invite(api, 500))
            await check_rooms(api, [500])
            await people.peers[0].request("raisedHand", {"raisedHand": True})
            await people.all_told("changeRaisedHand", 1)


async def test_a_thousand_in_all(daemon: Daemon) -> None:
    api = api_of(daemon)
    async with crowd() as people:
        with trio.fail_after(PATIENCE):
            urls = [url for _ in range(20) for url in await invite(api, 50)]
            await people.come(urls)
            await check_rooms(api, [50] * 20)
            for peer in people.peers:
                await peer.request("ping")


async def test_one_who_hears_four_hundred(daemon: Daemon) -> None:
    """The server offers 400 consumers at once. Answers are not requests, and are not limited."""
    api = api_of(daemon)
    async with crowd() as people:
        with trio.fail_after(PATIENCE):
            *speakers, listener = await invite(api, 401)
            await people.come(speakers, speaking=True)
            await people.come([listener])
            one = people.peers[-1]
            while one.requests["newConsumer"] < 400:
                await trio.sleep(0.05)
            await one.request("ping")  # is answered after all of its answers are handled
            assert not one.closed.is_set()
            stats = await api.call("GET", "/stats")
            [peers] = stats.values()
            assert max(len(peer["consumers"]) for peer in peers.values()) == 400

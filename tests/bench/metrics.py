"""Measures the cost of the metrics: ``PYTHONPATH=tests python tests/bench/metrics.py``.

A server of its own has 50 rooms of four peers, with about 900 consumers, and no media. The program
prints the server's CPU time for a scrape, all threads together, and the share of a core that one
scrape a second takes. The scrapes come faster than that, and each span of them is compared with a
span of rest just before, so that the difference stands out.
"""

import argparse
import contextlib
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import httpx
import trio
from checkouts import open_daemon
from cpu_time import cpu_time
from support.api import MeetApi
from support.daemon import Daemon, api_of
from support.peers import CAPABILITIES

from meet_trio.bench.light_peer import LightPeer, open_light_peer
from meet_trio.bench.rtp_parameters import audio_parameters, simulcast_encodings, video_parameters

ROOMS = 50
PEERS = 4
TALKERS = 2  # of a room's peers also send audio
SPANS = 9
SCRAPES = 20  # in a span
PER_SECOND = 20.0
ASKED = (
    ("a page without content", "ping", "*/*"),
    ("metrics as text", "metrics", "text/plain"),
    ("metrics as OpenMetrics", "metrics", "application/openmetrics-text;version=1.0.0"),
)


async def publish(peer: LightPeer, *, talks: bool) -> None:
    await peer.request("join", {"nickname": "x", "rtpCapabilities": CAPABILITIES})
    made = {}
    for producing in (True, False):
        data = {"forceTcp": False, "producing": producing, "consuming": not producing}
        made[producing] = (await peer.request("createWebRtcTransport", data))["id"]
    video = video_parameters(mid="1", cname="c", encodings=simulcast_encodings(3))
    streams = [("video", "webcam", video)]
    if talks:
        streams.append(("audio", "mic", audio_parameters(mid="0", ssrc=1000, cname="c")))
    for kind, source, parameters in streams:
        stream = {"transportId": made[True], "kind": kind, "rtpParameters": parameters}
        await peer.request("produce", stream | {"appData": {"source": source}})


@contextlib.asynccontextmanager
async def meetings(api: MeetApi) -> AsyncIterator[None]:
    over = trio.Event()

    async def live(url: str, talks: bool, *, task_status: trio.TaskStatus[None]) -> None:
        async with open_light_peer(url) as peer:
            await publish(peer, talks=talks)
            task_status.started()
            await over.wait()

    async with trio.open_nursery() as nursery:
        for _ in range(ROOMS):
            room_id = await api.create_room()
            for number in range(PEERS):
                url = await api.create_peer(room_id, 3)
                await nursery.start(live, url, number < TALKERS)
        yield
        over.set()


async def bench(daemon: Daemon, api: MeetApi) -> None:
    url = f"{daemon.url}metrics"
    async with meetings(api), httpx.AsyncClient(headers={"Authorization": "Bearer t"}) as http:
        text = (await http.get(url)).text
        consumers = sum(
            float(line.split()[1])
            for line in text.splitlines()
            if line.startswith("meet_trio_consumers{")
        )
        print(f"{ROOMS} rooms, {ROOMS * PEERS} peers, {consumers:.0f} consumers")
        await trio.sleep(3)
        costs: dict[str, list[float]] = {name: [] for name, _, _ in ASKED}
        for _ in range(SPANS):
            rest = await share(daemon, trio.lowlevel.checkpoint)
            for name, path, accept in ASKED:

                async def ask(path: str = path, accept: str = accept) -> None:
                    answer = await http.get(daemon.url + path, headers={"Accept": accept})
                    answer.raise_for_status()

                costs[name].append((await share(daemon, ask) - rest) / PER_SECOND)
        for name, each in costs.items():
            cost = statistics.median(each)
            print(f"{name:<24} {1000 * cost:.1f} ms; once a second {100 * cost:.2f} % of a core")


async def share(daemon: Daemon, ask: Callable[[], Awaitable[None]]) -> float:
    """The share of a core that the server takes while ``ask`` is called ``PER_SECOND``."""
    used, start = cpu_time(daemon.process.pid), time.monotonic()
    for number in range(SCRAPES):
        await ask()
        await trio.sleep(max(0.0, start + (number + 1) / PER_SECOND - time.monotonic()))
    return (cpu_time(daemon.process.pid) - used) / (time.monotonic() - start)


def main() -> None:
    argparse.ArgumentParser(description="What the metrics cost.").parse_args()
    with open_daemon("--metrics-token", "t", "--process-log-level", "warning") as daemon:
        trio.run(bench, daemon, api_of(daemon))


if __name__ == "__main__":
    main()

"""Measures the cost of the metrics: ``PYTHONPATH=tests python tests/bench/metrics.py``.

A server of its own has 50 rooms of four peers, with about 900 consumers, and no media. The program
prints the server's CPU time for a scrape, all threads together, and the share of a core that one
scrape a second takes. The scrapes come faster than that and are compared with the server at rest,
so that the difference stands out. It also prints the longest turns of the loop meanwhile.
"""

import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import trio
from support.api import MeetApi
from support.daemon import Daemon, api_of, start_daemon
from support.light_peer import LightPeer, open_light_peer
from support.peers import CAPABILITIES
from support.rtp_parameters import audio_parameters, simulcast_encodings, video_parameters

ROOMS = 50
PEERS = 4
TALKERS = 2  # of a room's peers also send audio
SCRAPES = 200
PER_SECOND = 20.0
ACCEPT = {"plain text": "text/plain", "OpenMetrics": "application/openmetrics-text;version=1.0.0"}


def cpu(daemon: Daemon) -> float:
    """CPU time of all threads so far, in seconds."""
    tasks = Path(f"/proc/{daemon.process.pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


async def publish(peer: LightPeer, *, talks: bool) -> None:
    await peer.request("join", {"nickname": "x", "rtpCapabilities": CAPABILITIES})
    made = {}
    for producing in (True, False):
        kind = {"forceTcp": False, "producing": producing, "consuming": not producing}
        made[producing] = (await peer.request("createWebRtcTransport", kind))["id"]
    video = video_parameters(mid="1", cname="c", encodings=simulcast_encodings(3))
    streams = [("video", "webcam", video)]
    if talks:
        streams.append(("audio", "mic", audio_parameters(mid="0", ssrc=1000, cname="c")))
    for kind, source, parameters in streams:
        data = {"transportId": made[True], "kind": kind, "rtpParameters": parameters}
        await peer.request("produce", data | {"appData": {"source": source}})


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
        for name, accept in ACCEPT.items():
            spent = [0.0, 0.0]
            before = await api.call("GET", "/lag")
            for scrapes in (False, True):
                used, start = cpu(daemon), time.monotonic()
                for number in range(SCRAPES):
                    if scrapes:
                        answer = await http.get(url, headers={"Accept": accept})
                        assert answer.status_code == 200
                    due = start + (number + 1) / PER_SECOND
                    await trio.sleep(max(0.0, due - time.monotonic()))
                spent[scrapes] = (cpu(daemon) - used) / (time.monotonic() - start)
            rate = SCRAPES / (SCRAPES / PER_SECOND)
            each = (spent[True] - spent[False]) / rate
            after = await api.call("GET", "/lag")
            longer = [
                f"{b - a} turns up to {bound * 1000:g} ms"
                for bound, a, b in zip(
                    after["bounds"],
                    before["worked"]["counts"],
                    after["worked"]["counts"],
                    strict=False,
                )
                if b > a
            ]
            print(
                f"{name}: {len(answer.content)} bytes, {1000 * each:.2f} ms of CPU for a scrape; "
                f"one a second: {100 * each:.2f} % of a core; {', '.join(longer)}",
                flush=True,
            )


def main() -> None:
    daemon = start_daemon("--metrics-token", "t", "--process-log-level", "warning")
    try:
        trio.run(bench, daemon, api_of(daemon))
    finally:
        daemon.stop(deadline=20)


if __name__ == "__main__":
    main()

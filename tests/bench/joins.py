"""Measures the CPU time of a join: ``PYTHONPATH=tests python tests/bench/joins.py [CHECKOUT …]``.

A room has four publishers of one video each, and 10 to 100 peers in all. Viewers come one after
the other and leave again: invitation, websocket, ``join``, a transport with its DTLS handshake,
and four consumers. The program prints the server's CPU time for one of them, all threads together,
from the invitation until nothing happens any more: the median, and the least. Nobody sends media.

With checkouts (each set up, so with a ``.venv``) their servers take turns, viewer by viewer, so
that what else the machine does hits all of them alike.
"""

import argparse
import contextlib
import statistics
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import attrs
import trio
from checkouts import HERE, name_of, open_daemon
from cpu_time import cpu_time
from support.api import MeetApi
from support.daemon import Daemon, api_of
from support.participant import open_participant
from support.peers import CAPABILITIES

from meet_trio.bench.light_peer import LightPeer, open_light_peer
from meet_trio.bench.rtp_parameters import simulcast_encodings, video_parameters

SIZES = (10, 25, 50, 100)  # peers in the room
PUBLISHERS = 4
VIEWERS = 12  # measured at each size
REST = 0.3  # seconds until nothing of a join is left to do


@attrs.define(eq=False)
class Server:
    """A server with one room. ``members`` ends when the peers of the room are to leave."""

    name: str
    daemon: Daemon
    api: MeetApi
    room: str
    size: int = 0

    def cpu(self) -> float:
        """CPU time of all threads so far, in seconds."""
        return cpu_time(self.daemon.process.pid)

    async def member(self, number: int, *, task_status: trio.TaskStatus[None]) -> None:
        """A peer without media; the first ones publish."""
        token = await self.api.create_peer(self.room, role=31)
        async with open_light_peer(token) as peer:
            await peer.request("join", {"nickname": "x", "rtpCapabilities": CAPABILITIES})
            made = await make_transport(peer, producing=False)
            assert made
            if number < PUBLISHERS:
                parameters = video_parameters(mid="1", cname="c", encodings=simulcast_encodings(3))
                data = {
                    "transportId": await make_transport(peer, producing=True),
                    "kind": "video",
                    "rtpParameters": parameters,
                    "appData": {"source": "webcam"},
                }
                await peer.request("produce", data)
            task_status.started()
            await trio.sleep_forever()

    async def view(self) -> float:
        """One viewer comes and leaves. Returns the CPU time until it sees everybody."""
        before = self.cpu()
        token = await self.api.create_peer(self.room, role=31)
        async with open_participant(token) as viewer:
            await viewer.join("viewer")
            await viewer.connect(send=False)
            await viewer.wait_consumers("video", PUBLISHERS)
            await trio.sleep(REST)
            used = self.cpu() - before
        await trio.sleep(REST)
        return used


async def make_transport(peer: LightPeer, *, producing: bool) -> str:
    kind = {"forceTcp": False, "producing": producing, "consuming": not producing}
    answer: str = (await peer.request("createWebRtcTransport", kind))["id"]
    return answer


@contextlib.asynccontextmanager
async def open_server(checkout: Path = HERE, **environ: str) -> AsyncIterator[Server]:
    with open_daemon(checkout=checkout, **environ) as daemon:
        api = api_of(daemon)
        yield Server(name_of(checkout), daemon, api, await api.create_room())


async def compare(checkouts: Sequence[Path], sizes: Sequence[int], viewers: int) -> None:
    async with contextlib.AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(open_server(each)) for each in checkouts]
        members = await stack.enter_async_context(trio.open_nursery())
        print(f"{'peers':>6}" + "".join(f"{server.name:>20}" for server in servers))
        for size in sizes:
            for server in servers:
                while server.size < size:
                    await members.start(server.member, server.size)
                    server.size += 1
            await trio.sleep(1)
            used: list[list[float]] = [[] for _ in servers]
            for _ in range(viewers):
                for server, times in zip(servers, used, strict=True):
                    times.append(1e3 * await server.view())
            cells = [f"{statistics.median(t):.1f} ms ({min(t):.1f})" for t in used]
            print(f"{size:>6}" + "".join(f"{cell:>20}" for cell in cells), flush=True)
        members.cancel_scope.cancel()


def main() -> None:
    parser = argparse.ArgumentParser(description="The CPU time of a join.")
    parser.add_argument("checkouts", nargs="*", type=Path, default=[HERE])
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="peers in the room")
    parser.add_argument("--viewers", type=int, default=VIEWERS, help="measured at each size")
    given = parser.parse_args()
    trio.run(compare, given.checkouts, given.sizes, given.viewers)


if __name__ == "__main__":
    main()

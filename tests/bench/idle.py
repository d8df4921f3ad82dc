"""Measures what a peer costs that does nothing: ``PYTHONPATH=tests python tests/bench/idle.py
[CHECKOUT …]``.

Peers of rooms of 50 connect a websocket and join. Depending on ``--kinds`` that is all
(``signaling``), or each makes two WebRTC transports (``transports``), and connects them by ICE and
DTLS (``connected``). Nobody sends media. The program prints what the server's resident memory has
grown by for each peer, the server's CPU time as a share of a core, its engines' part of that, and
the lag of its loop: the 99th percentile over all moments of ``--seconds``, which begin ``--rest``
seconds after the last peer has come: the collection of garbage that follows a crowd's arrival is
not the cost of being idle. The clients answer pings and keep their consent.

With checkouts (each set up, so with a ``.venv``) their servers take turns. Each measurement has a
server of its own: memory that one leaves to the allocator does not help the next.
"""

import argparse
import time
from pathlib import Path

import attrs
import trio
from checkouts import HERE, name_of, open_daemon
from cpu_time import cpu_time
from support import lag_figures
from support.api import MeetApi
from support.daemon import Daemon, api_of
from support.peers import CAPABILITIES
from support.transport import ClientTransport, RemoteParameters

from meet_trio.bench.dtls import Identity
from meet_trio.bench.light_peer import LightPeer, open_light_peer
from meet_trio.bench.process import usage

KINDS = ("signaling", "transports", "connected")
ROOM = 50  # peers in a room
AT_ONCE = 8  # peers that come at the same time
REST = 2.0  # seconds until nothing of a join is left to do
FLAGS = (
    "--limits-requests-per-second", "1000000", "--limits-request-burst", "1000000",
    "--limits-peers-per-room", "1000000", "--process-log-level", "warning",
)  # fmt: skip


@attrs.define(eq=False)
class Crowd:
    """Peers of one kind at one server."""

    api: MeetApi
    kind: str
    identity: Identity = attrs.field(factory=Identity.generate)
    _over: trio.Event = attrs.field(factory=trio.Event)

    async def come(self, count: int, nursery: trio.Nursery) -> None:
        """``count`` peers come and stay until ``leave``."""
        places = trio.CapacityLimiter(AT_ONCE)
        room = ""

        async def come(url: str) -> None:
            async with places:
                await nursery.start(self._live, url)

        async with trio.open_nursery() as coming:
            for number in range(count):
                if number % ROOM == 0:
                    room = await self.api.create_room()
                coming.start_soon(come, await self.api.create_peer(room, 3))

    def leave(self) -> None:
        self._over.set()

    async def _live(self, url: str, *, task_status: trio.TaskStatus[None]) -> None:
        async with open_light_peer(url) as peer, trio.open_nursery() as nursery:
            await peer.request("join", {"nickname": "x", "rtpCapabilities": CAPABILITIES})
            for producing in () if self.kind == "signaling" else (True, False):
                await self._make_transport(peer, nursery, producing)
            task_status.started()
            await self._over.wait()
            await peer.say("41")
            await peer.closed.wait()
            nursery.cancel_scope.cancel()

    async def _make_transport(
        self, peer: LightPeer, nursery: trio.Nursery, producing: bool
    ) -> None:
        kind = {"forceTcp": False, "producing": producing, "consuming": not producing}
        answer = await peer.request("createWebRtcTransport", kind)
        if self.kind == "connected":
            transport = ClientTransport(self.identity, RemoteParameters.from_answer(answer))
            nursery.start_soon(transport.run)
            own = {"algorithm": "sha-256", "value": self.identity.fingerprint}
            dtls = {"role": "client", "fingerprints": [own]}
            data = {"transportId": answer["id"], "dtlsParameters": dtls}
            await peer.request("connectWebRtcTransport", data)
            await transport.connected.wait()


@attrs.frozen
class Cost:
    """Bytes for each peer; shares of a core; the lag in seconds, which may be infinite."""

    memory: float
    cpu: float
    engines: float
    lag: float

    def __str__(self) -> str:
        return (
            f"{self.memory / 1000:>6.1f} kB for each peer, {self.cpu:>5.2%} of a core"
            f" ({self.engines:.2%} in the engine), lag p99 {1000 * self.lag:.2f} ms"
        )


def cpu(pid: int) -> tuple[float, float]:
    """CPU time of a process, and of its threads but the first, in seconds."""
    first = int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[0]) / 1e9
    total = cpu_time(pid)
    return total, total - first


async def measure(daemon: Daemon, kind: str, count: int, rest: float, seconds: float) -> Cost:
    api, pid = api_of(daemon), daemon.process.pid
    async with trio.open_nursery() as nursery:
        crowd = Crowd(api, kind)
        await crowd.come(1, nursery)  # loads what is loaded late
        await trio.sleep(REST)
        before = usage([pid]).memory
        await crowd.come(count, nursery)
        await trio.sleep(REST)
        memory = (usage([pid]).memory - before) / count
        await trio.sleep(rest)
        first, used, began = await api.call("GET", "/lag"), cpu(pid), time.monotonic()
        await trio.sleep(seconds)
        used_all, used_engines = (b - a for a, b in zip(used, cpu(pid), strict=True))
        passed = time.monotonic() - began
        last = await api.call("GET", "/lag")
        crowd.leave()
    counts, lengths = (
        [b - a for a, b in zip(first["held"][key], last["held"][key], strict=True)]
        for key in ("counts", "seconds")
    )
    lag = lag_figures.quantile(0.99, counts, lengths, last["seconds"] - first["seconds"])
    return Cost(memory, used_all / passed, used_engines / passed, lag)


async def compare(options: argparse.Namespace) -> None:
    for kind in options.kinds:
        for _ in range(options.turns):
            for checkout in options.checkouts:
                with open_daemon(*FLAGS, checkout=checkout) as daemon:
                    cost = await measure(daemon, kind, options.peers, options.rest, options.seconds)
                print(f"{kind:<12}{name_of(checkout):<16}{cost}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="What a peer costs that does nothing.")
    parser.add_argument("checkouts", nargs="*", type=Path, default=[HERE])
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--peers", type=int, default=1000)
    parser.add_argument("--rest", type=float, default=0.0)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--turns", type=int, default=1)
    trio.run(compare, parser.parse_args())


if __name__ == "__main__":
    main()

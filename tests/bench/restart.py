"""What a crash of the server costs the people in a meeting, and what the server's readiness for it
costs: ``PYTHONPATH=tests python tests/bench/restart.py [PART …]``.

``gaps``: a meeting of Python participants, whose server is killed again and again. Everybody sends
a microphone and a camera. A gap is measured for each participant: from the kill to the first whole
frame that was sent after it, and to ``roomBack``, the answer to its new connection. Clients try to
connect every 50 ms, where socket.io waits some hundred milliseconds more. Whatever must not happen
ends the program: somebody is told that somebody has left, a stream begins anew, an SRTP or SRTCP
index comes twice with other bytes, processes, descriptors or the state directory grow. Packets that
the kernel dropped because a receiver was late are printed.

``packets``: CPU time of a forwarded packet with and without a file for what outlives the process,
in alternating turns (``packet_runs.py``).

``joins``: the server's CPU time of a join, with and without a state directory, in alternating turns
(``joins.py``).
"""

import argparse
import contextlib
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from functools import partial

import attrs
import trio
from checkouts import HERE
from joins import Server, open_server
from packet_load import Load
from packet_runs import compare
from support.daemon import api_of
from support.gathering import Gathering, Guest, open_gathering
from support.machine import datagrams_dropped
from support.media_source import Stamp
from support.restarts import Restarting, open_restarting

PARTS = ("gaps", "packets", "joins")
SETTLED = 1.0  # seconds from one kill's end to the next kill
WARM_UP = 2  # joins that are not measured


@attrs.define(eq=False)
class Seen:
    """When a guest saw and heard the server again after a kill."""

    killed: float = 0.0
    media: float = 0.0

    def see(self, stamp: Stamp) -> None:
        if not self.media and stamp.sent_at > self.killed:
            self.media = time.monotonic()


def key_frames(guests: Sequence[Guest]) -> int:
    return sum(c.stream.key_frames for guest in guests for c in guest.person.consumers.values())


def row(name: str, gaps: list[float]) -> str:
    gaps = sorted(gaps)
    figures = (statistics.median(gaps), gaps[int(0.99 * (len(gaps) - 1))], gaps[-1])
    return f"| {name} | " + " | ".join(f"{figure:.2f} s" for figure in figures) + " |"


async def kill_once(
    restarting: Restarting, gathering: Gathering, number: int
) -> tuple[list[float], list[float]]:
    """The gaps of media and of signaling of each guest."""
    seen = [Seen(time.monotonic()) for _ in gathering.guests]
    for guest, one in zip(gathering.guests, seen, strict=True):
        for consumer in guest.person.consumers.values():
            consumer.stream.on_frame = one.see
    killed = time.monotonic()
    for one in seen:
        one.killed = killed
    restarting.kill()
    await gathering.wait_for_returns(number)
    await gathering.wait_for_media(2)
    return (
        [one.media - killed for one in seen],
        [guest.returns[-1] - killed for guest in gathering.guests],
    )


async def show_gaps(kills: int, peers: int) -> None:
    dropped, media, signaling = datagrams_dropped(), list[float](), list[float]()
    with open_restarting(tireless=True) as restarting:
        api = api_of(restarting.daemon)
        async with open_gathering(api, await api.create_room(), peers, interval=0.1, fps=10) as all:
            keys, first = key_frames(all.guests), None
            for number in range(1, kills + 1):
                gaps = await kill_once(restarting, all, number)
                media += gaps[0]
                signaling += gaps[1]
                all.check()
                used = await restarting.settled(first)
                first = first or used
                await trio.sleep(SETTLED)
            keys = key_frames(all.guests) - keys
            streams = peers * (peers - 1)
            load = " ".join(f"{one:.1f}" for one in os.getloadavg())
            print(f"\n{kills} kills, {peers} peers; load of the machine at the end: {load}\n")
            print("| from the kill to | p50 | p99 | longest |\n|---|---|---|---|")
            print(row("the next picture or sound of a peer", media))
            print(row("the answer to a peer's new connection", signaling))
            print(f"\nkey frames of a video in one kill: {keys / kills / streams:.2f}")
            print(f"datagrams whose indices were checked: {all.datagrams}")
            print(
                f"packets lost: {all.lost}, dropped by the kernel: {datagrams_dropped() - dropped}"
            )
            print(f"after the first kill:  {first}\nafter the last kill:   {used}")


async def show_joins(viewers: int, size: int) -> None:
    async with contextlib.AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(dir="/dev/shm"))
        servers: list[Server] = [
            await stack.enter_async_context(open_server(HERE, MEET_TRIO_STATE_DIR=where))
            for where in ("off", folder)
        ]
        members = await stack.enter_async_context(trio.open_nursery())
        for server in servers:
            for number in range(size):
                await members.start(partial(server.member, number))
        used: list[list[float]] = [[], []]
        for turn in range(viewers + WARM_UP):
            for server, times in zip(servers, used, strict=True):
                spent = await server.view()
                if turn >= WARM_UP:
                    times.append(1e3 * spent)
        without, kept = map(statistics.median, used)
        ratio = statistics.median(b / a for a, b in zip(*used, strict=True))
        print(f"\na join beside {size} peers: {without:.1f} ms of CPU, kept {kept:.1f} ms")
        print(f"median of {viewers} pairs' ratios: {ratio:.3f}")
        members.cancel_scope.cancel()


def main() -> None:
    parser = argparse.ArgumentParser(description="What a crash costs, and being ready for it.")
    parser.add_argument("parts", nargs="*", choices=PARTS, default=PARTS)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--peers", type=int, default=10, help="in the meeting, or beside a join")
    parser.add_argument("--turns", type=int, default=6, help="of runs of packets")
    parser.add_argument("--seconds", type=float, default=Load().seconds, help="of such a run")
    parser.add_argument("--viewers", type=int, default=20, help="joins that are measured")
    given = parser.parse_args()
    if "gaps" in given.parts:
        trio.run(show_gaps, given.kills, given.peers)
    if "packets" in given.parts:
        load = Load(seconds=given.seconds)
        compare(given.turns, (HERE, attrs.evolve(load, kept=True)), (HERE, load))
    if "joins" in given.parts:
        trio.run(show_joins, given.viewers, given.peers)


if __name__ == "__main__":
    main()

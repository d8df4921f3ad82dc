"""Runs of ``packets.py`` and ``engines.py``: each measures what a forwarded packet has cost, in CPU
time of all of the server's threads, and runs of two sides take turns.

CPU time comes from ``/proc/PID/task/*/schedstat``, so it has all of the kernel's work for the
sends. A run is made again where the load was not what was asked for, or not all of it has arrived,
or the kernel has done a part of the work in threads of its own (``ksoftirqd``), which no thread of
the server pays for. Time that the hypervisor has given to others (``steal`` of ``/proc/stat``) is
printed for each run.
"""

import contextlib
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import attrs
from packet_load import WARM_UP, Load
from packet_server import Server, running

from meet_trio.bench.process import between, usage

TOLERANCE = 0.03
TRIES = 10  # for a run on a machine that is not busy

Count = Callable[[Server, dict[str, int]], contextlib.AbstractContextManager[None]]
"""Counts something at this server, and leaves the counts in the dictionary."""


def softirq_threads() -> list[int]:
    """The kernel's threads that take over where there is too much to do for interrupts."""
    names = ((int(p.parent.name), p.read_text()) for p in Path("/proc").glob("[0-9]*/comm"))
    return [pid for pid, name in names if name.startswith("ksoftirqd/")]


@attrs.frozen
class Run:
    cost: float
    """Microseconds for each forwarded packet."""
    rate: float
    """Forwarded packets a second, of each room."""
    arrived: float
    """Received packets for each forwarded one."""
    busy: float
    """The share of a core that an engine has used."""
    elsewhere: float
    """What the kernel's own threads have used, for each second that the server has."""
    stolen: float
    """Percent of the machine's time."""
    counts: dict[str, float]
    """Turns of the engines' loops, and what else was counted, for each frame that was sent; of a
    call for each ``Load.frame`` packets.
    """

    def is_good(self, load: Load) -> bool:
        return (
            abs(self.rate / load.rate - 1) < TOLERANCE
            and abs(self.arrived - 1) < TOLERANCE
            and self.elsewhere < TOLERANCE
        )

    def __str__(self) -> str:
        line = (
            f"{self.cost:6.2f} us, {self.rate / 1000:5.1f} kpps, {self.busy:4.0%} busy, "
            f"{self.arrived:6.1%} arrived, {self.elsewhere:3.0%} elsewhere, "
            f"{self.stolen:4.1f}% stolen"
        )
        return line + "".join(f", {value:.2f} {name}" for name, value in self.counts.items())


def measure(checkout: Path, load: Load, count: Count = lambda *_: contextlib.nullcontext()) -> Run:
    counts: dict[str, int] = {}
    with running(checkout, load) as server:
        time.sleep(WARM_UP)
        softirqs = softirq_threads()
        with count(server, counts):
            arrived, counted = server.arrived(), server.counters()
            before, others = usage([server.pid]), usage(softirqs)
            time.sleep(load.seconds)
            spent, elsewhere = (
                between(before, usage([server.pid])),
                between(others, usage(softirqs)),
            )
            counted = server.counters() - counted
            arrived = server.arrived() - arrived
    forwarded = counted["rtp_forwarded"]
    frames = forwarded / load.viewers / load.frame
    each = {name: n / frames for name, n in {"turns": counted["turns"], **counts}.items()}
    if "messages" in each:
        each["datagrams in one"] = forwarded / counts["messages"]
    return Run(
        cost=spent.cpu / forwarded * 1e6,
        rate=forwarded / spent.seconds / load.rooms,
        arrived=arrived / forwarded,
        busy=spent.cpu / spent.seconds / load.engines,
        elsewhere=elsewhere.cpu / spent.cpu,
        stolen=spent.stolen_percent,
        counts=each,
    )


def measure_well(side: tuple[Path, Load], count: Count) -> Run:
    for _ in range(TRIES):
        run = measure(*side, count)
        if run.is_good(side[1]):
            return run
        print(f"  again: {run}", flush=True)
    raise SystemExit("the machine is too busy")


def compare(
    turns: int,
    first: tuple[Path, Load],
    other: tuple[Path, Load] | None = None,
    count: Count = lambda *_: contextlib.nullcontext(),
) -> float:
    """Prints each run, and the medians. Returns the median of the pairs' ratios, 1 without another
    side.
    """
    sides = [first, other] if other else [first]
    print(" | other: ".join(str(load) for _, load in sides), flush=True)
    pairs = []
    for _ in range(turns):
        pairs.append([measure_well(side, count) for side in sides])
        print("  " + "\n  | other: ".join(map(str, pairs[-1])), flush=True)
    medians = [statistics.median(run.cost for run in runs) for runs in zip(*pairs, strict=True)]
    ratio = statistics.median(pair[0].cost / pair[-1].cost for pair in pairs)
    line = "  median " + ", other ".join(f"{median:.2f} us" for median in medians)
    print(line + f", ratio {ratio:.3f}" * bool(other), flush=True)
    return ratio

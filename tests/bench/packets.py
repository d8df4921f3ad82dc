"""What one forwarded packet costs, in CPU time of all of the server's threads:
``PYTHONPATH=tests python tests/bench/packets.py [OTHER_CHECKOUT]``.

A real engine sends through real sockets: publishers of plain RTP (four, each with packets of 1200
bytes in frames), and viewers who all watch all of them, by SRTP or by plain RTP. As libwebrtc does,
the publishers make some of a frame's packets a byte longer, the last ones. Publishers and viewers
are processes of their own; viewers read all that comes. CPU time comes from
``/proc/PID/task/*/schedstat``, so it has all of the kernel's work for the sends; on loopback that
includes the receivers' half. With ``--gro`` viewers take messages whole, as a network card would,
so the kernel need not cut them on the server's account.

``--call`` is a load like a call's: as many publishers as make the rate, who send by SRTP to the
engine's one port, each at times of its own: video of 30 frames a second, each of 3 to 8 packets of
nearly one length, and audio of 50 packets a second, each of another length. With ``--in-step``
they all send at one time, so their packets come together.

With the path of another checkout (whose ``.venv`` is built) both engines run in turn, again and
again, and the medians of the pairs' ratios are printed. Time that the hypervisor has given to
others (``steal`` of ``/proc/stat``) is printed for each run.

A run on a busy machine is made again: where the load was not what was asked for, or not all of it
has arrived, or the kernel has done a part of the work in threads of its own (``ksoftirqd``), which
no thread of the server pays for.
"""

import argparse
import contextlib
import json
import multiprocessing
import os
import statistics
import subprocess
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import attrs
from packet_load import WARM_UP, Load, call, publish, serve, watch

TOLERANCE = 0.03
TRIES = 10  # for a run on a machine that is not busy


def cpu_of(pid: int) -> float:
    """Seconds of all threads."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def softirq_threads() -> list[int]:
    """The kernel's threads that take over where there is too much to do for interrupts."""
    names = ((int(p.parent.name), p.read_text()) for p in Path("/proc").glob("[0-9]*/comm"))
    return [pid for pid, name in names if name.startswith("ksoftirqd/")]


def stolen() -> tuple[int, int]:
    """Ticks that were stolen, and all."""
    ticks = [int(x) for x in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return ticks[7], sum(ticks)


@attrs.frozen
class Run:
    cost: float
    """Microseconds for each forwarded packet."""
    rate: float
    """Forwarded packets a second."""
    arrived: float
    """Received packets for each forwarded one."""
    busy: float
    """The share of a core that the server has used."""
    elsewhere: float
    """What the kernel's own threads have used, for each second that the server has."""
    stolen: float
    """The share of the machine's time."""

    def is_good(self, load: Load) -> bool:
        return (
            abs(self.rate / load.rate - 1) < TOLERANCE
            and abs(self.arrived - 1) < TOLERANCE
            and self.elsewhere < TOLERANCE
        )

    def __str__(self) -> str:
        return (
            f"{self.cost:6.2f} us, {self.rate / 1000:5.1f} kpps, {self.busy:4.0%} of a core, "
            f"{self.arrived:6.1%} arrived, {self.elsewhere:3.0%} elsewhere, "
            f"{self.stolen:4.1%} stolen"
        )


class Server:
    def __init__(self, checkout: Path, load: Load) -> None:
        python = checkout / ".venv" / "bin" / "python"
        program = [str(python), __file__, "--serve", json.dumps(attrs.asdict(load))]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
        self._process = subprocess.Popen(
            program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self.pid = self._process.pid

    def ask(self, what: object) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


@contextlib.contextmanager
def running(checkout: Path, load: Load) -> Iterator[tuple[Server, Connection]]:
    """A server with its load."""
    spawning = multiprocessing.get_context("spawn")
    pipe, others = spawning.Pipe()
    viewers = spawning.Process(target=watch, args=(load, others), daemon=True)
    viewers.start()
    server = Server(checkout, load)
    publishers, port, checks = server.ask(pipe.recv())
    server.ask("count")  # all of them have their transports
    pipe.send((port, checks))
    time.sleep(0.2)
    started = spawning.Event()
    if load.call:
        sender = spawning.Process(target=call, args=(publishers, port, load, started), daemon=True)
    else:
        sender = spawning.Process(target=publish, args=(publishers, load, started), daemon=True)
    sender.start()
    started.wait()
    try:
        yield server, pipe
    finally:
        for process in (sender, viewers):
            process.kill()
            process.join()
        server.close()


def received(pipe: Connection) -> int:
    pipe.send(None)
    return int(pipe.recv())


def measure(checkout: Path, load: Load) -> Run:
    with running(checkout, load) as (server, pipe):
        time.sleep(WARM_UP)
        softirqs = softirq_threads()
        arrived, counted = received(pipe), server.ask("count")
        used, others, before = cpu_of(server.pid), sum(map(cpu_of, softirqs)), stolen()
        began = time.monotonic()
        time.sleep(load.seconds)
        used, after = cpu_of(server.pid) - used, stolen()
        others = sum(map(cpu_of, softirqs)) - others
        packets = server.ask("count")["rtp_forwarded"] - counted["rtp_forwarded"]
        elapsed = time.monotonic() - began
        arrived = received(pipe) - arrived
    return Run(
        cost=used / packets * 1e6,
        rate=packets / elapsed,
        arrived=arrived / packets,
        busy=used / elapsed,
        elsewhere=others / used,
        stolen=(after[0] - before[0]) / (after[1] - before[1]),
    )


def measure_well(checkout: Path, load: Load) -> Run:
    for _ in range(TRIES):
        run = measure(checkout, load)
        if run.is_good(load):
            return run
        print(f"  again: {run}", flush=True)
    raise SystemExit("the machine is too busy")


def compare(here: Path, other: Path | None, load: Load, turns: int) -> None:
    print(load, flush=True)
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(turns):
        run = measure_well(here, load)
        ours.append(run.cost)
        line = f"  {run}"
        if other is not None:
            run = measure_well(other, load)
            theirs.append(run.cost)
            line += f" | other: {run}"
        print(line, flush=True)
    line = f"  median {statistics.median(ours):.2f} us"
    if theirs:
        ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
        line += f", other {statistics.median(theirs):.2f} us, ratio {ratio:.3f}"
    print(line, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="What one forwarded packet costs.")
    parser.add_argument("other", nargs="?", type=Path, help="another checkout with a built .venv")
    parser.add_argument("--frames", type=int, nargs="+", default=[8, 3, 1])
    parser.add_argument("--call", action="store_true", help="a load like a call's, no frames")
    parser.add_argument("--in-step", action="store_true", help="the call's publishers at one time")
    parser.add_argument("--gro", action="store_true", help="viewers take messages whole")
    parser.add_argument("--ways", nargs="+", choices=("srtp", "plain"), default=["srtp", "plain"])
    parser.add_argument("--rate", type=float, default=Load().rate)
    parser.add_argument("--viewers", type=int, default=Load().viewers)
    parser.add_argument("--seconds", type=float, default=Load().seconds)
    parser.add_argument("--turns", type=int, default=4)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(Load(**json.loads(arguments.serve)))
        return
    here = Path(__file__).parents[2]
    for way in arguments.ways:
        fields = {
            "plain": way == "plain",
            "gro": arguments.gro,
            "rate": arguments.rate,
            "viewers": arguments.viewers,
            "seconds": arguments.seconds,
        }
        loads = [Load(frame=frame, **fields) for frame in arguments.frames]
        calls = [Load.of_call(in_step=arguments.in_step, **fields)]
        for load in calls if arguments.call or arguments.in_step else loads:
            compare(here, arguments.other, load, arguments.turns)


if __name__ == "__main__":
    main()

"""What two engines cost beside one, in CPU time of the engines' threads for each forwarded packet:
``PYTHONPATH=tests python tests/bench/engines.py [--apart] [--other OTHER_CHECKOUT]``.

Without ``--apart`` one room is spread over two engines: half of the publishers and half of the
viewers are on each, and everybody watches all publishers. The load is the same as with one engine,
so the ratio says what crossing costs.

With ``--apart`` each engine has a room of its own, of the size that the one engine has alone, and
nothing crosses. The publishers of both rooms send at the same times, so both engines are busy at
the same times. Beside the one engine the second room's packets go to a socket that nobody reads, so
that frames come at the same pace. What engines share costs time here and not alone: locks, cache
lines, the kernel's tables. Two engines carry 2 / ratio times what one carries, as far as there is a
core for each.

One engine and two run in alternating turns, and the median of the pairs' ratios is printed
(``packet_runs.py`` says how a run is measured). With ``--other`` the same load runs from another
checkout (whose ``.venv`` is built), instead of one engine.

``--pin`` keeps the engines' threads on the first CPU, and publishers and viewers on the last one.
Then one engine and two have the same neighbours, and what crosses does not travel between caches.
So the ratio has the work of crossing alone: copies, wake-ups, turns. It is for one room: two rooms
apart are to run at the same time.

Publishers send plain RTP, viewers are sent SRTP. A publisher's frame comes as one message of the
kernel: one that comes packet by packet is read in one or two pieces, as the machine's load has it,
and each piece more costs as much as what is to be measured. ``--counts`` has perf count what the
engines' threads did: messages of the kernel, wake-ups, system calls (root, and a kernel with
tracepoints). That costs time, so it is no measurement of time.
"""

import argparse
import contextlib
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import attrs
from checkouts import HERE
from packet_load import Load
from packet_runs import compare
from packet_server import Server

EVENTS = {
    "messages": "net:net_dev_queue",
    "sendmmsg": "syscalls:sys_enter_sendmmsg",
    "recvmmsg": "syscalls:sys_enter_recvmmsg",
    "waits": "syscalls:sys_enter_epoll_wait",
    "wakes": "syscalls:sys_enter_write",
    "switches": "sched:sched_switch",
}


@contextlib.contextmanager
def counted(server: Server, counts: dict[str, int]) -> Iterator[None]:
    """Count the events of the engines' threads."""
    command = ["perf", "stat", "-x,", "-t", ",".join(map(str, server.threads()))]
    for event in EVENTS.values():
        command += ["-e", event]
    perf = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    time.sleep(0.3)  # until it has begun
    try:
        yield
    finally:
        perf.send_signal(signal.SIGINT)
        _, text = perf.communicate()
    by_event = {line.split(",")[2]: line.split(",")[0] for line in text.splitlines() if "," in line}
    counts.update({name: int(by_event[event]) for name, event in EVENTS.items()})


def main() -> None:
    parser = argparse.ArgumentParser(description="What two engines cost beside one.")
    parser.add_argument("--apart", action="store_true", help="a room of its own on each engine")
    parser.add_argument("--pin", action="store_true", help="the engines on one CPU")
    parser.add_argument("--other", type=Path, help="another checkout with a built .venv")
    parser.add_argument("--frames", type=int, nargs="+", default=[8])
    parser.add_argument("--rate", type=float, default=Load().rate)
    parser.add_argument("--viewers", type=int, default=Load().viewers)
    parser.add_argument("--publishers", type=int, default=Load().publishers)
    parser.add_argument("--seconds", type=float, default=Load().seconds)
    parser.add_argument("--turns", type=int, default=4)
    parser.add_argument("--counts", action="store_true", help="perf counts, and no ratio of times")
    given = parser.parse_args()
    if given.apart and given.pin:
        parser.error("two rooms apart are to run at the same time, so --pin does not go with it")
    for frame in given.frames:
        two = Load(
            engines=2,
            rooms=1 + given.apart,
            frame=frame,
            whole=True,
            rate=given.rate,
            viewers=given.viewers,
            publishers=given.publishers,
            seconds=given.seconds,
            gro=True,
            pin=given.pin,
        )
        alone = attrs.evolve(two, engines=1, rooms=1, unread=given.apart)
        other = (given.other, two) if given.other else (HERE, alone)
        ratio = compare(
            given.turns, (HERE, two), other, **({"count": counted} if given.counts else {})
        )
        if given.apart and not given.other:
            print(f"  two engines carry {2 / ratio:.2f} times one")


if __name__ == "__main__":
    main()

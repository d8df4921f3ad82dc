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

One engine and two run in alternating turns, and the median of the pairs' ratios is printed. With
``--other`` the same layout runs from another checkout (whose ``.venv`` is built), instead of one
engine.

``--pin`` keeps the engines' threads on the first CPU, and publishers and viewers on the last one.
Then one engine and two have the same neighbours, and what crosses does not travel between caches.
So the ratio has the work of crossing alone: copies, wake-ups, turns. It is for one room: two rooms
apart are to run at the same time.

Publishers send plain RTP, viewers are sent SRTP. A publisher's frame comes as one message of the
kernel: one that comes packet by packet is read in one or two pieces, as the machine's load has it,
and each piece more costs as much as what is to be measured. A turn is made again if the load was
not what was asked for. ``--counts`` has perf count what the engines' threads did: datagrams in a
message of the kernel, wake-ups, system calls (root, and a kernel with tracepoints). That costs
time, so it is no measurement of time.
"""

import argparse
import contextlib
import itertools
import json
import multiprocessing
import os
import secrets
import select
import socket
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import attrs
import packet_load
import packets
from support.engine_world import PROFILES, VIEWED, Camera, video, viewed
from support.wire.rtp import RtpPacket, build_rtp
from support.wire.stun import binding_request, build_stun

HERE = Path(__file__).parents[2]
THREAD = "meet-engine"
RTP_HEADER = 12  # bytes
UDP_SEGMENT = 103
RUN = [(socket.IPPROTO_UDP, UDP_SEGMENT, packet_load.SIZE.to_bytes(2, sys.byteorder))]
CPUS = os.sched_getaffinity(0)
EVENTS = {
    "messages": "net:net_dev_queue",
    "sendmmsg": "syscalls:sys_enter_sendmmsg",
    "recvmmsg": "syscalls:sys_enter_recvmmsg",
    "waits": "syscalls:sys_enter_epoll_wait",
    "wakes": "syscalls:sys_enter_write",
    "switches": "sched:sched_switch",
}


@attrs.frozen(kw_only=True)
class Layout:
    engines: int = 1
    rooms: int = 1
    publishers: int = 4
    """Of each room, as all of the next four."""
    viewers: int = 50
    rate: float = 48_000
    """Forwarded packets a second."""
    frame: int = 8
    """Packets that a publisher sends at once."""
    seconds: float = 4.0
    gro: bool = True
    """Viewers take messages whole, as a network card would."""
    unread: bool = False
    """A second room's packets are sent, too, and nobody reads them."""
    pin: bool = False
    """Engines on the first CPU, publishers and viewers on the last."""

    def engine_of(self, room: int, member: int) -> int:
        return room if self.rooms > 1 else member % self.engines

    def __str__(self) -> str:
        rooms = "two rooms apart" if self.rooms > 1 else "a room"
        engines = "two engines" if self.engines > 1 else "one engine"
        return f"{rooms} on {engines}, frames of {self.frame}, {self.rate / 1000:.0f} kpps each"


# The server: a process with nothing but engines


def serve(layout: Layout) -> None:
    """Print where publishers and viewers send to, and wait for lines: each asks for the engines'
    counters, added.
    """
    from meet_trio.engine import Engine, EngineSettings

    engines = [Engine(EngineSettings()) for _ in range(layout.engines)]
    numbers = itertools.count(1)
    publishers: list[list[int]] = []
    checks: list[tuple[int, str]] = []
    for room in range(layout.rooms):
        producers = []
        publishers.append([])
        for member in range(layout.publishers):
            engine = engines[layout.engine_of(room, member)]
            transport, producer = next(numbers), next(numbers)
            rtp, rtcp = packet_load.bound(), packet_load.bound()
            publishers[-1].append(rtp.getsockname()[1])
            engine.add_plain_transport(
                transport, rtp.detach(), rtcp.detach(), ("127.0.0.0/8",), True
            )
            engine.set_max_incoming_bitrate(transport, 10**9)
            engine.add_producer(producer, transport, video())
            if layout.rooms == 1:
                for sink in engines:
                    if sink is not engine:
                        sink.add_mirror(producer, video())
                        engine.relay_producer(producer, sink)
            producers.append(producer)
        for member in range(layout.viewers):
            engine = engines[layout.engine_of(room, member)]
            transport = next(numbers)
            engine.add_transport(transport, f"u{transport}", packet_load.PASSWORD)
            keys = [secrets.token_bytes(PROFILES[packet_load.PROFILE][1]) for _ in range(2)]
            engine.set_srtp(transport, packet_load.PROFILE, *keys)
            check = binding_request(
                remote_ufrag=f"u{transport}", local_ufrag="x", tie_breaker=1, nominate=True
            )
            checks.append((engine.port, build_stun(check, packet_load.PASSWORD).hex()))
            for producer in producers:
                number = next(numbers)
                spec = viewed(number, header_extensions=VIEWED)
                engine.add_consumer(number, transport, producer, spec)
    print(json.dumps([publishers, checks]), flush=True)
    for _ in sys.stdin:
        total: Counter[str] = Counter()
        for engine in engines:
            total.update(counters(engine))
        print(json.dumps(total), flush=True)
    for engine in engines:
        engine.close()


def counters(engine: Any) -> dict[str, int]:
    from meet_trio.engine import StatsReady

    engine.request_stats(1)
    while True:
        select.select([engine.event_fd], [], [], 1)
        for event in engine.read_events():
            if isinstance(event, StatsReady):
                return {k: v for k, v in event.stats["engine"].items() if isinstance(v, int)}


class Server:
    def __init__(self, checkout: Path, layout: Layout) -> None:
        python = checkout / ".venv" / "bin" / "python"
        program = [str(python), __file__, "--serve", json.dumps(attrs.asdict(layout))]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
        self._process = subprocess.Popen(
            program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self.pid = self._process.pid

    def read(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    def counters(self) -> Counter[str]:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return Counter(self.read())

    def threads(self) -> list[str]:
        tasks = Path(f"/proc/{self.pid}/task").iterdir()
        return [t.name for t in tasks if (t / "comm").read_text().startswith(THREAD)]

    def cpu(self) -> float:
        """Seconds of the engines' threads."""
        tasks = Path(f"/proc/{self.pid}/task")
        times = ((tasks / t / "schedstat").read_text().split()[0] for t in self.threads())
        return sum(map(int, times)) / 1e9

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


# Publishers and viewers


def pin(task: int, cpu: int) -> None:
    """``cpu``: its place among those of this process. ``task``: 0 is this thread."""
    os.sched_setaffinity(task, {sorted(CPUS)[cpu]})


def publish(rooms: list[list[int]], layout: Layout, started: Any) -> None:
    """The publishers of a room send their frames one after the other at equal intervals; all rooms
    at the same times.
    """
    if layout.pin:
        pin(0, -1)
    sock, unread = packet_load.bound(), packet_load.bound()
    sock.setblocking(True)
    if layout.unread:
        rooms = [*rooms, [unread.getsockname()[1]]]
    rings = [itertools.cycle(room) for room in rooms]
    cameras = {
        port: Camera(ssrc=1000, parts=layout.frame, tag=b"x" * packet_load.SIZE)
        for room in rooms
        for port in room
    }
    interval = layout.frame * layout.viewers / layout.rate  # seconds
    key_until = packets.WARM_UP / 2  # a viewer may begin late
    began = time.monotonic()
    started.set()
    for count in itertools.count():
        ready = []
        for ring in rings:
            port = next(ring)
            frame = cameras[port].frame(key=count * interval < key_until)
            ready.append((b"".join(build_rtp(cut(p)) for p in frame), port))
        time.sleep(max(0.0, began + count * interval - time.monotonic()))
        for frame, port in ready:
            sock.sendmsg([frame], RUN, 0, ("127.0.0.1", port))


def cut(packet: RtpPacket) -> RtpPacket:
    return attrs.evolve(packet, payload=packet.payload[: packet_load.SIZE - RTP_HEADER])


def watch(layout: Layout, pipe: Connection) -> None:
    """Be the viewers: read what comes, and count it."""
    if layout.pin:
        pin(0, -1)
    checks = pipe.recv()
    sockets = [packet_load.bound() for _ in checks]
    for sock, (port, check) in zip(sockets, checks, strict=True):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        sock.setsockopt(socket.IPPROTO_UDP, packet_load.UDP_GRO, layout.gro)
        sock.sendto(bytes.fromhex(check), ("127.0.0.1", port))
    received = 0
    into = bytearray(1 << 16)
    while True:
        if pipe.poll():
            pipe.recv()
            pipe.send(received)
        for sock in sockets:
            with contextlib.suppress(BlockingIOError):
                while True:
                    received += packet_load.datagrams_read(sock, into)
        time.sleep(packet_load.DRAIN)


@contextlib.contextmanager
def running(checkout: Path, layout: Layout) -> Iterator[tuple[Server, Connection]]:
    """A server with its load."""
    spawning = multiprocessing.get_context("spawn")
    pipe, others = spawning.Pipe()
    viewers = spawning.Process(target=watch, args=(layout, others), daemon=True)
    viewers.start()
    server = Server(checkout, layout)
    publishers, checks = server.read()
    server.counters()  # all of them have their transports
    if layout.pin:
        for thread in server.threads():
            pin(int(thread), 0)
    pipe.send(checks)
    time.sleep(0.2)
    started = spawning.Event()
    sender = spawning.Process(target=publish, args=(publishers, layout, started), daemon=True)
    sender.start()
    started.wait()
    try:
        yield server, pipe
    finally:
        for process in (sender, viewers):
            process.kill()
            process.join()
        server.close()


# Measuring


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
    turns: float
    """Of the engines' loops, for each frame that was sent."""
    counts: dict[str, float]
    """What perf has counted, for each frame; messages as datagrams in one."""

    def is_good(self, layout: Layout) -> bool:
        return (
            abs(self.rate / layout.rate - 1) < packets.TOLERANCE
            and abs(self.arrived - 1) < packets.TOLERANCE
        )

    def __str__(self) -> str:
        line = (
            f"{self.cost:5.2f} us, {self.rate / 1000:5.1f} kpps, {self.busy:4.0%} busy, "
            f"{self.arrived:6.1%} arrived, {self.turns:4.2f} turns"
        )
        return line + "".join(f", {v:.2f} {k}" for k, v in self.counts.items())


@contextlib.contextmanager
def counted(threads: list[str], counts: Counter[str]) -> Iterator[None]:
    """Count the events of the threads."""
    command = ["perf", "stat", "-x,", "-t", ",".join(threads)]
    for event in EVENTS.values():
        command += ["-e", event]
    perf = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    time.sleep(0.3)  # until it has begun
    try:
        yield
    finally:
        perf.send_signal(2)
        _, text = perf.communicate()
    by_event = {line.split(",")[2]: line.split(",")[0] for line in text.splitlines() if "," in line}
    counts.update({name: int(by_event[event]) for name, event in EVENTS.items()})


def measure(checkout: Path, layout: Layout, with_counts: bool) -> Run:
    counts: Counter[str] = Counter()
    with running(checkout, layout) as (server, pipe):
        time.sleep(packets.WARM_UP)
        with counted(server.threads(), counts) if with_counts else contextlib.nullcontext():
            arrived, before, used = packets.received(pipe), server.counters(), server.cpu()
            began = time.monotonic()
            time.sleep(layout.seconds)
            used = server.cpu() - used
            after = server.counters()
            elapsed = time.monotonic() - began
            arrived = packets.received(pipe) - arrived
    after.subtract(before)
    forwarded = after["rtp_forwarded"]
    frames = forwarded / layout.viewers / layout.frame
    each = {name: count / frames for name, count in counts.items()}
    if counts:
        each["messages"] = forwarded / counts["messages"]
    return Run(
        cost=used / forwarded * 1e6,
        rate=forwarded / elapsed / layout.rooms,
        arrived=arrived / forwarded,
        busy=used / elapsed / layout.engines,
        turns=after["turns"] / frames,
        counts=each,
    )


def measure_well(checkout: Path, layout: Layout, with_counts: bool) -> Run:
    for _ in range(packets.TRIES):
        run = measure(checkout, layout, with_counts)
        if run.is_good(layout):
            return run
        print(f"  again: {run}", flush=True)
    raise SystemExit("the machine is too busy")


def compare(two: Layout, other: Path | None, turns: int, with_counts: bool) -> None:
    alone = attrs.evolve(two, engines=1, rooms=1, unread=two.rooms > 1)
    checkout, one = (other, two) if other else (HERE, alone)
    print(two, "| other:" if other else "|", one, flush=True)
    pairs = []
    for _ in range(turns):
        pair = measure_well(HERE, two, with_counts), measure_well(checkout, one, with_counts)
        pairs.append(pair)
        print(f"  {pair[0]}\n  | {pair[1]}", flush=True)
    first, second = (statistics.median(pair[i].cost for pair in pairs) for i in range(2))
    ratio = statistics.median(a.cost / b.cost for a, b in pairs)
    print(f"  median {first:.2f} us | {second:.2f} us, ratio {ratio:.3f}", end="")
    print(f", carries {2 / ratio:.2f} times" if two.rooms > 1 and not other else "", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="What two engines cost beside one.")
    parser.add_argument("--apart", action="store_true", help="a room of its own on each engine")
    parser.add_argument("--pin", action="store_true", help="the engines on one CPU")
    parser.add_argument("--other", type=Path, help="another checkout with a built .venv")
    parser.add_argument("--frames", type=int, nargs="+", default=[8])
    parser.add_argument("--rate", type=float, default=Layout().rate)
    parser.add_argument("--viewers", type=int, default=Layout().viewers)
    parser.add_argument("--publishers", type=int, default=Layout().publishers)
    parser.add_argument("--seconds", type=float, default=Layout().seconds)
    parser.add_argument("--turns", type=int, default=4)
    parser.add_argument("--counts", action="store_true", help="perf counts, and no ratio of times")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.apart and given.pin:
        parser.error("two rooms apart are to run at the same time, so --pin does not go with it")
    if given.serve:
        serve(Layout(**json.loads(given.serve)))
        return
    for frame in given.frames:
        two = Layout(
            engines=2,
            rooms=1 + given.apart,
            frame=frame,
            rate=given.rate,
            viewers=given.viewers,
            publishers=given.publishers,
            seconds=given.seconds,
            pin=given.pin,
        )
        compare(two, given.other, given.turns, given.counts)


if __name__ == "__main__":
    main()

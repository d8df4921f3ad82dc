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
import heapq
import itertools
import json
import multiprocessing
import os
import random
import secrets
import select
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import attrs
import pylibsrtp
from support.engine_world import PROFILES, VIEWED, Camera, audio, video, viewed
from support.wire.rtp import RtpPacket, build_rtp
from support.wire.stun import binding_request, build_stun

PROFILE = 0x0007
SIZE = 1200  # bytes of a packet from a publisher
PASSWORD = "password-of-it"
WARM_UP = 1.0  # seconds
DRAIN = 0.002  # seconds between two looks at a viewer's socket
TOLERANCE = 0.03
TRIES = 10  # for a run on a machine that is not busy
UDP_GRO = 104

# Of a publisher in a call
FRAMES = 30  # a second
PARTS = (3, 8)  # packets of a frame, at least and at most
SIZES = (900, 1200)  # bytes of a packet of video
SOUNDS = 50  # packets of audio a second
SOUND_SIZES = (60, 160)  # bytes of such a packet


@attrs.frozen(kw_only=True)
class Load:
    publishers: int = 4
    viewers: int = 50
    rate: float = 48_000
    """Forwarded packets a second."""
    frame: int = 8
    """Packets that a publisher sends at once."""
    call: bool = False
    """Like a call, instead of frames of ``frame`` packets at equal intervals."""
    in_step: bool = False
    """All publishers of a call send at one time."""
    plain: bool = False
    """Viewers on plain RTP."""
    gro: bool = False
    """Viewers take messages whole."""
    seconds: float = 4.0

    @classmethod
    def of_call(cls, **fields: Any) -> "Load":
        """With as many publishers as come near to the rate."""
        load = cls(call=True, **fields)
        each = load.viewers * (FRAMES * sum(PARTS) / 2 + SOUNDS)
        publishers = max(1, round(load.rate / each))
        return attrs.evolve(load, publishers=publishers, rate=publishers * each)

    def __str__(self) -> str:
        what = (
            f"a call of {self.publishers}{' in step' * self.in_step}"
            if self.call
            else f"frames of {self.frame}"
        )
        way = "plain" if self.plain else "SRTP"
        return f"{what}, {way} out{', GRO' * self.gro}, {self.rate / 1000:.0f} kpps"


# The server: a process with nothing but an engine


def serve(load: Load) -> None:
    """Print where publishers and viewers send to, and wait for lines; ``count`` asks for a count of
    forwarded packets.
    """
    from meet_trio.engine import Engine, EngineSettings, StatsReady

    engine = Engine(EngineSettings())
    numbers = itertools.count(1)

    def connected() -> tuple[int, str, str]:
        """A transport with SRTP, its client's connectivity check, and its client's key."""
        transport = next(numbers)
        engine.add_transport(transport, f"u{transport}", PASSWORD)
        keys = [secrets.token_bytes(PROFILES[PROFILE][1]) for _ in range(2)]
        engine.set_srtp(transport, PROFILE, *keys)
        check = binding_request(
            remote_ufrag=f"u{transport}", local_ufrag="x", tie_breaker=1, nominate=True
        )
        return transport, build_stun(check, PASSWORD).hex(), keys[1].hex()

    producers = itertools.count(1)
    streams: list[tuple[int, bool]] = []
    publishers: list[Any] = []
    for _ in range(load.publishers):
        if load.call:
            transport, *sender = connected()
            publishers.append(sender)
        else:
            transport = next(numbers)
            rtp, rtcp = bound(), bound()
            publishers.append(rtp.getsockname()[1])
            engine.add_plain_transport(
                transport, rtp.detach(), rtcp.detach(), ("127.0.0.0/8",), True
            )
        for spec in (video(), audio())[: 1 + load.call]:
            streams.append((next(producers), spec.kind == "video"))
            engine.add_producer(streams[-1][0], transport, spec)
        engine.set_max_incoming_bitrate(transport, 10**9)
    consumers = itertools.count(1)
    checks: list[str] = []
    ports = json.loads(sys.stdin.readline())
    for viewer in range(load.viewers):
        if load.plain:
            transport = next(numbers)
            rtp, rtcp = bound(), bound()
            engine.add_plain_transport(
                transport, rtp.detach(), rtcp.detach(), ("127.0.0.0/8",), False
            )
            engine.connect_plain_transport(transport, "127.0.0.1", ports[viewer], ports[viewer] + 1)
        else:
            transport, check, _ = connected()
            checks.append(check)
        for producer, nack in streams:
            number = next(consumers)
            spec = viewed(number, nack=nack, header_extensions=VIEWED)
            engine.add_consumer(number, transport, producer, spec)
    print(json.dumps([publishers, engine.port, checks]), flush=True)
    for _ in sys.stdin:
        engine.request_stats(1)
        found = None
        while found is None:
            select.select([engine.event_fd], [], [], 1)
            for event in engine.read_events():
                if isinstance(event, StatsReady):
                    found = dict(event.stats["engine"])
        print(json.dumps(found), flush=True)
    engine.close()


def bound() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.bind(("127.0.0.1", 0))
    return sock


# Publishers and viewers


def publish(ports: list[int], load: Load, started: Any) -> None:
    """Each publisher's frames lie between those of the others."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    cameras = [Camera(ssrc=1000, parts=load.frame, tag=b"x" * SIZE) for _ in ports]
    interval = load.frame * load.viewers / load.rate  # seconds between two frames of all
    turns = itertools.cycle(range(len(ports)))
    key_frames = set(range(len(ports)))
    began = time.monotonic()
    started.set()
    for count in itertools.count():
        turn = next(turns)
        early = count * interval < WARM_UP / 2  # a viewer may begin late
        frame = cameras[turn].frame(key=early or turn in key_frames)
        packets = [build_rtp(p) for p in near_equal(frame, count // len(ports))]
        key_frames.discard(turn)
        if count % (4 * round(load.rate / load.viewers)) < len(ports):
            key_frames.add(turn)
        time.sleep(max(0.0, began + count * interval - time.monotonic()))
        for packet in packets:
            sock.sendto(packet, ("127.0.0.1", ports[turn]))


def call(clients: list[tuple[str, str]], port: int, load: Load, started: Any) -> None:
    """Each publisher sends at times of its own, if not in step."""
    dice = random.Random(1)
    socks = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in clients]
    sessions = []
    for sock, (check, key) in zip(socks, clients, strict=True):
        sock.sendto(bytes.fromhex(check), ("127.0.0.1", port))
        policy = pylibsrtp.Policy(
            key=bytes.fromhex(key),
            ssrc_type=pylibsrtp.Policy.SSRC_ANY_OUTBOUND,
            srtp_profile=PROFILES[PROFILE][0],
        )
        sessions.append(pylibsrtp.Session(policy))
    began = time.monotonic()
    due: list[tuple[float, int, int, Camera]] = []  # when, whose, a second, of what
    for i in range(len(clients)):
        for rate, ssrc, payload_type in ((FRAMES, 1000, 96), (SOUNDS, 2000, 111)):
            at = began + (0 if load.in_step else dice.random() / rate)
            stream = Camera(ssrc=ssrc, payload_type=payload_type, parts=1, tag=b"x" * max(SIZES))
            due.append((at, i, rate, stream))
    heapq.heapify(due)
    started.set()
    while True:
        at = due[0][0]
        ready: list[tuple[socket.socket, bytes]] = []
        while due[0][0] == at:
            _, i, rate, stream = due[0]
            if rate == FRAMES:
                stream.parts, size = dice.randint(*PARTS), dice.randint(*SIZES)
                key = at - began < WARM_UP / 2
                packets = near_equal(stream.frame(key=key), dice.randint(0, 7), size)
            else:
                packets = near_equal(stream.frame(), 0, dice.randint(*SOUND_SIZES))
            ready += [(socks[i], sessions[i].protect(build_rtp(p))) for p in packets]
            heapq.heapreplace(due, (at + 1 / rate, i, rate, stream))
        time.sleep(max(0.0, at - time.monotonic()))
        for sock, data in ready:
            sock.sendto(data, ("127.0.0.1", port))


def near_equal(frame: list[RtpPacket], count: int, size: int = SIZE) -> list[RtpPacket]:
    """The frame's packets, all of ``size``, but for a varying number of the last ones, which have a
    byte more.
    """
    payload = size - 12
    longer = count % len(frame)
    return [
        attrs.evolve(p, payload=p.payload[: payload + (i >= len(frame) - longer)])
        for i, p in enumerate(frame)
    ]


def watch(load: Load, pipe: Connection) -> None:
    """Be the viewers: read what comes, and count it."""
    sockets = [bound_pair() for _ in range(load.viewers)]
    for rtp, _ in sockets:
        rtp.setsockopt(socket.IPPROTO_UDP, UDP_GRO, load.gro)
    pipe.send([pair[0].getsockname()[1] for pair in sockets])
    port, checks = pipe.recv()
    for pair, check in zip(sockets, checks, strict=False):
        pair[0].sendto(bytes.fromhex(check), ("127.0.0.1", port))
    received = 0
    into = bytearray(1 << 16)
    while True:
        if pipe.poll():
            pipe.recv()
            pipe.send(received)
        for rtp, rtcp in sockets:
            with contextlib.suppress(BlockingIOError):
                while True:
                    received += datagrams_read(rtp, into)
            with contextlib.suppress(BlockingIOError):
                rtcp.recv_into(into)
        time.sleep(DRAIN)


def datagrams_read(sock: socket.socket, into: bytearray) -> int:
    """How many the message had that was read."""
    n, controls, _, _ = sock.recvmsg_into([into], 64)
    each = int.from_bytes(controls[0][2], sys.byteorder) if controls else n
    return -(-n // each)


def bound_pair() -> tuple[socket.socket, socket.socket]:
    """Two ports in a row."""
    while True:
        rtp, rtcp = bound(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        rtp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        rtcp.setblocking(False)
        with contextlib.suppress(OSError):
            rtcp.bind(("127.0.0.1", rtp.getsockname()[1] + 1))
            return rtp, rtcp
        rtp.close()
        rtcp.close()


# Measuring


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

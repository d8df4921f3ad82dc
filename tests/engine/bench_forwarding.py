"""Measures the cost of one forwarded packet:
``python tests/engine/bench_forwarding.py [VIEWERS] [SECONDS] [--engines N] [--adapted]``.

A real engine runs on loopback. One publisher (a process of its own) sends packets of 1200 bytes in
frames of eight to some viewers. The program prints the CPU time of the engine's thread divided by
the packets forwarded. The CPU time comes from ``/proc/self/task/*/schedstat``, so it includes all
of the kernel's work for the sends, on loopback also the receivers' half.

With ``--adapted`` the packets have transport-wide numbers, and a further process answers as
browsers do, with feedback of each viewer 20 times a second: the engine estimates and paces.

With several engines the viewers are spread over them. Turns of this alternate with turns of one
engine that has all viewers: ``SECONDS`` for each, and the ratio of both at the end.
"""

import argparse
import contextlib
import itertools
import multiprocessing
import secrets
import select
import socket
import time
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import attrs
import pylibsrtp
from support.engine_world import (
    PROFILES,
    TRANSPORT_CC_URI,
    VIEWED,
    VIEWED_ADAPTED,
    Camera,
    video,
    viewed,
)
from support.feedback import ArrivalRecorder
from support.wire.rtcp import build_rtcp
from support.wire.rtp import build_rtp, parse_rtp_untrusted
from support.wire.stun import binding_request, build_stun

from meet_trio.engine import Engine, EngineSettings, StatsReady

PROFILE = 0x0007
FRAME = 8  # packets
SIZE = 1200
TURN = 1.0  # seconds
KEY_FRAMES = 0.1  # seconds between key frames, where turns begin with one
FEEDBACK = 0.05  # seconds between two reports of a viewer


def publish(
    port: int, key: bytes, stun: bytes, seconds: float, rate: float, key_frames: float
) -> None:
    """Send ``rate`` packets a second for ``seconds``, encrypted beforehand."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.connect(("127.0.0.1", port))
    sock.send(stun)
    session = session_of(key)
    camera = Camera(parts=FRAME, tag=b"x" * (SIZE - 60))
    packets: list[bytes] = []
    next_key = 0.0
    while len(packets) < rate * seconds:
        key_frame = len(packets) >= next_key
        if key_frame:
            next_key += rate * key_frames
        packets += [session.protect(build_rtp(p)) for p in camera.frame(key=key_frame)]
    time.sleep(0.5)
    start = time.monotonic()
    for at in range(0, len(packets), FRAME):
        time.sleep(max(0.0, start + at / rate - time.monotonic()))
        for packet in packets[at : at + FRAME]:
            sock.send(packet)


def session_of(key: bytes) -> pylibsrtp.Session:
    """For packets to the engine."""
    policy = pylibsrtp.Policy(
        key=key,
        ssrc_type=pylibsrtp.Policy.SSRC_ANY_OUTBOUND,
        srtp_profile=PROFILES[PROFILE][0],
    )
    return pylibsrtp.Session(policy)


def answer(port: int, key: bytes, checks: list[bytes], stop: Event) -> None:
    """Be the viewers: take the packets, and report when they arrived."""
    viewers = []
    for check in checks:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.connect(("127.0.0.1", port))
        sock.setblocking(False)
        sock.send(check)
        viewers.append((sock, ArrivalRecorder(), session_of(key)))
    begun = time.monotonic()
    while not stop.is_set():
        for i, (sock, recorder, session) in enumerate(viewers):
            time.sleep(max(0.0, begun + i * FEEDBACK / len(viewers) - time.monotonic()))
            with contextlib.suppress(BlockingIOError):
                while packet := sock.recv(2048):
                    if packet[0] >> 6 == 2 and not 64 <= packet[1] & 0x7F < 96:
                        # the padding's length is encrypted, so the head is read without it
                        head = bytes((packet[0] & ~0x20,)) + packet[1:]
                        extensions = parse_rtp_untrusted(head).extensions
                        number = extensions[VIEWED_ADAPTED[TRANSPORT_CC_URI]]
                        recorder.record(int.from_bytes(number, "big"), time.monotonic())
            if (report := recorder.build(1, 1)) is not None:
                sock.send(session.protect_rtcp(build_rtcp([report])))
        begun += FEEDBACK


def stats(engine: Engine) -> dict[str, Any]:
    engine.request_stats(1)
    while True:
        select.select([engine.event_fd], [], [], 1)
        for event in engine.read_events():
            if isinstance(event, StatsReady):
                return dict(event.stats)


def cpu_seconds(threads: set[str]) -> float:
    return sum(
        int(Path(f"/proc/self/task/{thread}/schedstat").read_text().split()[0]) / 1e9
        for thread in threads
    )


def threads_now() -> set[str]:
    return {p.name for p in Path("/proc/self/task").iterdir()}


@attrs.define(eq=False)
class Host:
    """An engine with viewers."""

    engine: Engine
    thread: set[str]
    viewers: list[int] = attrs.field(factory=list)
    sockets: list[socket.socket] = attrs.field(factory=list)
    checks: list[bytes] = attrs.field(factory=list)
    """The connectivity checks of viewers in another process."""

    @classmethod
    def open(cls) -> "Host":
        before = threads_now()
        engine = Engine(EngineSettings())
        return cls(engine, threads_now() - before)

    def add_transport(self, number: int) -> bytes:
        """Add a transport; returns its connectivity check."""
        self.engine.add_transport(number, f"u{number}", "password-of-it")
        request = binding_request(
            remote_ufrag=f"u{number}", local_ufrag="x", tie_breaker=1, nominate=True
        )
        return build_stun(request, "password-of-it")

    def add_viewer(self, number: int, keys: list[bytes], *, paused: bool, adapted: bool) -> None:
        check = self.add_transport(number)
        if adapted:
            self.checks.append(check)
        else:
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.connect(("127.0.0.1", self.engine.port))
            self.sockets.append(sock)
            sock.send(check)
        self.engine.set_srtp(number, PROFILE, *keys)
        extensions = VIEWED_ADAPTED if adapted else VIEWED
        spec = viewed(number, paused=paused, header_extensions=extensions)
        self.engine.add_consumer(number, number, 1, spec)
        self.viewers.append(number)

    def show(self, count: int) -> None:
        """Resume the first ``count`` viewers and pause the others."""
        for i, number in enumerate(self.viewers):
            self.engine.set_consumer_paused(number, i >= count)

    def used(self) -> float:
        return cpu_seconds(self.thread)

    def forwarded(self) -> int:
        return int(stats(self.engine)["engine"]["rtp_forwarded"])


def measure(hosts: list[Host], seconds: float) -> tuple[int, float]:
    """Packets forwarded, and the CPU seconds for them, from now on."""
    packets = sum(h.forwarded() for h in hosts)
    used = sum(h.used() for h in hosts)
    time.sleep(seconds)
    return sum(h.forwarded() for h in hosts) - packets, sum(h.used() for h in hosts) - used


def report(what: str, viewers: int, packets: int, used: float) -> float:
    cost = used / packets * 1e6
    forwarded = f"{viewers} viewers, {packets} packets forwarded"
    print(f"{what}{forwarded}, {used:.2f} s CPU: {cost:.2f} us each")
    return cost


def main(viewers: int, seconds: float, count: int, adapted: bool) -> None:
    hosts = [Host.open() for _ in range(count)]
    keys = [secrets.token_bytes(PROFILES[PROFILE][1]) for _ in range(2)]
    numbers = itertools.count(2)
    first = hosts[0]
    stun = first.add_transport(1)
    first.engine.set_srtp(1, PROFILE, *keys)
    first.engine.add_producer(1, 1, video())
    for host in hosts:
        if host is not first:
            host.engine.add_mirror(1, video())
            first.engine.relay_producer(1, host.engine)
        for _ in range(viewers if host is first else viewers // count):
            host.add_viewer(next(numbers), keys, paused=host is not first, adapted=adapted)
    turns = round(seconds / TURN) if count > 1 else 0
    rate = min(20_000 / viewers, 4_000)
    running = seconds if count == 1 else 2 * turns * (TURN + 3 * KEY_FRAMES) + 1
    key_frames = seconds if count == 1 else KEY_FRAMES
    spawning = multiprocessing.get_context("spawn")
    stop = spawning.Event()
    answering = [
        spawning.Process(
            target=answer, args=(host.engine.port, keys[1], host.checks, stop), daemon=True
        )
        for host in hosts
        if host.checks
    ]
    for process in answering:
        process.start()
    sender = spawning.Process(
        target=publish, args=(first.engine.port, keys[1], stun, running, rate, key_frames)
    )
    sender.start()
    while not first.forwarded():
        time.sleep(0.05)
    if count == 1:
        packets, used = first.forwarded(), first.used()
        sender.join()
        report("", viewers, first.forwarded() - packets, first.used() - used)
    else:
        compare(hosts, viewers, turns)
        sender.join()
    stop.set()
    for process in answering:
        process.join()
    for host in hosts:
        host.engine.close()


def compare(hosts: list[Host], viewers: int, turns: int) -> None:
    each = viewers // len(hosts)
    one, all_of_them = [0, 0.0], [0, 0.0]
    for turn in range(2 * turns):
        spread = turn % 2 == 1
        for host in hosts:
            host.show(each if spread else len(host.viewers) if host is hosts[0] else 0)
        time.sleep(2 * KEY_FRAMES)
        packets, used = measure(hosts if spread else hosts[:1], TURN)
        total = all_of_them if spread else one
        total[0] += packets
        total[1] += used
    before = report("1 engine: ", viewers, int(one[0]), one[1])
    what = f"{len(hosts)} engines: "
    after = report(what, each * len(hosts), int(all_of_them[0]), all_of_them[1])
    print(f"{len(hosts)} engines to 1: {after / before:.3f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="What one forwarded packet costs.")
    parser.add_argument("viewers", type=int, nargs="?", default=10)
    parser.add_argument("seconds", type=float, nargs="?", default=5)
    parser.add_argument("--engines", type=int, default=1)
    parser.add_argument("--adapted", action="store_true")
    arguments = parser.parse_args()
    main(arguments.viewers, arguments.seconds, arguments.engines, arguments.adapted)

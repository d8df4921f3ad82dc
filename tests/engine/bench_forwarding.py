"""What one forwarded packet costs: ``python tests/engine/bench_forwarding.py [VIEWERS] [SECONDS]``.

A real engine on loopback, one publisher (a process of its own) sending packets of 1200 bytes in
frames of eight, some viewers. Printed is the CPU time of the engine's thread (from
``/proc/self/task/*/schedstat``, so with all of the kernel's work for its sends, on loopback the
receivers' half too) divided by the packets forwarded.
"""

import multiprocessing
import secrets
import select
import socket
import sys
import time
from pathlib import Path
from typing import Any

import pylibsrtp
from support.engine_world import PROFILES, VIEWED, Camera, video

from meet_trio.engine import ConsumerSpec, Engine, EngineSettings, StatsReady
from meet_trio.wire.rtp import build_rtp
from meet_trio.wire.stun import binding_request, build_stun

PROFILE = 0x0007
FRAME = 8  # packets
SIZE = 1200


def publish(port: int, key: bytes, stun: bytes, seconds: float, rate: float) -> None:
    """Send ``rate`` packets a second for ``seconds``, encrypted beforehand."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.connect(("127.0.0.1", port))
    sock.send(stun)
    session = pylibsrtp.Session(
        pylibsrtp.Policy(
            key=key,
            ssrc_type=pylibsrtp.Policy.SSRC_ANY_OUTBOUND,
            srtp_profile=PROFILES[PROFILE][0],
        )
    )
    camera = Camera(parts=FRAME, tag=b"x" * (SIZE - 60))
    packets: list[bytes] = []
    while len(packets) < rate * seconds:
        key_frame = not packets
        packets += [session.protect(build_rtp(p)) for p in camera.frame(key=key_frame)]
    time.sleep(0.5)
    start = time.monotonic()
    for at in range(0, len(packets), FRAME):
        time.sleep(max(0.0, start + at / rate - time.monotonic()))
        for packet in packets[at : at + FRAME]:
            sock.send(packet)


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


def main(viewers: int, seconds: float) -> None:
    before = threads_now()
    engine = Engine(EngineSettings())
    threads = threads_now() - before
    keys = [secrets.token_bytes(PROFILES[PROFILE][1]) for _ in range(2)]
    sockets = []

    def check(number: int) -> bytes:
        engine.add_transport(number, f"u{number}", "password-of-it")
        request = binding_request(
            remote_ufrag=f"u{number}", local_ufrag="x", tie_breaker=1, nominate=True
        )
        return build_stun(request, "password-of-it")

    stun = check(1)
    engine.set_srtp(1, PROFILE, *keys)
    engine.add_producer(1, 1, video())
    for number in range(2, viewers + 2):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.connect(("127.0.0.1", engine.port))
        sockets.append(sock)
        sock.send(check(number))
        engine.set_srtp(number, PROFILE, *keys)
        spec = ConsumerSpec(
            ssrc=50_000 + number,
            rtx_ssrc=60_000 + number,
            payload_type=101,
            rtx_payload_type=102,
            mid="0",
            cname="bench",
            header_extensions=VIEWED,
            nack=True,
            pli=True,
            fir=True,
            paused=False,
        )
        engine.add_consumer(number, number, 1, spec)
    rate = min(20_000 / viewers, 4_000)
    sender = multiprocessing.get_context("spawn").Process(
        target=publish, args=(engine.port, keys[1], stun, seconds, rate)
    )
    sender.start()
    while not stats(engine)["engine"]["rtp_forwarded"]:
        time.sleep(0.05)
    first, used = stats(engine)["engine"], cpu_seconds(threads)
    sender.join()
    last, used = stats(engine)["engine"], cpu_seconds(threads) - used
    packets = last["rtp_forwarded"] - first["rtp_forwarded"]
    print(
        f"{viewers} viewers, {packets} packets forwarded, {used:.2f} s CPU: "
        f"{used / packets * 1e6:.2f} us each"
    )
    engine.close()


if __name__ == "__main__":
    main(
        int(sys.argv[1]) if len(sys.argv) > 1 else 10,
        float(sys.argv[2]) if len(sys.argv) > 2 else 5,
    )

"""An engine in a process of its own, to be killed, and its publisher and viewer at real sockets.

``python -m support.engine_killed BEFORE REGION UDP TCP`` runs it until it is killed, or its
standard input ends with the process that has started it. The numbers are of inherited file
descriptors.
"""

import os
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import attrs
import pylibsrtp
from pylibsrtp import Policy
from support.engine_world import video, viewed
from support.indices import Indices
from support.wire.demux import DatagramKind, classify
from support.wire.rtp import RtpPacket, build_rtp, parse_rtp_untrusted
from support.wire.stun import binding_request, build_stun

from meet_trio.engine import Engine, EngineSettings, Kept, read_kept

PROFILE, KEYING = 0x0007, 28
ALICE, BOB, PRODUCER, CONSUMER = 1, 2, 3, 4
NAMES = {ALICE: "alice", BOB: "bob-"}
PASSWORD = "the-password-of-both"
LOCAL = EngineSettings(listen_ips=("127.0.0.1",), incoming_excess=1000)


def keys(number: int) -> tuple[bytes, bytes]:
    """What the engine sends with, and what it receives with."""
    return bytes([number]) * KEYING, bytes([number + 100]) * KEYING


def furnish(engine: Engine, kept: Kept) -> None:
    """Add the objects, as far as possible as they were, and let it begin."""
    if not kept.transports:
        engine.begin()  # keys of before would need what was kept
    for number, name in NAMES.items():
        engine.add_transport(number, name, PASSWORD)
        engine.set_srtp(number, PROFILE, *keys(number))
        if number in kept.transports:
            engine.resume_transport(number, kept.transports[number])
    engine.add_producer(PRODUCER, ALICE, video())
    if PRODUCER in kept.producers:
        engine.resume_producer(PRODUCER, kept.producers[PRODUCER])
    engine.add_consumer(CONSUMER, BOB, PRODUCER, viewed(CONSUMER))
    if CONSUMER in kept.consumers:
        engine.resume_consumer(CONSUMER, kept.consumers[CONSUMER])
    engine.begin()


def main() -> None:
    before, region, udp, tcp = map(int, sys.argv[1:])
    port = socket.socket(fileno=os.dup(udp)).getsockname()[1]
    settings = attrs.evolve(LOCAL, port=port)
    engine = Engine(settings, [(udp, tcp)], region_fd=region)
    furnish(engine, read_kept(before) if before >= 0 else Kept(0, {}, {}, {}, []))
    os.write(1, b"!")
    while not select.select([sys.stdin], [], [], 0.001)[0]:
        engine.read_events()


class Lives:
    """One process after the other, on the same sockets."""

    def __init__(self) -> None:
        first = Engine(LOCAL)
        ((udp, tcp),) = first.sockets
        self.port = first.port
        self.udp, self.tcp = os.dup(udp), os.dup(tcp)
        first.close()
        self.region = -1
        self.process: subprocess.Popen[bytes] | None = None

    def begin(self) -> None:
        before, self.region = self.region, os.memfd_create("region")
        handles = [self.region, self.udp, self.tcp] + ([before] if before >= 0 else [])
        command = [sys.executable, "-m", "support.engine_killed", str(before)]
        command += map(str, (self.region, self.udp, self.tcp))
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
        self.process = subprocess.Popen(
            command,
            pass_fds=handles,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self.process.stdout
        assert self.process.stdout.read(1) == b"!", "the process has not begun"
        if before >= 0:
            os.close(before)

    def kill(self) -> None:
        assert self.process
        self.process.send_signal(signal.SIGKILL)

    def left(self) -> Kept:
        """What the killed process has left."""
        assert self.process
        self.process.communicate()
        return read_kept(self.region)

    def close(self) -> None:
        self.kill()
        self.left()
        for fd in (self.region, self.udp, self.tcp):
            os.close(fd)


class Publisher:
    """Alice: she sends as fast as she is told."""

    def __init__(self, port: int) -> None:
        self.sock = _connected(port)
        _, ours = keys(ALICE)
        profile = Policy.SRTP_PROFILE_AEAD_AES_128_GCM
        policy = Policy(key=ours, ssrc_type=Policy.SSRC_ANY_OUTBOUND, srtp_profile=profile)
        self.session = pylibsrtp.Session(policy)

    def check(self) -> None:
        _connect(self.sock, ALICE)

    def send(self, packets: list[RtpPacket]) -> None:
        for packet in packets:
            self.sock.send(self.session.protect(build_rtp(packet)))


class Viewer:
    """Bob: ``packets`` are those that have come. An index that is used twice raises."""

    def __init__(self, port: int) -> None:
        self.sock = _connected(port)
        theirs, _ = keys(BOB)
        profile = Policy.SRTP_PROFILE_AEAD_AES_128_GCM
        policy = Policy(key=theirs, ssrc_type=Policy.SSRC_ANY_INBOUND, srtp_profile=profile)
        policy.window_size = 1024
        self.session = pylibsrtp.Session(policy)
        self.indices = Indices()
        self.packets: list[RtpPacket] = []

    def check(self) -> None:
        _connect(self.sock, BOB)

    def receive(self, quiet: float, most: float = 60.0) -> int:
        """Take what comes until nothing has come for ``quiet`` seconds, or for ``most`` in all.
        Returns the number of packets.
        """
        before = len(self.packets)
        self.sock.settimeout(quiet)
        end = time.monotonic() + most
        while True:
            if time.monotonic() > end:
                return len(self.packets) - before
            try:
                data = self.sock.recv(2048)
            except TimeoutError:
                return len(self.packets) - before
            match classify(data):
                case DatagramKind.RTP:
                    self.indices.rtp("bob", data)
                    self.packets.append(parse_rtp_untrusted(self.session.unprotect(data)))
                case DatagramKind.RTCP:
                    self.indices.rtcp("bob", PROFILE, data)


def _connected(port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    sock.connect(("127.0.0.1", port))
    return sock


def _connect(sock: socket.socket, number: int) -> None:
    request = binding_request(
        remote_ufrag=NAMES[number], local_ufrag="far", tie_breaker=1, nominate=True
    )
    sock.settimeout(20)
    sock.send(build_stun(request, PASSWORD))
    assert classify(sock.recv(2048)) is DatagramKind.STUN


if __name__ == "__main__":
    main()

"""The load of ``packets.py``: a server that is nothing but an engine, the publishers, and the
viewers. Each is a process of its own.
"""

import contextlib
import heapq
import itertools
import json
import random
import secrets
import select
import socket
import sys
import time
from multiprocessing.connection import Connection
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

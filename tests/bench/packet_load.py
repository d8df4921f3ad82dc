"""The load of ``packets.py`` and ``engines.py``: what it is, and the processes that make it, the
publishers' and the viewers'. Their server is in ``packet_server.py``.
"""

import contextlib
import heapq
import itertools
import os
import random
import socket
import sys
import time
from multiprocessing.connection import Connection
from typing import Any

import attrs
import pylibsrtp
from support.engine_world import PROFILES, Camera
from support.wire.rtp import RtpPacket, build_rtp

PROFILE = 0x0007
SIZE = 1200  # bytes of a packet from a publisher
RTP_HEADER = 12  # bytes
WARM_UP = 1.0  # seconds
DRAIN = 0.002  # seconds between two looks at a viewer's socket
UDP_SEGMENT, UDP_GRO = 103, 104
RUN = [(socket.IPPROTO_UDP, UDP_SEGMENT, SIZE.to_bytes(2, sys.byteorder))]
CPUS = sorted(os.sched_getaffinity(0))

# Of a publisher in a call
FRAMES = 30  # a second
PARTS = (3, 8)  # packets of a frame, at least and at most
SIZES = (900, 1200)  # bytes of a packet of video
SOUNDS = 50  # packets of audio a second
SOUND_SIZES = (60, 160)  # bytes of such a packet


@attrs.frozen(kw_only=True)
class Load:
    engines: int = 1
    rooms: int = 1
    """With several, each is on an engine of its own."""
    publishers: int = 4
    """Of each room, as all of the next three."""
    viewers: int = 50
    rate: float = 48_000
    """Forwarded packets a second."""
    frame: int = 8
    """Packets that a publisher sends at once."""
    whole: bool = False
    """A publisher's frame comes as one message of the kernel."""
    call: bool = False
    """Like a call, instead of frames of ``frame`` packets at equal intervals."""
    in_step: bool = False
    """All publishers of a call send at one time."""
    plain: bool = False
    """Viewers on plain RTP."""
    gro: bool = False
    """Viewers take messages whole."""
    unread: bool = False
    """A second room's packets are sent, too, and nobody reads them."""
    kept: bool = False
    """What has to outlive the process is in a file in memory."""
    pin: bool = False
    """Engines on the first CPU, publishers and viewers on the last."""
    seconds: float = 4.0

    @classmethod
    def of_call(cls, **fields: Any) -> "Load":
        """With as many publishers as come near to the rate."""
        load = cls(call=True, **fields)
        each = load.viewers * (FRAMES * sum(PARTS) / 2 + SOUNDS)
        publishers = max(1, round(load.rate / each))
        return attrs.evolve(load, publishers=publishers, rate=publishers * each)

    def engine_of(self, room: int, member: int) -> int:
        return room if self.rooms > 1 else member % self.engines

    def __str__(self) -> str:
        rooms = "two rooms apart" if self.rooms > 1 else "a room"
        engines = "two engines" if self.engines > 1 else "one engine"
        what = (
            f"a call of {self.publishers}{' in step' * self.in_step}"
            if self.call
            else f"frames of {self.frame}"
        )
        way = "plain" if self.plain else "SRTP"
        rate = f"{self.rate / 1000:.0f} kpps{' each' * (self.rooms > 1)}"
        way += f" out{', GRO' * self.gro}{', kept' * self.kept}"
        return f"{rooms} on {engines}, {what}, {way}, {rate}"


def bound() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.bind(("127.0.0.1", 0))
    return sock


def pin(task: int, cpu: int) -> None:
    """``cpu``: its place among those of this process. ``task``: 0 is this thread."""
    os.sched_setaffinity(task, {CPUS[cpu]})


def publish(rooms: list[list[int]], load: Load, started: Any) -> None:
    """The publishers of a room send their frames one after the other at equal intervals, to these
    ports; all rooms at the same times.
    """
    if load.pin:
        pin(0, -1)
    sock, unread = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), bound()
    if load.unread:
        rooms = [*rooms, [unread.getsockname()[1]]]
    cameras = [
        [(port, Camera(ssrc=1000, parts=load.frame, tag=b"x" * SIZE)) for port in room]
        for room in rooms
    ]
    interval = load.frame * load.viewers / load.rate  # seconds between two frames of a room
    began = time.monotonic()
    started.set()
    for count in itertools.count():
        key = count * interval < WARM_UP / 2  # a viewer may begin late
        ready: list[tuple[bytes, int]] = []
        for room in cameras:
            port, camera = room[count % len(room)]
            longer = 0 if load.whole else count // len(room)
            packets = [build_rtp(p) for p in near_equal(camera.frame(key=key), longer)]
            ready += [(data, port) for data in ([b"".join(packets)] if load.whole else packets)]
        time.sleep(max(0.0, began + count * interval - time.monotonic()))
        for data, port in ready:
            sock.sendmsg([data], RUN if load.whole else [], 0, ("127.0.0.1", port))


def call(clients: list[tuple[int, str, str]], load: Load, started: Any) -> None:
    """Each publisher sends at times of its own, if not in step. A client has the port that it sends
    to, its connectivity check, and its key.
    """
    dice = random.Random(1)
    socks = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in clients]
    sessions = []
    for sock, (port, check, key) in zip(socks, clients, strict=True):
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
        ready: list[tuple[int, bytes]] = []
        while due[0][0] == at:
            _, i, rate, stream = due[0]
            if rate == FRAMES:
                stream.parts, size = dice.randint(*PARTS), dice.randint(*SIZES)
                early = at - began < WARM_UP / 2
                packets = near_equal(stream.frame(key=early), dice.randint(0, 7), size)
            else:
                packets = near_equal(stream.frame(), 0, dice.randint(*SOUND_SIZES))
            ready += [(i, sessions[i].protect(build_rtp(p))) for p in packets]
            heapq.heapreplace(due, (at + 1 / rate, i, rate, stream))
        time.sleep(max(0.0, at - time.monotonic()))
        for i, data in ready:
            socks[i].sendto(data, ("127.0.0.1", clients[i][0]))


def near_equal(frame: list[RtpPacket], count: int, size: int = SIZE) -> list[RtpPacket]:
    """The frame's packets, all of ``size``, but for a varying number of the last ones, which have a
    byte more.
    """
    payload = size - RTP_HEADER
    longer = count % len(frame)
    return [
        attrs.evolve(p, payload=p.payload[: payload + (i >= len(frame) - longer)])
        for i, p in enumerate(frame)
    ]


def watch(load: Load, pipe: Connection) -> None:
    """Be the viewers: read what comes, and count it. A check goes to the port beside it."""
    if load.pin:
        pin(0, -1)
    pairs = [bound_pair() for _ in range(load.rooms * load.viewers)]
    sockets = [rtp for rtp, _ in pairs]
    for sock in sockets:
        sock.setsockopt(socket.IPPROTO_UDP, UDP_GRO, load.gro)
    pipe.send([sock.getsockname()[1] for sock in sockets])
    for sock, (port, check) in zip(sockets, pipe.recv(), strict=False):
        sock.sendto(bytes.fromhex(check), ("127.0.0.1", port))
    controls = [rtcp for _, rtcp in pairs] if load.plain else []
    received = 0
    into = bytearray(1 << 16)
    while True:
        if pipe.poll():
            pipe.recv()
            pipe.send(received)
        for sock in sockets:
            with contextlib.suppress(BlockingIOError):
                while True:
                    received += datagrams_read(sock, into)
        for sock in controls:
            with contextlib.suppress(BlockingIOError):
                sock.recv_into(into)
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

"""The load generator's thread beside a real engine: a publisher and viewers by SRTP on loopback."""

import os
import select
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.engine_threads import running_engine
from support.engine_world import PROFILES, VIEWED_ADAPTED, video, viewed
from support.wire.rtp import RtpPacket, build_rtp
from support.wire.stun import binding_request, build_stun

from meet_trio.engine import (
    CheckAnswered,
    Crowd,
    CrowdFailed,
    CrowdReport,
    Engine,
    EngineSettings,
    FeedSpec,
    StreamBegun,
    ViewedSpec,
)

PROFILE = 0x0007
KEYS = bytes(range(PROFILES[PROFILE][1])), bytes(reversed(range(PROFILES[PROFILE][1])))
NUMBER = 9 << 3
TRANSPORT_CC = 5
VIEWERS = 3
FRAMES = 30
DEADLINE = 10.0
UDP_SEGMENT = 103  # linux/udp.h


@pytest.fixture
def engine() -> Iterator[Engine]:
    opened = running_engine(EngineSettings(initial_outgoing_bitrate=50_000_000))
    yield opened
    opened.close()


def connected(port: int) -> int:
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    opened.setblocking(False)
    opened.connect(("127.0.0.1", port))
    return opened.detach()


def add_end(engine: Engine, crowd: Crowd, transport: int, transport_cc_id: int) -> int:
    """Both ends of a transport."""
    engine.add_transport(transport, f"u{transport}", "password-of-it")
    engine.set_srtp(transport, PROFILE, *KEYS)
    request = binding_request(
        remote_ufrag=f"u{transport}", local_ufrag="x", tie_breaker=1, nominate=True
    )
    check = build_stun(request, "password-of-it")
    endpoint = crowd.add_endpoint(connected(engine.port), -1, check, transport_cc_id, transport)
    crowd.set_srtp(endpoint, PROFILE, KEYS[1], KEYS[0])
    return endpoint


def camera() -> FeedSpec:
    return FeedSpec(
        video=True,
        number=NUMBER,
        ssrc=1000,
        rtx_ssrc=1001,
        payload_type=96,
        rtx_payload_type=97,
        clock_rate=90_000,
        interval=0.01,
        frame_size=8 * 1000,
        keyframe_size=8 * 1000,
        packet_size=1000,
        mid="v0",
    )


class Watcher:
    """Reads a crowd's events."""

    def __init__(self, crowd: Crowd) -> None:
        self.crowd = crowd
        self.answered: set[int] = set()
        self.begun: set[int] = set()
        self.reports: list[CrowdReport] = []
        self.token = 0

    def read(self) -> None:
        select.select([self.crowd.event_fd], [], [], 1)
        for event in self.crowd.read_events():
            match event:
                case CheckAnswered(endpoint):
                    self.answered.add(endpoint)
                case StreamBegun(endpoint):
                    self.begun.add(endpoint)
                case CrowdReport():
                    self.reports.append(event)

    def report(self) -> CrowdReport:
        """What the crowd has done until now."""
        self.token += 1
        self.crowd.request_report(self.token)
        deadline = time.monotonic() + DEADLINE
        while time.monotonic() < deadline:
            self.read()
            for report in self.reports:
                if report.token == self.token:
                    return report
        pytest.fail("no report")

    def wait_for(self, **least: int) -> CrowdReport:
        """The first report whose counters have reached these values."""
        deadline = time.monotonic() + DEADLINE
        while time.monotonic() < deadline:
            report = self.report()
            if all(report.counters[name] >= value for name, value in least.items()):
                return report
            time.sleep(0.01)
        pytest.fail(f"{least} was not reached: {dict(report.counters)}")


@pytest.mark.parametrize("join", [True, False])
def test_all_that_is_sent_is_counted(engine: Engine, join: bool) -> None:
    crowd = Crowd(join)
    try:
        watcher = Watcher(crowd)
        crowd.set_silent(True)
        publisher = add_end(engine, crowd, 1, 0)
        engine.add_producer(
            1, 1, video(header_extensions={"urn:ietf:params:rtp-hdrext:sdes:mid": 4})
        )
        for number in range(2, 2 + VIEWERS):
            viewer = add_end(engine, crowd, number, TRANSPORT_CC)
            spec = viewed(number, header_extensions=VIEWED_ADAPTED)
            engine.add_consumer(number, number, 1, spec)
            crowd.add_viewed(
                viewer, ViewedSpec(True, NUMBER, spec.ssrc, 90_000, spec.rtx_ssrc, True)
            )
        while len(watcher.answered) < 1 + VIEWERS:
            watcher.read()
        crowd.add_feed(publisher, camera())
        crowd.set_silent(False)
        watcher.wait_for(sent_frames=FRAMES)
        crowd.set_silent(True)
        sent = watcher.report().counters["sent_packets"]
        time.sleep(0.05)
        assert sent == 8 * watcher.report().counters["sent_frames"]
        end = watcher.wait_for(received_packets=VIEWERS * sent, feedback_sent=VIEWERS)
        counters = end.counters
        assert counters["received_packets"] == VIEWERS * sent
        faults = (
            "lost",
            "duplicates",
            "repeated_as_asked",
            "unauthentic",
            "unknown_ssrc",
            "unlabelled",
            "wrong_feed",
        )
        assert {name: counters[name] for name in faults} == dict.fromkeys(faults, 0)
        assert sum(end.delays) == VIEWERS * sent
        assert 0 < end.longest_delay < DEADLINE * 1e6
        assert watcher.begun == {1, 2, 3}
        assert counters["streams"] == VIEWERS
        assert counters["silent_streams"] == 0
        assert 0 < counters["busy_us"] < DEADLINE * 1e6
    finally:
        crowd.close()


def test_another_feed_is_noticed(engine: Engine) -> None:
    """The check can fail: the viewer expects another publisher, and has the wrong key."""
    crowd = Crowd()
    try:
        watcher = Watcher(crowd)
        publisher = add_end(engine, crowd, 1, 0)
        engine.add_producer(1, 1, video(header_extensions={}))
        for number, expected in ((2, NUMBER + 8), (3, NUMBER)):
            viewer = add_end(engine, crowd, number, 0)
            spec = viewed(number)
            engine.add_consumer(number, number, 1, spec)
            crowd.add_viewed(viewer, ViewedSpec(True, expected, spec.ssrc, 90_000))
        crowd.set_srtp(viewer, PROFILE, KEYS[1], KEYS[1])
        while len(watcher.answered) < 3:
            watcher.read()
        crowd.add_feed(publisher, camera())
        report = watcher.wait_for(wrong_feed=8, unauthentic=8)
        assert not any(report.delays)
    finally:
        crowd.close()


def test_repeated_as_asked() -> None:
    """Without RTX a packet that was asked for comes as it is, and its late first copy comes too."""
    crowd = Crowd()
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
            server.bind(("127.0.0.1", 0))
            own = connected(server.getsockname()[1])
            with socket.socket(fileno=os.dup(own)) as same:
                address = same.getsockname()
            crowd.add_endpoint(own, -1, b"", 0, 1)
            crowd.add_viewed(0, ViewedSpec(False, NUMBER, 77, 48_000, nack=True))
            watcher = Watcher(crowd)
            watcher.report()  # its socket is ready

            def send(number: int) -> None:
                packet = RtpPacket(
                    payload_type=111,
                    sequence_number=number,
                    timestamp=0,
                    ssrc=77,
                    payload=bytes(100),
                )
                server.sendto(build_rtp(packet), address)

            for number in (0, 2):
                send(number)
            watcher.wait_for(nacks_sent=1)
            for _ in range(20):
                send(1)
            send(3)
            counters = watcher.wait_for(received_packets=4).counters
        assert 1 <= counters["repeated_as_asked"] == counters["nacks_sent"] <= 10
        assert counters["duplicates"] == 20 - 1 - counters["nacks_sent"]
    finally:
        crowd.close()


@pytest.mark.parametrize("join", [True, False])
def test_datagrams_that_were_sent_as_one(join: bool) -> None:
    """A server on this machine may send a run of packets as one datagram (GSO)."""
    payloads = [bytes(1000)] * 4 + [bytes(300)]
    packets = [
        build_rtp(
            RtpPacket(payload_type=96, sequence_number=n, timestamp=0, ssrc=77, payload=payload)
        )
        for n, payload in enumerate(payloads)
    ]
    crowd = Crowd(join)
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
            server.bind(("127.0.0.1", 0))
            own = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            own.setblocking(False)
            own.connect(server.getsockname())
            address = own.getsockname()
            crowd.add_endpoint(own.detach(), -1, b"", 0, 1)
            crowd.add_viewed(0, ViewedSpec(True, NUMBER, 77, 90_000))
            watcher = Watcher(crowd)
            watcher.report()  # its socket is ready
            size = struct.pack("H", len(packets[0]))
            server.sendmsg(packets, [(socket.IPPROTO_UDP, UDP_SEGMENT, size)], 0, address)
            counters = watcher.wait_for(received_packets=5).counters
        assert counters["received_bytes"] == sum(map(len, packets))
        assert counters["unlabelled"] == 5
        assert counters["malformed"] == counters["lost"] == 0
    finally:
        crowd.close()


def resources() -> tuple[int, int]:
    names = [thread.read_text() for thread in Path("/proc/self/task").glob("*/comm")]
    return len(os.listdir("/proc/self/fd")), names.count("meet-crowd\n")


@pytest.mark.parametrize("taken", [True, False])
def test_closing_leaves_nothing(taken: bool) -> None:
    """Neither of commands that the thread has taken, nor of those that still wait."""
    before = resources()
    crowd = Crowd()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as nobody:
        nobody.bind(("127.0.0.1", 0))
        for _ in range(3):
            crowd.add_endpoint(connected(nobody.getsockname()[1]), -1, b"\0" * 20, 0, 1)
    crowd.add_feed(0, camera())
    assert resources()[1] == 1
    if taken:
        Watcher(crowd).report()
    crowd.close()
    crowd.close()
    assert resources() == before
    with pytest.raises(ValueError, match="closed"):
        crowd.request_report(1)


def test_a_socket_that_cannot_be_watched_ends_the_crowd() -> None:
    """A file is none. Otherwise its stream would only never begin."""
    before = resources()
    crowd = Crowd()
    file = os.open(__file__, os.O_RDONLY)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        crowd.add_endpoint(file, os.dup(other.fileno()), b"", 0, 1)
        select.select([crowd.event_fd], [], [], DEADLINE)
        (failed,) = crowd.read_events()
    assert isinstance(failed, CrowdFailed)
    crowd.close()
    assert resources() == before


def test_impossible_arguments() -> None:
    crowd = Crowd()
    try:
        with pytest.raises(ValueError, match="frame_size"):
            crowd.add_feed(0, FeedSpec(True, 1, 1, 96, 90_000, 0.01, 0, 1000, 1000))
        with pytest.raises(ValueError, match="packet_size"):
            crowd.add_feed(0, FeedSpec(True, 1, 1, 96, 90_000, 0.01, 1000, 5000, 1000))
        with pytest.raises(ValueError, match="profile"):
            crowd.set_srtp(0, 3, b"", b"")
        with pytest.raises(ValueError, match="check"):
            crowd.add_endpoint(-1, -1, bytes(257), 0, 1)
    finally:
        crowd.close()


def test_without_endpoints_the_thread_sleeps() -> None:
    """A processor that it took would be missed by the server that it measures."""
    crowd = Crowd()
    try:
        time.sleep(1.2)  # longer than its longest sleep
        (thread,) = (
            task
            for task in Path("/proc/self/task").iterdir()
            if (task / "comm").read_text() == "meet-crowd\n"
        )
        used = [int((thread / "schedstat").read_text().split()[0])]
        time.sleep(0.5)
        used.append(int((thread / "schedstat").read_text().split()[0]))
        assert used[1] - used[0] < 50e6, "nanoseconds"
    finally:
        crowd.close()

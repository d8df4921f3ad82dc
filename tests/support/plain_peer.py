"""A peer that speaks plain RTP: signaling in Python, media by programs like ffmpeg and GStreamer.

async with open_plain_peer(token_url) as peer:
    await peer.join("Camera", video=True)
    inlet = await peer.create(producing=True)
    await peer.produce(inlet, "video", ssrc=2222)
    async with run_program("ffmpeg", …, inlet.url):
        …
"""

import contextlib
import random
import re
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import trio
from support.news import News
from support.signaling import Signaling, open_signaling

OPUS, VP8 = 111, 96
"""Payload types that our programs send."""

PARAMETERS: Mapping[str, dict[str, Any]] = {
    "audio": {
        "mimeType": "audio/opus",
        "payloadType": OPUS,
        "clockRate": 48000,
        "channels": 2,
    },
    "video": {
        "mimeType": "video/VP8",
        "payloadType": VP8,
        "clockRate": 90000,
        "rtcpFeedback": [{"type": "nack", "parameter": "pli"}],
    },
}
PROGRAM_DEADLINE = 10.0  # seconds that a program has to end after SIGINT


@attrs.frozen
class PlainEnd:
    """The server's side of a plain transport."""

    id: str
    ip: str
    port: int
    rtcp_port: int

    @property
    def url(self) -> str:
        """The URL in ffmpeg's form."""
        return f"rtp://{self.ip}:{self.port}?rtcpport={self.rtcp_port}&pkt_size=1200"


@attrs.define(eq=False)
class PlainPeer:
    """``consumers`` has the server's offers, in order; all are accepted."""

    signaling: Signaling
    consumers: list[dict[str, Any]] = attrs.field(factory=list)
    _news: News = attrs.field(factory=News)

    def __attrs_post_init__(self) -> None:
        self.signaling.on_request = self._handle_request

    async def request(self, method: str, data: object = None) -> Any:
        return await self.signaling.request(method, data)

    async def join(self, nickname: str, *kinds: str) -> Any:
        """Join to receive ``kinds`` of media: opus and VP8 without RTX, without extensions, and
        with no feedback except key frame requests.
        """
        router = await self.request("getRouterRtpCapabilities")
        codecs = [
            {**codec, "rtcpFeedback": [f for f in codec["rtcpFeedback"] if f["parameter"] == "pli"]}
            for codec in router["codecs"]
            if codec["kind"] in kinds and codec["mimeType"] in ("audio/opus", "video/VP8")
        ]
        capabilities = {"codecs": codecs, "headerExtensions": []}
        return await self.request("join", {"nickname": nickname, "rtpCapabilities": capabilities})

    async def create(self, *, producing: bool) -> PlainEnd:
        answer = await self.request(
            "createPlainTransport", {"producing": producing, "consuming": not producing}
        )
        return PlainEnd(answer["id"], answer["ip"], answer["port"], answer["rtcpPort"])

    async def connect(self, end: PlainEnd, port: int, *, ip: str = "127.0.0.1") -> None:
        """RTCP goes to the next port."""
        await self.request(
            "connectPlainTransport",
            {"transportId": end.id, "ip": ip, "port": port, "rtcpPort": port + 1},
        )

    async def produce(self, end: PlainEnd, kind: str, **encoding: int) -> str:
        """Returns the producer's id. Without ``ssrc`` only the payload type identifies
        the stream.
        """
        answer = await self.request(
            "produce",
            {
                "transportId": end.id,
                "kind": kind,
                "rtpParameters": {"codecs": [PARAMETERS[kind]], "encodings": [encoding]},
                "appData": {"source": "mic" if kind == "audio" else "webcam"},
            },
        )
        return str(answer["id"])

    async def wait_consumer(self, kind: str) -> dict[str, Any]:
        """The data of the first ``newConsumer`` of ``kind``."""
        while True:
            for consumer in self.consumers:
                if consumer["kind"] == kind:
                    return consumer
            await self._news.wait()

    async def _handle_request(self, method: str, data: Any) -> None:
        assert method == "newConsumer", method
        self.consumers.append(data)
        self._news.tell()


@contextlib.asynccontextmanager
async def open_plain_peer(token_url: str) -> AsyncIterator[PlainPeer]:
    async with open_signaling(token_url) as signaling, trio.open_nursery() as nursery:
        peer = PlainPeer(signaling)
        nursery.start_soon(signaling.run)
        await signaling.wait_notice("roomReady")
        yield peer
        nursery.cancel_scope.cancel()


def sdp(consumer: Mapping[str, Any], port: int) -> str:
    """A session description of one consumer's stream, for programs that read SDP."""
    codec = consumer["rtpParameters"]["codecs"][0]
    name, channels = codec["mimeType"].split("/")[1], codec.get("channels")
    coding = f"{name}/{codec['clockRate']}" + (f"/{channels}" if channels else "")
    return (
        "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
        f"m={consumer['kind']} {port} RTP/AVP {codec['payloadType']}\r\n"
        f"a=rtpmap:{codec['payloadType']} {coding}\r\na=rtcp:{port + 1}\r\na=recvonly\r\n"
    )


def free_ports(count: int = 2) -> int:
    """The first of ``count`` UDP ports in a row that are free on loopback; it is even. The ports
    are outside of the server's own range and of the kernel's ephemeral range. Two callers at the
    same time do not get the same ports.
    """
    for _ in range(1000):
        first = random.randrange(10_000, 30_000, 2)
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            for port in range(first, first + count):
                sock = stack.enter_context(socket.socket(type=socket.SOCK_DGRAM))
                sock.bind(("0.0.0.0", port))
            return first
    raise OSError("no free ports")


async def wait_bound(*ports: int) -> None:
    """Wait until these UDP ports are bound (on IPv4, or on IPv6 for both)."""
    wanted = set(ports)
    while True:
        tables = _udp_tables()
        bound = {int(p, 16) for p in re.findall(r":\s\w+:(\w{4}) ", tables)}
        if wanted <= bound:
            return
        await trio.sleep(0.02)


def _udp_tables() -> str:
    return "".join(Path(f"/proc/net/{name}").read_text() for name in ("udp", "udp6"))


@contextlib.asynccontextmanager
async def run_program(*command: str | Path) -> AsyncIterator[trio.Process]:
    """Run a program for the time of the ``async with``. SIGINT ends it, which lets it finish its
    files. Its output is shown if it ends badly or the test fails.
    """
    log: list[bytes] = []
    async with trio.open_nursery() as nursery:
        process: trio.Process = await nursery.start(
            partial(
                trio.run_process,
                [*map(str, command)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                check=False,
            )
        )
        nursery.start_soon(_keep, process.stdout, log)
        good = False
        try:
            yield process
            assert process.poll() is None, "it has ended by itself"
            good = True
        finally:
            if not good:
                print(f"{command[0]} said:", b"".join(log).decode(errors="replace")[-3000:])
            with trio.move_on_after(PROGRAM_DEADLINE, shield=True) as late:
                process.send_signal(signal.SIGINT)
                await process.wait()
            if late.cancelled_caught:
                process.kill()


async def _keep(stdout: Any, log: list[bytes]) -> None:
    async for chunk in stdout:
        log.append(chunk)
        del log[:-1000]

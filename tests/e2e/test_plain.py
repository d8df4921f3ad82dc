"""Plain RTP with real programs: ffmpeg and GStreamer send into a meeting and record one; people and
browsers see and hear them.
"""

import contextlib
import json
import socket
import threading
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
from support.daemon import Daemon
from support.pages import Join
from support.participant import open_participant
from support.peers import PARTICIPANT
from support.plain_peer import PlainPeer, free_ports, open_plain_peer, run_program, wait_bound
from support.programs import (
    FRAME_RATE,
    VIDEO_SSRC,
    Vp8File,
    count_frames,
    ffmpeg_records,
    ffmpeg_sends,
    gstreamer_records,
    gstreamer_sends,
)
from support.server import LocalServer, open_server, quick_settings
from support.signaling import RequestFailed
from support.wire.rtp import RtpPacket

SENDERS = {"ffmpeg": ffmpeg_sends, "gstreamer": gstreamer_sends}
RECORDED_BYTES = 200_000  # seconds of a camera, at any of its layers
RECORDERS = {"ffmpeg": ffmpeg_records, "gstreamer": gstreamer_records}
LOOPBACK = ("127.0.0.0/8",)  # the address of the programs


@contextlib.asynccontextmanager
async def sending(token_url: str, program: str) -> AsyncIterator[PlainPeer]:
    """A peer whose audio and video come from a program. The audio has no SSRC announced."""
    async with open_plain_peer(token_url) as peer:
        await peer.join(program)
        audio, video = await peer.create(producing=True), await peer.create(producing=True)
        await peer.produce(audio, "audio")
        await peer.produce(video, "video", ssrc=VIDEO_SSRC)
        async with run_program(*SENDERS[program](audio, video)):
            yield peer


@contextlib.asynccontextmanager
async def recording(
    token_url: str, program: str, kind: str, file: Path
) -> AsyncIterator[dict[str, Any]]:
    """A peer whose media of one kind goes to a program, which writes it to ``file``."""
    async with open_plain_peer(token_url) as peer:
        end = await peer.create(producing=False)
        await peer.join(program, kind)
        consumer = await peer.wait_consumer(kind)
        port = free_ports()
        async with run_program(*RECORDERS[program](consumer, port, file)):
            await wait_bound(port)
            await peer.connect(end, port)
            yield consumer


async def until(condition: Callable[[], object], seconds: float = 60) -> None:
    with trio.fail_after(seconds):
        while not condition():
            await trio.sleep(0.02)


@pytest.mark.parametrize("program", SENDERS)
async def test_a_person_gets_what_a_program_sends(program: str, tmp_path: Path) -> None:
    """Each frame arrives, and sender reports arrive as the clock."""
    with trio.fail_after(90):
        async with open_server(quick_settings(plain_allowed=LOOPBACK)) as server:
            room = await server.api.create_room()
            async with (
                open_participant(await server.api.create_peer(room, PARTICIPANT)) as ada,
                sending(await server.api.create_peer(room, PARTICIPANT), program),
            ):
                await ada.join("Ada")
                await ada.connect()
                picture, sound = [await ada.wait_consumer(kind=k) for k in ("video", "audio")]
                file = Vp8File(tmp_path / "seen.ivf")
                heard: list[RtpPacket] = []
                picture.stream.on_packet, sound.stream.on_packet = file.take, heard.append
                await until(lambda: file.frames >= 3 * FRAME_RATE)
                await until(lambda: sound.stream._last_report and picture.stream._last_report)
                figures = await _figures(server)
            file.close()
            assert count_frames(file.path, "video") == file.frames
            numbers = [p.sequence_number for p in heard]
            assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
            assert len(numbers) > 80  # 50 a second
            assert (picture.stream.lost, sound.stream.lost) == (0, 0)
            assert figures["dropped_plain_not_allowed"] == figures["dropped_plain_stranger"] == 0
            assert figures["dropped_rtp_unknown_stream"] == 0


@pytest.mark.parametrize(
    ("sender", "recorder", "kind", "engines"),
    [
        ("gstreamer", "ffmpeg", "video", 1),
        ("gstreamer", "ffmpeg", "audio", 2),
        ("ffmpeg", "gstreamer", "video", 2),
        ("ffmpeg", "gstreamer", "audio", 1),
    ],
)
async def test_a_program_records_what_another_sends(
    sender: str, recorder: str, kind: str, engines: int, tmp_path: Path
) -> None:
    """Both programs on one engine, and each on its own."""
    settings = quick_settings(workers=engines, spread_size=1, plain_allowed=LOOPBACK)
    with trio.fail_after(90):
        async with open_server(settings) as server:
            room = await server.api.create_room()
            file = tmp_path / "recorded.mkv"
            # A frame of audio is a packet; a frame of the test picture is up to three.
            packets, wanted = {"video": (135, 35), "audio": (150, 120)}[kind]
            async with (
                sending(await server.api.create_peer(room, PARTICIPANT), sender),
                recording(
                    await server.api.create_peer(room, PARTICIPANT), recorder, kind, file
                ) as consumer,
            ):
                assert consumer["rtpParameters"]["headerExtensions"] == []
                while await _sent_to_viewer(server) < packets:
                    await trio.sleep(0.1)
                crossed = (await _figures(server))["relay_packets_out"]
                assert bool(crossed) == (engines > 1)
            frames = count_frames(file, kind)
            print(f"{frames} frames recorded of {packets} packets")
            assert frames >= wanted


async def _figures(server: LocalServer) -> dict[str, Any]:
    stats = await server.running.hosts[0].stats()
    engine = stats["engine"]
    assert isinstance(engine, dict)
    return engine


async def _sent_to_viewer(server: LocalServer) -> int:
    """Packets sent to the one consumer."""
    stats: list[dict[str, Any]] = [await host.stats() for host in server.running.hosts]
    (consumer,) = [c for figures in stats for c in figures["consumers"].values()]
    return int(consumer["packetCount"])


@pytest.mark.parametrize(
    ("settings", "refused"),
    [
        ({}, True),
        ({"plain_allowed": LOOPBACK, "plain_transports": False}, True),
        ({"plain_allowed": LOOPBACK}, False),
    ],
)
async def test_loopback_is_for_plain_rtp_if_it_is_allowed(
    settings: dict[str, Any], refused: bool
) -> None:
    """Also to clients that connect over loopback, as these do."""
    with trio.fail_after(60):
        async with open_server(quick_settings(**settings)) as server:
            room = await server.api.create_room()
            async with open_plain_peer(await server.api.create_peer(room, PARTICIPANT)) as eve:
                for producing in (True, False):
                    with pytest.raises(RequestFailed) if refused else contextlib.nullcontext():
                        await eve.create(producing=producing)


async def test_nothing_is_left_and_ports_are_free_again() -> None:
    with trio.fail_after(90):
        first = free_ports(8)
        settings = quick_settings(plain_ports=(first, first + 7), plain_allowed=LOOPBACK)
        async with open_server(settings) as server:
            before = await server.counts()
            for _ in range(3):
                room = await server.api.create_room()
                async with (
                    open_plain_peer(await server.api.create_peer(room, PARTICIPANT)) as ada,
                    open_plain_peer(await server.api.create_peer(room, PARTICIPANT)) as bob,
                ):
                    await ada.join("Ada")
                    await bob.join("Bob", "audio")
                    ends = [await ada.create(producing=True) for _ in range(3)]
                    ends.append(await bob.create(producing=False))
                    assert {end.port for end in ends} == set(range(first, first + 8, 2))
                    await ada.produce(ends[0], "audio", ssrc=1)
                    await bob.wait_consumer("audio")
                    with socket.socket(type=socket.SOCK_DGRAM) as sock:
                        sock.bind(("127.0.0.1", 0))
                        sock.setblocking(False)
                        await bob.connect(ends[3], sock.getsockname()[1])
                        await _talk_until_heard(sock, ends[0].port)
                assert await server.settled(before, 30) == before


async def _talk_until_heard(sock: socket.socket, port: int) -> None:
    """Send from the socket until the server has sent it back there as another peer's media."""
    number = 0
    while True:
        head = bytes([0x80, 111]) + number.to_bytes(2, "big") + bytes(4) + (1).to_bytes(4, "big")
        sock.sendto(head + b"hello", ("127.0.0.1", port))
        number += 1
        await trio.sleep(0.02)
        with contextlib.suppress(BlockingIOError):
            assert sock.recv(2048).endswith(b"hello")
            return


# In a browser


@contextlib.contextmanager
def in_thread(scenario: Callable[[], Any]) -> Iterator[None]:
    """Run ``scenario``, an async context manager, beside a test that Playwright drives."""
    ready, errors = threading.Event(), list[BaseException]()
    handle: list[tuple[trio.lowlevel.TrioToken, trio.CancelScope]] = []

    async def main() -> None:
        with trio.CancelScope() as scope:
            handle.append((trio.lowlevel.current_trio_token(), scope))
            async with scenario():
                ready.set()
                await trio.sleep_forever()

    def run() -> None:
        try:
            trio.run(main)
        except BaseException as error:
            errors.append(error)
        finally:
            ready.set()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert ready.wait(60)
        assert not errors, errors
        yield
    finally:
        if thread.is_alive() and handle:
            token, scope = handle[0]
            with contextlib.suppress(trio.RunFinishedError):
                trio.from_thread.run_sync(scope.cancel, trio_token=token)
        thread.join()
    assert not errors, errors


def token_url(room: str) -> str:
    """The token URL of a new peer, for the URL of a room's page."""
    base, room_id = room.rsplit("/room/", 1)
    request = urllib.request.Request(f"{base}/demo/rooms/{room_id}/connection", method="POST")
    with urllib.request.urlopen(request, timeout=60) as answer:
        return str(json.load(answer)["token"])


@pytest.fixture(scope="module")
def daemon_flags() -> tuple[str, ...]:
    return ("--media-plain-allowed", ",".join(LOOPBACK))


@pytest.mark.parametrize("program", SENDERS)
def test_a_browser_shows_what_a_program_sends(
    daemon: Daemon, room: str, join: Join, program: str
) -> None:
    ada = join(room, "Ada", video="0")
    with in_thread(lambda: sending(token_url(room), program)):
        ada.wait_for_media(videos=1, audios=1)
        ada.wait("meetTest.stats().then(all => all.some(s => s.framesDecoded > 30))")
        stats = [s for s in ada.stats() if s["kind"] == "video"]
        assert [(s["frameWidth"], s["packetsLost"]) for s in stats] == [(320, 0)]
        ada.screenshot(f"plain-{program}")
    ada.wait("meetTest.state().peers.length === 0")


@pytest.mark.parametrize("program", RECORDERS)
def test_a_program_records_a_browser(
    daemon: Daemon, room: str, join: Join, program: str, tmp_path: Path
) -> None:
    """The camera sends a key frame when it is asked for one: when the recorder is connected."""
    ada = join(room, "Ada")
    ada.wait("meetTest.state().joined")
    file = tmp_path / "browser.mkv"
    with in_thread(lambda: recording(token_url(room), program, "video", file)):
        deadline = time.monotonic() + 60
        while not file.exists() or file.stat().st_size < RECORDED_BYTES:
            assert time.monotonic() < deadline, "nothing is recorded"
            ada.page.wait_for_timeout(50)
    frames = count_frames(file, "video")
    print(f"{program} recorded {frames} frames in {file.stat().st_size} bytes")
    assert frames >= 10

"""Browsers behind an emulated link that loses 3 % of all packets in both directions:
video goes on.
"""

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest
from e2e.link import Link, Weather, open_link
from playwright.sync_api import Browser, Playwright
from support.daemon import Daemon, start_daemon
from support.pages import CHROMIUM, CHROMIUM_FLAGS, Join, MeetingPage, make_room, sent_frames

STRETCH = 12.0  # seconds that are measured at a time
STRETCHES = 4
FAIR = Weather(delay=0.02)
LOSSY = attrs.evolve(FAIR, loss=0.03)


@pytest.fixture
def link(link_emulator: Path) -> Iterator[Link]:
    with open_link(link_emulator, up=FAIR, down=FAIR) as link:
        yield link


@pytest.fixture
def far_daemon(link: Link) -> Iterator[Daemon]:
    """A daemon that can be reached only over the link."""
    with socket.socket() as probe:
        probe.bind((link.server_ip, 0))
        port = probe.getsockname()[1]
    running = start_daemon(
        *("--demo-allow-remote", "--http-host", link.server_ip, "--http-port", str(port)),
        *("--media-listen-ip", link.server_ip),
        PUBLIC_DOMAIN=f"{link.server_ip}:{port}",
    )
    yield running
    running.stop()


@pytest.fixture
def far_browser(
    playwright: Playwright, link: Link, far_daemon: Daemon, tmp_path: Path
) -> Iterator[Browser]:
    """Chromium at the far end of the link."""
    wrapper = link.write_wrapper(tmp_path / "chromium", CHROMIUM)
    origin = far_daemon.url.rstrip("/")
    # Chromium allows cameras only over https or with this flag.
    flags = [*CHROMIUM_FLAGS, f"--unsafely-treat-insecure-origin-as-secure={origin}"]
    running = playwright.chromium.launch(
        executable_path=wrapper, args=flags, ignore_default_args=["--mute-audio"]
    )
    yield running
    running.close()


def measure(pages: list[MeetingPage]) -> float:
    """The share of the frames sent within ``STRETCH`` that is decoded, at most all of them. Frames
    that the machine is too busy to send do not count.
    """

    def frames() -> tuple[int, int]:
        decoded = sum(
            int(str(s["framesDecoded"]))
            for page in pages
            for s in page.stats()
            if s["kind"] == "video"
        )
        return decoded, sum(map(sent_frames, pages))

    before = frames()
    time.sleep(STRETCH)
    decoded, sent = (new - old for new, old in zip(frames(), before, strict=True))
    assert sent > STRETCH, "hardly anything is sent"
    return min(decoded / sent, 1.0)  # frames that were sent before may be among the decoded ones


def test_video_survives_three_percent_loss(
    link: Link, far_daemon: Daemon, far_browser: Browser, join: Join
) -> None:
    room = make_room(far_daemon, far_browser)
    pages = [join(room, name, browser=far_browser) for name in ("Ada", "Bob")]
    for page in pages:
        page.wait_for_media(videos=1, audios=1)
    # In the first stretch the bandwidth estimates grow.
    fair = max(measure(pages) for _ in range(2))
    link.set(LOSSY, LOSSY)
    # In the first stretch the jitter buffers grow, and other load on the machine can only take
    # frames away: the best of a few stretches counts.
    lossy: list[float] = []
    while len(lossy) < STRETCHES and max(lossy, default=0.0) < 0.9 * fair:
        lossy.append(measure(pages))
    up, down = link.counters()
    print(f"frames decoded of those sent: {fair:.0%}, with 3 % of loss {lossy}; {up}, {down}")
    pages[0].screenshot("three-percent-loss")
    assert min(up.lost, down.lost) > 30
    assert max(lossy) >= 0.9 * fair

"""Real browsers with the meeting page in them. Screenshots are kept in ``artifacts/``."""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import pytest
from playwright.sync_api import Browser, Page
from support.daemon import Daemon
from support.machine import datagrams_dropped

ARTIFACTS = Path(__file__).parents[2] / "artifacts"

CHROMIUM = "/usr/bin/chromium"
CHROMIUM_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--use-fake-device-for-media-stream=fps=10",  # software codecs on few cores
    "--use-fake-ui-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
    "--allow-loopback-in-peer-connection",
)


@attrs.define(eq=False)
class MeetingPage:
    """A page in the meeting."""

    page: Page

    @property
    def state(self) -> dict[str, object]:
        state: dict[str, object] = self.page.evaluate("meetTest.state()")
        return state

    def stats(self) -> list[dict[str, object]]:
        stats: list[dict[str, object]] = self.page.evaluate("meetTest.stats()")
        return stats

    def wait(self, condition: str, timeout: float = 20.0) -> None:
        """Until the JavaScript ``condition`` holds; it may await."""
        deadline = time.monotonic() + timeout
        while not self.page.evaluate(f"async () => Boolean(await ({condition}))"):
            if time.monotonic() > deadline:
                state = self.page.evaluate("window.meetTest && meetTest.state()")
                pytest.fail(f"not within {timeout} s: {condition}\n{state}")
            self.page.wait_for_timeout(50)

    def wait_for_media(self, videos: int, audios: int, timeout: float = 20.0) -> None:
        """Until so many videos show frames and so many sounds are heard."""
        self.wait(
            f"""meetTest.stats().then(all =>
            all.filter(s => s.kind === 'video' && s.framesDecoded > 0).length >= {videos} &&
            all.filter(s => s.kind === 'audio' && s.totalAudioEnergy > 0).length >= {audios})""",
            timeout,
        )

    def click(self, test_id: str) -> None:
        self.page.get_by_test_id(test_id).first.click()

    def screenshot(self, name: str) -> None:
        ARTIFACTS.mkdir(exist_ok=True)
        self.page.screenshot(path=ARTIFACTS / f"{name}.png")


def make_room(daemon: Daemon, browser: Browser) -> str:
    """The URL of a new room's page."""
    context = browser.new_context(ignore_https_errors=True)
    answer = context.request.post(f"{daemon.url}demo/rooms")
    assert answer.ok
    room_id = answer.json()["roomId"]
    context.close()
    return f"{daemon.url}room/{room_id}"


Join = Callable[..., MeetingPage]


def sent_frames(page: MeetingPage) -> int:
    """Of the camera, in whichever layer has sent most."""
    stats = page.page.evaluate("meetTest.sendStats()")
    return max(int(s["framesSent"]) for s in stats if s["slot"] == "webcam" and "framesSent" in s)


@contextlib.contextmanager
def nothing_lost(pages: list[MeetingPage]) -> Iterator[None]:
    """No page misses packets, but those that the kernel dropped because who was to read them was
    not run in time: that is the machine's doing. They are counted on the whole machine, for the
    time of the ``with``, in which the pages come into the list.
    """
    dropped = datagrams_dropped()
    yield
    lost = sum(int(str(s["packetsLost"])) for page in pages for s in page.stats())
    dropped = datagrams_dropped() - dropped
    assert lost <= dropped, f"{lost} packets lost, of which the kernel dropped {dropped}"

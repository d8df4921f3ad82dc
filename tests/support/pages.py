"""Real browsers with the meeting page in them. Screenshots go to ``artifacts/``."""

import abc
import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

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
    "--use-fake-device-for-media-stream=fps=10,device-count=3",  # software codecs on few cores
    "--use-fake-ui-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
    "--allow-loopback-in-peer-connection",
)


class RoomPage(abc.ABC):
    """A page that has opened the URL of a room, in any browser."""

    @abc.abstractmethod
    def evaluate(self, script: str) -> Any:
        """The value of the JavaScript ``script`` in the page, awaited. If it is a function, it is
        called.
        """

    @abc.abstractmethod
    def click(self, test_id: str) -> None:
        """Click the first element with this ``data-testid``, once there is one."""

    @abc.abstractmethod
    def pause(self, seconds: float) -> None:
        """Let the browser run for a moment."""

    @abc.abstractmethod
    def screenshot(self, name: str) -> None:
        """Write a picture of the page to ``artifacts/``."""

    @property
    def state(self) -> dict[str, object]:
        state: dict[str, object] = self.evaluate("meetTest.state()")
        return state

    def stats(self) -> list[dict[str, object]]:
        stats: list[dict[str, object]] = self.evaluate("meetTest.stats()")
        return stats

    def wait(self, condition: str, timeout: float = 60.0) -> None:
        """Wait until the JavaScript ``condition`` holds; it may await."""
        deadline = time.monotonic() + timeout
        while not self.evaluate(f"async () => Boolean(await ({condition}))"):
            if time.monotonic() > deadline:
                state = self.evaluate("window.meetTest && meetTest.state()")
                pytest.fail(f"not within {timeout} s: {condition}\n{state}")
            self.pause(0.05)

    def wait_for_media(self, videos: int, audios: int, timeout: float = 60.0) -> None:
        """Wait until ``videos`` videos show frames and ``audios`` sounds are heard."""
        self.wait(
            f"""meetTest.stats().then(all =>
            all.filter(s => s.kind === 'video' && s.framesDecoded > 0).length >= {videos} &&
            all.filter(s => s.kind === 'audio' && s.totalAudioEnergy > 0).length >= {audios})""",
            timeout,
        )


@attrs.define(eq=False)
class MeetingPage(RoomPage):
    """A page of Chromium, driven by Playwright."""

    page: Page

    def evaluate(self, script: str) -> Any:
        return self.page.evaluate(script)

    def pause(self, seconds: float) -> None:
        self.page.wait_for_timeout(1000 * seconds)

    def click(self, test_id: str) -> None:
        self.page.get_by_test_id(test_id).first.click()

    def pick(self, test_id: str, value: str) -> None:
        """Choose an option of a select element by its value."""
        self.page.get_by_test_id(test_id).select_option(value)

    def shows(self, test_id: str, text: str) -> None:
        """Wait until ``text`` is seen in the element with this ``data-testid``."""
        self.page.get_by_test_id(test_id).get_by_text(text).first.wait_for()

    def press(self, key: str) -> None:
        self.page.keyboard.press(key)

    def screenshot(self, name: str) -> None:
        ARTIFACTS.mkdir(exist_ok=True)
        self.page.screenshot(path=ARTIFACTS / f"{name}.png")


def make_room(daemon: Daemon, browser: Browser) -> str:
    """Create a room; returns the URL of its page."""
    context = browser.new_context(ignore_https_errors=True)
    answer = context.request.post(f"{daemon.url}demo/rooms")
    assert answer.ok
    room_id = answer.json()["roomId"]
    context.close()
    return f"{daemon.url}room/{room_id}"


Join = Callable[..., MeetingPage]


def sent_frames(page: RoomPage) -> int:
    """Frames sent of the camera, on the layer that has sent most."""
    stats = page.evaluate("meetTest.sendStats()")
    return max(int(s["framesSent"]) for s in stats if s["slot"] == "webcam" and "framesSent" in s)


@contextlib.contextmanager
def nothing_lost(pages: Sequence[RoomPage]) -> Iterator[None]:
    """Assert that no page misses packets except those that the kernel dropped. The kernel drops
    packets if the machine does not run their reader in time. Drops are counted on the whole machine
    within the ``with``. Pages may join the list within it.
    """
    dropped = datagrams_dropped()
    yield
    lost = sum(int(str(s["packetsLost"])) for page in pages for s in page.stats())
    dropped = datagrams_dropped() - dropped
    assert lost <= dropped, f"{lost} packets lost, of which the kernel dropped {dropped}"

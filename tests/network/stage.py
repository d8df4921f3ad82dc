"""A server, a browser beside it, and a browser behind an emulated link."""

import contextlib
import http.client
import json
import socket
import subprocess
import time
import wave
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from math import pi, sin
from pathlib import Path
from typing import Any, Literal

import attrs
from e2e.link import Link, Weather, compile_emulator, open_link
from network.load import Load, LoadMeter
from network.trace import Frame, Trace
from playwright.sync_api import Browser, Playwright
from support.daemon import Daemon, start_daemon, token_of
from support.pages import CHROMIUM, CHROMIUM_FLAGS, MeetingPage, make_room

WIDTH, HEIGHT, FPS = 960, 540, 20
TICK = 0.1
FAIR = Weather(delay=0.01).capped(20e6, 0.2)
SCRIPT = Path(__file__).with_name("measure.js")
STARTED = 40.0  # seconds within which the viewer has the publisher's top layer


Far = Literal["viewer", "publisher", "nobody"]
"""Whose network the link is."""


@attrs.frozen
class Props:
    """Files that all runs share: the emulator, and what the fake devices play in a loop."""

    emulator: Path
    camera: Path
    microphone: Path

    @classmethod
    def make(cls, folder: Path) -> "Props":
        camera, microphone = folder / "camera.y4m", folder / "tone.wav"
        # Moving bars and the noise of a camera: the encoder uses all of its bit rate.
        subprocess.run(
            [
                *("ffmpeg", "-hide_banner", "-nostdin", "-loglevel", "error", "-y", "-f", "lavfi"),
                *("-i", f"testsrc2=size={WIDTH}x{HEIGHT}:rate={FPS}:duration=5"),
                *("-vf", "noise=alls=8:allf=t", "-pix_fmt", "yuv420p", camera),
            ],
            check=True,
        )
        with wave.open(str(microphone), "wb") as file:
            file.setparams((1, 2, 48000, 0, "NONE", ""))
            samples = (int(9000 * sin(2 * pi * 440 * n / 48000)) for n in range(48000))
            file.writeframes(b"".join(s.to_bytes(2, "little", signed=True) for s in samples))
        return cls(compile_emulator(folder), camera, microphone)


@attrs.define(eq=False)
class Stage:
    props: Props
    link: Link
    daemon: Daemon
    near: Browser
    far: Browser
    room: str
    """The URL of the room's page."""
    _contexts: list[Any] = attrs.field(factory=list)

    def join(self, name: str, *, far: bool, publishes: str | None) -> MeetingPage:
        """A page in the meeting. ``publishes``: the page's options for that; None: it only watches,
        and has room for a picture of the top layer.
        """
        browser = self.far if far else self.near
        context = browser.new_context(
            permissions=["camera", "microphone"],
            viewport={"width": 320, "height": 240} if publishes else {"width": 1280, "height": 720},
        )
        self._contexts.append(context)
        context.add_init_script(path=SCRIPT)
        page = context.new_page()
        options = publishes or "video=0&audio=0"
        page.goto(f"{self.room}?autojoin=1&name={name}&{options}")
        meeting = MeetingPage(page)
        meeting.wait("window.meetTest && meetTest.state().joined")
        return meeting

    def leave(self) -> None:
        """Close all pages."""
        while self._contexts:
            self._contexts.pop().close()

    def figures(self) -> dict[str, Any]:
        """The server's figures of the peers in the room, by nickname."""
        host, _, port = self.daemon.url.split("/")[2].partition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=5)
        connection.request(
            "GET", "/meetmedia/api/stats", headers={"X-Auth-Token": token_of(self.daemon)}
        )
        answer = json.loads(connection.getresponse().read())
        connection.close()
        (peers,) = answer.values() if len(answer) == 1 else ({},)
        return {peer["nickname"]: peer for peer in peers.values()}


@contextlib.contextmanager
def open_stage(props: Props, playwright: Playwright, folder: Path) -> Iterator[Stage]:
    with contextlib.ExitStack() as stack:
        link = stack.enter_context(open_link(props.emulator, up=FAIR, down=FAIR))
        with socket.socket() as probe:
            probe.bind((link.server_ip, 0))
            port = probe.getsockname()[1]
        daemon = start_daemon(
            *("--demo-allow-remote", "--http-host", link.server_ip, "--http-port", str(port)),
            *("--media-listen-ip", link.server_ip),
            PUBLIC_DOMAIN=f"{link.server_ip}:{port}",
        )
        stack.callback(daemon.stop, deadline=20)
        flags = [
            *(flag for flag in CHROMIUM_FLAGS if "use-fake-device" not in flag),
            "--use-fake-device-for-media-stream",
            f"--use-file-for-fake-video-capture={props.camera}",
            f"--use-file-for-fake-audio-capture={props.microphone}",
            # Chromium allows cameras only over https or with this flag.
            f"--unsafely-treat-insecure-origin-as-secure={daemon.url.rstrip('/')}",
        ]
        wrapper = link.write_wrapper(folder / "chromium", CHROMIUM)
        browsers = []
        for program in (CHROMIUM, str(wrapper)):
            browser = playwright.chromium.launch(
                executable_path=program, args=flags, ignore_default_args=["--mute-audio"]
            )
            stack.callback(browser.close)
            browsers.append(browser)
        near, far = browsers
        yield Stage(props, link, daemon, near, far, make_room(daemon, near))


_BROWSERS: dict[Far, tuple[str, str]] = {
    "viewer": ("publisher", "viewer"),
    "publisher": ("viewer", "publisher"),
    "nobody": ("publisher and viewer", "third"),
}
"""Who is in the near browser, and in the far one."""


@attrs.define(eq=False)
class Scene:
    """One run: a publisher and a viewer in a room, one of them behind the link."""

    stage: Stage
    trace: Trace
    publisher: MeetingPage
    viewer: MeetingPage
    far: Far
    seconds: float = 25.0
    """How long most rows measure."""
    settling: float = 5.0
    """How long the weather has been there before."""
    load: Load | None = None
    notes: list[str] = attrs.field(factory=list)
    _waits: Counter[int] = attrs.field(factory=Counter)

    @property
    def _direction(self) -> str:
        """The way of the media through the link."""
        return "up" if self.far == "publisher" else "down"

    def weather(self, weather: Weather) -> None:
        """The weather of the media: towards the far viewer, or from the far publisher."""
        self.stage.link.set(**{self._direction: weather})

    def mark(self, name: str) -> None:
        self.trace.marks[name] = time.time()

    def play(
        self, seconds: float, events: Sequence[tuple[float, Callable[[], None]]] = ()
    ) -> Trace:
        """Measure for ``seconds``; ``events`` happen at their seconds."""
        link, trace = self.stage.link, self.trace
        names = _BROWSERS[self.far]
        meter = LoadMeter(self.stage.daemon.process.pid, link.network_namespace, names)
        waits = self._waits = link.waits(self._direction)
        waiting = sorted(events, key=lambda event: event[0])
        self._sample()
        self.mark("start")
        begun = time.monotonic()
        meter.start(begun)
        while (passed := time.monotonic() - begun) < seconds:
            while waiting and waiting[0][0] <= passed:
                waiting.pop(0)[1]()
            self._sample()
            meter.tick(time.monotonic())
            until = min([seconds, *(at for at, _ in waiting[:1]), passed + TICK])
            time.sleep(max(0.0, begun + until - time.monotonic()))
        self.mark("end")
        self.load = meter.stop(time.monotonic())
        self._sample()
        trace.waits = link.waits(self._direction) - waits
        trace.load = str(self.load)
        self.viewer.page.wait_for_timeout(200)  # one more sample after the end
        trace.publisher = self.publisher.page.evaluate("networkTest.take()")["samples"]
        taken = self.viewer.page.evaluate("networkTest.take()")
        trace.viewer = taken["samples"]
        trace.frames = [Frame(*frame) for frame in taken["frames"]]
        return trace

    def _sample(self) -> None:
        at = time.time()
        link = self.stage.link
        up, down = link.counters()
        before, self._waits = self._waits, link.waits(self._direction)
        sample: dict[str, Any] = {
            "time": at,
            "link": {"up": attrs.asdict(up), "down": attrs.asdict(down)},
            "longest wait": max(self._waits - before, default=0),
        }
        with contextlib.suppress(OSError, http.client.HTTPException):
            figures = self.stage.figures()
            for role in ("publisher", "viewer"):
                sample[role] = figures.get(role, {})
        sample.setdefault("viewer", {})
        self.trace.samples.append(sample)


@contextlib.contextmanager
def open_scene(
    stage: Stage, row: str, run: int, far: Far, publishes: str = "codec=vp8"
) -> Iterator[Scene]:
    """A publisher and a viewer, once the viewer gets the publisher's top layer over a fair link."""
    stage.link.set(up=FAIR, down=FAIR)
    stage.link.seed(run)
    try:
        publisher = stage.join("publisher", far=far == "publisher", publishes=publishes)
        viewer = stage.join("viewer", far=far == "viewer", publishes=None)
        viewer.wait(
            f"networkTest.frames.at(-1)?.[1] === {WIDTH} && "
            "networkTest.last()?.inbound.some(s => s.kind === 'audio' && s.totalSamplesReceived)",
            STARTED,
        )
        yield Scene(stage, Trace(row, run), publisher, viewer, far)
    finally:
        stage.leave()

"""The rows of the table: what the link does in each, what is measured, what is wanted."""

import threading
from collections.abc import Callable, Mapping

import attrs
import trio
from e2e.link import Weather
from network.crowd import join_within
from network.stage import FAIR, Far, Scene

Values = Mapping[str, float | None]
"""By the key of the measure; None: it never happened."""


@attrs.frozen
class Measure:
    """``wanted`` is at least or at most the value, by ``least``."""

    key: str
    label: str
    wanted: float
    unit: str
    least: bool = False

    def met(self, value: float | None) -> bool:
        if value is None:
            return False
        if self.least:
            return value >= self.wanted - 1e-9
        return value <= self.wanted + 1e-9

    def show(self, value: float | None) -> str:
        if value is None:
            return "never"
        match self.unit:
            case "%":
                return f"{100 * value:.1f}".removesuffix(".0") + " %"
            case "ms":
                return f"{1000 * value:.0f} ms"
            case "s":
                return f"{value:.2f} s"
        return f"{value:,.0f}"

    @property
    def bar(self) -> str:
        return f"{'≥' if self.least else '≤'} {self.show(self.wanted)}"


@attrs.frozen
class Row:
    name: str
    link: str
    measures: tuple[Measure, ...]
    play: Callable[[Scene], Values]
    far: Far = "viewer"
    publishes: str = "codec=vp8"
    """How, for the publisher's page."""


def least(key: str, label: str, wanted: float, unit: str = "%") -> Measure:
    return Measure(key, label, wanted, unit, least=True)


def most(key: str, label: str, wanted: float, unit: str = "s") -> Measure:
    return Measure(key, label, wanted, unit)


def settle(scene: Scene, weather: Weather) -> None:
    scene.weather(weather)
    scene.viewer.page.wait_for_timeout(1000 * scene.settling)


APART = most("apart", "picture and sound apart", 0.05, "ms")


# -- caps ---------------------------------------------------------------------------------------


def _cap(kbits: int, queue: float) -> Callable[[Scene], Values]:
    cap = 1000.0 * kbits

    def play(scene: Scene) -> Values:
        settle(scene, FAIR.capped(cap, queue))
        trace = scene.play(scene.seconds)
        widths = sorted({frame.width for frame in trace.frames_within})
        decoded = f"decoded: {len(trace.frames_within)} frames, {widths} wide"
        values = {"frozen": trace.frozen(), "used": trace.used(cap), "wait": trace.wait_p95}
        if not trace.rids:  # layers in one stream
            scene.notes.append(decoded)
            return values
        spatial, temporal = trace.right_layer(cap)
        rates = ", ".join(f"{rate / 1000:.0f}" for rate in trace.bitrates())
        right = f"{trace.width(spatial)} wide, temporal {temporal}"
        scene.notes.append(f"layers of {rates} kbit/s; right: {right}; {decoded}")
        return values | {"right": trace.right_share(cap), "top": trace.top_share}

    return play


def _low_cap(kbits: int) -> Row:
    return Row(
        f"cap-{kbits}",
        f"viewer's cap {kbits} kbit/s, queue 300 ms",
        (
            least("right", "frames of the right layer", 0.9),
            most("frozen", "frozen", 0.0),
            least("used", "of the cap used", 0.75),
            most("wait", "queueing delay p95", 0.15, "ms"),
        ),
        _cap(kbits, 0.3),
    )


def _codec(name: str, link: str, publishes: str) -> Row:
    """A codec of which the table of layers and their bit rates is not known."""
    return Row(
        f"codec-{name}",
        f"{link}, viewer's cap 450 kbit/s, queue 300 ms",
        (
            most("frozen", "frozen", 0.3),
            least("used", "of the cap used", 0.5),
            most("wait", "queueing delay p95", 0.15, "ms"),
        ),
        _cap(450, 0.3),
        publishes=publishes,
    )


def _step(scene: Scene) -> Values:
    low = 500_000.0

    def change(name: str, rate: float) -> Callable[[], None]:
        def act() -> None:
            scene.weather(FAIR.capped(rate, 0.2))
            scene.mark(name)

        return act

    settle(scene, FAIR.capped(3e6, 0.2))
    drop, rise, end = 3.0, 18.0, 30.0
    trace = scene.play(end, [(drop, change("drop", low)), (rise, change("rise", 3e6))])
    trace.marks["before the rise"] = trace.marks["rise"] - 3
    return {
        "under": trace.under(low, "drop", "rise"),
        "frozen": trace.frozen("drop", "end"),
        "apart": trace.apart,
        "back": trace.top_back("rise", "before the rise", "end"),
    }


# -- loss ---------------------------------------------------------------------------------------


def _loss(weather: Weather) -> Callable[[Scene], Values]:
    def play(scene: Scene) -> Values:
        settle(scene, weather)
        trace = scene.play(scene.seconds)
        return {
            "frames": trace.frames_share,
            "top": trace.top_share,
            "audio": trace.concealed,
            "frozen": trace.frozen(),
            "apart": trace.apart,
        }

    return play


def _viewer_loss(percent: int, frames: float, audio: float) -> Row:
    return Row(
        f"loss-{percent}",
        f"loss to the viewer {percent} %",
        (
            least("frames", "frames decoded", frames),
            most("audio", "audio invented", audio, "%"),
            APART,
        ),
        _loss(attrs.evolve(FAIR, loss=percent / 100)),
    )


def _publisher_loss(percent: int, frames: float) -> Row:
    return Row(
        f"publisher-loss-{percent}",
        f"loss from the publisher {percent} %",
        (least("frames", "frames decoded", frames), most("frozen", "frozen", 0.3)),
        _loss(attrs.evolve(FAIR, loss=percent / 100)),
        far="publisher",
    )


# -- paths --------------------------------------------------------------------------------------


def _outage(seconds: float, wanted: float) -> Row:
    def play(scene: Scene) -> Values:
        link = scene.stage.link
        gone = attrs.evolve(FAIR, down=True)

        def end() -> None:
            link.set(FAIR, FAIR)
            scene.mark("back")

        settle(scene, FAIR)
        trace = scene.play(
            2.0 + seconds + min(10.0, scene.seconds),
            [(2.0, lambda: link.set(gone, gone)), (2.0 + seconds, end)],
        )
        return {"resumed": trace.resumed("back")}

    return Row(
        f"outage-{seconds:.0f}",
        f"outage of {seconds:.0f} s",
        (most("resumed", "pictures after the link is back", wanted),),
        play,
    )


def _rebinding(of: Far) -> Row:
    def play(scene: Scene) -> Values:
        def rebind() -> None:
            scene.stage.link.rebind()
            scene.mark("rebound")

        settle(scene, FAIR)
        trace = scene.play(2.0 + min(10.0, scene.seconds), [(2.0, rebind)])
        return {"resumed": trace.resumed("rebound")}

    return Row(
        f"rebind-{of}",
        f"NAT rebinding of the {of}",
        (most("resumed", "pictures after", 0.5),),
        play,
        far=of,
    )


def _jitter(scene: Scene) -> Values:
    settle(scene, attrs.evolve(FAIR, scatter=0.03))
    trace = scene.play(scene.seconds)
    video, audio = (trace.got("retransmittedPacketsReceived", k) for k in ("video", "audio"))
    scene.notes.append(
        f"received again: video {video:.0f}, audio {audio:.0f}; frames {trace.frames_share:.1%}"
    )
    return {"again": trace.server_rise("consumers", "packetsRetransmitted")}


# -- crowds -------------------------------------------------------------------------------------


def _uplink(scene: Scene) -> Values:
    """A second publisher is behind the link, the first one and the viewer are not."""
    stage = scene.stage
    shown = {frame[2] for frame in scene.viewer.page.evaluate("networkTest.frames")}
    stage.join("capped", far=True, publishes="codec=vp8")
    scene.viewer.wait_for_media(videos=2, audios=2)
    stage.link.set(up=FAIR.capped(500_000, 0.2))
    scene.viewer.page.wait_for_timeout(1000 * scene.settling)
    trace = scene.play(scene.seconds)
    trace.frames = [frame for frame in trace.frames if frame.track in shown]
    return {"top": trace.top_share, "frozen": trace.frozen()}


def _ten(scene: Scene) -> Values:
    settle(scene, FAIR)
    failed: list[BaseException] = []
    room = scene.stage.room.rpartition("/")[2]

    def crowd() -> None:
        try:
            trio.run(join_within, scene.stage.daemon, room, 10, 1.0, 6.0)
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=crowd)
    scene.stage.link.set(FAIR, FAIR)
    trace = scene.play(5.0, [(0.0, thread.start)])
    thread.join()
    if failed:
        raise failed[0]
    return {"keys": max(trace.sent("keyFramesEncoded", rid) for rid in trace.rids)}


ROWS = (
    _low_cap(300),
    _low_cap(700),
    Row(
        "cap-1500",
        "viewer's cap 1500 kbit/s",
        (
            least("top", "frames of the top layer", 0.995),
            most("wait", "queueing delay p95", 0.06, "ms"),
        ),
        _cap(1500, 0.2),
    ),
    _codec("vp9", "VP9, one stream of three spatial layers", "codec=vp9&mode=L3T3_KEY"),
    _codec("av1", "AV1, one stream of two spatial layers", "codec=av1&mode=L2T2_KEY"),
    _codec("h264", "H.264, three streams without temporal layers", "codec=h264"),
    Row(
        "step",
        "3 Mbit/s → 500 kbit/s → 3 Mbit/s",
        (
            most("under", "under the cap after", 2.0),
            most("frozen", "frozen", 0.5),
            most("back", "top layer back after", 3.0),
            APART,
        ),
        _step,
    ),
    _viewer_loss(1, 0.995, 0.002),
    _viewer_loss(5, 0.985, 0.004),
    _viewer_loss(10, 0.97, 0.006),
    _viewer_loss(20, 0.90, 0.015),
    _publisher_loss(5, 0.97),
    _publisher_loss(10, 0.95),
    Row(
        "bursts",
        "loss to the viewer 3 % in runs of 4",
        (least("frames", "frames decoded", 0.98), most("frozen", "frozen", 0.3), APART),
        _loss(attrs.evolve(FAIR, loss=0.03, burst=4)),
    ),
    _outage(2.0, 0.2),
    _outage(8.0, 0.5),
    _rebinding("viewer"),
    _rebinding("publisher"),
    Row(
        "jitter",
        "jitter of 30 ms with reordering",
        (most("again", "needless retransmissions in 25 s", 300, ""),),
        _jitter,
    ),
    Row(
        "uplink",
        "another publisher's uplink capped at 500 kbit/s",
        (least("top", "frames of the top layer", 0.99), most("frozen", "frozen", 0.0)),
        _uplink,
        far="nobody",
    ),
    Row(
        "ten",
        "ten join one publisher within 1 s",
        (most("keys", "key frames in 5 s", 2, ""),),
        _ten,
    ),
)

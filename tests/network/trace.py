"""What one run has seen, every 100 ms, and what follows from it. Pure.

Times are seconds of the system's clock, which all parts of a run share.
"""

import bisect
import itertools
import json
import math
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs

TEMPORAL_BITS = (0.4, 0.6, 1.0)
"""The share of a VP8 layer's bits up to each temporal layer: libwebrtc's allocation for three."""
TEMPORAL_FRAMES = (0.25, 0.5, 1.0)
PACKET_OVERHEAD = 20 + 8 + 16
"""Bytes of a packet that the browser does not count: IP, UDP, and at most SRTP's tag."""
NOMINAL = (105_000.0, 310_000.0, 910_000.0)
"""Bit rates of the layers on the wire, if a trace does not show them."""
FULL = 18
"""Frames within a second from which on a layer counts as sent."""


@attrs.frozen
class Frame:
    time: float
    width: int
    track: str


@attrs.define(eq=False)
class Trace:
    """``samples`` are of server and link; ``publisher`` and ``viewer`` of the pages. Each has a
    ``time``. ``marks`` are moments of the row; ``start`` and ``end`` bound what is measured.
    """

    row: str
    run: int
    marks: dict[str, float] = attrs.field(factory=dict)
    samples: list[dict[str, Any]] = attrs.field(factory=list)
    publisher: list[dict[str, Any]] = attrs.field(factory=list)
    viewer: list[dict[str, Any]] = attrs.field(factory=list)
    frames: list[Frame] = attrs.field(factory=list)
    waits: Counter[int] = attrs.field(factory=Counter)
    """Packets towards the far end from ``start`` to ``end``, by milliseconds before the
    bottleneck.
    """
    load: str = ""

    @property
    def seconds(self) -> float:
        return self.marks["end"] - self.marks["start"]

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(attrs.asdict(self), separators=(",", ":")))

    @classmethod
    def read(cls, path: Path) -> "Trace":
        data = json.loads(path.read_text())
        data["frames"] = [Frame(**frame) for frame in data["frames"]]
        data["waits"] = Counter({int(ms): count for ms, count in data["waits"].items()})
        return cls(**data)

    # -- the pages -----------------------------------------------------------------------------

    def sent(self, name: str, rid: str | None = None, kind: str = "video") -> float:
        """How much a figure of what the publisher sends rose: the sum of its encodings, or one."""
        return _rise(self.publisher, self._bounds, "outbound", name, kind=kind, rid=rid)

    def got(self, name: str, kind: str) -> float:
        """How much a figure of what the viewer gets rose."""
        return _rise(self.viewer, self._bounds, "inbound", name, kind=kind)

    @property
    def rids(self) -> list[str]:
        """The publisher's encodings, smallest first."""
        widths = {
            entry["rid"]: entry.get("frameWidth", 0)
            for sample in self.publisher
            for entry in sample["outbound"]
            if entry["kind"] == "video" and "rid" in entry
        }
        return sorted(widths)

    def width(self, spatial: int) -> int:
        """The width of a layer's frames, as the publisher encodes them."""
        rid = self.rids[spatial]
        widths = Counter(
            entry["frameWidth"]
            for sample in self.publisher
            for entry in sample["outbound"]
            if entry.get("rid") == rid and "frameWidth" in entry
        )
        return widths.most_common(1)[0][0] if widths else 0

    @property
    def top_width(self) -> int:
        return self.width(len(self.rids) - 1)

    @property
    def frames_encoded(self) -> float:
        """Frames that the publisher has encoded: of the layer with most, or, if it stops layers
        that nobody wants, of the layer with most in each second.
        """
        whole = max((self.sent("framesEncoded", rid) for rid in self.rids), default=0.0)
        pieces = sum(
            max(self._second("framesEncoded", rid, at, self.marks["end"]) for rid in self.rids)
            for at in _seconds(*self._bounds)
        )
        return pieces if pieces > 1.05 * whole else whole

    def _second(self, name: str, rid: str, start: float, limit: float) -> float:
        bounds = (start, min(start + 1, limit))
        return _rise(self.publisher, bounds, "outbound", name, kind="video", rid=rid)

    @property
    def frames_within(self) -> list[Frame]:
        """The frames that the viewer has decoded from ``start`` to ``end``."""
        start, end = self._bounds
        return [frame for frame in self.frames if start <= frame.time < end]

    # -- measures ------------------------------------------------------------------------------

    @property
    def frames_share(self) -> float:
        """Frames decoded of those that the publisher encoded of one layer."""
        return _share(len(self.frames_within), self.frames_encoded)

    @property
    def top_share(self) -> float:
        """Frames of the top layer decoded of those that the publisher encoded."""
        top = self.top_width
        return _share(sum(f.width == top for f in self.frames_within), self.frames_encoded)

    def frozen(self, start: str = "start", end: str = "end") -> float:
        """Seconds of frozen pictures between two marks, by the rule of getStats: a gap between
        frames counts if it is three times the mean of the last 30, and 150 ms above it. The gap
        that is open at the end counts, too.
        """
        begin, finish = self.marks[start], self.marks[end]
        times = self.times if any(time < begin for time in self.times) else [begin, *self.times]
        return sum(
            max(0.0, min(b, finish) - max(a, begin)) for a, b in freezes(times, until=finish)
        )

    @property
    def times(self) -> list[float]:
        return [frame.time for frame in self.frames]

    @property
    def concealed(self) -> float:
        """The share of the audio that the viewer's decoder invented."""
        invented = self.got("concealedSamples", "audio") - self.got(
            "silentConcealedSamples", "audio"
        )
        return invented / max(1.0, self.got("totalSamplesReceived", "audio"))

    @property
    def apart(self) -> float:
        """Seconds by which picture and sound are apart, the median of both ways."""
        start, end = self._bounds
        found = []
        for sample in self.viewer:
            if not start <= sample["time"] < end:
                continue
            shown = {
                entry["kind"]: entry["estimatedPlayoutTimestamp"]
                for entry in sample["inbound"]
                if entry.get("estimatedPlayoutTimestamp")
            }
            if len(shown) == 2:
                found.append(abs(shown["video"] - shown["audio"]) / 1000)
        return statistics.median(found) if found else math.inf

    @property
    def wait_p95(self) -> float:
        """The 95th percentile of the seconds that packets waited before the bottleneck."""
        return quantile(0.95, self.waits) / 1000

    def used(self, cap: float) -> float:
        """The share of the cap that was delivered to the far end."""
        return self.link_rate("down", "delivered_bytes", "start", "end") / cap

    def link_rate(self, direction: str, figure: str, start: str, end: str) -> float:
        """Bits per second between two marks."""
        begin, finish = self.marks[start], self.marks[end]
        values = [(s["time"], s["link"][direction][figure]) for s in self.samples]
        return 8 * (_at(values, finish) - _at(values, begin)) / (finish - begin)

    def bitrates(self) -> list[float]:
        """The bit rate of each spatial layer on the wire, while the publisher sends it. A layer
        that it hardly sends has its nominal rate.
        """
        found = []
        first, last = self.publisher[0]["time"], self.marks["end"]
        for rid, nominal in zip(self.rids, NOMINAL, strict=False):
            rates = []
            for at in _seconds(first, last - 1):
                if self._second("framesEncoded", rid, at, last) >= FULL:
                    size = sum(
                        self._second(name, rid, at, last) * times
                        for name, times in (
                            ("bytesSent", 1),
                            ("headerBytesSent", 1),
                            ("packetsSent", PACKET_OVERHEAD),
                        )
                    )
                    rates.append(8 * size)
            found.append(statistics.median(rates) if len(rates) >= 5 else nominal)
        return found

    def right_layer(self, cap: float) -> tuple[int, int]:
        """The highest spatial layer that fits below the cap beside the audio with one of its
        temporal layers, and the highest of these.
        """
        audio = 8 * sum(
            self.sent(name, kind="audio") * times
            for name, times in (
                ("bytesSent", 1),
                ("headerBytesSent", 1),
                ("packetsSent", PACKET_OVERHEAD),
            )
        )
        room = cap - audio / self.seconds
        fitting = [
            (spatial, temporal)
            for spatial, rate in enumerate(self.bitrates())
            for temporal, bits in enumerate(TEMPORAL_BITS)
            if rate * bits <= room
        ]
        return max(fitting, default=(0, 0))

    def right_share(self, cap: float) -> float:
        """Frames decoded of the right layer for the cap, of those that it has."""
        spatial, temporal = self.right_layer(cap)
        width = self.width(spatial)
        count = sum(frame.width == width for frame in self.frames_within)
        return _share(count, self.frames_encoded * TEMPORAL_FRAMES[temporal])

    def under(self, cap: float, mark: str, until: str) -> float | None:
        """Seconds from a mark until the server offers the link no more than the cap: in the half
        second from then on, and in each second later. None if it never does.
        """
        times = [s["time"] for s in self.samples]
        offered = [s["link"]["down"]["received_bytes"] for s in self.samples]
        values = list(zip(times, offered, strict=True))
        begin, finish = self.marks[mark], self.marks[until]
        moments = [t for t in times if begin <= t <= finish - 1]
        found = None
        for t in reversed(moments):
            if 8 * (_at(values, t + 1) - _at(values, t)) > 1.1 * cap:
                break
            found = t - begin
        return found

    def top_back(self, mark: str, before: str, until: str) -> float | None:
        """Seconds from a mark until frames of the top layer come again. None if they do not, or if
        they were never away after ``before``.
        """
        begin, finish, top = self.marks[mark], self.marks[until], self.top_width
        was_below = any(
            frame.width != top for frame in self.frames if self.marks[before] < frame.time < begin
        )
        later = [f for f in self.frames if begin <= f.time <= finish]
        if not was_below:
            return None
        return next((f.time - begin for f in later if f.width == top), None)

    def resumed(self, mark: str, window: float = 0.5) -> float | None:
        """Seconds from a mark to the end of the gap between frames that spans it, or of the longest
        that begins within ``window`` after it. None if no frame ends it.
        """
        at, until = self.marks[mark], self.marks["end"]
        ends = [*(t for t in self.times if t < until), until]
        gaps = [(a, b) for a, b in itertools.pairwise(ends) if b > at and a < at + window]
        if not gaps:
            return None
        _, end = max(gaps, key=lambda gap: gap[1] - gap[0])
        return None if end == until else max(0.0, end - at)

    def server_rise(self, kind: str, name: str) -> float:
        """How much a figure of the viewer's consumers rose."""
        start, end = (self._sample(at)["viewer"].get(kind, []) for at in self._bounds)
        before = {entry["id"]: entry.get(name) or 0 for entry in start}
        return float(sum((e.get(name) or 0) - before.get(e["id"], 0) for e in end))

    @property
    def _bounds(self) -> tuple[float, float]:
        return self.marks["start"], self.marks["end"]

    def _sample(self, time: float) -> dict[str, Any]:
        return min(self.samples, key=lambda sample: abs(sample["time"] - time))


def freezes(times: Sequence[float], until: float) -> Iterator[tuple[float, float]]:
    """The gaps between frames that count as freezes."""
    gaps: list[float] = []
    for before, after in itertools.pairwise([*(t for t in times if t < until), until]):
        gap = after - before
        mean = statistics.fmean(gaps[-30:]) if gaps else 0.05
        if gap > max(3 * mean, mean + 0.15):
            yield before, after
        gaps.append(gap)


def _seconds(start: float, end: float) -> list[float]:
    return [start + n for n in range(math.ceil(end - start))]


def quantile(share: float, counts: Counter[int]) -> float:
    total, seen = counts.total(), 0
    for value in sorted(counts):
        seen += counts[value]
        if seen >= share * total:
            return float(value)
    return 0.0


def _rise(
    samples: list[dict[str, Any]],
    bounds: tuple[float, float],
    direction: str,
    name: str,
    *,
    kind: str,
    rid: str | None = None,
) -> float:
    values = [
        (
            sample["time"],
            sum(
                entry.get(name, 0)
                for entry in sample[direction]
                if entry["kind"] == kind and rid in (None, entry.get("rid"))
            ),
        )
        for sample in samples
    ]
    start, end = (_at(values, time) for time in bounds)
    return end - start


def _at(values: list[tuple[float, float]], time: float) -> float:
    """The value at a time, between two samples by a straight line."""
    if not values:
        return 0.0
    place = bisect.bisect_right(values, time, key=lambda pair: pair[0])
    if place == 0:
        return values[0][1]
    if place == len(values):
        return values[-1][1]
    (t0, v0), (t1, v1) = values[place - 1], values[place]
    return v0 + (v1 - v0) * (time - t0) / (t1 - t0)


def _share(part: float, whole: float) -> float:
    return min(1.0, part / whole) if whole else 0.0

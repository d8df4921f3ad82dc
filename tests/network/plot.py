"""A trace as a picture (SVG).

PYTHONPATH=tests python -m network.plot artifacts/network/…/cap-300-1.json
"""

import sys
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

import attrs
from network.trace import Trace

_WIDTH, _HEIGHT, _LEFT, _TOP, _GAP = 900, 150, 70, 40, 40
_COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#8c564b")

Points = Sequence[tuple[float, float]]


@attrs.frozen
class Chart:
    title: str
    lines: dict[str, Points]
    dots: bool = False


def plot(trace: Trace) -> str:
    start = trace.samples[0]["time"] if trace.samples else 0.0
    end = trace.marks.get("end", start + 1)
    charts = _charts(trace)
    height = _TOP + len(charts) * (_HEIGHT + _GAP)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_LEFT + _WIDTH + 20}" height="{height}" '
        'font-family="sans-serif" font-size="11">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="{_LEFT}" y="16" font-size="14">{escape(trace.row)}, run {trace.run}</text>',
        f'<text x="{_LEFT}" y="30" fill="#666">{escape(trace.load)}</text>',
    ]
    for number, chart in enumerate(charts):
        out += _draw(chart, _TOP + number * (_HEIGHT + _GAP) + 14, start, end, trace.marks)
    return "\n".join([*out, "</svg>"]) + "\n"


def _charts(trace: Trace) -> list[Chart]:
    charts = [
        Chart(
            "link, kbit/s",
            {
                f"{direction}, {name}": _rate(
                    (s["time"], s["link"][direction][f"{name}_bytes"]) for s in trace.samples
                )
                for direction in ("down", "up")
                for name in ("received", "delivered")
            },
        ),
        Chart(
            "longest wait before the bottleneck, ms",
            {"": [(s["time"], s.get("longest wait", 0)) for s in trace.samples]},
        ),
        Chart("frames decoded, width", {"": [(f.time, f.width) for f in trace.frames]}, dots=True),
        Chart(
            "packets of the link",
            {
                f"{direction}, {name}": [
                    (s["time"], s["link"][direction][f"{name}"]) for s in trace.samples
                ]
                for direction in ("down", "up")
                for name in ("lost", "queue_dropped")
            },
        ),
        *_server(
            trace,
            "consumers",
            (
                "packetsRetransmitted",
                "nackCount",
                "pliCount",
                "spatialLayer",
                "targetLayer",
                "playoutDelay",
                "redundancy",
            ),
        ),
        *_server(
            trace,
            "transports",
            ("availableOutgoingBitrate", "sendBitrate", "remb", "roundTripTime"),
        ),
    ]
    for name, scale in (("jitterBufferDelay", 1000.0),):
        lines: dict[str, list[tuple[float, float]]] = {}
        last: dict[str, tuple[float, float]] = {}
        for sample in trace.viewer:
            for entry in sample["inbound"]:
                value, count = entry.get(name, 0.0), entry.get("jitterBufferEmittedCount", 0)
                before = last.get(entry["kind"], (0.0, 0))
                last[entry["kind"]] = (value, count)
                if count > before[1]:
                    mean = scale * (value - before[0]) / (count - before[1])
                    lines.setdefault(entry["kind"], []).append((sample["time"], mean))
        charts.append(Chart("viewer's jitter buffer, ms", dict(lines)))
    charts.append(
        Chart(
            "publisher's target, kbit/s",
            {
                rid: [
                    (s["time"], entry.get("targetBitrate", 0) / 1000 * bool(entry.get("active", 1)))
                    for s in trace.publisher
                    for entry in s["outbound"]
                    if entry.get("rid") == rid
                ]
                for rid in trace.rids
            },
        )
    )
    return [chart for chart in charts if any(chart.lines.values())]


def _server(trace: Trace, kind: str, names: Iterable[str]) -> list[Chart]:
    """A chart for each figure of the viewer's objects in the server, if it has values."""
    charts = []
    for name in names:
        lines: dict[str, list[tuple[float, float]]] = {}
        for sample in trace.samples:
            for entry in sample["viewer"].get(kind, []):
                value = entry.get(name)
                if isinstance(value, (int, float)):
                    label = entry.get("kind") or entry["id"][:4]
                    lines.setdefault(label, []).append((sample["time"], value))
        charts.append(Chart(f"server, {kind}: {name}", dict(lines)))
    return charts


def _rate(points: Iterable[tuple[float, float]]) -> Points:
    """Bytes so far as kbit/s over half a second."""
    values = list(points)
    return [
        (t1, 8 * (v1 - v0) / (t1 - t0) / 1000)
        for (t0, v0), (t1, v1) in zip(values, values[5:], strict=False)
        if t1 > t0
    ]


def _draw(chart: Chart, top: float, start: float, end: float, marks: dict[str, float]) -> list[str]:
    highest = max((v for line in chart.lines.values() for _, v in line), default=1.0) or 1.0
    top_value = 1.05 * highest  # a line at the top is seen

    def x(time: float) -> float:
        return _LEFT + _WIDTH * (time - start) / max(1e-9, end - start)

    def y(value: float) -> float:
        return top + _HEIGHT * (1 - value / top_value)

    out = [
        f'<text x="{_LEFT}" y="{top - 3}">{escape(chart.title)}</text>',
        f'<rect x="{_LEFT}" y="{top}" width="{_WIDTH}" height="{_HEIGHT}" fill="none" '
        'stroke="#bbb"/>',
        f'<text x="{_LEFT - 4}" y="{top + 10}" text-anchor="end">{top_value:,.4g}</text>',
        f'<text x="{_LEFT - 4}" y="{top + _HEIGHT}" text-anchor="end">0</text>',
    ]
    for second in range(0, int(end - start) + 1, 5):
        at = x(start + second)
        out.append(f'<text x="{at:.0f}" y="{top + _HEIGHT + 12}" fill="#666">{second} s</text>')
    for name, mark in marks.items():
        if start <= mark <= end and name not in ("start", "end"):
            out.append(
                f'<line x1="{x(mark):.1f}" x2="{x(mark):.1f}" y1="{top}" y2="{top + _HEIGHT}" '
                f'stroke="#888" stroke-dasharray="3"/><text x="{x(mark) + 2:.1f}" '
                f'y="{top + 10}" fill="#666">{escape(name)}</text>'
            )
    for number, (name, line) in enumerate(chart.lines.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        inside = [(t, v) for t, v in line if start <= t <= end]
        if chart.dots:
            out += [
                f'<circle cx="{x(t):.1f}" cy="{y(v):.1f}" r="1.2" fill="{colour}"/>'
                for t, v in inside
            ]
        elif inside:
            points = " ".join(f"{x(t):.1f},{y(v):.1f}" for t, v in inside)
            out.append(f'<polyline points="{points}" fill="none" stroke="{colour}"/>')
        if name:
            out.append(
                f'<text x="{_LEFT + _WIDTH - 4 - 130 * number}" y="{top - 3}" text-anchor="end" '
                f'fill="{colour}">{escape(name)}</text>'
            )
    return out


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        path = Path(argument)
        path.with_suffix(".svg").write_text(plot(Trace.read(path)))
        print(path.with_suffix(".svg"))

"""Draws what the bandwidth estimator does in a simulated network, for the documentation.

    PYTHONPATH=tests .venv/bin/python -m support.estimate_curves

writes one small SVG for each of ``DRAWN`` to ``docs/algorithms/bandwidth``.
"""

import csv
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

import attrs
from support.c_programs import build
from support.c_sources import C

FOLDER = Path(__file__).parents[2] / "docs" / "algorithms" / "bandwidth"
DRAWN = {
    "cap_300": "300 kbit/s, queue of 300 ms",
    "steps": "3 Mbit/s, 500 kbit/s, 3 Mbit/s",
    "outage_2": "20 Mbit/s, outage of 2 s",
    "loss_10": "20 Mbit/s, 10 % loss",
    "swings": "2 Mbit/s, 400, 1200, 250 kbit/s, 5 Mbit/s",
}
WIDTH, RATES, DELAYS, LEFT, GAP = 640, 160, 50, 44, 22


@attrs.frozen
class Sample:
    """100 ms. Rates are in bit/s."""

    time: float
    capacity: float
    estimate: float
    arrived: float
    queue_ms: float


def build_scenarios(program: Path) -> Path:
    sources = [
        *sorted((C / "tests" / "estimate").glob("*.c")),
        *sorted((C / "estimate").glob("*.c")),
    ]
    return build(program, [*sources, C / "base" / "pool.c", C / "formats" / "rtcp.c"])


def read_curves(scenarios: Path, name: str, folder: Path) -> list[Sample]:
    path = folder / f"{name}.csv"
    subprocess.run([scenarios, name, path], check=True, capture_output=True)
    with path.open() as file:
        return [
            Sample(*(float(row[f.name]) for f in attrs.fields(Sample)))
            for row in csv.DictReader(file)
            if row["viewer"] == "0"
        ]


def _line(points: Iterable[tuple[float, float]], colour: str, width: float) -> str:
    """A stretch of equal heights is its two ends."""
    kept: list[tuple[int, int]] = []
    for x, y in ((round(x), round(y)) for x, y in points):
        if len(kept) > 1 and kept[-1][1] == kept[-2][1] == y:
            kept[-1] = (x, y)
        else:
            kept.append((x, y))
    text = " ".join(f"{x},{y}" for x, y in kept)
    return f'<polyline fill="none" stroke="{colour}" stroke-width="{width}" points="{text}"/>'


def draw(name: str, curves: list[Sample]) -> str:
    end = curves[-1].time
    top = 1.1 * max(s.estimate for s in curves)
    longest = max(100.0, *(s.queue_ms for s in curves))
    base = GAP + RATES + GAP + DELAYS

    def x(sample: Sample) -> float:
        return LEFT + sample.time / end * (WIDTH - LEFT - 8)

    def rate(value: float) -> float:
        return GAP + RATES * (1 - min(value / top, 1))

    def delay(value: float) -> float:
        return base - DELAYS * value / longest

    def label(
        at_x: float, at_y: float, text: str, anchor: str = "end", colour: str = "#333"
    ) -> str:
        return (
            f'<text x="{at_x}" y="{at_y:.0f}" text-anchor="{anchor}" fill="{colour}">{text}</text>'
        )

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {base + 20}"'
        ' font-family="sans-serif" font-size="11">',
        f'<rect width="{WIDTH}" height="{base + 20}" fill="#fff"/>',
        label(LEFT, 13, DRAWN[name], "start"),
        label(WIDTH - 8, 13, "estimate", colour="#c22"),
        label(WIDTH - 62, 13, "arrived", colour="#27c"),
        label(WIDTH - 110, 13, "capacity", colour="#999"),
        label(LEFT - 4, rate(top) + 8, f"{top / 1e6:.1f} M"),
        label(LEFT - 4, rate(0), "0"),
        label(LEFT - 4, delay(longest) + 8, f"{longest:.0f} ms"),
        label(LEFT, base + 14, "0 s", "start"),
        label(WIDTH - 8, base + 14, f"{end:.0f} s"),
        _line(((x(s), rate(s.capacity)) for s in curves), "#999", 1.5),
        _line(((x(s), rate(s.arrived)) for s in curves), "#27c", 1),
        _line(((x(s), rate(s.estimate)) for s in curves), "#c22", 1.5),
        _line(((x(s), delay(s.queue_ms)) for s in curves), "#2a2", 1),
        label(WIDTH - 8, base - DELAYS + 8, "queueing delay", colour="#2a2"),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        scenarios = build_scenarios(Path(folder) / "scenarios")
        for name in DRAWN:
            (FOLDER / f"{name}.svg").write_text(
                draw(name, read_curves(scenarios, name, Path(folder)))
            )


if __name__ == "__main__":
    main()

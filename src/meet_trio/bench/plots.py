"""Curves of a run as SVG files, without a library: one line over time for each figure."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP, _RIGHT = 720, 240, 70, 30, 30, 15
_COLOURS = ("#1f6feb", "#d1242f", "#1a7f37", "#9a6700")
_MOST_POINTS = 720
_PLOTS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "packets": ("packets received in a second", {"received_per_second": "packets/s"}),
    "delay": ("delay through the server, ms", {"delay_p50_ms": "p50", "delay_p99_ms": "p99"}),
    "cpu": (
        "CPU, percent of one core",
        {"server_cpu_percent": "server", "generator_busy_percent": "generator"},
    ),
    "loss": ("packets lost, percent", {"lost_percent": "lost"}),
}


def write_plots(folder: Path, samples: Sequence[Mapping[str, Any]]) -> list[Path]:
    """One file for each plot that has values. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, (title, lines) in _PLOTS.items():
        curves = {
            label: [(s["at"], s[key]) for s in samples if s[key] is not None]
            for key, label in lines.items()
        }
        curves = {label: points for label, points in curves.items() if points}
        if curves:
            path = folder / f"{name}.svg"
            path.write_text(plot(title, curves))
            written.append(path)
    return written


def plot(title: str, curves: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """The SVG of curves of (seconds, value)."""
    longest = max((x for points in curves.values() for x, _ in points), default=0) or 1.0
    highest = _round_up(max((y for points in curves.values() for _, y in points), default=0))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>',
        f'<text x="{_LEFT}" y="18">{title}</text>',
    ]
    for step in range(5):
        y = _y(highest * step / 4, highest)
        parts.append(f'<path d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}" stroke="#ddd"/>')
        value = f"{highest * step / 4:,.4g}" if highest < 1000 else f"{highest * step / 4:,.0f}"
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value}</text>')
    parts.append(
        f'<text x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 8}" text-anchor="end">{longest:.0f} s</text>'
    )
    for number, (label, points) in enumerate(curves.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        thinned = points[:: -(-len(points) // _MOST_POINTS)]
        path = " ".join(f"{_x(x, longest):.1f},{_y(y, highest):.1f}" for x, y in thinned)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        x = _WIDTH - _RIGHT - 90 * (len(curves) - number)
        parts.append(f'<text x="{x}" y="18" fill="{colour}">{label}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _x(x: float, longest: float) -> float:
    return _LEFT + (_WIDTH - _LEFT - _RIGHT) * x / longest


def _y(y: float, highest: float) -> float:
    return _HEIGHT - _BOTTOM - (_HEIGHT - _BOTTOM - _TOP) * y / highest


def _round_up(value: float) -> float:
    """The next of 1, 2, 5, 10, …"""
    step = 1.0
    while step < value:
        step *= 10
    while step / 10 >= value > 0:
        step /= 10
    return next((step * part for part in (0.1, 0.2, 0.5) if step * part >= value > 0), step)

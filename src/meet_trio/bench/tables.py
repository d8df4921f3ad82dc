"""What is seen on a terminal: a line that changes while a run goes on, and tables at its end."""

import sys
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.live import Live
from rich.table import Table

from meet_trio.bench.limit import LimitSearch
from meet_trio.bench.samples import Interval

_NAMES = 24  # columns


class Progress:
    """What is done now and the newest figures, as a live table on standard error. Without a
    terminal only the phases are written, a line each.
    """

    def __init__(self) -> None:
        self._console = Console(file=sys.stderr, highlight=False)
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._head = self._phase = ""
        self._newest: Interval | None = None

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def head(self, text: str) -> None:
        """What stands before each phase."""
        self._head = f"{text}: "

    def phase(self, text: str) -> None:
        self._phase = text = self._head + text
        if self._console.is_terminal:
            self._show()
        else:
            print(text, file=sys.stderr, flush=True)

    def take(self, interval: Interval) -> None:
        self._newest = interval
        if self._console.is_terminal:
            self._show()

    def _show(self) -> None:
        self._live.update(live_table(self._phase, self._newest), refresh=True)


def live_table(phase: str, newest: Interval | None) -> Table:
    table = Table(title=phase, title_justify="left", box=None, pad_edge=False)
    for name in ("sent/s", "received/s", "Mbit/s", "lost", "p50", "p99", "server", "generator"):
        table.add_column(name, justify="right")
    if newest is not None:
        delay, server = newest.delay, newest.server
        table.add_row(
            f"{newest.rate('sent_packets'):,.0f}",
            f"{newest.rate('received_packets'):,.0f}",
            f"{8e-6 * newest.rate('received_bytes'):,.1f}",
            f"{newest.lost_percent:.2f} %",
            _ms(delay.percentile(50)),
            _ms(delay.percentile(99)),
            "" if server is None else f"{100 * server.cpu / newest.seconds:.0f} %",
            f"{newest.busy_percent:.0f} %",
        )
    return table


def show(figures: Mapping[str, Any]) -> None:
    """The figures of a run."""
    for name, value in rows(figures):
        print(f"{name:{_NAMES}}{value}")
    for warning in figures["warnings"]:
        print(f"! {warning}")


def show_limit(search: LimitSearch, unit: str, people: int, reasons: list[str]) -> None:
    """What the search has found. ``people``: those of the greatest load that was carried."""
    why = "; ".join(reasons)
    if search.carried:
        print(f"The server carries {loads(search.carried, unit)}: {people} people.")
    if search.refused is not None:
        print(f"Not carried: {loads(search.refused, unit)}: {why}")
    elif search.carried:
        print(f"More was not tried{f': {why}' if why else ''}.")
    else:
        print(f"Nothing is known: {why}")


def loads(number: int, unit: str) -> str:
    """``1 room``, ``2 rooms``."""
    return f"{number} {unit if number != 1 else unit.removesuffix('s')}"


def rows(figures: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Names and values, as people read them."""
    media = figures["media"]
    found = _joined("joined", figures["joins"])
    if media is None:
        return [row for row in found if row[1]]
    forwarded = media["forwarded_percent"]
    found += [
        (
            "packets in, out",
            f"{media['sent_per_second']:,.0f}/s, {media['received_per_second']:,.0f}/s "
            f"({1e-6 * media['received_bits_per_second']:,.1f} Mbit/s)",
        ),
        ("forwarded", "" if forwarded is None else f"{forwarded:.2f} %"),
        (
            "lost",
            f"{media['lost']} ({media['lost_percent']:.3f} %), {media['recovered']} recovered",
        ),
        (
            "delay",
            ", ".join(f"{name} {_ms(value)}" for name, value in media["delay_ms"].items()),
        ),
        ("signaling round trip", _spread(media["ping_ms"])),
    ]
    if (server := figures["server"]) is not None:
        found += [
            ("server's CPU", f"{server['cpu_percent']:.1f} % of a core"),
            ("  for each packet", _unit(server["cpu_us_per_packet"], "µs", 2)),
            ("  for each join", _unit(server["cpu_ms_per_join"], "ms", 1)),
            (
                "  by threads",
                ", ".join(
                    f"{name} {percent:.1f} %"
                    for name, percent in server["cpu_percent_by_thread"].items()
                ),
            ),
            (
                "server's memory",
                f"{server['memory_bytes'] / 1e6:.0f} MB"
                + (
                    ""
                    if (before := server["memory_bytes_before"]) is None
                    else f", {before / 1e6:.0f} MB before"
                ),
            ),
            ("server's threads", str(server["threads"])),
            ("server's loop", _lag(server["loop_lag"])),
            ("stolen", f"{server['stolen_percent']:.2f} %"),
        ]
    generator = figures["generator"]
    found.append(
        (
            "generator",
            f"busy {generator['busy_percent']:.0f} %, "
            f"{_unit(generator['cpu_us_per_packet'], 'µs', 2)} for each packet, "
            f"{generator['late_frames_percent']:.2f} % of the frames late",
        )
    )
    if (newcomers := figures["newcomers"]) is not None:
        found += _came(newcomers)
    return [row for row in found if row[1]]


def _joined(name: str, joins: Mapping[str, Any]) -> list[tuple[str, str]]:
    per_second = joins["per_second"]
    return [
        (
            name,
            f"{joins['done']} of {joins['wanted']}"
            + (f", {per_second:.1f} in a second" if per_second else ""),
        ),
        ("  signaling", _spread(joins["signaling_ms"])),
        ("  connected", _spread(joins["connected_ms"])),
        ("  first packet", _spread(joins["first_media_ms"])),
        ("  all streams", _spread(joins["all_media_ms"])),
        *((f"  failed: {number}", reason) for reason, number in joins["failures"].items()),
    ]


def _came(newcomers: Mapping[str, Any]) -> list[tuple[str, str]]:
    others = newcomers["others"]
    return [
        *_joined("newcomers", newcomers),
        ("  all were there after", f"{newcomers['seconds']:.1f} s"),
        (
            "  others' delay",
            ", ".join(f"{name} {_ms(value)}" for name, value in others["delay_ms"].items()),
        ),
        ("  others lost", str(others["lost"])),
        ("  others' signaling", _spread(others["ping_ms"])),
        ("  server's CPU", _unit(newcomers["server_cpu_percent"], "% of a core", 1)),
        ("    for each join", _unit(newcomers["cpu_ms_per_join"], "ms", 1)),
        ("  server's loop", _lag(newcomers["loop_lag"])),
        ("  generator", f"signaling and DTLS {newcomers['python_busy_percent']:.0f} % of a core"),
    ]


def _lag(lag: Mapping[str, float | None] | None) -> str:
    if lag is None:
        return ""
    p99 = "is above all bounds" if lag["p99_ms"] is None else f"at most {lag['p99_ms']:g} ms"
    return f"lag p99 {p99}, above 5 ms for {lag['above_5_ms_percent']:.2f} % of the time"


def _ms(value: float | None) -> str:
    return "none" if value is None else f"{value:,.1f} ms"


def _unit(value: float | None, unit: str, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f} {unit}"


def _spread(spread: Mapping[str, float] | None) -> str:
    if spread is None:
        return ""
    return ", ".join(f"{name} {_ms(value)}" for name, value in spread.items())

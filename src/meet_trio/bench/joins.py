"""What a run has found about joins: of those who come first, and of newcomers among them."""

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from meet_trio.bench.samples import FAULTS, Interval, spread
from meet_trio.lag import BOUNDS, Snapshot, share_above

LAG_BOUND = 0.005
"""Seconds, one of ``BOUNDS``: the share of the time with a longer lag is told."""
PYTHON_BUSY_PERCENT = 90.0
"""Clients whose thread is busier may join slower than the server lets them."""


@attrs.frozen
class Joins:
    """Times in seconds of those that have joined; the ``cpu`` is the server's for all of them."""

    wanted: int
    done: int
    seconds: float
    signaling: Sequence[float]
    connected: Sequence[float]
    first_media: Sequence[float]
    all_media: Sequence[float]
    failures: Mapping[str, int]
    cpu: float | None

    def figures(self) -> dict[str, Any]:
        return {
            "wanted": self.wanted,
            "done": self.done,
            "per_second": self.done / self.seconds if self.seconds > 0 else None,
            "signaling_ms": spread(self.signaling),
            "connected_ms": spread(self.connected),
            "first_media_ms": spread(self.first_media),
            "all_media_ms": spread(self.all_media),
            "failures": dict(self.failures),
        }

    def cpu_each(self, media: float) -> float | None:
        """Milliseconds of the server. ``media``: seconds of it that were forwarding's."""
        if self.cpu is None or not self.done:
            return None
        return 1e3 * max(0.0, self.cpu - media) / self.done


@attrs.frozen
class Lag:
    """Of the server's event loop, at the beginning and the end of a time."""

    before: Snapshot
    after: Snapshot

    def figures(self) -> dict[str, float | None]:
        """``p99_ms``: a bound of the histogram that 99 of 100 moments are not above; None: they
        are above all.
        """
        below = (bound for bound in BOUNDS if share_above(bound, self.before, self.after) <= 0.01)
        p99 = next(below, None)
        return {
            "p99_ms": None if p99 is None else 1e3 * p99,
            "above_5_ms_percent": 100 * share_above(LAG_BOUND, self.before, self.after),
        }


@attrs.frozen
class Newcomers:
    """Those who came after the measuring. ``others`` is what those who were there got meanwhile,
    ``own`` what the newcomers got; ``pings`` are round trips of the others' signaling, in seconds.
    """

    joins: Joins
    others: Interval
    own: Interval
    pings: Sequence[float]
    lag: Lag | None

    def figures(self, cpu_per_packet: float) -> dict[str, Any]:
        """``cpu_per_packet``: the server's, in seconds."""
        others, own, delay = self.others, self.own, self.others.delay
        packets = others.count("received_packets") + own.count("received_packets")
        server = others.server
        return {
            **self.joins.figures(),
            "seconds": self.joins.seconds,
            "cpu_ms_per_join": self.joins.cpu_each(packets * cpu_per_packet),
            "server_cpu_percent": None if server is None else 100 * server.cpu / others.seconds,
            "python_busy_percent": self.python_busy_percent,
            "others": {
                "received_per_second": others.rate("received_packets"),
                "lost": max(0, others.count("lost")),
                "delay_ms": {
                    "p50": delay.percentile(50),
                    "p99": delay.percentile(99),
                    "max": delay.longest,
                },
                "ping_ms": spread(self.pings),
                "late_frames_percent": others.late_percent,
            },
            "loop_lag": None if self.lag is None else self.lag.figures(),
            "faults": {name: n for name in FAULTS if (n := own.after.counters[name])},
        }

    @property
    def python_busy_percent(self) -> float:
        """CPU time of the thread in which the clients' signaling and DTLS run."""
        spent = self.others.generator
        crowd = spent.by_name.get("meet-crowd", 0.0)
        return 100 * (spent.cpu - crowd) / self.others.seconds if self.others.seconds else 0.0

    def warnings(self) -> list[str]:
        found = []
        if self.joins.failures:
            number = sum(self.joins.failures.values())
            found.append(f"{number} of {self.joins.wanted} newcomers have failed.")
        if (busy := self.python_busy_percent) > PYTHON_BUSY_PERCENT:
            found.append(
                f"The newcomers' own thread was busy for {busy:.0f} % of the time: "
                "the server may let them join faster."
            )
        if wrong := {name: n for name in FAULTS if (n := self.own.after.counters[name])}:
            listed = ", ".join(f"{number} {name}" for name, number in wrong.items())
            found.append(f"Packets of newcomers were wrong: {listed}.")
        return found

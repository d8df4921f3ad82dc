"""What a run has found: samples while it runs, and the figures at its end."""

from collections.abc import Sequence
from typing import Any

import attrs

from meet_trio.bench.joins import Joins, Lag, Newcomers
from meet_trio.bench.samples import FAULTS, Interval, Sample, spread
from meet_trio.bench.scenario import Scenario

SATURATED_PERCENT = 90.0
"""A generator that is busier measures itself."""
LATE_PERCENT = 1.0
"""One that sends more of its frames late has not got a CPU in time, and then the server has not
either.
"""
STOLEN_PERCENT = 1.0
"""Above it a figure of CPU time is not to be believed."""


@attrs.frozen
class Result:
    """``begun`` is before anybody joined. ``joining`` and ``measuring`` have the counts of these
    times, ``final`` those of the whole run. ``samples`` are of the time of measuring.
    """

    scenario: Scenario
    begun: Sample | None
    joins: Joins
    joining: Interval | None
    measuring: Interval | None
    final: Sample
    samples: Sequence[Sample]
    pings: Sequence[float]
    stopped: bool
    lag: Lag | None = None
    """Of the time of measuring."""
    newcomers: Newcomers | None = None

    def figures(self) -> dict[str, Any]:
        """All figures by name, for JSON and for the table; one that is not known is None."""
        return {
            "scenario": attrs.asdict(self.scenario),
            "stopped": self.stopped,
            "joins": self.joins.figures(),
            "media": self._media_figures(),
            "newcomers": self.newcomers and self.newcomers.figures(self.cpu_per_packet),
            "faults": {name: self.final.counters[name] for name in FAULTS},
            "server": self._server_figures(),
            "generator": self._generator_figures(),
            "counters": dict(self.final.counters),
            "warnings": self.warnings(),
            "samples": [
                _sample_figures(Interval(a, b), self.samples[0].at)
                for a, b in zip(self.samples, self.samples[1:], strict=False)
            ],
        }

    def _media_figures(self) -> dict[str, Any] | None:
        m = self.measuring
        if m is None:
            return None
        delay = m.delay
        return {
            "seconds": m.seconds,
            "streams": m.after.counters["streams"],
            "silent_streams": m.after.counters["silent_streams"],
            "sent_per_second": m.rate("sent_packets"),
            "received_per_second": m.rate("received_packets"),
            "received_bits_per_second": 8 * m.rate("received_bytes"),
            "forwarded_percent": self.forwarded_percent,
            "lost": max(0, m.count("lost")),
            "lost_percent": m.lost_percent,
            "recovered": m.count("recovered"),
            "late": m.count("late"),
            "left_out": m.count("left_out_packets"),
            "delay_ms": {
                "p50": delay.percentile(50),
                "p99": delay.percentile(99),
                "max": delay.longest,
            },
            "ping_ms": spread(self.pings),
        }

    @property
    def forwarded_percent(self) -> float | None:
        """Of the packets that a server has to forward, those that viewers got. Simulcast has no
        such number: a server chooses the layers.
        """
        m, to_come = self.measuring, self._packets_to_come
        return None if m is None or not to_come else 100 * m.count("received_packets") / to_come

    @property
    def frame_percent(self) -> float:
        """What a frame of each stream is of the packets to come. So much may be under way when the
        measuring ends.
        """
        frame = self.scenario.frames(self.scenario.encodings - 1)
        packets = -(-frame.size // frame.packet_size) * self.scenario.streams
        return 100 * packets / to_come if (to_come := self._packets_to_come) else 0.0

    @property
    def _packets_to_come(self) -> float | None:
        m, scenario = self.measuring, self.scenario
        sources = scenario.rooms * scenario.publishers * scenario.tracks
        if m is None or scenario.simulcast or not sources:
            return None
        return m.count("sent_packets") * scenario.streams / sources

    def _server_figures(self) -> dict[str, Any] | None:
        m = self.measuring
        if m is None or m.server is None or m.after.server is None:
            return None
        packets = m.count("received_packets")
        return {
            "cpu_percent": 100 * m.server.cpu / m.seconds,
            "cpu_us_per_packet": 1e6 * self.cpu_per_packet if packets else None,
            "loop_lag": self.lag and self.lag.figures(),
            "cpu_ms_per_join": self.cpu_per_join,
            "memory_bytes": m.after.server.memory,
            "memory_bytes_before": self.begun.server.memory
            if self.begun is not None and self.begun.server is not None
            else None,
            "threads": m.after.server.threads,
            "cpu_percent_by_thread": {
                name: 100 * used / m.seconds for name, used in sorted(m.server.by_name.items())
            },
            "stolen_percent": m.server.stolen_percent,
        }

    @property
    def cpu_per_packet(self) -> float:
        """The server's seconds, of the time of measuring; 0 if that is not known."""
        m = self.measuring
        packets = 0 if m is None else m.count("received_packets")
        return m.server.cpu / packets if m is not None and m.server is not None and packets else 0.0

    @property
    def cpu_per_join(self) -> float | None:
        """Milliseconds. What the media cost meanwhile is subtracted, by the cost of a packet that
        was measured later.
        """
        if self.joining is None:
            return None
        return self.joins.cpu_each(self.joining.count("received_packets") * self.cpu_per_packet)

    def _generator_figures(self) -> dict[str, Any] | None:
        m = self.measuring
        if m is None:
            return None
        packets = m.count("received_packets") + m.count("sent_packets")
        return {
            "busy_percent": m.busy_percent,
            "cpu_percent": 100 * m.generator.cpu / m.seconds,
            "cpu_us_per_packet": m.count("cpu_us") / packets if packets else None,
            "late_frames_percent": m.late_percent,
            "unsent": m.count("unsent"),
            "saturated": self.saturated,
        }

    @property
    def saturated(self) -> bool:
        """The generator was at its limit, so the figures are not the server's."""
        m = self.measuring
        return m is not None and m.busy_percent > SATURATED_PERCENT

    @property
    def missing_streams(self) -> int:
        """Those that the server has not offered to its viewers."""
        m = self.measuring
        return 0 if m is None else max(0, self.scenario.streams - m.after.counters["streams"])

    def warnings(self) -> list[str]:
        """What makes the figures doubtful, as sentences."""
        found = []
        m = self.measuring
        if self.stopped:
            found.append("The run was stopped before its end.")
        if m is not None and self.saturated:
            found.append(
                f"The generator was saturated (busy {m.busy_percent:.0f} % of the time, with "
                f"{m.rate('cpu_us') / 1e4 / m.after.threads:.0f} % of a core): "
                "this is no measurement of the server. Try --threads, or another machine."
            )
        if m is not None and (late := m.late_percent) > LATE_PERCENT:
            found.append(
                f"{late:.1f} % of the frames left late, because the machine was busy: "
                "delays are doubtful."
            )
        if m is not None and (stolen := m.generator.stolen_percent) > STOLEN_PERCENT:
            found.append(
                f"{stolen:.1f} % of the machine's time was stolen: CPU figures are doubtful."
            )
        if m is not None and (missing := self.missing_streams):
            found.append(f"{missing} of {self.scenario.streams} streams were never offered.")
        if m is not None and (silent := m.after.counters["silent_streams"]):
            found.append(
                f"{silent} of {m.after.counters['streams']} streams have never begun. A server "
                "withholds video while it believes a viewer's link to be too slow: "
                "a longer --warm-up, or a lower --bitrate."
            )
        wrong = {name: n for name in FAULTS if (n := self.final.counters[name])}
        if wrong:
            listed = ", ".join(f"{number} {name}" for name, number in wrong.items())
            found.append(f"Packets were wrong: {listed}.")
        if self.joins.failures:
            number = sum(self.joins.failures.values())
            found.append(f"{number} of {self.scenario.peers} peers have failed.")
        return found + (self.newcomers.warnings() if self.newcomers is not None else [])


def _sample_figures(interval: Interval, start: float) -> dict[str, Any]:
    server = interval.server
    delay = interval.delay
    return {
        "at": interval.after.at - start,
        "received_per_second": interval.rate("received_packets"),
        "received_bits_per_second": 8 * interval.rate("received_bytes"),
        "lost_percent": interval.lost_percent,
        "delay_p50_ms": delay.percentile(50),
        "delay_p99_ms": delay.percentile(99),
        "server_cpu_percent": None if server is None else 100 * server.cpu / interval.seconds,
        "generator_busy_percent": interval.busy_percent,
    }

"""What a run has found: samples while it runs, and the figures at its end."""

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from meet_trio.bench.histogram import Histogram
from meet_trio.bench.process import Spent, Usage, between
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
class Sample:
    """All that is counted, at one moment. ``generator`` is our own process; ``threads`` is how many
    crowds there are.
    """

    at: float
    counters: Mapping[str, int]
    delay: Histogram
    longest_delay: int
    server: Usage | None
    generator: Usage
    threads: int = 1


@attrs.frozen
class Interval:
    """Between two samples."""

    before: Sample
    after: Sample

    @property
    def seconds(self) -> float:
        return self.after.at - self.before.at

    def count(self, name: str) -> int:
        return self.after.counters[name] - self.before.counters[name]

    def rate(self, name: str) -> float:
        return self.count(name) / self.seconds if self.seconds > 0 else 0.0

    @property
    def delay(self) -> Histogram:
        return self.after.delay.since(self.before.delay)

    @property
    def server(self) -> Spent | None:
        if self.before.server is None or self.after.server is None:
            return None
        return between(self.before.server, self.after.server)

    @property
    def generator(self) -> Spent:
        return between(self.before.generator, self.after.generator)

    @property
    def busy_percent(self) -> float:
        """The share of the time in which the crowds' threads did not wait."""
        whole = self.seconds * self.after.threads
        return 100 * self.count("busy_us") / 1e6 / whole if whole > 0 else 0.0

    @property
    def lost_percent(self) -> float:
        lost = max(0, self.count("lost"))
        expected = self.count("received_packets") + lost
        return 100 * lost / expected if expected else 0.0

    @property
    def late_percent(self) -> float:
        frames = self.count("sent_frames") + self.count("left_out_frames")
        late = self.count("late_frames") + self.count("left_out_frames")
        return 100 * late / frames if frames else 0.0


FAULTS = ("duplicates", "unauthentic", "malformed", "unknown_ssrc", "unlabelled", "wrong_feed")
"""Counters of packets that should not have come as they did."""


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

    def figures(self) -> dict[str, Any]:
        """All figures by name, for JSON and for the table; one that is not known is None."""
        return {
            "scenario": attrs.asdict(self.scenario),
            "stopped": self.stopped,
            "joins": self._join_figures(),
            "media": self._media_figures(),
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

    def _join_figures(self) -> dict[str, Any]:
        joins = self.joins
        return {
            "wanted": joins.wanted,
            "done": joins.done,
            "per_second": joins.done / joins.seconds if joins.seconds > 0 else None,
            "signaling_ms": _spread(joins.signaling),
            "connected_ms": _spread(joins.connected),
            "first_media_ms": _spread(joins.first_media),
            "all_media_ms": _spread(joins.all_media),
            "failures": dict(joins.failures),
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
            "ping_ms": _spread(self.pings),
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
            "cpu_us_per_packet": 1e6 * m.server.cpu / packets if packets else None,
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
    def cpu_per_join(self) -> float | None:
        """Milliseconds. What the media cost meanwhile is subtracted, by the cost of a packet that
        was measured later.
        """
        joins, m = self.joins, self.measuring
        if joins.cpu is None or not joins.done or self.joining is None:
            return None
        media = 0.0
        if m is not None and m.server is not None and (packets := m.count("received_packets")):
            media = self.joining.count("received_packets") * m.server.cpu / packets
        return 1e3 * max(0.0, joins.cpu - media) / joins.done

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
        return found


def _spread(seconds: Sequence[float]) -> dict[str, float] | None:
    """Milliseconds."""
    if not seconds:
        return None
    ordered = sorted(seconds)

    def at(percent: float) -> float:
        return 1e3 * ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]

    return {"p50": at(50), "p99": at(99), "max": 1e3 * ordered[-1]}


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

"""The metrics of a server for Prometheus, gathered when somebody asks for them.

Nothing is counted here. Engines, rooms and the other parts count for themselves, and ``Metrics``
reads them: each engine is asked once for its figures, which C sums up. No room and no peer is
looked at. ``METRICS`` describes every metric, and a metric that is not there cannot be given out.

An engine that does not answer is left out of the numbers of objects. Its counters stay as they were
last: a counter that falls and comes back would look like a restart, with all its packets at once.

What is known of single objects (bitrates, round trips, losses) is given out as distributions over
the present objects, and not by object: rooms come and go, and each would be a time series for ever.
"""

import platform
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, chain
from typing import Any, get_args

import attrs

from meet_trio import __version__, lag, tallies
from meet_trio.engine import Distribution, Summary
from meet_trio.lag import LoopLag
from meet_trio.live.figures import EngineFigures, ask_engines
from meet_trio.live.registry import Registry
from meet_trio.media.engines import EngineHost
from meet_trio.media.transport import TransportState
from meet_trio.operator.described import METRICS
from meet_trio.operator.exposition import Numbers, Outline
from meet_trio.operator.process_figures import ProcessFigures
from meet_trio.tallies import Durations, Presence
from meet_trio.turns import Turns

_ENGINES_PER_TURN = 8  # whose counters are read in one turn of the loop

# Counters of engines that are one metric each, by the metric's name
_PLAIN = {
    "stun_answers": "stun_answered",
    "forwarded_packets": "rtp_forwarded",
    "retransmitted_packets": "retransmissions",
    "redundant_packets": "redundant_packets",
    "repeated_packets": "packets_repeated",
    "padding_packets": "padding_sent",
    "keyframe_requests_put_off": "keyframe_requests_put_off",
    "tcp_accept_pauses": "tcp_accept_pauses",
    "engine_commands": "commands",
}
# Counters that differ in one label, by the metric's name and the label's value
_LABELLED: Mapping[str, Mapping[str, str]] = {
    "datagrams": {"in": "datagrams_in", "out": "datagrams_out"},
    "bytes": {"in": "bytes_in", "out": "bytes_out"},
    "keyframe_requests": {"in": "keyframe_requests_in", "out": "keyframe_requests_out"},
    "nacked_packets": {"in": "nacks_in", "out": "nacks_out"},
    "lost_packets": {"in": "rtp_lost_in", "out": "rtp_lost_out"},
    "relayed_packets": {"in": "relay_packets_in", "out": "relay_packets_out"},
    "relayed_bytes": {"in": "relay_bytes_in", "out": "relay_bytes_out"},
    "retransmissions_failed": {
        "not_kept": "retransmissions_missed",
        "over_budget": "retransmissions_refused",
    },
    "rebindings": {
        result: f"rebindings_{result}"
        for result in METRICS["rebindings"].values["result"].split(", ")
    },
    "tcp_accepted_connections": {"accepted": "tcp_accepted", "refused": "tcp_refused"},
    "tcp_closed_connections": {
        "displaced": "tcp_strangers_displaced",
        "timed_out": "tcp_strangers_timed_out",
        "bad_frame": "tcp_bad_frames",
    },
    "engine_commands_in_vain": {
        "unknown_id": "commands_for_unknown_ids",
        "refused": "commands_refused",
        "not_resumed": "resumes_refused",
    },
}
# Drops are all counters with this prefix, and these, by their cause
_DROPPED = "dropped_"
_DROPS = {"kernel_refused": "datagrams_refused", "tcp_queue_full": "tcp_datagrams_dropped"}


@attrs.define(eq=False)
class _Engine:
    """What was last heard of an engine."""

    counters: Mapping[str, int] = attrs.field(factory=dict)
    before: Counter[str] = attrs.field(factory=Counter)
    """The last counters of engines that had died: those of the next one begin at 0."""
    restarts: int = 0  # of those in ``before``
    summary: Summary | None = None  # None: it has not answered this time


@attrs.define(eq=False)
class Metrics:
    """Gathers all metrics of a server.

    ``webhooks`` returns the number of waiting webhooks and the counts of their results,
    ``connections`` the number of HTTP connections.
    """

    registry: Registry
    lag: LoopLag
    webhooks: Callable[[], tuple[int, Mapping[str, int]]]
    connections: Callable[[], int]
    _engines: dict[EngineHost, _Engine] = attrs.field(factory=dict)
    _process: ProcessFigures = attrs.field(factory=ProcessFigures)

    async def gather(self) -> Sequence[Iterator[Numbers]]:
        """All metrics, in groups of which each may be read in one turn of the loop."""
        hosts = self.registry.context.hosts
        figures = await ask_engines(host for host in hosts if not host.failed)
        turns = Turns(_ENGINES_PER_TURN)
        for host in hosts:
            self._hear(host, figures)
            await turns.spend()
        return (
            self._server(),
            self._counters(),
            self._objects(),
            self._each_engine(),
            self._times(),
            self._of_process(),
        )

    def _hear(self, host: EngineHost, figures: EngineFigures) -> None:
        engine = self._engines.setdefault(host, _Engine())
        stats = figures.get(host)
        engine.summary = None if stats is None else stats.summary()
        if stats is None:
            return
        if engine.restarts != host.restarts:
            engine.before.update(engine.counters)
            engine.restarts = host.restarts
        engine.counters = stats["engine"]

    def _server(self) -> Iterator[Numbers]:
        tally = self.registry.context.tally
        yield _family("build_info", {(__version__, platform.python_version()): 1})
        yield _family("rooms", {(): len(self.registry.rooms)})
        yield _family("opened_rooms", {(): tally.rooms})
        states = get_args(Presence)
        yield _family("peers", {(state,): tally.peers.numbers[state] for state in states})
        yield _family("invited_peers", {(): tally.invitations})
        open_states = [state for state in TransportState if state is not TransportState.CLOSED]
        yield _family(
            "transports",
            {
                (kind, state.value): tally.transports.numbers[kind, state]
                for kind in ("webrtc", "plain")
                for state in open_states
            },
        )
        yield _family("dtls_handshakes", {(): tally.handshakes})
        yield _family("transport_connects", _of_results("transport_connects", tally.connects))
        waiting, results = self.webhooks()
        yield _family("webhooks_waiting", {(): waiting})
        yield _family("webhooks", _of_results("webhooks", results))
        yield _family("http_connections", {(): self.connections()})

    def _counters(self) -> Iterator[Numbers]:
        """The sums of the engines' counters."""
        total: Counter[str] = Counter()
        for engine in self._engines.values():
            total.update(engine.before)
            total.update(engine.counters)
        for name, counter in _PLAIN.items():
            yield _family(name, {(): total[counter]})
        for name, counters in _LABELLED.items():
            yield _family(name, {(value,): total[c] for value, c in counters.items()})
        drops = {name.removeprefix(_DROPPED): name for name in total if name.startswith(_DROPPED)}
        drops |= _DROPS
        yield _family("dropped", {(cause,): total[name] for cause, name in sorted(drops.items())})

    def _objects(self) -> Iterator[Numbers]:
        """The sums of the engines' summaries."""
        known = [engine.summary for engine in self._engines.values() if engine.summary is not None]
        yield _family("paths", _sum(s.transports for s in known))
        yield _family("producers", _sum(s.producers for s in known))
        yield _family("active_streams", _sum(s.active_streams for s in known))
        yield _family("consumers", _sum(s.consumers for s in known))
        paused = _sum({(kind,): n for kind, n in s.paused_consumers.items()} for s in known)
        yield _family("paused_consumers", paused)
        gauges: Counter[str] = Counter()
        for engine in self._engines.values():
            if engine.summary is not None:
                gauges.update(engine.counters)
        proven = gauges["tcp_connections"] - gauges["tcp_strangers"]
        yield _family(
            "tcp_connections", {("proven",): proven, ("stranger",): gauges["tcp_strangers"]}
        )
        yield _distribution("estimate_bytes_per_second", [s.estimate for s in known])
        yield _distribution("round_trip_seconds", [s.round_trip for s in known])
        yield _distribution("outgoing_loss_ratio", [s.outgoing_loss for s in known])

    def _each_engine(self) -> Iterator[Numbers]:
        engines = [
            (str(number), host, engine, engine.counters)
            for number, (host, engine) in enumerate(self._engines.items())
        ]
        yield _family("engine_up", {(n,): int(e.summary is not None) for n, _, e, _ in engines})
        yield _family("engine_restarts", {(n,): host.restarts for n, host, _, _ in engines})
        yield _family("engine_peers", {(n,): host.peers for n, host, _, _ in engines})
        yield _family(
            "engine_waiting_commands", {(n,): host.engine.waiting for n, host, _, _ in engines}
        )
        yield _family(
            "engine_busy_seconds",
            {(n,): (e.before["busy_us"] + c.get("busy_us", 0)) / 1e6 for n, _, e, c in engines},
        )
        yield _family(
            "engine_turns", {(n,): e.before["turns"] + c.get("turns", 0) for n, _, e, c in engines}
        )
        yield _family(
            "engine_longest_turn_seconds",
            {
                (n, span): c.get(name, 0) / 1e6
                for n, _, _, c in engines
                for span, name in (
                    ("start", "longest_turn_us"),
                    ("recent", "longest_recent_turn_us"),
                )
            },
        )
        buffers: dict[tuple[str, ...], float] = {}
        for n, _, _, c in engines:
            used = c.get("packet_buffers_used", 0)
            buffers[n, "used"], buffers[n, "free"] = used, c.get("packet_buffers", 0) - used
        yield _family("engine_packet_buffers", buffers)

    def _times(self) -> Iterator[Numbers]:
        tally = self.registry.context.tally
        yield _durations("join_seconds", tally.join_time)
        yield _durations("transport_connect_seconds", tally.connect_time)
        yield _durations("dtls_handshake_seconds", tally.handshake_time)
        yield _durations("first_packet_in_seconds", tally.first_packet_in)
        waits = {kind: (d.counts, d.seconds) for kind, d in tally.first_packet_out.items()}
        yield _histogram("first_packet_out_seconds", tallies.BOUNDS, waits)
        clocks = {"held": self.lag.held, "worked": self.lag.worked}
        turns = {clock: (of.counts, sum(of.seconds)) for clock, of in clocks.items()}
        yield _histogram("loop_turn_seconds", lag.BOUNDS, turns)

    def _of_process(self) -> Iterator[Numbers]:
        for name, number in self._process.read().items():
            yield _family(name, {(): number})


def _of_results(name: str, counts: Mapping[str, int]) -> dict[tuple[str, ...], float]:
    """All results that the metric's description has, also those that did not happen yet."""
    results = METRICS[name].values["result"].split(", ")
    return {(result,): counts.get(result, 0) for result in results}


def _sum(counts: Iterable[Mapping[Any, int]]) -> dict[tuple[str, ...], float]:
    """The sums by labels. Keys become words, as the descriptions have them."""
    total: Counter[Any] = Counter()
    for each in counts:
        total.update(each)
    return {tuple(map(_word, key)): number for key, number in total.items()}


def _word(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)


def _family(name: str, values: Mapping[tuple[str, ...], float]) -> Numbers:
    """The numbers by the values of the labels."""
    return Numbers(Outline(name, tuple(values)), list(values.values()))


def _durations(name: str, durations: Durations) -> Numbers:
    outline = Outline(name, ((),), tallies.BOUNDS)
    return Numbers(outline, _buckets(durations.counts, durations.seconds))


def _histogram(
    name: str, bounds: tuple[float, ...], rows: Mapping[str, tuple[Sequence[int], float]]
) -> Numbers:
    """Counts and sums by the value of the one label."""
    numbers = chain.from_iterable(_buckets(counts, total) for counts, total in rows.values())
    return Numbers(Outline(name, tuple((value,) for value in rows), bounds), list(numbers))


def _distribution(name: str, parts: Sequence[Distribution]) -> Numbers:
    if not parts:
        return Numbers(Outline(name, ()), [])
    counts = [sum(each) for each in zip(*(part.counts for part in parts), strict=True)]
    outline = Outline(name, ((),), parts[0].bounds)
    return Numbers(outline, _buckets(counts, sum(part.sum for part in parts)))


def _buckets(counts: Iterable[int], total: float) -> list[float]:
    """Prometheus counts in each bucket all values up to its bound."""
    return [*accumulate(counts), total]

"""The load generator's arithmetic: frames, percentiles, the search for the limit, figures."""

import json
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Sequence
from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meet_trio.bench.errors import ScenarioError
from meet_trio.bench.histogram import BUCKETS, Histogram, upper
from meet_trio.bench.joins import Joins, Lag, Newcomers
from meet_trio.bench.limit import MOST_RUNS, Bars, LimitSearch, shortfalls
from meet_trio.bench.plots import plot, write_plots
from meet_trio.bench.process import Usage, between
from meet_trio.bench.result import Result
from meet_trio.bench.samples import Interval, Sample
from meet_trio.bench.scenario import LAYER_RATIO, Scenario
from meet_trio.bench.tables import live_table, rows
from meet_trio.lag import BOUNDS, Snapshot


def test_the_help_is_light() -> None:
    """The generator is loaded when it runs."""
    code = "import sys, meet_trio.cli.bench; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"trio", "httpx", "rich", "OpenSSL", "cryptography", "meet_trio.engine"}
    assert not set(done.stdout.split()) & heavy


# Scenarios


def test_frames_of_a_bitrate() -> None:
    scenario = Scenario(bitrate=2_400_000, fps=30)
    assert scenario.frames(0).size == 10_000
    assert scenario.frames(0).keyframe_size == 40_000


def test_simulcast_shares_the_bitrate() -> None:
    scenario = Scenario(bitrate=2_400_000, fps=30, simulcast=True)
    sizes = [scenario.frames(i).size for i in range(scenario.encodings)]
    assert sum(sizes) == pytest.approx(10_000, rel=0.01)
    assert sizes[1] / sizes[0] == pytest.approx(LAYER_RATIO, rel=0.01)


def test_frames_of_whole_packets() -> None:
    frames = Scenario(frame_packets=8, packet_size=1200, bitrate=10_000).frames(0)
    assert (frames.size, frames.keyframe_size, frames.packet_size) == (9600, 9600, 1200)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"rooms": 0}, "--rooms: 0"),
        ({"packet_size": 1401}, "--packet-size: 1401"),
        ({"duration": 0}, "--duration"),
        ({"publishers": 0, "subscribers": 0}, "nobody"),
        ({"rooms": 100, "subscribers": 100}, "10200 peers"),
        ({"newcomers": 5000}, "5012 peers"),
        ({"simulcast": True, "publish_by": "plain"}, "--simulcast"),
        ({"publishers_view": True, "publish_by": "plain"}, "--publishers-view"),
    ],
)
def test_impossible_scenarios_are_named(changes: dict[str, object], named: str) -> None:
    with pytest.raises(ScenarioError, match=named):
        attrs.evolve(Scenario(), **changes)  # type: ignore[arg-type]


def test_streams() -> None:
    scenario = Scenario(rooms=2, publishers=3, subscribers=10, audio=True)
    assert scenario.streams == 2 * 10 * 3 * 2
    assert attrs.evolve(scenario, publishers_view=True).streams == 2 * (10 * 6 + 3 * 4)
    assert scenario.peers == 26


# Histograms


def bucket(time: int) -> int:
    """The bucket of a time in µs, as ``engine/c/crowd/histogram.h`` finds it."""
    if time < 32:
        return max(time, 0)
    shift = time.bit_length() - 6
    return min((shift << 5) + (time >> shift), BUCKETS - 1)


def histogram_of(times: Sequence[float]) -> Histogram:
    """Of times in seconds."""
    counts = [0] * BUCKETS
    for time in times:
        counts[bucket(round(time * 1e6))] += 1
    return Histogram(counts)


@given(st.integers(0, 1 << 26))
def test_a_bucket_is_narrow(time: int) -> None:
    top = upper(bucket(time))
    assert time <= top <= time * 33 / 32


def test_buckets_are_those_of_the_core() -> None:
    """As c/tests/crowd/media.c has them."""
    assert [bucket(time) for time in (-5, 31, 32, 63, 64, 65, 66)] == [0, 31, 32, 63, 64, 64, 65]
    assert bucket((1 << 26) - 1) == BUCKETS - 2
    assert bucket(1 << 60) == BUCKETS - 1


def test_percentiles() -> None:
    found = histogram_of([n / 1000 for n in range(1, 101)])
    assert found.count == 100
    assert found.percentile(50) == pytest.approx(50, rel=0.04)
    assert found.percentile(99) == pytest.approx(99, rel=0.04)
    assert found.longest == pytest.approx(100, rel=0.04)
    assert Histogram().percentile(50) is None


def test_a_span_of_a_histogram() -> None:
    first = histogram_of([0.001] * 5)
    both = first.plus(histogram_of([0.5]))
    assert both.since(first).count == 1
    assert both.since(first).percentile(50) == pytest.approx(500, rel=0.04)


# The search


def search_on(server: Callable[[int], bool], first: int, most: int = 1000) -> LimitSearch:
    search = LimitSearch(first, most)
    while (load := search.next()) is not None:
        search.tell(load, server(load))
    return search


@given(st.integers(0, 500), st.integers(1, 40))
def test_the_limit_is_found(limit: int, first: int) -> None:
    """A server that carries so much and no more."""
    search = search_on(lambda load: load <= limit, first)
    assert search.runs < MOST_RUNS
    assert search.carried <= limit
    assert search.refused is not None
    assert search.refused > limit
    assert search.refused - search.carried <= max(1, 0.1 * search.carried)


def test_a_server_that_takes_all() -> None:
    search = search_on(lambda load: True, 3, most=100)
    assert search.carried == 100
    assert search.refused is None


def test_one_bad_run_is_not_the_limit() -> None:
    bad = iter([True, False])

    def server(load: int) -> bool:
        return load <= 10 and not (load == 4 and next(bad, False))

    assert search_on(server, 1).carried == 10


@given(st.randoms())
def test_a_server_of_moods_ends_the_search_too(random: object) -> None:
    search = search_on(lambda load: random.random() < 0.5, 4)  # type: ignore[attr-defined]
    assert search.runs <= MOST_RUNS


# Results


def sample(at: float, **counters: int) -> Sample:
    names = (
        *("sent_packets", "sent_frames", "left_out_frames", "late_frames", "received_packets"),
        *("received_bytes", "recovered", "late", "lost", "left_out_packets", "streams", "unsent"),
        *("silent_streams", "busy_us", "cpu_us", "duplicates", "unauthentic", "malformed"),
        *("unknown_ssrc", "unlabelled", "wrong_feed"),
    )
    cpu = {(1, 1, "engine"): at / 4, (1, 2, "python"): at / 100}
    usage = Usage(at, cpu, 5_000_000, stolen=0.0, machine=2 * at)
    delays = histogram_of([0.001] * counters.get("received_packets", 0))
    every = dict.fromkeys(names, 0) | counters
    return Sample(at, every, delays, 1000, usage, usage)


def result_of(before: Sample, after: Sample, **changes: object) -> Result:
    joins = Joins(10, 10, 2.0, [0.01] * 10, [0.02] * 10, [0.03] * 10, [0.04] * 10, {}, 0.5)
    result = Result(
        scenario=Scenario(publishers=1, subscribers=10),
        begun=sample(0),
        joins=joins,
        joining=Interval(sample(0), sample(2)),
        measuring=Interval(before, after),
        final=after,
        samples=(before, after),
        pings=(0.002,) * 4,
        stopped=False,
    )
    return attrs.evolve(result, **changes)  # type: ignore[arg-type]


GOOD = {
    "sent_packets": 1000,
    "sent_frames": 300,
    "received_packets": 10_000,
    "busy_us": 2_000_000,
    "streams": 10,
}


def test_figures_of_a_run() -> None:
    figures = result_of(sample(10), sample(20, **GOOD, received_bytes=12_500_000)).figures()
    media, server, generator = figures["media"], figures["server"], figures["generator"]
    assert media["received_per_second"] == 1000
    assert media["received_bits_per_second"] == 10_000_000
    assert media["forwarded_percent"] == 100
    assert media["delay_ms"]["p50"] == pytest.approx(1, rel=0.04)
    assert server["cpu_us_per_packet"] == pytest.approx(1e6 * 2.6 / 10_000)
    assert server["cpu_percent"] == pytest.approx(26)
    assert server["cpu_percent_by_thread"] == pytest.approx({"engine": 25, "python": 1})
    assert server["cpu_ms_per_join"] == pytest.approx(50)
    assert server["memory_bytes"] == server["memory_bytes_before"] == 5_000_000
    assert [s["at"] for s in figures["samples"]] == [10]
    assert generator["busy_percent"] == pytest.approx(20)
    assert not figures["warnings"]
    assert not shortfalls(result_of(sample(10), sample(20, **GOOD)), Bars())
    assert json.loads(json.dumps(figures)) == figures
    assert dict(rows(figures))["forwarded"] == "100.00 %"


def test_the_media_is_subtracted_from_the_joins() -> None:
    joining = Interval(sample(0), sample(2, received_packets=1000))
    result = result_of(sample(10), sample(20, **GOOD), joining=joining)
    assert result.cpu_per_join == pytest.approx((0.5 - 1000 * 2.6 / 10_000) * 1000 / 10)


@pytest.mark.parametrize(
    ("counters", "words"),
    [
        (
            {"busy_us": 9_500_000, "cpu_us": 4_000_000},
            "saturated (busy 95 % of the time, with 40 % of a core)",
        ),
        ({"late_frames": 30}, "late"),
        ({"silent_streams": 3, "streams": 10}, "3 of 10 streams"),
        ({"unauthentic": 2}, "2 unauthentic"),
        ({"streams": 7}, "3 of 10 streams were never offered"),
    ],
)
def test_doubts_are_told(counters: dict[str, int], words: str) -> None:
    result = result_of(sample(10), sample(20, **(GOOD | counters)))
    assert any(words in warning for warning in result.warnings())


def test_stolen_time_is_told() -> None:
    after = sample(20, **GOOD)
    stolen = attrs.evolve(after.generator, stolen=1.0)
    result = result_of(sample(10), attrs.evolve(after, generator=stolen))
    assert any("5.0 % of the machine's time" in warning for warning in result.warnings())


@pytest.mark.parametrize(
    ("counters", "words"),
    [
        ({"lost": 100}, "0.99 % lost"),
        ({"received_packets": 9700}, "97.0 % of the packets"),
        ({"wrong_feed": 1}, "1 packets were wrong"),
        ({"silent_streams": 2}, "2 streams never begun"),
        ({"streams": 9}, "1 streams never offered"),
        ({"wrong_feed": 1, "late_frames": 30}, "machine was busy: 10 %"),
        ({"lost": 900, "busy_us": 9_900_000}, "the generator was at its limit"),
    ],
)
def test_shortfalls_are_named(counters: dict[str, int], words: str) -> None:
    result = result_of(sample(10), sample(20, **(GOOD | counters)))
    assert any(words in missed for missed in shortfalls(result, Bars()))


def test_the_last_frame_may_be_under_way() -> None:
    """Four packets of each of the ten streams."""
    for received, names in ((9_761, False), (9_759, True)):
        result = result_of(sample(10), sample(20, **(GOOD | {"received_packets": received})))
        assert bool(shortfalls(result, Bars())) == names


def test_a_run_that_was_stopped_early_has_figures() -> None:
    result = result_of(sample(1), sample(2), measuring=None, joining=None, samples=(), stopped=True)
    assert result.figures()["media"] is None
    assert rows(result.figures())
    assert shortfalls(result, Bars()) == ["nothing was measured"]


def test_a_thread_that_ends_does_not_count_below_zero() -> None:
    before = Usage(0, {(1, 1, "a"): 5.0, (1, 2, "b"): 7.0}, 0, 0, 0)
    after = Usage(2, {(1, 1, "a"): 6.0, (1, 3, "b"): 0.5}, 0, 0, 0)
    spent = between(before, after)
    assert spent.cpu == pytest.approx(1.5)
    assert spent.by_name == pytest.approx({"a": 1.0, "b": 0.5})
    assert spent.stolen_percent == 0


def test_the_live_table_has_a_row() -> None:
    assert live_table("measuring", None).row_count == 0
    assert live_table("measuring", Interval(sample(10), sample(20, **GOOD))).row_count == 1


def test_lag_is_of_the_time_between() -> None:
    """Turns of 20 ms for 3 % of 10 s: a moment in them waits above 5 ms for 15 of the 20."""
    zeros = (0,) * (len(BOUNDS) + 1)
    bucket = BOUNDS.index(0.02)
    before = Snapshot(100, zeros, zeros)
    counts = (*zeros[:bucket], 15, *zeros[bucket + 1 :])
    seconds = (*zeros[:bucket], 0.3, *zeros[bucket + 1 :])
    figures = Lag(before, Snapshot(110, counts, seconds)).figures()
    assert figures["above_5_ms_percent"] == pytest.approx(3 * 15 / 20)
    assert figures["p99_ms"] == 20
    assert Lag(before, Snapshot(110, zeros, zeros)).figures()["p99_ms"] == 1
    always = Snapshot(110, (*zeros[:-1], 1), (*zeros[:-1], 10.0))
    assert Lag(before, always).figures()["p99_ms"] is None


def test_a_client_that_is_too_slow_for_its_newcomers_says_so() -> None:
    before, after = sample(0), sample(10, received_packets=1000)
    own = Interval(sample(0), sample(10, duplicates=2))
    joins = Joins(10, 10, 10.0, [0.1], [0.1], [], [], {}, 4.0)
    slow = attrs.evolve(after.generator, cpu={(1, 1, "python"): 9.5, (1, 2, "meet-crowd"): 5.0})
    other = attrs.evolve(before, generator=attrs.evolve(before.generator, cpu={}))
    newcomers = Newcomers(joins, Interval(before, after), own, (), None)
    assert newcomers.figures(1e-3)["cpu_ms_per_join"] == pytest.approx(300)
    assert newcomers.warnings() == ["Packets of newcomers were wrong: 2 duplicates."]
    busy = Interval(other, attrs.evolve(after, generator=slow))
    told = attrs.evolve(newcomers, others=busy).warnings()
    assert "was busy for 95 %" in told[0]


# Plots


def test_plots_are_svg(tmp_path: Path) -> None:
    figures = result_of(sample(10), sample(20, **GOOD)).figures()
    written = write_plots(tmp_path / "new", figures["samples"])
    assert {path.name for path in written} == {"packets.svg", "delay.svg", "cpu.svg", "loss.svg"}
    for path in written:
        assert ElementTree.parse(path).getroot().tag.endswith("svg")


def test_a_plot_stays_in_its_frame() -> None:
    text = plot("x", {"a": [(0, 0), (5, 70), (10, 1)], "b": [(0, 0), (10, 0)]})
    for line in ElementTree.fromstring(text).iter("{http://www.w3.org/2000/svg}polyline"):
        for point in line.attrib["points"].split():
            x, y = map(float, point.split(","))
            assert 70 <= x <= 705
            assert 30 <= y <= 210

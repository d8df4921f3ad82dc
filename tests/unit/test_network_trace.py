"""Measures of calls over bad networks, from traces with known answers."""

from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from network.load import Load, Use
from network.plot import plot
from network.report import Result, Run, median, table, typical_miss
from network.rows import ROWS
from network.trace import Frame, Trace, freezes, quantile

AUDIO = 50  # packets of 80 bytes a second
LAYERS = (("r0", 240, 100_000), ("r1", 480, 300_000), ("r2", 960, 900_000))


def made(
    frames: Iterable[tuple[float, int]] = (),
    *,
    offered: Callable[[float], float] = lambda time: 0.0,
    end: float = 25.0,
    **marks: float,
) -> Trace:
    """A trace of a publisher of ``LAYERS`` with 20 frames a second. ``offered`` is what the server
    has offered to the link until a time, in bytes.
    """
    trace = Trace("row", 1, {"start": 0.0, "end": end, **marks})
    for tick in range(-10, int(10 * end) + 10):
        time = tick / 10
        trace.publisher.append(
            {
                "time": time,
                "outbound": [
                    {
                        "kind": "video",
                        "rid": rid,
                        "frameWidth": width,
                        "framesEncoded": 20 * time,
                        "packetsSent": 20 * time,
                        "bytesSent": rate / 8 * time,
                        "headerBytesSent": 0,
                        "keyFramesEncoded": 1,
                    }
                    for rid, width, rate in LAYERS
                ]
                + [
                    {
                        "kind": "audio",
                        "packetsSent": AUDIO * time,
                        "bytesSent": 80 * AUDIO * time,
                        "headerBytesSent": 0,
                    }
                ],
            }
        )
        trace.viewer.append(
            {
                "time": time,
                "inbound": [
                    {
                        "kind": "audio",
                        "totalSamplesReceived": 48000 * (time + 1),
                        "concealedSamples": 4800 * (time + 1),
                        "silentConcealedSamples": 2400 * (time + 1),
                    }
                ],
            }
        )
        count = {"received_bytes": offered(time), "delivered_bytes": offered(time)}
        count |= {"lost": 0, "queue_dropped": 0}
        consumers = [{"id": "a", "packetsRetransmitted": tick}]
        trace.samples.append(
            {
                "time": time,
                "link": {"up": count, "down": count},
                "viewer": {"consumers": consumers},
            }
        )
    trace.frames = [Frame(time, width, "track") for time, width in frames]
    return trace


def steady(start: float, end: float, width: int = 960, fps: float = 20) -> list[tuple[float, int]]:
    return [(start + n / fps, width) for n in range(round((end - start) * fps))]


def test_complete_picture() -> None:
    trace = made(steady(0.01, 25))
    assert trace.frames_share == trace.top_share == 1
    assert trace.frozen() == 0
    assert trace.concealed == pytest.approx(0.05)
    assert trace.server_rise("consumers", "packetsRetransmitted") == 250


def test_frames_of_other_layers_and_missing_ones() -> None:
    trace = made(steady(0, 10) + steady(10, 20, width=480))
    assert trace.frames_share == pytest.approx(0.8)
    assert trace.top_share == pytest.approx(0.4)
    # nothing comes for the last five seconds
    assert trace.frozen() == pytest.approx(5, abs=0.1)


def test_no_frame_is_frozen_all_the_time() -> None:
    assert made().frozen() == 25
    assert made(steady(-5, -1)).frozen() == 25
    assert made(steady(0, 25)).frozen("start", "end") == 0


def test_freezes_are_gaps_beyond_the_usual() -> None:
    times = [time for time, _ in steady(0, 2)] + [time for time, _ in steady(2.1, 4)]
    assert list(freezes(times, 4)) == []  # 150 ms
    times = [time for time, _ in steady(0, 2)] + [time for time, _ in steady(2.3, 4)]
    ((start, end),) = freezes(times, 4)
    assert (start, end) == (pytest.approx(1.95), pytest.approx(2.3))
    # Three frames a second are freezes until they are usual.
    slow = [time for time, _ in [*steady(0, 2), *steady(2, 20, fps=3)]]
    ends = [end for _, end in freezes(slow, 20)]
    assert 2 < min(ends) < max(ends) < 12


@pytest.mark.parametrize(
    ("cap", "layer"),
    [(100, (0, 0)), (150, (0, 1)), (300, (1, 1)), (500, (2, 0)), (700, (2, 1)), (1500, (2, 2))],
)
def test_right_layer_fits_below_the_cap_beside_audio(cap: int, layer: tuple[int, int]) -> None:
    assert made().right_layer(1000.0 * cap) == layer


def test_layers_that_the_publisher_stops_keep_their_rates() -> None:
    trace = made(steady(0, 25))
    for sample in trace.publisher:
        for entry in sample["outbound"]:
            if entry.get("rid") == "r2":  # sent until 10 s
                for name in ("framesEncoded", "packetsSent", "bytesSent"):
                    entry[name] = min(sample["time"], 10) / (sample["time"] or 1) * entry[name]
            elif entry.get("rid"):  # sent from then on
                entry["framesEncoded"] = 20 * max(0, sample["time"] - 10)
    assert trace.bitrates()[2] == pytest.approx(900_000 + 20 * 44 * 8, rel=0.01)
    assert trace.frames_encoded == pytest.approx(500)


def test_right_share_counts_frames_of_the_right_layer() -> None:
    trace = made(steady(0, 20, width=480, fps=10) + steady(20, 25, width=240))
    assert trace.right_share(300_000) == pytest.approx(0.8)
    assert trace.right_share(1_500_000) == 0


def test_waits_and_use_of_the_cap() -> None:
    trace = made(offered=lambda time: 30_000 * time)
    trace.waits = Counter({10: 94, 200: 6})
    assert trace.wait_p95 == 0.2
    trace.waits = Counter({10: 95, 200: 5})
    assert trace.wait_p95 == 0.01
    assert trace.used(300_000) == pytest.approx(0.8)
    assert quantile(0.95, Counter()) == 0


def test_under_the_cap_is_the_last_time_above_it() -> None:
    def offered(time: float) -> float:
        """1 Mbit/s until 6 s, then 400 kbit/s."""
        return 125_000 * min(time, 6) + 50_000 * max(0, time - 6)

    trace = made(offered=offered, drop=5.0, rise=20.0)
    found = trace.under(500_000, "drop", "rise")
    assert found == pytest.approx(0.8, abs=0.21)
    assert trace.under(300_000, "drop", "rise") is None


def test_top_layer_back() -> None:
    below = steady(0, 5) + steady(5, 22, width=480)
    assert made([*below, *steady(22, 25)], away=15, rise=20).top_back(
        "rise", "away", "end"
    ) == pytest.approx(2)
    assert (
        made([*below, *steady(22, 25, 480)], away=15, rise=20).top_back("rise", "away", "end")
        is None
    )
    # it was never away
    assert made(steady(0, 25), away=15, rise=20).top_back("rise", "away", "end") is None


def test_pictures_after_a_moment() -> None:
    gap = steady(0, 5.1) + steady(7.5, 25)
    assert made(gap, moment=5.0).resumed("moment") == pytest.approx(2.5)  # it begins later
    assert made(gap, moment=7.3).resumed("moment") == pytest.approx(0.2)  # it began before
    assert made(steady(0, 5.1), moment=5.0).resumed("moment") is None
    undisturbed = made(steady(0, 25), moment=5.0).resumed("moment")
    assert undisturbed is not None
    assert undisturbed < 0.6


def test_trace_is_read_as_it_was_written(tmp_path: Path) -> None:
    trace = made(steady(0, 25), moment=5.0)
    trace.waits = Counter({3: 4})
    trace.write(tmp_path / "trace.json")
    again = Trace.read(tmp_path / "trace.json")
    assert (again.frames, again.waits, again.marks) == (trace.frames, trace.waits, trace.marks)
    assert again.samples == trace.samples
    picture = plot(again)
    assert picture == plot(trace)
    assert picture.count("<circle") == len(trace.frames)
    assert "packetsRetransmitted" in picture


def test_never_is_more_than_any_number() -> None:
    assert median([1.0, None, 3.0]) == 3
    assert median([1.0, None, None]) is None
    assert median([]) is None


def test_table_has_runs_and_what_was_kept() -> None:
    results = {
        "ten": Result(
            "ten",
            "today",
            "abc",
            [Run({"keys": keys}, keys == 4, "") for keys in (1.0, 4.0, 2.0)],
        )
    }
    kept = {"ten": Result("ten", "before", "abc", [Run({"keys": 6.0}, False, "")])}
    *_, line = table(results, kept)
    assert line.split("|")[2:-1] == [
        " key frames in 5 s ",
        " ≤ 2 ",
        " 2 ",
        " 1 / 4! / 2 ",
        " yes ",
        " 6 ",
    ]
    assert typical_miss(results["ten"]) is None
    results["ten"].runs[0].values["keys"] = 5.0
    assert "**no**" in table(results, kept)[-1]
    assert typical_miss(results["ten"]) == 2


def test_rows_have_names_of_their_own() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)
    for row in ROWS:
        assert len({measure.key for measure in row.measures}) == len(row.measures)


def test_saturated_runs() -> None:
    quiet = {"engine": Use(0.02, 0.001), "server": Use(0.1, 0.0)}
    assert not Load((0.5, 0.6), (0.0, 0.2), quiet).saturated
    assert Load((0.5, 0.9), (0.0, 0.5), quiet).saturated
    assert Load((0.5, 0.6), (0.0, 0.0), quiet | {"engine": Use(0.05, 0.1)}).saturated

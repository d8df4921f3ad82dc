"""The metrics of a running meeting, and the dashboard that shows them."""

import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio
from prometheus_client.parser import text_string_to_metric_families
from support.meeting import open_meeting
from support.server import open_server, quick_settings

DASHBOARD = Path(__file__).parents[2] / "conf" / "grafana-dashboard.json"

Samples = dict[str, list[tuple[dict[str, str], float]]]


async def scrape(url: str) -> Samples:
    """The samples by name: labels and value."""
    async with httpx.AsyncClient() as http:
        text = (await http.get(url)).text
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


async def of_a_meeting() -> Samples:
    """Of two people with a microphone and a camera each."""
    settings = quick_settings({"metrics.listen": ("127.0.0.1", 0)}, workers=1)
    with trio.fail_after(30):
        async with open_server(settings) as server:
            url = f"http://127.0.0.1:{server.running.metrics_port}/metrics"
            async with open_meeting(server.api, await server.api.create_room()):
                samples = await scrape(url)
                while not value(samples, "meet_trio_round_trip_seconds_gcount"):
                    await trio.sleep(0.1)
                    samples = await scrape(url)
            while value(await scrape(url), "meet_trio_transports"):
                await trio.sleep(0.05)
            samples["after"] = [({}, value(await scrape(url), "meet_trio_consumers"))]
    return samples


def value(samples: Samples, name: str, **labels: str) -> float:
    """The sum of the samples with these labels."""
    found = [(all_, v) for all_, v in samples[name] if labels.items() <= all_.items()]
    assert found, (name, labels)
    return sum(v for _, v in found)


@pytest.fixture(scope="module")
def samples() -> Samples:
    return trio.run(of_a_meeting)


def test_a_meeting(samples: Samples) -> None:
    def of(name: str, **labels: str) -> float:
        return value(samples, f"meet_trio_{name}", **labels)

    assert of("rooms") == of("opened_rooms_total") == 1
    assert of("peers", state="connected") == of("peers") == of("invited_peers_total") == 2
    assert of("join_seconds_count") == 2
    assert of("transports", kind="webrtc", state="connected") == of("transports") == 4
    assert of("paths", protocol="udp", secure="yes") == 4
    assert of("dtls_handshakes_total") == of("transport_connects_total", result="connected") == 4
    assert of("dtls_handshake_seconds_count") == of("transport_connect_seconds_count") == 4
    assert 0 < of("dtls_handshake_seconds_sum") <= of("transport_connect_seconds_sum")
    for kind in ("audio", "video"):
        assert of("producers", kind=kind) == of("consumers", kind=kind) == 2
        assert of("consumers", kind=kind, layer="none") == 0
    assert of("active_streams", kind="audio", layer="0") == 2
    assert of("active_streams", kind="video", layer="1") == 2
    assert of("first_packet_in_seconds_count") == 4
    for kind in ("audio", "video"):
        assert of("first_packet_out_seconds_count", kind=kind) == 2
    assert of("datagrams_total", direction="in") > 100
    assert of("bytes_total", direction="out") > 10_000
    assert of("forwarded_packets_total") > 50
    assert of("estimate_bytes_per_second_gcount") >= 1
    assert of("estimate_bytes_per_second_bucket", le="+Inf") >= 1
    assert of("engine_up") == 1
    assert of("engine_busy_seconds_total") > 0
    assert of("engine_longest_turn_seconds", span="start") > 0
    assert of("loop_turn_seconds_count", clock="held") > 10
    assert value(samples, "process_resident_memory_bytes") > 1e7
    assert value(samples, "after") == 0


# The dashboard

_FUNCTIONS = {
    *("sum", "max", "min", "avg", "rate", "increase", "histogram_quantile", "clamp_min", "topk"),
}
_WORDS = {"by", "without", "on", "ignoring", "group_left", "group_right", "and", "or", "unless"}
_TOKEN = re.compile(
    r'\s+|(?P<string>"[^"]*")|(?P<span>\[[^\]]*\])|(?P<number>\d[\d.e]*)'
    r"|(?P<name>[a-zA-Z_:$][\w:]*)|(?P<mark>=~|!~|!=|==|>=|<=|[-+*/%^(){}=,<>])"
)
_OF_PROMETHEUS = {"job", "instance", "le"}  # labels that no metric here needs to have


def tokens(text: str) -> list[tuple[str, str]]:
    """Kind and text of each token of a PromQL expression."""
    found, at = [], 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        assert match, f"{text!r}: what is at {text[at:]!r}?"
        at = match.end()
        if match.lastgroup is not None:
            found.append((match.lastgroup, match.group()))
    return found


def problems(expression: str, labels_of: dict[str, set[str]]) -> list[str]:
    """What an expression names that the server does not give out."""
    found, metrics, grouped = [], [], set[str]()
    wanted: set[str] = set()
    inside = ""  # of braces, or of a list of labels
    all_tokens = tokens(expression)
    depth = 0
    for i, (kind, text) in enumerate(all_tokens):
        before = all_tokens[i - 1][1] if i else ""
        if text == "{":
            inside = "{"
        elif text == "(":
            depth += 1
            if before in _WORDS:
                inside = "("
        elif text in ")}":
            depth -= text == ")"
            inside = ""
        elif kind != "name" or text in _WORDS:
            pass
        elif inside == "{":
            if before in "{,":
                wanted.add(text)
        elif inside == "(":
            grouped.add(text)
        elif (i + 1 < len(all_tokens) and all_tokens[i + 1][1] == "(") or text in _FUNCTIONS:
            if text not in _FUNCTIONS:
                found.append(f"{text} is no known function")
        elif text in labels_of:
            metrics.append(text)
        else:
            found.append(f"there is no metric {text}")
    if depth:
        found.append("its parentheses do not match")
    if not metrics:
        found.append("it names no metric")
    for name in wanted | grouped:
        if name not in _OF_PROMETHEUS and not any(name in labels_of[m] for m in metrics):
            found.append(f"there is no label {name}")
    return found


def targets(panels: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """The title and expression of each query, those of closed rows too."""
    for panel in panels:
        yield from targets(panel.get("panels", []))
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]


def test_every_query_of_the_dashboard_names_what_there_is(samples: Samples) -> None:
    labels_of = {name: {key for of, _ in all_ for key in of} for name, all_ in samples.items()}
    dashboard = json.loads(DASHBOARD.read_text())
    queries = list(targets(dashboard["panels"]))
    rows = [panel["title"] for panel in dashboard["panels"] if panel["type"] == "row"]
    assert rows == ["Overview", "Quality", "Engine", "Signaling", "Webhooks"]
    assert len(queries) > 25
    wrong = [(title, e, p) for title, e in queries if (p := problems(e, labels_of))]
    assert not wrong
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            name, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]).groups()
            assert name in labels_of
            assert label in labels_of[name] | _OF_PROMETHEUS
    cells = [cell for panel in dashboard["panels"] for cell in cells_of(**panel["gridPos"])]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24  # Grafana's columns
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids))
    for panel in dashboard["panels"]:
        names = [target["refId"] for target in panel.get("targets", [])]
        assert len(names) == len(set(names))


def cells_of(x: int, y: int, w: int, h: int) -> Iterator[tuple[int, int]]:
    return itertools.product(range(x, x + w), range(y, y + h))


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("sum(meet_trio_room)", "no metric meet_trio_room"),
        ("rate(meet_trio_datagrams_total[5m", "what is at"),
        ("sum by (colour) (meet_trio_rooms)", "no label colour"),
        ('meet_trio_peers{colour="x"}', "no label colour"),
        ("summ(meet_trio_rooms)", "no known function"),
        ("sum(meet_trio_rooms", "parentheses"),
        ("1 + 1", "names no metric"),
    ],
)
def test_what_is_wrong_with_a_query_is_seen(expression: str, problem: str) -> None:
    known = {"meet_trio_rooms": set[str](), "meet_trio_peers": {"state"}}
    try:
        told = " ".join(problems(expression, known))
    except AssertionError as error:
        told = str(error)
    assert problem in told

"""The metrics: what is gathered from fakes, the page over ASGI, and the listener of its own."""

import contextlib
import random
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any

import httpx
import pytest
import trio
import trio.testing
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_text
from prometheus_client.process_collector import ProcessCollector
from starlette.applications import Starlette
from support.engine_world import World as RealWorld
from support.live_fakes import FakeEngine, FakeStats, World
from support.live_scenes import open_world, pair, transport
from support.server import open_server, quick_settings
from trio.testing import MockClock

from meet_trio.edge.listener import open_listeners
from meet_trio.edge.settings import FrontDoorSettings
from meet_trio.engine import StatsReady
from meet_trio.lag import LoopLag
from meet_trio.operator import metrics as metrics_module
from meet_trio.operator.described import METRICS, PREFIX, MetricKind
from meet_trio.operator.exposition import (
    Format,
    Numbers,
    Outline,
    _One,
    library_metric,
    open_format,
    plain_format,
)
from meet_trio.operator.metrics import Metrics
from meet_trio.operator.metrics_page import MetricsPage
from meet_trio.operator.metrics_server import MAX_CONNECTIONS, MetricsServer
from meet_trio.operator.process_figures import ProcessFigures
from meet_trio.operator.settings import MetricsSettings

OPENMETRICS = "application/openmetrics-text; version=1.0.0"


class TellingEngine(FakeEngine):
    """Answers with ``figures`` while ``answers``."""

    world: World
    answers = True
    walks = 0
    waiting = 0

    def __init__(self, **figures: int) -> None:
        super().__init__()
        self.figures = figures

    def request_stats(self, token: int) -> None:
        self.walks += 1
        if self.answers:
            consumers = dict.fromkeys(map(str, self.consumers))
            stats = FakeStats(consumers=consumers, engine=self.figures)
            self.world.nursery.start_soon(self._tell, StatsReady(token, stats))

    async def _tell(self, event: StatsReady) -> None:
        (host,) = (h for h in self.world.hosts if event.token in h._stats_waiting)
        host._dispatch(event)


@contextlib.asynccontextmanager
async def open_metrics(*engines: TellingEngine) -> AsyncIterator[tuple[World, Metrics]]:
    async with open_world(engines=list(engines) or [TellingEngine()]) as world:
        for engine in world.engines:
            assert isinstance(engine, TellingEngine)
            engine.world = world
        yield world, Metrics(world.registry, LoopLag(), lambda: (2, {"sent": 5}), lambda: 7)


async def values(metrics: Metrics) -> dict[str, dict[tuple[str, ...], float]]:
    """By the sample's name without prefix, then by the values of its labels."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for group in await metrics.gather():
        for numbers in group:
            for sample in library_metric(numbers).samples:
                labels = tuple(sample.labels.values())
                found.setdefault(sample.name.removeprefix(PREFIX), {})[labels] = sample.value
    return found


async def test_peers_and_transports_by_state(autojump_clock: MockClock) -> None:
    async with open_metrics() as (world, metrics):
        room, ada, bob = await pair(world)
        await transport(ada.socket, consuming=False)
        room.invite(ada.room.state.peers[ada.id].role)
        bob.socket.lose()
        await trio.testing.wait_all_tasks_blocked()
        found = await values(metrics)
        assert found["rooms"] == {(): 1}
        assert found["peers"] == {("invited",): 1, ("connected",): 1, ("away",): 1}
        assert found["invited_peers_total"] == {(): 3}
        assert found["transports"]["webrtc", "new"] == 2
        assert sum(found["transports"].values()) == 2
        assert found["webhooks_waiting"] == {(): 2}
        assert found["webhooks_total"]["sent",] == 5
        assert found["http_connections"] == {(): 7}
        assert found["join_seconds_count"] == {(): 2}
        await ada.socket.ask("createPlainTransport", producing=True)
        plain = (await values(metrics))["transports"]
        assert (plain["plain", "new"], sum(plain.values())) == (1, 3)
        room.close()
        await trio.testing.wait_all_tasks_blocked()
        found = await values(metrics)
        assert set(found["peers"].values()) | set(found["transports"].values()) == {0}


async def test_engines_are_summed_up(autojump_clock: MockClock) -> None:
    here = TellingEngine(dropped_no_path=3, datagrams_in=5, busy_us=2_500_000, tcp_connections=4)
    there = TellingEngine(dropped_no_path=4, datagrams_in=6, busy_us=0, tcp_strangers=1)
    async with open_metrics(here, there) as (_, metrics):
        found = await values(metrics)
        assert found["dropped_total"]["no_path",] == 7
        assert found["datagrams_total"]["in",] == 11
        assert found["engine_busy_seconds_total"] == {("0",): 2.5, ("1",): 0}
        assert found["tcp_connections"] == {("proven",): 3, ("stranger",): 1}


async def test_counters_of_an_engine_that_does_not_answer_stay(autojump_clock: MockClock) -> None:
    here, there = TellingEngine(datagrams_in=5), TellingEngine(datagrams_in=6, tcp_connections=1)
    async with open_metrics(here, there) as (world, metrics):
        assert (await values(metrics))["engine_up"] == {("0",): 1, ("1",): 1}
        there.answers = False
        here.figures["datagrams_in"] = 7
        for _ in range(2):
            found = await values(metrics)
            assert found["datagrams_total"]["in",] == 13
            assert found["tcp_connections"]["proven",] == 0
            assert found["engine_up"] == {("0",): 1, ("1",): 0}
            world.hosts[1].failure.set()  # from now on it is not even asked
        assert there.walks == 2


async def test_counters_go_on_with_the_engine_after_a_death(autojump_clock: MockClock) -> None:
    here = TellingEngine(datagrams_in=5, busy_us=1_000_000, turns=9, tcp_connections=2)
    async with open_metrics(here) as (world, metrics):
        assert (await values(metrics))["engine_restarts_total"] == {("0",): 0}
        world.host.restarts += 1
        here.figures = {"datagrams_in": 2, "busy_us": 500_000, "turns": 1, "tcp_connections": 1}
        for _ in range(2):
            found = await values(metrics)
            assert found["engine_restarts_total"] == {("0",): 1}
            assert found["datagrams_total"]["in",] == 7
            assert found["engine_busy_seconds_total"]["0",] == 1.5
            assert found["engine_turns_total"]["0",] == 10
            assert found["tcp_connections"]["proven",] == 1


def test_every_counter_of_an_engine_is_in_one_metric() -> None:
    gauges = {"packet_buffers", "packet_buffers_used", "tcp_connections", "tcp_strangers"}
    gauges |= {"longest_turn_us", "longest_recent_turn_us"}
    of_each = {"turns", "busy_us"}
    objects = {"transports", "producers", "mirrors", "consumers"}  # the summary has them
    placed = [*metrics_module._PLAIN.values(), *metrics_module._DROPS.values()]
    placed += [name for of in metrics_module._LABELLED.values() for name in of.values()]
    assert len(placed) == len(set(placed))
    figures = {n for n in RealWorld().stats()["engine"] if not n.startswith("dropped_")}
    assert figures == {*placed, *gauges, *of_each, *objects}


def described(families: Iterable[Metric]) -> dict[str, tuple[str, str, frozenset[str]]]:
    """Type, help and labels of each metric."""
    found = {}
    for family in families:
        labels = {name for sample in family.samples for name in sample.labels} - {"le"}
        found[family.name] = (family.type, family.documentation, frozenset(labels))
    return found


OPEN_TYPES = {
    MetricKind.COUNTER: "counter",
    MetricKind.GAUGE: "gauge",
    MetricKind.HISTOGRAM: "histogram",
    MetricKind.DISTRIBUTION: "gaugehistogram",
}


async def test_a_server_gives_out_what_is_described_and_nothing_else() -> None:
    settings = quick_settings({"metrics.listen": ("127.0.0.1", 0)})
    async with open_server(settings) as server:
        url = f"http://127.0.0.1:{server.running.metrics_port}/metrics"
        async with httpx.AsyncClient() as http:
            plain = await http.get(url)
            openmetrics = await http.get(url, headers={"Accept": OPENMETRICS})
            assert (await http.get(f"http://127.0.0.1:{server.running.port}/metrics")).is_error
            again = (await http.get(url)).text
    assert plain.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert openmetrics.headers["content-type"].startswith(OPENMETRICS)
    expected = {
        m.family: (OPEN_TYPES[m.kind], m.help, frozenset(m.labels)) for m in METRICS.values()
    }
    assert described(parse_openmetrics(openmetrics.text)) == expected
    names = {family.name for family in parse_text(plain.text)}
    assert {m.full_name.removesuffix("_total") for m in METRICS.values()} <= names
    before, after = (
        float(re.findall(r"^meet_trio_engine_turns_total\S+ (\S+)$", text, re.M)[0])
        for text in (plain.text, again)
    )
    assert after > before


# The page


def page_of(metrics: Metrics) -> MetricsPage:
    return MetricsPage(metrics.gather)


def never() -> MetricsPage:
    raise AssertionError


@contextlib.asynccontextmanager
async def open_page(
    token: str | None, *engines: TellingEngine
) -> AsyncIterator[tuple[World, httpx.AsyncClient]]:
    async with open_metrics(*engines) as (world, metrics):
        server = MetricsServer(MetricsSettings(token=token), load=never, page=page_of(metrics))
        app = Starlette(routes=[server._route(wants_token=token is not None)])
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://meet.test") as http:
            yield world, http


async def test_the_page_is_loaded_once_by_requests_at_once() -> None:
    loads: list[MetricsPage] = []
    async with open_metrics() as (_, metrics):

        def load() -> MetricsPage:
            loads.append(page_of(metrics))
            return loads[-1]

        server = MetricsServer(MetricsSettings(token=None), load=load)
        app = Starlette(routes=[server._route(wants_token=False)])
        async with (
            httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x.test") as http,
            trio.open_nursery() as nursery,
        ):
            for _ in range(5):
                nursery.start_soon(http.get, "/metrics")
    assert len(loads) == 1


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("Bearer secret", 200),
        ("bearer  secret ", 200),
        ("Bearer wrong", 401),
        ("Basic secret", 401),
        ("secret", 401),
        ("", 401),
        (None, 401),
        (b"Bearer secr\xe9t", 401),
    ],
)
async def test_the_token(header: str | bytes | None, status: int) -> None:
    async with open_page("secret") as (_, http):
        headers: Mapping[Any, Any] = {} if header is None else {b"authorization": header}
        answer = await http.get("/metrics", headers=headers)
        assert answer.status_code == status
        assert ("meet_trio_rooms" in answer.text) == (status == 200)
        assert (answer.headers.get("www-authenticate") == "Bearer") == (status == 401)
        assert (await http.post("/metrics", headers=headers)).status_code == 405


@pytest.mark.parametrize(
    "accept",
    [
        "",
        "*/*",
        "text/plain",
        OPENMETRICS,
        "application/openmetrics-text; version=99.9.9",
        "application/openmetrics-text; version=x;;",
        "text/plain; version=1.x",
    ],
)
async def test_formats(accept: str) -> None:
    """What the client says of versions is not repeated, and not kept."""
    async with open_page(None) as (_, http):
        answer = await http.get("/metrics", headers={"Accept": accept})
        is_open = "openmetrics" in accept
        assert ("openmetrics" in answer.headers["content-type"]) == is_open
        assert "99" not in answer.headers["content-type"]
        assert answer.text.count("# EOF") == int(is_open)
        parse = parse_openmetrics if is_open else parse_text
        assert len(list(parse(answer.text))) >= len(METRICS)


async def test_a_page_has_the_numbers_of_its_time(autojump_clock: MockClock) -> None:
    """Also if some are those of the page before, and others not."""
    engine = TellingEngine(datagrams_in=1, dropped_no_path=3)
    async with open_page(None, engine) as (_, http):
        texts = []
        for engine.figures["datagrams_in"] in (1, 1, 2):
            for accept in ("text/plain", OPENMETRICS):
                texts.append((await http.get("/metrics", headers={"Accept": accept})).text)
        found = [re.findall(r'^meet_trio_datagrams_total.*"in"} (.*)$', t, re.M) for t in texts]
        assert found == [["1.0"]] * 4 + [["2.0"]] * 2
        assert all('no_path"} 3.0' in text for text in texts)


@pytest.mark.parametrize("make", [plain_format, open_format])
def test_pages_are_those_of_the_library(make: Callable[[], Format]) -> None:
    """Whatever changes from one page to the next: numbers, labels, both, nothing."""
    wanted, fresh = make(), make()
    chance = random.Random(1)
    labels = ["", "a", 'b"\\\n', "50 %s", "{}"]
    for about in METRICS.values():
        is_histogram = about.kind in (MetricKind.HISTOGRAM, MetricKind.DISTRIBUTION)
        bounds = (0.005, 0.1, 1.0, 2e6) if is_histogram else ()
        for _ in range(6):
            rows = {tuple(chance.choice(labels) for _ in about.labels) for _ in range(3)}
            outline = Outline(about.name, tuple(sorted(rows)), bounds)
            size = len(rows) * (len(bounds) + 2 if bounds else 1)
            for _ in range(3):
                numbers = Numbers(outline, [chance.choice(NUMBERS) for _ in range(size)])
                metric = library_metric(numbers)
                by_library = fresh.encode(_One(metric)).decode().removesuffix(fresh.end)
                assert wanted.write(numbers) == by_library
                assert wanted.write(numbers) == by_library


NUMBERS = (0, 1, 2**63, 0.1, 1e-9, 123456.789, 1234567.5, float("inf"), -1)


def test_figures_of_the_process_are_those_of_the_library() -> None:
    library = {m.name: m.samples[0].value for m in ProcessCollector(registry=None).collect()}
    own = ProcessFigures().read()
    assert own.keys() == library.keys()
    assert own["process_max_fds"] == library["process_max_fds"]
    assert own["process_start_time_seconds"] == pytest.approx(
        library["process_start_time_seconds"], abs=2
    )
    for name in ("process_resident_memory_bytes", "process_cpu_seconds"):
        assert own[name] == pytest.approx(library[name], rel=0.2)
    before = own["process_open_fds"]
    with open("/dev/null"):
        assert ProcessFigures().read()["process_open_fds"] == before + 1


async def test_calls_at_once_share_an_answer(autojump_clock: MockClock) -> None:
    engine = TellingEngine()
    async with open_page(None, engine) as (_, http):
        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(http.get, "/metrics")
        assert engine.walks <= 2
        await http.get("/metrics")
        assert engine.walks <= 3


# The listener of its own


@contextlib.asynccontextmanager
async def open_own_listener(*, loopback: bool) -> AsyncIterator[int]:
    async with open_metrics() as (world, metrics):
        server = MetricsServer(MetricsSettings(token="secret"), lambda: page_of(metrics))
        door = server.own_door(FrontDoorSettings(), loopback=loopback)
        listeners = await open_listeners("127.0.0.1", 0, "metrics.listen")
        await world.nursery.start(door.serve, listeners)
        yield listeners[0].socket.getsockname()[1]


async def test_loopback_needs_no_token_but_a_host_of_this_machine() -> None:
    async with open_own_listener(loopback=True) as port, httpx.AsyncClient() as http:
        url = f"http://127.0.0.1:{port}/metrics"
        assert (await http.get(url)).status_code == 200
        rebound = await http.get(url, headers={"Host": "evil.example"})
        assert (rebound.status_code, "rooms" in rebound.text) == (421, False)
        assert (await http.get(f"http://127.0.0.1:{port}/meetmedia/api/stats")).status_code == 404


async def test_beyond_loopback_the_token_is_needed() -> None:
    async with open_own_listener(loopback=False) as port, httpx.AsyncClient() as http:
        url = f"http://127.0.0.1:{port}/metrics"
        assert (await http.get(url)).status_code == 401
        headers = {"Authorization": "Bearer secret", "Host": "meet.example"}
        assert (await http.get(url, headers=headers)).status_code == 200


async def test_silent_connections_do_not_keep_prometheus_out() -> None:
    async with open_own_listener(loopback=True) as port, contextlib.AsyncExitStack() as stack:
        for _ in range(MAX_CONNECTIONS + 8):
            stream = await trio.open_tcp_stream("127.0.0.1", port)
            await stack.enter_async_context(stream)
        async with httpx.AsyncClient() as http:
            assert (await http.get(f"http://127.0.0.1:{port}/metrics")).status_code == 200


async def test_the_main_listener_has_it_behind_the_token_only() -> None:
    async with open_server(quick_settings({"metrics.token": "t0ken"})) as server:
        assert server.running.metrics_port is None
        url = f"http://127.0.0.1:{server.running.port}/metrics"
        async with httpx.AsyncClient() as http:
            assert (await http.get(url)).status_code == 401
            answer = await http.get(url, headers={"Authorization": "Bearer t0ken"})
            assert answer.status_code == 200


def test_without_metrics_their_library_is_not_loaded() -> None:
    code = "import sys, meet_trio.app; print('prometheus_client' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"

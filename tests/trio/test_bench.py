"""The load generator against a small server of its own: what it measures, and how it ends."""

import argparse
import json
import os
import socket
import ssl
from pathlib import Path

import attrs
import pytest
import trio
import trio.testing
from support.certificates import make_certificate
from support.fake_meeting import open_fake_meeting

from meet_trio.bench.api import Api
from meet_trio.bench.errors import BenchError
from meet_trio.bench.light_peer import LightPeer, open_light_peer
from meet_trio.bench.limit import Bars, shortfalls
from meet_trio.bench.result import Result
from meet_trio.bench.scenario import Scenario
from meet_trio.bench.session import BenchSession, find_limit
from meet_trio.bench.tables import Progress, rows
from meet_trio.bench.trial import Trial

SMALL = Scenario(
    publishers=1,
    subscribers=2,
    bitrate=500_000,
    publish_by="plain",
    view_by="plain",
    join_rate=1000,
    join_timeout=5,
    warm_up=0,
    duration=0.4,
)


def held() -> tuple[int, int]:
    """Descriptors, and threads of crowds."""
    names = [thread.read_text() for thread in Path("/proc/self/task").glob("*/comm")]
    return len(os.listdir("/proc/self/fd")), names.count("meet-crowd\n")


def leaf(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def test_a_run() -> None:
    async with open_fake_meeting() as (meeting, api):
        before = held()
        result = await Trial(api, attrs.evolve(SMALL, rooms=2, audio=True, threads=2)).run()
        await trio.testing.wait_all_tasks_blocked()
        assert held()[1] == before[1]
    figures = result.figures()
    assert result.joins.done == 4
    assert not result.joins.failures
    assert len(result.joins.first_media) == 4
    assert figures["media"]["streams"] == 8
    assert figures["media"]["silent_streams"] == 0
    assert figures["media"]["lost"] == 0
    assert figures["media"]["forwarded_percent"] > 0
    assert set(figures["faults"].values()) == {0}
    assert figures["media"]["ping_ms"] is not None
    assert sorted(meeting.closed) == ["room1", "room5"]
    assert not meeting.rooms


async def test_quiet_joins() -> None:
    """Media begins when all have joined, so its first packets say nothing of the joins."""
    async with open_fake_meeting() as (_, api):
        trial = Trial(api, attrs.evolve(SMALL, quiet_joins=True))
        result = await trial.run()
    assert result.joining is not None
    assert result.joining.count("sent_packets") == 0
    sent, received = (result.final.counters[f"{name}_packets"] for name in ("sent", "received"))
    assert sent > 0
    assert received == 2 * sent
    assert result.joins.done == 2
    assert not result.joins.first_media


async def test_newcomers() -> None:
    """They are measured by themselves, and so are those who were there, meanwhile."""
    async with open_fake_meeting() as (meeting, api):
        scenario = attrs.evolve(SMALL, rooms=2, newcomers=6, newcomer_rate=20)
        result = await Trial(api, scenario).run()
        assert not meeting.rooms
    newcomers = result.newcomers
    assert newcomers is not None
    assert (newcomers.joins.wanted, newcomers.joins.done) == (6, 6)
    assert newcomers.joins.seconds > 5 / 20
    assert result.joins.done == 4
    assert result.final.counters["streams"] == 4
    assert newcomers.own.after.counters["streams"] == 6
    assert newcomers.others.count("received_packets") > 0
    assert newcomers.pings
    figures = result.figures()
    assert figures["newcomers"]["others"]["delay_ms"]["p99"] is not None
    assert figures["newcomers"]["loop_lag"] == {"p99_ms": 1, "above_5_ms_percent": 0}
    shown = dict(rows(figures))
    assert shown["newcomers"].startswith("6 of 6")
    assert "p99 at most 1 ms" in shown["  server's loop"]


async def test_newcomers_that_are_refused_are_told() -> None:
    async with open_fake_meeting() as (meeting, api):
        trial = Trial(api, attrs.evolve(SMALL, newcomers=3, newcomer_rate=1000))
        trial.on_phase = lambda phase: (
            meeting.refuse.add("connection") if "newcomers" in phase else None
        )
        result = await trial.run()
    assert result.newcomers is not None
    assert dict(result.newcomers.joins.failures) == {"connection: 500": 3}
    assert not result.joins.failures
    assert any("3 of 3 newcomers have failed" in warning for warning in result.warnings())


async def test_a_server_that_tells_no_lag() -> None:
    async with open_fake_meeting() as (meeting, api):
        meeting.tells_lag = False
        result = await Trial(api, attrs.evolve(SMALL, newcomers=1)).run()
    figures = result.figures()
    assert figures["newcomers"]["loop_lag"] is None
    assert "  server's loop" not in dict(rows(figures))


async def test_signaling_by_tls(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path, "meet.test")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)
    trusting = ssl.create_default_context(cafile=certificate)
    async with open_fake_meeting(tls) as (meeting, api):
        with pytest.RaisesGroup(BenchError, flatten_subgroups=True):
            await Trial(api, SMALL, ssl_context=ssl.create_default_context()).run()
        result = await Trial(api, attrs.evolve(SMALL, duration=0.1), ssl_context=trusting).run()
        assert len(meeting.closed) == 1
    assert result.joins.done == 2


async def test_loss_is_seen() -> None:
    async with open_fake_meeting() as (meeting, api):
        meeting.drop = lambda count: count % 10 == 5
        result = await Trial(api, SMALL).run()
    measuring = result.measuring
    assert measuring is not None
    assert 5 < measuring.lost_percent < 15
    assert any("lost" in missed for missed in shortfalls(result, Bars()))


async def test_wrong_packets_are_a_warning() -> None:
    async with open_fake_meeting() as (meeting, api):
        meeting.change = lambda packet: packet[:11] + bytes([packet[11] ^ 1]) + packet[12:]
        result = await Trial(api, attrs.evolve(SMALL, join_timeout=1)).run()
    assert result.figures()["faults"]["unknown_ssrc"] > 0
    assert any("wrong" in warning for warning in result.warnings())
    assert any("never begun" in warning for warning in result.warnings())


async def test_stopping_closes_the_rooms() -> None:
    async with open_fake_meeting() as (meeting, api):
        trial = Trial(api, attrs.evolve(SMALL, rooms=2, duration=3600))
        trial.on_phase = lambda phase: trial.stop() if phase == "measuring" else None
        result = await trial.run()
        assert not meeting.rooms
    assert result.stopped
    assert result.warnings()
    assert result.figures()["media"] is None


async def test_a_peer_that_does_not_join_is_counted() -> None:
    async with open_fake_meeting() as (meeting, api):
        trial = Trial(api, attrs.evolve(SMALL, join_timeout=1))
        trial.on_phase = lambda phase: (
            meeting.ignore.add("join") if phase.startswith("2 subs") else None
        )
        result = await trial.run()
        assert not meeting.rooms
    assert dict(result.joins.failures) == {"it has not joined in 1 s": 2}
    assert result.joins.done == 0
    assert any("2 peers have failed" in missed for missed in shortfalls(result, Bars()))


async def test_a_server_that_only_accepts_ends_in_time() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(10)
        async with open_fake_meeting() as (meeting, api):
            meeting.port = silent.getsockname()[1]
            with (
                trio.fail_after(30),
                pytest.RaisesGroup(
                    pytest.RaisesExc(BenchError, match="not joined in 1 s"), flatten_subgroups=True
                ),
            ):
                await Trial(api, attrs.evolve(SMALL, join_timeout=1)).run()


def session_of(api: Api, monkeypatch: pytest.MonkeyPatch) -> BenchSession:
    """A session whose runs are against the small server."""
    session = BenchSession(argparse.Namespace(max_loss=0.5, max_delay=5000), "", Progress())

    async def run_one(scenario: Scenario) -> Result:
        return await Trial(api, scenario).run()

    monkeypatch.setattr(BenchSession, "run_one", lambda _, scenario: run_one(scenario))
    return session


async def test_the_limit_of_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """It makes two rooms and no third one."""
    async with open_fake_meeting() as (meeting, api):
        meeting.most_rooms = 2
        session = session_of(api, monkeypatch)
        short = attrs.evolve(SMALL, duration=0.1, bitrate=50_000)
        found = await find_limit(session, short, "rooms")
    assert (found.search.carried, found.search.refused) == (2, 3)
    assert found.people == 6
    assert found.reasons == ["there are 2 rooms"]
    assert [load for load, _, _ in found.runs] == [1, 2, 4, 4, 3, 3]
    assert json.dumps(found.figures())


async def test_a_first_run_that_is_impossible_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with open_fake_meeting() as (meeting, api):
        meeting.most_rooms = 0
        session = session_of(api, monkeypatch)
        with pytest.RaisesGroup(BenchError, flatten_subgroups=True):
            await find_limit(session, SMALL, "rooms")


@pytest.mark.parametrize("refused", ["produce", "createPlainTransport", "connection"])
async def test_without_publishers_there_is_no_run(refused: str) -> None:
    async with open_fake_meeting() as (meeting, api):
        meeting.refuse.add(refused)
        reasons: list[str] = []
        try:
            await Trial(api, SMALL).run()
        except* BenchError as group:
            reasons = [str(leaf(error)) for error in group.exceptions]
        assert any(refused in reason for reason in reasons), reasons
        if refused != "connection":
            assert not meeting.rooms


async def test_a_server_that_does_not_answer_ends_in_time() -> None:
    """The closing of rooms has a deadline of its own."""
    async with open_fake_meeting() as (meeting, api):
        meeting.ignore.add("moderator:closeRoom")
        trial = Trial(api, attrs.evolve(SMALL, duration=0.1), close_timeout=0.2)
        with trio.fail_after(30):
            await trial.run()
        assert "moderator:closeRoom" in meeting.requests


async def test_a_peer_says_nothing_before_its_connection_stands() -> None:
    """Socket.IO's own server ends a connection in which a packet comes too early."""
    async with open_fake_meeting() as (meeting, _):
        meeting.connects_in = 0.1
        url = (await meeting.create_peer("room", 1)).url
        async with open_light_peer(url) as peer:
            assert await peer.request("getRouterRtpCapabilities")


async def test_a_connection_that_ends_early_is_an_end() -> None:
    async with open_fake_meeting() as (meeting, _):
        meeting.refuse.add("CONNECT")
        url = (await meeting.create_peer("room", 1)).url
        with trio.fail_after(5):
            async with open_light_peer(url) as peer:
                with pytest.raises(trio.BrokenResourceError):
                    await peer.request("ping")


async def test_a_request_after_the_end_of_a_connection_fails() -> None:
    """It would wait for its answer for ever."""
    near, _ = trio.testing.memory_stream_pair()
    peer = LightPeer(near)
    peer.closed.set()
    with trio.fail_after(1), pytest.raises(trio.BrokenResourceError):
        await peer.request("ping")


@pytest.mark.parametrize(
    "phase", ["making", "1 publishers", "2 subs", "measuring", "2 newc", "closing"]
)
async def test_cancelled_it_leaves_nothing(phase: str) -> None:
    async with open_fake_meeting() as (_, api):
        before = held()
        with trio.CancelScope() as scope:
            trial = Trial(api, attrs.evolve(SMALL, newcomers=2))
            trial.on_phase = lambda text: scope.cancel() if text.startswith(phase) else None
            await trial.run()
        await trio.testing.wait_all_tasks_blocked()
        assert held()[1] == before[1]

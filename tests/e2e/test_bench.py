"""``meet-trio bench`` as a command against a real server: counts and ratios, no times."""

import json
import os
import signal
import subprocess
import sys
from typing import Any

import pytest
import trio
from support.daemon import Daemon, api_of, token_of

DEADLINE = 60.0  # seconds


@pytest.fixture(scope="module")
def daemon_flags() -> tuple[str, ...]:
    """Plain RTP of this machine is let in, and no viewer's link is taken to be slow."""
    bitrate = ("--media-initial-outgoing-bitrate", "50000000")
    return ("--media-plain-allowed", "127.0.0.0/8", *bitrate, "--process-log-level", "warning")


def bench(daemon: Daemon, *flags: str) -> subprocess.Popen[str]:
    url = f"http://127.0.0.1:{daemon.port}/meetmedia/api"
    return subprocess.Popen(
        [sys.executable, "-m", "meet_trio", "bench", url, "--pid", str(daemon.process.pid), *flags],
        env=os.environ | {"AUTH_TOKEN": token_of(daemon)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def rooms(daemon: Daemon) -> list[Any]:
    return trio.run(api_of(daemon).rooms)


def test_a_small_load(daemon: Daemon) -> None:
    """Every packet reaches every viewer, and the server's figures are there."""
    flags = ("--rooms", "2", "--publishers", "2", "--subscribers", "3", "--publishers-view")
    media = ("--audio", "--bitrate", "200k", "--warm-up", "0.5", "--duration", "1", "--json")
    process = bench(daemon, *flags, *media, "--join-rate", "50", "--quiet-joins")
    out, errors = process.communicate(timeout=DEADLINE)
    assert process.returncode in (0, 1), errors  # 1: the machine was too busy to be believed
    figures = json.loads(out)
    assert figures["joins"]["done"] == figures["joins"]["wanted"] == 6
    media_figures = figures["media"]
    assert media_figures["streams"] == 2 * (3 * 4 + 2 * 2)
    assert media_figures["silent_streams"] == 0
    # Media has begun when all had joined, so each packet of a publisher is for four viewers.
    counters = figures["counters"]
    for_viewers = 4 * counters["sent_packets"]
    assert 0.99 * for_viewers < counters["received_packets"] <= for_viewers
    assert media_figures["forwarded_percent"] > 0
    assert set(figures["faults"].values()) == {0}
    assert figures["server"]["cpu_us_per_packet"] > 0
    assert figures["server"]["cpu_ms_per_join"] > 0
    assert "meet-engine" in figures["server"]["cpu_percent_by_thread"]
    assert counters["feedback_sent"] > 0
    assert not rooms(daemon)


def test_newcomers(daemon: Daemon) -> None:
    """They come while the others meet, and the server tells how late its loop was."""
    flags = ("--publishers", "1", "--subscribers", "2", "--bitrate", "100k", "--warm-up", "0")
    late = ("--newcomers", "4", "--newcomer-rate", "20", "--duration", "0.5", "--json")
    process = bench(daemon, *flags, *late, "--join-rate", "50")
    out, errors = process.communicate(timeout=DEADLINE)
    assert process.returncode in (0, 1), errors
    newcomers = json.loads(out)["newcomers"]
    assert (newcomers["wanted"], newcomers["done"]) == (4, 4)
    assert newcomers["others"]["received_per_second"] > 0
    assert newcomers["cpu_ms_per_join"] > 0
    assert newcomers["loop_lag"]["above_5_ms_percent"] >= 0
    assert newcomers["faults"] == {}
    assert not rooms(daemon)


def test_plain_rtp_and_simulcast(daemon: Daemon) -> None:
    flags = ("--subscribers", "3", "--warm-up", "0.2", "--duration", "0.5", "--json")
    for more in (("--transport", "plain"), ("--simulcast", "--transport", "webrtc")):
        process = bench(daemon, *flags, *more, "--bitrate", "300k", "--join-rate", "50")
        out, errors = process.communicate(timeout=DEADLINE)
        assert process.returncode in (0, 1), errors
        figures = json.loads(out)
        assert figures["joins"]["done"] == 3
        assert figures["media"]["received_per_second"] > 0
        assert set(figures["faults"].values()) == {0}
    assert figures["counters"]["feeds"] == 6


def test_ctrl_c_closes_the_rooms(daemon: Daemon) -> None:
    process = bench(daemon, "--duration", "600", "--warm-up", "0")
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("measuring"):
            break
    assert len(rooms(daemon)) == 1
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=DEADLINE)
    assert process.returncode == 1
    assert "The run was stopped before its end." in out
    assert not rooms(daemon)


def test_what_cannot_run_says_why(daemon: Daemon) -> None:
    for flags, code, words in (
        (("--token", "wrong"), 3, "the server refuses the token"),
        (("--rooms", "0"), 2, "--rooms: 0 is not 1 to"),
        (("--newcomers", "3", "--find-limit"), 2, "--newcomers: not with --find-limit"),
        (("--pid", "999999999"), 3, "there is no such process"),
    ):
        process = bench(daemon, *flags)
        _, errors = process.communicate(timeout=DEADLINE)
        assert process.returncode == code
        assert words in errors
        assert "Traceback" not in errors

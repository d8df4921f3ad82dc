"""The core with random clients, under AddressSanitizer and UndefinedBehaviorSanitizer.

For a longer run, start the program that this builds with another seed and more steps.
"""

import subprocess
from pathlib import Path

import pytest
from support.c_programs import MEMORY, NO_SANITIZER, Flags, build
from support.c_sources import C, core_sources

STEPS = 60_000


def build_core(program: Path, source: str, flags: Flags = MEMORY) -> Path:
    return build(program, [C / "tests" / source, *core_sources()], flags)


@pytest.fixture(scope="module")
def churn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_core(tmp_path_factory.mktemp("churn") / "churn", "core/churn.c")


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_storm(churn: Path, seed: int) -> None:
    command = [str(churn), str(seed), str(STEPS)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    assert " 0 failures" in done.stdout


@pytest.mark.parametrize("seed", [1, 2])
def test_blobs_with_any_bytes_changed_do_no_harm(seed: int, tmp_path: Path) -> None:
    resumed = build_core(tmp_path / "resumed", "core/resumed.c")
    done = subprocess.run([str(resumed), str(seed), "2000"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    assert " 0 failures" in done.stdout


def test_the_bench_forwards_every_packet(tmp_path: Path) -> None:
    """``tests/bench/core.py`` divides by the number of these packets."""
    bench = build_core(tmp_path / "forward", "bench/forward.c")
    done = subprocess.run([str(bench), "3", "200", "2"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[1] == "600"


def test_a_viewer_takes_little_memory(tmp_path: Path) -> None:
    """A transport with one consumer of 240 packets a second, and one of audio: 27 and 18 KB."""
    bench = build_core(tmp_path / "forward", "bench/forward.c", NO_SANITIZER)
    for rate, kind, most in ((240, (), 36_000), (50, ("audio",), 25_000)):
        arguments = ["300", str(rate * 5), "1", str(rate), *kind]
        done = subprocess.run([str(bench), *arguments], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert 10_000 < int(done.stdout.split()[2]) < most


@pytest.fixture(scope="module")
def visits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_core(tmp_path_factory.mktemp("visits") / "visits", "core/visits.c")


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_rounds_visit_in_time(visits: Path, seed: int) -> None:
    """A core whose rounds visit only what is due does the same as one that visits everything."""
    done = subprocess.run([visits, str(seed), "20000"], capture_output=True, text=True, timeout=120)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]


def test_idle_transports_are_seldom_visited(visits: Path) -> None:
    """Once a second, for their reports, and not in each of 100 rounds."""
    done = subprocess.run([visits, "count", "200", "100"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert 1500 < int(done.stdout.split()[0]) < 2500

"""Builds the engine's C units with sanitizers, runs their tests, and fuzzes each for a moment.

For a longer run: ``clang -fsanitize=fuzzer,address,undefined fuzz/fuzz_rtp.c -lcrypto``, or the
plain program built here with ``-t SECONDS -s SEED``. A failure names the seed that repeats it.
"""

import subprocess
from pathlib import Path

import pytest
from support.aead import need_libipsec_mb
from support.c_programs import MEMORY, build
from support.c_sources import C
from support.fuzzing import UNITS

FUZZ_SECONDS = 1
FUZZ_SEED = 1


def _run(*command: str | Path) -> str:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def test_every_unit_is_listed() -> None:
    assert sorted(p.name for p in (C / "tests").glob("*.c")) == [f"test_{u}.c" for u in UNITS]
    assert sorted(p.name for p in (C / "fuzz").glob("fuzz_*.c")) == [f"fuzz_{u}.c" for u in UNITS]


@pytest.mark.parametrize("unit", UNITS)
def test_unit(unit: str, tmp_path: Path) -> None:
    program = build(tmp_path / unit, [C / "tests" / f"test_{unit}.c"])
    assert " 0 failures" in _run(program)


@pytest.mark.parametrize("unit", UNITS)
def test_fuzz(unit: str, tmp_path: Path) -> None:
    fuzz = C / "fuzz"
    program = build(tmp_path / unit, [fuzz / f"fuzz_{unit}.c", fuzz / "plain_main.c"])
    _run(program, "-w", tmp_path)
    _run(program, *sorted(tmp_path.glob("seed-*")))
    assert "runs of" in _run(program, "-t", str(FUZZ_SECONDS), "-s", str(FUZZ_SEED))


def test_srtp_by_libipsec_mb(tmp_path: Path) -> None:
    need_libipsec_mb()
    program = build(tmp_path / "srtp", [C / "tests" / "test_srtp.c"])
    assert " 0 failures" in _run(program, "libipsec-mb")


@pytest.fixture(scope="module")
def aead(tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = tmp_path_factory.mktemp("aead") / "aead"
    return build(program, [C / "tests" / "aead" / "libraries.c"])


def test_aead(aead: Path) -> None:
    assert " 0 failures" in _run(aead)


def test_aead_by_libipsec_mb(aead: Path) -> None:
    """It does what libcrypto does, and touches nothing beside its buffers."""
    need_libipsec_mb()
    assert " 0 failures" in _run(aead, "libipsec-mb")


def test_aead_of_a_build_without_libipsec_mb(tmp_path: Path) -> None:
    source = C / "tests" / "aead" / "libraries.c"
    program = build(tmp_path / "aead", [source], (*MEMORY, "-DMT_WITHOUT_IPSEC_MB"))
    assert " 0 failures" in _run(program)
    done = subprocess.run([program, "libipsec-mb"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (77, "this build was made without libipsec-mb\n")


def test_summary(tmp_path: Path) -> None:
    """It reads no network bytes, so it is not fuzzed."""
    program = build(tmp_path / "summary", [C / "tests" / "state" / "summary.c"])
    assert " 0 failures" in _run(program)


def test_crowd(tmp_path: Path) -> None:
    """The clients' ends of the load generator, a publisher's and a viewer's."""
    units = [C / "crowd" / f"{unit}.c" for unit in ("totals", "feed", "viewed", "endpoint")]
    below = [*(C / "formats").glob("*.c"), *(C / "base").glob("*.c")]
    program = build(tmp_path / "crowd", [C / "tests" / "crowd" / "media.c", *units, *below])
    assert " 0 failures" in _run(program)


def test_udp(tmp_path: Path) -> None:
    """Its kernel is part of the test."""
    program = build(tmp_path / "udp", [C / "tests" / "io" / "udp.c"])
    assert " 0 failures" in _run(program)


def test_memory_of_sent_packets(tmp_path: Path) -> None:
    """Its input are numbers that were read elsewhere, so it is not fuzzed."""
    program = build(tmp_path / "sent", [C / "tests" / "egress" / "sent.c"])
    assert " 0 failures" in _run(program)


def test_headers(tmp_path: Path) -> None:
    """Its input are values that were read elsewhere, so it is not fuzzed."""
    sources = [C / "tests" / "egress" / "header.c", C / "formats" / "rtp.c"]
    program = build(tmp_path / "header", sources)
    assert " 0 failures" in _run(program)

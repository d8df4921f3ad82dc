"""Runs programs of a grammar against the core: see ``c/fuzz/core/program.h``. All packets are
authentic.

Programs that once found something run first, then libFuzzer's own for half a minute on each core.
``tools/fuzz`` runs longer and replays findings.
"""

import os
import subprocess
from pathlib import Path

import pytest
from support import fuzzing
from support.c_sources import C

SECONDS = float(os.environ.get("MT_FUZZ_SECONDS", "30"))


@pytest.fixture(scope="module", autouse=True)
def program() -> Path:
    return fuzzing.build("core")


def test_the_corpus_shows_nothing_new() -> None:
    assert len(list((fuzzing.CORPUS / "core").iterdir())) > 100
    done = fuzzing.replay("core")
    assert done.returncode == 0, done.stdout[-6000:]


@pytest.mark.timeout(SECONDS + 120)
def test_half_a_minute_of_programs_breaks_nothing() -> None:
    good, told = fuzzing.fuzz("core", SECONDS)
    print(told)
    assert good, told


def test_a_program_is_told_in_words(program: Path) -> None:
    one = sorted((fuzzing.CORPUS / "core").iterdir())[0]
    told = subprocess.run(
        [program, one], capture_output=True, text=True, env=os.environ | {"MT_FUZZ_SHOW": "1"}
    ).stderr
    assert "JOIN" in told
    assert "most work of command" in told


@pytest.fixture(scope="module")
def oracles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program that breaks the rule in its argument."""
    folder = tmp_path_factory.mktemp("oracles")
    parts = []
    formats = ("formats/srtp.c", "formats/aead.c", "formats/ipsec_mb.c")
    for source in ("tests/fuzz/oracles.c", "fuzz/core/oracles.c", *formats):
        parts.append(folder / f"{source.replace('/', '-')}.o")
        watched = source != "fuzz/core/oracles.c"
        command = fuzzing.compile_core(C / source, parts[-1], watched=watched)
        subprocess.run(command, check=True)
    link = ["clang", fuzzing.SANITIZERS[0], fuzzing.WRAP, *parts, "-o", folder / "oracles"]
    subprocess.run([*link, "-lcrypto"], check=True)
    return folder / "oracles"


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ("none", ""),
        ("rtp", "index 7 of SSRC 1 is used again with other bytes (SRTP of session 1)"),
        ("rtcp", "index 7 of SSRC 1 is used again with other bytes (SRTCP of session 1)"),
        ("null", "index 7 of SSRC 1 is used again with other bytes (SRTP of session 3)"),
        ("work", "too much work: more than 1000 edges in one call"),
        ("session", "1 SRTP sessions are left from the program before"),
    ],
)
def test_a_broken_rule_is_seen(oracles: Path, rule: str, told: str) -> None:
    done = subprocess.run([oracles, rule], capture_output=True, text=True, timeout=60)
    assert (done.returncode == 0) is (rule == "none"), done.stderr
    assert told in done.stderr

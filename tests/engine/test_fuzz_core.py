"""The core under programs of a grammar, all packets authentic: see ``c/fuzz/core/program.h``.

What once showed something runs first, then a minute of what libFuzzer thinks of. For longer, and
to see again what was found: ``tools/fuzz``.
"""

import os
import subprocess
from pathlib import Path

import pytest
from support import fuzzing

SECONDS = float(os.environ.get("MEET_TRIO_FUZZ_SECONDS", "60"))


@pytest.fixture(scope="module", autouse=True)
def program() -> Path:
    return fuzzing.build("core")


def test_the_corpus_shows_nothing_new() -> None:
    assert len(list((fuzzing.CORPUS / "core").iterdir())) > 100
    done = fuzzing.replay("core")
    assert done.returncode == 0, done.stdout[-6000:]


@pytest.mark.timeout(SECONDS + 120)
def test_a_minute_of_programs_breaks_nothing() -> None:
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

"""The built extension has the protections that make a fault in C harder to use."""

import subprocess

import pytest

from meet_trio.engine import _engine


def readelf(what: str) -> str:
    done = subprocess.run(
        ["readelf", "--wide", what, _engine.__file__], capture_output=True, text=True, check=True
    )
    return done.stdout


def test_what_the_linker_wrote_is_read_only_from_the_start() -> None:
    assert "GNU_RELRO" in readelf("--program-headers")
    assert "BIND_NOW" in readelf("--dynamic")


def test_no_memory_is_both_written_and_run() -> None:
    (stack,) = (line for line in readelf("--program-headers").splitlines() if "GNU_STACK" in line)
    assert "RWE" not in stack


@pytest.mark.parametrize("guard", ["__stack_chk_fail@", "__memcpy_chk@"])
def test_overflows_of_the_stack_and_of_copies_are_noticed(guard: str) -> None:
    assert guard in readelf("--symbols")

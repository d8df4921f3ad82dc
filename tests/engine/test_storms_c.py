"""Engines with real threads under the sanitizers. Some end and begin under traffic, and one has TCP
clients that do everything wrong.

For a longer run, start the program that this builds with another seed and more steps.
"""

import subprocess
from pathlib import Path

import pytest
from support.c_programs import MEMORY, THREADS, Flags, build, has
from support.c_sources import C, engine_sources

STEPS = {"relay": 3000, "tcp": 20_000}


@pytest.fixture(scope="module", params=["thread", "address,undefined"])
def flags(request: pytest.FixtureRequest) -> Flags:
    flags = {"thread": THREADS, "address,undefined": MEMORY}[request.param]
    if not has(flags):
        pytest.skip(f"{flags[0]} does not work here")
    return flags


@pytest.fixture(scope="module", params=STEPS)
def storm(
    request: pytest.FixtureRequest, flags: Flags, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, int]:
    """The program and its number of steps."""
    program = tmp_path_factory.mktemp("storm") / request.param
    sources = [C / "tests" / request.param / "storm.c", *engine_sources()]
    return build(program, sources, flags), STEPS[request.param]


@pytest.mark.parametrize("seed", [1, 2])
def test_storm(storm: tuple[Path, int], seed: int) -> None:
    program, steps = storm
    command = [str(program), str(seed), str(steps)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    assert " 0 failures" in done.stdout


@pytest.mark.parametrize("unit", ["thread", "crowd"])
def test_no_wake_up_is_lost(unit: str, tmp_path: Path) -> None:
    """Who finds that the other thread is awake already has shown it what there is to do."""
    if not has(THREADS):
        pytest.skip(f"{THREADS[0]} does not work here")
    sources = [C / "tests" / unit / "wakes.c", C / "links" / "link.c"]
    program = build(tmp_path / "wakes", sources, THREADS, in_part=True)
    done = subprocess.run([program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr[-3000:]

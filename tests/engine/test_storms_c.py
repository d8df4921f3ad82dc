"""Engines with real threads under the sanitizers. Some end and begin under traffic, and one has TCP
clients that do everything wrong.

For a longer run, start the program that this builds with another seed and more steps.
"""

import os
import subprocess
from pathlib import Path

import pytest
from support.c_sources import INCLUDES, C, engine_sources

STEPS = {"relay": 3000, "tcp": 20_000}


def cc() -> str:
    return os.environ.get("CC", "cc")


def has(sanitizer: str, directory: Path) -> bool:
    """Whether programs built with it run here: it may be missing, or the kernel may not suit it."""
    source = directory / "empty.c"
    source.write_text("int main(void) { return 0; }\n")
    program = directory / "empty"
    built = subprocess.run(
        [cc(), f"-fsanitize={sanitizer}", str(source), "-o", str(program)], capture_output=True
    )
    return built.returncode == 0 and subprocess.run([program], capture_output=True).returncode == 0


@pytest.fixture(scope="module", params=["thread", "address,undefined"])
def sanitizer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    name = str(request.param)
    if not has(name, tmp_path_factory.mktemp("empty")):
        pytest.skip(f"-fsanitize={name} does not work here")
    return name


@pytest.fixture(scope="module", params=STEPS)
def storm(
    request: pytest.FixtureRequest, sanitizer: str, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, int]:
    """The program and its number of steps."""
    program = tmp_path_factory.mktemp("storm") / request.param
    command = [
        *(cc(), "-std=gnu11", "-g", "-O1", "-Wall", "-Wextra", "-Werror"),
        *("-Wno-deprecated-declarations", f"-fsanitize={sanitizer}"),
        *("-fno-sanitize-recover=all", "-o", str(program)),
        *map(str, [INCLUDES, C / "tests" / request.param / "storm.c", *engine_sources()]),
        *("-lcrypto", "-lm", "-lpthread"),
    ]
    built = subprocess.run(command, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    return program, STEPS[request.param]


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
    if not has("thread", tmp_path):
        pytest.skip("-fsanitize=thread does not work here")
    program = tmp_path / "wakes"
    command = [
        *(cc(), "-std=gnu11", "-g", "-O1", "-Wall", "-Wextra", "-Werror"),
        *("-Wno-deprecated-declarations", "-fsanitize=thread", "-o", str(program)),
        *("-ffunction-sections", "-Wl,--gc-sections"),  # what the test does not call is not linked
        *map(str, [INCLUDES, C / "tests" / unit / "wakes.c", C / "links" / "link.c"]),
    ]
    built = subprocess.run(command, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    done = subprocess.run([program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr[-3000:]

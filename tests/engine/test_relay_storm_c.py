"""Engines that end and begin under traffic, with real threads, under the sanitizers.

More of it: run the program that this builds with another seed and more steps.
"""

import os
import subprocess
from pathlib import Path

import pytest

C = Path(__file__).parents[2] / "src" / "meet_trio" / "engine" / "c"
STEPS = 3000


def cc() -> str:
    return os.environ.get("CC", "cc")


def has(sanitizer: str, directory: Path) -> bool:
    """Whether programs built with it run here: it may not be installed, or not like the kernel."""
    source = directory / "empty.c"
    source.write_text("int main(void) { return 0; }\n")
    program = directory / "empty"
    built = subprocess.run(
        [cc(), f"-fsanitize={sanitizer}", str(source), "-o", str(program)], capture_output=True
    )
    return built.returncode == 0 and subprocess.run([program], capture_output=True).returncode == 0


@pytest.fixture(scope="module", params=["thread", "address,undefined"])
def storm(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("storm")
    if not has(request.param, directory):
        pytest.skip(f"-fsanitize={request.param} does not work here")
    program = directory / "storm"
    command = [
        *(cc(), "-std=gnu11", "-g", "-O1", "-Wall", "-Wextra", "-Werror"),
        *("-Wno-deprecated-declarations", f"-fsanitize={request.param}"),
        *("-fno-sanitize-recover=all", "-o", str(program)),
        *map(str, [C / "tests" / "relay" / "storm.c", *sorted(C.glob("*.c"))]),
        *("-lcrypto", "-lm", "-lpthread"),
    ]
    built = subprocess.run(command, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    return program


@pytest.mark.parametrize("seed", [1, 2])
def test_storm(storm: Path, seed: int) -> None:
    command = [str(storm), str(seed), str(STEPS)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    assert " 0 failures" in done.stdout

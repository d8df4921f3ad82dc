"""How much memory a viewer takes in the core.

``PYTHONPATH=tests python tests/bench/memory.py [OTHER]`` prints it.

The core runs without sockets (``engine/c/tests/bench/forward.c``). Each viewer has one transport
with SRTP and one consumer, which is sent packets for eight seconds. Printed are bytes: what the
process has taken since the first viewer came, divided by their number. What all of them share, the
publisher's history, was there before. ``OTHER`` is a checkout to compare with.
"""

import argparse
import os
import subprocess
import tempfile
from pathlib import Path

from support.c_sources import C, core_sources

ROOT = Path(__file__).parents[2]
VIEWERS = 1000
SECONDS = 8
STREAMS = (
    ("video", 30),
    ("video", 100),
    ("video", 240),
    ("video", 1000),
    ("audio", 50),
)
"""Packets a second."""


def build(program: Path, folder: Path) -> Path:
    sources = [C / "tests" / "bench" / "forward.c", *core_sources(folder)]
    command = [os.environ.get("CC", "cc"), "-std=gnu11", "-O1", "-w", f"-I{folder}"]
    command += [*map(str, sources), "-o", str(program), "-lcrypto", "-lm"]
    subprocess.run(command, check=True)
    return program


def measure(program: Path, kind: str, rate: int) -> tuple[int, int]:
    """The bytes of a viewer, and those of its transport alone."""
    command = [str(program), str(VIEWERS), str(rate * SECONDS), "1", str(rate)]
    if kind == "audio":
        command.append(kind)
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    _, forwarded, viewer, transport = map(int, done.stdout.split())
    assert forwarded == VIEWERS * SECONDS * rate, "packets were lost"
    return viewer, transport


def main() -> None:
    parser = argparse.ArgumentParser(description="Memory of a viewer in the core.")
    parser.add_argument("other", nargs="?", type=Path, help="a checkout to compare with")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        programs = {"now": build(Path(name, "now"), C)}
        if arguments.other:
            other = arguments.other.resolve() / C.relative_to(ROOT)
            programs = {"before": build(Path(name, "before"), other), **programs}
        for kind, rate in STREAMS:
            for version, program in programs.items():
                viewer, transport = measure(program, kind, rate)
                print(
                    f"{kind}, {rate:4} packets a second, {version:6}: "
                    f"{viewer:6} bytes, {transport} before it consumes"
                )


if __name__ == "__main__":
    main()

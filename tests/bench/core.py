"""What the core alone costs for one forwarded packet, now and at an earlier commit:
``PYTHONPATH=tests python tests/bench/core.py [COMMIT] [--viewers N]``.

The core runs without sockets (``engine/c/tests/bench/forward.c``), so no work of the kernel is
counted. Both versions are built the same way, and their runs take turns. Printed are the
nanoseconds of the fastest round of each run, and the median of the ratios of neighbouring runs.
"""

import argparse
import io
import os
import statistics
import subprocess
import tarfile
import tempfile
from pathlib import Path

from support.c_sources import C, core_sources

ROOT = Path(__file__).parents[2]
RUNS = 7
PACKETS = 4000
ROUNDS = 5


def build(program: Path, folder: Path) -> Path:
    """The bench of this working copy, with the core's sources in ``folder``."""
    sources = [str(path) for path in core_sources(folder)]
    bench = str(C / "tests" / "bench" / "forward.c")
    command = [os.environ.get("CC", "cc"), "-std=gnu11", "-O3", "-flto", "-w"]
    command += [f"-I{folder}", bench, *sources, "-o", str(program), "-lcrypto", "-lm"]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    return program


def checked_out(commit: str, folder: Path) -> Path:
    """The C sources of ``commit``, below ``folder``."""
    place = C.relative_to(ROOT)
    archive = subprocess.run(
        ["git", "archive", commit, str(place)], cwd=ROOT, check=True, capture_output=True
    )
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
        tar.extractall(folder, filter="data")
    return folder / place


def nanoseconds(program: Path, viewers: int) -> int:
    command = [str(program), str(viewers), str(PACKETS), str(ROUNDS)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    fastest, forwarded, *_ = map(int, done.stdout.split())
    assert forwarded == viewers * PACKETS, "packets were lost"
    return fastest


def main() -> None:
    parser = argparse.ArgumentParser(description="What one forwarded packet costs in the core.")
    parser.add_argument("commit", nargs="?", help="compare with this commit")
    parser.add_argument("--viewers", type=int, default=20)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        now = build(folder / "now", C)
        before = None
        if arguments.commit:
            before = build(folder / "before", checked_out(arguments.commit, folder / "tree"))
        ratios = []
        for _ in range(RUNS):
            line = f"{nanoseconds(now, arguments.viewers)} ns"
            if before:
                was = nanoseconds(before, arguments.viewers)
                ratios.append(int(line.split()[0]) / was)
                line += f", {arguments.commit}: {was} ns"
            print(line)
        if ratios:
            print(f"median of the ratios: {statistics.median(ratios):.3f}")


if __name__ == "__main__":
    main()

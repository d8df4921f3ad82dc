"""Measures calls over bad networks: ``tools/test --network``. ``docs/network.md`` describes it."""

import argparse
import datetime
import shutil
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Mapping
from pathlib import Path

from network import report
from network.plot import plot
from network.rows import ROWS, Row
from network.stage import Props, Stage, open_scene, open_stage
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[2]
ARTIFACTS = ROOT / "artifacts" / "network"
PAGE = ROOT / "docs" / "network.md"
PICTURES = ROOT / "docs" / "network"


def main() -> int:
    options = _arguments()
    rows = report.by_name(options.rows) if options.rows else list(ROWS)
    now = datetime.datetime.now(datetime.UTC)
    folder = ARTIFACTS / now.strftime("%Y%m%d-%H%M%S")
    date, commit = now.strftime("%Y-%m-%d"), _commit()
    kept = report.read()
    results: dict[str, report.Result] = {}
    with tempfile.TemporaryDirectory(prefix="meet-network-") as name, sync_playwright() as playing:
        scratch = Path(name)
        props = Props.make(scratch)
        for row in rows:
            result = results[row.name] = report.Result(row.name, date, commit)
            for number in range(1, options.runs + 1):
                # A server and browsers of its own: no run inherits anything of another.
                try:
                    with open_stage(props, playing, scratch) as stage:
                        run = _run(stage, row, number, folder)
                except Exception as error:
                    traceback.print_exc()
                    run = report.Run({}, False, "", [], f"{type(error).__name__}: {error}"[:300])
                result.runs.append(run)
                shown = ", ".join(
                    f"{m.label} {m.show(run.values.get(m.key))}" for m in row.measures
                )
                print(f"{row.name} {number}: {run.failed or shown}", file=sys.stderr, flush=True)
                for note in [*run.notes, run.load]:
                    print(f"    {note}", file=sys.stderr, flush=True)
                report.write(results, folder / "results.json")
    print("\n".join(report.table(results, kept)))
    print("\n! = a core was saturated in this run\n")
    print("\n".join(report.remarks(results)))
    print(f"\nTraces: {folder.relative_to(ROOT)}")
    if options.keep:
        good = {name: result for name, result in results.items() if not _failed(result)}
        kept |= good
        report.write(kept)
        if options.pictures:
            _keep_pictures(good, folder)
        PAGE.write_text(report.page(kept, PICTURES))
        print(f"Kept {', '.join(good)} in {PAGE.relative_to(ROOT)}")
    return int(any(map(_failed, results.values())))


def _run(stage: Stage, row: Row, number: int, folder: Path) -> report.Run:
    with open_scene(stage, row.name, number, row.far, row.publishes) as scene:
        values = row.play(scene)
        path = folder / f"{row.name}-{number}.json"
        scene.trace.write(path)
        path.with_suffix(".svg").write_text(plot(scene.trace))
        assert scene.load is not None
        return report.Run(dict(values), scene.load.saturated, str(scene.load), scene.notes)


def _keep_pictures(results: Mapping[str, report.Result], folder: Path) -> None:
    """For each row that is not met, the picture of one of its runs; none for the others."""
    PICTURES.mkdir(exist_ok=True)
    for name, result in results.items():
        path = PICTURES / f"{name}.svg"
        path.unlink(missing_ok=True)
        if (number := report.typical_miss(result)) is not None:
            shutil.copyfile(folder / f"{name}-{number}.svg", path)


def _failed(result: report.Result) -> bool:
    return any(run.failed for run in result.runs)


def _commit() -> str:
    describe = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    done = subprocess.run(describe, capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="tools/test --network", description="Measures calls over bad networks."
    )
    parser.add_argument("--runs", type=int, default=3, help="runs of each row (3)")
    parser.add_argument(
        "--rows", help="names with commas, * at the end: " + ", ".join(row.name for row in ROWS)
    )
    parser.add_argument(
        "--keep", action="store_true", help="keep the results: tests/network/kept.json, docs/"
    )
    parser.add_argument(
        "--pictures", action="store_true", help="with --keep: keep pictures of missed rows in docs/"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

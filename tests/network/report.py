"""Results of the table's rows: kept as JSON, shown as Markdown."""

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs
from network.rows import ROWS, Measure, Row

NONE = "-"
KEPT = Path(__file__).with_name("kept.json")


@attrs.define
class Run:
    """One run of a row: a value for each measure, and the load of the machine."""

    values: dict[str, float | None]
    saturated: bool
    load: str
    notes: list[str] = attrs.field(factory=list)
    failed: str = ""
    """Why there are no values."""


@attrs.define
class Result:
    """All runs of one row, on a day, at a commit."""

    row: str
    date: str
    commit: str
    runs: list[Run] = attrs.field(factory=list)

    def values(self, key: str) -> list[float | None]:
        return [run.values.get(key) for run in self.runs if not run.failed]


def median(values: Sequence[float | None]) -> float | None:
    """None, which is never, is more than any number."""
    if not values:
        return None
    middle = statistics.median(float("inf") if v is None else v for v in values)
    return None if middle == float("inf") else middle


def read(path: Path = KEPT) -> dict[str, Result]:
    """The results in a file, by row; none if it does not exist."""
    if not path.exists():
        return {}
    return {
        row: Result(**{**data, "runs": [Run(**run) for run in data["runs"]]})
        for row, data in json.loads(path.read_text()).items()
    }


def write(results: Mapping[str, Result], path: Path = KEPT) -> None:
    ordered = {row.name: attrs.asdict(results[row.name]) for row in ROWS if row.name in results}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(ordered, indent=1, ensure_ascii=False) + "\n")


def table(
    results: Mapping[str, Result], kept: Mapping[str, Result], *, brief: bool = False
) -> list[str]:
    """The table as lines of Markdown; a brief one is without the results that were kept before."""
    heads = ["link", "measure", "wanted", "median", "all runs", "met", "kept before"]
    heads = heads[: len(heads) - brief]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for row in ROWS:
        if (result := results.get(row.name)) is None:
            continue
        for number, measure in enumerate(row.measures):
            head = f"{row.link} (`{row.name}`)" if number == 0 else "…"
            before = kept.get(row.name)
            cells = [head, *_cells(measure, result, before)][: len(heads)]
            lines.append(f"| {' | '.join(cells)} |")
    return lines


def _cells(measure: Measure, result: Result, before: Result | None) -> list[str]:
    def show(of: Result) -> str:
        return measure.show(median(of.values(measure.key))) if of.values(measure.key) else NONE

    values = result.values(measure.key)
    every = [
        "failed" if run.failed else measure.show(run.values.get(measure.key)) + "!" * run.saturated
        for run in result.runs
    ]
    met = NONE if not values else "yes" if measure.met(median(values)) else "**no**"
    return [
        measure.label,
        measure.bar,
        show(result),
        " / ".join(every),
        met,
        NONE if before is None else show(before),
    ]


def remarks(results: Mapping[str, Result]) -> list[str]:
    """A line for each saturated or failed run, and for what a row noted."""
    lines = []
    for row in ROWS:
        for number, run in enumerate(results[row.name].runs if row.name in results else [], 1):
            name = f"`{row.name}`, run {number}"
            if run.failed:
                lines.append(f"- {name} failed: {run.failed}")
            if run.saturated:
                lines.append(f"- {name}: saturated: {run.load}")
            lines += [f"- {name}: {note}" for note in run.notes]
    return lines


def typical_miss(result: Result) -> int | None:
    """The number of the run that is nearest to the median of a measure that is not met; None if
    all are met.
    """
    (row,) = by_name(result.row)
    for measure in row.measures:
        values = result.values(measure.key)
        middle = median(values)
        if values and not measure.met(middle):
            finite = [1e9 if value is None else value for value in values]
            wanted = 1e9 if middle is None else middle
            return 1 + min(range(len(finite)), key=lambda i: abs(finite[i] - wanted))
    return None


def page(results: Mapping[str, Result], pictures: Path) -> str:
    """``docs/network.md``."""
    template = Path(__file__).with_name("page.md").read_text()
    stamps = sorted({(r.date, r.commit) for r in results.values()})
    told = ", ".join(f"{date} at {commit}" for date, commit in stamps)
    shown = [row for row in ROWS if (pictures / f"{row.name}.svg").exists()]
    misses = "".join(f"- {row.link}: [trace](network/{row.name}.svg)\n" for row in shown)
    for name, text in (
        ("{table}", "\n".join(table(results, {}, brief=True))),
        ("{when}", told),
        ("{misses}", f"Runs of rows that are not met:\n\n{misses}\n" if misses else ""),
    ):
        template = template.replace(name, text)
    return template


def by_name(names: str) -> list[Row]:
    """The rows of a list of names with commas; a name may end with ``*``. Raises ValueError."""
    found: list[Row] = []
    for name in names.split(","):
        rows = [
            row
            for row in ROWS
            if row.name == name or (name.endswith("*") and row.name.startswith(name[:-1]))
        ]
        if not rows:
            raise ValueError(f"no row {name!r}; rows: {', '.join(row.name for row in ROWS)}")
        found += [row for row in rows if row not in found]
    return found

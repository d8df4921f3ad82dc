"""A minute of calls over bad networks: some rows of ``tools/test --network``, shorter, with bars
that a busy machine leaves alone. ``docs/network.md`` has the whole table.
"""

from collections.abc import Iterator

import pytest
from network.report import by_name
from network.rows import Row
from network.stage import Props, Stage, open_scene, open_stage
from playwright.sync_api import Playwright
from support.pages import ARTIFACTS

SECONDS = 8.0
SETTLING = 2.0
TRIES = 2  # other load can only make a run worse

# a row's measures and the least that they must reach, or the most that they may
BARS = {
    "cap-300": {"right": 0.5, "frozen": 3.0},
    "loss-5": {"frames": 0.85, "audio": 0.03},
    "outage-2": {"resumed": 2.0},
    "rebind-viewer": {"resumed": 2.0},
}


@pytest.fixture(scope="module")
def stage(playwright: Playwright, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("network")
    with open_stage(Props.make(folder), playwright, folder) as stage:
        yield stage


def misses(row: Row, values: dict[str, float | None]) -> list[str]:
    """The measures that do not reach their bars."""
    found = []
    for measure in row.measures:
        if (bar := BARS[row.name].get(measure.key)) is None:
            continue
        value = values[measure.key]
        reached = value is not None and (value >= bar if measure.least else value <= bar)
        if not reached:
            found.append(f"{measure.label}: {measure.show(value)}, not {measure.show(bar)}")
    return found


@pytest.mark.parametrize("name", BARS)
def test_call_survives(name: str, stage: Stage) -> None:
    (row,) = by_name(name)
    for number in range(1, TRIES + 1):
        with open_scene(stage, row.name, number, row.far) as scene:
            scene.seconds, scene.settling = SECONDS, SETTLING
            values = dict(row.play(scene))
        scene.trace.write(ARTIFACTS / f"{row.name}-{number}.json")
        print(f"{row.name}: {values}; {scene.load}; {scene.notes}")
        missed = misses(row, values)
        if not missed:
            return
    pytest.fail(f"each time: {missed}; {scene.load}")

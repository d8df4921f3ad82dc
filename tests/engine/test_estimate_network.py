"""The bandwidth estimator in a simulated network, in virtual time, under sanitizers.

``PYTHONPATH=tests python -m support.estimate_curves`` draws the curves of the documentation.
"""

import subprocess
from pathlib import Path

import pytest
from support.estimate_curves import build_scenarios, draw, read_curves


@pytest.fixture(scope="module")
def scenarios(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_scenarios(tmp_path_factory.mktemp("scenarios") / "scenarios")


def test_all_bars_are_met(scenarios: Path) -> None:
    done = subprocess.run([scenarios], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 failures" in done.stdout


def test_curves_can_be_drawn(scenarios: Path, tmp_path: Path) -> None:
    curves = read_curves(scenarios, "steps", tmp_path)
    assert [c.capacity for c in curves[50:300:100]] == [3e6, 500e3, 3e6]
    drawn = draw("steps", curves)
    assert drawn.startswith("<svg")
    assert drawn.count("<polyline") == 4

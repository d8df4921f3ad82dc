"""The programs of ``tests/bench``: each can be imported and has ``--help``, the documentation's
commands fit them, and the cheapest one runs, as does the load of packets. mypy checks what they
call.
"""

import importlib
import re
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BENCH = ROOT / "tests" / "bench"
PROGRAMS = sorted(p.stem for p in BENCH.glob("*.py") if "def main()" in p.read_text())
PARTS = {"checkouts", "cpu_time", "packet_load", "packet_runs", "packet_server"}
COMMAND = re.compile(r"\btests/bench/(\w+)\.py((?: +(?:\[[^]]+\]|[^\s`#>]+))*)")
OPTION = re.compile(r"--[\w-]+")


@pytest.fixture(autouse=True)
def bench_path(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As if a program of this folder runs: it finds its neighbours."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(BENCH))
    yield
    for name in set(sys.modules) - before:
        if name in PROGRAMS or name in PARTS:
            del sys.modules[name]


def run(program: str, *arguments: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [program, *arguments])
    runpy.run_path(str(BENCH / f"{program}.py"), run_name="__main__")


def help_of(
    program: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> str:
    with pytest.raises(SystemExit) as ended:
        run(program, "--help", monkeypatch=monkeypatch)
    assert ended.value.code == 0
    return capsys.readouterr().out


def test_each_file_is_known() -> None:
    """A bench without ``main`` would not be tried."""
    assert {p.stem for p in BENCH.glob("*.py")} == set(PROGRAMS) | PARTS
    for part in PARTS:
        importlib.import_module(part)


@pytest.mark.parametrize("program", PROGRAMS)
def test_help(
    program: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "usage: " in help_of(program, monkeypatch, capsys)


def commands() -> dict[str, set[str]]:
    """By program, the options that the documentation gives it."""
    found: dict[str, set[str]] = {}
    for page in (ROOT / "docs").rglob("*.md"):
        for program, rest in COMMAND.findall(page.read_text()):
            found.setdefault(program, set()).update(OPTION.findall(rest))
    return found


def test_documented_commands(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    documented = commands()
    assert documented["engines"] >= {"--apart", "--pin"}
    assert set(documented) <= set(PROGRAMS)
    for program, options in documented.items():
        known = set(OPTION.findall(help_of(program, monkeypatch, capsys)))
        assert options <= known, program


def test_the_cheapest_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run("batches", "--publishers", "4", monkeypatch=monkeypatch)
    assert capsys.readouterr().out.count(" 4 publishers, ") == 2


@pytest.mark.parametrize(
    "layout",
    [{"engines": 2, "whole": True, "gro": True}, {"call": True}, {"plain": True}],
    ids=["two-engines", "call", "plain"],
)
def test_the_packets_load(layout: dict[str, bool | int]) -> None:
    """A server with its load, for a moment: packets arrive. It says nothing of speed."""
    from checkouts import HERE
    from packet_load import Load
    from packet_server import running

    load = Load(publishers=2, viewers=4, rate=2000, **layout)  # type: ignore[arg-type]
    with running(HERE, load) as server:
        while server.arrived() < 100:
            pass
        assert server.counters()["rtp_forwarded"] >= 50
        assert len(server.threads()) == load.engines

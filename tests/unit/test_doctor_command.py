"""The output and the exit codes of ``meet-trio doctor``."""

import json
from pathlib import Path

import pytest

from meet_trio import cli
from meet_trio.doctor import command
from meet_trio.doctor.command import WIDTH, lines, to_json
from meet_trio.doctor.examine import CHECKS
from meet_trio.doctor.findings import Diagnosis, Grade, note, ok, problem, warning, worst

FOUND = [
    Diagnosis("kernel", [ok("Linux 6.1")], 0.25),
    Diagnosis(
        "ports",
        [
            problem("a port\x1b[31m is taken " + "and " * 30, "no start " * 20, "end it " * 20),
            warning("w", "why", "do"),
            note("n"),
        ],
        0.0,
    ),
]


def test_a_report_fits_a_terminal_and_has_no_colour() -> None:
    text = list(lines(FOUND, timings=True))
    assert max(map(len, text)) <= WIDTH
    assert text[0] == "ok       kernel (0.250 s): Linux 6.1"
    assert text[-1] == "1 problem, 1 warning, 1 note, 1 ok"
    # what other machines say has no control characters
    assert all(line.isprintable() for line in text)


def test_a_long_command_is_not_broken() -> None:
    path = "/x" * 60
    text = list(lines([Diagnosis("a", [warning("f", "w", f"chmod 600 {path}")], 0)], timings=False))
    assert any(path in line for line in text)


def test_json() -> None:
    first, second, *_ = to_json(FOUND)
    assert first == {
        "check": "kernel",
        "grade": "ok",
        "found": "Linux 6.1",
        "why": "",
        "do": "",
        "seconds": 0.25,
    }
    assert second["grade"] == "problem"


def test_the_worst() -> None:
    assert worst(FOUND) is Grade.PROBLEM
    assert worst(FOUND[:1]) is Grade.OK
    assert worst([]) is Grade.OK


@pytest.mark.parametrize(("found", "code"), [(FOUND, 1), (FOUND[:1], 0)])
def test_exit_codes(
    found: list[Diagnosis],
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(command, "_look", lambda settings, path: found)
    assert cli.main(["doctor", "--demo"]) == code
    assert "kernel: Linux 6.1" in capsys.readouterr().out


@pytest.mark.parametrize("as_json", [False, True])
def test_settings_that_cannot_be_read(
    as_json: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MEET_TRIO_MEDIA_PROT", "1")
    assert cli.main(["doctor", *["--json"] * as_json]) == 2
    out = capsys.readouterr().out
    assert "MEET_TRIO_MEDIA_PORT" in out.replace("\n", " ")
    if as_json:
        (finding,) = json.loads(out)
        assert (finding["check"], finding["grade"]) == ("settings", "problem")
        assert "did you mean MEET_TRIO_MEDIA_PORT?" in finding["found"]


def test_the_page_has_each_check() -> None:
    page = (Path(__file__).parents[2] / "docs" / "doctor.md").read_text()
    headings = [line.removeprefix("### ") for line in page.splitlines() if line.startswith("### ")]
    assert headings == list(CHECKS)

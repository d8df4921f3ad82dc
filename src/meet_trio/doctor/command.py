"""The command ``meet-trio doctor``: its arguments and its output.

Exit code 0: no problem; 1: problems; 2: the settings cannot be read.
"""

import argparse
import json
import os
import shutil
import sys
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from meet_trio.config import CONFIG_VARIABLE, Settings, load
from meet_trio.doctor.findings import Diagnosis, Finding, Grade, problem, worst
from meet_trio.errors import ConfigError

WIDTH = 80  # columns
_INDENT = 9
_COLOURS = {Grade.OK: "32", Grade.NOTE: "36", Grade.WARNING: "33", Grade.PROBLEM: "31;1"}


def add_parser(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    add_settings: Callable[[argparse.ArgumentParser], None],
) -> None:
    """``add_settings`` adds the flags of ``serve``."""
    parser = commands.add_parser(
        "doctor",
        help="say what is wrong with settings, machine and network, and what to type",
        usage="meet-trio doctor [--config FILE] [--SETTING VALUE ...] [--json] [--timings]",
        description=(
            "Look at settings, ports, names, TLS, TURN, the webhook and the machine, and say what "
            "is wrong and what to type. Settings are read as by serve: give it the same file, "
            "environment and flags. It works while the server runs and while it does not."
        ),
        epilog="Exit code: 0 no problem, 1 problems, 2 the settings cannot be read.",
        allow_abbrev=False,
    )
    parser.add_argument("--json", action="store_true", help="print a list of objects")
    parser.add_argument("--timings", action="store_true", help="show the time of each check")
    add_settings(parser)


def run(arguments: dict[str, Any]) -> int:
    """Examine this machine. ``arguments`` are those of the parser; the return value is the exit
    code.
    """
    as_json, timings = arguments.pop("json"), arguments.pop("timings")
    config_path: Path | None = arguments.pop("config")
    if config_path is None and os.environ.get(CONFIG_VARIABLE):
        config_path = Path(os.environ[CONFIG_VARIABLE])
    flags = {key: value for key, value in arguments.items() if value is not None}
    try:
        settings = load(flags, os.environ, config_path)
    except ConfigError as error:
        diagnoses, code = [_unreadable(error)], 2
    else:
        diagnoses = _look(settings, config_path)
        code = 1 if worst(diagnoses) is Grade.PROBLEM else 0
    show(diagnoses, as_json=as_json, timings=timings)
    return code


def _unreadable(error: ConfigError) -> Diagnosis:
    finding = problem(
        f"the settings cannot be read: {error}",
        "the server does not start with them (exit code 2)",
        "correct the setting that the line names; meet-trio serve --help shows all",
    )
    return Diagnosis("settings", [finding], 0.0)


def _look(settings: Settings, config_path: Path | None) -> list[Diagnosis]:
    # Imported here, so that other commands do not load the checks.
    import trio

    from meet_trio.doctor.examine import examine
    from meet_trio.doctor.machine import this_machine
    from meet_trio.doctor.server import open_inspection

    async def look() -> list[Diagnosis]:
        async with open_inspection(settings, this_machine(), config_path) as seen:
            return await examine(seen)

    return trio.run(look)


def show(diagnoses: Sequence[Diagnosis], *, as_json: bool, timings: bool) -> None:
    if as_json:
        print(json.dumps(to_json(diagnoses), indent=2))
        return
    is_terminal = sys.stdout.isatty()
    coloured = is_terminal and "NO_COLOR" not in os.environ
    width = min(shutil.get_terminal_size().columns, 120) if is_terminal else WIDTH
    for line in lines(diagnoses, timings=timings, width=width, colour=_colour(coloured)):
        print(line)


def _colour(coloured: bool) -> Callable[[Grade, str], str]:
    if not coloured:
        return lambda grade, text: text
    return lambda grade, text: f"\x1b[{_COLOURS[grade]}m{text}\x1b[0m"


def to_json(diagnoses: Sequence[Diagnosis]) -> list[dict[str, object]]:
    return [
        {
            "check": diagnosis.check,
            "grade": finding.grade.value,
            "found": finding.found,
            "why": finding.why,
            "do": finding.do,
            "seconds": round(diagnosis.seconds, 3),
        }
        for diagnosis in diagnoses
        for finding in diagnosis.findings
    ]


def lines(
    diagnoses: Sequence[Diagnosis],
    *,
    timings: bool,
    width: int = WIDTH,
    colour: Callable[[Grade, str], str] = lambda grade, text: text,
) -> Iterator[str]:
    """The report as text: a paragraph for each finding, and the counts."""
    for diagnosis in diagnoses:
        name = diagnosis.check
        if timings:
            name += f" ({diagnosis.seconds:.3f} s)"
        for finding in diagnosis.findings:
            yield from _paragraph(name, finding, width, colour)
    grades = Counter(f.grade for diagnosis in diagnoses for f in diagnosis.findings)
    yield ""
    yield ", ".join(_counted(grades[grade], grade) for grade in reversed(Grade))


def _counted(number: int, grade: Grade) -> str:
    plural = "" if number == 1 or grade is Grade.OK else "s"
    return f"{number} {grade.value}{plural}"


def _paragraph(
    check: str, finding: Finding, width: int, colour: Callable[[Grade, str], str]
) -> Iterator[str]:
    indent = " " * _INDENT
    grade = finding.grade.value
    first, *rest = _wrap(f"{check}: {_printable(finding.found)}", width)
    yield colour(finding.grade, grade) + " " * (_INDENT - len(grade)) + first
    yield from (indent + line for line in rest)
    if finding.grade is Grade.OK:
        return
    for label, text in (("why: ", finding.why), ("do:  ", finding.do)):
        if text:
            for index, line in enumerate(_wrap(_printable(text), width - len(label))):
                yield indent + (label if index == 0 else " " * len(label)) + line


def _wrap(text: str, width: int) -> list[str]:
    # A command that is longer than a line stays whole words, so that it can be copied.
    return textwrap.wrap(
        text, max(20, width - _INDENT), break_long_words=False, break_on_hyphens=False
    ) or [""]


def _printable(text: str) -> str:
    """Names and answers of other machines may hold anything."""
    return "".join(c if c.isprintable() else "?" for c in text)

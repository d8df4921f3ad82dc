"""What a check returns."""

from collections.abc import Awaitable, Callable, Sequence
from enum import Enum

import attrs


class Grade(Enum):
    """How bad a finding is. Only a problem changes the exit code."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    PROBLEM = "problem"


@attrs.frozen
class Finding:
    """``found``: what is so. ``why``: why it matters. ``do``: a command to type or a setting to
    change. The last two may be empty if all is well.
    """

    grade: Grade
    found: str
    why: str = ""
    do: str = ""


def ok(found: str) -> Finding:
    return Finding(Grade.OK, found)


def note(found: str, why: str = "", do: str = "") -> Finding:
    return Finding(Grade.NOTE, found, why, do)


def warning(found: str, why: str, do: str) -> Finding:
    return Finding(Grade.WARNING, found, why, do)


def problem(found: str, why: str, do: str) -> Finding:
    return Finding(Grade.PROBLEM, found, why, do)


@attrs.frozen
class Diagnosis:
    """The findings of one check, and the seconds that it took."""

    check: str
    findings: Sequence[Finding]
    seconds: float


def worst(diagnoses: Sequence[Diagnosis]) -> Grade:
    grades = list(Grade)
    found = [f.grade for diagnosis in diagnoses for f in diagnosis.findings]
    return max(found, key=grades.index, default=Grade.OK)


Findings = Awaitable[Sequence[Finding]]
CheckFunction = Callable[..., Findings]

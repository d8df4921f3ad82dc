"""Libraries that the server loads late, in set-ups where one of them is broken."""

from pathlib import Path

import pytest
from support.patient import inspect, sound_machine, worst_of

from meet_trio.doctor.findings import Finding, Grade
from meet_trio.doctor.libraries import check_dtls_libraries
from meet_trio.doctor.machine import this_machine


async def checked() -> Finding:
    """By a real process of this Python."""
    machine = sound_machine(run_python=this_machine().run_python)
    return worst_of(await check_dtls_libraries(inspect(machine=machine)))


async def test_a_sound_set_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "aiortc.py").write_text("raise ImportError")  # in the present folder: not ours
    monkeypatch.chdir(tmp_path)
    found = await checked()
    assert (found.grade, found.found) == (Grade.OK, "aiortc and what it needs can be loaded")


@pytest.mark.parametrize(
    ("module", "text", "found"),
    [
        (
            "av",
            "raise ImportError('libavcodec.so.61: cannot open shared object file')",
            "av cannot be loaded: ImportError: libavcodec.so.61: cannot open shared object file",
        ),
        (
            "OpenSSL",
            "import cryptography.no_more",
            "pyOpenSSL cannot be loaded: ModuleNotFoundError: No module named "
            "'cryptography.no_more'",
        ),
        (
            "pylibsrtp",
            "import os, signal; os.kill(os.getpid(), signal.SIGILL)",
            "pylibsrtp cannot be loaded: the process was ended by SIGILL",
        ),
        (
            "aiortc",
            "",
            "aiortc does not work with this version: ModuleNotFoundError: No module named "
            "'aiortc.rtcdtlstransport'",
        ),
    ],
)
async def test_a_broken_library_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, text: str, found: str
) -> None:
    (tmp_path / module).mkdir()
    (tmp_path / module / "__init__.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    finding = await checked()
    assert (finding.grade, finding.found) == (Grade.PROBLEM, found)
    assert f"pip install --force-reinstall {found.split()[0]};" in finding.do

"""Libraries that the server loads late, in set-ups where one of them is broken."""

import signal
from pathlib import Path

import pytest
from support.patient import inspect, python_says, sound_machine, worst_of

from meet_trio.doctor.findings import Finding, Grade
from meet_trio.doctor.libraries import check_cipher, check_dtls_libraries
from meet_trio.doctor.machine import this_machine
from meet_trio.engine import aead_library


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


async def cipher(*, aead: str = "auto", code: int = 0, output: str = "") -> Finding:
    """As a process says that tries the library."""
    machine = sound_machine(run_python=lambda program: python_says(code, output, ""))
    return worst_of(await check_cipher(inspect({"media.aead": aead}, machine)))


@pytest.mark.parametrize(
    ("said", "grade", "found"),
    [
        ('["libipsec-mb 1.3.0", ""]', Grade.OK, "media is encrypted by libipsec-mb 1.3.0"),
        (
            '["libcrypto", "libIPSec_MB.so.1: cannot open shared object file"]',
            Grade.NOTE,
            "media is encrypted by libcrypto: libIPSec_MB.so.1: cannot open shared object file",
        ),
        (
            '["libcrypto", "this processor lacks AES instructions or AVX2"]',
            Grade.OK,
            "media is encrypted by libcrypto: this processor lacks AES instructions or AVX2",
        ),
    ],
)
async def test_the_cipher_is_named(said: str, grade: Grade, found: str) -> None:
    finding = await cipher(output=said)
    assert (finding.grade, finding.found) == (grade, found)


async def test_a_cipher_that_crashes_is_a_problem() -> None:
    finding = await cipher(code=-signal.SIGILL)
    assert finding.grade is Grade.PROBLEM
    assert finding.found.endswith("the process was ended by SIGILL")
    assert "MEET_TRIO_MEDIA_AEAD=libcrypto" in finding.do


async def test_a_cipher_that_is_not_wanted_is_not_loaded() -> None:
    finding = await cipher(aead="libcrypto", code=-signal.SIGILL)
    assert (finding.grade, finding.found) == (
        Grade.OK,
        "media is encrypted by libcrypto, as media.aead says",
    )


async def test_the_cipher_of_this_machine() -> None:
    machine = sound_machine(run_python=this_machine().run_python)
    finding = worst_of(await check_cipher(inspect(machine=machine)))
    assert aead_library("auto").name in finding.found

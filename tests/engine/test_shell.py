"""The shell knows all commands, events and kinds of figures of the C headers. The build stops at a
missing one, and the import at a record that no event makes.
"""

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from meet_trio.engine import (
    AeadLibrary,
    Core,
    EngineEvent,
    EngineSettings,
    _engine,
    aead_library,
)
from meet_trio.engine.records import AeadChoice

ENGINE = Path(__file__).parents[2] / "src" / "meet_trio" / "engine"


def header_with(text: str, folder: Path = ENGINE) -> Path:
    (header,) = (path for path in folder.rglob("*.h") if text in path.read_text())
    return header


def compile_shell(include: Path) -> subprocess.CompletedProcess[str]:
    """Check what Cython has made of the shell as the build does, with C headers of ``include``."""
    build = next(
        p for p in Path(_engine.__file__).parents if (p / "compile_commands.json").exists()
    )
    commands = json.loads((build / "compile_commands.json").read_text())
    (entry,) = (c for c in commands if c["file"].endswith("/_engine.pyx.c"))
    compiler, *arguments = shlex.split(entry["command"])
    # nothing is written into the build
    arguments.remove("-MD")
    for option in ("-MQ", "-MF", "-o"):
        at = arguments.index(option)
        del arguments[at : at + 2]
    command = [compiler, f"-I{include}", "-fsyntax-only", *arguments]
    return subprocess.run(command, cwd=entry["directory"], capture_output=True, text=True)


@pytest.mark.parametrize(
    ("place", "addition", "name"),
    [
        ("} mt_command_type;", "MT_NEW_COMMAND, } mt_command_type;", "MT_NEW_COMMAND"),
        ("} mt_event_type;", "MT_EVENT_NEW, } mt_event_type;", "MT_EVENT_NEW"),
        (
            "#define MT_FIGURE_KINDS(K) \\\n",
            "#define MT_FIGURE_KINDS(K) K(NEW, uint8_t) \\\n",
            "MT_FIGURE_NEW",
        ),
    ],
)
def test_what_the_shell_does_not_know_does_not_compile(
    place: str, addition: str, name: str, tmp_path: Path
) -> None:
    shutil.copytree(ENGINE / "c", tmp_path, dirs_exist_ok=True)
    assert compile_shell(tmp_path).returncode == 0
    header = header_with(place, tmp_path)
    header.write_text(header.read_text().replace(place, addition))
    done = compile_shell(tmp_path)
    assert done.returncode != 0
    errors = [line for line in done.stderr.splitlines() if "error:" in line]
    assert errors
    assert all(name in line and "switch-enum" in line for line in errors)


def test_a_number_of_no_event_is_refused() -> None:
    core = Core(EngineSettings())
    kinds = get_args(EngineEvent)
    for number in (0, len(kinds) + 1, 200):
        with pytest.raises(ValueError, match=f"{number} is no event's number"):
            core.event(number, 7)


def test_a_record_without_an_event_fails_the_import() -> None:
    program = """
import sys, types
import attrs
package = types.ModuleType("meet_trio.engine")
package.__path__ = [sys.argv[1]]
sys.modules["meet_trio.engine"] = package
from meet_trio.engine import records
@attrs.frozen
class NobodySendsIt:
    transport: int
records.EngineEvent = records.EngineEvent | NobodySendsIt
from meet_trio.engine import _engine
"""
    command = [sys.executable, "-c", program, str(ENGINE)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert "ImportError: events and records differ: ['NobodySendsIt']" in done.stderr


def test_each_command_is_made_by_one_method() -> None:
    enum = header_with("} mt_command_type;").read_text().split("} mt_command_type;")[0]
    types = re.findall(r"^  (MT_\w+)", enum.rpartition("typedef enum {")[2], re.MULTILINE)
    assert len(types) > 20
    source = (ENGINE / "shell" / "commands.pxi").read_text()
    methods = re.split(r"^    (?=def )", source, flags=re.MULTILINE)[1:]
    made = {
        re.match(r"def (\w+)", method)[1]: [t for t in types if re.search(rf"\b{t}\b", method)]
        for method in methods
    }
    del made["__dealloc__"]
    assert all(made.values())
    assert sorted(t for of_method in made.values() for t in of_method) == sorted(types)
    assert all(hasattr(Core, name) for name in made)


def test_the_library_of_aead_is_known() -> None:
    assert aead_library("libcrypto") == AeadLibrary("libcrypto")
    found = aead_library("auto")
    assert found.name == "libcrypto" if found.why_not else found.name.startswith("libipsec-mb ")


def test_an_unknown_library_of_aead_is_refused() -> None:
    with pytest.raises(ValueError, match="aead: 'none' is not one of"):
        Core(EngineSettings(aead="none"))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="aead: 'none' is not one of"):
        aead_library("none")  # type: ignore[arg-type]


@pytest.mark.parametrize("choice", get_args(AeadChoice))
def test_a_library_of_aead_that_is_not_wanted_is_not_loaded(choice: AeadChoice) -> None:
    program = f"""if True:
        from meet_trio.engine import Core, EngineSettings, aead_library
        Core(EngineSettings(aead="{choice}"))
        aead_library("{choice}")
        print("libIPSec_MB" in open("/proc/self/maps").read())
    """
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == str(not aead_library(choice).name.startswith("libcrypto"))

"""The systemd unit and the program agree."""

import importlib
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import pytest

from meet_trio.config import CONFIG_VARIABLE, ProcessSettings
from meet_trio.edge.settings import FrontDoorSettings
from meet_trio.journal.settings import default_place
from meet_trio.media.engines import COMMAND_DEADLINE
from meet_trio.media.settings import ENGINE_DEFAULTS
from meet_trio.supervisor.store import MAX_SOCKETS

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "conf" / "meet-trio.service"


@pytest.fixture(scope="module")
def unit() -> Mapping[str, list[str]]:
    found = defaultdict(list)
    for line in UNIT.read_text().splitlines():
        if line and not line.startswith(("#", "[")):
            name, _, value = line.partition("=")
            found[name].append(value)
    return found


def test_the_program_speaks_the_units_protocol(unit: Mapping[str, list[str]]) -> None:
    assert unit["Type"] == ["notify"]  # notify-reload is newer than Debian 12
    (reload,) = unit["ExecReload"]
    program, command = reload.split()
    assert unit["ExecStart"] == [f"{program} serve"]
    assert importlib.import_module(f"meet_trio.cli.{command}").run
    # MAINPID= comes from the main process
    assert unit.get("NotifyAccess", ["main"]) == ["main"]
    assert unit["ExecStart"][0].endswith("/meet-trio serve")
    assert f"{CONFIG_VARIABLE}=/etc/meet-trio/meet-trio.toml" in unit["Environment"]


def test_the_watchdogs_end_leaves_a_traceback(unit: Mapping[str, list[str]]) -> None:
    """Python writes one on SIGABRT, which systemd sends, with the variable of the unit."""
    environ = dict(line.split("=", 1) for line in unit["Environment"])
    ask = "import faulthandler; print(faulthandler.is_enabled())"
    asked = subprocess.run([sys.executable, "-c", ask], env=environ, capture_output=True, text=True)
    assert asked.stdout == "True\n"


def test_the_end_is_as_the_program_ends(unit: Mapping[str, list[str]]) -> None:
    assert float(unit["TimeoutStopSec"][0]) > ProcessSettings().shutdown_timeout + 1
    # a drained server ends with 0 and stays down; invalid settings end it with 2
    assert unit["Restart"] == ["on-failure"]
    assert unit["RestartPreventExitStatus"] == ["2"]
    # a stuck engine is given up before the watchdog may be asked about it
    assert float(unit["WatchdogSec"][0]) > COMMAND_DEADLINE


def test_there_is_room_for_what_the_settings_allow(unit: Mapping[str, list[str]]) -> None:
    connections = FrontDoorSettings().max_connections
    media = 4 * ENGINE_DEFAULTS.max_tcp_connections
    assert int(unit["LimitNOFILE"][0]) > connections + media
    families = set(unit["RestrictAddressFamilies"][0].split())
    assert families == {"AF_INET", "AF_INET6", "AF_UNIX", "AF_NETLINK"}
    assert unit["RuntimeDirectory"] == ["meet-trio"]


def test_state_outlives_a_process(unit: Mapping[str, list[str]]) -> None:
    assert unit["RuntimeDirectoryPreserve"] == ["restart"]
    assert default_place({"RUNTIME_DIRECTORY": "/run/meet-trio"}, 0).path.parent.name == "meet-trio"
    # others may read the folder around it, and not write into it
    (mode,) = unit["RuntimeDirectoryMode"]
    assert int(mode, 8) & 0o022 == 0


def test_sockets_outlive_the_process(unit: Mapping[str, list[str]]) -> None:
    assert unit["FileDescriptorStoreMax"] == [str(MAX_SOCKETS)]  # as the supervisor


def test_files_can_be_read_again(unit: Mapping[str, list[str]]) -> None:
    assert unit["User"] == ["meet-trio"]
    assert not {"DynamicUser", "LoadCredential"} & unit.keys()  # their copies do not follow
    assert unit["SystemCallFilter"] == ["@system-service", "~@privileged @resources"]
    assert "MemoryDenyWriteExecute" not in unit  # libffi

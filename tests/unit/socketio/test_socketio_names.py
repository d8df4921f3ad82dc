"""What the package exports, and when it is loaded."""

import subprocess
import sys

import pytest

from meet_trio import socketio


def test_every_exported_name_is_there() -> None:
    for name in socketio.__all__:
        found = getattr(socketio, name)
        # a type alias has no module of its own
        home = getattr(found, "__module__", "")
        if home.startswith("meet_trio.socketio") and name in socketio._MODULES:
            assert home == f"meet_trio.socketio.{socketio._MODULES[name]}", name


def test_another_name_is_not() -> None:
    with pytest.raises(AttributeError, match=r"'meet_trio\.socketio' has no attribute 'Sockets'"):
        _ = socketio.Sockets  # type: ignore[attr-defined]


def test_settings_do_not_load_trio() -> None:
    code = (
        "import sys\n"
        "from meet_trio.socketio import Settings\n"
        "assert 'trio' not in sys.modules\n"
        "from meet_trio.socketio import Server\n"
        "assert 'trio' in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

"""Upgrades of a real daemon."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import trio
from support.daemon import Daemon, start_daemon

PATIENCE = 30.0  # seconds; a machine that is busy takes long to start Python


@attrs.frozen
class Upgradable:
    """A daemon with a console. ``state``: its state directory."""

    daemon: Daemon
    console: Path
    state: Path
    supervised: bool

    @property
    def server(self) -> int:
        """The process id of the server now. The daemon's process is its supervisor, or has become
        the one that stays.
        """
        pid = self.daemon.process.pid
        before = b"stay" in Path(f"/proc/{pid}/cmdline").read_bytes()
        if not (self.supervised or before):
            return pid
        while len(found := children(pid)) > 1:  # the one before is about to end
            time.sleep(0.005)
        (child,) = found
        return child

    async def upgrade(self, **environ: str) -> "subprocess.CompletedProcess[str]":
        """``meet-trio upgrade``, to its end."""
        command = [sys.executable, "-m", "meet_trio", "upgrade", "--socket", str(self.console)]
        result: subprocess.CompletedProcess[str] = await trio.run_process(
            command, capture_stdout=True, capture_stderr=True, check=False
        )  # type: ignore[assignment]
        return result


def children(pid: int) -> Sequence[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in text.split()]


@contextmanager
def upgradable(
    folder: Path, *flags: str, supervised: bool = True, **environ: str
) -> Iterator[Upgradable]:
    """A daemon that ends with 0 and leaves nothing."""
    console = folder / "console"
    state = Path("/dev/shm") / f"meet-trio-upgrade-{os.getpid()}"
    state.mkdir(mode=0o700)
    more: dict[str, Any] = {
        "MEET_TRIO_PROCESS_SUPERVISED": "on" if supervised else "off",
        "KM_SOCK": str(console),
        **environ,
    }
    daemon = start_daemon("--state-dir", str(state), *flags, **more)
    try:
        yield Upgradable(daemon, console, state, supervised)
    finally:
        code = daemon.process.returncode
        if code is None:
            code, _ = daemon.stop(deadline=5)
        left = list(state.iterdir())
        state.rmdir()
    assert (code, left) == (0, [])

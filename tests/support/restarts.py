"""A supervised server that a test kills, and what it leaves for the next process."""

import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import attrs
import trio
from support.daemon import Daemon, start_daemon

PATIENCE = 30.0  # seconds; a machine that is busy takes long to start Python
TIRELESS = (sys.executable, "-P", str(Path(__file__).with_name("tireless.py")))


@attrs.frozen
class Used:
    """What a process and what it leaves take. ``sizes`` are the bytes of the files in the state
    directory, by their path in the folder of their process.
    """

    descriptors: dict[str, int]
    """By process: the supervisor's and the server's."""
    processes: int
    """Those of the supervisor's session, with itself."""
    folders: int
    """Those of processes in the state directory."""
    sizes: dict[str, int]

    def is_within(self, other: "Used") -> bool:
        """It is no more than the other, but for files that are half as large again."""
        return (
            all(count <= other.descriptors[name] for name, count in self.descriptors.items())
            and self.processes <= other.processes
            and self.folders <= other.folders
            and self.sizes.keys() == other.sizes.keys()
            and all(size <= 1.5 * other.sizes[name] for name, size in self.sizes.items())
        )


@attrs.define(eq=False)
class Restarting:
    """``state`` is the server's state directory."""

    daemon: Daemon
    state: Path

    @property
    def supervisor(self) -> int:
        return self.daemon.process.pid

    @property
    def server(self) -> int:
        """The id of the process that is the server now, 0 if there is none."""
        children = Path(f"/proc/{self.supervisor}/task/{self.supervisor}/children")
        pids = [int(pid) for pid in children.read_text().split()]
        return next((pid for pid in pids if _is_server(pid)), 0)

    def kill(self, number: int = signal.SIGKILL) -> int:
        """The server's end. Returns the id of its process."""
        pid = self.server
        os.kill(pid, number)
        return pid

    def has_another(self, before: int) -> bool:
        return self.server not in (0, before)

    async def replace(self) -> None:
        """Kill the server, and wait until there is another process."""
        before = self.kill()
        with trio.fail_after(PATIENCE):
            while not self.has_another(before):
                await trio.sleep(0.01)

    async def wait_for_log(self, text: str, times: int) -> None:
        """Wait until the log has had ``text`` so many times."""
        with trio.fail_after(PATIENCE):
            while sum(text in line for line in list(self.daemon.log)) < times:
                await trio.sleep(0.002)

    async def settled(self, before: Used | None = None) -> Used:
        """What is used once the next process has wiped what the one before left, and once it is no
        more than ``before``.
        """
        used = self.used()
        with trio.move_on_after(PATIENCE):
            while used.folders > 1 or not used.is_within(before or used):
                await trio.sleep(0.02)
                used = self.used()
        assert used.folders == 1, used
        assert used.is_within(before or used), (before, used)
        return used

    def used(self) -> Used:
        pids = {"supervisor": self.supervisor, "server": self.server}
        folders = [folder for server in self.state.iterdir() for folder in server.iterdir()]
        return Used(
            {name: len(os.listdir(f"/proc/{pid}/fd")) for name, pid in pids.items()},
            len(_descendants(self.supervisor)) + 1,
            len(folders),
            {file.name: file.stat().st_size for each in folders for file in each.iterdir()},
        )


@contextlib.contextmanager
def open_restarting(
    *flags: str,
    tireless: bool = False,
    own_session: bool = False,
    ends: bool = True,
    within: Path = Path("/dev/shm"),
    **environ: str,
) -> Iterator[Restarting]:
    """A supervised server. It ends in order, and leaves nothing. ``tireless``: no number of crashes
    is too much for its supervisor. ``own_session``: it leads a session. Without ``ends`` it has to
    have ended before.
    """
    with tempfile.TemporaryDirectory(prefix="meet-trio-test-", dir=within) as folder:
        state = Path(folder)
        daemon = start_daemon(
            *flags,
            "--state-dir",
            folder,
            wrapper=(*(("setsid",) * own_session), *(TIRELESS if tireless else ())),
            MEET_TRIO_PROCESS_SUPERVISED="on",
            **environ,
        )
        try:
            yield Restarting(daemon, state)
        except BaseException:
            print("".join(daemon.log[-200:]))
            raise
        finally:
            if ends or daemon.process.poll() is None:
                code, _ = daemon.stop(deadline=PATIENCE)
            else:
                code = daemon.process.returncode
                daemon.clean_up()
            left = [str(path) for path in state.rglob("*")]
        assert left == [], "".join(daemon.log[-50:])
        assert code == 0 or not ends


def _is_server(pid: int) -> bool:
    """An editable install may run ninja, which is a child too."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return b"\0serve\0" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


def _descendants(pid: int) -> list[int]:
    found = []
    for thread in Path(f"/proc/{pid}/task").iterdir():
        for child in map(int, (thread / "children").read_text().split()):
            found += [child, *_descendants(child)]
    return found

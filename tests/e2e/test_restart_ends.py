"""The end of a supervised server with a meeting, at any moment: nothing is left of it."""

import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import trio
from support.daemon import STOP_DEADLINE, api_of
from support.machine import CpuTime
from support.meeting import open_meeting
from support.restarts import PATIENCE, Restarting, open_restarting

Reached = Callable[[str, float], bool]
"""Of the log, and the seconds since the kill."""
MOMENTS: list[tuple[str, int, Reached | None]] = [
    ("while it runs", signal.SIGINT, None),
    ("with the kill", signal.SIGTERM, lambda log, since: True),
    ("while the next one loads", signal.SIGTERM, lambda log, since: since > 0.3),
    ("as its engines begin", signal.SIGTERM, lambda log, since: "process before go on" in log),
    ("as its room goes on", signal.SIGINT, lambda log, since: "room goes on" in log),
]


class Waits:
    """Seconds without those in which the processes waited for a CPU."""

    def __init__(self, *pids: int) -> None:
        self._started = time.monotonic()
        self._before = sum(CpuTime.of(pid).waited for pid in pids)
        self._waited: dict[int, float] = {}

    def look_at(self, *pids: int) -> None:
        for pid in pids:
            self._waited[pid] = max(self._waited.get(pid, 0.0), CpuTime.of(pid).waited)

    @property
    def seconds(self) -> float:
        waited = sum(self._waited.values()) - self._before
        return time.monotonic() - self._started - max(0.0, waited)


async def end(restarting: Restarting, number: int) -> float:
    """End it. Returns the seconds that it took."""
    process = restarting.daemon.process
    waits = Waits(restarting.supervisor, restarting.server)
    if number == signal.SIGINT:
        os.killpg(process.pid, number)  # as a terminal does
    else:
        process.send_signal(number)
    with trio.fail_after(PATIENCE):
        while process.poll() is None:
            waits.look_at(process.pid, restarting.server)
            await trio.sleep(0.005)
    return waits.seconds


@pytest.mark.parametrize(
    ("number", "reached"), [case[1:] for case in MOMENTS], ids=[case[0] for case in MOMENTS]
)
async def test_nothing_is_left(number: int, reached: Reached | None) -> None:
    with open_restarting(own_session=True, ends=False) as restarting:
        api = api_of(restarting.daemon)
        async with open_meeting(api, await api.create_room()):
            if reached is not None:
                restarting.kill()
                killed = time.monotonic()
                with trio.fail_after(PATIENCE):
                    while not reached("".join(restarting.daemon.log), time.monotonic() - killed):
                        await trio.sleep(0.001)
            seconds = await end(restarting, number)
        print(f"{seconds:.2f} s")
        log = "".join(restarting.daemon.log)
        assert restarting.daemon.process.returncode == 0, log
        assert seconds < STOP_DEADLINE, log
        assert "Traceback" not in log
        assert not processes_of(restarting.supervisor)
        with socket.create_server(("127.0.0.1", restarting.daemon.port)):
            pass  # the port is free


def processes_of(session: int) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if fields[3] == str(session) and fields[0] != "Z":
            found.append(path.parent.name)
    return found

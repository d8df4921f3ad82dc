"""What processes of this machine use, read from ``/proc``: the server's, its threads', our own."""

import contextlib
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import attrs

from meet_trio.bench.errors import BenchError

_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@attrs.frozen
class Usage:
    """At one moment. ``cpu`` is in seconds, by thread; ``memory`` in bytes (RSS)."""

    at: float
    cpu: Mapping[tuple[int, int, str], float]
    """By process, thread and the thread's name."""
    memory: int
    stolen: float
    """The share of the machine's time that its hypervisor took, as seconds of all CPUs."""
    machine: float
    """The machine's time, as seconds of all CPUs."""

    @property
    def threads(self) -> int:
        return len(self.cpu)


@attrs.frozen
class Spent:
    """Between two moments. ``by_name``: CPU seconds of the threads that have this name."""

    seconds: float
    cpu: float
    by_name: Mapping[str, float]
    stolen_percent: float


def between(before: Usage, after: Usage) -> Spent:
    """What threads did that have ended meanwhile is not known."""
    by_name: dict[str, float] = {}
    for key, used in after.cpu.items():
        by_name[key[2]] = by_name.get(key[2], 0.0) + used - before.cpu.get(key, 0.0)
    machine = after.machine - before.machine
    stolen = 100 * (after.stolen - before.stolen) / machine if machine > 0 else 0.0
    return Spent(after.at - before.at, sum(by_name.values()), by_name, stolen)


def family(pids: Iterable[int]) -> list[int]:
    """The processes and all that they have started. Raises BenchError if one does not exist."""
    found: list[int] = []
    waiting = list(pids)
    for pid in waiting:
        if not Path(f"/proc/{pid}").is_dir():
            raise BenchError(f"--pid {pid}: there is no such process")
    while waiting:
        pid = waiting.pop()
        if pid in found:
            continue
        found.append(pid)
        with contextlib.suppress(OSError):  # it has ended
            for task in Path(f"/proc/{pid}/task").iterdir():
                waiting += map(int, (task / "children").read_text().split())
    return sorted(found)


def usage(pids: Iterable[int]) -> Usage:
    """Of processes; one that has ended counts nothing."""
    cpu: dict[tuple[int, int, str], float] = {}
    memory = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            memory += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
            for task in Path(f"/proc/{pid}/task").iterdir():
                with contextlib.suppress(OSError):
                    name = (task / "comm").read_text().strip()
                    spent = int((task / "schedstat").read_text().split()[0]) / 1e9
                    cpu[pid, int(task.name), name] = spent
    # user nice system idle iowait irq softirq steal: proc(5)
    fields = [int(field) / _TICK for field in _machine_times()]
    return Usage(time.monotonic(), cpu, memory, fields[7], sum(fields[:8]))


def _machine_times() -> list[str]:
    with Path("/proc/stat").open() as file:
        return file.readline().split()[1:]

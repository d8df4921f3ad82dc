"""Other load on the machine, as the kernel counts it: the control for tests that count losses or
seconds.
"""

import contextlib
import time
from collections.abc import Iterable
from pathlib import Path

import attrs


def datagrams_dropped() -> int:
    """UDP datagrams of this machine so far that were dropped because a receive buffer was full."""
    count = 0
    for file, field in (("snmp", "RcvbufErrors"), ("snmp6", "Udp6RcvbufErrors")):
        lines = [line.split() for line in Path(f"/proc/net/{file}").read_text().splitlines()]
        if file == "snmp":
            names, values = [line for line in lines if line[0] == "Udp:"]
            count += int(values[names.index(field)])
        else:
            count += sum(int(line[1]) for line in lines if line[0] == field)
    return count


@attrs.frozen
class CpuTime:
    """Seconds of a process's main thread so far: on a CPU, and ready to run without a CPU. 0 when
    the process is gone.
    """

    used: float = 0.0
    waited: float = 0.0

    @classmethod
    def of(cls, pid: int) -> "CpuTime":
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            fields = Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()
            return cls(int(fields[0]) / 1e9, int(fields[1]) / 1e9)
        return cls()

    def starved(self, before: "CpuTime") -> float:
        """The share of the CPU time wanted since then that it did not get."""
        used, waited = self.used - before.used, self.waited - before.waited
        return waited / (used + waited) if used + waited else 0.0


@attrs.frozen
class Stopwatch:
    """Measures seconds without those in which one of the processes waited for a CPU."""

    pids: tuple[int, ...]
    _started: float
    _waited: float

    @classmethod
    def start(cls, *pids: int) -> "Stopwatch":
        return cls(pids, time.monotonic(), _waited(pids))

    @property
    def seconds(self) -> float:
        """The seconds so far."""
        return time.monotonic() - self._started - (_waited(self.pids) - self._waited)


def _waited(pids: Iterable[int]) -> float:
    return sum(CpuTime.of(pid).waited for pid in pids)

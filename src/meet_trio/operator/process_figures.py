"""The figures of this process, under the names that all of Prometheus' clients give them.

prometheus_client has them too, but reads more files for them, one of which a hardened service does
not see (``ProcSubset=pid``).
"""

import os
import resource
import time
from collections.abc import Mapping
from pathlib import Path

import attrs

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = resource.getpagesize()
_STAT = Path("/proc/self/stat")
_OPEN_FILES = Path("/proc/self/fd")


def _fields() -> list[bytes]:
    """Those behind the program's name, which may have spaces, see proc_pid_stat(5)."""
    return _STAT.read_bytes().rpartition(b")")[2].split()


def _started() -> float:
    """When the process began, in Unix seconds."""
    after_boot = int(_fields()[19]) / _TICKS
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + after_boot


@attrs.define(eq=False)
class ProcessFigures:
    """Reads the figures, by the names of their metrics."""

    _start: float = attrs.field(factory=_started)

    def read(self) -> Mapping[str, float]:
        fields = _fields()
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        return {
            "process_virtual_memory_bytes": int(fields[20]),
            "process_resident_memory_bytes": int(fields[21]) * _PAGE,
            "process_start_time_seconds": self._start,
            "process_cpu_seconds": (int(fields[11]) + int(fields[12])) / _TICKS,
            "process_open_fds": _open_files(),
            "process_max_fds": float("inf") if most == resource.RLIM_INFINITY else most,
        }


def _open_files() -> int:
    """Kernels before 6.2 do not tell the number as the folder's size."""
    return _OPEN_FILES.stat().st_size or len(os.listdir(_OPEN_FILES))

"""The CPU time of a process. That of each of its threads is in ``meet_trio.bench.process``."""

import time


def cpu_time(pid: int) -> float:
    """Seconds so far of all threads, of those that have ended too: the process's own clock, see
    clock_getres(2).
    """
    return time.clock_gettime(~pid << 3 | 2)

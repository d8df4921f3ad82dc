"""What else the machine does, as the kernel counts it: the control of tests that count losses or
seconds.
"""

import contextlib
from pathlib import Path


def datagrams_dropped() -> int:
    """UDP datagrams of this machine that found their reader's buffer full, so far."""
    count = 0
    for file, field in (("snmp", "RcvbufErrors"), ("snmp6", "Udp6RcvbufErrors")):
        lines = [line.split() for line in Path(f"/proc/net/{file}").read_text().splitlines()]
        if file == "snmp":
            names, values = [line for line in lines if line[0] == "Udp:"]
            count += int(values[names.index(field)])
        else:
            count += sum(int(line[1]) for line in lines if line[0] == field)
    return count


def kept_waiting(pid: int) -> float:
    """Seconds in which the process' main thread had something to do and no CPU to do it, so far;
    0 when it is gone.
    """
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[1]) / 1e9
    return 0.0

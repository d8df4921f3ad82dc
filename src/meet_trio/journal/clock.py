"""The time that goes on across processes, and also while the machine sleeps."""

import time
from pathlib import Path

UNKNOWN_BOOT = bytes(16)
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def boot_time() -> float:
    """Seconds since the machine has started (CLOCK_BOOTTIME)."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def boot_id(path: Path = _BOOT_ID) -> bytes:
    """The 16 bytes that each start of the machine draws anew (proc_sys_kernel(5)), or
    ``UNKNOWN_BOOT``: the systemd unit hides them (``ProcSubset=pid``).
    """
    try:
        return bytes.fromhex(path.read_text().strip().replace("-", ""))[:16].ljust(16, b"\0")
    except (OSError, ValueError):
        return UNKNOWN_BOOT

"""The library of AES-GCM that not every machine has."""

import platform
import shutil
import subprocess

import pytest

from meet_trio.engine import aead_library


def need_libipsec_mb() -> None:
    """Skip the test where libipsec-mb cannot be. Where its package is installed, it must work."""
    why_not = aead_library("auto").why_not
    if not why_not:
        return
    assert not is_installed() or "processor" in why_not, f"it is installed, but: {why_not}"
    pytest.skip(why_not)


def is_installed() -> bool:
    """Whether this is a machine for Debian's package, and has it."""
    if platform.machine() != "x86_64" or not shutil.which("dpkg-query"):
        return False
    command = ["dpkg-query", "--show", "--showformat=${db:Status-Status}", "libipsec-mb-dev"]
    return subprocess.run(command, capture_output=True, text=True).stdout == "installed"

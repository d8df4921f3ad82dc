"""The view of the machine that checks have. Tests give checks another one.

Only this file reads ``/proc``, ``/sys``, the environment and clocks for the doctor. Nothing in it
changes the machine.
"""

import ctypes
import os
import platform
import resource
import socket
import ssl
import stat
import sys
import sysconfig
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path

import attrs
import trio

UDP_SEGMENT = 103  # linux/udp.h
_STA_UNSYNC = 0x40  # linux/timex.h
_TIMEX_STATUS = 40  # the offset of ``status`` in ``struct timex`` of 64-bit Linux
_TIMEX_SIZE = 208
_MOST_READ = 16 << 20  # bytes of one file
_READ_SIZE = 1 << 16  # bytes at once; files of /proc/sys refuse several MiB


@attrs.frozen(kw_only=True)
class Machine:
    """``read(path)`` is the text of a file, None if it cannot be read. ``mode(path)`` are its
    permission bits. ``holders(inodes)`` finds the process that has each socket, as far as this user
    may see it. ``clock_synchronised`` is None if the kernel does not say. ``run_python(program)``
    runs it in a process of its own: exit code (negative: a signal), output, errors.
    ``python_optimized``: the interpreter is built with profile-guided optimization.
    """

    environ: Mapping[str, str]
    kernel: str
    python: tuple[int, ...]
    python_optimized: bool
    openssl: str
    cores: int
    open_files: tuple[int, int]  # the soft and the hard limit of this shell
    read: Callable[[str], str | None]
    mode: Callable[[str], int | None]
    holders: Callable[[set[int]], Mapping[int, "Holder"]]
    look_up: Callable[[str], Awaitable[tuple[str, ...]]]
    has_address: Callable[[str], bool]
    clock_synchronised: Callable[[], bool | None]
    segments_udp: Callable[[], bool]
    run_python: Callable[[str], Awaitable[tuple[int, str, str]]]
    now: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic


@attrs.frozen
class Holder:
    """A process that has a socket."""

    pid: int
    command: str

    def __str__(self) -> str:
        return f"{self.command.split(' ')[0].rpartition('/')[2] or '?'} (pid {self.pid})"


def this_machine() -> Machine:
    return Machine(
        environ=os.environ,
        kernel=platform.release(),
        python=tuple(sys.version_info[:3]),
        python_optimized=_python_optimized(),
        openssl=ssl.OPENSSL_VERSION,
        cores=len(os.sched_getaffinity(0)),
        open_files=resource.getrlimit(resource.RLIMIT_NOFILE),
        read=_read,
        mode=_mode,
        holders=_holders,
        look_up=_look_up,
        has_address=_has_address,
        clock_synchronised=_clock_synchronised,
        segments_udp=_segments_udp,
        run_python=_run_python,
    )


def _python_optimized() -> bool:
    """Distributions do not say how they build theirs, but theirs are."""
    said = sysconfig.get_config_var("CONFIG_ARGS") or ""
    return "--enable-optimizations" in said or os.path.realpath(sys.executable).startswith(
        "/usr/bin/"
    )


def _read(path: str) -> str | None:
    try:
        with open(path, "rb", buffering=0) as file:
            data = bytearray()
            while len(data) < _MOST_READ and (more := file.read(_READ_SIZE)):
                data += more
    except OSError:
        return None
    return data.decode(errors="replace")


def _mode(path: str) -> int | None:
    try:
        return stat.S_IMODE(os.stat(path).st_mode)
    except OSError:
        return None


def _holders(inodes: set[int]) -> Mapping[int, Holder]:
    wanted = {f"socket:[{inode}]": inode for inode in inodes}
    found: dict[int, Holder] = {}
    if not wanted:
        return found
    for process in _processes():
        for link in _links(process / "fd"):
            if link in wanted:
                command = (_read(str(process / "cmdline")) or "").replace("\0", " ").strip()
                found[wanted[link]] = Holder(int(process.name), command)
    return found


def _processes() -> Iterator[Path]:
    for path in Path("/proc").iterdir():
        if path.name.isdecimal():
            yield path


def _links(folder: Path) -> Iterator[str]:
    try:
        names = os.listdir(folder)
    except OSError:  # another user's process, or one that has just ended
        return
    for name in names:
        try:
            yield os.readlink(folder / name)
        except OSError:
            continue


async def _look_up(name: str) -> tuple[str, ...]:
    """The addresses of a name. Raises OSError."""
    try:
        answers = await trio.socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        raise OSError(str(error)) from None
    return tuple(dict.fromkeys(str(address[0]) for *_, address in answers))


async def _run_python(program: str) -> tuple[int, str, str]:
    """``-P``: it imports nothing of the present folder."""
    command = [sys.executable, "-P", "-c", program]
    done = await trio.run_process(command, check=False, capture_stdout=True, capture_stderr=True)
    output, errors = (text.decode(errors="replace") for text in (done.stdout, done.stderr))
    return done.returncode, output, errors


def _has_address(address: str) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except OSError:
        return False
    return True


def _clock_synchronised() -> bool | None:
    """What adjtimex(2) says. It is the kernel's own view, whatever program keeps the time."""
    buffer = ctypes.create_string_buffer(_TIMEX_SIZE)
    try:
        state = ctypes.CDLL(None, use_errno=True).adjtimex(buffer)
    except (OSError, AttributeError):
        return None
    if state < 0 or ctypes.sizeof(ctypes.c_long) != 8:
        return None
    status = int.from_bytes(buffer.raw[_TIMEX_STATUS : _TIMEX_STATUS + 4], sys.byteorder)
    return not status & _STA_UNSYNC


def _segments_udp() -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, 1200)
        except OSError:
            return False
    return True

"""Network namespaces for tests: what runs in one reaches nothing outside of it.

It needs root (CAP_NET_ADMIN, CAP_SYS_ADMIN), unshare and nsenter. A namespace ends with the
processes in it.
"""

import contextlib
import ctypes
import os
import shlex
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import attrs

_CLONE_NEWNET = 0x40000000


@attrs.frozen
class Namespace:
    """The network namespace of the process ``pid``."""

    pid: int

    def command(self, *argv: str) -> list[str]:
        """``argv`` as a command that runs in the namespace."""
        return ["nsenter", f"--net={self._path}", "--", *argv]

    def write_wrapper(self, path: Path, executable: str) -> Path:
        """An executable file that runs ``executable`` in the namespace with the same arguments."""
        command = shlex.join(self.command(executable))
        path.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        path.chmod(0o755)
        return path

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """Sockets that are made within belong to the namespace. Do not wait in here."""
        with open("/proc/thread-self/ns/net") as home, open(self._path) as far:
            _enter(far.fileno())
            try:
                yield
            finally:
                _enter(home.fileno())

    def run(self, line: str) -> None:
        """``ip`` with these arguments."""
        _ip(self, [line])

    @property
    def _path(self) -> str:
        return f"/proc/{self.pid}/ns/net"


@contextlib.contextmanager
def open_machine(*addresses: str) -> Iterator[Namespace]:
    """A namespace that looks like a machine with loopback, and with an interface that has
    ``addresses`` (such as ``198.51.100.7/24``) and the default route of their IP versions. Nobody
    is at the other end.
    """
    with subprocess.Popen(
        ["unshare", "--net", "sh", "-c", "echo ready; exec cat"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            machine = Namespace(process.pid)
            lines = ["link set lo up"]
            if addresses:
                lines += ["link add out type veth peer name far"]
                lines += [f"link set {name} up" for name in ("out", "far")]
            for address in addresses:
                version = 6 if ":" in address else 4
                lines.append(f"address add {address} dev out" + " nodad" * (version == 6))
                lines.append(f"-{version} route add default dev out")
            _ip(machine, lines)
            yield machine
        finally:
            process.kill()


def _ip(machine: Namespace, lines: Sequence[str]) -> None:
    for line in lines:
        command = machine.command("ip", *line.split())
        env = {**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"}
        subprocess.run(command, check=True, env=env)


def _enter(namespace: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")

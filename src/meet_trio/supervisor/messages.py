"""The socket that the server sends its messages to (``sd_notify(3)``).

It has no name that others could use. It is bound to a file that is removed at once, and the server
gets a descriptor of that file: ``/proc/self/fd/N`` is its address then. So nothing is left when the
supervisor is killed. The credentials that the kernel adds to each message say who has sent it.
"""

import array
import contextlib
import os
import socket
import struct
from collections.abc import Callable, Iterator

_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid
_MAX_BYTES = 4096
_MAX_FDS = 8  # in one message; the server sends one
_FOLDERS = (os.environ.get("XDG_RUNTIME_DIR", ""), "/dev/shm", "/tmp")


class Messages:
    """``path_fd`` is the descriptor for the server; None: there was no folder for the file, and
    ``name`` is an abstract one.
    """

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        os.fchmod(self._socket.fileno(), 0o600)  # the file gets this mode
        self.name = ""
        self.path_fd = self._bind_to_file()
        if self.path_fd is None:
            self._socket.bind("")  # the kernel chooses the name
            self.name = f"@{self._socket.getsockname()[1:].decode()}"

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()
        if self.path_fd is not None:
            os.close(self.path_fd)

    def _bind_to_file(self) -> int | None:
        for folder in filter(None, _FOLDERS):
            path = f"{folder}/meet-trio-{os.urandom(12).hex()}"
            try:
                self._socket.bind(path)
            except OSError:
                continue
            try:
                return os.open(path, os.O_PATH | os.O_CLOEXEC)
            finally:
                os.unlink(path)
        return None

    def take(self, sender: Callable[[], int]) -> Iterator[tuple[dict[str, str], list[int]]]:
        """The messages that have come from the process ``sender()``: lines by name, and
        descriptors, which are the caller's. Those of others are dropped. A message may say that
        the sender of the next one is another process.
        """
        room = socket.CMSG_SPACE(_CREDENTIALS.size) + socket.CMSG_SPACE(_MAX_FDS * 4)
        while True:
            try:
                data, ancillary, flags, _ = self._socket.recvmsg(
                    _MAX_BYTES, room, socket.MSG_CMSG_CLOEXEC
                )
            except BlockingIOError:
                return
            pid, fds = 0, array.array("i")
            for level, kind, content in ancillary:
                if level != socket.SOL_SOCKET:
                    continue
                if kind == socket.SCM_CREDENTIALS:
                    pid = _CREDENTIALS.unpack(content[: _CREDENTIALS.size])[0]
                elif kind == socket.SCM_RIGHTS:
                    fds.frombytes(content[: len(content) - len(content) % fds.itemsize])
            if pid != sender() or flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
                for fd in fds:
                    with contextlib.suppress(OSError):
                        os.close(fd)
                continue
            lines = data.decode("ascii", "replace").split("\n")
            yield dict(line.split("=", 1) for line in lines if "=" in line), list(fds)

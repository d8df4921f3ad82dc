"""The sockets that the supervisor keeps for the next server, by name."""

import os
import socket

MAX_SOCKETS = 512
"""A shell's usual limit of descriptors is 1024."""
_MAX_NAME = 255  # characters, as in sd_pid_notify_with_fds(3)


class Store:
    """One descriptor for each name. Each is the store's own, and is closed by it."""

    def __init__(self) -> None:
        self._kept: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def add(self, name: str, fd: int) -> str | None:
        """Take ``fd`` under ``name``, in place of another of that name. Returns why it does not;
        ``fd`` is closed then.
        """
        why = None
        if not 0 < len(name) <= _MAX_NAME or not name.isascii() or not name.isprintable():
            why = f"no name of a socket: {name[:_MAX_NAME]!r}"
        elif ":" in name:  # it separates the names in LISTEN_FDNAMES
            why = f"a name of a socket has no colon: {name}"
        elif name not in self._kept and len(self._kept) >= MAX_SOCKETS:
            why = f"{MAX_SOCKETS} sockets are kept already, not {name}"
        if why is not None:
            os.close(fd)
            return why
        self.remove(name)
        self._kept[name] = fd
        return None

    def remove(self, name: str) -> None:
        fd = self._kept.pop(name, None)
        if fd is not None:
            os.close(fd)

    def keep_only_listening(self) -> None:
        """For a clean start: no server's state is in a socket that only listens."""
        for name, fd in list(self._kept.items()):
            if not _listens(fd):
                self.remove(name)

    def items(self) -> list[tuple[str, int]]:
        return list(self._kept.items())


def _listens(fd: int) -> bool:
    try:
        # detached again: the descriptor stays the store's
        one = socket.socket(fileno=fd)
    except OSError:  # no socket
        return False
    try:
        return one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1
    except OSError:  # of a family that knows nothing of it
        return False
    finally:
        one.detach()

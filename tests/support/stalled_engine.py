"""An engine whose thread stands still for as long as a test needs.

The engine closes sockets that it cannot use. Closing one that lingers (SO_LINGER) waits until the
other side has taken the data, and the other side belongs to the test.
"""

import contextlib
import os
import socket
import struct
import time
from collections.abc import Iterator

from meet_trio.engine import Engine

LONGEST = 60  # seconds, if the test dies


@contextlib.contextmanager
def stalled(engine: Engine) -> Iterator[None]:
    """The engine's thread takes no commands for the time of the ``with``."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        full = socket.create_connection(listener.getsockname())
        reader, _ = listener.accept()
    with reader:
        full.setblocking(False)
        full.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, LONGEST))
        with contextlib.suppress(BlockingIOError):
            while True:
                full.send(bytes(1 << 16))
        inode = os.fstat(full.fileno()).st_ino
        unusable = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        handle = full.detach()
        engine.add_plain_transport(1 << 31, handle, unusable.detach(), (), False)
        engine.remove_transport(1 << 31)
        while _is_open(handle, inode):
            time.sleep(0.001)  # the test's time limit ends this loop
        yield


def _is_open(handle: int, inode: int) -> bool:
    """The descriptor leaves the table before the wait for the data. Its number may then be another
    file's at once, so the inode tells them apart.
    """
    try:
        return os.fstat(handle).st_ino == inode
    except OSError:
        return False

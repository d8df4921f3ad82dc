"""The bytes that a TCP stream, with or without TLS, has written and the other side acknowledged.

The kernel knows the numbers (Linux). ``socketio.delivery`` uses them.
"""

import fcntl
import struct
import sys
import termios

import trio

from meet_trio.edge.fair_limiter import PacedStream


def progress(stream: object) -> tuple[int, int] | None:
    """Bytes on the wire since the connection was opened: how many the other side's TCP has
    acknowledged, and how many were written. None if the kernel does not tell.
    """
    if isinstance(stream, trio.SSLStream):
        stream = stream.transport_stream
    if isinstance(stream, PacedStream):
        stream = stream.tcp
    if not isinstance(stream, trio.SocketStream):
        return None
    try:
        if not any(fcntl.ioctl(stream.socket.fileno(), termios.TIOCOUTQ, bytes(4))):
            acknowledged = _acknowledged(stream.socket)  # all, and only this task writes
            return acknowledged, acknowledged
        while True:
            acknowledged = _acknowledged(stream.socket)
            waiting = fcntl.ioctl(stream.socket.fileno(), termios.TIOCOUTQ, bytes(4))
            # If the count has changed in between, the two numbers do not fit together.
            if acknowledged == _acknowledged(stream.socket):
                return acknowledged, acknowledged + int.from_bytes(waiting, sys.byteorder)
    except (OSError, ValueError, struct.error):
        return None  # closed already, or not TCP


def overhead(stream: object) -> int:
    """The bytes that TLS adds to each record of a write (RFC 8446 §5.2; RFC 5288 §3)."""
    if not isinstance(stream, trio.SSLStream):
        return 0
    return 22 if stream.version() == "TLSv1.3" else 29


def _acknowledged(socket: trio.socket.SocketType) -> int:
    """``tcpi_bytes_acked`` (linux/tcp.h)."""
    info = socket.getsockopt(trio.socket.IPPROTO_TCP, trio.socket.TCP_INFO, 128)
    count: int = struct.unpack_from("=Q", info, 120)[0]
    return count

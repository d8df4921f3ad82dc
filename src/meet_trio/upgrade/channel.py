"""Messages with descriptors between two processes of a server, over a unix socket (unix(7)).

A message is a JSON object behind its length, 4 bytes in network order. Its descriptors follow
(SCM_RIGHTS), a batch with each further byte: the kernel takes 253 at once.

Calls block, each with a deadline: neither process has anything else to do in the step that a
message is about. Who waits for a step of the other one waits for ``readable`` before.

The other process is the same user's, of perhaps another version. It is trusted not to harm, and not
to understand everything.
"""

import array
import contextlib
import json
import os
import socket
import struct
import time
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import trio

from meet_trio.errors import MeetError

_LENGTH = struct.Struct("!I")
_MAX_BYTES = 2**30
_BATCH = 250
_MAX_FDS = 2**20
_TRANSFER_TIMEOUT = 1.0  # seconds for a message that has begun


class ChannelBroken(MeetError):
    """The other process has ended, is too slow, or has sent what is no message."""


@attrs.define(eq=False)
class Channel:
    """One end. ``close`` it in the end."""

    _socket: socket.socket

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    async def readable(self) -> None:
        """Wait until there is a message, or the other process has ended."""
        await trio.lowlevel.wait_readable(self._socket)

    def send(self, message: Mapping[str, Any], descriptors: Sequence[int] = ()) -> None:
        """Send a message. The descriptors stay the caller's. Raises ChannelBroken."""
        data = json.dumps({**message, "descriptors": len(descriptors)}).encode()
        self._socket.settimeout(_TRANSFER_TIMEOUT)
        try:
            self._socket.sendall(_LENGTH.pack(len(data)) + data)
            for at in range(0, len(descriptors), _BATCH):
                socket.send_fds(self._socket, [b"\0"], descriptors[at : at + _BATCH])
        except OSError as error:
            raise ChannelBroken(f"the other process does not take messages: {error}") from None

    def receive(self, timeout: float = _TRANSFER_TIMEOUT) -> tuple[dict[str, Any], list[int]]:
        """The next message and its descriptors, which are the caller's. Raises ChannelBroken if it
        does not come within ``timeout`` seconds.
        """
        deadline = time.monotonic() + timeout
        (length,) = _LENGTH.unpack(self._read(_LENGTH.size, deadline))
        if length > _MAX_BYTES:
            raise ChannelBroken("no message, or one that is too long")
        deadline += _TRANSFER_TIMEOUT
        try:
            message = json.loads(self._read(length, deadline))
            count = message.pop("descriptors")
        except (ValueError, LookupError, TypeError, AttributeError):
            raise ChannelBroken("what came is no message") from None
        if not isinstance(count, int) or not 0 <= count <= _MAX_FDS:
            raise ChannelBroken("what came is no message")
        return message, self._read_descriptors(count, deadline)

    def _read(self, size: int, deadline: float) -> bytes:
        data = bytearray()
        while len(data) < size:
            self._set_deadline(deadline)
            try:
                chunk = self._socket.recv(min(size - len(data), 2**20))
            except TimeoutError:
                raise ChannelBroken("the other process does not answer") from None
            except ConnectionResetError:  # it has not read all
                chunk = b""
            except OSError as error:
                raise ChannelBroken(f"the other process is lost: {error}") from None
            if not chunk:
                raise ChannelBroken("the other process has ended")
            data += chunk
        return bytes(data)

    def _read_descriptors(self, count: int, deadline: float) -> list[int]:
        with contextlib.ExitStack() as on_failure:
            found: list[int] = []
            while len(found) < count:
                self._set_deadline(deadline)
                try:
                    data, came = self._receive_batch()
                except OSError as error:
                    raise ChannelBroken(f"descriptors do not come: {error}") from None
                for fd in came:
                    on_failure.callback(os.close, fd)
                found += came
                if not data or not came or len(found) > count:
                    raise ChannelBroken("descriptors are missing")
            on_failure.pop_all()
            return found

    def _receive_batch(self) -> tuple[bytes, list[int]]:
        room = socket.CMSG_SPACE(_BATCH * array.array("i").itemsize)
        data, ancillary, _, _ = self._socket.recvmsg(1, room, socket.MSG_CMSG_CLOEXEC)
        found = array.array("i")
        for level, kind, content in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                found.frombytes(content[: len(content) - len(content) % found.itemsize])
        return data, list(found)

    def _set_deadline(self, deadline: float) -> None:
        # 0 would mean: do not wait, with another exception
        self._socket.settimeout(max(1e-3, deadline - time.monotonic()))

"""A connection of a client that goes on in another process: what that one needs beside its socket.

Between two requests that is nothing but the bytes of a head that has begun. A websocket has the
state of its session, which ``websocket`` has for the code that serves it.
"""

import base64
from collections.abc import Mapping, Sequence
from typing import Any, Self

import attrs


@attrs.frozen
class MovedConnection:
    """``descriptor`` is the socket. ``websocket`` None: a request comes next. ``unread`` was read
    of the client and not taken.
    """

    descriptor: int
    unread: bytes
    websocket: Mapping[str, Any] | None = None

    @property
    def socket_ids(self) -> Sequence[str]:
        """Of the Socket.IO sockets in it."""
        if self.websocket is None:
            return ()
        return [one["id"] for one in self.websocket["namespaces"].values()]

    def to_json(self) -> dict[str, Any]:
        return {"unread": base64.b64encode(self.unread).decode(), "websocket": self.websocket}

    @classmethod
    def from_json(cls, descriptor: int, found: Mapping[str, Any]) -> Self:
        """Raises LookupError, TypeError or ValueError for what ``to_json`` does not make."""
        return cls(descriptor, base64.b64decode(found["unread"], validate=True), found["websocket"])

"""A websocket that goes on in another process: what that one needs beside the TCP connection.

Only one at rest is moved: no request of it is being answered, nothing waits to be sent, and what it
has sent last ends between two frames or within one that was not taken yet. The bytes that were read
and not taken travel along. Calls that its client has not answered do not: their answers are ignored
in the other process, which asks again. The numbers of calls go on, so no answer fits another call.
"""

import base64
import math
from collections.abc import Mapping
from typing import Any, Self

import attrs

from meet_trio.socketio.settings import Handshake


@attrs.frozen
class MovedNamespace:
    """The client in one namespace. ``calls``: the number of the next call."""

    id: str
    auth: object
    calls: int


@attrs.frozen
class MovedWebSocket:
    """``ping_in`` and ``silence_in`` are in seconds: until the next ping is due, and until a silent
    client is given up. ``unread`` follows what was taken.
    """

    sid: str
    handshake: Handshake
    ping_in: float
    silence_in: float
    unread: bytes
    namespaces: Mapping[str, MovedNamespace]

    def to_json(self) -> dict[str, Any]:
        shake = self.handshake
        return {
            "sid": self.sid,
            "path": shake.path,
            "query": dict(shake.query),
            "headers": dict(shake.headers),
            "client": shake.client,
            "eio": shake.eio,
            "ping_in": _finite(self.ping_in),
            "silence_in": _finite(self.silence_in),
            "unread": base64.b64encode(self.unread).decode(),
            "namespaces": {
                name: {"id": one.id, "auth": one.auth, "calls": one.calls}
                for name, one in self.namespaces.items()
            },
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Self:
        """Raises LookupError, TypeError or ValueError for what ``to_json`` does not make."""
        if found["eio"] not in (3, 4):
            raise ValueError("no revision of Engine.IO")
        return cls(
            str(found["sid"]),
            Handshake(
                str(found["path"]),
                dict(found["query"]),
                dict(found["headers"]),
                str(found["client"]),
                found["eio"],
            ),
            _infinite(found["ping_in"]),
            _infinite(found["silence_in"]),
            base64.b64decode(found["unread"], validate=True),
            {
                str(name): MovedNamespace(str(one["id"]), one["auth"], int(one["calls"]))
                for name, one in found["namespaces"].items()
            },
        )


def _finite(seconds: float) -> float | None:
    return None if math.isinf(seconds) else seconds


def _infinite(seconds: float | None) -> float:
    return math.inf if seconds is None else float(seconds)

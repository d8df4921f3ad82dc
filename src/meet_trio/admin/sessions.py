"""Sessions of those who have logged in. They are in memory only: a restart ends them all.

A session is a random value in a cookie. Its hash is kept here, so the time of a look-up tells
nothing about the value.
"""

import hashlib
import secrets
from collections import OrderedDict

import attrs


@attrs.frozen
class AdminSession:
    """``name`` stands for it in the log: it is no secret."""

    name: str
    ends: float
    address: str


@attrs.define(eq=False)
class AdminSessions:
    """All sessions, the oldest first. Times are the loop's."""

    _open: OrderedDict[bytes, AdminSession] = attrs.field(factory=OrderedDict)
    _opened: int = 0

    def open(
        self, address: str, *, now: float, lasts: float, most: int
    ) -> tuple[str, AdminSession]:
        """A new session and the value of its cookie. It ends the oldest of ``most``."""
        while len(self._open) >= most:
            self._open.popitem(last=False)
        self._opened += 1
        value = secrets.token_urlsafe(32)
        session = AdminSession(f"session {self._opened}", now + lasts, address)
        self._open[_key(value)] = session
        return value, session

    def find(self, value: str, now: float) -> AdminSession | None:
        """The session of a cookie, unless it has ended."""
        session = self._open.get(_key(value))
        if session is not None and session.ends <= now:
            self.close(value)
            return None
        return session

    def close(self, value: str) -> None:
        self._open.pop(_key(value), None)

    def clear(self) -> None:
        self._open.clear()

    def __len__(self) -> int:
        return len(self._open)


def _key(value: str) -> bytes:
    return hashlib.sha256(value.encode("utf-8", "surrogatepass")).digest()

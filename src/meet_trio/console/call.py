"""A command as the console's functions see it: its arguments, the server, and where answers go."""

import json
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import attrs
import trio

from meet_trio.console.wire import Form
from meet_trio.errors import RequestError
from meet_trio.live.registry import Registry
from meet_trio.operator.drain import Drain
from meet_trio.operator.inventory import Inventory
from meet_trio.turns import Turns

_PIECES_PER_TURN = 1000  # of JSON text that is made in one turn of the loop: about a millisecond


Tell = Callable[[Mapping[str, object]], Awaitable[None]]


class UsageError(RequestError):
    """There is no such command, or it does not take these arguments."""


class Levels(Protocol):
    """Levels of the log while the server runs."""

    def set(self, level: str, part: str | None = None) -> None:
        """Log a part from this level on; None: all parts."""

    def reset(self, part: str | None = None) -> None:
        """Take back what ``set`` changed."""

    def describe(self) -> Mapping[str, Any]:
        """``{"level": …, "parts": {part: level}}``"""


@attrs.frozen
class Credentials:
    """Who is at the other end (SO_PEERCRED in unix(7))."""

    pid: int
    uid: int


@attrs.frozen
class ServerView:
    """What commands may use of the server. ``settings()``: those of the whole server now.
    ``levels`` None: another program has set the log up.
    ``reasons()``: why the server is not healthy. ``upgrade(tell)``: see ``upgrade.handover``; it
    returns only if it fails.
    """

    registry: Registry
    levels: Levels | None
    drain: Drain
    reasons: Callable[[], Sequence[str]]
    settings: Callable[[], object]
    terminal: bool
    upgrade: Callable[[Tell], Awaitable[None]] | None = None


@attrs.define(eq=False)
class Call:
    """One command of one console. ``namespace`` lives as long as its connection."""

    arguments: Sequence[str]
    server: ServerView
    credentials: Credentials
    namespace: dict[str, Any]
    form: Form
    _send: Callable[[Sequence[bytes]], Awaitable[None]]
    _id: object
    turns: Turns = attrs.field(factory=Turns)
    _begun: bool = False

    @property
    def registry(self) -> Registry:
        return self.server.registry

    @property
    def inventory(self) -> Inventory:
        return Inventory(self.server.registry, self.turns)

    @property
    def all(self) -> bool:
        """Whether the operator asked for all objects of a kind."""
        return self.argument(0) == "all"

    def argument(self, index: int) -> str | None:
        return self.arguments[index] if index < len(self.arguments) else None

    async def begin(self) -> None:
        """Tell the form, before the first item."""
        if not self._begun:
            self._begun = True
            await self._send([encode_part({"id": self._id, "form": self.form}) + b"\n"])

    async def put(self, item: object) -> None:
        """Send an item of the answer. Waits until the client has read most of the one before.

        The text is made in several turns of the loop. An item is bounded by the object that it is
        about, so that at most one such text waits for each console.
        """
        await self.begin()
        head = encode_part({"id": self._id})[:-1] + b',"item":'
        await self._send([head, *await _encode_in_turns(item), b"}\n"])


def encode_part(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=str).encode


async def _encode_in_turns(value: object) -> list[bytes]:
    parts: list[bytes] = []
    waiting: list[str] = []
    for piece in _pieces(value, depth=2):
        waiting.append(piece)
        if len(waiting) >= _PIECES_PER_TURN:
            parts.append("".join(waiting).encode(errors="replace"))
            waiting.clear()
            await trio.lowlevel.checkpoint()
    parts.append("".join(waiting).encode(errors="replace"))
    return parts


def _pieces(value: object, depth: int) -> Iterator[str]:
    """JSON text in small pieces. Below ``depth`` each value is one piece: what is long in an item
    are tables of small entries.
    """
    if depth and isinstance(value, dict):
        before = "{"
        for key, member in value.items():
            yield f"{before}{_encode(str(key))}:"
            yield from _pieces(member, depth - 1)
            before = ","
        yield "}" if value else "{}"
    elif depth and isinstance(value, list):
        before = "["
        for member in value:
            yield before
            yield from _pieces(member, depth - 1)
            before = ","
        yield "]" if value else "[]"
    else:
        yield _encode(value)

"""A console to a world of fakes."""

import contextlib
import json
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import attrs
import trio
import trio.testing
from support.live_fakes import Client, FakeEngine, World
from support.live_scenes import open_world, pair, produce

from meet_trio.console.call import ServerView
from meet_trio.console.listener import open_socket
from meet_trio.console.server import Console
from meet_trio.console.settings import ConsoleSettings
from meet_trio.engine import StatsReady
from meet_trio.operator.drain import Drain
from meet_trio.operator.settings import DrainSettings

NO_FIGURES: Any = {"transports": {}, "producers": {}, "mirrors": {}, "consumers": {}, "engine": {}}


class AnsweringEngine(FakeEngine):
    """Knows nothing of its objects, but answers."""

    world: World
    waiting = 0

    def request_stats(self, token: int) -> None:
        self.world.hear(StatsReady(token, NO_FIGURES))


@attrs.define(eq=False)
class FakeLevels:
    """Keeps what it is told, and leaves the test's log alone."""

    level: str = "info"
    parts: dict[str, str] = attrs.field(factory=dict)

    def set(self, level: str, part: str | None = None) -> None:
        if part is None:
            self.level = level
        elif not part.startswith("meet_trio."):
            raise ValueError(f"{part}: no part has that name")
        else:
            self.parts[part] = level

    def reset(self, part: str | None = None) -> None:
        if part is None:
            self.parts.clear()
        else:
            del self.parts[part]

    def describe(self) -> dict[str, Any]:
        return {"level": self.level, "parts": dict(self.parts)}


@attrs.define(eq=False)
class Terminal:
    """A client of the console."""

    stream: trio.SocketStream
    server: ServerView | None = None  # if this test runs it
    received: bytearray = attrs.field(factory=bytearray)

    async def line(self) -> dict[str, Any] | None:
        """The next message; None after the last one."""
        while b"\n" not in self.received:
            try:
                chunk = await self.stream.receive_some(65536)
            except trio.BrokenResourceError:
                return None
            if not chunk:
                return None
            self.received += chunk
        line, _, rest = bytes(self.received).partition(b"\n")
        self.received[:] = rest
        message = json.loads(line)
        assert isinstance(message, dict)
        return message

    async def say(self, **message: object) -> None:
        await self.stream.send_all(json.dumps(message).encode() + b"\n")

    async def end(self) -> tuple[list[Any], dict[str, Any]]:
        """The items of the command that runs, and how it ended."""
        items: list[Any] = []
        while (message := await self.line()) is not None:
            if "item" in message:
                items.append(message["item"])
            elif "form" not in message:
                return items, message
        raise AssertionError("the console has ended")

    async def ask(self, command: str, *arguments: str) -> list[Any]:
        await self.say(id=1, command=command, arguments=arguments)
        items, end = await self.end()
        assert end == {"id": 1, "done": True}
        return items

    async def fail(self, command: str, *arguments: str) -> str:
        await self.say(id=1, command=command, arguments=arguments)
        items, end = await self.end()
        assert not items
        return str(end["error"])


def view_of(
    world: World, *, terminal: bool = False, reasons: Callable[[], Sequence[str]] = list
) -> ServerView:
    drain = Drain(world.registry, DrainSettings())
    return ServerView(
        world.registry, FakeLevels(), drain, reasons, lambda: "the settings", terminal
    )


async def connect(path: Path) -> Terminal:
    terminal = Terminal(await trio.open_unix_socket(path))
    assert await terminal.line()
    return terminal


@contextlib.asynccontextmanager
async def open_console(
    world: World,
    path: Path,
    *,
    terminal: bool = False,
    reasons: Callable[[], Sequence[str]] = list,
    **settings: Any,
) -> AsyncIterator[Terminal]:
    view = view_of(world, terminal=terminal, reasons=reasons)
    console = Console(view, ConsoleSettings(**settings))
    with open_socket(path) as listening:
        async with trio.open_nursery() as nursery:
            await nursery.start(console.serve, listening)
            async with await trio.open_unix_socket(path) as stream:
                client = Terminal(stream, view)
                greeting = await client.line()
                assert greeting is not None
                assert greeting["protocol"] == 1
                yield client
            nursery.cancel_scope.cancel()
    assert console.connections == 0


@contextlib.asynccontextmanager
async def meeting(path: Path, **how: Any) -> AsyncIterator[tuple[Terminal, World, Client, Client]]:
    """Ada, who sends a camera, and Bob in a room, and a console."""
    engine = AnsweringEngine()
    async with open_world(engines=[engine]) as world:
        engine.world = world
        room, ada, bob = await pair(world)
        await produce(ada, "video")
        await trio.testing.wait_all_tasks_blocked()
        assert room.consumers
        async with open_console(world, path, **how) as terminal:
            yield terminal, world, ada, bob

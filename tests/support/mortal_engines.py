"""Fake engines that die: ``mortal`` gives a world's hosts others in their place.

mortal = make_mortal(world)
mortal.stop(0)      # engine 0 takes no commands from now on
…
mortal.die(0)       # its host hears of it
"""

import os
from collections.abc import Callable
from typing import Any, cast

import attrs
from support.engine_faults import COMMANDS, Door
from support.live_fakes import FakeEngine, World

from meet_trio.engine import Engine, Kept
from meet_trio.media.successor import Deaths


class Deaf:
    """An engine that has died: commands do nothing, as those of ``Engine``."""

    def __init__(self, engine: FakeEngine) -> None:
        self.engine = engine

    def __getattr__(self, name: str) -> object:
        return (
            getattr(self, f"_{name}", _ignore) if name in COMMANDS else getattr(self.engine, name)
        )

    @staticmethod
    def _add_plain_transport(transport: int, rtp_fd: int, rtcp_fd: int, *rest: object) -> None:
        for fd in (rtp_fd, rtcp_fd):  # they were the engine's
            os.close(fd)


def _ignore(*arguments: object) -> None:
    pass


@attrs.define(eq=False)
class FakeSuccessors:
    """Of one host. ``change`` may damage what the dead engine has left."""

    mortal: "Mortal"
    index: int
    begun: list[FakeEngine] = attrs.field(factory=list)

    def make(self, dead: Engine) -> tuple[Engine, Kept]:
        world = self.mortal.world
        before = world.engines[self.index]
        kept = self.mortal.change(before.kept(self.index))
        after = FakeEngine(before.port)
        cast(list[FakeEngine], world.engines)[self.index] = after
        # links end with the thread of either end
        for other in world.engines:
            if other is not after:
                other.relays = {relay for relay in other.relays if relay[1] != after.port}
        return cast(Engine, world.faults.door(after)), kept

    def begin(self, engine: Engine, dead: Engine) -> None:
        self.begun.append(cast(Any, engine)._engine)
        self.mortal.free(dead)


@attrs.define(eq=False)
class Mortal:
    world: World
    change: Callable[[Kept], Kept] = attrs.field(default=lambda kept: kept)
    successors: list[FakeSuccessors] = attrs.field(factory=list)

    def stop(self, index: int) -> None:
        """The engine dies, and its host does not know yet."""
        host = self.world.hosts[index]
        host.engine = cast(Any, Deaf(self.world.engines[index]))

    def die(self, index: int) -> None:
        self.world.hosts[index]._die("a test")

    def free(self, dead: Engine) -> None:
        engine: FakeEngine = dead.engine if isinstance(dead, Deaf) else cast(Any, dead)._engine
        for rtp, rtcp, _ in engine.plain.values():
            os.close(rtp)
            os.close(rtcp)


def make_mortal(world: World, deaths: int = 1000) -> Mortal:
    """``deaths``: so many in a minute are too many."""
    mortal = Mortal(world)
    for index, host in enumerate(world.hosts):
        assert isinstance(host.engine, Door)
        successors = FakeSuccessors(mortal, index)
        mortal.successors.append(successors)
        host._successors, host._deaths = successors, Deaths(deaths)
    return mortal

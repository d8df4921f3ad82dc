"""A world whose engine is killed and started again: the clients go on and are told nothing.

    world = KeptWorld()
    alice, bob = world.client(), world.client()
    …
    world.kill()

A killed core is left as it is, and does nothing more. The new one gets the same commands, and what
is read from the old one's region.
"""

import os
import weakref
from collections.abc import Callable
from typing import Any

import attrs
from support.engine_world import World

from meet_trio.engine import Core, EngineSettings, Kept, read_kept

OF_TRANSPORTS = ("add_transport", "add_plain_transport")
COMMANDS = ("add_", "set_", "connect_", "restart_", "remove_")


class RecordedCore(Core):
    """Notes its commands, so that they can be given again."""

    commands: list[tuple[str, tuple[Any, ...]]]

    def __init__(self, settings: EngineSettings, seed: int, region_fd: int, held: bool) -> None:
        super().__init__(settings, seed=seed, region_fd=region_fd, held=held)
        self.commands = []

    def __getattribute__(self, name: str) -> Any:
        value = super().__getattribute__(name)
        if not name.startswith(COMMANDS):
            return value

        def command(*arguments: Any) -> None:
            self.commands.append((name, arguments))
            value(*arguments)

        return command


@attrs.define(eq=False)
class KeptWorld(World):
    file: int = -1
    lives: int = 1
    dead: list[RecordedCore] = attrs.field(factory=list)
    """A test holds them until its end, because the end of a core would change its region."""

    def __attrs_post_init__(self) -> None:
        self.file = self._new_file()
        self.core = RecordedCore(self.settings, 1, self.file, False)

    def _new_file(self) -> int:
        fd = os.memfd_create("region")
        weakref.finalize(self, os.close, fd)
        return fd

    def kill(
        self,
        change: Callable[[Kept], Kept] = lambda kept: kept,
        *,
        after: float = 0.5,
        begin: bool = True,
    ) -> Kept:
        """The engine ends at once; ``after`` so many seconds another one begins. ``change`` may
        damage what was kept.
        """
        old = self.core
        assert isinstance(old, RecordedCore)
        kept = change(read_kept(self.file))
        self.file = self._new_file()
        self.lives += 1
        self.dead.append(old)
        self.core = RecordedCore(self.settings, self.lives, self.file, True)
        self.core.now = old.now + round(after * 1e6)
        self._give_again(old.commands, kept)
        if begin:
            self.core.begin()
            self.deliver()
        return kept

    def _give_again(self, commands: list[tuple[str, tuple[Any, ...]]], kept: Kept) -> None:
        core = self.core
        keyed = {arguments[0] for name, arguments in commands if name == "set_srtp"}
        for name, arguments in commands:
            getattr(core, name)(*arguments)
            number = arguments[0]
            last = name == "set_srtp" or (name in OF_TRANSPORTS and number not in keyed)
            if last and number in kept.transports:
                core.resume_transport(number, kept.transports[number], kept.exact)
            if name in ("add_producer", "add_mirror") and number in kept.producers:
                core.resume_producer(number, kept.producers[number], kept.exact)
            if name == "add_consumer" and number in kept.consumers:
                core.resume_consumer(number, kept.consumers[number], kept.exact)

    def refused(self) -> int:
        return self.counter("resumes_refused")

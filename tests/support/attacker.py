"""An attacker as a process of its own: ``python -m support.attacker``, driven by ``helper.Helper``.

    {"target": {"port", "media_port", "token", "room"}}  → {}
    {"prepare": attack, "source": address}               → {}
    {"go": seconds}                                      → {"seen": […], figure: number, …}
    {"over": true}                                       → {}

``prepare`` does only things that every honest client does: rooms, joins, transports. ``go`` is the
attack, and ``over`` ends the connections that are left of it. An attack is an async context manager
of one argument, a ``Field``, in one of the modules below. It yields a function that attacks for a
number of seconds and returns figures.

The process runs with lower priority (``os.nice``): on a machine of few cores the attacker's own
work must not be part of the measurement.
"""

import contextlib
import os
from typing import Any

import attrs
import trio
from support import attacks_media, attacks_signaling
from support.attacks import Target
from support.field import Attack, Field
from support.helper import conversation

NICE = 10
ATTACKS: dict[str, Attack] = attacks_signaling.ATTACKS | attacks_media.ATTACKS


@attrs.define(eq=False)
class Attacker:
    nursery: trio.Nursery
    field: Field | None = None
    stack: contextlib.AsyncExitStack = attrs.field(factory=contextlib.AsyncExitStack)
    press: Any = None

    async def answer(self, question: dict[str, Any]) -> object:
        match question:
            case {"target": {"port": port, "media_port": media, "token": token, "room": room}}:
                target = Target(port, media, token, self._invite)
                self.field = Field(self.nursery, target, room)
            case {"prepare": attack, "source": source, "media_port": media, "room": room}:
                assert self.field is not None
                self.field.target.source = source
                self.field.target.media_port = media
                self.field.target.seen.clear()
                self.field.room = room
                self.press = await self.stack.enter_async_context(ATTACKS[attack](self.field))
            case {"warm": True}:
                assert self.field is not None
                await self.field.sixty()
            case {"go": seconds}:
                assert self.field is not None
                figures = await self.press(seconds)
                return {**(figures or {}), "seen": self.field.target.seen}
            case {"over": True}:
                await self.stack.aclose()
        return {}

    async def _invite(self) -> str:
        assert self.field is not None
        return await self.field.invite()


async def _main() -> None:
    os.nice(NICE)
    async with trio.open_nursery() as nursery:
        attacker = Attacker(nursery)
        await conversation(attacker.answer)
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(_main)

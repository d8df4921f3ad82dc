"""The whole server as a process of its own that counts the objects in it: ``python -m
support.counted_server``, driven by ``helper.Helper``.

    {"start": {"patience", "workers", "spread_size"}}  → {"port"}
    {"count": true}                                    → {"objects", "blocks", "resident"}

``objects`` are those that Python's collector knows, by type. ``blocks`` are all that Python has
allocated. ``resident`` is the memory in bytes, without the part that malloc keeps for later.
"""

import ctypes
import gc
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import attrs
import trio
from support.helper import conversation
from support.server import quick_settings

from meet_trio.app import Running, serve


@attrs.define(eq=False)
class Counted:
    nursery: trio.Nursery

    async def answer(self, question: dict[str, Any]) -> object:
        match question:
            case {"start": settings}:
                running: Running = await self.nursery.start(serve, quick_settings(**settings))
                return {"port": running.port}
            case _:
                return count()


def count() -> dict[str, object]:
    gc.collect()
    objects = Counter(str(type(each)) for each in gc.get_objects())
    ctypes.CDLL(None).malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "objects": objects,
        "blocks": sys.getallocatedblocks(),
        "resident": pages * os.sysconf("SC_PAGE_SIZE"),
    }


async def _main() -> None:
    async with trio.open_nursery() as nursery:
        await conversation(Counted(nursery).answer)
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(_main)

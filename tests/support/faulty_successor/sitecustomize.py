"""Loaded by each Python that has this folder in PYTHONPATH: makes the new process of an upgrade
fail, as the file says that the variable UPGRADE_FAULT names. Its text is ``HOW MESSAGE``:

    dies      the process ends at once
    hangs     it does nothing any more
    refuses   it says why it cannot go on
    says      it sends something else
    older     it is an older version, which prepares nothing; MESSAGE does not matter
    forgets   it is an older version, which does not know the records of the kind MESSAGE

MESSAGE is the one that it would send next; with ``-N`` behind it the Nth of that name. ``start``:
it does not come as far as that.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

CHANNEL = "meet_trio.upgrade.channel"
RESTORE = "meet_trio.live.restore"


def fault() -> tuple[str, str]:
    path = Path(os.environ.get("UPGRADE_FAULT", ""))
    if "UPGRADE_CHANNEL" not in os.environ or not path.is_file():
        return "", ""
    how, _, message = path.read_text().partition(" ")
    return how, message


HOW, MESSAGE = fault()


def fail() -> None:
    if HOW == "dies":
        os._exit(9)
    if HOW == "hangs":
        time.sleep(600)
    if HOW == "refuses":
        raise RuntimeError("as the test wants")


class Finder(importlib.abc.MetaPathFinder):
    """Changes the module of messages when it is loaded."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != (RESTORE if HOW == "forgets" else CHANNEL):
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.loader is not None
        load = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            load(module)
            change(module)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def change(module: ModuleType) -> None:
    if HOW == "forgets":
        module._KINDS = {k: v for k, v in module._KINDS.items() if k != MESSAGE}  # type: ignore[attr-defined]
        return
    send, (name, _, number) = module.Channel.send, MESSAGE.partition("-")
    left = [int(number or 1)]

    def faulty(self: object, message: Mapping[str, Any], *rest: Any) -> None:
        if HOW == "older":
            if "prepared" in message:
                os._exit(9)  # it does not understand the question
            message = {key: value for key, value in message.items() if key != "prepares"}
        left[0] -= name in message
        if name in message and left[0] == 0:
            fail()
            if HOW == "says":
                message = {"nonsense": 1}
        send(self, message, *rest)

    module.Channel.send = faulty  # type: ignore[attr-defined]


if MESSAGE == "start":
    fail()
elif HOW:
    sys.meta_path.insert(0, Finder())

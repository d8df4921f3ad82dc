"""What tests of an engine's thread look at: its events, and what it holds of the process."""

import gc
import os
import select
import time
from pathlib import Path
from typing import Any

import pytest

from meet_trio.engine import Engine, EngineEvent, EngineSettings

UFRAG, PASSWORD = "ours", "secret-of-ours-and-more"


def running_engine(settings: EngineSettings | None = None) -> Engine:
    """An engine that reads its sockets."""
    engine = Engine(settings or EngineSettings())
    engine.begin()
    return engine


def resources() -> tuple[int, int]:
    """Descriptors of this process, and its engines' threads; other threads do not count. Those of
    garbage are closed first.
    """
    gc.collect()
    names = [thread.read_text() for thread in Path("/proc/self/task").glob("*/comm")]
    return len(os.listdir("/proc/self/fd")), names.count("meet-engine\n")


def wait_event(engine: Engine, kind: type[EngineEvent], within: float = 5.0) -> Any:
    """The first event of ``kind``; events before it are dropped."""
    deadline = time.monotonic() + within
    while (left := deadline - time.monotonic()) > 0:
        select.select([engine.event_fd], [], [], left)
        for event in engine.read_events():
            if isinstance(event, kind):
                return event
    pytest.fail(f"no {kind.__name__}")

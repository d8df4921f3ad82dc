"""What a record of the log costs: one that is written, in each format, and one that is left out.

    PYTHONPATH=tests .venv/bin/python tests/bench/logs.py

The records go to /dev/null, with the ids of a room, a peer and a transport, as the task of a
transport has them. Each figure is the best of some rounds, in microseconds of CPU time.
"""

import argparse
import logging
import os
import time
import uuid
from collections.abc import Callable

from support.logs import bound

from meet_trio.logs.settings import LogSettings
from meet_trio.logs.setup import set_up_logging

_ROUNDS, _CALLS = 15, 2000
_IDS = {name: str(uuid.uuid4()) for name in ("room", "peer", "transport")}

logger = logging.getLogger("meet_trio.live.peer")


def cost(call: Callable[[], None]) -> float:
    """Microseconds of one call."""
    rounds = []
    for _ in range(_ROUNDS):
        began = time.thread_time()
        for _ in range(_CALLS):
            call()
        rounds.append(time.thread_time() - began)
    return min(rounds) / _CALLS * 1e6


def written() -> None:
    logger.info("refused %s", 7)


def left_out() -> None:
    logger.debug("refused %s", 7)


def main() -> None:
    argparse.ArgumentParser(description="What a record of the log costs.").parse_args()
    root = logging.getLogger()
    with open(os.devnull, "w") as sink, bound(**_IDS):
        for form in ("console", "json"):
            before = list(root.handlers)
            set_up_logging(LogSettings(format=form, repeats=10**6), sink)
            print(f"{form:8} written {cost(written):6.2f} us, left out {cost(left_out):5.3f} us")
            root.handlers[:] = before


if __name__ == "__main__":
    main()

"""Counts events in one turn of Trio's loop: the work that other tasks have to wait for."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import attrs
import trio


@attrs.define(eq=False)
class Turns(trio.abc.Instrument):
    """The number of calls of ``count`` in each turn of the loop."""

    number: int = 0
    happened: Counter[int] = attrs.field(factory=Counter)

    def before_io_wait(self, timeout: float) -> None:
        self.number += 1

    def count(self) -> None:
        self.happened[self.number] += 1

    @property
    def most(self) -> int:
        return max(self.happened.values())


@contextmanager
def counting() -> Iterator[Turns]:
    turns = Turns()
    trio.lowlevel.add_instrument(turns)
    try:
        yield turns
    finally:
        trio.lowlevel.remove_instrument(turns)

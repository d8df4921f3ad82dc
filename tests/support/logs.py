"""The log of a test: set up as in the server, read as lines, and put back afterwards."""

import contextlib
import io
import logging
from collections.abc import Iterator

import attrs

from meet_trio.logs.context import bind, bind_only, bound_ids
from meet_trio.logs.levels import LogLevels
from meet_trio.logs.settings import LogSettings
from meet_trio.logs.setup import set_up_logging


@contextlib.contextmanager
def logging_as_before() -> Iterator[None]:
    """Put the handlers of the root logger and the levels of all loggers back in the end."""
    root = logging.getLogger()
    handlers, levels = list(root.handlers), _levels()
    try:
        yield
    finally:
        root.handlers[:] = handlers
        for name in _levels():
            logging.getLogger(name or None).setLevel(levels.get(name, logging.NOTSET))


def _levels() -> dict[str, int]:
    """The level of each logger; that of the root has the name ""."""
    names = ["", *logging.Logger.manager.loggerDict]
    return {name: logging.getLogger(name or None).level for name in names}


@attrs.frozen
class Log:
    """What was written so far."""

    levels: LogLevels
    _written: io.StringIO

    @property
    def lines(self) -> list[str]:
        return self._written.getvalue().split("\n")[:-1]

    def clear(self) -> None:
        self._written.seek(0)
        self._written.truncate()


@contextlib.contextmanager
def open_log(settings: LogSettings | None = None) -> Iterator[Log]:
    """The server's log for the time of the ``with``."""
    written = io.StringIO()
    with logging_as_before():
        yield Log(set_up_logging(settings or LogSettings(), written), written)


@contextlib.contextmanager
def bound(**ids: str) -> Iterator[None]:
    """Bind ``ids`` for the time of the ``with``."""
    before = bound_ids()
    bind(**ids)
    try:
        yield
    finally:
        bind_only(**before)

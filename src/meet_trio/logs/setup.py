"""Sets logging up: one handler, which writes the records of this server and of libraries to
standard error.
"""

import io
import logging
import os
import sys
from collections.abc import Callable, Mapping
from typing import TextIO

from meet_trio.logs.context import bound_ids
from meet_trio.logs.levels import LogLevels
from meet_trio.logs.lines import console_line, json_line
from meet_trio.logs.repeats import RepeatFilter
from meet_trio.logs.settings import LogSettings
from meet_trio.rates import Rate

_Render = Callable[[logging.LogRecord, Mapping[str, object]], str]


def set_up_logging(settings: LogSettings, stream: TextIO | None = None) -> LogLevels:
    """Log to ``stream``, or to standard error. The levels that are returned may be changed."""
    # No line says where in the code, or in which process and thread, a record was made.
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    levels = LogLevels(settings)
    handler = _Handler(
        levels,
        RepeatFilter(Rate(per_second=1, burst=settings.repeats)),
        json_line if settings.format == "json" else console_line,
        _writer(sys.stderr if stream is None else stream),
    )
    logging.getLogger().addHandler(handler)
    return levels


class _Handler(logging.Handler):
    """Writes the records that are shown and not too many, each by one call of ``write``.

    It does in one function what logging's own handlers do in ten, with filters and a formatter. It
    has none of either.
    """

    def __init__(
        self,
        levels: LogLevels,
        repeats: RepeatFilter,
        render: _Render,
        write: Callable[[str], None],
    ) -> None:
        super().__init__()
        self._levels = levels
        self._repeats = repeats
        self._render = render
        self._write = write

    def handle(self, record: logging.LogRecord) -> bool:
        # Only records that are shown count as repeats.
        if not (self._levels.shows(record) and self._repeats.filter(record)):
            return False
        self.emit(record)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self._render(record, bound_ids()) + "\n"
            assert self.lock is not None  # handlers make it
            with self.lock:  # of the threads' lines none is inside of another
                self._write(line)
        except Exception:
            self.handleError(record)


def _writer(stream: TextIO | None) -> Callable[[str], None]:
    """What writes a text to the file of ``stream`` at once. A stream without a file gets it. None,
    which is Python's standard error if it was closed at the start: nothing is written.
    """
    if stream is None:
        return lambda text: None
    try:
        file = stream.fileno()
    except (OSError, io.UnsupportedOperation):

        def write(text: str) -> None:
            stream.write(text)
            stream.flush()

        return write

    stream.flush()  # what it has comes first
    encoding, errors = stream.encoding, stream.errors or "strict"

    def write_at_once(text: str) -> None:
        data = text.encode(encoding, errors)
        written = os.write(file, data)
        while written < len(data):  # a pipe that is nearly full
            written += os.write(file, data[written:])

    return write_at_once

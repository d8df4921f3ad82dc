"""Sets logging up: one handler, which writes the records of this server and of libraries to
standard error.
"""

import logging
from typing import TextIO

from structlog.contextvars import merge_contextvars
from structlog.stdlib import ExtraAdder, ProcessorFormatter

from meet_trio.logs.levels import LogLevels
from meet_trio.logs.lines import console_line, json_line
from meet_trio.logs.repeats import RepeatFilter
from meet_trio.logs.settings import LogSettings
from meet_trio.rates import Rate


def set_up_logging(settings: LogSettings, stream: TextIO | None = None) -> LogLevels:
    """Log to ``stream``, or to standard error. The levels that are returned may be changed."""
    # No line says where in the code, or in which process and thread, a record was made.
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    levels = LogLevels(settings)
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        ProcessorFormatter(
            processors=[json_line if settings.format == "json" else console_line],
            foreign_pre_chain=[merge_contextvars, ExtraAdder()],
        )
    )
    handler.addFilter(levels.shows)
    # It comes after the other filter, because only records that are shown count.
    handler.addFilter(RepeatFilter(Rate(per_second=1, burst=settings.repeats)))
    logging.getLogger().addHandler(handler)
    return levels

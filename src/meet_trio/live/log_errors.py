"""The request of one peer causes work for others. A fault in it is logged and affects only the peer
that the work was for.
"""

import contextlib
import logging
from collections.abc import Iterator

logger = logging.getLogger("meet_trio.live.room")


@contextlib.contextmanager
def log_errors(what: str) -> Iterator[None]:
    """Log an exception of the ``with`` block, and go on. ``what`` names the work in the log."""
    try:
        yield
    except Exception:
        logger.exception("%s failed", what)

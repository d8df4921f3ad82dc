"""The request of one peer causes work for others. A fault in it is logged and affects only the peer
that the work was for.
"""

import logging
from types import TracebackType

logger = logging.getLogger("meet_trio.live.room")


class log_errors:  # noqa: N801  # a context manager; with contextlib it would take six times as long
    """Log an exception of the ``with`` block, and go on. ``what`` names the work in the log: as a
    text, or as the object that it is about.
    """

    __slots__ = ("_what",)

    def __init__(self, what: object) -> None:
        self._what = what

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> bool:
        if kind is None or not issubclass(kind, Exception):
            return False
        logger.error("%s failed", self._what, exc_info=error)
        return True

"""The ids that the records of a task carry: one mapping, which is replaced and never changed. A
task that is started has that of the task that starts it.
"""

from collections.abc import Mapping
from contextvars import ContextVar
from types import MappingProxyType
from typing import Final

_IDS: Final[ContextVar[Mapping[str, str]]] = ContextVar(
    "meet_trio.logs.ids", default=MappingProxyType({})
)

bound_ids: Final = _IDS.get
"""The ids of the task that runs now."""


def bind(**ids: str) -> None:
    """Bind ``ids`` to the records of this task and of tasks that it starts from now on, beside what
    is bound already.
    """
    _IDS.set({**_IDS.get(), **ids})


def bind_only(**ids: str) -> None:
    """Like ``bind``, and nothing else stays bound. A task begins with the ids of the task that
    started it, which may be about another peer.
    """
    _IDS.set(ids)

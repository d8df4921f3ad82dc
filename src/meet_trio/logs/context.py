"""The ids that the records of a task carry."""

from structlog.contextvars import bind_contextvars, clear_contextvars


def bind_only(**ids: str) -> None:
    """Bind ``ids`` to the records of this task and of tasks that it starts from now on, and nothing
    else. A task begins with the ids of the task that started it, which may be about another peer.
    """
    clear_contextvars()
    bind_contextvars(**ids)

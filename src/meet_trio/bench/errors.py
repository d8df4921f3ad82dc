"""The errors of the load generator."""

from meet_trio.errors import MeetError


class BenchError(MeetError):
    """The run cannot go on. The message says why, for the operator."""


class ScenarioError(BenchError):
    """An argument has an impossible value. The message names it."""


def bench_error_of(error: BaseException) -> BenchError:
    """The BenchError in groups of groups. Raises the error again if it is none of ours."""
    if isinstance(error, BenchError):
        return error
    if isinstance(error, BaseExceptionGroup):
        ours, others = error.split(BenchError)
        if ours is not None and others is None:
            return bench_error_of(ours.exceptions[0])
    raise error

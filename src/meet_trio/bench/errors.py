"""The errors of the load generator."""

from meet_trio.errors import MeetError


class BenchError(MeetError):
    """The run cannot go on. The message says why, for the operator."""


class ScenarioError(BenchError):
    """An argument has an impossible value. The message names it."""

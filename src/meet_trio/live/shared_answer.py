"""One answer for all who ask the same at the same time, for answers that are costly to make."""

from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

import attrs
import trio

T = TypeVar("T")


@attrs.define(eq=False)
class SharedAnswer(Generic[T]):
    """Makes one answer at a time. The calls that come meanwhile share the next one, so many calls
    at once cost as much as two.
    """

    _one_at_a_time: trio.Lock = attrs.field(factory=trio.Lock)
    _begun: int = 0
    _made: tuple[int, T | None] = (0, None)
    """The number of the last answer, and the answer itself while somebody waits who may share it.
    """

    async def get(self, make: Callable[[], Awaitable[T]]) -> T:
        """The answer of ``make``, not older than the call."""
        wanted = self._begun + 1
        async with self._one_at_a_time:
            number, answer = self._made
            if number < wanted or answer is None:
                self._made = (0, None)  # it is too old for those who wait, too
                self._begun += 1
                answer = await make()
                self._made = (self._begun, answer)
            if not self._one_at_a_time.statistics().tasks_waiting:
                self._made = (0, None)
            return answer


@attrs.define(eq=False)
class SharedAnswers(Generic[T]):
    """A ``SharedAnswer`` for each question, while somebody asks it."""

    _asked: dict[object, tuple[SharedAnswer[T], int]] = attrs.field(factory=dict)

    async def get(self, question: Hashable, make: Callable[[], Awaitable[T]]) -> T:
        """The answer of ``make``, not older than the call."""
        answer, askers = self._asked.get(question) or (SharedAnswer(), 0)
        self._asked[question] = answer, askers + 1
        try:
            return await answer.get(make)
        finally:
            askers = self._asked[question][1] - 1
            if askers:
                self._asked[question] = answer, askers
            else:
                del self._asked[question]

    def __len__(self) -> int:
        return len(self._asked)

"""Counts crashes: is the next start one like the others, one without what the last server left, or
is there none?
"""

AGAIN = "again"
CLEAN = "clean"
GIVE_UP = "give up"

MAX_CRASHES = 3
WITHIN = 60.0
"""So many crashes in so many seconds are a loop."""


class CrashLoop:
    """What a crashed server left may be what the next one crashes of. So after a loop the starts
    are clean, until one has lived for a minute. If those crash in a loop too, that is the end.
    """

    def __init__(self) -> None:
        self.clean = False
        self._crashes: list[float] = []
        self._started = 0.0

    def started(self, now: float) -> None:
        """A server starts. Times are in seconds of any clock that only rises."""
        self._started = now

    def crashed(self, now: float) -> str:
        """A server has crashed. Returns what is next: AGAIN, CLEAN or GIVE_UP."""
        if self.clean and now - self._started >= WITHIN:
            self.clean = False
        self._crashes = [at for at in self._crashes if now - at < WITHIN]
        self._crashes.append(now)
        if len(self._crashes) >= MAX_CRASHES:
            if self.clean:
                return GIVE_UP
            self.clean = True
            self._crashes.clear()
        return CLEAN if self.clean else AGAIN

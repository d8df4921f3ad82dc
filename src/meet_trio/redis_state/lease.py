"""The lease: which of several servers may send. Pure; the time is passed in.

The lease is in Redis. Its holder renews it by beats, which count up. Nobody compares clocks: each
side measures durations by its own.

- The holder may send until ``ttl`` after it has *sent* the last beat that was answered.
- A candidate takes the lease when it has seen the same beat for ``wait_for(ttl)`` since the
  *answer* in which it saw it first. Redis gives it only if the beat is still the same.

So the candidate's time begins after the holder's, and is longer by more than their clocks differ.

A holder that knows of no candidate does not stop when Redis is gone (``watched`` 0). Then no
candidate with ``takes_alone`` False takes the lease. The change from one to the other is a beat
too: the holder is bound before it says so, and free after Redis has answered.
"""

import attrs

DRIFT = 0.02
"""How much faster one clock may be than the other, as a fraction of 1."""
MARGIN = 0.1
"""Seconds for packets that were on their way out."""
GIVEN_UP = "-"
"""The owner of a lease that was given up."""


def wait_for(ttl: float) -> float:
    """How long a candidate waits, in seconds."""
    return ttl * (1 + DRIFT) + MARGIN


@attrs.frozen
class Lease:
    """The lease as it is in Redis. ``owner`` is empty if there is none. ``watched``: the beat with
    which the holder has bound itself, 0 if it is not bound. ``ttl`` in seconds.
    """

    owner: str = ""
    fence: int = 0
    beat: int = 0
    watched: int = 0
    ttl: float = 0.0


@attrs.define(eq=False)
class Candidacy:
    """A server that waits for the lease. ``takes_alone``: an operator has started it in place of
    the holder, which may not know of it.
    """

    owner: str
    ttl: float
    takes_alone: bool
    _seen: Lease | None = None
    _since: float = 0.0

    def may_take(self, seen: Lease, now: float) -> bool:
        """Whether to take the lease from its state ``seen``. ``now``: when the answer came."""
        if seen.owner in (GIVEN_UP, self.owner):
            return True
        if seen != self._seen:
            self._seen, self._since = seen, now
            return False
        if now - self._since < wait_for(max(self.ttl, seen.ttl)):
            return False
        return not seen.owner or seen.watched > 0 or self.takes_alone

    @property
    def unwatched_since(self) -> float | None:
        """When a holder was seen last whose beats do not say that it knows of a standby. It may be
        cut off and go on alone, so its lease is not taken; None: it is another case.
        """
        seen = self._seen
        return self._since if seen is not None and seen.owner and not seen.watched else None


@attrs.frozen
class Beat:
    number: int
    watched: int


@attrs.define(eq=False)
class Holding:
    """The holder's side. ``taken``: when it has sent what took the lease. ``bound``: a standby may
    take it.
    """

    ttl: float
    taken: float
    _bound: bool = attrs.field(default=False, kw_only=True)
    _number: int = 0
    _standby: bool = False
    _watched: int = 0  # as it was sent last
    _known: int = 0  # as it was answered last

    @property
    def watched(self) -> int:
        """The beat with which it is bound, once Redis knows; 0: no standby may take the lease."""
        return self._known if self._known == self._watched else 0

    @property
    def sends_until(self) -> float | None:
        """None: it need not stop."""
        return self.taken + self.ttl if self._bound else None

    def next_beat(self) -> Beat:
        """The beat to send now. Its time is taken before this is called."""
        self._number += 1
        if not self._standby:
            self._watched = 0
        elif not self._watched:
            self._watched = self._number
        if self._watched:
            self._bound = True
        return Beat(self._number, self._watched)

    def answered(self, beat: Beat, sent: float, standby: bool) -> None:
        """Redis has taken the beat that was sent at ``sent``. ``standby``: one waits."""
        self.taken = max(self.taken, sent)
        self._known = beat.watched
        self._standby = standby
        if not beat.watched:
            self._bound = False

    def taken_again(self, sent: float) -> None:
        """Redis had lost the lease, and has given it again: not watched, with no beat."""
        self.taken = max(self.taken, sent)
        self._number = self._watched = self._known = 0
        self._bound = False

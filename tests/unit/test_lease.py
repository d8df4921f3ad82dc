"""The lease: whatever the delays, the order of messages and the clocks, never two servers send."""

import heapq
import itertools
from collections.abc import Callable

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st

from meet_trio.redis_state.lease import DRIFT, GIVEN_UP, Beat, Candidacy, Holding, Lease, wait_for

TTL = 1.5
INTERVAL = TTL / 3


@attrs.define(eq=False)
class World:
    """Real time, and Redis: what scripts do to the lease. A message is done when it arrives."""

    now: float = 0.0
    lease: Lease = attrs.field(factory=Lease)
    standby_until: float = -1.0
    sends: dict[str, list[tuple[float, float]]] = attrs.field(factory=dict)
    _due: list[tuple[float, int, Callable[[], None]]] = attrs.field(factory=list)
    _numbers: "itertools.count[int]" = attrs.field(factory=itertools.count)

    def later(self, delay: float, do: Callable[[], None]) -> None:
        heapq.heappush(self._due, (self.now + delay, next(self._numbers), do))

    def run(self, end: float) -> None:
        while self._due and self._due[0][0] <= end:
            self.now, _, do = heapq.heappop(self._due)
            do()
        self.now = end

    def beat(self, owner: str, fence: int, beat: Beat) -> str:
        if (self.lease.owner, self.lease.fence) != (owner, fence):
            return "lost"
        if beat.number <= self.lease.beat:
            return "old"
        self.lease = attrs.evolve(self.lease, beat=beat.number, watched=beat.watched)
        return "standby" if self.now < self.standby_until else "alone"

    def take(self, owner: str, seen: Lease) -> int:
        if self.lease != seen:
            return 0
        self.lease = Lease(owner, seen.fence + 1, 0, 0, TTL)
        return self.lease.fence


@attrs.define(eq=False)
class Server:
    """A candidate, then the holder. Its clock runs ``rate`` times as fast as real time."""

    name: str
    world: World
    rate: float
    delays: "itertools.cycle[float]"
    pauses: "itertools.cycle[float]"
    alone: bool = False
    fence: int = 0
    holding: Holding | None = None
    candidacy: Candidacy = attrs.field(init=False)
    until: float = 0.0  # real time until which it sends; the engine stops by itself

    def __attrs_post_init__(self) -> None:
        self.candidacy = Candidacy(self.name, TTL, self.alone)
        self.world.later(0, self.step)

    def clock(self) -> float:
        return self.world.now * self.rate

    def call(self, do: Callable[[], Callable[[], None]]) -> None:
        """``do`` runs in Redis after a delay, and what it returns here after another one."""
        there, back = next(self.delays), next(self.delays)
        self.world.later(there, lambda: self.world.later(back, do()))

    def step(self) -> None:
        if self.holding is None:
            self.call(self.look)
        else:
            self.beat(self.holding)
        self.world.later(INTERVAL / self.rate + next(self.pauses), self.step)

    def look(self) -> Callable[[], None]:
        self.world.standby_until = self.world.now + 3 * TTL
        seen = self.world.lease
        return lambda: self.looked(seen)

    def looked(self, seen: Lease) -> None:
        if self.holding is None and self.candidacy.may_take(seen, self.clock()):
            sent = self.clock()

            def take() -> Callable[[], None]:
                fence = self.world.take(self.name, seen)
                return lambda: self.took(fence, sent)

            self.call(take)

    def took(self, fence: int, sent: float) -> None:
        if fence and self.holding is None:
            self.fence, self.holding = fence, Holding(TTL, sent)
            self.bind()

    def beat(self, holding: Holding) -> None:
        sent, beat = self.clock(), holding.next_beat()
        self.bind()

        def answer() -> Callable[[], None]:
            result = self.world.beat(self.name, self.fence, beat)
            return lambda: self.answered(beat, sent, result)

        self.call(answer)

    def answered(self, beat: Beat, sent: float, result: str) -> None:
        if self.holding is None:
            return
        if result == "lost":
            self.stop()
        elif result != "old" and self.clock() - sent < INTERVAL:  # it was not given up
            self.holding.answered(beat, sent, result == "standby")
            self.bind()

    def bind(self) -> None:
        """It sends from now until it must not. What it said before is replaced."""
        assert self.holding is not None
        spans = self.world.sends.setdefault(self.name, [])
        if spans and spans[-1][1] > self.world.now:
            spans[-1] = (spans[-1][0], self.world.now)
        until = self.holding.sends_until
        end = float("inf") if until is None else until / self.rate
        if end > self.world.now:
            spans.append((self.world.now, end))

    def stop(self) -> None:
        spans = self.world.sends.get(self.name, [])
        if spans and spans[-1][1] > self.world.now:
            spans[-1] = (spans[-1][0], self.world.now)
        self.holding = None


def rates() -> st.SearchStrategy[float]:
    return st.floats(1 - DRIFT / 2.1, 1 + DRIFT / 2.1)


def durations(most: float) -> st.SearchStrategy[list[float]]:
    return st.lists(st.one_of(st.just(0.01), st.floats(0, most)), min_size=1, max_size=40)


@settings(max_examples=400, deadline=None)
@given(
    st.tuples(rates(), rates()),
    st.tuples(durations(4), durations(4)),
    st.tuples(durations(2), durations(2)),
    st.floats(0, 6),
)
def test_never_two_at_once(
    clocks: tuple[float, float],
    delays: tuple[list[float], list[float]],
    pauses: tuple[list[float], list[float]],
    second: float,
) -> None:
    world = World()

    def start(i: int) -> None:
        Server(
            f"server {i}",
            world,
            clocks[i],
            itertools.cycle(delays[i]),
            itertools.cycle(pauses[i]),
        )

    start(0)
    world.later(second, lambda: start(1))
    world.run(60)
    spans = sorted(span for spans in world.sends.values() for span in spans if span[1] > span[0])
    owners = {span: name for name, spans in world.sends.items() for span in spans}
    for one, other in itertools.combinations(spans, 2):
        if owners[one] != owners[other]:
            assert one[1] <= other[0] or other[1] <= one[0], (one, other)


def test_the_time_of_a_lease_has_a_margin_for_clocks() -> None:
    assert wait_for(TTL) / (1 + DRIFT / 2.1) > TTL / (1 - DRIFT / 2.1)


def test_a_standby_leaves_a_holder_alone_that_does_not_know_of_it() -> None:
    """Such a holder goes on without Redis, and nobody knows whether it does."""
    alone = Lease("a", 1, 7, 0, TTL)
    standby, operator = Candidacy("b", TTL, takes_alone=False), Candidacy("c", TTL, True)
    for time, taken in ((0.0, False), (TTL, False), (100.0, True)):
        assert not standby.may_take(alone, time)
        assert operator.may_take(alone, time) is taken
    watched = attrs.evolve(alone, watched=3)
    assert not standby.may_take(watched, 101.0)
    assert not standby.may_take(attrs.evolve(watched, beat=8), 103.0)
    assert standby.may_take(attrs.evolve(watched, beat=8), 103.1 + wait_for(TTL))


def test_since_when_a_holder_that_may_go_on_alone_is_silent() -> None:
    alone = Lease("a", 1, 7, 0, TTL)
    standby = Candidacy("b", TTL, takes_alone=False)
    seen: list[tuple[Lease, float, float | None]] = [
        (Lease(), 0.0, None),
        (alone, 1.0, 1.0),
        (alone, 9.0, 1.0),
        (attrs.evolve(alone, beat=8), 10.0, 10.0),
        (attrs.evolve(alone, beat=9, watched=9), 11.0, None),
    ]
    for lease, time, since in seen:
        standby.may_take(lease, time)
        assert standby.unwatched_since == since


def test_what_was_given_up_is_taken_at_once() -> None:
    assert Candidacy("b", TTL, False).may_take(Lease(GIVEN_UP, 1, 7, 0, TTL), 0.0)


def test_a_lease_of_longer_time_is_waited_for() -> None:
    seen = Lease("a", 1, 7, 7, 10.0)
    candidacy = Candidacy("b", TTL, False)
    assert not candidacy.may_take(seen, 0.0)
    assert not candidacy.may_take(seen, wait_for(TTL))
    assert candidacy.may_take(seen, wait_for(10.0))


def test_a_holder_is_bound_before_it_says_so_and_free_when_redis_knows() -> None:
    holding = Holding(TTL, 0.0)
    first = holding.next_beat()
    holding.answered(first, 0.1, standby=True)
    assert holding.sends_until is None
    bound = holding.next_beat()
    assert (bound.watched, holding.sends_until, holding.watched) == (2, 0.1 + TTL, 0)
    holding.answered(bound, 0.6, standby=True)
    assert (holding.sends_until, holding.watched) == (0.6 + TTL, 2)
    again = holding.next_beat()
    assert again.watched == 2
    holding.answered(again, 1.1, standby=False)
    free = holding.next_beat()
    assert (free.watched, holding.sends_until, holding.watched) == (0, 1.1 + TTL, 0)
    holding.answered(free, 1.6, standby=False)
    assert holding.sends_until is None

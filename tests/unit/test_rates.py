"""Token buckets: requests that fit or do not, and how debts are paid."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meet_trio.rates import Bucket, Rate


def test_a_burst_and_then_the_rate() -> None:
    bucket = Bucket(Rate(per_second=2, burst=3))
    assert [bucket.take(100.0) for _ in range(4)] == [True, True, True, False]
    assert bucket.wait(100.0) == 1.0  # one in debt, one to take
    assert not bucket.take(100.5)
    assert bucket.take(102.0)


def test_debt_is_bounded_and_paid_by_time() -> None:
    bucket = Bucket(Rate(per_second=1, burst=5))
    taken = [bucket.take(0.0) for _ in range(100)]
    assert taken.count(True) == 5
    assert bucket.in_debt()
    assert not bucket.take(5.0)
    assert not bucket.in_debt()
    assert bucket.take(7.0)


def test_given_back_is_not_counted() -> None:
    bucket = Bucket(Rate(per_second=1, burst=1))
    for _ in range(10):
        assert bucket.take(0.0)
        bucket.give_back()
    bucket.give_back()
    assert [bucket.take(0.0), bucket.take(0.0)] == [True, False]


@pytest.mark.parametrize(("after", "full"), [(1.9, False), (2.0, True)])
def test_full_again_after_a_while(after: float, full: bool) -> None:
    bucket = Bucket(Rate(per_second=10, burst=20))
    assert bucket.take(0.0, cost=20)
    assert bucket.take(after, cost=20) is full


def test_a_clock_that_goes_back_gives_nothing() -> None:
    bucket = Bucket(Rate(per_second=10, burst=20))
    assert bucket.take(2.0, cost=20)
    assert not bucket.take(1.0)
    assert not bucket.take(2.1)


@given(st.lists(st.floats(0, 10), max_size=200), st.floats(0.5, 20), st.integers(1, 20))
def test_never_more_than_promised(pauses: list[float], per_second: float, burst: int) -> None:
    bucket = Bucket(Rate(per_second, burst))
    now, allowed = 1000.0, 0
    for pause in pauses:
        now += pause
        allowed += bucket.take(now)
        assert allowed <= burst + (now - 1000.0) * per_second + 1e-6

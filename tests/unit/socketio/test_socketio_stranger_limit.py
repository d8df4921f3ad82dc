"""The stranger that is evicted when there are too many."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from meet_trio.socketio import Strangers


def test_the_oldest_of_a_client_that_has_too_many_goes() -> None:
    strangers = Strangers[int](limit=10, limit_per_key=2)
    strangers.add("a", 1)
    assert strangers.to_evict("a") is None
    assert strangers.is_half_full("a")
    assert not strangers.is_half_full("b")
    strangers.add("a", 2)
    assert strangers.to_evict("a") == 1
    assert strangers.to_evict("b") is None
    strangers.add("a", 1)  # it is the newest now
    assert strangers.to_evict("a") == 2
    strangers.remove("a", 2)
    assert strangers.to_evict("a") is None


def test_of_too_many_in_all_the_oldest_of_the_client_that_has_the_most_goes() -> None:
    strangers = Strangers[int](limit=4, limit_per_key=4)
    for member, key in enumerate(["quiet", "loud", "loud", None]):
        strangers.add(key, member)
    assert strangers.is_half_full("new")
    for key in ("quiet", "loud", "new", None):
        assert strangers.to_evict(key) == 1
    strangers.remove("loud", 1)
    assert strangers.to_evict("new") is None
    assert Strangers[int](1, 1).oldest_of_largest_key() is None


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "c", None]), st.integers(0, 9))))
def test_it_is_as_if_all_were_looked_at(comings: list[tuple[str | None, int]]) -> None:
    """A present member leaves, an absent one joins, and the one that has to make room
    leaves too.
    """
    strangers = Strangers[tuple[str | None, int]](limit=6, limit_per_key=4)
    there: list[tuple[str | None, int]] = []
    for key, number in comings:
        member = (key, number)
        if member in there:
            there.remove(member)
            strangers.remove(key, member)
        else:
            goes = strangers.to_evict(key)
            of_key = [one for one in there if one[0] == key]
            sizes = Counter(one[0] for one in there)
            if key is not None and len(of_key) == 4:
                assert goes == of_key[0]
            elif len(there) == 6:
                assert goes is not None
                assert sizes[goes[0]] == max(sizes.values())
                assert goes == next(one for one in there if one[0] == goes[0])
            else:
                assert goes is None
            if goes is not None:
                there.remove(goes)
                strangers.remove(goes[0], goes)
            there.append(member)
            strangers.add(key, member)
        strangers.remove("a", ("a", 99))  # a member that is absent
        assert strangers.total == len(there)
        assert [strangers.count(one) for one in ("a", None)] == [
            len([member for member in there if member[0] == one]) for one in ("a", None)
        ]

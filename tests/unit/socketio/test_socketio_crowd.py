"""The member that has to go when a crowd is full."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from meet_trio.socketio import Crowd


def test_the_oldest_of_a_client_that_has_too_many_goes() -> None:
    crowd = Crowd[int](most=10, most_per_key=2)
    crowd.add("a", 1)
    assert crowd.too_many("a") is None
    assert crowd.crowded("a")
    assert not crowd.crowded("b")
    crowd.add("a", 2)
    assert crowd.too_many("a") == 1
    assert crowd.too_many("b") is None
    crowd.add("a", 1)  # it is the newest now
    assert crowd.too_many("a") == 2
    crowd.remove("a", 2)
    assert crowd.too_many("a") is None


def test_of_too_many_in_all_the_oldest_of_the_client_that_has_the_most_goes() -> None:
    crowd = Crowd[int](most=4, most_per_key=4)
    for member, key in enumerate(["quiet", "loud", "loud", None]):
        crowd.add(key, member)
    assert crowd.crowded("new")
    for key in ("quiet", "loud", "new", None):
        assert crowd.too_many(key) == 1
    crowd.remove("loud", 1)
    assert crowd.too_many("new") is None
    assert Crowd[int](1, 1).oldest() is None


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "c", None]), st.integers(0, 9))))
def test_it_is_as_if_all_were_looked_at(comings: list[tuple[str | None, int]]) -> None:
    """A present member leaves, an absent one joins, and the one that has to make room
    leaves too.
    """
    crowd = Crowd[tuple[str | None, int]](most=6, most_per_key=4)
    there: list[tuple[str | None, int]] = []
    for key, number in comings:
        member = (key, number)
        if member in there:
            there.remove(member)
            crowd.remove(key, member)
        else:
            goes = crowd.too_many(key)
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
                crowd.remove(goes[0], goes)
            there.append(member)
            crowd.add(key, member)
        crowd.remove("a", ("a", 99))  # a member that is absent
        assert crowd.total == len(there)
        assert [crowd.of(one) for one in ("a", None)] == [
            len([member for member in there if member[0] == one]) for one in ("a", None)
        ]

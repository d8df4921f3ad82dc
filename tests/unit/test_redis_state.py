"""Values for Redis: sealed, and kept until they are written."""

import pytest

from meet_trio.config import load
from meet_trio.errors import ConfigError
from meet_trio.redis_state.sealing import Sealer, Unsealable
from meet_trio.redis_state.store import RedisStore

SECRET = "0123456789abcdef"
TOKEN = {"AUTH_TOKEN": "x"}


def sealer(secret: str = SECRET, server: str = "12443-::") -> Sealer:
    return Sealer(secret, server)


def test_what_is_sealed_is_opened_by_another_process() -> None:
    one, other = sealer(), sealer()
    sealed = one.seal(b"field", b"value")
    assert b"value" not in sealed
    assert other.open(b"field", sealed) == b"value"
    assert one.name("room/1") == other.name("room/1") != one.name("room/2")
    assert b"room" not in one.name("room/1")


@pytest.mark.parametrize("other", [sealer("another secret..."), sealer(server="12444-::")])
def test_with_another_secret_or_for_another_server_nothing_is_opened(other: Sealer) -> None:
    with pytest.raises(Unsealable):
        other.open(b"field", sealer().seal(b"field", b"value"))
    assert other.name("room/1") != sealer().name("room/1")


def test_a_value_is_bound_to_its_field() -> None:
    one = sealer()
    with pytest.raises(Unsealable):
        one.open(b"other", one.seal(b"field", b"value"))


def test_damage_is_found_at_any_byte() -> None:
    one = sealer()
    sealed = one.seal(b"field", b"value")
    for i in range(len(sealed)):
        damaged = bytearray(sealed)
        damaged[i] ^= 1
        with pytest.raises(Unsealable):
            one.open(b"field", bytes(damaged))
        with pytest.raises(Unsealable):
            one.open(b"field", sealed[:i])


def test_no_nonce_is_used_twice_with_a_key() -> None:
    """Salt and count are the first 25 bytes; the salt makes the key."""
    sealers = [sealer() for _ in range(3)]
    heads = {one.seal(b"field", b"value")[:25] for one in sealers for _ in range(100)}
    assert len(heads) == 300


def test_the_secret_is_in_no_text() -> None:
    one = sealer()
    settings = load({}, TOKEN | {"MEET_TRIO_STATE_REDIS_URL": f"redis://:{SECRET}@h/0"} | SET)
    assert SECRET not in repr(one) + repr(settings.redis)


SET = {"MEET_TRIO_STATE_REDIS_SECRET": SECRET}


@pytest.mark.parametrize(
    ("environ", "wanted"),
    [
        ({"MEET_TRIO_STATE_REDIS_URL": "redis://h"}, r"state\.redis_secret"),
        ({"MEET_TRIO_STATE_STANDBY": "on"}, r"state\.redis_url"),
        (SET | {"MEET_TRIO_STATE_REDIS_URL": "http://h"}, "REDIS_URL"),
        (SET | {"MEET_TRIO_STATE_REDIS_URL": "redis://h/x"}, "REDIS_URL"),
        (SET | {"MEET_TRIO_STATE_REDIS_URL": "redis://h:x"}, "REDIS_URL"),
        ({"MEET_TRIO_STATE_REDIS_SECRET": "short"}, "REDIS_SECRET"),
    ],
)
def test_settings_that_do_not_fit_are_refused(environ: dict[str, str], wanted: str) -> None:
    with pytest.raises(ConfigError, match=wanted) as error:
        load({}, TOKEN | environ)
    assert SECRET not in str(error.value)


def test_a_record_that_changes_often_waits_once() -> None:
    store = RedisStore()
    for i in range(100):
        store.put("a", b"%d" % i)
        store.put(f"b{i % 3}", b"x" * 10)
    store.put("c", b"gone")
    store.drop("c")
    store.drop("never there")
    assert (store.changed, store.size, store.changed_size) == (5, 32, 32)
    batch = store.take()
    assert dict(batch.puts) == {"a": b"99", "b0": b"x" * 10, "b1": b"x" * 10, "b2": b"x" * 10}
    assert batch.drops == ["c"]
    assert store.take().puts == []


def test_what_was_not_written_is_written_as_it_is_then() -> None:
    store = RedisStore()
    store.put("a", b"1")
    store.put("b", b"1")
    batch = store.take()
    store.put("a", b"2")
    store.drop("b")
    store.give_back(batch)
    again = store.take()
    assert (list(again.puts), list(again.drops)) == ([("a", b"2")], ["b"])


def test_all_is_written_in_parts() -> None:
    store = RedisStore()
    for i in range(10):
        store.put(str(i), b"x" * 100)
    parts = store.slices(250)
    assert [len(part) for part in parts] == [3, 3, 3, 1]
    store.drop("0")
    assert [key for key, _ in store.payloads(parts[0])] == ["1", "2"]

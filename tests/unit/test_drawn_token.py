"""The token of the API that nobody has set: it stays the same over a restart."""

import json

import attrs
import pytest
from support.kept_worlds import DictStore

from meet_trio.config import load
from meet_trio.edge.settings import HttpApiSettings
from meet_trio.edge.tokens import ApiTokenRecord, keep_drawn_token
from meet_trio.errors import RecordError

OLD = "the token of the process before"
DRAWN = HttpApiSettings(auth_token="drawn by this process", token_drawn=True)
SET = HttpApiSettings(auth_token="set by an operator")
BEFORE = ApiTokenRecord(OLD)


def test_a_drawn_token_is_that_of_the_process_before() -> None:
    store = DictStore()
    found = keep_drawn_token(DRAWN, BEFORE, store)
    assert found == attrs.evolve(DRAWN, auth_token=OLD)
    store.flush()
    assert store.written == {"api_token": BEFORE.to_json()}
    assert keep_drawn_token(DRAWN, BEFORE, None) == found


def test_the_first_process_keeps_its_own() -> None:
    store = DictStore()
    assert keep_drawn_token(DRAWN, None, store) == DRAWN
    store.flush()
    record = ApiTokenRecord.from_json(store.written["api_token"])
    assert keep_drawn_token(attrs.evolve(DRAWN, auth_token="x" * 20), record, None) == DRAWN


def test_a_token_that_was_set_counts() -> None:
    store = DictStore()
    assert keep_drawn_token(SET, BEFORE, store) == SET
    store.flush()
    assert store.written == {}  # it is no secret of the state directory


@pytest.mark.parametrize("token", [None, "", 5, "short", "x" * 300, "a" * 20 + "\r\n"])
def test_a_damaged_record_is_refused(token: object) -> None:
    with pytest.raises(RecordError, match=r"api_token: "):
        ApiTokenRecord.from_json(json.dumps({"version": 1, "token": token}).encode())


def test_which_tokens_are_drawn() -> None:
    assert load({}, {}).api.token_drawn
    assert load({"demo.enabled": "on"}, {}).api.token_drawn
    assert not load({}, {"AUTH_TOKEN": "x" * 32}).api.token_drawn

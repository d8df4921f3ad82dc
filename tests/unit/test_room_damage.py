"""Damaged records of a room are refused, and the field is named."""

import contextlib
import copy
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given
from support.kept_room import busy_room, producer_rtp, records_of

from meet_trio.errors import RecordError
from meet_trio.ortc.kept import producer_to_json
from meet_trio.room import ROOM_RECORDS, RoomLimits
from meet_trio.room import records as kinds


def samples() -> dict[str, dict[str, Any]]:
    """A record of each kind as JSON, with all that is optional: else its damage were not tried."""
    merged: dict[str, dict[str, Any]] = {}
    for record in records_of(busy_room()):
        merged.setdefault(record.KIND, {"version": record.VERSION}).update(
            (key, value) for key, value in record.fields().items() if value not in (None, [], ())
        )
    return json.loads(json.dumps(merged))  # type: ignore[no-any-return]


SAMPLES = samples()
FREE = {"app_data"}  # of the client, any JSON
# a missing list of ORTC is empty
OPTIONAL = {
    "peer": {"nickname", "language", "capabilities"},
    "consumer": {"rtx_ssrc", "preferred"},
    "last_n": {"n"},
    "capabilities": {"codecs", "headerExtensions"},
}


def paths(data: Any, *begin: str | int) -> Iterator[tuple[str | int, ...]]:
    entries = data.items() if isinstance(data, dict) else enumerate(data)
    for key, value in entries:
        yield (*begin, key)
        if isinstance(value, dict | list) and key not in FREE:
            yield from paths(value, *begin, key)


def in_words(path: tuple[str | int, ...], data: Any) -> str:
    """The path as a message names it."""
    words = ""
    for key in path:
        data = data[key]
        if isinstance(key, str):
            words += f".{key}"
        else:
            words += f"[{key}]" if isinstance(data, dict) else f".{key}"
    return words[1:]


def test_there_are_samples_with_all_that_is_optional() -> None:
    assert SAMPLES.keys() == ROOM_RECORDS.keys()
    for record in records_of(busy_room()):
        assert SAMPLES[record.KIND].keys() == {"version", *record.fields()}


@pytest.mark.parametrize("kind", ROOM_RECORDS)
def test_damage_of_each_field_is_named(kind: str) -> None:
    sample, cls = SAMPLES[kind], ROOM_RECORDS[kind]
    cls.from_json(json.dumps(sample).encode())
    tried = 0
    for path in paths(sample):
        if path[-1] == "parameters" and "headerExtensions" in path:
            continue  # not read, see HeaderExtension.to_json
        damaged = copy.deepcopy(sample)
        *above, last = path
        inner = damaged
        for key in above:
            inner = inner[key]
        wrong: Any = 5 if isinstance(inner[last], dict | list) else {"x": 1}
        inner[last] = wrong
        with pytest.raises(RecordError) as refused:
            cls.from_json(json.dumps(damaged).encode())
        assert str(refused.value).startswith(f"{kind}: {in_words(path, sample)}: ")
        tried += 1
    assert tried >= len(sample)


@pytest.mark.parametrize("kind", ROOM_RECORDS)
def test_what_is_needed_is_missing(kind: str) -> None:
    sample, cls = SAMPLES[kind], ROOM_RECORDS[kind]
    for key in sample.keys() - OPTIONAL.get(kind, set()):
        with pytest.raises(RecordError, match=f"^{kind}: {key}: "):
            cls.from_json(json.dumps({k: v for k, v in sample.items() if k != key}).encode())


@pytest.mark.parametrize(
    ("kind", "path", "value", "why"),
    [
        ("room", "limits.peers", 0, "expected an integer from 1 to 1000000"),
        ("last_n", "n", 1001, "expected an integer from 0 to 1000"),
        ("last_n", "wide", 3, "expected an integer from 0 to 2"),
        ("last_n", "latest", ["a", "b", "a"], "an id is there twice"),
        ("peer", "role", 32, "has unknown bits"),
        ("peer", "hears", "all", "expected one of nothing, speakers, levels"),
        ("peer", "order", -1, "expected an integer from 0 to"),
        ("peer", "id", "", "expected 1 to 256 characters"),
        ("peer", "token", "x" * 257, "expected 0 to 256 characters"),
        ("peer", "pinned", ["x"] * 1001, "expected at most 1000 entries"),
        ("producer", "source", "moon", "expected one of mic, webcam, screen"),
        ("producer", "app_data", {"x": "y" * 10**6}, "expected at most 1000000 bytes of JSON"),
        ("producer", "rtp.kind", "smell", "expected one of audio, video"),
        ("producer", "rtp.params.encodings", [], "expected at least one"),
        ("producer", "rtp.params.encodings", [{"codecPayloadType": 3}], "the media codec"),
        ("producer", "rtp.params.codecs", [], "expected the media codec that the encodings name"),
        ("producer", "rtp.consumable.encodings", [{}], "one has no ssrc"),
        ("producer", "rtp.consumable.encodings", [{"ssrc": 1}] * 4, "expected 1, as in params"),
        ("template", "rtp.params.encodings", [{"ssrc": 1}] * 2, "expected one, with an ssrc"),
        ("capabilities", "codecs.0.kind", "video", "expected audio, as in mimeType"),
        ("template", "rtp.params.encodings", [{}], "expected one, with an ssrc"),
        ("consumer", "ssrc", 0, "expected an integer from 1 to 4294967295"),
        ("consumer", "rtx_ssrc", 2**32, "expected an integer from 1 to 4294967295"),
        ("consumer", "priority", 256, "expected an integer from 1 to 255"),
        ("consumer", "mid", "m" * 65, "expected 1 to 64 bytes"),
        ("consumer", "preferred.spatial", 256, "expected an integer from 0 to 255"),
    ],
)
def test_values_beyond_their_limits(kind: str, path: str, value: Any, why: str) -> None:
    damaged = copy.deepcopy(SAMPLES[kind])
    if kind == "producer":  # one with a single encoding
        single = producer_rtp(0, itertools.count(1).__next__)
        assert len(single.params.encodings) == 1
        damaged["rtp"] = json.loads(json.dumps(producer_to_json(single)))
    *above, last = path.split(".")
    inner = damaged
    for key in above:
        inner = inner[int(key) if key.isdigit() else key]
    inner[last] = value
    with pytest.raises(RecordError) as refused:
        ROOM_RECORDS[kind].from_json(json.dumps(damaged).encode())
    assert str(refused.value).startswith(f"{kind}: {''.join(above[:1])}")
    assert why in str(refused.value)


@given(
    kind=st.sampled_from(sorted(ROOM_RECORDS)),
    at=st.floats(0, 1),
    length=st.integers(0, 30),
    put=st.binary(max_size=12) | st.sampled_from([b"null", b"1e999", b"[]", b"{}", b'"', b"-0.5"]),
)
def test_no_damage_raises_anything_else(kind: str, at: float, length: int, put: bytes) -> None:
    whole = json.dumps(SAMPLES[kind]).encode()
    begin = int(at * len(whole))
    damaged = whole[:begin] + put + whole[begin + length :]
    with contextlib.suppress(RecordError):
        record = ROOM_RECORDS[kind].from_json(damaged)
        assert type(record).from_json(record.to_json()) == record


VERSION_1: dict[str, dict[str, Any]] = json.loads(
    Path(__file__).with_name("room_records_1.json").read_text(encoding="utf-8")
)


@pytest.mark.parametrize("kind", VERSION_1)
def test_records_of_the_first_version_are_read(kind: str) -> None:
    """They were written by a server of that time. If this fails, a field has changed without a new
    version that ``read`` tells from the old one.
    """
    cls, sample = ROOM_RECORDS[kind], VERSION_1[kind]
    record = cls.from_json(json.dumps(sample).encode())
    if cls.VERSION == 1:
        assert json.loads(record.to_json()) == sample


def test_a_limit_that_is_new_is_the_default() -> None:
    sample = copy.deepcopy(SAMPLES["room"])
    del sample["limits"]["pinned_peers"]
    sample["limits"]["peers"] = 7
    record = ROOM_RECORDS["room"].from_json(json.dumps(sample).encode())
    assert record == kinds.RoomRecord("room", 1_795_309_483, RoomLimits(peers=7))

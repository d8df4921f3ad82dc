"""Records of any kind: versions, damage, bytes, notes."""

from collections.abc import Mapping
from typing import ClassVar, Self

import attrs
import pytest

from meet_trio.errors import RecordError
from meet_trio.ortc.fields import Fields, Json
from meet_trio.records import Key, Notes, Record, bytes_to_json, key_text, read_bytes


@attrs.frozen
class Lamp(Record):
    """Version 1 said ``on``; version 2 says how bright it is."""

    KIND: ClassVar[str] = "lamp"
    VERSION: ClassVar[int] = 2

    id: str
    brightness: int

    @property
    def key(self) -> Key:
        return self.KIND, self.id

    def fields(self) -> Mapping[str, Json]:
        return {"id": self.id, "brightness": self.brightness}

    @classmethod
    def read(cls, fields: Fields, version: int) -> Self:
        if version == 1:
            return cls(fields.text("id", 9), 100 if fields.flag("on", False) else 0)
        return cls(fields.text("id", 9), fields.integer("brightness", 0, 100))


def test_a_record_is_read_as_it_was_written() -> None:
    lamp = Lamp("ä/\N{GRINNING FACE}", 7)
    assert Lamp.from_json(lamp.to_json()) == lamp
    assert lamp.to_json().isascii() is False  # it is UTF-8 and compact
    assert Lamp("a", 7).to_json() == b'{"version":2,"id":"a","brightness":7}'
    assert key_text(Lamp("a", 7).key) == "lamp/a"


def test_an_older_version_is_read_and_a_newer_one_refused() -> None:
    assert Lamp.from_json(b'{"version":1,"id":"a","on":true}') == Lamp("a", 100)
    newer = "lamp: version: 3 is of a newer server, this one reads up to 2"
    with pytest.raises(RecordError, match=newer):
        Lamp.from_json(b'{"version":3,"id":"a","brightness":7}')


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (b"", "the record: expected JSON"),
        (b'{"version":2,"id":"a","bright', "the record: expected JSON"),
        (b'{"version":2,"id":"\xff","brightness":7}', "the record: expected JSON"),
        ('{"version":2,"id":"a","brightness":7}'.encode("utf-16"), "the record: expected JSON"),
        (b'{"version":2,"id":"a","brightness":NaN}', "the record: expected JSON"),
        (b'{"version":2,"id":"a","brightness":1' + b"0" * 5000 + b"}", "the record: expected JSON"),
        (b"[" * 100_000, "the record: expected JSON"),
        (b"[]", "the record: expected an object"),
        (b"null", "the record: expected an object"),
        (b"{}", "version: is missing"),
        (b'{"version":0}', "version: expected an integer from 1 to"),
        (b'{"version":true}', "version: expected an integer from 1 to"),
        (b'{"version":2,"id":"a"}', "brightness: is missing"),
        (b'{"version":2,"id":"a","brightness":101}', "brightness: expected an integer from 0 to"),
    ],
)
def test_damage_is_refused_and_named(payload: bytes, why: str) -> None:
    with pytest.raises(RecordError) as refused:
        Lamp.from_json(payload)
    assert str(refused.value).startswith(f"lamp: {why}")


def test_bytes() -> None:
    fields = Fields({"key": bytes_to_json(b"\x00\xff!"), "text": "a*==", "number": 1, "odd": "YQ"})
    assert read_bytes(fields, "key", 3, 3) == b"\x00\xff!"
    for name, shortest, longest, why in (
        ("key", 4, 8, "expected 4 to 8 bytes"),
        ("key", 1, 2, "expected 1 to 2 bytes"),
        ("text", 0, 9, "expected base64"),
        ("odd", 0, 9, "expected base64"),
        ("number", 0, 9, "expected a string"),
        ("gone", 0, 9, "is missing"),
    ):
        with pytest.raises(Exception, match=f"^{name}: {why}$"):
            read_bytes(fields, name, shortest, longest)


def test_each_object_is_noted_once_with_its_last_change() -> None:
    notes = Notes()
    for _ in range(3):
        notes.put(("peer", "a"))
    notes.put(("peer", "b"))
    notes.drop(("peer", "b"))
    notes.drop(("peer", "c"))
    notes.put(("peer", "c"))
    assert notes.take() == ([("peer", "a"), ("peer", "c")], [("peer", "b")])
    assert notes.take() == ([], [])


def test_a_shared_object_is_kept_while_it_has_users() -> None:
    notes, key, thing = Notes(), ("paint", "red"), object()
    notes.use(key, thing)
    notes.use(key, object())  # equal, but not the first
    assert notes.take() == ([key], [])
    assert notes.thing(key) is thing
    notes.release(key)
    assert notes.shared() == [key]
    assert notes.take() == ([], [])
    notes.release(key)
    assert notes.shared() == []
    assert notes.take() == ([], [key])

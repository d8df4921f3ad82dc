"""Records of what outlives the process, and the notes of what has changed since they were written.

A record is one object of the server as a value: a frozen class with a kind, a version and a key. It
is written as compact JSON. A later process reads it, and that process may be of another version, or
the file may be damaged. So reading trusts nothing: it gives a record whose fields have the declared
types and are within limits, or raises ``RecordError``. Records of older versions are read, those of
newer versions are refused.

Objects change in many places, and a record is made only when it is written. So the owner of the
objects notes the keys of those that have changed (``Notes``), and takes them all at once: an object
that has changed ten times is written once.
"""

import base64
import binascii
import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Container, Iterator, Mapping
from typing import ClassVar, NoReturn, Protocol, Self, TypeAlias

import attrs

from meet_trio.errors import BadRequest, RecordError
from meet_trio.json_text import to_text
from meet_trio.ortc.fields import Fields, Json

logger = logging.getLogger("meet_trio.records")

Key: TypeAlias = tuple[str, ...]
"""What names a record: its kind, and the ids of its object. Ids have no slash."""


class Record(ABC):
    """The base of all records. ``KIND`` is the first part of the key. ``VERSION`` is that of the
    fields: it rises when a reader of the present version could not read them.
    """

    __slots__ = ()
    KIND: ClassVar[str]
    VERSION: ClassVar[int]

    @property
    @abstractmethod
    def key(self) -> Key:
        """The key, in which ``KIND`` comes first."""

    @abstractmethod
    def fields(self) -> Mapping[str, Json]:
        """The values as JSON, for ``read``."""

    @classmethod
    @abstractmethod
    def read(cls, fields: Fields, version: int) -> Self:
        """The record from fields of ``version``, which is 1 to ``VERSION``. Raises BadRequest."""

    def to_json(self) -> bytes:
        return to_text({"version": self.VERSION, **self.fields()}).encode()

    @classmethod
    def from_json(cls, payload: bytes) -> Self:
        """The record. Raises ``RecordError``, which names the kind and the field."""
        try:
            fields = Fields(Fields.of(_parse(payload), "the record").data)
            version = fields.integer("version", 1, 2**31)
            if version > cls.VERSION:
                fields.fail(
                    "version",
                    f"{version} is of a newer server, this one reads up to {cls.VERSION}",
                )
            return cls.read(fields, version)
        except BadRequest as error:
            raise RecordError(f"{cls.KIND}: {error}") from None


class RecordStore(Protocol):
    """Where records are kept by key."""

    def put(self, key: str, payload: bytes) -> None:
        """Raises ValueError for what it has no place for."""

    def drop(self, key: str) -> None: ...

    def flush(self) -> None:
        """Write what was put and dropped."""


def read_records(
    entries: Mapping[str, bytes], kinds: Mapping[str, type[Record]], lost: list[str]
) -> Iterator[Record]:
    """The records of the entries that a process before has kept. Those that cannot be read are left
    out, logged, and named in ``lost``.
    """
    for key, payload in entries.items():
        try:
            record = read_record(key, payload, kinds)
        except RecordError as error:
            logger.warning("left out: %s: %s", key, error)
            lost.append(f"{key}: {error}")
        else:
            yield record


def read_record(key: str, payload: bytes, kinds: Mapping[str, type[Record]]) -> Record:
    """The record of an entry. Raises RecordError."""
    kind = kinds.get(key.partition("/")[0])
    if kind is None:
        raise RecordError("of an unknown kind")
    record = kind.from_json(payload)
    if key_text(record.key) != key:
        raise RecordError(f"it is the record of {key_text(record.key)}")
    return record


def of_kinds(entries: Mapping[str, bytes], kinds: Container[str]) -> dict[str, bytes]:
    """The entries of these kinds."""
    return {key: value for key, value in entries.items() if key.partition("/")[0] in kinds}


def key_text(key: Key) -> str:
    """A key as the log of a directory has it."""
    return "/".join(key)


def bytes_to_json(value: bytes) -> str:
    """Bytes as a field: base64 (RFC 4648 section 4)."""
    return base64.b64encode(value).decode()


def read_bytes(fields: Fields, key: str, shortest: int, longest: int) -> bytes:
    """The field ``key``: ``shortest`` to ``longest`` bytes. Raises BadRequest."""
    text = fields.text(key, 4 * -(-longest // 3))
    try:
        value = base64.b64decode(text, validate=True)
    except binascii.Error:
        fields.fail(key, "expected base64")
    if not shortest <= len(value) <= longest:
        fields.fail(key, f"expected {shortest} to {longest} bytes")
    return value


def _parse(payload: bytes) -> object:
    try:
        return json.loads(payload.decode(), parse_constant=_refuse)
    except (ValueError, RecursionError):  # not UTF-8, not JSON, or too deep
        raise BadRequest("the record: expected JSON") from None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)  # NaN and Infinity are Python's, not JSON's


@attrs.define(eq=False)
class Notes:
    """The keys of the objects that were added or changed, and of those that were removed, since
    they were taken last. There is one entry for each key, so they need no more memory than there
    are objects and removals in one turn.

    Some records are shared: others name them instead of repeating them. ``use`` and ``release``
    count the users of a shared object. It is noted with its first user, and removed with its last.
    """

    _noted: dict[Key, bool] = attrs.field(factory=dict)  # whether it is still there
    _shared: dict[Key, tuple[object, int]] = attrs.field(factory=dict)  # with the number of users

    def put(self, key: Key) -> None:
        """The object was added or has changed."""
        self._noted[key] = True

    def drop(self, key: Key) -> None:
        """The object was removed."""
        self._noted[key] = False

    def use(self, key: Key, thing: object) -> None:
        """One more user of the shared object ``thing``. The first user's object is kept."""
        kept, users = self._shared.get(key, (thing, 0))
        self._shared[key] = kept, users + 1
        if not users:
            self.put(key)

    def release(self, key: Key) -> None:
        """One user less."""
        kept, users = self._shared.pop(key)
        if users > 1:
            self._shared[key] = kept, users - 1
        else:
            self.drop(key)

    def shared(self) -> list[Key]:
        """The keys of the shared objects that have users."""
        return list(self._shared)

    def thing(self, key: Key) -> object:
        """The shared object with this key."""
        return self._shared[key][0]

    def take(self) -> tuple[list[Key], list[Key]]:
        """The keys that were added or changed, and those that were removed. They are noted no
        longer.
        """
        noted, self._noted = self._noted, {}
        return (
            [key for key, there in noted.items() if there],
            [key for key, there in noted.items() if not there],
        )


@attrs.frozen
class Changes:
    """What is to be written: the records of the objects that were added or changed, and the keys of
    those that were removed. No key is in both.
    """

    records: tuple[Record, ...] = ()
    removed: tuple[Key, ...] = ()

"""Reads JSON of the other side, one field at a time. Each error names the field.

``Fields`` wraps one JSON object and its name for error messages. A method returns a value of the
declared type within the given limits, or raises ``BadRequest`` with a message like
``rtpParameters.encodings[1].ssrc: expected an integer from 1 to 4294967295``. ``null`` means the
same as a missing key. Unknown keys are ignored. No function here recurses as deep as the other side
nests its JSON.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn, TypeAlias, TypeVar

import attrs

from meet_trio.errors import BadRequest

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"
_T = TypeVar("_T")


@attrs.frozen
class Fields:
    """A JSON object of the other side; ``where`` is its name in error messages ("" for none)."""

    data: Mapping[str, object]
    where: str = ""

    @classmethod
    def of(cls, data: object, where: str) -> "Fields":
        """Wrap ``data``, which has to be an object."""
        if not isinstance(data, dict):
            raise BadRequest(f"{where}: expected an object")
        return cls(data, where)

    def fail(self, key: str, why: str) -> NoReturn:
        raise BadRequest(f"{self.path(key)}: {why}")

    def path(self, key: str) -> str:
        return f"{self.where}.{key}" if self.where else key

    def required(self, key: str, value: _T | None) -> _T:
        if value is None:
            self.fail(key, "is missing")
        return value

    def opt_text(self, key: str, longest: int, shortest: int = 0) -> str | None:
        """A string of ``shortest`` to ``longest`` characters."""
        value = self._opt_string(key)
        if value is not None and not shortest <= len(value) <= longest:
            self.fail(key, f"expected {shortest} to {longest} characters")
        return value

    def text(self, key: str, longest: int, shortest: int = 0) -> str:
        return self.required(key, self.opt_text(key, longest, shortest))

    def opt_name(self, key: str, longest: int, shortest: int = 1) -> str | None:
        """A string of ``shortest`` to ``longest`` bytes of UTF-8 with printable characters only:
        for values that the engine keeps, or that other clients write into a line of their SDP.
        """
        value = self._opt_string(key)
        if value is None:
            return None
        if not shortest <= len(value.encode()) <= longest:
            self.fail(key, f"expected {shortest} to {longest} bytes")
        if not value.isprintable():
            self.fail(key, "contains what cannot be printed")
        return value

    def name(self, key: str, longest: int, shortest: int = 1) -> str:
        return self.required(key, self.opt_name(key, longest, shortest))

    def _opt_string(self, key: str) -> str | None:
        value = self.data.get(key)
        if value is None:
            return None
        if not isinstance(value, str):
            self.fail(key, "expected a string")
        if not is_sendable(value):
            self.fail(key, "contains half of a surrogate pair")
        return value

    def opt_integer(self, key: str, lowest: int, highest: int) -> int | None:
        """An integer. A float without a fraction is one too: JSON does not tell them apart."""
        value = self.data.get(key)
        if value is None:
            return None
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value <= highest:
            self.fail(key, f"expected an integer from {lowest} to {highest}")
        return value

    def integer(self, key: str, lowest: int, highest: int) -> int:
        return self.required(key, self.opt_integer(key, lowest, highest))

    def opt_number(self, key: str) -> int | float | None:
        """A finite number that is not negative."""
        value = self.data.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.fail(key, "expected a number")
        if not (0 <= value < 2**63 and math.isfinite(value)):
            self.fail(key, "expected a number from 0 to 2^63")
        return value

    def opt_flag(self, key: str) -> bool | None:
        value = self.data.get(key)
        if not (value is None or isinstance(value, bool)):
            self.fail(key, "expected true or false")
        return value

    def flag(self, key: str, default: bool) -> bool:
        value = self.opt_flag(key)
        return default if value is None else value

    def choice(self, key: str, choices: Sequence[str]) -> str:
        value = self.data.get(key)
        if not isinstance(value, str) or value not in choices:
            self.fail(key, f"expected one of {', '.join(choices)}")
        return value

    def opt_object(self, key: str) -> "Fields | None":
        value = self.data.get(key)
        return None if value is None else Fields.of(value, self.path(key))

    def object(self, key: str) -> "Fields":
        return self.required(key, self.opt_object(key))

    def each(self, key: str, most: int, parse: "Callable[[Fields], _T]") -> tuple[_T, ...]:
        """The parsed objects of a list with at most ``most`` entries. A missing list is empty."""
        value = self.data.get(key)
        if value is None:
            return ()
        if not isinstance(value, list):
            self.fail(key, "expected a list")
        if len(value) > most:
            self.fail(key, f"expected at most {most} entries")
        return tuple(
            parse(Fields.of(item, f"{self.path(key)}[{index}]")) for index, item in enumerate(value)
        )

    def texts(self, key: str, most: int, longest: int) -> frozenset[str]:
        """Up to ``most`` strings of 1 to ``longest`` characters. Repeated ones count once."""
        value = self.required(key, self.data.get(key))
        if not isinstance(value, list):
            self.fail(key, "expected a list")
        if len(value) > most:
            self.fail(key, f"expected at most {most} entries")
        entries = Fields({str(index): item for index, item in enumerate(value)}, self.path(key))
        return frozenset(entries.text(str(index), longest, 1) for index in range(len(value)))

    def json(self, key: str, largest: int) -> Json:
        """Any JSON value of at most ``largest`` bytes, unchanged. It can be written as JSON again,
        so it can be sent to other clients.
        """
        value = self.data.get(key)
        try:
            size = len(json.dumps(value, allow_nan=False, ensure_ascii=False).encode())
        except (ValueError, RecursionError):
            self.fail(key, "cannot be written as JSON")
        if size > largest:
            self.fail(key, f"expected at most {largest} bytes of JSON")
        return value  # type: ignore[return-value]  # json.dumps has accepted all of it


def is_sendable(text: str) -> bool:
    """False if ``text`` has a lone surrogate: JSON can contain one, UTF-8 cannot encode it."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True

"""Kinds of values, and the parser of each.

A ``Kind`` parses a string of a flag or a variable, or a TOML value. For an invalid value it raises
a ``ValueError`` whose text says what is wanted. Kinds of addresses are in ``addresses``.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import attrs


@attrs.frozen
class Kind:
    """``wanted`` completes the sentence "… is wanted"; the documentation shows it too. ``read``
    raises ValueError, with or without a text. ``switch``: the flag takes no value.
    """

    wanted: str
    read: Callable[[object], object]
    switch: bool = False

    def __call__(self, raw: object) -> object:
        """The parsed value. Raises ValueError with a text."""
        try:
            return self.read(raw)
        except ValueError as error:
            raise ValueError(str(error) or f"{self.wanted} is wanted") from None


def read_text(raw: object) -> str:
    """``raw`` without blanks at its ends. Raises ValueError if it is empty or not printable."""
    if not isinstance(raw, str) or not raw.strip() or not raw.isprintable():
        raise ValueError
    return raw.strip()


def _number(raw: object) -> float:
    # bool is a subclass of int, but ``true`` is no number.
    if isinstance(raw, bool) or not isinstance(raw, str | int | float):
        raise ValueError
    try:
        number = float(raw)
    except ValueError:
        raise ValueError from None
    if number != number or number in (float("inf"), float("-inf")):
        raise ValueError
    return number


def seconds(least: float, most: float) -> Kind:
    return Kind(f"a number of seconds from {least:g} to {most:g}", number(least, most).read)


def whole(least: int, most: int, unit: str = "") -> Kind:
    def read(raw: object) -> int:
        number = _number(raw)
        if number != int(number) or not least <= number <= most:
            raise ValueError
        return int(number)

    of = f" of {unit}" if unit else ""
    return Kind(f"a whole number{of} from {least} to {most}", read)


def number(least: float, most: float) -> Kind:
    def read(raw: object) -> float:
        value = _number(raw)
        if not least <= value <= most:
            raise ValueError
        return value

    return Kind(f"a number from {least:g} to {most:g}", read)


def one_of(*words: str) -> Kind:
    def read(raw: object) -> str:
        # In TOML and YAML, on and off are often written as booleans.
        if isinstance(raw, bool) and {"on", "off"} <= set(words):
            return "on" if raw else "off"
        word = read_text(raw).lower()
        if word not in words:
            raise ValueError
        return word

    return Kind("one of " + ", ".join(words), read)


def or_none(kind: Kind) -> Kind:
    """``kind``, or None for the word ``none``, which variables of the original server accept."""

    def read(raw: object) -> object:
        if isinstance(raw, str) and raw.strip().lower() == "none":
            return None
        return kind(raw)

    return Kind(f"{kind.wanted}, or none,", read)


_SWITCH = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}


def _switch(raw: object) -> bool:
    if isinstance(raw, bool):
        return raw
    word = str(raw).strip().lower()
    if word not in _SWITCH:
        raise ValueError
    return _SWITCH[word]


def read_items(raw: object) -> Sequence[object]:
    """The items of a TOML list, or of a text with commas, from a variable or a flag."""
    items = raw.split(",") if isinstance(raw, str) else raw
    if not isinstance(items, list | tuple):
        raise ValueError
    return items


def list_of(kind: Kind, wanted: str) -> Kind:
    """A kind for one or several values of ``kind``. Repeated values are dropped."""

    def read(raw: object) -> tuple[object, ...]:
        found = tuple(dict.fromkeys(kind(item) for item in read_items(raw)))
        if not found:
            raise ValueError
        return found

    return Kind(f"{wanted} (several: separated by commas)", read)


def _token(raw: object) -> str:
    text = read_text(raw)
    if not text.isascii() or " " in text:
        raise ValueError
    return text


def _existing_file(raw: object) -> Path:
    path = Path(read_text(raw)).expanduser()
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    return path


def _new_file(raw: object) -> Path:
    path = Path(read_text(raw)).expanduser()
    if path.is_dir() or not path.parent.is_dir():
        raise ValueError("a file in a folder that exists is wanted")
    return path


TEXT = Kind("a text", read_text)
SWITCH = Kind("on or off", _switch, switch=True)
TOKEN = Kind("a token of ASCII characters without spaces", _token)
FILE = Kind("the path of a file", _existing_file)
NEW_FILE = Kind("the path of a file that may not exist yet", _new_file)

"""The lines of the log: one for each record, escaped and of limited length.

Methods, names and paths in a record may come from clients. So no character of them ends a line,
controls a terminal or changes the direction of writing, and no line has more than ``MOST_BYTES``
bytes. Callers of a logger need not care about that.

    console_line   time, level, part, text, fields; the lines of a traceback follow, each behind a
                   bar
    json_line      one JSON object: time, level, part, event, the fields, and a traceback as
                   ``exception``

A field is an id or a figure, which the record has beside its text.
"""

import bisect
import functools
import json
import logging
import math
import re
import time
import traceback
from collections.abc import Callable, Mapping
from typing import Any, Final

MOST_BYTES = 4096
"""The most bytes of UTF-8 in one line. A traceback has eight lines' bytes on the console. In JSON
its beginning and its end have what the line has room for.
"""
_MOST_FIELD = 200  # characters of one field
_MOST_FIELDS = 3072  # bytes of all fields on the console
_IDS = ("room", "peer", "transport")  # which come first

_OWN: Final = frozenset(logging.makeLogRecord({}).__dict__)
"""The attributes that each record has. Any other is of ``extra``, or of another handler."""
_NO_FIELDS: Final = _OWN | {"message", "asctime", "event"}

# characters that end a line, control a terminal, or change the direction of writing
_UNPRINTABLE = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def one_line(text: str, most: int = MOST_BYTES) -> str:
    """``text`` with control characters escaped, and cut at ``most`` bytes of UTF-8. If it is cut,
    the number of its characters is added.
    """
    if len(text) <= most and text.isascii() and text.isprintable():
        return text
    shown = _UNPRINTABLE.sub(_escape, text[:most])
    encoded = shown.encode()
    if len(encoded) <= most and len(text) <= most:
        return shown
    shown = encoded[:most].decode(errors="ignore")
    return f"{shown}… ({len(text)} characters in all)"


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    return {"\n": r"\n", "\r": r"\r", "\t": r"\t"}.get(
        found[0], f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
    )


def _fields(record: logging.LogRecord, ids: Mapping[str, object]) -> Mapping[str, object]:
    """The ids of the record's task and what its ``extra`` has, as JSON has them. The ids come
    first.
    """
    given = ids
    if len(record.__dict__) != len(_OWN):  # there is an ``extra``, or another handler's attribute
        extra = {name: value for name, value in record.__dict__.items() if name not in _NO_FIELDS}
        given = {**ids, **extra}
    fields = {name: _plain(given[name]) for name in _IDS if name in given}
    if len(fields) < len(given):
        fields |= {name: _plain(value) for name, value in given.items() if name not in fields}
    return fields


def _exception(record: logging.LogRecord) -> list[str]:
    """A traceback, escaped line by line."""
    if not (record.exc_info or record.stack_info):
        return []
    return [*_traceback(record.exc_info), *_lines(record.stack_info)]


def _plain(value: object) -> object:
    """A value as JSON has it. What is neither a number nor a container of ours is a text."""
    if type(value) is str:
        return one_line(value, _MOST_FIELD)
    if value is None or isinstance(value, bool | int | dict):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    return one_line(str(value), _MOST_FIELD)


def _traceback(error: Any) -> list[str]:
    if not error:
        return []
    return _lines("".join(traceback.format_exception(*error)).removesuffix("\n"))


def _lines(text: str | None) -> list[str]:
    if not text:
        return []
    most = 8 * MOST_BYTES
    if len(text) > most:  # the beginning has the outermost calls, the end has the error
        text = f"{text[: most // 2]}\n…\n{text[-most // 2 :]}"
    return [one_line(line, MOST_BYTES - 50) for line in text.split("\n")]


def console_line(record: logging.LogRecord, ids: Mapping[str, object]) -> str:
    """The line, and those of a traceback, for people. ``ids`` are those of the record's task."""
    when = _local_time(int(record.created))
    head = f"{when},{_milliseconds(record)} {record.levelname:<7} {record.name}: "
    tail = _console_fields(_fields(record, ids))
    room = MOST_BYTES - len(head) - _length(tail) - 40  # "… (900000 characters in all)"
    first = f"{head}{one_line(record.getMessage(), room)}{tail}"
    if exception := _exception(record):
        return "\n".join([first, *(f"  | {each}" for each in exception)])
    return first


def _console_fields(fields: Mapping[str, object]) -> str:
    if not fields:
        return ""
    shown, length = "", 0
    for count, (name, value) in enumerate(fields.items()):
        more = f" {name}={json.dumps(value, default=str) if isinstance(value, dict) else value}"
        length += _length(more)
        if length > _MOST_FIELDS:
            return f"{shown} and {len(fields) - count} more"
        shown += more
    return f" {shown}"


def _length(text: str) -> int:
    """Bytes of UTF-8."""
    return len(text) if text.isascii() else len(text.encode())


def json_line(record: logging.LogRecord, ids: Mapping[str, object]) -> str:
    """The line as JSON. It is valid JSON at any length of its parts."""
    when = _universal_time(int(record.created))
    head: dict[str, object] = {
        "time": f"{when}.{_milliseconds(record)}Z",
        "level": record.levelname.lower(),
        "part": record.name,
    }
    event = one_line(record.getMessage())
    fields = {
        name if name not in head else f"{name}_": value
        for name, value in _fields(record, ids).items()
    }
    whole: dict[str, object] = {**head, "event": event, **fields}
    exception = "\n".join(_exception(record)) or None
    if exception is not None:
        whole["exception"] = exception
    line = _json(whole)
    if _length(line) <= MOST_BYTES:
        return line
    return _json(_fitted(head, event, fields, exception))


def _fitted(
    head: Mapping[str, object], event: str, fields: Mapping[str, object], exception: str | None
) -> dict[str, object]:
    """The parts of a line that is too long, cut so that it fits: the text to a third of the line,
    the exception to what is left. Fields that do not fit are counted in ``left_out``.
    """
    room = MOST_BYTES - _size(head)
    out = {**head, "event": _beginning(event, room // 3)}
    kept_for_exception = 0 if exception is None else room // 3
    left_out = 0
    for name, value in fields.items():
        if _size({**out, name: value}) + kept_for_exception + 30 > MOST_BYTES:
            left_out += 1
        else:
            out[name] = value
    if left_out:
        out["left_out"] = left_out
    if exception is not None:
        room = MOST_BYTES - _size(out) - len(', "exception": ')
        head_of_it = _beginning(exception, room // 4)
        if head_of_it != exception:
            rest = room - _size(head_of_it) - 10
            exception = f"{head_of_it}\n…\n{_end(exception, rest)}"
        out["exception"] = exception
    return out


_json: Final = json.JSONEncoder(ensure_ascii=False, default=str).encode


def _size(value: object) -> int:
    return len(_json(value).encode())


def _beginning(text: str, most: int) -> str:
    """The longest beginning whose JSON has ``most`` bytes at most."""
    return text[: _longest(lambda length: text[:length], len(text), most)]


def _end(text: str, most: int) -> str:
    length = _longest(lambda length: text[len(text) - length :], len(text), most)
    return text[len(text) - length :]


def _longest(part: Callable[[int], str], length: int, most: int) -> int:
    return bisect.bisect_right(range(1, min(length, most) + 1), most, key=lambda n: _size(part(n)))


def _milliseconds(record: logging.LogRecord) -> str:
    return f"{int(record.created * 1000) % 1000:03d}"


@functools.lru_cache(maxsize=1)  # many records come in one second
def _local_time(second: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(second))


@functools.lru_cache(maxsize=1)
def _universal_time(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))

"""The protocol of the console: a JSON object in each line, UTF-8, ended by a line feed.

The server speaks first:

    {"server": "meet-trio", "version": "0.1.0", "protocol": 1}

The client sends one command at a time, and may cancel the one that runs:

    {"id": 1, "command": "statsTransport", "arguments": ["3f83"]}
    {"id": 1, "cancel": true}

The server answers each command with its form, any number of items, and one end:

    {"id": 1, "form": "object"}
    {"id": 1, "item": …}
    {"id": 1, "done": true}         or  {"id": 1, "error": "…", "usage": false}

``usage`` true says that the command or its arguments are wrong; otherwise the command failed. An
error without ``id`` is about the connection, which ends after it. ``docs/console.md`` describes it
for other clients.
"""

import json
from typing import Any, Literal, TypeAlias

VERSION = 1

Form: TypeAlias = Literal["object", "objects", "table", "counts", "text", "sentences", "file"]
"""How a person wants the items shown: ``object`` is one item as JSON and ``objects`` are several,
``table`` has one row for each item, ``counts`` is one item as lines ``key:value``, and the items of
``text`` are strings. ``sentences`` is one item with ``sentences`` among its members. The items of
``file`` are pieces of a file as base64 (RFC 4648 §4), and after them what was written, in words.
"""


class MalformedLine(ValueError):
    """A line is no JSON object."""


def encode(message: dict[str, Any]) -> bytes:
    """One line."""
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def decode_untrusted(line: bytes) -> dict[str, Any]:
    """The object of one line. Raises MalformedLine."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        raise MalformedLine("not JSON") from None
    if not isinstance(message, dict):
        raise MalformedLine("not a JSON object")
    return message

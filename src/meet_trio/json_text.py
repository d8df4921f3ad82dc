"""JSON for clients: its writer, and values that are text already.

The writer writes nothing that Python accepts and JavaScript does not: lone surrogates are escaped,
and numbers that are not finite raise ValueError.
"""

import json
import re
from collections.abc import Callable
from typing import Final

import attrs

_SURROGATE: Final = re.compile("[\ud800-\udfff]")


@attrs.frozen
class JsonText:
    """One JSON value as ``to_text`` has written it, or joined of such texts. An answer whose parts
    stay the same is joined instead of written anew.
    """

    text: str


def to_text(data: object, default: Callable[[object], object] | None = None) -> str:
    """``data`` as compact JSON. ``default`` gives a value for what is no JSON.

    Raises TypeError for what is no JSON, ValueError for numbers that are not finite and for
    circular data.
    """
    text = json.dumps(
        data, default=default, ensure_ascii=False, allow_nan=False, separators=(",", ":")
    )
    if not text.isascii():
        text = _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
    return text

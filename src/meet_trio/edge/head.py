"""The head of an HTTP request, as the front door parses it.

The front door only decides which code serves a request and which client sent it. That code parses
the head again. The parser here rejects a head that two parsers might read differently: folded
lines, line ends without CR, spaces around names (RFC 9112 §2.2, §5.1, §5.2). Otherwise a header
could name the client to one parser and be part of another header to the next.
"""

import re
from collections.abc import Mapping

import attrs
from starlette.types import Scope

_FIELD = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n\0]*)")
_REQUEST_LINE = re.compile(r"([!-~]+) ([!-~]+) HTTP/1\.[01]")


@attrs.frozen
class RequestHead:
    """The parts of a head, decoded as latin-1. The names in ``headers`` are in lower case; the
    values of repeated fields are joined with commas, in their order (RFC 9110 §5.3).
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]

    @property
    def asks_for_websocket(self) -> bool:
        """Whether it opens a websocket (RFC 6455 §4.1)."""
        return self.method == "GET" and "websocket" in self.headers.get("upgrade", "").lower()


def parse_head_untrusted(head: bytes) -> RequestHead | None:
    """The parsed head; None if it is no plain HTTP/1.1 request, which Hypercorn then answers."""
    request_line, *lines = head.decode("latin-1").strip("\r\n").split("\r\n")
    request = _REQUEST_LINE.fullmatch(request_line)
    if request is None:
        return None
    headers: dict[str, str] = {}
    for line in lines:
        field = _FIELD.fullmatch(line)
        if field is None:
            return None
        _add_field(headers, field[1], field[2])
    path, _, query = request[2].partition("?")
    return RequestHead(request[1], path, query, headers)


def head_of_scope(scope: Scope) -> RequestHead:
    """The head of a request that an ASGI server has parsed."""
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        _add_field(headers, name.decode("latin-1"), value.decode("latin-1"))
    query = scope["query_string"].decode("latin-1")
    return RequestHead(scope["method"], scope["path"], query, headers)


def _add_field(headers: dict[str, str], name: str, value: str) -> None:
    name, value = name.lower(), value.strip(" \t")
    headers[name] = f"{headers[name]}, {value}" if name in headers else value

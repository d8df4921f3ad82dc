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

# One way to match each text, so the time is linear in its length.
_HEAD = re.compile(r"([!-~]+) ([!-~]+) HTTP/1\.[01](?:\r\n[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\r\n\0]*)*")


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
    def target(self) -> str:
        """The request target (RFC 9112 §3.2)."""
        return f"{self.path}?{self.query}"

    @property
    def asks_for_websocket(self) -> bool:
        """Whether it opens a websocket (RFC 6455 §4.1)."""
        return self.method == "GET" and "websocket" in self.headers.get("upgrade", "").lower()


def parse_head_untrusted(head: bytes) -> RequestHead | None:
    """The parsed head; None if it is no plain HTTP/1.1 request, which Hypercorn then answers."""
    text = head.decode("latin-1").strip("\r\n")
    request = _HEAD.fullmatch(text)
    if request is None:
        return None
    headers: dict[str, str] = {}
    for line in text.split("\r\n")[1:]:
        name, _, value = line.partition(":")
        name, value = name.lower(), value.strip(" \t")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    path, _, query = request[2].partition("?")
    return RequestHead(request[1], path, query, headers)


def head_of_scope(scope: Scope) -> RequestHead:
    """The head of a request that h11 has parsed: names are in lower case, values are stripped."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = str(raw_name, "latin-1"), str(raw_value, "latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    query = str(scope["query_string"], "latin-1")
    return RequestHead(scope["method"], scope["path"], query, headers)

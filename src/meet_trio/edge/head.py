"""What the front door needs to know of a request before anybody serves it: the head, read
leniently.

It decides who gets a request and whom it is from, no more. Who serves it reads it again, strictly.
"""

from collections.abc import Iterable, Mapping

import attrs
from starlette.types import Scope


@attrs.frozen
class RequestHead:
    """``headers``: names in lower case; values of repeated fields joined with commas, in their
    order (RFC 9110 §5.3). All of it is decoded as latin-1.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]

    @property
    def asks_for_websocket(self) -> bool:
        """RFC 6455 §4.1."""
        return self.method == "GET" and "websocket" in self.headers.get("upgrade", "").lower()


def parse_head_untrusted(head: bytes) -> RequestHead | None:
    """None for what is no request at all; who serves it says what is wrong."""
    request_line, *lines = head.decode("latin-1").lstrip("\r\n").split("\r\n")
    parts = request_line.split(" ")
    if len(parts) != 3:
        return None
    method, target, _ = parts
    fields = (line.partition(":") for line in lines)
    headers = _joined((name, value) for name, colon, value in fields if colon)
    path, _, query = target.partition("?")
    return RequestHead(method, path, query, headers)


def head_of_scope(scope: Scope) -> RequestHead:
    """The same of a request that an ASGI server has read."""
    fields = ((name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"])
    query = scope["query_string"].decode("latin-1")
    return RequestHead(scope["method"], scope["path"], query, _joined(fields))


def _joined(fields: Iterable[tuple[str, str]]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in fields:
        name, value = name.strip().lower(), value.strip()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers

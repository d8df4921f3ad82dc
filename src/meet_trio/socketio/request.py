"""The parser of a client's HTTP request, Engine.IO's errors for a bad one, and CORS.

An error is status 400 (Forbidden: 403) with the body ``{"code":<n>,"message":<text>}``. The codes
and texts are those of Engine.IO. No I/O here, and no look at the client's credentials.
"""

import json
from collections.abc import Mapping
from typing import Literal
from urllib.parse import parse_qsl, unquote

from meet_trio.socketio.errors import ProtocolError
from meet_trio.socketio.settings import Handshake, Settings

MAX_QUERY_FIELDS = 64

UNKNOWN_TRANSPORT = (0, "Transport unknown")
UNKNOWN_SID = (1, "Session ID unknown")
BAD_METHOD = (2, "Bad handshake method")
BAD_REQUEST = (3, "Bad request")
FORBIDDEN = (4, "Forbidden")
UNSUPPORTED_VERSION = (5, "Unsupported protocol version")


class RequestRefused(Exception):
    """The request is refused; ``status`` and ``body`` (JSON) are the answer."""

    def __init__(self, error: tuple[int, str]) -> None:
        super().__init__(error[1])
        code, message = error
        self.status = 403 if error is FORBIDDEN else 400
        self.body = json.dumps({"code": code, "message": message}, separators=(",", ":")).encode()


def parse_request_untrusted(
    target: str,
    headers: Mapping[str, str],
    client: str,
    transport: Literal["polling", "websocket"],
) -> tuple[Handshake, str | None]:
    """The handshake and the session id, if any, of a request that came by ``transport``. Raises
    RequestRefused.
    """
    path, _, query_string = target.partition("?")
    try:
        query = parse_query_untrusted(query_string)
    except ProtocolError:
        raise RequestRefused(BAD_REQUEST) from None
    asked = query.get("transport")
    if asked not in ("polling", "websocket"):
        raise RequestRefused(UNKNOWN_TRANSPORT)
    if asked != transport:
        raise RequestRefused(BAD_REQUEST)
    if query.get("EIO") not in ("3", "4"):
        raise RequestRefused(UNSUPPORTED_VERSION)
    handshake = Handshake(
        unquote(path), query, headers, client, eio=3 if query["EIO"] == "3" else 4
    )
    return handshake, query.get("sid")


def parse_query_untrusted(query: str) -> dict[str, str]:
    """The fields of a query; a repeated field has its first value. Raises ProtocolError."""
    try:
        fields = parse_qsl(query, keep_blank_values=True, max_num_fields=MAX_QUERY_FIELDS)
    except ValueError:
        raise ProtocolError("too many fields in a query") from None
    values: dict[str, str] = {}
    for name, value in fields:
        values.setdefault(name, value)
    return values


def check_origin(settings: Settings, origin: str | None) -> None:
    """Raises RequestRefused for a page that is not allowed. Clients other than browsers send no
    origin and are allowed.
    """
    allowed = settings.origins
    if origin is not None and allowed is not None and not allowed & {"*", origin}:
        raise RequestRefused(FORBIDDEN)


def cors_headers(
    settings: Settings, origin: str | None, *, preflight: bool
) -> list[tuple[bytes, bytes]]:
    """The headers that allow a page of another origin to read the answer (Fetch standard, CORS
    protocol). Names are in lower case.
    """
    allowed = settings.origins
    if origin is None or allowed is None or not allowed & {"*", origin}:
        return []
    if origin in allowed:
        headers = [
            (b"access-control-allow-origin", origin.encode("latin-1")),
            (b"access-control-allow-credentials", b"true"),
            (b"vary", b"Origin"),
        ]
    else:
        headers = [(b"access-control-allow-origin", b"*")]
    if preflight:
        headers += [
            (b"access-control-allow-methods", b"GET, POST"),
            (b"access-control-allow-headers", b"content-type"),
            (b"access-control-max-age", b"600"),
        ]
    return headers

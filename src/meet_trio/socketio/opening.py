"""The opening handshake of a websocket (RFC 6455 §4.2): what a request's head must say, and the
answers to it. No I/O, no clock.

``read_head`` is for streams whose head nobody has read. It lets h11 parse it, as trio-websocket
does.
"""

import base64
import binascii
import hashlib
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

import attrs
import h11
import trio

from meet_trio.socketio.request import BAD_REQUEST, RequestRefused

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_VERSION: Final = "13"
_READ_SIZE: Final = 4096  # bytes that are read at once


@attrs.frozen
class Head:
    """The head of a GET. The names in ``headers`` are in lower case; values of repeated fields are
    joined with commas (RFC 9110 §5.3). ``rest`` came behind the head.
    """

    target: str
    headers: Mapping[str, str]
    rest: bytes


async def read_head(stream: trio.abc.Stream) -> Head | None:
    """The head of the request on a stream; None if the stream ends first. Raises RequestRefused,
    and what the stream raises.
    """
    parser = h11.Connection(h11.SERVER)
    try:
        while not isinstance(event := parser.next_event(), h11.Request):
            data = await stream.receive_some(_READ_SIZE)
            if not data:
                return None
            parser.receive_data(bytes(data))
    except h11.RemoteProtocolError:
        raise RequestRefused(BAD_REQUEST) from None
    if event.method != b"GET":
        raise RequestRefused(BAD_REQUEST)
    headers: dict[str, str] = {}
    for raw_name, raw_value in event.headers:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return Head(event.target.decode("latin-1"), headers, parser.trailing_data[0])


def accept_untrusted(headers: Mapping[str, str]) -> bytes:
    """The answer that opens the websocket. Raises RequestRefused.

    No subprotocol and no extension is chosen. A request with a body is refused: the body would be
    read as frames.
    """
    key = headers.get("sec-websocket-key", "")
    try:
        nonce = base64.b64decode(key, validate=True)
    except (binascii.Error, ValueError):
        nonce = b""
    tokens = [token.strip() for token in headers.get("connection", "").lower().split(",")]
    if (
        len(nonce) != 16
        or "upgrade" not in tokens
        or headers.get("upgrade", "").lower() != "websocket"
        or headers.get("sec-websocket-version") != _VERSION
        or "host" not in headers
        or headers.get("content-length", "0") != "0"
        or "transfer-encoding" in headers
    ):
        raise RequestRefused(BAD_REQUEST)
    proof = base64.b64encode(hashlib.sha1(key.encode() + _GUID, usedforsecurity=False).digest())
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + proof + b"\r\n\r\n"
    )


def refusal(error: RequestRefused) -> bytes:
    """The answer to a request that is refused. It names the version that is spoken here, as a
    client of another one needs (RFC 6455 §4.4).
    """
    head = (
        f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(error.body)}\r\n"
        f"Sec-WebSocket-Version: {_VERSION}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + error.body

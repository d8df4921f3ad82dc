"""What a websocket is told whose request shows that it will be let in nowhere: what the server
would say to it in the end, without its being a connection before.

Clients of revision 4 ask for the namespace first, so that is waited for: ``0{…}``, and after ``40``
``40{…}``, ``41``, close. Those of revision 3 are told all of it at once. A refusal costs a fraction
of a connection, and it is what strangers can have as often as they like.
"""

import base64
import binascii
import hashlib
import json
import secrets
from collections.abc import Mapping

import trio

from meet_trio.socketio.errors import ProtocolError
from meet_trio.socketio.request import (
    BAD_REQUEST,
    BadRequest,
    check_origin,
    parse_request_untrusted,
)
from meet_trio.socketio.settings import Settings

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_CLOSE = b"\x88\x00"
_MOST = 4096  # bytes that are read at once; what they say hardly matters


async def refuse_websocket(
    stream: trio.abc.Stream, target: str, headers: Mapping[str, str], settings: Settings
) -> None:
    """Refuse the websocket whose request had this target and these headers; ``stream`` stands
    behind its head. Returns when all has been said, at the latest after ``connect_timeout`` and
    ``close_timeout``; closing the stream is the caller's. Raises what the stream raises.
    """
    try:
        check_origin(settings, headers.get("origin"))
        handshake, sid = parse_request_untrusted(target, headers, "", "websocket")
        if sid is not None:
            raise BadRequest(BAD_REQUEST)
        accepted = _accept_untrusted(headers)
    except BadRequest as error:
        await stream.send_all(_answer(error))
    else:
        opening = accepted + _frame(_opening(settings))
        if handshake.eio == 3:
            await stream.send_all(opening + _frame("40") + _frame("41") + _CLOSE)
        else:
            await stream.send_all(opening)
            asked = False
            with trio.move_on_after(settings.connect_timeout):
                asked = await _asks_for_the_namespace(stream)
            connected = _frame(f'40{{"sid":"{secrets.token_urlsafe(15)}"}}') + _frame("41")
            await stream.send_all((connected if asked else b"") + _CLOSE)
    # closing with unread bytes would reset the connection before all of it has been read
    with trio.move_on_after(settings.close_timeout):
        while await stream.receive_some(_MOST):
            pass


def _accept_untrusted(headers: Mapping[str, str]) -> bytes:
    """The answer to the opening handshake (RFC 6455 §4.2.2). Raises BadRequest."""
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
        or headers.get("sec-websocket-version") != "13"
    ):
        raise BadRequest(BAD_REQUEST)
    proof = base64.b64encode(hashlib.sha1(key.encode() + _GUID, usedforsecurity=False).digest())
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + proof + b"\r\n\r\n"
    )


def _answer(error: BadRequest) -> bytes:
    head = (
        f"HTTP/1.1 {error.status} {'Forbidden' if error.status == 403 else 'Bad Request'}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(error.body)}\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode() + error.body


def _opening(settings: Settings) -> str:
    opening = {
        "sid": secrets.token_urlsafe(15),
        "upgrades": [],
        "pingInterval": round(settings.ping_interval * 1000),
        "pingTimeout": round(settings.ping_timeout * 1000),
        "maxPayload": settings.max_payload,
    }
    return "0" + json.dumps(opening, separators=(",", ":"))


def _frame(text: str) -> bytes:
    """Short and ASCII; longer than 125 bytes the opening alone is."""
    data = text.encode("ascii")
    size = bytes((len(data),)) if len(data) < 126 else b"\x7e" + len(data).to_bytes(2)
    return b"\x81" + size + data


async def _asks_for_the_namespace(stream: trio.abc.Stream) -> bool:
    """Whether the first frame is the request for ``/``; whatever else it is, it is the end."""
    data = b""
    try:
        while (begins := _beginning_untrusted(data)) is None:
            chunk = await stream.receive_some(_MOST)
            if not chunk:
                return False
            data += chunk
    except ProtocolError:
        return False
    return begins[:2] == b"40" and begins[2:] != b"/"


def _beginning_untrusted(data: bytes) -> bytes | None:
    """The first three bytes, or all, of the text in a frame of a client (RFC 6455 §5.2); None if
    they have not come. Raises ProtocolError for another kind of frame.
    """
    if len(data) < 2:
        return None
    first, size = data[0], data[1] & 0x7F
    if first != 0x81 or not data[1] & 0x80 or size == 127:
        raise ProtocolError("no short text")
    start = 4 if size == 126 else 2
    wanted = min(3, size)
    if len(data) < start + 4 + wanted:
        return None
    mask, text = data[start : start + 4], data[start + 4 : start + 4 + wanted]
    return bytes(byte ^ key for byte, key in zip(text, mask, strict=False))

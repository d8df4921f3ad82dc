"""The cheap refusal of a websocket whose request already shows that no namespace will admit it.

The client gets the same packets as from a connection, but no ``EngineIOConnection`` is made. In
revision 4 the client has to ask for the namespace first: the server sends ``0{…}``, waits for
``40``, and sends ``40{…}``, ``41`` and a close frame. In revision 3 all of this is sent at once.

A refusal costs a fraction of a connection. This matters because any stranger can cause one.
"""

import json
import secrets
from collections.abc import Mapping

import trio

from meet_trio.socketio.errors import ProtocolError
from meet_trio.socketio.frames import data_frame
from meet_trio.socketio.opening import accept_untrusted, refusal
from meet_trio.socketio.request import (
    BAD_REQUEST,
    RequestRefused,
    check_origin,
    parse_request_untrusted,
)
from meet_trio.socketio.settings import Settings

_CLOSE_FRAME = b"\x88\x00"
_READ_SIZE = 4096  # bytes that are read at once


async def refuse_websocket(
    stream: trio.abc.Stream, target: str, headers: Mapping[str, str], settings: Settings
) -> None:
    """Refuse the websocket whose request had this target and these headers.

    ``stream`` continues behind the request's head. Returns when everything was sent, at the latest
    after ``connect_timeout`` and ``close_timeout``. Does not close the stream. Raises what the
    stream raises.
    """
    try:
        check_origin(settings, headers.get("origin"))
        handshake, sid = parse_request_untrusted(target, headers, "", "websocket")
        if sid is not None:
            raise RequestRefused(BAD_REQUEST)
        response = accept_untrusted(headers)
    except RequestRefused as error:
        await stream.send_all(refusal(error))
    else:
        opening = response + _frame(_open_packet(settings))
        if handshake.eio == 3:
            await stream.send_all(opening + _frame("40") + _frame("41") + _CLOSE_FRAME)
        else:
            await stream.send_all(opening)
            asked = False
            with trio.move_on_after(settings.connect_timeout):
                asked = await _asks_for_main_namespace(stream)
            connected = _frame(f'40{{"sid":"{secrets.token_urlsafe(15)}"}}') + _frame("41")
            await stream.send_all((connected if asked else b"") + _CLOSE_FRAME)
    # Closing with unread bytes would reset the connection before the client has read the answer.
    with trio.move_on_after(settings.close_timeout):
        while await stream.receive_some(_READ_SIZE):
            pass


def _open_packet(settings: Settings) -> str:
    opening = {
        "sid": secrets.token_urlsafe(15),
        "upgrades": [],
        "pingInterval": round(settings.ping_interval * 1000),
        "pingTimeout": round(settings.ping_timeout * 1000),
        "maxPayload": settings.max_payload,
    }
    return "0" + json.dumps(opening, separators=(",", ":"))


def _frame(text: str) -> bytes:
    return data_frame(text.encode("ascii"), text=True)


async def _asks_for_main_namespace(stream: trio.abc.Stream) -> bool:
    """Whether the client's first frame is a CONNECT to ``/``."""
    data = b""
    try:
        while (text := _text_start_untrusted(data)) is None:
            chunk = await stream.receive_some(_READ_SIZE)
            if not chunk:
                return False
            data += chunk
    except ProtocolError:
        return False
    return text[:2] == b"40" and text[2:] != b"/"


def _text_start_untrusted(data: bytes) -> bytes | None:
    """The first three bytes of the text in a client's frame (RFC 6455 §5.2), or all if it is
    shorter; None if they have not come yet. Raises ProtocolError for another kind of frame.
    """
    if len(data) < 2:
        return None
    first, size = data[0], data[1] & 0x7F
    if first != 0x81 or not data[1] & 0x80 or size == 127:
        raise ProtocolError("not a short text frame")
    start = 4 if size == 126 else 2
    wanted = min(3, size)
    if len(data) < start + 4 + wanted:
        return None
    mask, text = data[start : start + 4], data[start + 4 : start + 4 + wanted]
    return bytes(byte ^ key for byte, key in zip(text, mask, strict=False))

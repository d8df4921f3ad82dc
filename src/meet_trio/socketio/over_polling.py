"""A connection's packets over HTTP long-polling, as ASGI requests.

GET waits until there are packets and returns them all; POST brings packets of the client and is
answered ``ok``. Of each there may be one at a time: a second one ends the session, and so does a
poll whose client goes away. Each is worth ten messages of the connection's allowance, since a whole
request of HTTP is the dearest way to say something. JSONP is left out: every browser since 2012 has
CORS.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import attrs
import trio

from meet_trio.socketio.allowance import REQUEST
from meet_trio.socketio.connection import Connection
from meet_trio.socketio.errors import ProtocolError, Reason
from meet_trio.socketio.packet import (
    Outgoing,
    Packet,
    PacketType,
    decode_payload_untrusted,
    encode_payload,
)
from meet_trio.socketio.request import BAD_REQUEST, BadRequest
from meet_trio.socketio.session import Entry, State

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_OCTETS = "application/octet-stream"


@attrs.frozen
class Response:
    status: int
    content_type: str
    body: bytes


class TooLarge(Exception):
    """The body of a POST is above what the client may send at once."""


class Polling:
    """The requests of one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._polled = False
        self._posted = False

    async def poll(self, receive: Receive) -> Response:
        """The answer to a GET. Raises BadRequest."""
        connection = self._connection
        if self._polled or not connection.session.on_polling:
            self._misused()
        self._polled = True
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._watch_client, receive)
                await connection.pace(0, REQUEST)
                entries = await self._entries()
                nursery.cancel_scope.cancel()
        finally:
            self._polled = False
        return self.answer(entries)

    async def post(self, content_type: str, receive: Receive) -> Response:
        """The answer to a POST. Raises BadRequest."""
        connection = self._connection
        if self._posted or not connection.session.on_polling:
            self._misused()
        self._posted = True
        try:
            allowance = connection.allowance
            body = await _read_body(receive, allowance.max_payload)
            await connection.pace(len(body), REQUEST)
            payload = body if content_type.partition(";")[0].strip() == _OCTETS else body.decode()
            for packet in decode_payload_untrusted(
                payload, connection.session.revision, allowance.max_packets
            ):
                await connection.pace(0, 1)
                await connection.feed(packet)
                await trio.lowlevel.checkpoint()  # others' turn: not each packet has one of its own
        except TooLarge:
            connection.fail(Reason.TRANSPORT_ERROR)
            return Response(413, "text/plain", b"")
        except ConnectionError:
            connection.fail(Reason.TRANSPORT_ERROR)
            raise BadRequest(BAD_REQUEST) from None
        except (ProtocolError, UnicodeDecodeError):
            connection.fail(Reason.PARSE_ERROR)
            raise BadRequest(BAD_REQUEST) from None
        finally:
            self._posted = False
        return Response(200, "text/plain", b"ok")

    def answer(self, entries: list[Entry]) -> Response:
        """The answer that carries these packets."""
        connection = self._connection
        packets = [entry.packet.packet() for entry in entries]
        payload = encode_payload(packets, connection.session.revision, b64=connection.b64)
        if isinstance(payload, bytes):
            return Response(200, _OCTETS, payload)
        return Response(200, "text/plain; charset=UTF-8", payload.encode())

    async def _entries(self) -> list[Entry]:
        session = self._connection.session
        while session.state is not State.CLOSED:
            if not session.on_polling:
                return [_entry(PacketType.NOOP)]
            if session.has_packets:
                entries = session.take()
                if entries[-1].packet.type is PacketType.CLOSE:
                    self._connection.fail(Reason.SERVER)
                return entries
            await self._connection.wait_for_change()
        by_client = session.reason is Reason.TRANSPORT_CLOSE
        return [_entry(PacketType.NOOP if by_client else PacketType.CLOSE)]

    async def _watch_client(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._connection.fail(Reason.TRANSPORT_ERROR)

    def _misused(self) -> None:
        if self._connection.session.on_polling:
            self._connection.fail(Reason.TRANSPORT_ERROR)
        raise BadRequest(BAD_REQUEST)


def _entry(kind: PacketType) -> Entry:
    return Entry(Outgoing(Packet(kind)))


async def _read_body(receive: Receive, limit: int) -> bytes:
    """Raises TooLarge, ConnectionError."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionError
        body += message.get("body", b"")
        if len(body) > limit:
            raise TooLarge
        if not message.get("more_body"):
            return bytes(body)

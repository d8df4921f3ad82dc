"""HTTP long-polling: carries the packets of a connection in ASGI requests.

A GET (a poll) waits until there are packets and returns them. A POST brings packets of the client
and is answered ``ok``. A client may have one GET and one POST under way. A second of either ends
the session, and so does a poll whose client goes away. Each request counts as ten messages of the
connection's allowance, since a whole HTTP request is the most expensive way to send a message.

JSONP is left out: every browser since 2012 has CORS.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, NoReturn

import attrs
import trio

from meet_trio.socketio.allowance import MESSAGES_PER_REQUEST
from meet_trio.socketio.connection import EngineIOConnection
from meet_trio.socketio.errors import ProtocolError, Reason
from meet_trio.socketio.packet import (
    EncodedPacket,
    Packet,
    PacketType,
    decode_payload_untrusted,
    encode_payload,
)
from meet_trio.socketio.request import BAD_REQUEST, RequestRefused
from meet_trio.socketio.session import OutboxEntry, State

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
    """The body of a POST is larger than the client may send."""


class Polling:
    """Answers the requests of one connection."""

    def __init__(self, connection: EngineIOConnection) -> None:
        self._connection = connection
        self._poll_open = False
        self._post_open = False

    @property
    def waits(self) -> bool:
        """Whether a poll waits."""
        return self._poll_open

    async def poll(self, receive: Receive) -> Response:
        """Answer a GET. Raises RequestRefused."""
        connection = self._connection
        if self._poll_open or not connection.session.on_polling:
            self._fail_request()
        self._poll_open = True
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._watch_client, receive)
                await connection.pace(0, MESSAGES_PER_REQUEST)
                entries = await self._wait_for_entries()
                nursery.cancel_scope.cancel()
        finally:
            self._poll_open = False
        return self.answer(entries)

    async def post(self, content_type: str, receive: Receive) -> Response:
        """Answer a POST. Raises RequestRefused."""
        connection = self._connection
        if self._post_open or not connection.session.on_polling:
            self._fail_request()
        self._post_open = True
        try:
            allowance = connection.allowance
            body = await _read_body(receive, allowance.max_payload)
            await connection.pace(len(body), MESSAGES_PER_REQUEST)
            payload = body if content_type.partition(";")[0].strip() == _OCTETS else body.decode()
            for packet in decode_payload_untrusted(
                payload, connection.session.revision, allowance.max_packets
            ):
                await connection.pace(0, 1)
                await connection.feed(packet)
                await trio.lowlevel.checkpoint()  # feed() need not have waited: let other tasks run
        except TooLarge:
            connection.fail(Reason.TRANSPORT_ERROR)
            return Response(413, "text/plain", b"")
        except ConnectionError:
            connection.fail(Reason.TRANSPORT_ERROR)
            raise RequestRefused(BAD_REQUEST) from None
        except (ProtocolError, UnicodeDecodeError):
            connection.fail(Reason.PARSE_ERROR)
            raise RequestRefused(BAD_REQUEST) from None
        finally:
            self._post_open = False
        return Response(200, "text/plain", b"ok")

    def answer(self, entries: list[OutboxEntry]) -> Response:
        """The response that carries these packets."""
        connection = self._connection
        packets = [packet.packet() for packet, _ in entries]
        payload = encode_payload(packets, connection.session.revision, b64=connection.b64)
        if isinstance(payload, bytes):
            return Response(200, _OCTETS, payload)
        return Response(200, "text/plain; charset=UTF-8", payload.encode())

    async def _wait_for_entries(self) -> list[OutboxEntry]:
        session = self._connection.session
        while session.state is not State.CLOSED:
            if not session.on_polling:
                return [_entry(PacketType.NOOP)]
            if session.has_packets:
                entries = session.take()
                if entries[-1][0].type is PacketType.CLOSE:
                    self._connection.fail(Reason.SERVER)
                return entries
            await self._connection.wait_for_change()
        by_client = session.reason is Reason.TRANSPORT_CLOSE
        return [_entry(PacketType.NOOP if by_client else PacketType.CLOSE)]

    async def _watch_client(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._connection.fail(Reason.TRANSPORT_ERROR)

    def _fail_request(self) -> NoReturn:
        """End a session that is on polling, and refuse the request."""
        if self._connection.session.on_polling:
            self._connection.fail(Reason.TRANSPORT_ERROR)
        raise RequestRefused(BAD_REQUEST)


def _entry(kind: PacketType) -> OutboxEntry:
    return EncodedPacket(Packet(kind)), None


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

"""A signaling client that keeps the order of everything it receives.

    async with open_wire_peer(server, room_id, role) as ada:
        assert await ada.ask("chatMessage", message="hi") == [
            ("chatMessage", {...}),  # came before the acknowledgement
            [],                      # the acknowledgement
        ]
        assert await bob.hear() == [("chatMessage", {...})]

Unlike in ``signaling.Signaling`` nothing is read between the calls, so a list shows what came, how
often and in which order. The notices that a peer's request causes for others are in their outboxes
before it is acknowledged, so ``hear`` has to wait only for an answer of its own.
"""

import contextlib
import json
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import attrs
import trio
from support.server import LocalServer
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_client_stream

SIGNALING_PATH = "/meetmedia/signaling/"

Heard = tuple[str, object] | list[object]
"""A notification or a request of the server, with its data; or an acknowledgement."""


@contextlib.asynccontextmanager
async def open_socket(
    server: LocalServer, query: str, path: str = SIGNALING_PATH
) -> AsyncIterator[WebSocketConnection]:
    """A websocket with the token URL's ``query`` (and ``EIO``); it ends with the TCP connection,
    without a close frame.
    """
    target = f"{path}?{query}&transport=websocket"
    tcp = await trio.open_tcp_stream("127.0.0.1", server.running.port)
    # trio-websocket leaves the stream open when the server has closed first.
    async with tcp, trio.open_nursery() as nursery:
        yield await wrap_client_stream(nursery, tcp, "127.0.0.1", target)
        nursery.cancel_scope.cancel()


@attrs.define(eq=False)
class WirePeer:
    """One connected socket. Requests of the server are answered as they are read."""

    id: str
    query: str
    socket: WebSocketConnection
    greeting: tuple[str, object] = ("", None)
    answer: list[object] | None = attrs.field(factory=lambda: list[object]([None]))
    """The acknowledgement of requests of the server; None leaves them unanswered."""
    asked: list[str] = attrs.field(factory=list)
    """The acknowledgement ids of the server's requests, in order."""
    _next_id: int = 0

    async def ask(self, method: str, **data: object) -> list[Heard]:
        """Send a request; returns everything up to its acknowledgement, which is the last entry."""
        ack_id = await self.say(method, **data)
        heard: list[Heard] = []
        while True:
            entry = await self.next(ack_id)
            heard.append(entry)
            if isinstance(entry, list):
                return heard

    async def result(self, method: str, **data: object) -> object:
        """The result of a request that has to succeed."""
        *_, answer = await self.ask(method, **data)
        assert isinstance(answer, list)
        assert answer[:1] in ([], [None]), answer
        return answer[1] if len(answer) > 1 else None

    async def hear(self) -> list[Heard]:
        """Everything that has come since, without waiting for more."""
        *heard, pong = await self.ask("ping")
        assert pong == [None]
        return heard

    async def say(self, method: str, **data: object) -> int:
        """Send a request; returns the id of its acknowledgement."""
        ack_id, self._next_id = self._next_id, self._next_id + 1
        message: dict[str, object] = {"method": method}
        if data:
            message["data"] = data
        await self.socket.send_message(f"42{ack_id}" + json.dumps(["request", message]))
        return ack_id

    async def next(self, ack_id: int | None = None) -> Heard:
        """The next message; an acknowledgement has to be that of ``ack_id``. Raises
        ConnectionClosed.
        """
        frame = await self.socket.get_message()
        assert isinstance(frame, str)
        kind, rest = frame[:2], frame[2:]
        start = len(rest) - len(rest.lstrip("0123456789"))
        number, payload = rest[:start], json.loads(rest[start:] or "null")
        match kind:
            case "42":
                event, message = payload
                assert event == ("request" if number else "notification")
                assert set(message) == {"method", "data"}
                if number:
                    self.asked.append(number)
                    if self.answer is not None:
                        await self.socket.send_message(f"43{number}" + json.dumps(self.answer))
                return (message["method"], message["data"])
            case "43":
                assert number == str(ack_id)
                assert isinstance(payload, list)
                return payload
            case "41":
                return ("disconnect", None)
        raise AssertionError(f"the server sent {frame!r}")

    async def hear_all(self) -> list[Heard]:
        """Everything that comes until the server has closed the connection."""
        heard = []
        with contextlib.suppress(ConnectionClosed):
            while True:
                heard.append(await self.next())
        return heard


@contextlib.asynccontextmanager
async def open_wire_peer(
    server: LocalServer, room_id: str, role: int = 3, *, query: str | None = None
) -> AsyncIterator[WirePeer]:
    """A new peer, or with ``query`` the peer that it names; connected and greeted."""
    query = query or urlsplit(await server.api.create_peer(room_id, role)).query
    fields = dict(field.split("=") for field in query.split("&"))
    async with open_socket(server, f"{query}&EIO=4") as socket:
        assert (await socket.get_message())[0] == "0"
        await socket.send_message("40")
        assert (await socket.get_message())[:2] == "40"
        peer = WirePeer(fields["peerId"], query, socket)
        greeting = await peer.next()
        assert isinstance(greeting, tuple)
        peer.greeting = greeting
        yield peer

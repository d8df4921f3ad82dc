#!/usr/bin/env python3
"""Echo servers for Socket.IO and Engine.IO, with the behaviour that the public protocol test suites
expect.

    python tools/socketio_echo.py [--port 3000] [--ping-timeout 0.2]

- ``/socket.io/`` is Socket.IO, with the namespaces ``/`` and ``/custom``. On connection the server
  emits ``auth`` with the auth of the handshake. It answers the event ``message`` with
  ``message-back`` and acknowledges ``message-with-ack``, both with the arguments of the event.
- ``/engine.io/`` is Engine.IO alone. The server sends every message back.

Timeouts are short, and any origin is allowed. ``--ping-timeout`` (seconds) can be longer for
clients on a busy machine.
"""

import argparse
import contextlib
import logging

import attrs
import trio

from meet_trio.edge.front_door import FrontDoor, WebSocketHandler
from meet_trio.edge.head import RequestHead
from meet_trio.edge.settings import FrontDoorSettings
from meet_trio.edge.stream import PeekedStream
from meet_trio.rates import Rate
from meet_trio.socketio import EngineIOConnection, EngineIOServer, Server, Settings, Socket, in_task

SETTINGS = Settings(  # as the suites expect them
    ping_interval=0.3,
    ping_timeout=0.2,
    max_payload=1_000_000,
    connect_timeout=1.0,
    origins=frozenset({"*"}),
)


async def echo_events(socket: Socket) -> None:
    socket.emit("auth", socket.handshake.auth)
    while True:
        event = await socket.receive()
        match event.name:
            case "message":
                socket.emit("message-back", *event.args)
            case "message-with-ack":
                event.ack(*event.args)


async def echo_messages(connection: EngineIOConnection) -> None:
    while True:
        connection.send(await connection.receive())


async def serve(port: int, settings: Settings) -> None:
    servers: dict[str, Server | EngineIOServer] = {
        "/socket.io/": Server(settings, {"/": echo_events, "/custom": echo_events}),
        "/engine.io/": EngineIOServer(settings, in_task(echo_messages)),
    }

    async def http(scope, receive, send) -> None:  # type: ignore[no-untyped-def]
        server = servers.get(scope["path"])
        if server is not None:
            await server.asgi(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 404, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    def websocket(server: Server | EngineIOServer) -> WebSocketHandler:
        async def serve(stream: PeekedStream, head: RequestHead, client: str) -> None:
            await server.serve_websocket(stream, head.target, head.headers, client=client)

        return serve

    door = FrontDoor(
        http,
        {path: websocket(server) for path, server in servers.items()},
        FrontDoorSettings(requests=Rate(10_000, 10_000)),
    )
    async with trio.open_nursery() as nursery:
        for server in servers.values():
            await nursery.start(server.run)
        listeners = await trio.open_tcp_listeners(port, host="localhost")
        await nursery.start(door.serve, listeners)
        port = listeners[0].socket.getsockname()[1]
        print(f"listening on http://localhost:{port}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Socket.IO and Engine.IO echo server")
    parser.add_argument("--port", type=int, default=3000)
    parser.add_argument("--ping-timeout", type=float, default=SETTINGS.ping_timeout)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO)
    with contextlib.suppress(KeyboardInterrupt):
        trio.run(serve, args.port, attrs.evolve(SETTINGS, ping_timeout=args.ping_timeout))

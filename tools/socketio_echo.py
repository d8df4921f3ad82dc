#!/usr/bin/env python3
"""A Socket.IO and an Engine.IO server that echo, as the public protocol test suites expect them.

    python tools/socketio_echo.py [--port 3000] [--ping-timeout 0.2]

``/socket.io/``: on connection emits ``auth`` with the handshake's auth; ``message`` comes back as
``message-back``, ``message-with-ack`` is acknowledged, both with the same arguments; also in
namespace ``/custom``. ``/engine.io/``: bare Engine.IO, every message comes back. Short times, any
origin. ``--ping-timeout`` (seconds) is for clients on a machine that has much else to do.
"""

import argparse
import contextlib
import logging

import attrs
import trio

from meet_trio.edge.front_door import FrontDoor, FrontDoorSettings, WebSocketHandler
from meet_trio.edge.stream import PeekedStream
from meet_trio.rates import Rate
from meet_trio.socketio import EngineIOConnection, EngineIOServer, Server, Settings, Socket

SETTINGS = Settings(  # what the suites expect
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
        "/engine.io/": EngineIOServer(settings, echo_messages),
    }

    async def http(scope, receive, send) -> None:  # type: ignore[no-untyped-def]
        server = servers.get(scope["path"])
        if server is not None:
            await server.asgi(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 404, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    def websocket(server: Server | EngineIOServer) -> WebSocketHandler:
        async def serve(stream: PeekedStream, client: str) -> None:
            await server.serve_websocket_stream(stream, client=client)

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

"""A Trio-native Engine.IO (revisions 3 and 4) and Socket.IO server.

``server`` shows how it is used. The package knows nothing of meetings. It opens no ports either:
its caller gives it byte streams and ASGI requests. JSONP, WebTransport and permessage-deflate are
left out.

``Settings`` and ``Handshake`` are there at once. Every other name is imported when it is first
asked for: a program that only reads settings or prints its help does not load Trio.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from meet_trio.socketio.settings import Handshake, Settings

if TYPE_CHECKING:
    from meet_trio.socketio.connection import EngineIOConnection, EngineIOHandler, in_task
    from meet_trio.socketio.engine import EngineIOServer
    from meet_trio.socketio.errors import CallTimeout, Disconnected, Reason, Refused
    from meet_trio.socketio.message import Json
    from meet_trio.socketio.server import Admit, Handler, Server
    from meet_trio.socketio.socket import EncodedEvent, Event, Socket, encode_event
    from meet_trio.socketio.strangers import Strangers

__all__ = [
    "Admit",
    "CallTimeout",
    "Disconnected",
    "EncodedEvent",
    "EngineIOConnection",
    "EngineIOHandler",
    "EngineIOServer",
    "Event",
    "Handler",
    "Handshake",
    "Json",
    "Reason",
    "Refused",
    "Server",
    "Settings",
    "Socket",
    "Strangers",
    "encode_event",
    "in_task",
]

# which module defines a name that is imported late
_MODULES = {
    "Admit": "server",
    "CallTimeout": "errors",
    "EngineIOConnection": "connection",
    "Strangers": "strangers",
    "Disconnected": "errors",
    "EncodedEvent": "socket",
    "EngineIOHandler": "connection",
    "EngineIOServer": "engine",
    "Event": "socket",
    "Handler": "server",
    "Json": "message",
    "Reason": "errors",
    "Refused": "errors",
    "Server": "server",
    "Socket": "socket",
    "encode_event": "socket",
    "in_task": "connection",
}

if not TYPE_CHECKING:  # a type checker takes a module's __getattr__ for a definition of every name

    def __getattr__(name: str) -> object:
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
        globals()[name] = found  # the next time it is an attribute like any other
        return found

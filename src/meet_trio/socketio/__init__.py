"""A Trio-native Engine.IO (revisions 3 and 4) and Socket.IO server.

``server`` shows how it is used. The package knows nothing of meetings. It opens no ports either:
its caller gives it byte streams and ASGI requests. JSONP, WebTransport and permessage-deflate are
left out.
"""

from meet_trio.socketio.connection import EngineIOConnection
from meet_trio.socketio.crowd import Crowd
from meet_trio.socketio.engine import EngineIOHandler, EngineIOServer
from meet_trio.socketio.errors import CallTimeout, Disconnected, Reason, Refused
from meet_trio.socketio.message import Json
from meet_trio.socketio.server import Admit, Handler, Server
from meet_trio.socketio.settings import Handshake, Settings
from meet_trio.socketio.socket import EncodedEvent, Event, Socket, encode_event

__all__ = [
    "Admit",
    "CallTimeout",
    "Crowd",
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
    "encode_event",
]

"""A Trio-native Engine.IO (revisions 3 and 4) and Socket.IO server. See ``server`` for how it is
used.
"""

from .connection import Connection
from .crowd import Crowd
from .engine import EngineHandler, EngineServer
from .errors import CallTimeout, Disconnected, Reason, Refused
from .message import Json
from .server import Admit, Handler, Server
from .settings import Handshake, Settings
from .socket import EncodedEvent, Event, Socket, encode_event

__all__ = [
    "Admit",
    "CallTimeout",
    "Connection",
    "Crowd",
    "Disconnected",
    "EncodedEvent",
    "EngineHandler",
    "EngineServer",
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

"""The signaling endpoint: hands a Socket.IO socket to the peer that it belongs to.

The handshake's query has the room, the peer and the token that the HTTP API gave out. A socket
without a valid token is told ``41`` and closed. Nothing tells it whether the room or the peer
exists.

The messages on a socket are handled in ``live``.
"""

import logging

from meet_trio.live.registry import Registry
from meet_trio.socketio import Handler, Socket

logger = logging.getLogger("meet_trio.edge.signaling")


def signaling_paths(prefix: str) -> frozenset[str]:
    """Kolab's path and Socket.IO's default path, with and without the last slash. The URL in the
    older README has the default path.
    """
    return frozenset({f"{prefix}/signaling", f"{prefix}/signaling/", "/socket.io", "/socket.io/"})


def signaling_handler(registry: Registry) -> Handler:
    """The Socket.IO handler of the namespace ``/``."""

    async def handle(socket: Socket) -> None:
        query = socket.handshake.query
        room = registry.rooms.get(query.get("roomId", ""))
        peer = None
        if room is not None:
            peer = room.admit(query.get("peerId", ""), query.get("authToken", ""))
        if peer is None:
            logger.info("refused a socket from %s", socket.handshake.client)
            return  # which disconnects the socket
        socket.trust()
        await peer.serve(socket)

    return handle

"""The signaling endpoint: from a socket of the socket.io server to the peer it belongs to.

A socket names its room and peer and proves it with the token that the HTTP API gave out, all in the
handshake's query. One that cannot is told ``41`` and closed; nothing else tells it whether the room
or the peer exists.
"""

import logging

from meet_trio.live.registry import Registry
from meet_trio.socketio import Handler, Socket

logger = logging.getLogger("meet_trio.edge.signaling")


def signaling_paths(prefix: str) -> frozenset[str]:
    """Kolab's path with and without the last slash, and socket.io's own for the URL of the older
    README.
    """
    return frozenset({f"{prefix}/signaling", f"{prefix}/signaling/", "/socket.io", "/socket.io/"})


def signaling_handler(registry: Registry) -> Handler:
    """The socket.io handler of namespace ``/``."""

    async def handle(socket: Socket) -> None:
        query = socket.handshake.query
        room = registry.rooms.get(query.get("roomId", ""))
        peer = None
        if room is not None:
            peer = room.admit(query.get("peerId", ""), query.get("authToken", ""))
        if peer is None:
            logger.info("refused a socket from %s", socket.handshake.client)
            return  # the end of a handler is a disconnect
        socket.trust()
        await peer.serve(socket)

    return handle

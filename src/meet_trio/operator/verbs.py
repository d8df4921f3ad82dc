"""What an operator does to a running server: the console and the admin page call these functions.

Each does one thing at once and returns what it has done, in words. It raises ``RequestError`` if it
cannot be done. Who asked is logged by the caller.
"""

from meet_trio.errors import BadRequest, NotFound, RequestError
from meet_trio.live.figures import ask_engines
from meet_trio.live.peer import LivePeer
from meet_trio.live.room import LiveRoom
from meet_trio.live.streams import LiveConsumer
from meet_trio.operator.drain import Drain
from meet_trio.operator.explain import Explanation, explain_consumer, explain_peer

MOST_REASON = 200
"""Characters of the reason that a kicked peer is told."""


def kick(room: LiveRoom, peer_id: str, reason: str = "") -> str:
    """Remove a peer, which is told ``reason``."""
    if len(reason) > MOST_REASON:
        raise BadRequest(f"a reason has at most {MOST_REASON} characters")
    if peer_id not in room.state.peers:
        raise NotFound("the peer has left")
    room.perform(room.state.expel(peer_id, reason))
    return f"kicked peer {peer_id} of room {room.id}"


def close(room: LiveRoom) -> str:
    """Close a room; its peers are told."""
    peers = len(room.state.peers)
    room.end("closed")
    return f"closed room {room.id}; peers: {peers}"


def drain(drain: Drain, timeout: float | None = None) -> str:
    """Make no new rooms. ``timeout`` None: that of the settings."""
    if not drain.start(timeout):
        raise RequestError(f"the server drains already; left: {drain.left()}")
    return f"draining: no new rooms; left: {drain.left()}"


def undrain(drain: Drain) -> str:
    """Make rooms again."""
    if not drain.undo():
        raise RequestError("there is no drain to take back")
    return "the drain is taken back: new rooms are made again"


async def explain(room: LiveRoom, thing: LiveConsumer | LivePeer) -> Explanation:
    """Why a consumer gets what it gets, or all about a peer."""
    figures = await ask_engines(room.placement.used)
    if isinstance(thing, LivePeer):
        return explain_peer(room, thing, figures)
    return explain_consumer(room, thing, figures)

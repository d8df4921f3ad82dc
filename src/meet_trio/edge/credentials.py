"""What a request proves by its head alone: that Kolab sends it, that it comes from a peer who was
invited, or from a client that the signaling has let in already.

It opens nothing: whoever serves the request looks again. It only tells those apart who are counted
by their address from those who are counted as themselves.
"""

import hmac
from collections.abc import Callable
from urllib.parse import parse_qsl

import attrs

from meet_trio.live.registry import Registry

from .head import RequestHead


@attrs.frozen
class Credentials:
    """``knows_session(sid)``: whether the signaling has such an Engine.IO session."""

    registry: Registry
    auth_token: str = attrs.field(repr=False)
    api_path: str
    signaling_paths: frozenset[str]
    knows_session: Callable[[str], bool]

    def prove(self, head: RequestHead) -> bool:
        """Whether somebody may come in with this request."""
        if head.path.startswith(self.api_path + "/"):
            given = head.headers.get("x-auth-token", "").encode("latin-1")
            return hmac.compare_digest(given, self.auth_token.encode())
        if head.path not in self.signaling_paths:
            return False
        try:
            fields = parse_qsl(head.query, keep_blank_values=True, max_num_fields=64)
        except ValueError:
            return False
        query = dict(reversed(fields))  # of repeated fields the first one counts
        if "sid" in query:
            return self.knows_session(query["sid"])
        room = self.registry.rooms.get(query.get("roomId", ""))
        if room is None:
            return False
        peer = room.admit(query.get("peerId", ""), query.get("authToken", ""))
        return peer is not None and not peer.requests.in_debt()

"""What a request proves by its head alone: that Kolab sends it, or that it comes from a peer who
was invited. That there is a session proves nothing: everybody may open one.

It opens nothing: whoever serves the request looks again. It only tells those apart who are counted
by their address from those who are counted as themselves.
"""

import hmac
from collections.abc import Callable, Mapping
from urllib.parse import parse_qsl

import attrs

from meet_trio.edge.head import RequestHead
from meet_trio.live.peer import LivePeer
from meet_trio.live.registry import Registry


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
        query = _query_untrusted(head)
        if "sid" in query and not self.knows_session(query["sid"]):
            return False
        peer = self._peer(query)
        return peer is not None and not peer.requests.in_debt()

    def hopeless(self, head: RequestHead) -> bool:
        """Whether a socket on a signaling path will be let in by nobody, whatever it says: it has
        no peer's token, and is not another way for a session that is there.
        """
        query = _query_untrusted(head)
        return "sid" not in query and self._peer(query) is None

    def _peer(self, query: Mapping[str, str]) -> LivePeer | None:
        room = self.registry.rooms.get(query.get("roomId", ""))
        if room is None:
            return None
        return room.admit(query.get("peerId", ""), query.get("authToken", ""))


def _query_untrusted(head: RequestHead) -> dict[str, str]:
    try:
        fields = parse_qsl(head.query, keep_blank_values=True, max_num_fields=64)
    except ValueError:
        return {}
    return dict(reversed(fields))  # of repeated fields the first one counts

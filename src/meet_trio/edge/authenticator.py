"""Finds the credentials in a request's head: the API's token, the token of an invited peer, a
bearer token of a path, or those of the admin page.

The id of an Engine.IO session is no credential, since any client may open a session.

No request is admitted here: the code that serves the request checks the credentials again. The
front door uses the answer only to decide how a request is counted. A request with the API's token
is not counted, and one with a peer's token is counted for its peer. Any other is counted for its
address.
"""

import hmac
from collections.abc import Callable, Mapping
from urllib.parse import parse_qsl

import attrs

from meet_trio.edge.head import RequestHead
from meet_trio.edge.tokens import ApiTokens
from meet_trio.live.peer import LivePeer
from meet_trio.live.registry import Registry


@attrs.define(eq=False)
class Authenticator:
    """Checks requests' heads. ``has_session(sid)`` tells whether that Engine.IO session exists.
    ``bearer_tokens``: by path; others may take their place. ``admin(head)`` tells whether it is a
    request to the admin page with valid credentials.
    """

    registry: Registry
    tokens: ApiTokens
    api_path: str
    signaling_paths: frozenset[str]
    has_session: Callable[[str], bool]
    bearer_tokens: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    admin: Callable[[RequestHead], bool] = lambda head: False

    def authenticates(self, head: RequestHead) -> bool:
        """Whether a request has valid credentials. The token of a peer that keeps exceeding its own
        rate of requests is not valid here.
        """
        if head.path.startswith(self.api_path + "/"):
            return self.tokens.accept(head.headers.get("x-auth-token", "").encode("latin-1"))
        if (token := self.bearer_tokens.get(head.path)) is not None:
            return shows_bearer(head.headers.get("authorization"), token)
        if head.path not in self.signaling_paths:
            return self.admin(head)
        query = _query_untrusted(head)
        if "sid" in query and not self.has_session(query["sid"]):
            return False
        peer = self._peer(query)
        return peer is not None and not peer.requests.in_debt()

    def refuses(self, head: RequestHead) -> bool:
        """Whether a websocket with this head, on a signaling path, is certain to be refused: it has
        no peer's token, and it names no session to upgrade.
        """
        query = _query_untrusted(head)
        return "sid" not in query and self._peer(query) is None

    def _peer(self, query: Mapping[str, str]) -> LivePeer | None:
        room = self.registry.rooms.get(query.get("roomId", ""))
        if room is None:
            return None
        return room.admit(query.get("peerId", ""), query.get("authToken", ""))


def shows_bearer(authorization: str | None, token: str) -> bool:
    """Whether an ``Authorization`` header has this token (RFC 6750 §2.1)."""
    scheme, _, given = (authorization or "").partition(" ")
    right = hmac.compare_digest(given.strip().encode("latin-1"), token.encode())
    return right and scheme.lower() == "bearer"


_MOST_FIELDS = 64


def _query_untrusted(head: RequestHead) -> dict[str, str]:
    """The fields; the first of repeated ones counts. ``{}`` if there are too many."""
    query = head.query
    if "%" in query or "+" in query:
        try:
            fields = parse_qsl(query, keep_blank_values=True, max_num_fields=_MOST_FIELDS)
        except ValueError:
            return {}
        return dict(reversed(fields))
    # A client's usual query: ids, a token and numbers. This is what is left of ``parse_qsl``.
    if query.count("&") >= _MOST_FIELDS:
        return {}
    found = {}
    for field in reversed(query.split("&")):
        if field:
            name, _, value = field.partition("=")
            found[name] = value
    return found

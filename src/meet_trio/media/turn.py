"""The TURN relay that clients are told of, and credentials for coturn's ``use-auth-secret`` mode
(draft-uberti-behave-turn-rest-00 §2.2).
"""

import base64
import hmac

import attrs

from meet_trio.media.settings import TurnSettings


def turn_credentials(secret: str, peer_id: str, now: float, ttl: int) -> tuple[str, str]:
    """``(username, credential)`` that the TURN server accepts until ``now + ttl``.

    ``secret`` is coturn's ``static-auth-secret``. ``now`` is Unix time, and ``ttl`` is in seconds.
    coturn logs ``peer_id``, so its log says which peer has used the relay.
    """
    username = f"{int(now) + ttl}:{peer_id}"
    digest = hmac.digest(secret.encode(), username.encode(), "sha1")
    return username, base64.b64encode(digest).decode("ascii")


@attrs.define(eq=False)
class IceServers:
    """The value of ``iceServers`` for each peer. ``settings`` may be replaced at any time."""

    settings: TurnSettings

    def __call__(self, peer_id: str, now: float) -> list[dict[str, object]] | None:
        """None without a TURN server. ``now`` is Unix time."""
        turn = self.settings
        if turn.server is None:
            return None
        server: dict[str, object] = {"urls": [turn.server]}
        if turn.static_secret is not None:
            username, credential = turn_credentials(
                turn.static_secret, peer_id, now, int(turn.credential_lifetime)
            )
            server |= {"username": username, "credential": credential}
        return [server]

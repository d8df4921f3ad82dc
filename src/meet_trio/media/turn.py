"""Credentials for coturn's ``use-auth-secret`` mode (draft-uberti-behave-turn-rest-00 §2.2)."""

import base64
import hmac


def turn_credentials(secret: str, peer_id: str, now: float, ttl: int) -> tuple[str, str]:
    """``(username, credential)`` that the TURN server accepts until ``now + ttl``.

    ``secret`` is coturn's ``static-auth-secret``. ``now`` is Unix time, and ``ttl`` is in seconds.
    coturn logs ``peer_id``, so its log says which peer has used the relay.
    """
    username = f"{int(now) + ttl}:{peer_id}"
    digest = hmac.digest(secret.encode(), username.encode(), "sha1")
    return username, base64.b64encode(digest).decode("ascii")

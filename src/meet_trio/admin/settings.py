"""Settings of the admin page."""

import re

import attrs

from meet_trio.rates import Rate
from meet_trio.settings import kinds
from meet_trio.settings.about import about, about_rate
from meet_trio.settings.kinds import Kind, number, or_none, read_text, seconds, whole

_SHORTEST_TOKEN = 16
_TAKEN = {"assets", "demo", "favicon.svg", "metrics", "ping", "room", "socket.io"}


def _token(raw: object) -> object:
    token = kinds.TOKEN(raw)
    if len(str(token)) < _SHORTEST_TOKEN:
        raise ValueError(f"a token of at least {_SHORTEST_TOKEN} characters is wanted")
    return token


def _path(raw: object) -> str:
    path = read_text(raw).rstrip("/")
    if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", path) or re.search(r"/\.\.?(/|$)", path):
        raise ValueError
    if (first := path.split("/")[1]) in _TAKEN:
        raise ValueError(f"a path outside of /{first} is wanted")
    return path


@attrs.frozen(kw_only=True)
class AdminSettings:
    """Without ``token`` there is no admin page: each of its paths is a 404."""

    token: str | None = attrs.field(
        default=None,
        repr=False,
        metadata=about(
            "admin.token",
            or_none(
                Kind(f"a token of at least {_SHORTEST_TOKEN} ASCII characters, no spaces,", _token)
            ),
            "serve the admin page to those who log in with this token; a new one ends all sessions",
            operator=True,
            reload=True,
            example="89abcdef0123456789abcdef01234567",
        ),
    )
    path: str = attrs.field(
        default="/admin",
        metadata=about(
            "admin.path",
            Kind("a path like /admin", _path),
            "path of the admin page and its calls",
            operator=True,
        ),
    )
    trace: bool = attrs.field(
        default=False,
        metadata=about(
            "admin.trace",
            kinds.SWITCH,
            "the admin page may trace a transport, and so hear and see what its client does",
            operator=True,
            reload=True,
        ),
    )
    session_time: float = attrs.field(
        default=8 * 3600.0,
        metadata=about(
            "admin.session_time",
            seconds(60, 30 * 86400),
            "a session of the admin page ends so long after its login",
            reload=True,
        ),
    )
    max_sessions: int = attrs.field(
        default=16,
        metadata=about(
            "admin.max_sessions",
            whole(1, 1000),
            "sessions at once; a further login ends the oldest",
            reload=True,
        ),
    )
    attempts: Rate = attrs.field(
        default=Rate(per_second=0.1, burst=10),
        metadata=about_rate(
            per_second=about(
                "admin.attempts_per_second",
                number(0.001, 100),
                "wrong tokens of one address per second; above it no token is looked at",
            ),
            burst=about("admin.attempt_burst", whole(1, 1000), "such attempts at once"),
        ),
    )
    max_addresses: int = 10_000
    """Addresses whose wrong tokens are counted."""

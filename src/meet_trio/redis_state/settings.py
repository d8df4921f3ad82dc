"""Settings of the state in Redis."""

from urllib.parse import urlsplit

import attrs

from meet_trio.settings import kinds
from meet_trio.settings.about import about
from meet_trio.settings.kinds import Kind, seconds, whole

LEAST_SECRET = 16
_SCHEMES = ("redis", "rediss")


def _read_url(raw: object) -> str | None:
    if raw is False or raw == "":
        return None
    text = kinds.read_text(raw)
    parts = urlsplit(text)
    if parts.scheme not in _SCHEMES or not parts.hostname or parts.fragment:
        raise ValueError("redis://host:port/number or rediss://… is wanted")
    if parts.path.strip("/") and not parts.path.strip("/").isdecimal():
        raise ValueError("the path is the number of a database")
    _ = parts.port  # raises ValueError
    return text


def _read_secret(raw: object) -> str | None:
    if raw is False or raw == "":
        return None
    text = kinds.read_text(raw)
    if len(text) < LEAST_SECRET:
        raise ValueError(f"at least {LEAST_SECRET} characters are wanted")
    return text


@attrs.frozen(kw_only=True)
class RedisSettings:
    """``url`` None: nothing is kept in Redis. Times are in seconds."""

    url: str | None = attrs.field(
        default=None,
        repr=False,
        metadata=about(
            "state.redis_url",
            Kind("a URL like redis://user:password@host:6379/0, or rediss:// for TLS,", _read_url),
            "Redis that keeps the state of calls, so that another machine can go on with them",
            operator=True,
            example="rediss://:password@redis.example.org:6379/0",
        ),
    )
    secret: str | None = attrs.field(
        default=None,
        repr=False,
        metadata=about(
            "state.redis_secret",
            Kind(f"a text of at least {LEAST_SECRET} characters", _read_secret),
            "what is in Redis is encrypted with it; the same on both machines",
            operator=True,
            example="64-characters-of-openssl-rand-hex-32",
        ),
    )
    standby: bool = attrs.field(
        default=False,
        metadata=about(
            "state.standby",
            kinds.SWITCH,
            "there are two machines: whichever holds the lease in Redis runs, the other waits",
            operator=True,
        ),
    )
    lease: float = attrs.field(
        default=1.5,
        metadata=about(
            "state.redis_lease",
            seconds(0.2, 60),
            "a server that cannot renew its lease for this long stops, if a standby waits",
        ),
    )
    timeout: float = attrs.field(
        default=1.0,
        metadata=about(
            "state.redis_timeout",
            seconds(0.1, 60),
            "time for a connection to Redis, and for its answer",
        ),
    )
    snapshot: float = attrs.field(
        default=1.0,
        metadata=about(
            "state.redis_snapshot",
            seconds(0.1, 10),
            "how often numbers of streams are written to Redis while a standby waits",
        ),
    )
    batch: int = attrs.field(
        default=2**20,
        metadata=about(
            "state.redis_batch",
            whole(2**12, 2**28, "bytes"),
            "records that are written to Redis at once; more of them are written in parts",
        ),
    )

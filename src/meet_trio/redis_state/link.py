"""Calls of scripts in Redis, each with a time limit. After a failure the next one connects anew."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any

import attrs
import trio

from meet_trio.errors import MeetError, reason_of
from meet_trio.redis_state.settings import RedisSettings

if TYPE_CHECKING:
    from coredis import Redis


class RedisGone(MeetError):
    """Redis does not answer, or refuses. Whether it has done what it was asked is not known."""


@attrs.frozen(eq=False)
class Link:
    """One connection: what is called later is done later, unless a call has failed."""

    _redis: "Redis[bytes]"
    timeout: float

    async def call(
        self,
        script: str,
        keys: Sequence[str],
        *arguments: bytes | str | int,
        limit: float | None = None,
    ) -> Any:
        """Raises RedisGone, after ``limit`` seconds or less."""
        from coredis.exceptions import RedisError

        limit = self.timeout if limit is None else limit
        try:
            with trio.fail_after(limit):
                return await self._redis.eval(script, keys, arguments)
        except trio.TooSlowError:
            raise RedisGone(f"no answer for {limit:g} s") from None
        except (RedisError, OSError, trio.BrokenResourceError) as error:
            raise RedisGone(reason_of(error)) from None


@contextlib.asynccontextmanager
async def open_link(settings: RedisSettings) -> AsyncIterator[Link]:
    """Connects with the first call."""
    # imported here: only a server with state.redis_url has the time for it
    from coredis import Redis
    from coredis.retry import NoRetryPolicy

    assert settings.url is not None
    async with Redis.from_url(
        settings.url,
        connect_timeout=settings.timeout,
        max_connections=1,
        retry_policy=NoRetryPolicy(),
        client_name="meet-trio",
    ) as redis:
        yield Link(redis, settings.timeout)

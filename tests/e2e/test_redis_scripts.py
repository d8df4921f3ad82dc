"""What Redis refuses: who does not hold the lease, and what arrives too late."""

from collections.abc import AsyncIterator
from typing import Any

import attrs
import pytest
from support.redis import SECRET, open_redis

from meet_trio.redis_state import scripts
from meet_trio.redis_state.link import Link, open_link
from meet_trio.redis_state.settings import RedisSettings

LEASE, STANDBY, FAST, DATA = "lease", "standby", "fast", "data"
LIFE = 60_000


@attrs.frozen
class Lease:
    link: Link

    async def take(self, owner: str, before: str = "", fence: int = 0, beat: str = "*") -> Any:
        keys = [LEASE, FAST, STANDBY]
        return await self.link.call(scripts.TAKE, keys, owner, before, fence, beat, 1500, LIFE, 0)

    async def beat(self, owner: str, fence: int, number: int, watched: int) -> int:
        keys = [LEASE, STANDBY, FAST]
        answer = await self.link.call(scripts.BEAT, keys, owner, fence, number, watched, LIFE)
        status: int = answer[0]
        return status

    async def snapshot(self, sequence: int, watched: int, value: bytes = b"x") -> Any:
        keys = [LEASE, FAST]
        return await self.link.call(
            scripts.SNAPSHOT, keys, "a", 1, sequence, watched, LIFE, "0", value
        )

    async def write(self, owner: str, fence: int, sequence: int, value: bytes) -> Any:
        keys = [LEASE, DATA]
        return await self.link.call(
            scripts.WRITE, keys, owner, fence, sequence, 1, LIFE, 0, "field", value
        )

    async def read(self, owner: str) -> Any:
        return await self.link.call(scripts.READ, [LEASE, DATA, FAST], owner)


@pytest.fixture
async def lease() -> AsyncIterator[Lease]:
    with open_redis() as redis:
        async with open_link(RedisSettings(url=redis.url, secret=SECRET)) as link:
            yield Lease(link)


async def test_an_older_snapshot_never_replaces_a_newer_one(lease: Lease) -> None:
    assert (await lease.take("a"))[0] == 1
    assert await lease.beat("a", 1, 1, 1) == 1
    assert await lease.snapshot(5, 1, b"new") == 1
    assert await lease.snapshot(4, 1, b"old") == 2
    assert b"new" in (await lease.read("a"))[1]
    assert (await lease.read("a"))[1] == []  # they are given once


async def test_a_snapshot_of_before_the_holder_was_alone_is_refused(lease: Lease) -> None:
    await lease.take("a")
    assert await lease.beat("a", 1, 1, 1) == 1
    assert await lease.snapshot(1, 1) == 1
    assert await lease.beat("a", 1, 2, 0) == 1
    assert (await lease.read("a"))[1] == []
    assert await lease.snapshot(2, 1) == 2
    assert await lease.beat("a", 1, 3, 3) == 1
    assert await lease.snapshot(3, 1) == 2


async def test_an_older_beat_does_nothing(lease: Lease) -> None:
    await lease.take("a")
    assert await lease.beat("a", 1, 2, 2) == 1
    assert await lease.snapshot(1, 2) == 1
    assert await lease.beat("a", 1, 1, 0) == 2
    assert (await lease.read("a"))[1] != []


async def test_who_has_lost_the_lease_writes_nothing(lease: Lease) -> None:
    await lease.take("a")
    assert await lease.write("a", 1, 1, b"a's") == 1
    assert await lease.take("b", "a", 1, "7") is None  # not that beat
    assert (await lease.take("b", "a", 1, "0"))[0] == 2
    assert await lease.write("a", 1, 2, b"late") == 0
    assert await lease.beat("a", 1, 1, 0) == 0
    assert await lease.snapshot(2, 1) == 0
    assert await lease.read("a") is None
    assert (await lease.read("b"))[0] == [b"field", b"a's"]


async def test_snapshots_of_another_process_of_redis_do_not_count(lease: Lease) -> None:
    await lease.take("a")
    assert await lease.beat("a", 1, 1, 1) == 1
    assert await lease.snapshot(1, 1) == 1
    await lease.link.call("return redis.call('HSET', KEYS[1], 'run', 'other')", [FAST])
    assert (await lease.read("a"))[1] == []

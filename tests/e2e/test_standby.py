"""Two machines and a Redis: one runs, the other one stands by and takes over with the address.

The machines are network namespaces with a link each to the clients' one, where Redis is too. The
address of the server is a route there, which moves.
"""

import contextlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import attrs
import pytest
import trio
from support.api import MeetApi
from support.indices import Indices
from support.meeting import open_meeting
from support.namespace import Namespace, open_machine
from support.participant import Participant
from support.redis import SECRET, RedisServer, open_redis
from support.wire.demux import DatagramKind, classify

ADDRESS = "198.51.100.10"
GCM_PROFILE = 0x0007
GONE = float(os.environ.get("MT_REDIS_GONE_SECONDS", "3"))
KEYS = f"meet-trio:{{12443-{ADDRESS}}}"
PATIENCE = 30.0
TOKEN = "sesame"


@attrs.define(eq=False)
class Machine:
    """One of the two. ``log`` grows while its server runs."""

    name: str
    namespace: Namespace
    gateway: str
    process: "subprocess.Popen[str] | None" = None
    log: list[str] = attrs.field(factory=list)
    reader: threading.Thread | None = None

    def start(self, redis: RedisServer, state: str = "off", **environ: str) -> None:
        command = [sys.executable, "-m", "meet_trio", "serve", "--http-host", ADDRESS]
        command += ["--http-port", "12443", "--media-listen-ip", ADDRESS, "--media-port", "4443"]
        command += ["--media-workers", "1", "--state-dir", state]
        keep = {
            name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ
        }
        own = {
            "AUTH_TOKEN": TOKEN,
            "PUBLIC_DOMAIN": f"{ADDRESS}:12443",
            "KM_SOCK": "off",
            "MEET_TRIO_PROCESS_SUPERVISED": "off",
            "MEET_TRIO_STATE_STANDBY": "on",
            "MEET_TRIO_STATE_REDIS_URL": redis.url,
            "MEET_TRIO_STATE_REDIS_SECRET": SECRET,
        }
        self.process = subprocess.Popen(
            self.namespace.command(*command),
            env=keep | own | environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.reader = threading.Thread(target=self._read, args=[self.process.stdout], daemon=True)
        self.reader.start()

    def _read(self, lines: Iterator[str]) -> None:
        for line in lines:
            self.log.append(line)

    async def wait_log(self, text: str, count: int = 1) -> None:
        with trio.move_on_after(PATIENCE) as scope:
            while sum(text in line for line in self.log) < count:
                await trio.sleep(0.01)
        if scope.cancelled_caught:
            pytest.fail(f"{self.name} does not say {text!r}:\n" + "".join(self.log[-40:]))

    def stop(self) -> int | None:
        """End it in order; its exit code."""
        if self.process is None:
            return None
        self.process.terminate()
        return self._wait()

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self._wait()

    def _wait(self) -> int:
        assert self.process is not None
        assert self.process.stdout is not None
        assert self.reader is not None
        code = self.process.wait(PATIENCE)
        self.reader.join()
        self.process.stdout.close()
        self.process = None
        return code


@attrs.define(eq=False)
class Site:
    """Both machines. The test is in the clients' namespace."""

    clients: Namespace
    a: Machine
    b: Machine
    redis: RedisServer
    indices: Indices = attrs.field(factory=Indices)

    def move_address(self, to: Machine) -> None:
        for machine in (self.a, self.b):
            with contextlib.suppress(subprocess.CalledProcessError):
                machine.namespace.run(f"address del {ADDRESS}/32 dev lo")
        to.namespace.run(f"address add {ADDRESS}/32 dev lo")
        self.clients.run(f"route replace {ADDRESS}/32 via {to.gateway}")

    def watch(self, people: list[Participant]) -> None:
        """Check the indices of all that clients receive."""
        for person in people:
            for session in (person.send, person.receive):
                assert session is not None
                session.transport.drop_incoming = partial(self._check, id(session))

    def _check(self, session: int, datagram: bytes) -> bool:
        match classify(datagram):
            case DatagramKind.RTP:
                self.indices.rtp(session, datagram)
            case DatagramKind.RTCP:
                self.indices.rtcp(session, GCM_PROFILE, datagram)
        return False

    def call_redis(self, *command: str) -> list[str]:
        """The lines of the answer."""
        argv = ["redis-cli", "-h", self.redis.host, "-p", str(self.redis.port), *command]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=PATIENCE)
        return done.stdout.splitlines()

    def records(self) -> int:
        """How many are in Redis."""
        (data,) = self.call_redis("hget", f"{KEYS}:lease", "data") or [""]
        (count,) = self.call_redis("hlen", data)
        return int(count)

    async def snapshots(self, count: int) -> None:
        """So many more have been written."""

        def newest() -> list[str]:
            return self.call_redis("hget", f"{KEYS}:fast", "at")

        for _ in range(count):
            last = newest()
            await wait_until(lambda last=last: newest() != last)  # type: ignore[misc]


async def wait_until(true: Callable[[], bool]) -> None:
    with trio.fail_after(PATIENCE):
        while not true():
            await trio.sleep(0.05)


@pytest.fixture
def site() -> Iterator[Site]:
    with contextlib.ExitStack() as stack:
        clients = stack.enter_context(open_machine())
        clients.run("address add 10.9.0.1/32 dev lo")
        machines = []
        for i, name in ((1, "first"), (2, "second")):
            far = stack.enter_context(open_machine())
            clients.run(f"link add {name} type veth peer name out netns {far.pid}")
            clients.run(f"link set {name} up")
            far.run("link set out up")
            clients.run(f"address add 10.9.{i}.1/30 dev {name}")
            far.run(f"address add 10.9.{i}.2/30 dev out")
            far.run(f"route add default via 10.9.{i}.1")
            machines.append(Machine(name, far, f"10.9.{i}.2"))
        with clients.inside():
            redis = stack.enter_context(open_redis("10.9.0.1"))
            site = Site(clients, *machines, redis)
            try:
                yield site
            finally:
                codes = [machine.stop() for machine in machines]
        assert all(code in (None, 0, 1, -9) for code in codes), codes


def received(people: list[Participant]) -> dict[str, int]:
    return {
        consumer.id: consumer.stream.frames
        for person in people
        for consumer in person.consumers.values()
    }


async def wait_for_media(people: list[Participant], frames: int) -> float:
    """Each stream has so many frames more than now. Returns how long it took."""
    start, before = time.monotonic(), received(people)
    with trio.fail_after(PATIENCE):
        while any(now < before[id] + frames for id, now in received(people).items()):
            await trio.sleep(0.02)
    return time.monotonic() - start


async def wait_for_silence(people: list[Participant]) -> None:
    """What was on its way has come, and then nothing does for half a second."""
    with trio.fail_after(2):
        while True:
            before = received(people)
            await trio.sleep(0.5)
            if received(people) == before:
                return


async def start_both(site: Site) -> MeetApi:
    site.move_address(site.a)
    site.a.start(site.redis)
    await site.a.wait_log("listens on")
    site.b.start(site.redis)
    await site.b.wait_log("another server holds the lease")
    return MeetApi(ADDRESS, 12443, TOKEN)


def check_streams(people: list[Participant], leaps: int) -> None:
    """Numbers have jumped so often and nothing else was wrong."""
    for person in people:
        for consumer in person.consumers.values():
            stream = consumer.stream
            assert not consumer.closed
            assert stream.duplicates == 0
            assert len(stream.faults) == leaps, stream.faults
            assert all("sequence number jumps by 16" in fault for fault in stream.faults)


async def test_the_standby_takes_over_with_the_address(site: Site) -> None:
    api = await start_both(site)
    async with open_meeting(api, await api.create_room()) as people:
        site.watch(people)
        await site.snapshots(2)
        site.a.kill()
        killed = time.monotonic()
        await site.b.wait_log("takes over from another one")
        assert time.monotonic() - killed > 1.5 - 0.5  # a lease, less the time since the last beat
        site.move_address(site.b)
        moved = time.monotonic()
        await wait_for_media(people, 3)
        assert time.monotonic() - moved < 3
        await wait_for_media(people, 10)
        check_streams(people, leaps=1)


async def test_one_that_is_cut_off_stops_before_the_other_begins(site: Site) -> None:
    """The first machine goes on having the address, and does not reach Redis any more."""
    api = await start_both(site)
    async with open_meeting(api, await api.create_room()) as people:
        site.watch(people)
        await site.snapshots(2)
        site.a.namespace.run("route add blackhole 10.9.0.1/32")
        await site.b.wait_log("takes over from another one")
        before = received(people)
        await trio.sleep(0.5)
        assert received(people) == before
        await site.a.wait_log("nothing is sent: Redis does not answer")
        site.move_address(site.b)
        await wait_for_media(people, 10)
        check_streams(people, leaps=1)
        site.a.namespace.run("route del blackhole 10.9.0.1/32")
        await site.a.wait_log("another server has taken the lease")
        assert site.a.process is not None
        with trio.fail_after(PATIENCE):
            while site.a.process.poll() is None:
                await trio.sleep(0.05)
        await wait_for_media(people, 10)
        check_streams(people, leaps=1)


async def test_a_planned_end_leaves_nothing(site: Site) -> None:
    api = await start_both(site)
    async with open_meeting(api, await api.create_room()):
        await site.snapshots(1)
    assert site.a.stop() == 0
    await site.b.wait_log("listens on")
    site.move_address(site.b)
    assert await api.rooms() == []


async def test_a_server_that_is_started_again_has_its_lease_at_once(site: Site) -> None:
    """On the same machine nothing is older than the end, and the standby does not notice."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as state:
        site.move_address(site.a)
        site.a.start(site.redis, state)
        await site.a.wait_log("listens on")
        site.b.start(site.redis)
        await site.b.wait_log("another server holds the lease")
        api = MeetApi(ADDRESS, 12443, TOKEN)
        async with open_meeting(api, await api.create_room()) as people:
            site.watch(people)
            await site.snapshots(2)
            fence = site.call_redis("hget", f"{KEYS}:lease", "fence")
            site.a.kill()
            site.a.start(site.redis, state)
            await wait_for_media(people, 10)
            assert not any("takes over" in line for line in site.b.log)
            assert site.call_redis("hget", f"{KEYS}:lease", "fence") == [str(int(fence[0]) + 1)]
            check_streams(people, leaps=0)


async def test_an_upgrade_keeps_the_lease(site: Site) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        state, console = Path(folder) / "state", Path(folder) / "console"
        state.mkdir(0o700)
        site.move_address(site.a)
        site.a.start(site.redis, str(state), KM_SOCK=str(console))
        await site.a.wait_log("listens on")
        site.b.start(site.redis)
        await site.b.wait_log("another server holds the lease")
        api = MeetApi(ADDRESS, 12443, TOKEN)
        async with open_meeting(api, await api.create_room()) as people:
            site.watch(people)
            await site.snapshots(2)
            for _ in range(2):
                command = [sys.executable, "-m", "meet_trio", "upgrade", "--socket", str(console)]
                done = await trio.run_process(
                    site.a.namespace.command(*command), capture_stdout=True, stderr=None
                )
                assert done.returncode == 0
                await wait_for_media(people, 10)
                await site.snapshots(2)
            assert not any("takes over" in line for line in site.b.log)
            check_streams(people, leaps=0)
            site.a.kill()
            await site.b.wait_log("takes over from another one")
            site.move_address(site.b)
            await wait_for_media(people, 10)
            check_streams(people, leaps=1)


async def test_one_that_was_bound_is_bound_after_a_restart(site: Site) -> None:
    """Redis is gone meanwhile. What the process before has noted says until when it may send."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as state:
        site.move_address(site.a)
        site.a.start(site.redis, state, MEET_TRIO_STATE_STANDBY="off")
        await site.a.wait_log("listens on")
        site.b.start(site.redis)
        await site.b.wait_log("another server holds the lease")
        api = MeetApi(ADDRESS, 12443, TOKEN)
        async with open_meeting(api, await api.create_room()) as people:
            site.watch(people)
            await site.snapshots(2)
            site.redis.stop()
            site.a.kill()
            site.a.start(site.redis, state, MEET_TRIO_STATE_STANDBY="off")
            await site.a.wait_log("nothing is sent: Redis does not answer")
            await wait_for_silence(people)
            assert not any("media is sent again" in line for line in site.a.log)
            site.redis.start()
            await site.a.wait_log("media is sent again")
            await wait_for_media(people, 10)
            assert not any("takes over" in line for line in site.b.log)
            check_streams(people, leaps=0)


async def test_who_is_told_that_the_holder_has_ended_takes_over_at_once(site: Site) -> None:
    """It has ended before it knew of a standby, so it could be that it goes on alone."""
    site.move_address(site.a)
    site.a.start(site.redis)
    await site.a.wait_log("listens on")
    api = MeetApi(ADDRESS, 12443, TOKEN)
    room = await api.create_room()
    await wait_until(lambda: site.records() > 0)
    site.a.kill()
    site.b.start(site.redis)
    await site.b.wait_log("another server holds the lease")
    await site.b.wait_log("the holder of the lease is silent")
    assert not any("takes over" in line for line in site.b.log)
    (line,) = (line for line in site.b.log if "the holder of the lease is silent" in line)
    command = line.partition("say ")[2].partition(" to Redis")[0].split()
    assert command[0] == "HSET"
    site.call_redis(*command)
    await site.b.wait_log("takes over from another one")
    site.move_address(site.b)
    assert room in str(await api.rooms())


async def test_calls_go_on_without_redis(site: Site) -> None:
    """Nobody stands by. Redis hangs, is gone, and comes back without what it had."""
    site.move_address(site.a)
    site.a.start(site.redis, MEET_TRIO_STATE_STANDBY="off")
    await site.a.wait_log("listens on")
    api = MeetApi(ADDRESS, 12443, TOKEN)
    async with open_meeting(api, await api.create_room()) as people:
        await wait_until(lambda: site.records() > 10)
        site.redis.pause()
        await site.a.wait_log("the state of calls is not kept in Redis")
        await wait_for_media(people, round(10 * GONE))
        site.redis.go_on()
        await site.a.wait_log("the state of calls is kept in Redis again")
        before = site.records()
        site.redis.stop()
        await site.a.wait_log("the state of calls is not kept in Redis", 2)
        await api.create_room()
        await wait_for_media(people, round(10 * GONE))
        site.redis.start()
        await site.a.wait_log("the state of calls is kept in Redis again", 2)
        await wait_until(lambda: site.records() > before)
        check_streams(people, leaps=0)

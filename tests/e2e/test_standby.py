"""Two machines and a Redis: one runs, the other one stands by and takes over with the address.

The machines are network namespaces with a link each to the clients' one, where Redis is too. The
address of the server is a route there, which moves.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial

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

    def start(self, redis: RedisServer, **environ: str) -> None:
        command = [sys.executable, "-m", "meet_trio", "serve", "--http-host", ADDRESS]
        command += ["--http-port", "12443", "--media-listen-ip", ADDRESS, "--media-port", "4443"]
        command += ["--media-workers", "1", "--state-dir", "off"]
        keep = {name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ}
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

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def stop(self) -> int | None:
        """End it in order; its exit code."""
        if self.process is None:
            return None
        process, self.process = self.process, None
        process.send_signal(signal.SIGCONT)
        process.terminate()
        code = process.wait(PATIENCE)
        assert self.reader is not None and process.stdout is not None
        self.reader.join()
        process.stdout.close()
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
        assert all(code in (None, 0, -9) for code in codes), codes


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


async def start_both(site: Site) -> MeetApi:
    site.move_address(site.a)
    site.a.start(site.redis)
    await site.a.wait_log("listens on")
    site.b.start(site.redis)
    await site.b.wait_log("another server holds the lease")
    return MeetApi(ADDRESS, 12443, TOKEN)


async def test_the_standby_takes_over_with_the_address(site: Site) -> None:
    api = await start_both(site)
    async with open_meeting(api, await api.create_room()) as people:
        site.watch(people)
        await trio.sleep(2)  # snapshots of a second
        assert site.a.process is not None
        site.a.process.kill()
        site.move_address(site.b)
        moved = time.monotonic()
        await wait_for_media(people, 3)
        assert time.monotonic() - moved < 3 + 1.7
        print("back after", time.monotonic() - moved, received(people))
        print([(c.stream.lost, c.stream.duplicates, c.stream.faults, c.closed) for x in people for c in x.consumers.values()])
        print("".join(site.b.log))

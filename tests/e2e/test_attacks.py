"""Attacks on a server with five hundred honest people connected, who notice nothing.

One daemon is attacked. Beside it on the same machine runs another one with honest people of its
own, which is not attacked. A delay that both see at the same time is caused by the machine, so the
limits grow up to a multiple of what the second daemon measures. On an otherwise idle machine the
figures are far below the limits, and the limits apply unchanged. A burst of other work may slow
only one of the two, so a try that fails is repeated, at most ``TRIES`` times: an attack slows the
server in each try. If the second daemon, which has next to nothing to do, does not get most of the
CPU time that it wants, times say nothing about the attacked one. Then only counts are checked:
requests answered, frames received, resources left.

Meanwhile the meeting of two people on different engines goes on. Afterwards nothing is left: no
file, no room, no memory, a handful of lines in the log. ``pytest -s`` prints the figures.
"""

import itertools
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
from support.helper import Helper
from support.machine import datagrams_dropped
from support.measured import Figures, Footprint, Server, footprint, memory
from support.meeting import open_meeting
from support.nginx import open_nginx
from support.participant import Participant

SECONDS = 2.0  # of an attack
TRIES = 6
TOLERANCE = 3.0  # times the figure of the second server at the same time
STARVED = 0.6  # of the CPU time that the second server wants: above this, times say nothing
CHAT, PING, LAG = 0.020, 0.050, 0.020  # seconds, at the 99th percentile
FRAME = 0.5  # seconds that a frame of the meeting may take, at most
FRAMES = 0.9  # share of the sent frames that arrive while the server is attacked
CALM = 20.0  # seconds until nothing of an attack may be left
MOST_LINES = 100  # of the log, for one attack, beside the stories of the peers that were invited
MOST_OWN_LINES = 30  # of one peer's story
LONGEST_LINE = 4000
MOST_MEMORY = 48 * 1024  # kB that an attack may leave behind in the allocator
PATIENCE = 200.0  # for all tries of an attack

FLAGS = (
    *("--media-workers", "2", "--rooms-spread-size", "1", "--media-connect-timeout", "600"),
    *("--signaling-reconnect-grace", "0.5", "--rooms-empty-timeout", "0.5"),
    *("--media-plain-allowed", "127.0.0.0/8"),
)


@attrs.define(eq=False)
class World:
    """The server that is attacked, the one beside it, and the attacker."""

    attacked: Server
    beside: Server
    attacker: Helper
    spoilt: bool = False
    """An attack raised in this world, so its state is unknown."""
    addresses: Iterator[int] = attrs.field(factory=lambda: itertools.count(1))

    @classmethod
    def start(cls) -> "World":
        attacked, beside = Server.start(50, 10, FLAGS), Server.start(10, 10, FLAGS)
        attacker = Helper.start("support.attacker")
        of = {"port": attacked.daemon.port, "token": attacked.api.token}
        attacker.ask({"target": {**of, "media_port": 0, "room": ""}})
        return cls(attacked, beside, attacker)

    @property
    def works(self) -> bool:
        return self.attacked.works and self.beside.works and self.attacker.process.poll() is None

    def stop(self) -> None:
        self.attacker.process.kill()
        self.attacker.stop()
        self.attacked.stop()
        self.beside.stop()

    def next_address(self) -> str:
        return f"127.9.0.{next(self.addresses)}"


@pytest.fixture(scope="module")
def worlds() -> Iterator[list[World]]:
    """The running world, if there is one; a test that finds it broken starts another one."""
    running: list[World] = []
    yield running
    for world in running:
        world.stop()


@pytest.fixture
def world(worlds: list[World]) -> Iterator[World]:
    if worlds and not worlds[0].works:
        worlds.pop().stop()
    if not worlds:
        worlds.append(World.start())
    [running] = worlds
    yield running
    if running.spoilt:
        worlds.pop().stop()


# The meeting


@attrs.define(eq=False)
class Meeting:
    """Two people on different engines who hear and see each other."""

    people: list[Participant]
    _sent: int = 0
    _came: int = 0
    _lost: int = 0
    _asked: int = 0
    _since: float = 0.0

    def mark(self) -> None:
        """Counting starts here."""
        self._since = trio.current_time()
        self._sent, self._came, self._lost, self._asked = self._counts()
        for consumer in self._consumers():
            consumer.stream.latencies.clear()

    def _counts(self) -> tuple[int, int, int, int]:
        sent = sum(p.source.frame for person in self.people for p in person.producers.values())
        came = sum(consumer.stream.frames for consumer in self._consumers())
        lost = sum(consumer.stream.lost for consumer in self._consumers())
        asked = max(
            p.source.key_frame_requests
            for person in self.people
            for p in person.producers.values()
            if p.kind == "video"
        )
        return sent, came, lost, asked

    def _consumers(self) -> list[Any]:
        """Consumers of each other's streams, without those of the attackers."""
        ids = {person.id for person in self.people}
        return [c for person in self.people for c in person.consumers.values() if c.peer_id in ids]

    def tell(self) -> dict[str, float]:
        sent, came, lost, asked = self._counts()
        latencies = [x for consumer in self._consumers() for x in consumer.stream.latencies]
        return {
            "seconds": trio.current_time() - self._since,
            "share": (came - self._came) / max(sent - self._sent, 1),
            "slowest": max(latencies, default=float("inf")),
            "lost": lost - self._lost,
            "key_frames": asked - self._asked,
        }


# An attack


@attrs.frozen
class Outcome:
    """Results of one try. ``faults`` are those that no load of the machine excuses."""

    attacked: Figures
    beside: Figures
    media: dict[str, float]
    quiet: dict[str, float]
    said: dict[str, Any]
    faults: list[str]
    dropped: int
    """Datagrams that the kernel dropped on the whole machine, as their reader had no CPU."""

    @property
    def told(self) -> bool:
        """True if the times say something."""
        return self.beside.starved < STARVED

    def slow(self) -> list[str]:
        """Figures that are too slow, compared with the second server."""
        found = []
        limits = {"chat": CHAT, "request": PING, "api": PING, "held": LAG, "worked": LAG}
        for name, limit in limits.items():
            there, here = getattr(self.beside, name), getattr(self.attacked, name)
            if here > max(limit, TOLERANCE * there):
                found.append(f"{name}: {1000 * here:.1f} ms, beside it {1000 * there:.1f} ms")
        allowed = max(FRAME, TOLERANCE * self.beside.held, TOLERANCE * self.quiet["slowest"])
        if self.media["slowest"] > allowed:
            found.append(f"a frame took {self.media['slowest']:.2f} s")
        if self.media["share"] < FRAMES:
            found.append(f"{self.media['share']:.0%} of the frames came")
        return found


Check = Callable[[Outcome], list[str]]


def nothing_else(outcome: Outcome) -> list[str]:
    return []


async def attack(
    world: World,
    name: str,
    *,
    sixty: bool = False,
    seconds: float = SECONDS,
    check: Check = nothing_else,
) -> None:
    """Repeat the attack up to ``TRIES`` times, until one goes unnoticed."""
    with trio.fail_after(PATIENCE):
        if sixty:
            await world.attacker.aask({"warm": True})
        slow: list[str] = []
        for _ in range(TRIES):
            try:
                outcome = await one_try(world, name, seconds)
            except BaseException:
                world.spoilt = True  # the attack may still be running
                raise
            print(
                f"\n{name}: {'; '.join(outcome.said['seen'])}\n  attacked: {outcome.attacked}"
                f"\n  beside:   {outcome.beside}\n  media: {outcome.media}"
                f", {outcome.dropped} datagrams dropped"
            )
            if faults := outcome.faults + check(outcome):
                pytest.fail(f"{name}: {'; '.join(faults)}")
            if outcome.told:
                if not (found := outcome.slow()):
                    return
                slow.append("; ".join(found))
                print("  slow:", slow[-1])
        if len(slow) > 1:
            pytest.fail(f"{name}: each time too slow: {' / '.join(slow)}")


async def one_try(world: World, name: str, seconds: float) -> Outcome:
    server = world.attacked
    before, lines, size = await footprint(server), len(server.daemon.log), memory(server)
    room_id = await server.api.create_room()
    async with open_meeting(server.api, room_id) as two:
        people = Meeting(two)
        address = {"source": world.next_address(), "media_port": 0, "room": room_id}
        await world.attacker.aask({"prepare": name, **address})
        people.mark()
        await trio.sleep(0.5)
        quiet = people.tell()
        people.mark()
        await server.mark()
        await world.beside.mark()
        began, dropped = trio.current_time(), datagrams_dropped()
        said = await world.attacker.aask({"go": seconds})
        # The stretch is never shorter, so that there is something to count even if the attack is
        # refused at once.
        await trio.sleep_until(began + seconds)
        attacked, beside = await server.tell(), await world.beside.tell()
        media, dropped = people.tell(), datagrams_dropped() - dropped
        await world.attacker.aask({"over": True})
    faults = await left_behind(server, before, lines, size)
    if attacked.failed:
        faults.append(f"{attacked.failed} calls of the API failed")
    if attacked.here != server.crowd:
        faults.append(f"{server.crowd - attacked.here} honest people are gone")
    return Outcome(attacked, beside, media, quiet, said, faults, dropped)


async def left_behind(server: Server, before: Footprint, lines: int, size: int) -> list[str]:
    deadline = time.monotonic() + CALM
    while not (after := await footprint(server)).within(before):
        if time.monotonic() > deadline:
            rooms = dict(after.rooms.items() ^ before.rooms.items())
            return [f"left behind: {after.files - before.files} files, of rooms {rooms}"]
        await trio.sleep(0.1)
    faults = []
    said, grown = server.daemon.log[lines:], memory(server) - size
    owners = [re.search(r" peer=([0-9a-f-]{36})", line) for line in said]
    stories = Counter(owner[1] for owner in owners if owner)
    if (others := len(said) - stories.total()) > MOST_LINES:
        faults.append(f"{others} lines of log that are about no peer")
    if stories and (most := max(stories.values())) > MOST_OWN_LINES:
        faults.append(f"{most} lines of log about one peer")
    if longest := [line for line in said if len(line) > LONGEST_LINE]:
        faults.append(f"a line of {max(map(len, longest))} characters in the log")
    if grown > MOST_MEMORY:
        faults.append(f"{grown} kB more of memory")
    if traces := sum("Traceback" in line for line in said):
        faults.append(f"{traces} tracebacks in the log")
    return faults


# Over HTTP and websockets


async def test_a_thousand_handshakes_a_second(world: World) -> None:
    await attack(world, "a_thousand_handshakes_a_second")


async def test_idle_connections_of_four_addresses(world: World) -> None:
    await attack(world, "idle_connections_of_four_addresses")


async def test_websocket_pings_at_full_speed(world: World) -> None:
    """The server reads next to nothing of four clients that have sent no token."""
    await attack(world, "websocket_pings_at_full_speed", check=at_most("pongs", 4 * 1000))


async def test_nested_lists_of_strangers(world: World) -> None:
    await attack(world, "nested_lists_of_strangers")


async def test_nested_lists_of_a_participant(world: World) -> None:
    await attack(world, "nested_lists_of_a_participant")


async def test_notices_that_are_not_read(world: World) -> None:
    await attack(world, "notices_that_are_not_read")


async def test_methods_for_the_log(world: World) -> None:
    """The server wrote every line itself, and no line moves a terminal's cursor."""
    log = world.attacked.daemon.log
    first = len(log)
    await attack(world, "methods_for_the_log")
    forged = [line for line in log[first:] if not LINE.fullmatch(line) or FORGED.search(line)]
    assert forged == []


LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} [A-Z]+ +meet_trio\.\w.*\n")
FORGED = re.compile("^2026-01-01|[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]")


async def test_statistics_while_peers_are_kicked(world: World) -> None:
    await attack(world, "statistics_while_peers_are_kicked", check=at_most("failed", 0))


def at_most(figure: str, most: float) -> Check:
    def check(outcome: Outcome) -> list[str]:
        is_ = outcome.said[figure]
        return [f"{figure}: {is_:.0f}, more than {most:.0f}"] if is_ > most else []

    return check


# With requests


async def test_a_mid_of_other_letters(world: World) -> None:
    await attack(world, "a_mid_of_other_letters", check=at_most("harmed", 0))


async def test_junk_codecs(world: World) -> None:
    await attack(world, "junk_codecs", sixty=True, check=at_most("bytes", 10_000))


@pytest.mark.parametrize(
    "what", ["produce_and_close", "pause_and_resume", "join_again", "dump_stats"]
)
async def test_one_of_sixty_asks_without_end(world: World, what: str) -> None:
    await attack(world, f"{what}_among_sixty", sixty=True)


# With media


async def test_numbers_that_sink(world: World) -> None:
    await attack(world, "numbers_that_sink")


async def test_numbers_that_jump(world: World) -> None:
    await attack(world, "numbers_that_jump")


async def test_flipping_losses(world: World) -> None:
    """A consumer gets one score per second, and the first one at once."""

    def check(outcome: Outcome) -> list[str]:
        told, most = outcome.said["notices"], 60 * (outcome.media["seconds"] + 2)
        return [f"{told} notices of scores"] if told > most else []

    await attack(world, "flipping_losses", sixty=True, check=check)


async def test_key_frames_without_end(world: World) -> None:
    """A viewer gets ten at once; after that they are rare."""

    def check(outcome: Outcome) -> list[str]:
        asked, seconds = outcome.media["key_frames"], outcome.media["seconds"]
        return [f"{asked:.0f} key frames in {seconds} s"] if asked > 12 + seconds / 3 else []

    await attack(world, "key_frames_without_end", seconds=8, check=check)


async def test_retransmissions_without_end(world: World) -> None:
    """Retransmissions are bounded by a share of what is sent."""

    def check(outcome: Outcome) -> list[str]:
        said = outcome.said
        most = 20_000 + 2 * said["quiet"] * outcome.media["seconds"]
        return [f"{said['more']:.0f} bytes again"] if said["more"] > most else []

    await attack(world, "retransmissions_without_end", check=check)


async def test_sender_reports_without_end(world: World) -> None:
    """Packets that others send across the engines are not pushed out."""

    def check(outcome: Outcome) -> list[str]:
        lost, dropped = outcome.media["lost"], outcome.dropped
        return [f"{lost:.0f} packets of the meeting are lost"] if lost > dropped else []

    await attack(world, "sender_reports_without_end", check=check)


# Protocols other than HTTP/1.1 and websockets

H2C = (
    b"GET /ping HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
    b"HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"
)
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"  # with empty SETTINGS


async def first_answer(port: int, said: bytes) -> bytes:
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(said)
        with trio.fail_after(60):
            return bytes(await stream.receive_some())


@pytest.mark.parametrize(
    "said",
    [H2C, H2C.replace(b"h2c", b"TLS/1.0, h2c"), PREFACE],
    ids=["h2c", "h2c among others", "preface"],
)
async def test_nothing_but_http_1(world: World, tmp_path: Path, said: bytes) -> None:
    """HTTP/2 is spoken neither directly nor through a proxy that passes on requests to upgrade."""
    straight = await first_answer(world.attacked.daemon.port, said)
    assert not straight.startswith(b"HTTP/1.1 101")
    assert straight == b"" or straight.startswith(b"HTTP/1.1 "), straight
    with open_nginx(world.attacked.daemon.port, tmp_path) as port:
        through = await first_answer(port, said)
        assert not through.startswith(b"HTTP/1.1 101")
        assert through == b"" or through.startswith((b"HTTP/1.1 ", b"<html")), through

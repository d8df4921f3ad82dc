"""The server's side of the console: its socket, its limits, its commands."""

import contextlib
import fcntl
import logging
import os
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trio
import trio.testing
from support.console import AnsweringEngine, Terminal, connect, meeting, open_console
from support.live_scenes import open_world, pair
from support.loop_turns import counting
from support.peers import EVERYTHING
from support.shapes import MEDIASOUP, NOT_COUNTED, departures
from trio.testing import MockClock

from meet_trio.console import commands
from meet_trio.console.call import Call
from meet_trio.console.commands import Command
from meet_trio.console.listener import SocketUnusable, open_console_socket, open_socket
from meet_trio.console.settings import ConsoleSettings, ConsoleSocket
from meet_trio.errors import ConfigError
from meet_trio.operator.inventory import Inventory
from meet_trio.turns import Turns


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "console.sock"


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Adds a command for the time of a test."""

    def add(name: str, run: Any, **how: Any) -> None:
        row = Command(name, run, "", **how)
        monkeypatch.setattr(commands, "COMMANDS", {**commands.COMMANDS, name: row})
        monkeypatch.setattr("meet_trio.console.server.COMMANDS", commands.COMMANDS)

    return add


# The socket


@pytest.fixture
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def test_only_its_owner_can_connect(path: Path, open_umask: None) -> None:
    with open_socket(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not path.exists()


def test_a_killed_server_s_file_is_replaced(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with open_socket(path), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


def test_a_second_server_leaves_the_first_one_alone(path: Path) -> None:
    with open_socket(path):
        own = path.stat().st_ino
        with pytest.raises(SocketUnusable, match=f"{path}: another server has its console there"):
            open_socket(path).__enter__()
        assert path.stat().st_ino == own


def test_a_full_backlog_is_a_server_too(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as busy, contextlib.ExitStack() as stack:
        busy.bind(str(path))
        busy.listen(0)
        for _ in range(3):
            waiting = stack.enter_context(socket.socket(socket.AF_UNIX))
            waiting.setblocking(False)
            waiting.connect_ex(str(path))
        with pytest.raises(SocketUnusable, match="another server"):
            open_socket(path).__enter__()


def test_a_file_that_is_no_socket_is_kept(path: Path) -> None:
    path.write_text("precious")
    with pytest.raises(SocketUnusable, match="no socket"):
        open_socket(path).__enter__()
    assert path.read_text() == "precious"


def test_another_server_s_file_is_not_removed_in_the_end(path: Path) -> None:
    with open_socket(path):
        path.rename(path.with_suffix(".old"))
        other = socket.socket(socket.AF_UNIX)
        other.bind(str(path))
    assert path.exists()
    other.close()


def test_two_that_start_together_do_not_replace_each_other(path: Path) -> None:
    """While one server looks whether the file is stale, another one waits for its next start."""
    fd = os.open(path.parent, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    try:
        with pytest.raises(SocketUnusable, match="another server is starting"):
            open_socket(path).__enter__()
    finally:
        os.close(fd)
    assert not path.exists()


def test_a_chosen_path_is_needed_and_the_default_is_not(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with open_socket(path):
        with pytest.raises(ConfigError, match=r"console\.socket: .*another server"):
            open_console_socket(ConsoleSettings(socket=ConsoleSocket(path))).__enter__()
        default = ConsoleSettings(socket=ConsoleSocket(path, chosen=False))
        with open_console_socket(default) as listening:
            assert listening is None
    assert "there is no console" in caplog.text
    nowhere = path.parent / "missing" / "console.sock"
    with pytest.raises(ConfigError, match="No such file"):
        open_console_socket(ConsoleSettings(socket=ConsoleSocket(nowhere))).__enter__()
    with open_console_socket(ConsoleSettings()) as listening:
        assert listening is None


# Connections


async def test_one_command_at_a_time_and_it_can_be_cancelled(
    path: Path, command: Callable[..., None]
) -> None:
    async def wait(call: Call) -> None:
        await call.put("begun")
        await trio.sleep_forever()

    command("wait", wait, form="text")
    async with open_world() as world, open_console(world, path) as terminal:
        await terminal.say(id=7, command="wait")
        assert await terminal.line() == {"id": 7, "form": "text"}
        assert await terminal.line() == {"id": 7, "item": "begun"}
        await terminal.say(id=8, command="stats")
        refused = await terminal.line()
        assert refused is not None
        assert (refused["id"], refused["usage"]) == (8, True)
        await terminal.say(id=8, cancel=True)  # that is not the one that runs
        await terminal.say(id=7, cancel=True)
        assert await terminal.end() == ([], {"id": 7, "error": "cancelled", "usage": False})
        assert await terminal.ask("stats") == [{"rooms": 0, "peers": 0}]


async def test_a_fault_ends_neither_the_console_nor_the_server(
    path: Path, command: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    async def divide(call: Call) -> None:
        async with trio.open_nursery():
            raise ZeroDivisionError

    command("divide", divide)
    async with open_world() as world, open_console(world, path) as terminal:
        assert "fault of the server" in await terminal.fail("divide")
        assert await terminal.ask("stats")
        assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"hello\n", "not JSON"),
        (b"[1]\n", "not a JSON object"),
        (b"[" * 200 + b"\n", "not JSON"),
        (b"\xff\n", "not JSON"),
        (b"x" * 300, "at most 256 bytes"),
        (b"x" * 300 + b"\n", "at most 256 bytes"),
    ],
)
async def test_what_is_no_message_ends_the_connection(path: Path, line: bytes, says: str) -> None:
    async with open_world() as world, open_console(world, path, max_line=256) as terminal:
        await terminal.stream.send_all(line)
        answer = await terminal.line()
        assert answer is not None
        assert says in answer["error"]
        assert await terminal.line() is None
        other = await connect(path)
        assert await other.ask("stats")
        await other.stream.aclose()


@pytest.mark.parametrize(
    ("message", "says"),
    [
        ({}, "command: expected"),
        ({"command": ["help"]}, "command: expected"),
        ({"command": "help", "arguments": "x"}, "arguments: expected"),
        ({"command": "help", "arguments": [1]}, "arguments: expected"),
        ({"command": "kick", "arguments": ["x"] * 101}, "at most 100"),
        ({"command": "stats", "arguments": ["x"]}, "usage: stats"),
        ({"command": "nonsense"}, "no command 'nonsense'"),
    ],
)
async def test_wrong_usage(path: Path, message: dict[str, object], says: str) -> None:
    async with open_world() as world, open_console(world, path) as terminal:
        await terminal.say(id="a", **message)
        _, end = await terminal.end()
        assert (end["id"], end["usage"]) == ("a", True)
        assert says in end["error"]


async def test_connections_are_limited(path: Path) -> None:
    async with open_world() as world, open_console(world, path, max_connections=2):
        second = await connect(path)
        third = Terminal(await trio.open_unix_socket(path))
        refusal = await third.line()
        assert refusal is not None
        assert "console.max_connections" in refusal["error"]
        assert await third.line() is None
        await second.stream.aclose()
        await trio.testing.wait_all_tasks_blocked()
        fourth = await connect(path)
        assert await fourth.ask("stats")
        for terminal in (third, fourth):
            await terminal.stream.aclose()


async def test_a_console_that_reads_nothing_is_closed(
    path: Path, command: Callable[..., None], autojump_clock: MockClock
) -> None:
    """Its command stands still meanwhile, and others go on."""
    put = 0

    async def flood(call: Call) -> None:
        nonlocal put
        while True:
            await call.put("x" * 10_000)
            put += 1

    command("flood", flood)
    async with open_world() as world, open_console(world, path, write_timeout=5.0) as deaf:
        await deaf.say(id=1, command="flood")
        await trio.testing.wait_all_tasks_blocked()
        assert put < 200
        stood_at = put
        began = trio.current_time()
        other = await connect(path)
        assert await other.ask("stats")
        assert trio.current_time() - began < 1
        await trio.sleep(6)
        assert put == stood_at
        while await deaf.line() is not None:
            pass
        await other.stream.aclose()


async def test_a_client_that_sends_all_and_reads_later(path: Path) -> None:
    async with meeting(path) as (terminal, *_):
        await terminal.say(id=1, command="dumpRouter")
        await terminal.stream.send_eof()
        items, end = await terminal.end()
        assert len(items) == 1
        assert end["done"]


async def test_a_command_does_not_go_on_for_ever_without_its_client(
    path: Path, command: Callable[..., None], autojump_clock: MockClock
) -> None:
    async def wait(call: Call) -> None:
        await trio.sleep_forever()

    command("wait", wait)
    async with open_world() as world, open_console(world, path) as terminal:
        await terminal.say(id=1, command="wait")
        await terminal.stream.send_eof()
        began = trio.current_time()
        while await terminal.line() is not None:
            pass
        assert 9 < trio.current_time() - began < 11


@pytest.mark.parametrize("earlier", range(0, 150, 6))
async def test_cancelled_at_any_moment_nothing_is_left(path: Path, earlier: int) -> None:
    files = len(os.listdir("/proc/self/fd"))
    async with open_world(engines=[(engine := AnsweringEngine())]) as world:
        engine.world = world
        await pair(world)
        before = trio.lowlevel.current_statistics().tasks_living
        async with trio.open_nursery() as nursery:

            async def operate() -> None:
                async with open_console(world, path) as terminal:
                    for name in ("dt", "statsRoom", "watch", "dumpWorkers"):
                        await terminal.ask(name)

            nursery.start_soon(operate)
            for _ in range(earlier):
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
        assert path.name not in os.listdir(path.parent)
        assert trio.lowlevel.current_statistics().tasks_living == before
    assert len(os.listdir("/proc/self/fd")) == files


async def test_a_large_item_is_made_in_many_turns(path: Path, command: Callable[..., None]) -> None:
    async def many(call: Call) -> None:
        await call.put(list(range(50_000)))

    command("many", many)
    async with open_world() as world, open_console(world, path) as terminal:
        with counting() as turns:
            (item,) = await terminal.ask("many")
    assert len(item) == 50_000
    assert turns.number > 40


# Commands


async def test_objects_by_id_by_beginning_and_the_latest(path: Path) -> None:
    async with meeting(path) as (terminal, world, ada, bob):
        room = await world.registry.create_room()
        assert [row["room"] for row in await terminal.ask("rooms")] == list(world.registry.rooms)
        (latest,) = await terminal.ask("dr")
        assert latest["id"] == room.id
        (first,) = await terminal.ask("dr", ada.room.id)
        assert len(first["transportIds"]) == 2
        (same,) = await terminal.ask("dumpRouter", ada.room.id[:12])
        assert same == first
        assert len(await terminal.ask("dr", "all")) == 2
        assert "no room whose id begins with 'zzz'" in await terminal.fail("dr", "zzz")
        ambiguous = await terminal.fail("dumpPeers", "")
        assert "no peer whose id begins with ''" in ambiguous
        assert [each["id"] for each in await terminal.ask("dumpPeers")] == [ada.id, bob.id]
        assert [row["state"] for row in await terminal.ask("peers")] == ["connected"] * 2
        room.invite(EVERYTHING)
        (guest,) = await terminal.ask("peers", room.id)
        assert guest["state"] == "invited"
        bob.socket.lose()
        await trio.testing.wait_all_tasks_blocked()
        assert [row["state"] for row in await terminal.ask("peers", ada.room.id)] == [
            "connected",
            "away",
        ]


async def test_a_long_list_is_made_in_several_turns() -> None:
    state = SimpleNamespace(closed=False)
    rooms = {str(n): SimpleNamespace(id=str(n), created_at=n, state=state) for n in range(5000)}
    inventory = Inventory(SimpleNamespace(rooms=rooms), Turns())  # type: ignore[arg-type]
    with counting() as turns:
        found = await inventory.rooms()
    assert [each.id for each in found] == list(rooms)
    assert turns.number >= 3


async def test_without_any_object(path: Path) -> None:
    async with open_world() as world, open_console(world, path) as terminal:
        assert await terminal.fail("dt") == "there is no transport"
        assert await terminal.ask("dt", "all") == []
        assert await terminal.ask("watch") == []
        assert await terminal.ask("rooms") == []


async def test_shapes_without_figures(path: Path) -> None:
    """An engine that does not know an object yet leaves the shapes as they are."""
    async with meeting(path) as (terminal, _, ada, _bob):
        answer = await ada.socket.ask("createPlainTransport", producing=True, consuming=False)
        assert answer[0] is None
        (plain,) = await terminal.ask("dt")
        (plain_stats,) = await terminal.ask("st")
        found: dict[str, Any] = {
            "plainTransport": plain,
            "plainTransportStats": plain_stats[0],
            "webRtcTransport": (await terminal.ask("dt", "all"))[0],
            "webRtcTransportStats": (await terminal.ask("st", "all"))[0][0],
            "producer": (await terminal.ask("dp"))[0],
            "consumer": (await terminal.ask("dc"))[0],
            "outbound": (await terminal.ask("sc"))[0][0],
            "worker": (await terminal.ask("dw"))[0],
        }
        for name, value in found.items():
            free = NOT_COUNTED | {"rtpPacketLossSent", "maxIncomingBitrate"}
            wrong = list(departures(value, MEDIASOUP[name], free, name))
            assert [w for w in wrong if not w.endswith("is no null")] == [], name


async def test_an_operator_kicks(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Also the owner, whom no moderator can kick. The others are told as by a moderator's kick."""
    caplog.set_level(logging.INFO)
    async with meeting(path) as (terminal, _, ada, bob):
        (said,) = await terminal.ask("kick", ada.id[:9], "too", "loud")
        assert said == f"kicked peer {ada.id} of room {ada.room.id}"
        await trio.testing.wait_all_tasks_blocked()
        assert ada.socket.notices("moderator:kickPeer") == [{"reason": "too loud"}]
        assert not ada.socket.connected
        assert bob.socket.notices("peerClosed") == [{"peerId": ada.id}]
        assert f"user {os.getuid()}, process {os.getpid()}: kick {ada.id[:9]} too loud" in (
            caplog.text
        )
        assert "at most 200" in await terminal.fail("kick", bob.id, "x" * 201)
        await terminal.ask("kick", bob.id)
        await trio.testing.wait_all_tasks_blocked()
        assert bob.socket.notices("moderator:kickPeer") == [{}]
        assert "no peer" in await terminal.fail("kick", bob.id)


async def test_an_operator_closes_a_room(path: Path) -> None:
    async with meeting(path) as (terminal, world, ada, bob):
        assert "usage" in await terminal.fail("close")
        (said,) = await terminal.ask("close", ada.room.id)
        assert said == f"closed room {ada.room.id}; peers: 2"
        await trio.testing.wait_all_tasks_blocked()
        for client in (ada, bob):
            assert client.socket.notices("moderator:closeRoom") == [None]
            assert not client.socket.connected
        assert not world.registry.rooms
        assert [hook.event for hook in world.webhooks] == ["roomClosed"]


async def test_completion(path: Path) -> None:
    async with meeting(path) as (terminal, _, ada, bob):
        kinds = {row["name"]: row["takes"] for row in await terminal.ask("commands")}
        assert kinds["kick"] == "peer"
        assert "ids" not in kinds
        assert await terminal.ask("ids", "peer") == [ada.id, bob.id]
        assert await terminal.ask("ids", "peer", bob.id[:9]) == [bob.id]
        assert "kinds:" in await terminal.fail("ids", "dog")


async def test_a_completion_offers_so_many(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "_MOST_IDS", 3)
    async with open_world() as world, open_console(world, path) as terminal:
        rooms = [(await world.registry.create_room()).id for _ in range(5)]
        assert await terminal.ask("ids", "room") == rooms[:3]


# The Python prompt


async def test_the_python_prompt_is_off(path: Path) -> None:
    async with open_world() as world, open_console(world, path) as terminal:
        assert "console.terminal" in await terminal.fail("terminal", "1")


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("1 + 1", "2"),
        ("x = 3", None),
        ("None", None),
        ("print('a', 'b'); settings", "a b\n'the settings'"),
        ("await trio.sleep(3)\n'slept'", "'slept'"),
        ("[await trio.sleep(n) for n in range(2)]", "[None, None]"),
        ("def f():\n    return registry.rooms is rooms\nf()", "True"),
        ("1 +", "SyntaxError: invalid syntax"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("exit()", "SystemExit"),
        ("async with trio.open_nursery() as n: n.start_soon(1)", "TypeError"),
    ],
)
async def test_inputs(
    path: Path, source: str, shown: str | None, autojump_clock: MockClock
) -> None:
    async with open_world() as world, open_console(world, path, terminal=True) as terminal:
        items = await terminal.ask("terminal", source)
        assert bool(items) == (shown is not None)
        if shown is not None:
            assert shown in items[0]
            assert "terminal.py" not in items[0].replace("test_", "")
        # the console goes on, and remembers
        assert await terminal.ask("t", "y = 5") == []
        assert await terminal.ask("t", "y") == ["5"]
        assert await terminal.ask("t", "_ + 1") == ["6"]


async def test_an_input_that_awaits_can_be_cancelled(path: Path) -> None:
    async with open_world() as world, open_console(world, path, terminal=True) as terminal:
        await terminal.say(id=1, command="t", arguments=["await trio.sleep_forever()"])
        await trio.testing.wait_all_tasks_blocked()
        await terminal.say(id=1, cancel=True)
        assert (await terminal.end())[1]["error"] == "cancelled"
        assert await terminal.ask("t", "2") == ["2"]


async def test_what_an_input_prints_is_bounded(path: Path) -> None:
    async with open_world() as world, open_console(world, path, terminal=True) as terminal:
        (shown,) = await terminal.ask("t", "for _ in range(30): print('x' * 100_000)")
        assert len(shown) == 1_000_000

"""Commands of the console that change the server, and those about one call."""

import base64
import logging
import os
from pathlib import Path

import pytest
import trio
import trio.testing
from support.console import meeting
from trio.testing import MockClock

from meet_trio.errors import LimitExceeded


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "console.sock"


async def test_levels_of_the_log(path: Path) -> None:
    async with meeting(path) as (terminal, *_):
        assert await terminal.ask("log") == [{"level": "info"}]
        assert await terminal.ask("log", "warning") == [{"level": "warning"}]
        (found,) = await terminal.ask("logLevel", "debug", "live.room")
        assert found == {"level": "warning", "meet_trio.live.room": "debug"}
        assert await terminal.ask("log", "reset", "live.room") == [{"level": "warning"}]
        assert "levels: debug" in await terminal.fail("log", "loud")
        assert "no part has that name" in await terminal.fail("log", "info", "kolabmeet-server:x")


async def test_tags_of_the_log(path: Path) -> None:
    async with meeting(path) as (terminal, *_):
        await terminal.ask("log", "debug", "live.room")
        (found,) = await terminal.ask("logTags", "ice", "dtls")
        parts = ("dtls", "plain", "transport")
        assert found == {"level": "info"} | {f"meet_trio.media.{part}": "debug" for part in parts}
        assert "'sip' is no tag" in await terminal.fail("logTags", "ice", "sip")


async def test_drain(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with meeting(path) as (terminal, world, *_):
        async with trio.open_nursery() as nursery:
            assert terminal.server is not None
            nursery.start_soon(terminal.server.drain.run)
            (said,) = await terminal.ask("drain", "60")
            assert said == "draining: no new rooms; left: 1 room, 2 peers"
            await trio.testing.wait_all_tasks_blocked()
            assert f"user {os.getuid()}, process {os.getpid()}: drain 60" in caplog.text
            with pytest.raises(LimitExceeded, match="drain"):
                await world.registry.create_room()
            assert "drains already" in await terminal.fail("drain")
            await terminal.ask("drain", "off")
            await trio.testing.wait_all_tasks_blocked()
            assert await world.registry.create_room()
            assert "no drain" in await terminal.fail("drain", "off")
            await terminal.ask("drain")
            assert f"process {os.getpid()}: drain\n" in caplog.text
            for wrong in ("soon", "-1", "nan", "1e9"):
                assert "is no number" in await terminal.fail("drain", wrong)
            nursery.cancel_scope.cancel()


async def test_health(path: Path) -> None:
    async with meeting(path) as (terminal, *_):
        assert await terminal.ask("health") == ["healthy"]
    async with meeting(path, reasons=lambda: ["one", "two"]) as (terminal, *_):
        assert await terminal.ask("health") == ["one", "two"]


async def test_explain(path: Path) -> None:
    async with meeting(path) as (terminal, _, ada, bob):
        (consumer,) = ada.room.consumers
        (explained,) = await terminal.ask("explain", consumer[:8])
        assert (explained["consumer"], explained["viewer"]) == (consumer, bob.id)
        assert explained["sentences"]
        assert [explained] == await terminal.ask("explain")  # the latest
        (about_peer,) = await terminal.ask("explain", bob.id)
        assert about_peer["sentences"][0].startswith(f"Peer {bob.id} has joined")
        assert "no peer" in await terminal.fail("explain", "zzz")


async def test_trace(path: Path, autojump_clock: MockClock) -> None:
    async with meeting(path) as (terminal, _, ada, _):
        (transport,) = ada.room.peers[ada.id].transports
        *pieces, told = await terminal.ask("trace", transport, "2")
        assert b"".join(map(base64.b64decode, pieces))[:4] == b"\x0a\x0d\x0d\x0a"
        assert told.startswith("0 packets, 0 lost, ")
        assert told.endswith("it ended: 2 s are over")
        assert "no transport" in await terminal.fail("trace", "zzz")
        for wrong in (("never",), ("0",), ("1", "1000")):
            assert "is no number" in await terminal.fail("trace", transport, *wrong)


async def test_a_trace_that_is_cancelled_leaves_no_tap(path: Path) -> None:
    async with meeting(path) as (terminal, _, ada, _):
        ((transport, live),) = ada.room.peers[ada.id].transports.items()
        for _ in range(2):  # a second trace of the same transport would be refused
            await terminal.say(id=1, command="trace", arguments=[transport])
            await terminal.line()
            assert live.host.engine.traced == {live.number}
            await terminal.say(id=1, cancel=True)
            _, end = await terminal.end()
            assert "cancelled" in end["error"]
            assert live.host.engine.traced == set()

"""What a killed server has left cannot be used, or not all of it, or could not be written."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from support.api import MeetApi
from support.daemon import api_of
from support.gathering import open_gathering
from support.meeting import open_meeting
from support.peers import PARTICIPANT
from support.restarts import PATIENCE, Restarting, open_restarting
from support.signaling import open_signaling

from meet_trio.supervisor.crash_loop import MAX_CRASHES

TOKEN = "a-token-that-does-not-change"


def logged(restarting: Restarting, text: str) -> int:
    return sum(text in line for line in list(restarting.daemon.log))


def log_of(restarting: Restarting) -> Path:
    (path,) = restarting.state.glob("*/*/log")
    return path


async def test_a_crash_loop_ends_in_a_clean_start() -> None:
    """Of the rooms before nothing is there: no room, no socket, no record."""
    with open_restarting("--http-auth-token", TOKEN) as restarting:
        api = MeetApi("127.0.0.1", restarting.daemon.port, TOKEN)
        room = await api.create_room()
        async with open_meeting(api, room) as people:
            assert people[0].send is not None
            port = people[0].send.transport.remote.address[1]
            for crash in range(1, MAX_CRASHES + 1):
                assert port in udp_ports()
                assert room.encode() in log_of(restarting).read_bytes()
                await restarting.replace()
                await restarting.wait_for_log("listens on http", crash + 1)
        assert logged(restarting, "the next one starts without what it left") == 1
        assert await api.rooms() == []
        await restarting.settled()
        assert room.encode() not in log_of(restarting).read_bytes()
        assert port not in udp_ports()


def udp_ports() -> set[int]:
    lines = Path("/proc/net/udp").read_text().splitlines()[1:]
    return {int(line.split()[1].rpartition(":")[2], 16) for line in lines}


async def test_a_damaged_record_costs_itself() -> None:
    """In the middle of the log of a meeting: it is named, and all others go on."""
    with open_restarting() as restarting:
        api = api_of(restarting.daemon)
        async with open_gathering(api, await api.create_room(), 3) as gathering:
            guest = gathering.guests[1]
            id, damaged = next(iter(guest.person.consumers.items()))
            path = log_of(restarting)
            damage(path, f"viewing/{id}".encode())
            await restarting.replace()
            await gathering.wait_for_returns(1)
            with trio.fail_after(PATIENCE):
                while not damaged.closed:
                    await trio.sleep(0.02)
            assert logged(restarting, "are no whole entry")
            others = [
                consumer
                for each in gathering.people
                for consumer in each.consumers.values()
                if consumer is not damaged
            ]
            before = [one.stream.frames for one in others]
            with trio.fail_after(PATIENCE):
                while any(
                    one.stream.frames < old + 2 for one, old in zip(others, before, strict=True)
                ):
                    await trio.sleep(0.02)
            assert not any(one.closed for one in others)
            assert all(len(each.peers) == 2 for each in gathering.people)


def damage(path: Path, key: bytes) -> None:
    """All entries of that key: of two the older one would count."""
    data = path.read_bytes()
    with path.open("r+b") as file:
        at = data.find(key)
        while at >= 0:
            file.seek(at + len(key) + 10)
            file.write(b"\xff\xff")
            at = data.find(key, at + 1)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system in memory of a few megabytes."""
    command = ["mount", "-t", "tmpfs", "-o", "size=8m,mode=0755", "tmpfs", str(tmp_path)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode != 0:
        pytest.skip("only root may mount file systems, where the container allows it")
    try:
        yield tmp_path
    finally:
        subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)


def fill(path: Path) -> None:
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)


async def test_calls_go_on_while_the_disk_is_full(small_disk: Path) -> None:
    """The log says it once. With room again, a restart goes on with what came meanwhile too."""
    with open_restarting(within=small_disk) as restarting, trio.fail_after(2 * PATIENCE):
        api = api_of(restarting.daemon)
        room = await api.create_room()
        async with open_gathering(api, room, 2) as gathering:
            filler = small_disk / "filler"
            fill(filler)
            for _ in range(20):  # the log's last page has room for some
                await api.create_peer(room, PARTICIPANT)
            await restarting.wait_for_log("the state of calls is not kept", 1)
            late = await api.create_peer(room, PARTICIPANT)
            await join(late, "while it is full")
            await gathering.wait_for_media(5)
            assert logged(restarting, "the state of calls is not kept") == 1
            filler.unlink()
            await restarting.wait_for_log("the state of calls is kept again", 1)
            await restarting.replace()
            await gathering.wait_for_returns(1)
            await gathering.wait_for_media(2)
            async with open_signaling(late) as again, trio.open_nursery() as nursery:
                nursery.start_soon(again.run)
                await again.wait_notice("roomBack")
                nursery.cancel_scope.cancel()


async def join(url: str, name: str) -> None:
    """And lose the connection."""
    async with open_signaling(url) as signaling, trio.open_nursery() as nursery:
        nursery.start_soon(signaling.run)
        await signaling.wait_notice("roomReady")
        await signaling.request("join", {"nickname": name})
        nursery.cancel_scope.cancel()

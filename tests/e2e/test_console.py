"""The console of a real server with a meeting of two: each command once, shapes, the live table."""

import contextlib
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import trio
from support.daemon import Daemon, api_of, start_daemon
from support.meeting import open_meeting
from support.shapes import MEDIASOUP, NOT_COUNTED, departures
from support.wire.pcapng import read_pcapng

from meet_trio.console.client import Client


@attrs.frozen
class Console:
    """``meet-trio connect`` to one server."""

    path: Path

    @property
    def command(self) -> list[str]:
        return [sys.executable, "-m", "meet_trio", "connect", "--socket", str(self.path)]

    def run(self, *words: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.command, *words],
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            timeout=30,
        )

    def json(self, *words: str) -> Any:
        done = self.run("--json", *words)
        assert (done.returncode, done.stderr) == (0, ""), done
        return json.loads(done.stdout)

    def items(self, *words: str) -> list[Any]:
        """The same without a process of its own."""
        with Client.connect([self.path]) as client:
            return client.items(*words)[1]


@contextlib.contextmanager
def daemon_with_console(path: Path) -> Iterator[Daemon]:
    daemon = start_daemon("--console-socket", str(path), "--console-terminal")
    try:
        yield daemon
    finally:
        if daemon.process.poll() is None:
            assert daemon.stop()[0] == 0
        else:
            daemon.clean_up()
    assert not path.exists()
    assert "Traceback" not in "".join(daemon.log)


def check_shapes(console: Console) -> None:
    asked = {
        "worker": console.items("dw"),
        "router": console.items("dumpRouter"),
        "webRtcTransport": console.items("dt", "all"),
        "producer": console.items("dumpProducer", "all"),
        "webRtcTransportStats": [e for each in console.items("st", "all") for e in each],
        "inbound": [e for each in console.items("sp", "all") for e in each],
    }
    consumers = console.items("dumpConsumer", "all")
    asked["consumer"] = [each for each in consumers if each["type"] == "simple"]
    asked["layeredConsumer"] = [each for each in consumers if each["type"] == "simulcast"]
    entries = [e for each in console.items("statsConsumer", "all") for e in each]
    asked["outbound"] = [e for e in entries if e["type"] == "outbound-rtp"]
    for name, found in asked.items():
        assert found, name
        wrong = {w for each in found for w in departures(each, MEDIASOUP[name], NOT_COUNTED, name)}
        # what the recorded objects had none of, such as a RID
        assert not {w for w in wrong if not w.endswith("is no null")}


def check_figures(console: Console) -> None:
    for (entry,) in console.items("st", "all"):
        assert (entry["iceState"], entry["dtlsState"]) == ("connected", "connected")
        assert entry["iceSelectedTuple"]["remotePort"] > 0
        assert entry["bytesReceived"] > 0
    for entries in console.items("sc", "all"):
        assert [e["type"] for e in entries] == ["outbound-rtp", "inbound-rtp"]
        assert all(e["packetCount"] > 0 and e["score"] == 10 for e in entries)
    (dump,) = console.items("dt")
    assert dump["iceParameters"]["password"] == "(hidden)"
    assert dump["dtlsParameters"]["role"] == "server"


def check_words(console: Console, daemon: Daemon, room: str, peers: list[str]) -> None:
    """Commands by name and short name, for people and for programs."""
    helped = console.run("help").stdout
    for name in ("stats", "rooms", "peers", "watch", "dumpRooms", "kick", "close", "terminal"):
        assert re.search(rf"^{name}\b", helped, re.MULTILINE), name
    assert console.run("--stats").stdout == "rooms:1\npeers:2\n"
    assert console.json("stats") == {"rooms": 1, "peers": 2}
    assert console.items("usage")[0]["pid"] == daemon.process.pid
    (row,) = console.json("rooms")
    assert (row["room"], row["peers"], row["producers"], row["consumers"]) == (room, 2, 4, 4)
    assert [row["peer"] for row in console.items("peers", room[:8])] == peers
    assert [each["id"] for each in console.items("dumpRooms")] == [room]
    assert [each["nickname"] for each in console.items("dumpPeers")] == ["Ada", "Bob"]
    assert [each["nickname"] for each in console.items("sr")] == ["Ada", "Bob"]
    assert {row["name"] for row in console.items("watch")} == {"Ada", "Bob"}
    assert console.items("logLevel", "debug", "live.room")[0]["meet_trio.live.room"] == "debug"
    assert console.items("logTags", "dtls")[0]["meet_trio.media.dtls"] == "debug"
    assert console.items("log", "reset")[0] == {"level": "info"}
    assert console.run("health").stdout == "healthy\n"
    consumer = console.items("dc")[0]["id"]
    (explained,) = console.items("explain", consumer)
    assert explained["consumer"] == consumer
    told = console.run("explain", consumer).stdout.splitlines()
    assert len(told) > 3
    assert told[0].startswith(f"Peer {explained['viewer']} gets the ")
    assert f"Peer {peers[0]} has joined room {room}" in console.run("explain", peers[0]).stdout
    assert console.run("terminal", "await trio.sleep(0); len(rooms)").stdout == "1\n"


def check_trace(console: Console) -> None:
    """The packets of a viewer go to the program that reads standard output."""
    viewer = console.items("dt", "all")[-1]["id"]
    done = subprocess.run(
        [*console.command, "trace", viewer, "0.5"], capture_output=True, timeout=60, check=True
    )
    assert read_pcapng(done.stdout).packets
    says = r"(\d+) packets, 0 lost, (\d+) bytes; it ended: 0.5 s are over\n"
    found = re.fullmatch(says, done.stderr.decode())
    assert found is not None
    assert int(found[1]) > 0
    assert int(found[2]) == len(done.stdout)


def check_drain(console: Console) -> None:
    assert console.run("drain").stdout == "draining: no new rooms; left: 1 room, 2 peers\n"
    assert console.run("health").stdout == "draining: no new rooms, 1 room left\n"
    assert console.run("drain").returncode == 1
    assert console.run("drain", "off").stdout.startswith("the drain is taken back")
    assert console.run("drain", "soon").returncode == 2


def check_endings(console: Console) -> None:
    """Exit codes."""
    assert console.run("dumpTransport", "zzz").returncode == 1
    ambiguous = console.run("kick", "")
    assert ambiguous.returncode == 1
    assert console.run("bogus").returncode == 2
    assert console.run("kick").returncode == 2
    second = subprocess.run(
        [sys.executable, "-m", "meet_trio", "serve", "--demo", f"--console-socket={console.path}"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert second.returncode == 2
    assert f"console.socket: {console.path}: another server has its" in second.stderr
    nobody = Console(console.path.with_name("nobody")).run("stats")
    assert (nobody.returncode, nobody.stdout) == (3, "")
    assert "nobody" in nobody.stderr
    piped = console.run(stdin="stats\n\n# a comment\nbogus\nterminal 1 + 1\n")
    assert (piped.returncode, piped.stdout) == (2, "rooms:1\npeers:2\n2\n")


@attrs.define(eq=False)
class Screen:
    """A terminal in which ``meet-trio connect`` runs."""

    pid: int
    terminal: int
    shown: str = ""

    @classmethod
    @contextlib.contextmanager
    def open(cls, console: Console, *words: str, **environ: str) -> Iterator["Screen"]:
        argv = [*console.command, *words]
        pid, terminal = pty.fork()
        if pid == 0:
            # as a login does; a shell that runs the tests in the background ignores it
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.environ.update({"TERM": "xterm", "COLUMNS": "150", "LINES": "30"}, **environ)
            os.execv(sys.executable, argv)
        screen = cls(pid, terminal)
        try:
            yield screen
        finally:
            os.close(terminal)
            if screen.pid:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)

    def type(self, text: str) -> None:
        os.write(self.terminal, text.encode())

    def wait(self, text: str, times: int = 1) -> None:
        """Wait until the text has been shown since the last call."""
        deadline = time.monotonic() + 30
        while self.shown.count(text) < times:
            assert time.monotonic() < deadline, self.shown
            if select.select([self.terminal], [], [], 1)[0]:
                self.shown += os.read(self.terminal, 65536).decode(errors="replace")
                if "\x1b[6n" in self.shown:  # where is the cursor?
                    self.shown = self.shown.replace("\x1b[6n", "")
                    self.type("\x1b[1;1R")
        self.shown = self.shown.rpartition(text)[2]

    def end(self) -> int:
        """Wait for the end; returns the exit code."""
        with contextlib.suppress(OSError):  # EIO: the other end is closed
            while os.read(self.terminal, 65536):
                pass
        pid, self.pid = self.pid, 0
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def check_live_table(console: Console) -> None:
    """``watch`` in a terminal shows tables until q is pressed."""
    with Screen.open(console, "watch", "all", "0.2") as screen:
        screen.wait("Ada")
        screen.wait("Bob")
        screen.wait("q ends", times=2)
        screen.type("q")
        assert screen.end() == 0


def check_prompt(console: Console, daemon: Daemon, room: str, home: Path) -> None:
    """History, completion, the Python prompt, Ctrl-C and Ctrl-D."""
    with Screen.open(console, XDG_STATE_HOME=str(home)) as screen:
        screen.wait("meet-trio>")
        screen.type(f"dumpRooms {room[:4]}")
        screen.wait(room[-8:])  # it is offered
        screen.type("\t\r")
        screen.wait('"createdAt"')
        screen.type("terminal\r")
        screen.wait(">>>")
        screen.type("for n in range(2):\r")
        screen.wait("...")
        screen.type("    print('n' * (n + 7))\r")
        screen.wait("...")
        screen.type("\r")
        screen.wait("nnnnnnnn")
        screen.type("await trio.sleep_forever()\r")
        screen.wait("forever()")
        own = f"process {screen.pid}: terminal …"
        while "".join(daemon.log).count(own) < 2:  # the second one runs
            time.sleep(0.01)
        screen.type("\x03")
        screen.wait("terminal: cancelled")
        screen.wait(">>>")
        screen.type("\x04")
        screen.wait("meet-trio>")
        screen.type("\x04")
        assert screen.end() == 0
    history = home / "meet-trio" / "console-history"
    assert (history.stat().st_mode & 0o777, history.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert f"dumpRooms {room}" in history.read_text()
    assert "sleep_forever" not in history.read_text()


async def test_a_meeting_of_two(tmp_path: Path) -> None:
    path = tmp_path / "console.sock"
    console = Console(path)
    with daemon_with_console(path) as daemon, trio.fail_after(120):
        api = api_of(daemon)
        room = await api.create_room()
        async with open_meeting(api, room) as (ada, bob):
            assert ada.id is not None
            assert bob.id is not None
            peers = [ada.id, bob.id]
            for consumer in (*ada.consumers.values(), *bob.consumers.values()):
                await ada.wait_frames(consumer, 10)
            in_thread = trio.to_thread.run_sync
            await in_thread(check_words, console, daemon, room, peers)
            await in_thread(check_shapes, console)
            await in_thread(check_figures, console)
            await in_thread(check_trace, console)
            await in_thread(check_drain, console)
            await in_thread(check_endings, console)
            await in_thread(check_live_table, console)
            await in_thread(check_prompt, console, daemon, room, tmp_path / "state")
            kicked = await in_thread(lambda: console.run("kick", bob.id[:13], "be", "kind"))
            assert kicked.stdout == f"kicked peer {bob.id} of room {room}\n"
            await bob.signaling.closed.wait()
            assert bob.signaling.disconnected_by_server
            assert (await bob.signaling.wait_notice("moderator:kickPeer")).data == {
                "reason": "be kind"
            }
            closed = await in_thread(console.run, "close", room[:8])
            assert closed.stdout == f"closed room {room}; peers: 1\n"
            await ada.signaling.closed.wait()
            assert await api.rooms() == []
    log = "".join(daemon.log)
    assert re.search(rf"user {os.getuid()}, process \d+: kick {bob.id[:13]} be kind", log)
    assert "terminal …" in log
    assert "len(rooms)" not in log

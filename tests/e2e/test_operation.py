"""A running daemon is told to read its settings again, to drain, and to go, while people meet."""

import contextlib
import json
import os
import pty
import signal
import socket
import ssl
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest
import trio
from support.api import ApiError, MeetApi
from support.certificates import make_certificate
from support.daemon import Daemon, start_daemon
from support.meeting import enter, open_meeting
from support.participant import Participant

HEAD = """
[http]
tls_cert = "{folder}/live.pem"
tls_key = "{folder}/live.key"
auth_token = "{token}"
"""


@attrs.define
class Service:
    """A daemon whose service manager is the test."""

    daemon: Daemon
    folder: Path
    manager: socket.socket
    log_read: int = 0

    def api(self, token: str) -> MeetApi:
        trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
        return MeetApi("127.0.0.1", self.daemon.port, token, trusting)

    def configure(self, token: str, more: str = "") -> None:
        head = HEAD.format(folder=self.folder, token=token)
        (self.folder / "meet.toml").write_text(head + more)

    def use_certificate(self, name: str) -> None:
        for file, ending in zip(make_certificate(self.folder, name), ("pem", "key"), strict=True):
            file.replace(self.folder / f"live.{ending}")

    def signal(self, number: signal.Signals) -> None:
        self.daemon.process.send_signal(number)

    async def logged(self, *texts: str) -> None:
        """Wait for a line that has all of these, after the last one that was waited for."""
        while True:
            lines = self.daemon.log[self.log_read :]
            for number, line in enumerate(lines, 1):
                if all(text in line for text in texts):
                    self.log_read += number
                    return
            await trio.sleep(0.02)

    def told(self) -> list[str]:
        """What the service manager has been told since the last call."""
        found = []
        with contextlib.suppress(BlockingIOError):
            while True:
                found.append(self.manager.recv(4096).decode())
        return found

    async def was_told(self, *words: str) -> list[str]:
        """Wait until the service manager has been told all of these; returns all messages."""
        found: list[str] = []
        while not all(any(word in message for message in found) for word in words):
            found += self.told()
            await trio.sleep(0.02)
        return found


@pytest.fixture
def service(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Service]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.setblocking(False)
        found = Service(None, tmp_path, manager)  # type: ignore[arg-type]
        found.use_certificate("first")
        found.configure("first-token")
        found.daemon = start_daemon(
            "--config",
            str(tmp_path / "meet.toml"),
            "--rooms-empty-timeout",
            "0.3",
            *getattr(request, "param", ()),
            NOTIFY_SOCKET=str(tmp_path / "notify"),
            WATCHDOG_USEC="1000000",
        )
        yield found
        if found.daemon.process.poll() is None:
            found.daemon.stop()


def frames(people: list[Participant]) -> int:
    return min(c.stream.frames for p in people for c in p.consumers.values())


async def media_goes_on(people: list[Participant]) -> None:
    """Wait for ten more frames of each stream, of which no packet may be missing."""
    before = frames(people)
    while frames(people) < before + 10:
        await trio.sleep(0.02)
    for person in people:
        assert not person.signaling.closed.is_set()
        methods = {notice.method for notice in person.signaling.notices}
        assert not methods & {"roomBack", "moderator:closeRoom", "peerClosed"}
        for consumer in person.consumers.values():
            stream = consumer.stream
            assert (stream.lost, stream.recovered, stream.faults) == (0, 0, [])


async def certificate_of(port: int) -> str:
    def fetch() -> str:
        return ssl.get_server_certificate(("127.0.0.1", port))

    return await trio.to_thread.run_sync(fetch)


async def test_a_call_goes_on_while_settings_and_certificate_change(service: Service) -> None:
    with trio.fail_after(60):
        api = service.api("first-token")
        told = await service.was_told("READY=1", "WATCHDOG=1")
        ready = next(i for i, message in enumerate(told) if "READY=1" in message)
        assert "FDSTORE=1\nFDNAME=http-127.0.0.1-0\nFDPOLL=0" in told[:ready]
        async with open_meeting(api, await api.create_room()) as people:
            # all that can be taken
            service.use_certificate("second")
            service.configure(
                "second-token",
                'old_auth_token = "first-token"\n'
                "[limits]\nrooms = 1\n[media]\nworkers = 2\n"
                '[process]\nlog_level = "debug"\n',
            )
            service.signal(signal.SIGHUP)
            await service.logged("reload: changed: http.auth_token, http.old_auth_token")
            heard = await service.was_told("RELOADING=1", "READY=1")
            first = next(i for i, message in enumerate(heard) if "RELOADING=1" in message)
            assert "MONOTONIC_USEC=" in heard[first]
            assert any("READY=1" in message for message in heard[first + 1 :])
            pem = (service.folder / "live.pem").read_text()
            assert await certificate_of(service.daemon.port) == pem
            for token in ("first-token", "second-token"):
                with pytest.raises(ApiError, match="there are 1 rooms already"):
                    await service.api(token).create_room()
            # the flag --media-workers is still there, so the file's line changes nothing
            assert "needs a restart" not in "".join(service.daemon.log)
            # a file that cannot be used, and one that needs a restart
            (service.folder / "live.key").write_text("broken")
            service.configure("third-token")
            service.signal(signal.SIGHUP)
            await service.logged("reload: refused, nothing has changed", "http.tls_key", "live.key")
            service.configure("fourth-token", "[limits]\nrooms = none\n")
            service.signal(signal.SIGHUP)
            await service.logged("reload: refused, nothing has changed", "meet.toml: not TOML")
            with pytest.raises(ApiError, match="403"):
                await service.api("third-token").create_room()
            assert await certificate_of(service.daemon.port) == pem
            service.use_certificate("third")
            service.configure("second-token", 'path_prefix = "/elsewhere"\n')
            service.signal(signal.SIGHUP)
            await service.logged("needs a restart: http.path_prefix")
            await media_goes_on(people)
    log = "".join(service.daemon.log)
    assert "Traceback" not in log
    assert not any(f"{which}-token" in log for which in ("second", "third", "fourth"))


async def test_a_call_goes_on_while_the_server_drains(service: Service) -> None:
    with trio.fail_after(60):
        api = service.api("first-token")
        room_id = await api.create_room()
        async with open_meeting(api, room_id) as people:
            service.signal(signal.SIGUSR1)
            await service.logged("draining: no new rooms, waiting for 1 room, 2 peers")
            with pytest.raises(ApiError, match="the server is draining") as refused:
                await api.create_room()
            assert refused.value.status == 503
            with pytest.raises(ApiError) as unhealthy:
                await api.call("GET", "/health")
            reason = "draining: no new rooms, 1 room left"
            assert json.loads(unhealthy.value.body) == {
                "success": False,
                "message": reason,
                "reasons": [reason],
            }
            await service.was_told("STATUS=draining: 1 room, 2 peers")
            async with contextlib.AsyncExitStack() as stack:
                late = await enter(stack, api, room_id, "Late")
                for kind in ("audio", "video"):
                    await late.wait_consumers(kind, 2)
                    await late.wait_frames(await late.wait_consumer(kind=kind), 2)
                await media_goes_on(people)
                await late.leave()
            service.signal(signal.SIGUSR2)
            await service.logged("the drain is taken back")
            assert (await api.call("GET", "/health"))["success"]
            await api.create_peer(await api.create_room(), 1)
            service.signal(signal.SIGUSR1)
            await service.logged("draining")
            for person in people:
                await person.leave()
        # the new room, which nobody has entered, holds the server up: it is ended by its limit
        service.configure("first-token", "[drain]\ntimeout = 0.1\n")
        service.signal(signal.SIGHUP)
        await service.logged("reload: changed: drain.timeout")
        service.signal(signal.SIGUSR2)
        await service.logged("the drain is taken back")
        service.signal(signal.SIGUSR1)
        await service.logged("drained: no room is left")
        await service.was_told("STOPPING=1")
        assert await trio.to_thread.run_sync(service.daemon.process.wait, 20) == 0
    service.daemon.clean_up()
    assert "Traceback" not in "".join(service.daemon.log)


@pytest.mark.parametrize("service", [("--drain-timeout", "0.5")], indirect=True)
async def test_peers_are_told_when_a_drain_has_no_more_time(service: Service) -> None:
    with trio.fail_after(60):
        api = service.api("first-token")
        async with open_meeting(api, await api.create_room()) as people:
            service.signal(signal.SIGUSR1)
            for person in people:
                await person.signaling.closed.wait()
                assert person.signaling.disconnected_by_server
                methods = [notice.method for notice in person.signaling.notices]
                assert methods.count("moderator:closeRoom") == 1
        assert await trio.to_thread.run_sync(service.daemon.process.wait, 20) == 0
    service.daemon.clean_up()
    assert "Traceback" not in "".join(service.daemon.log)


def test_a_server_ends_with_its_terminal() -> None:
    """SIGHUP of a terminal that is closed does not mean a reload."""
    child, terminal = pty.fork()
    if child == 0:
        flags = ["--demo", "--http-port", "0", "--media-port", "0", "--media-workers", "1"]
        os.execv(sys.executable, [sys.executable, "-m", "meet_trio", "serve", *flags])
    said, ended = b"", None
    try:
        while b"may open rooms.\r\n" not in said:
            said += os.read(terminal, 4096)
        os.close(terminal)
        deadline = time.monotonic() + 20
        while ended is None and time.monotonic() < deadline:
            ended = os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG)
            time.sleep(0.02)
    finally:
        if ended is None:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    assert ended is not None
    assert (ended.si_code, ended.si_status) == (os.CLD_EXITED, 0)

"""A new process takes over under a meeting, and nobody notices."""

import os
import shutil
import signal
import ssl
from pathlib import Path

import attrs
import pytest
import trio
from support.api import MeetApi
from support.certificates import make_certificate
from support.daemon import api_of, start_daemon
from support.media_source import Vp8Source
from support.meeting import open_meeting
from support.participant import Participant
from support.progress import received, wait_for_media
from support.signaling import Signaling, open_signaling
from support.upgrade import PATIENCE, Upgradable, children, upgradable


@pytest.mark.parametrize("supervised", [True, False])
async def test_nobody_notices(tmp_path: Path, supervised: bool) -> None:
    with upgradable(tmp_path, supervised=supervised) as server:
        api = api_of(server.daemon)
        async with open_meeting(api, await api.create_room()) as people:
            before, was, keys = received(people), server.server, asked(people)
            for _ in range(2):
                done = await server.upgrade()
                assert done.returncode == 0, (done, server.daemon.log)
                assert server.server != was
                was = server.server
                await wait_for_media(people, 10)
            assert received(people).keys() == before.keys()
            for person in people:
                for consumer in person.consumers.values():
                    stream = consumer.stream
                    assert (stream.lost, stream.duplicates, stream.faults) == (0, 0, [])
                    assert not consumer.closed
                await person.signaling.request("chatMessage", {"message": "still here?"})
                assert not heard(person) & {"roomBack", "peerClosed"}
            assert asked(people) == keys


def asked(people: list[Participant]) -> int:
    """How many key frames the publishers were asked for."""
    return sum(
        producer.source.key_frame_requests
        for person in people
        for producer in person.producers.values()
        if isinstance(producer.source, Vp8Source)
    )


def heard(person: Participant) -> set[str]:
    return {notice.method for notice in person.signaling.notices}


FAULTS = [
    ("dies start", "the other process has ended"),
    ("dies ready", "the other process has ended"),
    ("refuses ready", "RuntimeError: as the test wants"),
    ("says ready", "has not said ready"),
    ("dies opened", "the other process has ended"),
    ("refuses opened", "RuntimeError: as the test wants"),
    ("says opened", "has not said opened"),
    ("hangs opened", "upgrade.start_timeout"),
    ("dies prepared", "the other process has ended"),
    ("refuses prepared", "RuntimeError: as the test wants"),
    ("says prepared", "has not said prepared"),
    ("hangs prepared", "upgrade.start_timeout"),
    ("hangs prepared-3", "upgrade.hold_timeout"),
    ("dies resumed", "the other process has ended"),
    ("refuses resumed", "RuntimeError: as the test wants"),
    ("says resumed", "has not said resumed"),
    ("forgets seat", "of an unknown kind"),
    ("hangs resumed", "the other process does not answer"),
]


async def test_the_old_process_goes_on(tmp_path: Path) -> None:
    """Whatever the new one does. In the end one that does well takes over."""
    fault = tmp_path / "fault"
    environ = {
        "PYTHONPATH": str(Path(__file__).parents[1] / "support" / "faulty_successor"),
        "UPGRADE_FAULT": str(fault),
        "MEET_TRIO_UPGRADE_START_TIMEOUT": "8",
        "MEET_TRIO_UPGRADE_HOLD_TIMEOUT": "0.3",
    }
    with upgradable(tmp_path, **environ) as server:
        api = api_of(server.daemon)
        async with open_meeting(api, await api.create_room()) as people:
            was, known = server.server, received(people).keys()
            files = descriptors(was)
            for text, why in FAULTS:
                fault.write_text(text)
                done = await server.upgrade()
                assert (done.returncode, server.server) == (1, was), (text, done)
                assert why in done.stderr.decode(), text
                assert children(was) == [], text
                await wait_for_media(people, 3)
                for person in people:
                    await person.signaling.request("chatMessage", {"message": text})
                (folder,) = server.state.iterdir()
                assert not [name for name in folder.iterdir() if name.suffix == ".new"], text
            assert descriptors(was) == files
            fault.write_text("older version")
            assert (await server.upgrade()).returncode == 0
            await wait_for_media(people, 3)
            fault.unlink()
            done = await server.upgrade()
            assert done.returncode == 0, done
            await wait_for_media(people, 10)
            assert received(people).keys() == known
            for person in people:
                for consumer in person.consumers.values():
                    stream = consumer.stream
                    assert (stream.lost, stream.duplicates, stream.faults) == (0, 0, [])
                assert not heard(person) & {"roomBack", "peerClosed"}


def descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


async def test_requests_are_answered_once(tmp_path: Path) -> None:
    """Of the websocket and of the API, while one process after the other takes over. Nothing is
    left of those before.
    """
    with upgradable(tmp_path, supervised=True) as server:
        api = api_of(server.daemon)
        room = await api.create_room()
        urls = [await api.create_peer(room, 3) for _ in range(2)]
        async with (
            open_signaling(urls[0]) as speaker,
            open_signaling(urls[1]) as listener,
            trio.open_nursery() as nursery,
        ):
            for one, name in ((speaker, "Ada"), (listener, "Bob")):
                nursery.start_soon(one.run)
                await one.wait_notice("roomReady")
                await one.request("join", {"nickname": name})
            assert (await server.upgrade()).returncode == 0
            await trio.sleep(0.5)  # what the start needs is closed again
            files = descriptors(server.server)
            said: list[str] = []
            made: list[str] = []
            async with trio.open_nursery() as busy:
                busy.start_soon(speak, speaker, said)
                busy.start_soon(make_rooms, api, made)
                for _ in range(5):
                    was = server.server
                    done = await server.upgrade()
                    assert done.returncode == 0, done
                    assert children(server.daemon.process.pid) == [server.server]
                    assert server.server != was
                busy.cancel_scope.cancel()
            await speaker.request("chatMessage", {"message": "end"})
            await listener.wait_notice("chatMessage", message="end")
            heard = [n.data["message"] for n in listener.notices if n.method == "chatMessage"]
            last = heard.pop()
            # the last request may have been cancelled before it was sent
            assert (heard, last) in ((said, "end"), (said[:-1], "end"))
            assert len(set(made)) == len(made)
            assert len(said) > 100
            assert len(made) > 10
            with trio.fail_after(PATIENCE):
                while descriptors(server.server) > files:
                    await trio.sleep(0.05)
            nursery.cancel_scope.cancel()


async def test_rooms_that_change_all_the_time(tmp_path: Path) -> None:
    """What the new process has made of them in advance is made anew, and nothing is lost. The
    streams of a room that rests go on too.
    """
    with upgradable(tmp_path) as server:
        api = api_of(server.daemon)
        async with (
            open_meeting(api, await api.create_room()) as busy,
            open_meeting(api, await api.create_room()) as resting,
            trio.open_nursery() as nursery,
        ):
            people, raised = [*busy, *resting], list[bool]()
            known = received(people).keys()
            nursery.start_soon(raise_hand, busy[0], raised)
            for _ in range(3):
                before = len(raised)
                assert (await server.upgrade()).returncode == 0
                assert len(raised) > before
                await wait_for_media(people, 10)
            nursery.cancel_scope.cancel()
            await busy[0].request("raisedHand", {"raisedHand": True})
            told = [
                n.data["raisedHand"]
                for n in busy[1].signaling.notices
                if n.method == "changeRaisedHand"
            ]
            assert received(people).keys() == known
            assert told[-1]
            # each was told of once; the last request may have been cancelled before it was sent
            assert told[: len(raised) - 1] == raised[:-1]
            assert len(told) <= len(raised) + 1
            for person in people:
                for consumer in person.consumers.values():
                    stream = consumer.stream
                    assert (stream.lost, stream.duplicates, stream.faults) == (0, 0, [])
                assert not heard(person) & {"roomBack", "peerClosed"}


async def raise_hand(person: Participant, raised: list[bool]) -> None:
    while True:
        raised.append(not len(raised) % 2)
        await person.request("raisedHand", {"raisedHand": raised[-1]})
        await trio.sleep(0.02)


async def speak(speaker: Signaling, said: list[str]) -> None:
    while True:
        said.append(str(len(said)))
        await speaker.request("chatMessage", {"message": said[-1]})
        await trio.sleep(0.02)


async def make_rooms(api: MeetApi, made: list[str]) -> None:
    while True:
        made.append(await api.create_room())
        await trio.sleep(0.05)


@pytest.mark.parametrize("supervised", [True, False])
@pytest.mark.parametrize("after", [0.0, 0.3, 1.0])
async def test_a_signal_ends_all(tmp_path: Path, supervised: bool, after: float) -> None:
    """The server, the new process, and whoever waits for them; in two seconds."""
    with upgradable(tmp_path, supervised=supervised) as server:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.upgrade)
            was = server.server
            with trio.fail_after(PATIENCE):
                while not children(was):
                    await trio.sleep(0.01)
            (new,) = children(was)
            await trio.sleep(after)
            code, seconds = await trio.to_thread.run_sync(server.daemon.stop)
            assert (code, seconds < 2) == (0, True)
    assert not is_there(new)
    assert not is_there(was)


async def test_a_signal_while_the_old_process_becomes_another_program(tmp_path: Path) -> None:
    """It is not lost, and ends the server in order."""
    with upgradable(tmp_path, supervised=False) as server:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.upgrade)
            with trio.fail_after(PATIENCE):
                while not stays(server.daemon.process.pid):
                    await trio.lowlevel.checkpoint()
            code, _ = await trio.to_thread.run_sync(server.daemon.stop)
            assert code == 0


def stays(pid: int) -> bool:
    return b"stay" in Path(f"/proc/{pid}/cmdline").read_bytes()


def is_there(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


async def test_a_crash_after_an_upgrade(tmp_path: Path) -> None:
    """The supervisor waits for the new process as it did for the old one."""
    with upgradable(tmp_path, supervised=True) as server:
        api = api_of(server.daemon)
        async with open_meeting(api, await api.create_room()) as people:
            assert (await server.upgrade()).returncode == 0
            was = server.server
            os.kill(was, signal.SIGKILL)
            await wait_for_media(people, 10)
            assert server.server != was
            for person in people:
                for consumer in person.consumers.values():
                    assert (consumer.stream.lost, consumer.stream.duplicates) == (0, 0)


@pytest.mark.parametrize("supervised", [True, False])
async def test_no_server_outlives_who_waits_for_it(tmp_path: Path, supervised: bool) -> None:
    """The supervisor, or what a server without one has become."""
    console, state = tmp_path / "console", Path("/dev/shm") / f"meet-trio-left-{os.getpid()}"
    state.mkdir(mode=0o700)
    on = "on" if supervised else "off"
    daemon = start_daemon(
        "--state-dir", str(state), MEET_TRIO_PROCESS_SUPERVISED=on, KM_SOCK=str(console)
    )
    try:
        server = Upgradable(daemon, console, state, supervised)
        assert (await server.upgrade()).returncode == 0
        new = server.server
        daemon.process.kill()
        daemon.process.wait()
        with trio.fail_after(PATIENCE):
            while is_there(new):
                await trio.sleep(0.01)
        daemon.clean_up()
    finally:
        shutil.rmtree(state)


async def test_clients_with_tls_come_back(tmp_path: Path) -> None:
    """At once, within their grace: no other peer hears that they were away."""
    certificate, key = make_certificate(tmp_path, "127.0.0.1")
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    flags = ("--http-tls-cert", str(certificate), "--http-tls-key", str(key))
    with upgradable(tmp_path, *flags) as server:
        api = attrs.evolve(api_of(server.daemon), ssl_context=trusting)
        url = await api.create_peer(await api.create_room(), 3)
        async with open_signaling(url, ssl_context=trusting) as first, trio.open_nursery() as one:
            one.start_soon(first.run)
            await first.wait_notice("roomReady")
            await first.request("join", {"nickname": "Ada"})
            assert (await server.upgrade()).returncode == 0
            with trio.fail_after(PATIENCE):
                await first.closed.wait()
            assert not first.disconnected_by_server
            one.cancel_scope.cancel()
        async with open_signaling(url, ssl_context=trusting) as again, trio.open_nursery() as two:
            two.start_soon(again.run)
            await again.wait_notice("roomBack")
            await again.request("chatMessage", {"message": "still here?"})
            two.cancel_scope.cancel()

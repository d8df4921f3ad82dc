"""A new process takes over under a meeting, and nobody notices."""

from pathlib import Path

import pytest
from support.daemon import api_of
from support.media_source import Vp8Source
from support.meeting import open_meeting
from support.participant import Participant
from support.progress import received, wait_for_media
from support.upgrade import children, upgradable


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
    ("dies resumed", "the other process has ended"),
    ("refuses resumed", "RuntimeError: as the test wants"),
    ("says resumed", "has not said resumed"),
    ("hangs resumed", "the other process does not answer"),
]


async def test_the_old_process_goes_on(tmp_path: Path) -> None:
    """Whatever the new one does. In the end one that does well takes over."""
    fault = tmp_path / "fault"
    environ = {
        "PYTHONPATH": str(Path(__file__).parents[1] / "support" / "faulty_successor"),
        "UPGRADE_FAULT": str(fault),
        "MEET_TRIO_UPGRADE_START_TIMEOUT": "15",
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

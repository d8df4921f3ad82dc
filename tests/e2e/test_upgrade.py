"""A new process takes over under a meeting, and nobody notices."""

from pathlib import Path

import pytest
from support.daemon import api_of
from support.meeting import open_meeting
from support.progress import received, wait_for_media
from support.upgrade import upgradable


@pytest.mark.parametrize("supervised", [True, False])
async def test_nobody_notices(tmp_path: Path, supervised: bool) -> None:
    with upgradable(tmp_path, supervised=supervised) as server:
        api = api_of(server.daemon)
        async with open_meeting(api, await api.create_room()) as people:
            before, was = received(people), server.server
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
                assert "roomBack" not in person.signaling.methods()

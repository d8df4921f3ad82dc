"""The record of a real call: what the engine counted is in the file after the call."""

import json
from pathlib import Path
from typing import Any

import trio
from support.participant import open_participant
from support.peers import PARTICIPANT
from support.quality import check_record
from support.server import open_server, quick_settings


async def test_the_record_of_a_call(tmp_path: Path) -> None:
    path = tmp_path / "quality.jsonl"
    with trio.fail_after(30):
        async with open_server(quick_settings({"quality.file": path})) as server:
            quality, rooms = server.running.quality, server.running.registry.rooms
            assert quality is not None
            room_id = await server.api.create_room()
            urls = [await server.api.create_peer(room_id, PARTICIPANT) for _ in range(2)]
            async with open_participant(urls[0]) as ada, open_participant(urls[1]) as bob:
                for person in (ada, bob):
                    await person.join()
                    await person.connect()
                assert ada.send is not None
                await ada.produce_audio()
                await ada.produce_video(fps=20)
                camera = await bob.wait_consumer(kind="video")
                microphone = await bob.wait_consumer(kind="audio")
                await bob.wait_frames(camera, 10)
                ada.send.transport.silent = True  # a gap that is longer than half a second
                await trio.sleep(0.7)
                ada.send.transport.silent = False
                await bob.wait_frames(camera, 10)
                await bob.wait_frames(microphone)
                await quality.look(rooms)
                ids = ada.id, bob.id
                await ada.leave()
                await bob.leave()
            while rooms:
                await trio.sleep(0.02)
    peers: list[dict[str, Any]] = []
    meetings: list[dict[str, Any]] = []
    for record in map(json.loads, path.read_text().splitlines()):
        check_record(record)
        (peers if record["record"] == "peer" else meetings).append(record)
    publisher, viewer = peers
    assert (publisher["peer"], viewer["peer"]) == ids
    assert publisher["received"]["packets"] > 100
    assert publisher["received"]["bytes"] > 10_000
    assert viewer["sent"]["bytes"] > 10_000
    assert viewer["roundTripMs"] is None or viewer["roundTripMs"]["max"] < 10_000
    assert sum(viewer["video"]["layerSeconds"].values()) > 1
    assert viewer["video"]["freezes"] >= 1
    assert viewer["video"]["frozenSeconds"] >= 0.5
    for record in peers:
        assert record["why"] == "left"
        assert [(t["protocol"], t["connectMs"] is None) for t in record["transports"]] == [
            ("udp", False),
            ("udp", False),
        ]
    (meeting,) = meetings
    assert (meeting["joined"], meeting["mostAtOnce"]) == (2, 2)
    assert meeting["sums"]["bytesSent"] == sum(record["sent"]["bytes"] for record in peers)
    assert meeting["worst"]["frozenSeconds"]["peer"] == viewer["peer"]

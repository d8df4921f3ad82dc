"""A whole call in the log: its story can be followed by one id, and no secret is in it."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import trio
from support.logs import Log, open_log
from support.participant import open_participant
from support.peers import PARTICIPANT
from support.server import TOKEN, open_server, quick_settings
from support.signaling import RequestFailed

from meet_trio.logs.settings import LogSettings
from meet_trio.room import Role

NICKNAME, CHAT = "Ada-Lovelace-1815", "the-analytical-engine"
SECRETS = {
    "webhook.url": "http://127.0.0.1:9/",  # nobody answers, which is logged
    "webhook.token": "webhook-secret",
    "webhook.tries": 1,
    "turn.static_secret": "turn-secret",
    "turn.server": "turn:127.0.0.1:3478",
}
REFUSED: dict[str, object] = {
    "nonsense": {"message": CHAT},
    "chatMessage": {"message": [CHAT]},
    "changeNickname": {"nickname": NICKNAME * 1000},
    "join": {"nickname": NICKNAME, "rtpCapabilities": {"codecs": NICKNAME}},
}


def told(log: Log) -> list[Mapping[str, Any]]:
    return [json.loads(line) for line in log.lines]


def story(log: Log, **ids: str) -> list[str]:
    """The texts about an object, without values that change from run to run."""
    texts = []
    for record in told(log):
        if ids.items() <= record.items() and record["part"].startswith("meet_trio."):
            text = record["event"]
            for marker in (" from 127.", " to 127.", " in "):
                text = text.partition(marker)[0]
            texts.append(text)
    return texts


async def test_a_call_in_the_log() -> None:
    """The server and the participants are in this process. All parts and all libraries of the
    server are logged in full.
    """
    settings = LogSettings(format="json", debug="* -trio-websocket*")
    secrets: set[str] = {TOKEN, NICKNAME, CHAT, "webhook-secret", "turn-secret"}
    with trio.fail_after(30), open_log(settings) as log:
        async with open_server(quick_settings(SECRETS)) as server:
            room_id = await server.api.create_room()
            urls = [
                await server.api.create_peer(room_id, role)
                for role in (PARTICIPANT | Role.PUBLISHER, PARTICIPANT)
            ]
            secrets.update(parse_qs(urlsplit(url).query)["authToken"][0] for url in urls)
            async with open_participant(urls[0]) as ada:
                async with open_participant(urls[1]) as bob:
                    for person in (ada, bob):
                        await person.join(NICKNAME)
                        await person.connect()
                    assert ada.send is not None
                    assert ada.id is not None
                    camera = await ada.produce_video(fps=20)
                    await bob.wait_frames(await bob.wait_consumer(kind="video"), 3)
                    await ada.request("chatMessage", {"message": CHAT})
                    for method, data in REFUSED.items():
                        with pytest.raises(RequestFailed):
                            await ada.request(method, data)
                    secrets |= {s.transport.remote.password for s in (ada.send, bob.receive) if s}
                    await ada.restart_ice(ada.send.transport)
                    await ada.close_producer(camera)
                    (greeting,) = [n for n in ada.signaling.notices if n.method == "roomReady"]
                    secrets.add(greeting.data["iceServers"][0]["credential"])
                    transport_id = ada.send.transport.remote.id
                    bob_id = bob.id
                    assert bob_id is not None
                await ada.leave()
            while server.running.registry.rooms:
                await trio.sleep(0.02)
    assert [s for s in sorted(secrets) for line in log.lines if s in line] == []
    told_at = story(log, transport=transport_id)
    assert told_at == [
        "transport made",
        *sorted(["the client asks to connect", "ICE connected"], key=told_at.index),
        "DTLS connected",
        "producer made: webcam",
        "ICE restarts",
        "producer closed",
        "transport closed: closed",
    ]
    of_ada = story(log, peer=ada.id)
    assert of_ada[:3] == ["invited with role 3", "socket connected", "joined"]
    assert of_ada[-4:] == [
        "socket ended: client namespace disconnect",
        "transport closed: closed",
        "transport closed: closed",
        "gone: left",
    ]
    assert set(of_ada) > set(story(log, transport=transport_id)) | {
        'request nonsense refused: unknown request.method "nonsense"',
    }
    of_bob = story(log, peer=bob_id)
    assert of_bob[-1] == "gone: socket_lost"
    assert set(of_bob) > {"consumer made", "layers 2, 0", "consumer closed"}
    of_room = story(log, room=room_id)
    assert of_room[:2] == ["room opened", "invited with role 3"]
    assert "room closed: empty" in of_room
    assert set(of_ada) | set(of_bob) < set(of_room)
    # no record about one peer has the transport of another
    owners: dict[str, set[str]] = {}
    for record in told(log):
        if "transport" in record:
            owners.setdefault(record["transport"], set()).add(record["peer"])
    assert len(owners) == 4
    assert all(len(peers) == 1 for peers in owners.values()), owners

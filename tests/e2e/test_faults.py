"""Faults of the original server that this one must not have, tested on the whole server.

| fault of the original | test |
|---|---|
| ``GET stats`` throws as soon as there is a room, and that ends the process | here: ``test_stats_of_a_running_meeting`` |
| after a reconnect every request is handled once more | here: ``test_after_reconnects_a_request_is_handled_once`` |
| one worker's death ends the whole process | here: ``test_a_dead_engine_ends_its_own_meetings_alone`` |
| transports on the wrong worker's port: joins fail beyond some 19 peers | here: ``test_two_dozen_join_one_room_of_two_engines`` |
| without AUTH_TOKEN the API is open to all | ``test_config.py``: ``test_settings_without_a_token_are_refused``, ``test_a_file_without_a_token_is_refused``; ``test_http_api.py``: ``test_without_the_token_403_and_nothing_done`` |
| ``connectPlainTransport`` sends media to any address | here: ``test_media_is_not_sent_to_where_a_peer_points`` |
| a room that nobody joins and a peer that never connects live for ever | ``test_live.py``: ``test_room_that_nobody_joins_and_peer_that_never_connects_expire``; ``test_leaks.py``: ``never_connect`` |
| a request unanswered three times counts as answered | ``test_live.py``: ``test_unanswered_or_refused_consumer_is_given_up`` |
| malformed JSON is a 500 | ``test_http_api.py``: ``test_bad_bodies_are_named_and_change_nothing`` |
| malformed frames end the process | ``test_wire.py``: ``test_broken_frames_end_their_connection_alone``, ``test_what_ended_the_original_is_shrugged_off`` |
| ``health`` is always healthy | here: ``test_a_dead_engine_ends_its_own_meetings_alone``; ``test_http_api.py``: ``test_health_tells_of_a_dead_engine`` |
"""  # noqa: E501

import contextlib
import json
import os
import re
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
from support.api import ApiError
from support.meeting import open_meeting
from support.participant import open_participant
from support.peers import PARTICIPANT
from support.plain_peer import open_plain_peer
from support.server import open_server, quick_settings
from support.signaling import RequestFailed, Signaling, open_signaling

from meet_trio.bench.rtp_parameters import receive_capabilities
from meet_trio.live.figures import room_totals
from meet_trio.media.engines import EngineHost


async def test_stats_of_a_running_meeting() -> None:
    with trio.fail_after(60):
        async with open_server() as server:
            room_id, empty = await server.api.create_room(), await server.api.create_room()
            async with open_meeting(server.api, room_id) as people:
                for _ in range(2):
                    stats = await server.api.call("GET", "/stats")
                    assert stats[empty] == {}
                    assert list(stats[room_id]) == [person.id for person in people]
                for person in people:
                    figures = stats[room_id][person.id]
                    assert {p["id"] for p in figures["producers"]} == set(person.producers)
                    assert {c["id"] for c in figures["consumers"]} == set(person.consumers)
                    for stream in figures["producers"][1]["streams"]:
                        assert stream["packetCount"] > 0, stream
                    for consumer in figures["consumers"]:
                        assert consumer["packetCount"] > 0, consumer
                    assert [t["state"] for t in figures["transports"]] == ["connected"] * 2
                assert (await server.api.call("GET", "/health"))["success"] is True
                # the totals that any peer may have logged
                await people[0].request("dumpStats")
                totals = await room_totals(server.running.registry.rooms[room_id])
                assert totals["transports"] == 2 * len(people)
                for name in ("packetsReceived", "bytesReceived", "packetsSent", "bytesSent"):
                    assert totals[name] > 0, totals
                assert "packetsLost" in totals


@contextlib.asynccontextmanager
async def connection(url: str) -> AsyncIterator[Signaling]:
    """Signaling whose messages are being read."""
    async with open_signaling(url) as signaling, trio.open_nursery() as nursery:
        nursery.start_soon(signaling.run)
        yield signaling
        nursery.cancel_scope.cancel()


async def test_after_reconnects_a_request_is_handled_once() -> None:
    settings = quick_settings({"signaling.reconnect_grace": 60})
    with trio.fail_after(60):
        async with open_server(settings) as server:
            room_id = await server.api.create_room()
            ada_url = await server.api.create_peer(room_id, PARTICIPANT)
            bob_url = await server.api.create_peer(room_id, PARTICIPANT)
            async with open_participant(ada_url) as ada:
                await ada.join("Ada")
                async with connection(bob_url) as bob:
                    await bob.wait_notice("roomReady")
                    router = await bob.request("getRouterRtpCapabilities")
                    join = {"nickname": "Bob", "rtpCapabilities": receive_capabilities(router)}
                    bob_id = (await bob.request("join", join))["id"]
                for _ in range(3):
                    async with connection(bob_url) as lost:
                        await lost.wait_notice("roomBack")
                        lost.abort()
                async with connection(bob_url) as bob:
                    await bob.wait_notice("roomBack")
                    await bob.request("chatMessage", {"message": "once"})
                    await bob.request(
                        "createWebRtcTransport",
                        {"forceTcp": False, "producing": True, "consuming": False},
                    )
                    # All notices come before the answer to a later request.
                    for signaling in (ada.signaling, bob):
                        await signaling.request("ping")
                        heard = [n.data for n in signaling.notices if n.method == "chatMessage"]
                        assert [chat["message"] for chat in heard] == ["once"]
                    peer = server.running.registry.rooms[room_id].peers[bob_id]
                    assert len(peer.transports) == 1
                assert [n for n in ada.signaling.notices if n.method == "peerClosed"] == []


def break_engine(host: EngineHost) -> None:
    """Close the descriptor that the engine waits with; the engine notices within a second."""
    mine = {
        number
        for number in os.listdir("/proc/self/fd")
        if _udp_port(int(number)) == host.engine.port
    }
    for number in os.listdir("/proc/self/fdinfo"):
        try:
            watched = re.findall(
                r"^tfd: +(\d+)", Path(f"/proc/self/fdinfo/{number}").read_text(), re.M
            )
        except OSError:
            continue  # the descriptor of this very listing
        if mine.intersection(watched):
            with open(os.devnull) as nothing:
                os.dup2(nothing.fileno(), int(number))
            return
    pytest.fail("nobody waits for the engine's socket")


def _udp_port(number: int) -> int | None:
    try:
        with socket.socket(fileno=os.dup(number)) as copy:
            return int(copy.getsockname()[1]) if copy.type == socket.SOCK_DGRAM else None
    except (OSError, IndexError):
        return None


async def test_a_dead_engine_ends_its_own_meetings_alone() -> None:
    with trio.fail_after(60):
        async with open_server(quick_settings(workers=2, engine_deaths=1)) as server:
            doomed, lucky = await server.api.create_room(), await server.api.create_room()
            rooms = server.running.registry.rooms
            async with (
                open_meeting(server.api, doomed) as victims,
                open_meeting(server.api, lucky) as others,
            ):
                (host,) = rooms[doomed].placement.used
                assert host not in rooms[lucky].placement.used
                break_engine(host)
                for victim in victims:
                    await victim.signaling.closed.wait()
                    assert victim.signaling.disconnected_by_server
                while doomed in rooms:
                    await trio.sleep(0.02)
                for person in others:
                    video = await person.wait_consumer(kind="video")
                    await person.wait_frames(video, 5)
                # The health check reports it.
                with pytest.raises(ApiError) as unhealthy:
                    await server.api.call("GET", "/health")
                assert unhealthy.value.status == 503
                assert json.loads(unhealthy.value.body)["success"] is False
                # New rooms go to engines that work.
                for _ in range(2):
                    async with open_meeting(server.api, await server.api.create_room()):
                        pass


async def come(url: str, speaks: bool, heard: list[str], end: trio.Event) -> None:
    """One of many peers: it speaks, or adds itself to ``heard`` once it hears the one
    who speaks.
    """
    async with open_participant(url) as participant:
        await participant.join()
        await participant.connect()
        if speaks:
            await participant.produce_audio()
        else:
            voice = await participant.wait_consumer(kind="audio")
            await participant.wait_frames(voice)
            heard.append(url)
        await end.wait()


async def test_two_dozen_join_one_room_of_two_engines() -> None:
    with trio.fail_after(90):
        async with open_server(quick_settings(workers=2, patience=20)) as server:
            rooms = [await server.api.create_room() for _ in range(2)]
            for room_id in rooms:
                heard: list[str] = []
                end = trio.Event()
                async with trio.open_nursery() as nursery:
                    for number in range(24):
                        url = await server.api.create_peer(room_id, PARTICIPANT)
                        nursery.start_soon(come, url, number == 0, heard, end)
                    while len(heard) < 23:
                        await trio.sleep(0.02)
                    room = server.running.registry.rooms[room_id]
                    assert set(room.placement.used) == set(server.running.hosts)
                    end.set()


async def test_media_is_not_sent_to_where_a_peer_points() -> None:
    """The address of a stranger is refused. Forging it is useless: packets from there are ignored,
    and nothing goes there.
    """
    allowed, stranger = "127.0.0.1", "127.0.0.2"
    settings = quick_settings(plain_allowed=(f"{allowed}/32",))
    with trio.fail_after(60), contextlib.ExitStack() as stack:
        victims = []
        for ip in (stranger, stranger, allowed):
            victim = stack.enter_context(socket.socket(type=socket.SOCK_DGRAM))
            victim.bind((ip, 0))
            victim.setblocking(False)
            victims.append(victim)
        async with open_server(settings) as server:
            room_id = await server.api.create_room()
            async with (
                open_meeting(server.api, room_id) as (ada, _),
                open_plain_peer(await server.api.create_peer(room_id, PARTICIPANT)) as eve,
            ):
                outlet = await eve.create(producing=False)
                inlet = await eve.create(producing=True)
                await eve.join("Eve", "audio", "video")
                await eve.produce(inlet, "audio")
                for ip in (stranger, "192.0.2.1", "::1", "224.0.0.1", "0.0.0.0"):
                    for end in (outlet, inlet):
                        with pytest.raises(RequestFailed, match="connectPlainTransport failed"):
                            await eve.connect(end, victims[0].getsockname()[1], ip=ip)
                # a packet of media and a report with the victims' source addresses
                media, report = b"\x80\x6f" + bytes(40), b"\x81\xc9\0\x07" + bytes(28)
                for victim in victims[:2]:
                    for end in (outlet, inlet):
                        for port in (end.port, end.rtcp_port):
                            victim.sendto(media, (end.ip, port))
                            victim.sendto(report, (end.ip, port))
                # Nor does a packet open the path for media on a transport that has to be connected
                # by a request.
                victims[2].sendto(media, (outlet.ip, outlet.port))
                for kind in ("audio", "video"):
                    await eve.wait_consumer(kind)
                consumer = await ada.wait_consumer(kind="video")
                await ada.wait_frames(consumer, 5)
                engine = (await server.running.hosts[0].stats())["engine"]
                assert isinstance(engine, dict)
                assert engine["dropped_plain_not_allowed"] == 16
                assert engine["dropped_plain_stranger"] == 1
            for victim in victims:
                with pytest.raises(BlockingIOError):
                    victim.recv(2000)

"""Stock socket.io-client 4 and 2, python-socketio and wscat with default options and with each
transport alone, against the echo server and in a meeting.
"""

import json
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import attrs
import pytest
import trio
from e2e.stock_clients import (
    CLIENTS,
    WSCAT,
    Client,
    Lines,
    open_client,
    open_process,
    open_way,
)
from support.api import MeetApi
from support.daemon import Daemon, api_of, start_daemon
from support.participant import Participant, open_participant
from support.peers import PARTICIPANT
from support.signaling import Signaling

from meet_trio.room import Role

ROOT = Path(__file__).parents[2]
SIGNALING = "/meetmedia/signaling"
WAYS = {"default": None, "polling": ["polling"], "websocket": ["websocket"]}
# python-socketio handles each packet in a thread of its own, so it may report the end of the
# connection before the goodbye that came first. Its closing of the websocket may overtake its own
# goodbye.
SAYS_WHO_LEFT = ("socket.io-client-4", "socket.io-client-2")
GRACE = 10.0  # seconds that a lost peer has
DEADLINE = 60  # seconds for a test

every_client = pytest.mark.parametrize("name", CLIENTS)
every_way = pytest.mark.parametrize("way", WAYS)


async def connected(client: Client, way: str) -> None:
    """Wait until it is connected by the expected transports."""
    first, last = {"default": ("polling", "websocket")}.get(way, (way, way))
    await client.wait("transport", name=first)
    if last != first:
        await client.wait("transport", name=last)
    await client.wait("connect")


# The echo


@pytest.fixture(scope="module")
def echo() -> Iterator[str]:
    """URL of the echo server. Its timeouts are long enough for a busy machine."""
    command = [sys.executable, str(ROOT / "tools/socketio_echo.py"), "--port", "0"]
    with subprocess.Popen(
        [*command, "--ping-timeout", "10"], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield process.stdout.readline().split()[-1]
        process.terminate()


@every_client
@every_way
async def test_echo(echo: str, name: str, way: str) -> None:
    with trio.fail_after(DEADLINE):
        async with open_client(name, echo, "/socket.io/", WAYS[way]) as client:
            await connected(client, way)
            await client.event("auth")
            plain = [1, "zwölf 🎉", None, {"a": [True, 1.5, {}]}, "x" * 100_000]
            await client.tell(emit=["message", *plain])
            assert await client.event("message-back") == plain
            assert await client.call("message-with-ack", *plain) == plain
            binary = [{"base64": "AAECgP8="}, {"deep": [{"base64": ""}, "text"]}]
            await client.tell(emit=["message", *binary])
            assert await client.event("message-back") == binary
            assert await client.call("message-with-ack", *binary) == binary
            if name != "python-socketio":  # it does not report heartbeats
                for _ in range(3):
                    await client.wait("heartbeat")
            await client.tell(disconnect=True)
            reason = (await client.wait("disconnect"))["reason"]
            assert reason in ("io client disconnect", "client disconnect")


@every_client
async def test_another_namespace(echo: str, name: str) -> None:
    with trio.fail_after(DEADLINE):
        async with open_client(name, f"{echo}/custom", "/socket.io/") as client:
            await client.wait("connect")
            await client.event("auth")
            assert await client.call("message-with-ack", 7) == [7]


@every_client
async def test_a_namespace_that_is_not_there(echo: str, name: str) -> None:
    with trio.fail_after(DEADLINE):
        async with open_client(name, f"{echo}/nowhere", "/socket.io/") as client:
            message = (await client.wait("refused"))["message"]
            assert "Invalid namespace" in str(message)


@every_client
async def test_echo_after_a_dropped_connection(echo: str, name: str) -> None:
    with trio.fail_after(DEADLINE):
        async with open_way(urlsplit(echo).port or 0) as way:
            url = f"http://127.0.0.1:{way.port}"
            async with open_client(name, url, "/socket.io/") as client:
                await connected(client, "default")
                way.cut()
                await client.wait("disconnect")
                way.mend()
                await connected(client, "default")
                assert await client.call("message-with-ack", 1) == [1]


# A meeting


@pytest.fixture
def api(daemon: Daemon) -> MeetApi:
    return api_of(daemon)


async def invite(api: MeetApi, room_id: str, port: int | None = None) -> str:
    """URL for a stock client: the query has peerId, roomId and authToken."""
    url = urlsplit(await api.create_peer(room_id, PARTICIPANT))
    return f"http://127.0.0.1:{port or api.port}?{url.query}"


async def owner_url(api: MeetApi, room_id: str) -> str:
    return await api.create_peer(
        room_id, int(Role.OWNER | Role.MODERATOR | Role.PUBLISHER | Role.SUBSCRIBER)
    )


async def join(client: Client, nickname: str) -> str:
    """Join as a page does and return the peer's id."""
    assert (await client.notice())[0] == "roomReady"
    error, capabilities = await client.request("getRouterRtpCapabilities")
    assert error is None
    assert capabilities["codecs"]
    error, me = await client.request("join", nickname=nickname, rtpCapabilities=capabilities)
    assert (error, me["nickname"]) == (None, nickname)
    peer_id: str = me["id"]
    assert await client.notice() == renamed(peer_id, nickname)
    return peer_id


def renamed(peer_id: str, nickname: str) -> tuple[str, object]:
    """The notice that a join causes, to the peer itself too."""
    return "changeNickname", {"peerId": peer_id, "nickname": nickname}


def heard(watcher: Signaling, method: str) -> list[object]:
    return [notice.data for notice in watcher.notices if notice.method == method]


@every_client
@every_way
async def test_a_meeting(daemon: Daemon, api: MeetApi, name: str, way: str) -> None:
    with trio.fail_after(DEADLINE):
        room_id = await api.create_room()
        async with open_participant(await owner_url(api, room_id)) as owner:
            await owner.join("Ada")
            async with open_client(
                name, await invite(api, room_id), SIGNALING, WAYS[way]
            ) as client:
                await connected(client, way)
                peer_id = await join(client, "Bob")
                newcomer = await owner.signaling.wait_notice("newPeer", id=peer_id)
                assert newcomer.data["nickname"] == "Bob"
                assert await client.request("ping") == [None]
                assert await client.request("dance") == [
                    500,
                    'unknown request.method "dance"',
                ]
                assert await client.request("produce") == [500, "request produce failed"]
                # chat in both directions
                await owner.request("chatMessage", {"message": "hello"})
                method, data = await client.notice()
                assert (method, data["message"]) == ("chatMessage", "hello")
                assert await client.request("chatMessage", message="hi") == []
                await owner.signaling.wait_notice("chatMessage", message="hi")
                # A peer that said goodbye is closed at once, without the grace.
                start = trio.current_time()
                await client.tell(disconnect=True)
                await owner.signaling.wait_notice("peerClosed", peerId=peer_id)
                assert name not in SAYS_WHO_LEFT or trio.current_time() - start < GRACE / 2


@every_client
async def test_a_kick(daemon: Daemon, api: MeetApi, name: str) -> None:
    with trio.fail_after(DEADLINE):
        room_id = await api.create_room()
        async with open_participant(await owner_url(api, room_id)) as owner:
            await owner.join("Ada")
            async with open_client(name, await invite(api, room_id), SIGNALING) as client:
                peer_id = await join(client, "Bob")
                await owner.request("moderator:kickPeer", {"peerId": peer_id})
                assert (await client.notice())[0] == "moderator:kickPeer"
                reason = (await client.wait("disconnect"))["reason"]
                assert name not in SAYS_WHO_LEFT or reason == "io server disconnect"
                await owner.signaling.wait_notice("peerClosed", peerId=peer_id)


@pytest.mark.parametrize("name", SAYS_WHO_LEFT)
@every_way
async def test_who_cannot_prove_it_is_shown_out(
    daemon: Daemon, api: MeetApi, name: str, way: str
) -> None:
    with trio.fail_after(DEADLINE):
        url = (await invite(api, await api.create_room())).replace("authToken=", "authToken=0")
        async with open_client(name, url, SIGNALING, WAYS[way]) as client:
            reason = (await client.wait("disconnect"))["reason"]
            assert reason == "io server disconnect"


@every_client
@pytest.mark.parametrize("way", ["default", "polling"])
async def test_back_after_a_dropped_connection(
    daemon: Daemon, api: MeetApi, name: str, way: str
) -> None:
    with trio.fail_after(DEADLINE):
        room_id = await api.create_room()
        async with (
            open_participant(await owner_url(api, room_id)) as owner,
            open_way(daemon.port) as line,
        ):
            await owner.join("Ada")
            url = await invite(api, room_id, line.port)
            async with open_client(name, url, SIGNALING, WAYS[way]) as client:
                await connected(client, way)
                bob = await join(client, "Bob")
                line.cut()
                await client.wait("disconnect")
                line.mend()
                await connected(client, way)
                notice = await client.notice()
                # The join's notice comes again after ``roomBack``, because the line is cut before
                # the client's TCP has acknowledged it. The threads may swap the two.
                if name == "python-socketio" and notice == renamed(bob, "Bob"):
                    notice = await client.notice()
                assert notice == ("roomBack", {})
                assert await client.request("chatMessage", message="yes") == []
                await owner.signaling.wait_notice("chatMessage", message="yes")
                assert heard(owner.signaling, "peerClosed") == []


async def offer_a_microphone(owner: Participant) -> None:
    await owner.create_transports(receive=False)
    await owner.produce_audio()


@every_client
async def test_requests_of_the_server_are_answered(daemon: Daemon, api: MeetApi, name: str) -> None:
    """A client refuses a consumer, and the server forgets it when the refusal arrives."""
    with trio.fail_after(DEADLINE):
        room_id = await api.create_room()
        async with open_participant(await owner_url(api, room_id)) as owner:
            await owner.join("Ada")
            async with open_client(name, await invite(api, room_id), SIGNALING) as client:
                await join(client, "Bob")
                error, _ = await client.request(
                    "createWebRtcTransport", forceTcp=False, producing=False, consuming=True
                )
                assert error is None
                await client.tell(answer=[415, "no ears"])
                await offer_a_microphone(owner)
                (message,) = await client.event("request")
                assert message["method"] == "newConsumer"
                consumer = message["data"]["id"]
                # Requests of the client succeed as long as the server has the consumer.
                while await client.request("pauseConsumer", consumerId=consumer) == []:
                    pass


# wscat


@pytest.fixture(scope="module")
def daemon_with_tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon with a self-signed certificate."""
    folder = tmp_path_factory.mktemp("tls")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=nobody"
    )
    subprocess.run(
        [*command.split(), "-keyout", key, "-out", certificate], check=True, capture_output=True
    )
    running = start_daemon("--http-tls-cert", str(certificate), "--http-tls-key", str(key))
    yield running
    code, _ = running.stop()
    assert code == 0


async def test_wscat(daemon_with_tls: Daemon) -> None:
    """The command of the original's README, with a token and without."""
    trusting = ssl.create_default_context()
    trusting.check_hostname = False
    trusting.verify_mode = ssl.CERT_NONE
    api = attrs.evolve(api_of(daemon_with_tls), ssl_context=trusting)
    room_id = await api.create_room()
    invited = urlsplit(await api.create_peer(room_id, int(Role.SUBSCRIBER))).query
    server = f"wss://127.0.0.1:{api.port}/socket.io/"

    def wscat(query: str) -> list[str]:
        return [*WSCAT, "--no-check", "-c", f"{server}?{query}&EIO=3&transport=websocket"]

    with trio.fail_after(DEADLINE):
        async with open_process(*wscat(invited)) as process:
            lines = Lines(process)
            assert (await anext(lines))[0] == "0"
            assert await anext(lines) == "40"
            _, ready = json.loads((await anext(lines))[2:])
            data = {"iceServers": None, "roomId": room_id}
            assert ready == {"method": "roomReady", "data": data}
            assert process.stdin is not None
            await process.stdin.send_all(b'420["request",{"method":"ping"}]\n')
            # The output has wscat's prompts in front.
            assert (await anext(lines)).endswith("430[null]")
            # Sent at once, the ping could be answered first: a request has a task of its own.
            await process.stdin.send_all(b"2\n")
            assert (await anext(lines)).endswith("3")
        async with open_process(*wscat("peerId=peer1&roomId=room1")) as process:
            lines = Lines(process)
            assert (await anext(lines))[0] == "0"
            assert [line async for line in lines] == ["40", "41"]
            assert await process.wait() == 0

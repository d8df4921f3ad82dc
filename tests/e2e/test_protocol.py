"""Every request of a client and every notice that the others get for it, on the wire and in order.

The sequences are those of the original server, without its faults.
"""

import base64
import contextlib
import hmac
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio
from support.api import ApiError
from support.server import LocalServer, open_server, quick_settings
from support.wire_peer import Heard, WirePeer, open_wire_peer

from meet_trio.bench.rtp_parameters import (
    audio_parameters,
    receive_capabilities,
    simulcast_encodings,
    video_parameters,
)

OWNER, GUEST, LISTENER = 22, 3, 1
DEADLINE = 60  # seconds for a test
GRACE = 2.0  # seconds that a lost peer has to come back
FINGERPRINT = {"algorithm": "sha-256", "value": ":".join(["AB"] * 32)}


def failed(method: str) -> list[object]:
    return [500, f"request {method} failed"]


def info(peer: WirePeer, nickname: str | bool, role: int, **other: object) -> dict[str, object]:
    return {
        "id": peer.id,
        "language": None,
        "nickname": nickname,
        "role": role,
        "raisedHand": False,
        **other,
    }


@contextlib.asynccontextmanager
async def open_meeting(
    *roles: int,
) -> AsyncIterator[tuple[LocalServer, str, list[WirePeer]]]:
    """A server with one room, its id, and a connected peer for each role."""
    with trio.fail_after(DEADLINE):
        settings = quick_settings({"signaling.reconnect_grace": GRACE})
        async with (
            open_server(settings) as server,
            contextlib.AsyncExitStack() as stack,
        ):
            room_id = await server.api.create_room()
            peers = [
                await stack.enter_async_context(open_wire_peer(server, room_id, role))
                for role in roles
            ]
            yield server, room_id, peers


async def capabilities(peer: WirePeer) -> dict[str, Any]:
    router = await peer.result("getRouterRtpCapabilities")
    assert isinstance(router, dict)
    return receive_capabilities(router)


async def create_transport(peer: WirePeer, *, consuming: bool) -> dict[str, Any]:
    answer = await peer.result(
        "createWebRtcTransport", forceTcp=False, producing=not consuming, consuming=consuming
    )
    assert isinstance(answer, dict)
    return answer


async def join(peer: WirePeer, nickname: str) -> list[Heard]:
    return await peer.ask("join", nickname=nickname, rtpCapabilities=await capabilities(peer))


async def produce(peer: WirePeer, transport: dict[str, Any], kind: str, source: str) -> str:
    if kind == "audio":
        parameters = audio_parameters(mid="0", cname="c", ssrc=1000)
    else:
        parameters = video_parameters(
            mid=source, cname="c", encodings=simulcast_encodings(2 if source == "webcam" else 1)
        )
    answer = await peer.result(
        "produce",
        transportId=transport["id"],
        kind=kind,
        rtpParameters=parameters,
        appData={"source": source},
    )
    assert isinstance(answer, dict)
    assert list(answer) == ["id"]
    return str(answer["id"])


async def test_before_joining() -> None:
    async with open_meeting(OWNER) as (server, room_id, (ada,)):
        assert ada.greeting == ("roomReady", {"iceServers": None, "roomId": room_id})
        assert await ada.ask("ping") == [[None]]
        assert await ada.ask("dumpStats") == [[None]]
        router = await ada.result("getRouterRtpCapabilities")
        assert isinstance(router, dict)
        assert [
            (
                codec["mimeType"],
                codec["clockRate"],
                codec["parameters"].get("profile-level-id")
                or codec["parameters"].get("profile-id"),
                codec["parameters"].get("x-google-start-bitrate"),
            )
            for codec in router["codecs"]
            if not codec["mimeType"].endswith("/rtx")
        ] == [
            ("audio/opus", 48000, None, None),
            ("video/VP8", 90000, None, 1000),
            ("video/VP9", 90000, 2, 1000),
            ("video/H264", 90000, "4d0032", 1000),
            ("video/H264", 90000, "42e01f", 1000),
            ("video/VP9", 90000, 0, 1000),
            ("video/AV1", 90000, None, 1000),
        ]
        said = {"peerId": ada.id, "nickname": False, "message": "alone"}
        assert await ada.ask("chatMessage", message="alone") == [("chatMessage", said), []]
        transport = await create_transport(ada, consuming=False)
        assert set(transport) == {
            "id",
            "iceParameters",
            "iceCandidates",
            "dtlsParameters",
        }
        ice = transport["iceParameters"]
        assert set(ice) == {"usernameFragment", "password", "iceLite"}
        assert ice["iceLite"] is True
        assert transport["dtlsParameters"]["role"] == "auto"
        udp = transport["iceCandidates"][0]
        (host,) = server.running.registry.rooms[room_id].placement.used
        port = host.engine.port
        assert (udp["protocol"], udp["ip"], udp["port"]) == ("udp", "127.0.0.1", port)
        assert udp["type"] == "host"
        # Media goes on: the transport stays, only the credentials of its checks change.
        fresh = await ada.result("restartIce", transportId=transport["id"])
        assert isinstance(fresh, dict)
        assert set(fresh) == set(ice)
        assert fresh["usernameFragment"] != ice["usernameFragment"]
        assert fresh["password"] != ice["password"]


async def test_ice_servers_are_for_the_peer_and_for_a_day() -> None:
    settings = quick_settings(
        {"turn.server": "turn:192.0.2.7:3478?transport=tcp", "turn.static_secret": "north"}
    )
    with trio.fail_after(DEADLINE):
        async with open_server(settings) as server:
            room_id = await server.api.create_room()
            before = int(time.time())
            async with open_wire_peer(server, room_id) as ada:
                method, data = ada.greeting
                assert method == "roomReady"
                assert isinstance(data, dict)
                (relay,) = data["iceServers"]
                assert set(relay) == {"urls", "username", "credential"}
                assert relay["urls"] == ["turn:192.0.2.7:3478?transport=tcp"]
                until, peer_id = relay["username"].split(":")
                assert before <= int(until) - 24 * 3600 <= time.time()
                assert peer_id == ada.id
                digest = hmac.digest(b"north", relay["username"].encode(), "sha1")
                assert relay["credential"] == base64.b64encode(digest).decode()


async def test_joining() -> None:
    async with open_meeting(OWNER, GUEST) as (_, _, (ada, bob)):
        alone = ("changeNickname", {"peerId": ada.id, "nickname": "Ada"})
        answer = [None, {"peers": [info(bob, False, GUEST)], **info(ada, "Ada", OWNER)}]
        assert await join(ada, "Ada") == [alone, answer]
        assert await bob.hear() == [alone, ("newPeer", info(ada, "Ada", OWNER))]
        named = ("changeNickname", {"peerId": bob.id, "nickname": "Bob"})
        answer = [None, {"peers": [info(ada, "Ada", OWNER)], **info(bob, "Bob", GUEST)}]
        assert await join(bob, "Bob") == [named, answer]
        newcomer = ("newPeer", info(bob, "Bob", GUEST))
        assert await ada.hear() == [named, newcomer]
        # a second join with the same name
        assert await join(bob, "Bob") == [answer]
        assert await ada.hear() == [newcomer]


async def test_streams() -> None:
    async with open_meeting(OWNER, GUEST, LISTENER) as (_, _, (ada, bob, listener)):
        await join(ada, "Ada")
        sending = await create_transport(ada, consuming=False)
        mic = await produce(ada, sending, "audio", "mic")
        # A peer that has a transport when it joins is offered the streams after the answer.
        await create_transport(bob, consuming=True)
        *_, answer = await join(bob, "Bob")
        assert isinstance(answer, list)
        ((method, data),) = await bob.hear()
        assert method == "newConsumer"
        assert isinstance(data, dict)
        sound = data.pop("id")
        parameters = data.pop("rtpParameters")
        assert data == {
            "peerId": ada.id,
            "kind": "audio",
            "producerId": mic,
            "type": "simple",
            "appData": {"source": "mic"},
            "producerPaused": False,
        }
        assert [codec["mimeType"] for codec in parameters["codecs"]] == ["audio/opus"]

        cam = await produce(ada, sending, "video", "webcam")
        screen = await produce(ada, sending, "video", "screen")
        pictures = {}
        for method, data in await bob.hear():
            assert method == "newConsumer"
            assert isinstance(data, dict)
            pictures[data["appData"]["source"]] = data
            assert data["rtpParameters"]["mid"] != parameters["mid"]
        assert [p["type"] for p in pictures.values()] == ["simulcast", "simple"]
        assert [p["producerId"] for p in pictures.values()] == [cam, screen]
        picture = pictures["webcam"]["id"]

        # The viewer is told once, the others nothing.
        for request, notice in (
            ("pauseProducer", "consumerPaused"),
            ("resumeProducer", "consumerResumed"),
        ):
            assert await ada.ask(request, producerId=cam) == [[]]
            assert await ada.ask(request, producerId=cam) == [[]]
            assert await bob.hear() == [(notice, {"consumerId": picture})]
        for request in ("pauseConsumer", "resumeConsumer"):
            assert await bob.ask(request, consumerId=picture) == [[]]
            assert await bob.ask(request, consumerId=picture) == [[]]
        wishes: tuple[tuple[str, dict[str, object]], ...] = (
            ("setConsumerPreferredLayers", {"spatialLayer": 0, "temporalLayer": 1}),
            ("setConsumerPriority", {"priority": 2}),
            ("requestConsumerKeyFrame", {}),
        )
        for request, wish in wishes:
            assert await bob.ask(request, consumerId=picture, **wish) == [[]]
            for consumer in (picture, "nope"):
                assert await ada.ask(request, consumerId=consumer, **wish) == [failed(request)]
        assert await bob.ask("setTransportMaxBitrate", maxBitrate=500_000) == [[]]
        for transport_id in (sending["id"], "nope"):
            refused = await ada.ask(
                "setTransportMaxBitrate", transportId=transport_id, maxBitrate=0
            )
            assert refused == [failed("setTransportMaxBitrate")]
        assert await ada.hear() == []

        # ids of another peer, and unknown ids
        for request in ("pauseProducer", "resumeProducer", "closeProducer"):
            for producer in (cam, "nope"):
                assert await bob.ask(request, producerId=producer) == [failed(request)]
        for request in ("pauseConsumer", "resumeConsumer"):
            for consumer in (picture, "nope"):
                assert await ada.ask(request, consumerId=consumer) == [failed(request)]
        for transport_id in (sending["id"], "nope"):
            for request, extra in (
                ("restartIce", {}),
                ("connectWebRtcTransport", {"dtlsParameters": {"role": "client"}}),
            ):
                refused = await bob.ask(request, transportId=transport_id, **extra)
                assert refused == [failed(request)]
        # a peer that may only listen
        theirs = await create_transport(listener, consuming=False)
        refused = await listener.ask(
            "produce",
            transportId=theirs["id"],
            kind="audio",
            rtpParameters=audio_parameters(mid="0", cname="c", ssrc=1),
            appData={"source": "mic"},
        )
        assert refused == [failed("produce")]

        assert await ada.ask("closeProducer", producerId=screen) == [[]]
        closed = ("consumerClosed", {"consumerId": pictures["screen"]["id"]})
        assert await bob.hear() == [closed]
        assert await ada.ask("closeProducer", producerId=screen) == [failed("closeProducer")]
        # A page that has lost its state gets all of it again.
        *_, answer = await join(bob, "Bob")
        again = await bob.hear()
        stale = [("consumerClosed", {"consumerId": c}) for c in (sound, picture)]
        assert again[:2] == stale
        assert [method for method, _ in again[2:]] == ["newConsumer"] * 2


async def test_connecting_a_transport() -> None:
    with trio.fail_after(DEADLINE):
        async with open_server() as server:
            async with open_wire_peer(server, await server.api.create_room()) as ada:
                transport_id = (await create_transport(ada, consuming=True))["id"]
                request = "connectWebRtcTransport"
                for wrong in (
                    {},
                    {"role": "chicken", "fingerprints": [FINGERPRINT]},
                    {"role": "client", "fingerprints": []},
                    {"role": "client", "fingerprints": [{**FINGERPRINT, "value": "AB:CD"}]},
                ):
                    answer = await ada.ask(request, transportId=transport_id, dtlsParameters=wrong)
                    assert answer == [failed(request)]
                right = {"role": "client", "fingerprints": [FINGERPRINT]}
                for expected in ([], failed(request)):
                    answer = await ada.ask(request, transportId=transport_id, dtlsParameters=right)
                    assert answer == [expected]


async def test_talking() -> None:
    async with open_meeting(OWNER, GUEST) as (server, room_id, (ada, bob)):
        await join(bob, "Bob")
        await ada.hear()
        for method, data, notice, news in (
            ("changeNickname", {"nickname": "Bøb"}, "changeNickname", True),
            ("changeNickname", {"nickname": "Bøb"}, "changeNickname", False),
            ("raisedHand", {"raisedHand": True}, "changeRaisedHand", True),
            ("raisedHand", {"raisedHand": True}, "changeRaisedHand", False),
            ("raisedHand", {"raisedHand": False}, "changeRaisedHand", True),
            ("chatMessage", {"message": "<b>😀</b>"}, "chatMessage", True),
            ("chatMessage", {"message": "<b>😀</b>"}, "chatMessage", True),
        ):
            expected: list[Heard] = []
            if news:
                said = {"nickname": "Bøb"} if method == "chatMessage" else {}
                expected = [(notice, {"peerId": bob.id, **said, **data})]
            assert await bob.ask(method, **data) == [*expected, []]
            assert await ada.hear() == expected
        for method in ("changeNickname", "raisedHand", "chatMessage"):
            assert await bob.ask(method) == [failed(method)]
        assert await ada.hear() == []
        for role, hears in ((None, (ada, bob)), (4, (ada,)), (3, (ada, bob)), (8, ())):
            message = {"roomId": room_id, "type": "x", "data": {"r": role}, "role": role}
            assert await server.api.call("POST", "/signal", message) == {}
            for peer in (ada, bob):
                signal = [("signal:x", {"r": role})] if peer in hears else []
                assert await peer.hear() == signal


async def test_moderating() -> None:
    async with open_meeting(OWNER, GUEST) as (_, _, (ada, bob)):

        def role(value: int) -> Heard:
            return ("changeRole", {"peerId": bob.id, "role": value})

        def language(value: str | None) -> Heard:
            return ("changeLanguage", {"peerId": bob.id, "language": value})

        hand_down = ("changeRaisedHand", {"peerId": bob.id, "raisedHand": False})
        add, remove = "moderator:addRole", "moderator:removeRole"
        speak = "moderator:changeLanguage"
        no = None
        steps: tuple[tuple[str, dict[str, object], list[Heard] | None], ...] = (
            (add, {"role": 4}, [role(7)]),
            (add, {"role": 4}, []),
            (add, {"role": 4 | 8}, [role(15)]),  # one of the bits is already set
            (add, {"role": 16}, no),
            (add, {"role": 64}, no),
            (add, {"role": "abc"}, no),
            (add, {}, no),
            (remove, {"role": 8}, [role(7)]),
            (remove, {"role": 8 | 4}, [role(3)]),  # an absent bit is not toggled
            (remove, {"role": 8 | 4}, []),
            (speak, {"language": "de"}, [language("de")]),
            (speak, {"language": "de"}, []),
            (speak, {"language": "DE"}, no),
            (speak, {"language": 5}, no),
            (remove, {"role": 2}, [language(None), role(1)]),
            ("hand", {}, []),
            (add, {"role": 2}, [hand_down, role(3)]),
            (speak, {"language": "fr"}, [language("fr")]),
            (speak, {"language": None}, [language(None)]),
        )
        for method, data, expected in steps:
            if method == "hand":
                await bob.ask("raisedHand", raisedHand=True)
                await ada.hear()
                continue
            answer = await ada.ask(method, peerId=bob.id, **data)
            if expected is None:
                assert answer == [failed(method)], data
                expected = []
            else:
                assert answer == [*expected, []], data
            assert await bob.hear() == expected
        for method, bits in ((remove, 16), (remove, 4), (add, 64)):
            assert await ada.ask(method, peerId=ada.id, role=bits) == [failed(method)]
        assert await ada.ask(add, peerId=ada.id, role=16) == [[]]
        for method in (add, remove, speak, "moderator:kickPeer"):
            answer = await ada.ask(method, peerId="nope", role=1, language="de")
            assert answer == [failed(method)]
        for method in ("moderator:joinRequestAccept", "moderator:joinRequestDeny"):
            assert await ada.ask(method, requestId="r") == [[]]
        # a peer that is not a moderator
        every = {"peerId": ada.id, "role": 1, "language": "de", "requestId": "r"}
        for method in (
            add,
            remove,
            speak,
            "moderator:joinRequestAccept",
            "moderator:joinRequestDeny",
            "moderator:kickPeer",
            "moderator:closeRoom",
        ):
            assert await bob.ask(method, **every) == [failed(method)]
        assert await ada.hear() == []
        # A moderator is not the owner.
        await ada.ask(add, peerId=bob.id, role=4)
        assert (await bob.ask("moderator:closeRoom"))[-1] == failed("moderator:closeRoom")


async def test_the_ways_out() -> None:
    async with open_meeting(OWNER) as (server, room_id, (ada,)):
        async with (
            open_wire_peer(server, room_id) as bob,
            open_wire_peer(server, room_id) as cy,
            open_wire_peer(server, room_id) as dan,
            open_wire_peer(server, room_id) as fay,
        ):
            kicked = await ada.ask("moderator:kickPeer", peerId=bob.id)
            assert kicked == [("peerClosed", {"peerId": bob.id}), []]
            assert await cy.hear() == [("peerClosed", {"peerId": bob.id})]
            # the goodbye, then the end of the websocket
            assert await bob.hear_all() == [
                ("moderator:kickPeer", {}),
                ("disconnect", None),
            ]
            assert await ada.ask("moderator:kickPeer", peerId=bob.id) == [
                failed("moderator:kickPeer")
            ]
            # A lost peer is announced after the grace; one that leaves later is announced at once.
            await dan.socket.aclose()
            lost = trio.current_time()
            await cy.socket.send_message("41")
            assert await ada.next() == ("peerClosed", {"peerId": cy.id})
            assert await ada.next() == ("peerClosed", {"peerId": dan.id})
            assert trio.current_time() - lost > 0.9 * GRACE
            assert await fay.hear() == [
                ("peerClosed", {"peerId": peer.id}) for peer in (bob, cy, dan)
            ]
            await fay.socket.send_message("41")
            assert await ada.next() == ("peerClosed", {"peerId": fay.id})
        # None of them is admitted again.
        for gone in (bob, cy, dan, fay):
            async with open_wire_peer(server, room_id, query=gone.query) as again:
                assert again.greeting == ("disconnect", None)
        async with open_wire_peer(server, room_id) as eve:
            assert await ada.ask("moderator:closeRoom") == [[]]
            assert await ada.hear_all() == [("disconnect", None)]
            assert await eve.hear_all() == [
                ("moderator:closeRoom", None),
                ("disconnect", None),
            ]
        with pytest.raises(ApiError) as gone_room:
            await server.api.call("GET", f"/sessions/{room_id}")
        assert gone_room.value.status == 404

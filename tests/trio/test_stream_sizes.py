"""Bounds on the bytes that one peer can make the server send to all others by producing
a stream.
"""

import itertools
import json
from typing import Any

import trio.testing
from support.live_scenes import open_world, transport
from support.peers import EVERYTHING
from trio.testing import MockClock

from meet_trio.ortc import router_capabilities

ROUTER = router_capabilities().to_json()
LARGEST_OFFER = 7000
"""Bytes of the largest ``newConsumer``; up to 4096 of them are the publisher's ``appData``."""


def largest_stream() -> dict[str, Any]:
    """A request with the longest values that are accepted, and many fields that should
    be dropped.
    """
    numbers = ["packetization-mode", "level-asymmetry-allowed", "max-mbps", "max-cpb", "max-dpb"]
    numbers += ["max-br", "max-fr", "max-fs"]
    numbers += [f"x-google-{which}-bitrate" for which in ("start", "min", "max")]
    h264 = {
        "mimeType": "video/H264",
        "clockRate": 90000,
        "parameters": {
            **dict.fromkeys(numbers, "9" * 10),
            "packetization-mode": 1,
            "level-asymmetry-allowed": 1,
            "profile-level-id": "42e01f",
            "sprop-parameter-sets": "A" * 256,
            **{f"junk-{number}": "x" * 500 for number in range(50)},
        },
        "rtcpFeedback": [{"type": "x" * 64, "parameter": "y" * 64}] * 32,
    }
    return {
        "codecs": [{**h264, "payloadType": 96 + number} for number in range(32)],
        "headerExtensions": [{"uri": f"{i:0>256}", "id": i} for i in range(1, 65)],
        "encodings": [
            {
                "ssrc": 2**32 - 1 - i,
                "scalabilityMode": "L99T99_KEY_SHIFT",
                "maxBitrate": 1.1 + 2**49,
            }
            for i in range(4)
        ],
        "rtcp": {"cname": '"' * 255},
        "mid": "m" * 64,
    }


def app_data() -> dict[str, Any]:
    data = {"source": "screen", "x": ""}
    data["x"] = "ä" * ((4096 - len(json.dumps(data))) // 2)
    return data


async def test_what_viewers_are_told_of_a_stream_is_bounded(autojump_clock: MockClock) -> None:
    async with open_world() as world:
        room = await world.registry.create_room()
        ada, *viewers = [await world.enter(room, EVERYTHING, details="1") for _ in range(3)]
        for viewer in viewers:
            await viewer.socket.ask("join", nickname="x", rtpCapabilities=ROUTER)
            await transport(viewer.socket, consuming=True)
        data = {
            "transportId": await transport(ada.socket, consuming=False),
            "kind": "video",
            "rtpParameters": largest_stream(),
            "appData": app_data(),
        }
        assert len(json.dumps(data)) > 800_000
        answer = await ada.socket.ask("produce", **data)
        assert answer[0] is None, answer
        await trio.testing.wait_all_tasks_blocked()
        for viewer in viewers:
            ((method, offered),) = viewer.socket.calls
            message = ["request", {"method": method, "data": offered}]
            text = json.dumps(message, ensure_ascii=False, separators=(",", ":"))
            size = len(text.encode())
            print(f"newConsumer: {size} bytes")
            assert LARGEST_OFFER - 300 < size <= LARGEST_OFFER


async def test_what_the_room_keeps_of_a_viewer_is_bounded(autojump_clock: MockClock) -> None:
    async with open_world() as world:
        room = await world.registry.create_room()
        ada = await world.enter(room, EVERYTHING)
        names = itertools.cycle(["video/H264", "video/VP8", "audio/opus", "video/AV1", "x"])
        codecs = [
            {
                "mimeType": name if "/" in name else f"video/{number}",
                "clockRate": 48000 if name == "audio/opus" else 90000,
                "channels": 2,
                "parameters": {f"junk-{i}": "x" * 500 for i in range(10)},
                "rtcpFeedback": [{"type": "x" * 64, "parameter": "y" * 64}] * 32,
            }
            for number, name in zip(range(128), names, strict=False)
        ]
        capabilities = {
            "codecs": codecs,
            "headerExtensions": [{"uri": f"{i:0>256}", "preferredId": i} for i in range(1, 65)],
        }
        assert await ada.socket.ask("join", rtpCapabilities=capabilities)
        kept = room.state.peers[ada.id].rtp_capabilities
        assert kept is not None
        assert [codec.mime_type for codec in kept.codecs] == [
            "video/VP8",
            "audio/opus",
            "video/AV1",
        ]
        assert len(json.dumps(kept.to_json())) < 500

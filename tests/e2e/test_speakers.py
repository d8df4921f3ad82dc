"""Who speaks, and last-N, with real media: a room on two engines, whose people speak in turns."""

from contextlib import AsyncExitStack

import trio
from support.meeting import enter
from support.participant import ClientConsumer, ClientProducer, Participant
from support.server import open_server, quick_settings

from meet_trio.bench.dtls import Identity

SILENT, SPEECH = 127, 20  # dB below the loudest
WITHOUT_PICTURES = 1.0  # seconds after the overlap, in which no frame may come


async def camera_of(viewer: Participant, publisher: Participant) -> ClientConsumer:
    return await viewer.wait_consumer(kind="video", peer_id=publisher.id)


async def speaks(listener: Participant, voice: ClientProducer, speaker: Participant) -> None:
    """The speaker speaks until the listener is told so."""
    voice.source.level = SPEECH  # type: ignore[union-attr]
    await listener.signaling.wait_notice("activeSpeaker", peerId=speaker.id)
    voice.source.level = SILENT  # type: ignore[union-attr]


async def test_the_latest_speaker_is_seen_without_a_gap() -> None:
    settings = quick_settings(spread_size=2, workers=2, max_incoming_bitrate=10_000_000)
    identity = Identity.generate()
    with trio.fail_after(90):
        async with open_server(settings) as server, AsyncExitStack() as stack:
            api = server.api
            room_id = (await api.call("POST", "/sessions", {"lastN": 1}))["id"]
            people = [await enter(stack, api, room_id, name, identity=identity) for name in "abcd"]
            ada, bob, cyd, dan = people
            voices = [await p.produce_audio(level=SILENT) for p in people]
            for person in people:
                await person.produce_video(frame_sizes=(300,), fps=20)
            reply = await ada.request("subscribeSpeakers", {"audioLevels": True})
            assert reply["activeSpeaker"] is None
            assert (reply["lastN"], reply["peerIds"][0]) == (1, ada.id)

            first, second = await camera_of(dan, ada), await camera_of(dan, cyd)
            await dan.wait_frames(first)
            assert second.paused
            assert second.stream.frames == 0

            await speaks(ada, voices[2], cyd)
            at = first.stream.frames
            await dan.wait_frames(second)
            await dan.wait_frames(first)
            assert first.stream.frames > at, "both are seen for a moment"
            assert not second.paused

            while not first.paused:
                await trio.sleep(0.01)
            await trio.sleep(WITHOUT_PICTURES / 2)
            at = first.stream.frames
            await trio.sleep(WITHOUT_PICTURES)
            assert first.stream.frames == at
            await dan.wait_frames(second)

            # Ada is not counted for herself, Cyd sees the one before.
            assert not (await camera_of(ada, cyd)).paused
            assert not (await camera_of(cyd, ada)).paused
            assert (await camera_of(bob, ada)).paused
            volumes = await ada.signaling.wait_notice("audioLevels")
            assert {entry["peerId"] for entry in volumes.data["volumes"]} <= {cyd.id}

            await dan.request("setPinnedPeers", {"peerIds": [ada.id]})
            await dan.wait_frames(first)
            assert [c.stream.faults for c in (first, second)] == [[], []]

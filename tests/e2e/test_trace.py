"""A real call that is traced: encrypted on the wire, readable in the file; and explained."""

from contextlib import AsyncExitStack

import trio
from support.meeting import enter
from support.server import open_server, quick_settings
from support.wire.pcapng import read_pcapng
from support.wire.rtcp import parse_rtcp_untrusted
from support.wire.rtp import parse_rtp_untrusted

from meet_trio.bench.dtls import Identity
from meet_trio.live.figures import ask_engines
from meet_trio.operator.explain import Why, explain_consumer, explain_peer
from meet_trio.operator.trace import RTCP_PORT, RTP_PORT, SAP_PORT, trace


async def test_a_call_is_traced_and_explained() -> None:
    written = bytearray()

    async def write(data: bytes) -> None:
        written.extend(data)

    identity = Identity.generate()
    with trio.fail_after(60):
        async with open_server(quick_settings()) as server, AsyncExitStack() as stack:
            room_id = (await server.api.call("POST", "/sessions", {}))["id"]
            ada, bob = [
                await enter(stack, server.api, room_id, name, identity=identity) for name in "ab"
            ]
            await ada.produce_audio()
            await ada.produce_video(frame_sizes=(300, 1200, 4000), fps=20)
            camera = await bob.wait_consumer(kind="video", peer_id=ada.id)
            await bob.wait_frames(camera)
            room = server.running.registry.rooms[room_id]
            peer = room.peers[str(bob.id)]
            (transport,) = [t for t in peer.transports.values() if t.consuming]
            done = await trace(room, peer, transport, write, by="the test", max_seconds=3)
            stats = await ask_engines(room.placement.used)
            video = next(c for c in room.consumers.values() if c.rtp.kind == "video")
            told = explain_consumer(room, video, stats)
            about_peer = explain_peer(room, peer, stats)
            ssrcs = {ssrc for c in room.consumers.values() for ssrc in c.ssrcs()}
            assert not transport.host.object_counts()["taps"]
    # a busy machine makes queues, and a link that it makes slow is a true answer
    assert told.reason in (Why.NOTHING, Why.LINK, Why.KEY_FRAME), told.text()
    assert about_peer.facts["joined"]
    capture = read_pcapng(bytes(written))
    media = [p for p in capture.packets if p.interface == 0]
    assert len(media) == done.packets == capture.received
    assert done.lost == 0
    sdp = [p.payload for p in capture.packets if p.destination[1] == SAP_PORT][-1]
    assert b"VP8/90000\r\n" in sdp
    assert b"opus/48000/2\r\n" in sdp
    rtp = [parse_rtp_untrusted(p.payload) for p in media if p.source[1] == RTP_PORT]
    assert {p.ssrc for p in rtp} <= ssrcs
    assert len({p.ssrc for p in rtp}) >= 2
    assert len(rtp) > 60
    rtcp = [p for p in media if RTCP_PORT in (p.source[1], p.destination[1])]
    assert {p.direction for p in rtcp} == {1, 2}
    assert all(parse_rtcp_untrusted(p.payload) for p in rtcp)
    assert any(comment.startswith("estimate: ") for p in capture.packets for comment in p.comments)

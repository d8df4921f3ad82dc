"""Attacks with authentic RTP and RTCP. See ``attacker``."""

import contextlib
import secrets
import socket
import struct
import time
from collections.abc import AsyncIterator
from typing import Any

import trio
from support.field import Attacks, Field, Press, participant, until
from support.media_source import Stamp, Vp8Source
from support.participant import Participant
from support.plain_peer import VP8, open_plain_peer
from support.wire.rtcp import Nack, Pli, ReceiverReport, ReportBlock, SenderReport, build_rtcp
from support.wire.rtp import RtpPacket, build_rtp
from support.wire.vp8 import Vp8Descriptor, build_vp8_descriptor, key_frame_header

from meet_trio.bench.rtp_parameters import TRANSPORT_CC, VIDEO_EXTENSIONS

ATTACKS = Attacks()
attack = ATTACKS.add
ROUND = 0.01  # seconds


async def rounds(seconds: float, act: Any) -> int:
    """Call ``act(number)`` a hundred times a second, if this process is fast enough."""
    number, started = 0, trio.current_time()
    while trio.current_time() < started + seconds:
        act(number)
        number += 1
        await trio.sleep_until(started + number * ROUND)
    return number


@attack
async def numbers_that_sink(field: Field) -> AsyncIterator[Press]:
    """Transport-wide numbers N, N+2047, N-64, N-128… on a plain transport."""
    async with open_plain_peer(await field.invite()) as peer:
        await peer.join("Mallory")
        end = await peer.create(producing=True)
        await peer.request(
            "produce",
            {
                "transportId": end.id,
                "kind": "video",
                "rtpParameters": {
                    "codecs": [
                        {
                            "mimeType": "video/VP8",
                            "payloadType": VP8,
                            "clockRate": 90000,
                            "rtcpFeedback": [{"type": "transport-cc", "parameter": ""}],
                        }
                    ],
                    "headerExtensions": [{"uri": TRANSPORT_CC, "id": 3}],
                    "encodings": [{"ssrc": 77}],
                },
                "appData": {"source": "webcam"},
            },
        )
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            sock.bind(("127.0.0.1", 0))

            async def press(seconds: float) -> None:
                sequence = 0
                for start in (10_000, 30_000, 50_000):
                    for step in (0, 2047, *range(-64, -2048, -64)):
                        sequence += 1
                        number = (start + step) & 0xFFFF
                        packet = RtpPacket(
                            payload_type=VP8,
                            sequence_number=sequence,
                            timestamp=sequence,
                            ssrc=77,
                            payload=b"\x10\x00\x00",
                            extensions={3: struct.pack("!H", number)},
                        )
                        sock.sendto(build_rtp(packet), (end.ip, end.port))
                    await trio.sleep(0.3)
                await peer.request("ping")  # a peer is still in the room

            yield press


@attack
async def numbers_that_jump(field: Field) -> AsyncIterator[Press]:
    """A frame of the lower layer stays open. Packets of the upper layer, too large to be kept, jump
    by 0x7000. A viewer that switches has all the numbers in between to go through.
    """
    room = await field.api.create_room()
    async with contextlib.AsyncExitStack() as stack:
        viewers = [
            await stack.enter_async_context(participant(field, room, send=False)) for _ in range(3)
        ]
        bad = await stack.enter_async_context(participant(field, room, receive=False))
        producer = await bad.produce_video(frame_sizes=(300, 1000), fps=10)
        for viewer in viewers:
            await viewer.wait_frames(await viewer.wait_consumer(kind="video"), 3)
        source = producer.source
        assert isinstance(source, Vp8Source)
        assert bad.send is not None
        transport = bad.send.transport
        transport.allow_large_packets()

        def send(layer: int, *, marker: bool, key: bool = False, size: int = 300) -> None:
            now = time.monotonic()
            start = build_vp8_descriptor(
                Vp8Descriptor(start_of_partition=True, picture_id=secrets.randbits(15))
            )
            start += key_frame_header(320 << layer, 180 << layer) if key else b"\x11\x00\x00"
            payload = (start + Stamp(layer, 0, 0, 1, now).build()).ljust(size, b"\xa5")
            packet = source.streams[layer].next_packet(payload, int(now * 90000), marker=marker)
            transport.send_rtp(packet, VIDEO_EXTENSIONS[TRANSPORT_CC])

        async def press(seconds: float) -> None:
            assert bad.send is not None
            stream, sent = source.streams[1], 0
            for _ in range(2):
                # only the lower layer, until everyone watches it
                bad.send.set_paused(source.mid, False)
                source.active_layers = 1
                async with trio.open_nursery() as nursery:
                    for viewer in viewers:
                        nursery.start_soon(_wait_layer, viewer, producer.id, 0)
                bad.send.set_paused(source.mid, True)
                send(0, marker=False)
                send(1, marker=True, key=True)
                for number in range(10_000):
                    stream.sequence_number = (stream.sequence_number + 0x6FFF) & 0xFFFF
                    send(1, marker=True, size=1800)
                    sent += 1
                    if number % 50 == 49:
                        await trio.sleep(0.001)
                send(0, marker=True)
                await trio.sleep(0.2)
            field.target.seen.append(f"{sent} packets")

        yield press


async def _wait_layer(viewer: Participant, producer_id: str, layer: int) -> None:
    consumer = await viewer.wait_consumer(producer_id=producer_id)
    while (stamp := consumer.stream.last_stamp) is None or stamp.layer != layer:
        await viewer.wait_frames(consumer)


@attack
async def flipping_losses(field: Field) -> AsyncIterator[Press]:
    """Receiver reports on sixty consumers whose loss is all, then none, then all."""
    await field.sixty()
    async with participant(field, field.sixty_room, send=False) as bad:
        await bad.wait_consumers("audio", 60)
        ssrcs = [consumer.stream.ssrc for consumer in bad.consumers.values()]
        assert bad.receive is not None
        transport, own = bad.receive.transport, bad.receive.ssrc

        async def press(seconds: float) -> dict[str, float]:
            before = bad.signaling.notices
            known = len(before)

            def flip(number: int) -> None:
                for again in range(10):
                    lost = 255 * ((number + again) % 2)
                    for at in (0, 30):
                        blocks = tuple(
                            ReportBlock(ssrc=ssrc, fraction_lost=lost, highest_sequence=number)
                            for ssrc in ssrcs[at : at + 30]
                        )
                        transport.send_rtcp([ReceiverReport(own, blocks)])

            count = await rounds(seconds, flip)
            told = len(bad.signaling.notices) - known
            field.target.seen.append(f"{count * 20} reports on 30 each, {told} notices")
            return {"notices": told}

        yield press


async def viewer_of_the_meeting(field: Field, stack: contextlib.AsyncExitStack) -> Participant:
    bad: Participant = await stack.enter_async_context(participant(field, send=False))
    await bad.wait_consumers("video", 2)
    for consumer in list(bad.consumers.values()):
        await bad.wait_frames(consumer, 3)
    return bad


@attack
async def key_frames_without_end(field: Field) -> AsyncIterator[Press]:
    """A viewer that requests key frames all the time."""
    async with contextlib.AsyncExitStack() as stack:
        bad = await viewer_of_the_meeting(field, stack)
        assert bad.receive is not None
        transport, own = bad.receive.transport, bad.receive.ssrc
        ssrcs = [c.stream.ssrc for c in bad.consumers.values() if c.kind == "video"]

        async def press(seconds: float) -> None:
            def ask(_: int) -> None:
                for ssrc in ssrcs * 10:
                    transport.send_rtcp([Pli(own, ssrc)])

            count = await rounds(seconds, ask)
            field.target.seen.append(f"{count * 10} asked of each")

        yield press


@attack
async def retransmissions_without_end(field: Field) -> AsyncIterator[Press]:
    """Request everything in the history again and again; returns the bytes received for each byte
    sent.
    """
    async with contextlib.AsyncExitStack() as stack:
        bad = await viewer_of_the_meeting(field, stack)
        assert bad.receive is not None
        transport, own = bad.receive.transport, bad.receive.ssrc
        streams = [c.stream for c in bad.consumers.values() if c.kind == "video"]
        came = sent = 0

        def count_in(datagram: bytes) -> bool:
            nonlocal came
            came += len(datagram)
            return False

        def count_out(datagram: bytes) -> bool:
            nonlocal sent
            sent += len(datagram)
            return False

        transport.drop_incoming, transport.drop_outgoing = count_in, count_out

        async def rate() -> float:
            """Bytes that come in a second."""
            nonlocal came
            came, before = 0, trio.current_time()
            await trio.sleep(1)
            return came / (trio.current_time() - before)

        async def press(seconds: float) -> dict[str, float]:
            nonlocal came, sent
            quiet = await rate()
            came = sent = 0

            def ask(_: int) -> None:
                for stream in streams:
                    last = stream._highest
                    lost = tuple(number & 0xFFFF for number in range(last - 200, last))
                    for _ in range(5):
                        transport.send_rtcp([Nack(own, stream.ssrc, lost)])

            before = trio.current_time()
            await rounds(seconds, ask)
            took, all_that_came = trio.current_time() - before, came
            # A busy machine may let little come for a while, before or after.
            await rate()  # what has been asked for may still be on its way
            quiet = max(quiet, await rate())
            more = all_that_came - quiet * took
            field.target.seen.append(
                f"{sent} bytes sent, {all_that_came} came, {quiet:.0f} a second without asking"
            )
            return {"more": more, "quiet": quiet, "sent": sent}

        yield press


async def _are_known(field: Field, publisher: Participant) -> bool:
    """Whether the server has had packets of each stream of the publisher."""
    peer = (await field.api.call("GET", "/stats"))[field.room][publisher.id]
    streams = [stream for producer in peer["producers"] for stream in producer["streams"]]
    return len(streams) == 3 and all(stream["packetCount"] for stream in streams)


@attack
async def sender_reports_without_end(field: Field) -> AsyncIterator[Press]:
    """24 datagrams of 44 reports at once, repeated, for viewers on the other engine."""
    async with participant(field, receive=False) as bad:
        producer = await bad.produce_video(frame_sizes=(300, 600), fps=10)
        await bad.produce_audio(interval=0.1)
        # Reports count only for streams that the server knows from their packets.
        while not await _are_known(field, bad):
            await trio.sleep(0.05)
        assert bad.send is not None
        transport = bad.send.transport

        reports = build_rtcp(
            SenderReport(
                ssrc=producer.source.streams[at % 2].ssrc,
                ntp=at << 40,
                rtp_timestamp=at,
                packets=at,
                octets=at,
            )
            for at in range(44)
        )

        async def press(seconds: float) -> None:
            async def report() -> None:
                for _ in range(24):
                    transport.send_rtcp_bytes(reports)

            count = await until(seconds, report)
            field.target.seen.append(f"{count * 24 * 44} reports")

        yield press

"""The test client by itself, against a small fake server: ICE, DTLS-SRTP, loss, moving, media in
both directions.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import attrs
import pytest
import trio
from support.fake_server import FakeServer, open_fake_server
from support.media_sink import ReceiveStream
from support.media_source import Vp8Source
from support.sessions import ReceiveSession, SendSession
from support.transport import ClientTransport, TransportError
from support.wire.rtcp import Nack, Pli, ReceiverReport, SenderReport
from support.wire.rtp import RtpPacket
from support.wire.transport_cc import TransportFeedback

from meet_trio.bench.dtls import SRTP_PROFILES, Identity, SrtpProfile
from meet_trio.bench.rtp_parameters import MID, RID, TRANSPORT_CC, VIDEO_EXTENSIONS


@contextmanager
def raises_in_group(kind: type[BaseException], match: str) -> Iterator[None]:
    with pytest.RaisesGroup(pytest.RaisesExc(kind, match=match), flatten_subgroups=True):
        yield


@pytest.mark.parametrize("profile", SRTP_PROFILES, ids=lambda p: p.name.decode())
async def test_media_goes_there_and_back_with_each_profile(profile: SrtpProfile) -> None:
    with trio.fail_after(10):
        async with (
            open_fake_server(Identity.generate((profile,))) as server,
            trio.open_nursery() as nursery,
        ):
            back: list[RtpPacket] = []
            transport = ClientTransport(
                Identity.generate(), server.parameters(), on_rtp=back.append
            )
            nursery.start_soon(transport.run)
            await transport.connected.wait()
            for number in range(5):
                packet = RtpPacket(
                    payload_type=96, sequence_number=number, timestamp=number, ssrc=7
                )
                transport.send_rtp(packet, transport_cc_id=3)
            while len(back) < 5:
                await trio.sleep(0.005)
            assert [p.extensions for p in back] == [{3: bytes([0, n])} for n in range(5)]
            assert server.nominations > 0
            transport.say_goodbye()
            while not server.goodbye:
                await trio.sleep(0.005)
            nursery.cancel_scope.cancel()


async def test_wrong_fingerprint_is_an_error() -> None:
    with trio.fail_after(10), raises_in_group(TransportError, "fingerprint"):
        async with open_fake_server() as server:
            parameters = server.parameters(fingerprint="00:11")
            await ClientTransport(Identity.generate(), parameters).run()


async def test_handshake_survives_lost_datagrams() -> None:
    """Each needed datagram is lost the first time; OpenSSL's timer is a second."""
    lost = 0

    def drop(datagram: bytes) -> bool:
        nonlocal lost
        if lost < 2 and datagram[0] in (0, 22):
            lost += 1
            return True
        return False

    with trio.fail_after(20):
        async with open_fake_server() as server, trio.open_nursery() as nursery:
            transport = ClientTransport(
                Identity.generate(), server.parameters(), drop_outgoing=drop
            )
            nursery.start_soon(transport.run)
            await transport.connected.wait()
            nursery.cancel_scope.cancel()
    assert lost == 2


async def test_moving_to_another_port_goes_on() -> None:
    with trio.fail_after(10):
        async with open_fake_server() as server, trio.open_nursery() as nursery:
            back: list[RtpPacket] = []
            transport = ClientTransport(
                Identity.generate(), server.parameters(), on_rtp=back.append
            )
            nursery.start_soon(transport.run)
            await transport.connected.wait()
            before, answered = server.address, transport.checks_answered
            transport.move()
            while transport.checks_answered == answered:
                await trio.sleep(0.005)
            assert server.address != before
            transport.send_rtp(RtpPacket(payload_type=96, sequence_number=1, timestamp=1, ssrc=7))
            while not back:
                await trio.sleep(0.005)
            nursery.cancel_scope.cancel()


@attrs.define(eq=False)
class EchoedVideo:
    """One participant's video, sent to the fake server and received from it."""

    server: FakeServer
    send: SendSession
    receive: ReceiveSession
    source: Vp8Source
    stream: ReceiveStream

    @classmethod
    async def start(cls, server: FakeServer, nursery: trio.Nursery) -> "EchoedVideo":
        transport = ClientTransport(Identity.generate(), server.parameters())
        nursery.start_soon(transport.run)
        await transport.connected.wait()
        send = SendSession(transport)
        receive = ReceiveSession(transport, transport_cc_id=VIDEO_EXTENSIONS[TRANSPORT_CC])

        def handle_rtcp(packets: tuple[object, ...]) -> None:
            send.handle_rtcp(packets)  # type: ignore[arg-type]

        transport.on_rtcp = handle_rtcp
        source = Vp8Source("1", "me", frame_sizes=(3000,), fps=100, simulcast=False)
        (out,) = source.streams
        stream = ReceiveStream(
            "video", out.ssrc, 96, 90000, rtx_ssrc=out.rtx_ssrc, rtx_payload_type=97, nack=True
        )
        receive.add(stream)
        send.sources[source.mid] = source
        nursery.start_soon(send.run_source, source)
        nursery.start_soon(send.run_reports)
        nursery.start_soon(receive.run_feedback)
        return cls(server, send, receive, source, stream)

    async def relay_nacks(self) -> None:
        """The fake server has no history: it passes the receiver's NACKs on to the sender."""
        seen = 0
        while True:
            await trio.sleep(0.01)
            new, seen = self.server.rtcp[seen:], len(self.server.rtcp)
            asks = [p for p in new if isinstance(p, (Nack, Pli))]
            if asks:
                await self.server.send_rtcp(list(asks))


async def test_video_comes_whole_and_is_reported() -> None:
    with trio.fail_after(10):
        async with open_fake_server() as server, trio.open_nursery() as nursery:
            video = await EchoedVideo.start(server, nursery)
            kinds = {SenderReport, ReceiverReport, TransportFeedback}
            while video.stream.frames < 60 or not kinds <= {type(p) for p in server.rtcp}:
                await trio.sleep(0.01)
            nursery.cancel_scope.cancel()
    assert video.stream.faults == []
    assert (video.stream.lost, video.stream.duplicates, video.receive.nacks_sent) == (0, 0, 0)
    assert video.stream.key_frames == 1
    assert video.stream.frames >= video.source.frame - 10
    assert not video.receive.unknown
    first = server.rtp[0]
    assert first.extensions[VIDEO_EXTENSIONS[MID]] == b"1"
    assert VIDEO_EXTENSIONS[RID] not in first.extensions
    arrived = [
        delta
        for packet in server.rtcp
        if isinstance(packet, TransportFeedback)
        for delta in packet.deltas
    ]
    assert arrived
    assert None not in arrived


async def test_lost_packets_are_asked_for_and_come_by_rtx() -> None:
    weather = random.Random(4)
    with trio.fail_after(15):
        async with open_fake_server() as server, trio.open_nursery() as nursery:
            video = await EchoedVideo.start(server, nursery)
            nursery.start_soon(video.relay_nacks)
            server.drop = lambda d: d[0] >= 128 and d[1] < 192 and weather.random() < 0.05
            while video.stream.recovered < 20:
                await trio.sleep(0.01)
            server.drop = lambda _: False
            frames = video.stream.frames
            while video.stream.frames < frames + 60:
                await trio.sleep(0.01)
            nursery.cancel_scope.cancel()
    assert video.stream.faults == []
    assert video.stream.lost == 0
    assert video.source.streams[0].retransmitted >= 20


async def test_without_retransmission_a_key_frame_is_asked_for() -> None:
    with trio.fail_after(15):
        async with open_fake_server() as server, trio.open_nursery() as nursery:
            video = await EchoedVideo.start(server, nursery)
            video.receive.send_nack = False
            nursery.start_soon(video.relay_nacks)
            while video.stream.frames < 10:
                await trio.sleep(0.01)
            burst = 5

            def drop(datagram: bytes) -> bool:
                nonlocal burst
                media = datagram[0] >= 128 and datagram[1] < 192
                burst -= media
                return media and burst >= 0

            server.drop = drop
            while video.stream.key_frames < 2:
                await trio.sleep(0.01)
            nursery.cancel_scope.cancel()
    assert video.stream.lost == 5
    assert video.stream.faults == []
    assert video.stream.longest_freeze > 0.9
    assert video.source.key_frame_requests >= 1

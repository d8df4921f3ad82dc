"""A trace as a pcapng stream: what is in it, when it ends, and that nothing of it is left."""

import logging
import struct
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import attrs
import pytest
import trio
from support.live_fakes import FakeEngine, World
from support.live_scenes import open_world, pair, produce, transport
from support.wire.pcapng import Capture, read_pcapng
from support.wire.rtp import RtpPacket, build_rtp, parse_rtp_untrusted
from trio.testing import MockClock

from meet_trio.engine import (
    ConsumerScore,
    DtlsDatagram,
    IceConnected,
    IceMoved,
    IceSilent,
    LayerChanged,
    PacketsTraced,
    StatsReady,
)
from meet_trio.errors import BadRequest, LimitExceeded, NotFound
from meet_trio.live.peer import LivePeer
from meet_trio.live.room import LiveRoom
from meet_trio.media import taps
from meet_trio.media.engines import EngineError
from meet_trio.media.plain import Transport
from meet_trio.media.transport import TransportState, WebRtcTransport
from meet_trio.operator.trace import EVENT_PORT, RTCP_PORT, RTP_PORT, SAP_PORT, Traced, trace

OUT, RTCP = 1, 2


class TellingEngine(FakeEngine):
    """It has figures."""

    def __init__(self) -> None:
        super().__init__()
        self.hear: Callable[[StatsReady], None] | None = None
        self.figures: dict[str, Any] = {
            "address": None,
            "estimateCause": "start",
            "availableOutgoingBitrate": 1_000_000,
            "wantedBitrate": 900_000,
            "allocatedBitrate": 300_000,
            "outgoingLoss": 0.02,
            "queueDelay": 12.0,
            "roundTripTime": 40.0,
        }

    ips = ("0.0.0.0",)

    def request_stats(self, token: int) -> None:
        assert self.hear is not None
        table = {str(number): self.figures for number in self.transports}
        self.hear(StatsReady(token, {"transports": table}))


@attrs.define(eq=False)
class Scene:
    """Ada's camera on its way to Bob, whose receiving transport is traced."""

    world: World
    room: LiveRoom
    peer: LivePeer
    transport: Transport
    written: bytearray = attrs.field(factory=bytearray)
    why: Traced | None = None

    @classmethod
    async def open(cls, world: World) -> "Scene":
        assert isinstance(world.engine, TellingEngine)
        world.engine.hear = world.hear
        room, ada, bob = await pair(world)
        await produce(ada, "video")
        await trio.testing.wait_all_tasks_blocked()
        peer = room.peers[bob.id]
        (own,) = peer.transports.values()
        return cls(world, room, peer, own)

    async def write(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        self.written += data

    async def trace(
        self, write: Callable[[bytes], Awaitable[None]] | None = None, **limits: Any
    ) -> Traced:
        self.why = await trace(
            self.room, self.peer, self.transport, write or self.write, by="root", **limits
        )
        return self.why

    def hear_packets(self, packets: Iterable[bytes], bits: int = OUT, lost: int = 0) -> None:
        records = b"".join(
            struct.pack("=qHBB", 1_000_000 + i, len(data), bits, 0) + data
            for i, data in enumerate(packets)
        )
        self.world.hear(PacketsTraced(self.transport.number, lost, records))

    def read(self) -> Capture:
        return read_pcapng(bytes(self.written))

    def events(self) -> list[str]:
        packets = [p for p in self.read().packets if p.interface == 1]
        assert all(p.destination[1] in (EVENT_PORT, SAP_PORT) for p in packets)
        return [p.comments[0] for p in packets if p.destination[1] == EVENT_PORT]

    def sdp(self) -> list[list[str]]:
        """The announcements."""
        return [
            p.payload.partition(b"application/sdp\0")[2].decode().splitlines()
            for p in self.read().packets
            if p.destination[1] == SAP_PORT
        ]


def rtp(number: int, size: int = 20) -> bytes:
    return build_rtp(
        RtpPacket(
            payload_type=96,
            sequence_number=number,
            timestamp=number,
            ssrc=1000,
            payload=bytes(size),
        )
    )


def opened() -> Any:
    return open_world(engines=[TellingEngine()])


async def settle() -> None:
    await trio.testing.wait_all_tasks_blocked()


@pytest.mark.parametrize(
    ("client", "server"), [("198.51.100.7", "192.0.2.9"), ("2001:db8::7", "::")]
)
async def test_packets_and_events(
    client: str, server: str, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with opened() as world, trio.open_nursery() as nursery:
        scene = await Scene.open(world)
        number = scene.transport.number
        (consumer,) = scene.room.consumers.values()
        nursery.start_soon(scene.trace)
        await settle()
        assert world.engine.traced == {number}
        world.hear(IceConnected(number, client, 40000))
        world.hear(DtlsDatagram(number, b"\x16secret of the handshake"))
        world.hear(DtlsDatagram(number + 1, b"\x16"))
        scene.hear_packets([rtp(1), rtp(2, 21)])
        scene.hear_packets([bytes([0x80, 200]) + bytes(26)], OUT | RTCP)
        scene.hear_packets([bytes([0x81, 201]) + bytes(30)], RTCP, lost=3)
        world.hear(LayerChanged(consumer.number, 1, 2))
        world.hear(LayerChanged(consumer.number, None, None))
        world.hear(ConsumerScore(consumer.number, 7))
        world.hear(LayerChanged(4711, 1, 2))
        world.hear(IceMoved(number, client, 40001))
        scene.hear_packets([rtp(3)], lost=3)
        scene.transport.state = TransportState.CONNECTED
        world.engine.figures |= {"availableOutgoingBitrate": 1_050_000}  # a small step
        await trio.sleep(1.5)
        world.engine.figures |= {"availableOutgoingBitrate": 2_000_000, "estimateCause": "probe"}
        await trio.sleep(1.0)
        world.hear(IceSilent(number))
        await trio.sleep(3)
    assert world.is_clean()
    assert scene.why == Traced(len(scene.written), 5, 3, "the transport ended")
    capture = scene.read()
    names = f"room {scene.room.id}, peer {scene.peer.id}, transport {scene.transport.id}"
    assert capture.comments[0] == names
    assert (capture.application, capture.received, capture.dropped) == ("meet-trio", 8, 3)
    assert capture.end == ("the trace ended: the transport ended",)
    media = [p for p in capture.packets if p.interface == 0]
    assert [(p.source, p.destination, p.direction, p.lost) for p in media] == [
        ((server, RTP_PORT), (client, 40000), 2, 0),
        ((server, RTP_PORT), (client, 40000), 2, 0),
        ((server, RTCP_PORT), (client, 40000), 2, 0),
        ((client, 40000), (server, RTCP_PORT), 1, 3),
        ((server, RTP_PORT), (client, 40001), 2, 0),
    ]
    assert [p.payload for p in media[:2]] == [rtp(1), rtp(2, 21)]
    assert media[1].time - media[0].time == 1
    events = [p for p in capture.packets if p.destination[1] == EVENT_PORT]
    assert all(p.payload == b"<14>" + p.comments[0].encode() for p in events)
    first, moved = scene.sdp()
    family = "IP6" if ":" in client else "IP4"
    assert f"c=IN {family} {client}" in first
    assert "m=video 40000 RTP/AVP 101 102" in first
    assert "m=video 40001 RTP/AVP 101 102" in moved
    assert {"a=rtpmap:101 VP8/90000", "a=rtpmap:102 rtx/90000"} <= set(first)
    where = f"[{client}]" if ":" in client else client
    assert scene.events() == [
        "DTLS: new",
        "estimate: 1000000 bit/s (start), wanted 900000, allocated 300000, loss 2.0%, "
        "queue 12 ms, round trip 40 ms",
        f"path: {where}:40000",
        "DTLS: 24 bytes from the client (handshake)",
        f"consumer {consumer.state.id}: layer 1, temporal layer 2",
        f"consumer {consumer.state.id}: no layer",
        f"consumer {consumer.state.id}: score 7",
        f"path: {where}:40001, before {where}:40000",
        "DTLS: connected",
        "estimate: 2000000 bit/s (probe), wanted 900000, allocated 300000, loss 2.0%, "
        "queue 12 ms, round trip 40 ms",
        "ICE: no checks of the client any more",
    ]
    assert isinstance(scene.transport, WebRtcTransport)
    for secret in (scene.transport.ice.password.encode(), b"secret of the handshake"):
        assert secret not in scene.written
    began, ended = (r.message for r in caplog.records if "trace of" in r.message)
    assert began.startswith(f"trace of {names} begins, asked for by root")
    assert "ended: the transport ended; 5 packets, 3 lost" in ended


async def test_it_ends_at_its_bytes(autojump_clock: MockClock) -> None:
    async with opened() as world, trio.open_nursery() as nursery:
        scene = await Scene.open(world)
        nursery.start_soon(lambda: scene.trace(max_bytes=100_000))
        await settle()
        for number in range(1000):
            scene.hear_packets([rtp(number, 1000)] * 3)
            await settle()
            if scene.why:
                break
        assert not world.engine.traced
        assert scene.why is not None
        assert scene.why.why == "100000 bytes were written"
        assert 97_000 < len(scene.written) == scene.why.written <= 100_000
        assert scene.read().received == scene.why.packets > 80
        for each in scene.read().packets:
            if each.interface == 0:
                parse_rtp_untrusted(each.payload)


async def test_it_ends_at_its_time_also_if_nothing_comes(autojump_clock: MockClock) -> None:
    async with opened() as world:
        scene = await Scene.open(world)
        before = trio.current_time()
        assert (await scene.trace(max_seconds=7.5)).why == "7.5 s are over"
        assert trio.current_time() - before == pytest.approx(7.5)
        assert scene.read().end == ("the trace ended: 7.5 s are over",)
        assert not world.engine.traced


async def test_it_ends_with_its_engine(autojump_clock: MockClock) -> None:
    async with opened() as world, trio.open_nursery() as nursery:
        scene = await Scene.open(world)
        nursery.start_soon(scene.trace)
        await trio.sleep(2.5)
        world.host._fail("a test")
        await settle()
        assert scene.why is not None
        with pytest.raises(EngineError, match="has failed"):
            await scene.trace()


async def test_who_does_not_read_loses_packets_and_holds_up_nobody(
    autojump_clock: MockClock,
) -> None:
    async with opened() as world, trio.open_nursery() as nursery:
        scene = await Scene.open(world)
        stuck = trio.Event()

        async def write(data: bytes) -> None:
            if len(scene.written) > 2000 and not stuck.is_set():
                scene.written += data[:-6]
                stuck.set()
                await trio.sleep_forever()
            await scene.write(data)

        nursery.start_soon(lambda: scene.trace(write, max_seconds=20))
        await settle()
        (tap,) = world.host._taps.values()
        for number in range(1000):
            scene.hear_packets([rtp(number, 1000)] * 20)
        assert tap._bytes <= taps.TAP_BYTES + 21_000
        assert tap.lost > 10_000
        for _ in range(1000):
            world.hear(IceMoved(scene.transport.number, "198.51.100.1", 1))
        assert len(tap._waiting) <= taps.TAP_EVENTS
        assert tap.events_lost > 700
        await trio.sleep(30)
        assert scene.why is not None
        assert scene.why.why == "20 s are over"
        assert not world.engine.traced
        assert stuck.is_set()
        with pytest.raises(ValueError, match="a block of"):  # it is cut
            scene.read()
        assert b"the trace ended" not in scene.written  # so nothing comes behind it


async def test_a_reader_that_goes_ends_it(autojump_clock: MockClock) -> None:
    async with opened() as world:
        scene = await Scene.open(world)

        async def write(data: bytes) -> None:
            raise BrokenPipeError

        with pytest.raises(BrokenPipeError):
            await scene.trace(write)
        assert not world.engine.traced


@pytest.mark.parametrize("moments", range(24))
async def test_cancelled_at_any_moment(moments: int, autojump_clock: MockClock) -> None:
    async with opened() as world:
        scene = await Scene.open(world)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(scene.trace)
            for _ in range(moments):
                await trio.lowlevel.checkpoint()
                if world.host._taps:
                    scene.hear_packets([rtp(1)] * 300)
            nursery.cancel_scope.cancel()
        assert scene.why is None
        assert not world.engine.traced
        assert not world.host.object_counts()["taps"]


async def test_limits(autojump_clock: MockClock) -> None:
    async with opened() as world, trio.open_nursery() as nursery:
        scene = await Scene.open(world)
        for limits in ({"max_bytes": 100}, {"max_bytes": 2**40}):
            with pytest.raises(BadRequest, match="max_bytes: "):
                await scene.trace(**limits)
        for seconds in (0, -1, 1e9, float("nan")):
            with pytest.raises(BadRequest, match="max_seconds: "):
                await scene.trace(max_seconds=seconds)
        nursery.start_soon(scene.trace)
        await settle()
        with pytest.raises(LimitExceeded, match="traced already"):
            await scene.trace()
        for number in range(taps.MOST_TAPS):
            client = await world.enter(scene.room)
            await transport(client.socket, consuming=True)
            peer = scene.room.peers[client.id]
            (own,) = peer.transports.values()
            other = Scene(world, scene.room, peer, own)
            if number < taps.MOST_TAPS - 1:
                nursery.start_soon(other.trace)
                await settle()
            else:
                with pytest.raises(LimitExceeded, match=r"^4 transports"):
                    await other.trace()
        assert len(world.engine.traced) == taps.MOST_TAPS
        scene.transport.close()
        await settle()
        assert scene.why is not None
        with pytest.raises(NotFound, match="has ended"):
            await scene.trace()
        await other.trace(max_seconds=0.5)
        nursery.cancel_scope.cancel()


async def test_a_refusing_engine_leaves_no_tap(autojump_clock: MockClock) -> None:
    async with opened() as world:
        scene = await Scene.open(world)
        world.faults.arm(0)
        with pytest.raises(ValueError, match="trace_transport"):
            await scene.trace()
        assert not world.host.object_counts()["taps"]

"""Sound and picture stay together. From timestamps and sender reports a viewer computes when the
publisher captured a frame, whatever the engine has done with the stream.
"""

import struct

import attrs
import pytest
from support.engine_world import EngineClient, World, audio, sender_report, simulcast
from support.wire.rtcp import Pli, SenderReport
from support.wire.rtp import RtpPacket
from support.wire.vp8 import Vp8Descriptor, build_vp8_descriptor, key_frame_header

from meet_trio.engine import EncodingSpec

FPS = 20
OFFSET = 0.05  # s, what people do not notice (ITU-R BT.1359)
NTP_BASE = 3_900_000_000.0
VIDEO_SSRC, AUDIO_SSRC = 3000, 2000


def ntp(at: float) -> int:
    return round((NTP_BASE + at) * 2**32)


@attrs.define(eq=False)
class Publisher:
    """Three layers and sound, with clocks that begin at random values. Each packet says in its
    payload when its frame was captured.
    """

    client: EngineClient
    delay: float = 0.03
    """From the capture of a picture until it is sent; sound is sent at once."""
    talks: bool = True
    _next: list[int] = attrs.field(factory=lambda: [1000, 2000, 3000])
    _frames: int = 0
    _sounds: int = 0
    _reported: float = 0.0
    _key: bool = True

    def step(self, now: float) -> None:
        if now >= self._reported + 0.5:
            self._reported = now
            for i in range(3):
                report = sender_report(VIDEO_SSRC + i, ntp(now), self._video_clock(i, now))
                self.client.send_rtcp(report)
            self.client.send_rtcp(sender_report(AUDIO_SSRC, ntp(now), self._audio_clock(now)))
        while self._frames / FPS + self.delay <= now:
            self._send_frame(self._frames / FPS)
            self._frames += 1
        while self._sounds / 50 <= now:
            if self.talks:
                self._send_sound(self._sounds / 50)
            self._sounds += 1

    def _video_clock(self, layer: int, at: float) -> int:
        return (987_654_321 * (layer + 1) + round(at * 90_000)) & 0xFFFFFFFF

    def _audio_clock(self, at: float) -> int:
        return (123_456 + round(at * 48_000)) & 0xFFFFFFFF

    def _send_frame(self, captured: float) -> None:
        key = self._key or any(isinstance(p, Pli) for p in self.client.rtcp)
        self.client.rtcp.clear()
        self._key = False
        for i in range(3):
            head = key_frame_header(640, 360) if key else b"\x01\0\0"
            descriptor = Vp8Descriptor(
                start_of_partition=True,
                picture_id=self._frames & 0x7FFF,
                tl0_picture_index=self._frames & 0xFF,
                temporal_layer=0,
            )
            self.client.send(
                RtpPacket(
                    payload_type=96,
                    sequence_number=self._next[i],
                    timestamp=self._video_clock(i, captured),
                    ssrc=VIDEO_SSRC + i,
                    payload=build_vp8_descriptor(descriptor) + head + struct.pack("!d", captured),
                    marker=True,
                    extensions={9: b"v0", 10: b"r%d" % i},
                )
            )
            self._next[i] += 1

    def _send_sound(self, captured: float) -> None:
        self.client.send(
            RtpPacket(
                payload_type=111,
                sequence_number=self._sounds & 0xFFFF,
                timestamp=self._audio_clock(captured),
                ssrc=AUDIO_SSRC,
                payload=struct.pack("!d", captured),
                marker=False,
                extensions={9: b"a0"},
            )
        )


@attrs.define(eq=False)
class Viewer:
    """Computes like a browser, with the newest sender report of each stream, when a packet was
    captured, and collects by how much that is wrong.
    """

    client: EngineClient
    video: int
    audio: int
    errors: dict[int, list[float]] = attrs.field(factory=dict)
    _reports: dict[int, SenderReport] = attrs.field(factory=dict)
    _packets: int = 0

    def step(self) -> None:
        for sent in self.client.rtcp_of(SenderReport):
            self._reports[sent.ssrc] = sent
        self.client.rtcp.clear()
        for packet in self.client.rtp[self._packets :]:
            report = self._reports.get(packet.ssrc)
            if report is None:
                continue
            rate = 90_000 if packet.ssrc == self.video else 48_000
            ahead = (packet.timestamp - report.rtp_timestamp + 2**31) % 2**32 - 2**31
            captured = report.ntp / 2**32 - NTP_BASE + ahead / rate
            (true,) = struct.unpack("!d", packet.payload[-8:])
            self.errors.setdefault(packet.ssrc, []).append(captured - true)
        self._packets = len(self.client.rtp)

    def offsets(self) -> tuple[float, float]:
        """The least and the greatest offset of picture to sound since the last call."""
        sound, picture = self.errors[self.audio], self.errors[self.video]
        self.errors = {}
        return min(picture) - max(sound), max(picture) - min(sound)


@attrs.define(eq=False)
class Call:
    world: World
    publisher: Publisher
    viewer: Viewer
    picture: int
    sound: int
    camera: int
    microphone: int

    @classmethod
    def begin(cls) -> "Call":
        world = World()
        alice, bob = world.client(), world.client()
        camera = world.produce(alice, simulcast(3, mid="v0"))
        microphone = world.produce(alice, audio(encodings=(EncodingSpec(ssrc=AUDIO_SSRC),)))
        picture, sound = world.consume(bob, camera), world.consume(bob, microphone)
        viewer = Viewer(bob, picture + 50_000, sound + 50_000)
        return cls(world, Publisher(alice), viewer, picture, sound, camera, microphone)

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds * 100)):
            self.world.run(0.01)
            self.publisher.step(self.world.now)
            self.viewer.step()

    def assert_together(self) -> None:
        least, most = self.viewer.offsets()
        assert -OFFSET < least <= most < OFFSET, (least, most)


@pytest.fixture
def call() -> Call:
    begun = Call.begin()
    begun.run(5)
    begun.assert_together()
    return begun


def test_after_a_switch_of_layers(call: Call) -> None:
    for layer in (0, 2, 1, 0, 2):
        call.world.core.set_preferred_layers(call.picture, layer)
        call.run(2.5)
        call.assert_together()
    assert call.world.stats()["consumers"][str(call.picture)]["layerSwitches"] >= 4


def test_after_a_pause_of_the_viewer(call: Call) -> None:
    call.world.core.set_consumer_paused(call.picture, True)
    call.run(7)
    call.viewer.errors = {}
    call.world.core.set_consumer_paused(call.picture, False)
    call.run(0.2)
    call.viewer.errors = {}  # of the past, if it begins with that
    call.run(3)
    call.assert_together()


def test_after_a_pause_of_the_sound(call: Call) -> None:
    """Opus sends nothing in a silence (DTX): its clock goes on."""
    call.publisher.talks = False
    call.run(6)
    call.viewer.errors.pop(call.viewer.audio, None)
    call.publisher.talks = True
    call.run(3)
    call.assert_together()


def test_when_pictures_come_later_than_sound(call: Call) -> None:
    call.publisher.delay = 0.15
    call.run(4)
    call.assert_together()


def test_for_who_begins_with_the_past(call: Call) -> None:
    """The first pictures are shown faster than they were captured; the present is not."""
    carol = call.world.client()
    call.world.core.request_keyframe(call.camera)
    call.run(0.8)
    picture = call.world.consume(carol, call.camera)
    sound = call.world.consume(carol, call.microphone)
    viewer = call.viewer = Viewer(carol, picture + 50_000, sound + 50_000)
    call.run(3)
    viewer.errors = {}
    call.run(3)
    call.assert_together()

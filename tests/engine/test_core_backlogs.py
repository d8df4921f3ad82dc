"""More video at once than the pacer's queue takes: the rest waits in the streams' histories, and no
number is missing. In virtual time.
"""

import random
import re
from collections import defaultdict
from collections.abc import Callable

import attrs
import pytest
from support.engine_link import LinkedViewer
from support.engine_world import VIEWED_ADAPTED, EngineClient, World, audio, simulcast
from support.layered_camera import LayeredCamera
from support.wire.rtcp import RtcpPacket
from support.wire.rtp import RtpPacket
from support.wire.vp8 import parse_vp8_untrusted

from meet_trio.engine import EngineSettings

RATE = 9_000_000
"""Of a stream, in bit/s: a key frame has more than 200 packets."""
FULL = 500_000
"""Bytes: a queue without room for new packets has more."""
OVERHEAD = 76
"""Bytes of a packet besides its payload, as the engine counts them."""
PICTURE = re.compile(rb"r\d t\d (\d+)\.(\d+) ")


def part_of(packet: RtpPacket) -> int:
    """The number of the packet in its frame."""
    match = PICTURE.search(packet.payload)
    assert match
    return int(match[2])


@attrs.define(eq=False)
class Late:
    """A camera's client that holds some packets back."""

    client: EngineClient
    holds: Callable[[RtpPacket], bool]
    held: list[RtpPacket] = attrs.field(factory=list)

    @property
    def rtcp(self) -> list[RtcpPacket]:
        return self.client.rtcp

    def send(self, packet: RtpPacket) -> None:
        if self.holds(packet):
            self.held.append(packet)
        else:
            self.client.send(packet)


class Call:
    """Alice publishes, Bob views all of it with a first estimate of 100 Mbit/s."""

    def __init__(self, count: int, *rates: int, history_packets: int = 1024) -> None:
        self.rates = rates or (RATE,)
        self.world = World(
            EngineSettings(initial_outgoing_bitrate=100_000_000, history_packets=history_packets)
        )
        self.alice, bob = self.world.client(), self.world.client()
        self.cameras = [
            LayeredCamera(self.alice, rates=self.rates, mid=f"v{i}", first_ssrc=3000 + 10 * i)
            for i in range(count)
        ]
        self.producers = [
            self.world.produce(self.alice, simulcast(len(self.rates), mid=f"v{i}"))
            for i in range(count)
        ]
        self.bob = LinkedViewer.behind(bob)
        self.consumers: list[int] = []

    def step(self, now: float) -> None:
        for camera in self.cameras:
            camera.step(now)

    def run(self, seconds: float) -> None:
        self.bob.run(seconds, self.step)

    def flood(self, camera: LayeredCamera) -> None:
        """Publish four frames at once."""
        camera.step(self.world.now + 0.2)

    def drain(self) -> None:
        """Nothing more is published."""
        self.bob.run(0.5)
        assert self.waiting() == 0

    def view(self) -> None:
        self.consumers += [
            self.world.consume(self.bob.client, p, header_extensions=VIEWED_ADAPTED)
            for p in self.producers
        ]

    def waiting(self) -> int:
        """Bytes in the pacer's queue."""
        transports = self.world.stats()["transports"]
        return int(transports[str(self.bob.client.number)]["pacerBytes"])

    def numbers(self) -> dict[int, list[int]]:
        """The numbers that Bob got, in order of arrival, by SSRC."""
        found: dict[int, list[int]] = defaultdict(list)
        for packet in self.bob.media():
            found[packet.ssrc].append(packet.sequence_number)
        return found

    def pictures(self) -> list[bytes]:
        """The number of the last picture that Bob got of each producer."""
        found = {}
        for packet in self.bob.media():
            match = PICTURE.search(parse_vp8_untrusted(packet.payload)[1])
            assert match
            found[packet.ssrc] = match[1]
        return [found[c + 50_000] for c in self.consumers]

    @property
    def key_frames(self) -> int:
        return sum(camera.key_frames for camera in self.cameras)


def assert_nothing_missing(call: Call) -> None:
    """Each number came once, and nobody had to ask for one."""
    for each in call.numbers().values():
        known = sorted((number - each[0] + 2**15) % 2**16 for number in each)
        assert known == list(range(known[0], known[0] + len(each)))
    figures = call.world.stats()["engine"]
    assert (figures["retransmissions"], figures["retransmissions_missed"]) == (0, 0)
    assert call.bob.unanswered == 0


@pytest.mark.parametrize("past", [True, False])
def test_all_begin_together_and_get_everything(past: bool) -> None:
    """From the history, or with key frames that come together."""
    call = Call(6, RATE // 2) if past else Call(4)
    call.run(0.05 if past else 1.5)
    before = call.key_frames
    call.view()
    assert (call.waiting() > FULL) == past
    call.run(0.6)
    call.drain()
    # Nobody but those who begin asks for a key frame.
    assert call.key_frames == before + (0 if past else len(call.cameras))
    assert call.world.counter("dropped_queue_full") == 0
    assert_nothing_missing(call)
    assert call.pictures() == [b"%d" % camera.frames[0] for camera in call.cameras]


def test_sound_does_not_wait_for_pictures() -> None:
    call = Call(6, RATE // 2)
    mute = audio(header_extensions={})
    voice = call.world.consume(call.bob.client, call.world.produce(call.alice, mute), rtx_ssrc=None)
    call.run(0.05)
    call.view()
    packet = RtpPacket(payload_type=111, sequence_number=1, timestamp=1, ssrc=2000, payload=b"hi")
    call.alice.send(packet)
    call.run(0.02)
    assert call.waiting() > FULL / 2
    assert voice + 50_000 in call.numbers()


@pytest.mark.parametrize("count", [1, 60])
def test_late_packets_neither_wait_in_the_history_nor_are_dropped(count: int) -> None:
    """They have their numbers since later ones came. For a few there is always room in the queue;
    further ones leave at once.
    """
    call = Call(4)
    call.run(1.5)
    call.view()
    late = Late(call.alice, lambda p: len(late.held) < count and part_of(p) >= 100)
    call.cameras[0].client = late  # type: ignore[assignment]
    while call.waiting() < FULL:
        call.run(0.005)
    waiting = call.waiting()
    for packet in late.held:
        call.alice.send(packet)
    assert call.waiting() - waiting == sum(len(p.payload) + OVERHEAD for p in late.held[:32])
    call.run(0.5)
    call.drain()
    assert call.bob.unanswered == 0
    assert {p.payload for p in late.held} <= {p.payload for p in call.bob.media()}


def test_a_late_step_sends_what_was_due_meanwhile() -> None:
    """Or an engine with too little CPU time would never empty its queues."""
    call = Call(6, RATE // 2)
    call.run(0.05)
    call.view()
    assert call.waiting() > FULL
    before = call.bob.bytes_through
    call.world.run(0.03, step=0.03)
    pace = 100_000_000 * 1.3 / 8
    assert call.bob.bytes_through - before == pytest.approx(0.03 * pace, rel=0.2)


def test_a_number_whose_packet_the_history_has_dropped_is_made_up_for() -> None:
    """A key frame is larger than all of the history, and the client does not ask."""
    call = Call(1, history_packets=128)
    call.bob.nack = False
    call.run(1.5)
    call.view()
    call.run(1.5)
    assert call.world.counter("dropped_queue_full") > 0
    assert call.key_frames > 2


@pytest.mark.parametrize(("history", "rate"), [(256, RATE * 2), (1024, RATE * 3)])
def test_what_is_too_far_behind_has_no_numbers(history: int, rate: int) -> None:
    """It has left the history, or is about to. The consumer goes on with a key frame, and its
    numbers go on, too.
    """
    call = Call(6, RATE // 2, history_packets=history)
    call.run(0.05)
    call.view()
    last = call.cameras[-1]
    last.rates = (rate,)
    call.flood(last)
    last.rates = (RATE // 2,)
    call.run(1.5)
    call.drain()
    assert call.world.counter("dropped_queue_full") > 100
    assert call.key_frames == len(call.cameras) + 1
    assert_nothing_missing(call)
    assert call.pictures() == [b"%d" % camera.frames[0] for camera in call.cameras]


def test_a_pause_ends_the_wait() -> None:
    call = Call(6, RATE // 2)
    call.run(0.05)
    call.view()
    assert call.waiting() > FULL
    last = call.consumers[-1]
    call.world.core.set_consumer_paused(last, True)
    call.run(0.2)
    assert {c for c in call.consumers if c + 50_000 not in call.numbers()} == {last}


@pytest.mark.parametrize("seed", range(3))
def test_changes_while_consumers_are_behind(seed: int) -> None:
    """Layers, pauses and ends, of any consumer at any time."""
    choice = random.Random(seed)
    call = Call(5, RATE // 3, RATE)
    core = call.world.core
    call.run(0.05)
    call.view()
    full = 0
    for _ in range(12):
        for camera in call.cameras:
            call.flood(camera)
        full += call.waiting() > FULL
        for _ in range(4):
            consumer, producer = choice.choice(call.consumers), choice.choice(call.producers)
            match choice.randrange(4):
                case 0:
                    core.set_preferred_layers(consumer, choice.randrange(2))
                case 1:
                    core.set_consumer_paused(consumer, True)
                    core.set_consumer_paused(consumer, False)
                case 2:
                    core.set_producer_paused(producer, True)
                    core.set_producer_paused(producer, False)
                case 3:
                    core.request_keyframe(producer)
            call.run(choice.randrange(4) * 0.005)
        call.run(0.15 + choice.random() * 0.1)
    assert full > 2
    for camera in call.cameras:
        call.flood(camera)
    core.remove_consumer(call.consumers.pop())
    core.remove_producer(call.producers.pop(0))
    call.run(0.01)
    call.drain()
    assert_nothing_missing(call)
    for camera in call.cameras:
        call.flood(camera)
    core.remove_transport(call.bob.client.number)

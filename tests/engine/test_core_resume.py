"""An engine is killed at any packet, and another one goes on: nobody notices.

The oracle is a control: the same scene without the kill. Both must send the same media.
"""

import itertools
import struct
from collections.abc import Callable, Sequence

import attrs
import pytest
from support.engine_kept import KeptWorld
from support.engine_link import LinkedViewer
from support.engine_world import (
    VIEWED_ADAPTED,
    Camera,
    EngineClient,
    World,
    audio,
    layer_cameras,
    of,
    sender_report,
    simulcast,
    video,
)
from support.layered_camera import LayeredCamera
from support.wire.rtcp import Fir, Nack, Pli, ReceiverReport, SenderReport
from support.wire.rtp import RtpPacket

from meet_trio.engine import EngineSettings, IceSilent, Kept, read_kept

FRAME = 1 / 30


@attrs.frozen
class Seen:
    """What a viewer may notice of a packet."""

    ssrc: int
    sequence: int
    timestamp: int
    marker: bool
    payload: bytes


def seen(client: EngineClient) -> list[Seen]:
    return [Seen(p.ssrc, p.sequence_number, p.timestamp, p.marker, p.payload) for p in client.rtp]


def requests(client: EngineClient) -> int:
    return len(client.rtcp_of(Pli)) + len(client.rtcp_of(Fir))


def send_frames(
    world: World, client: EngineClient, cameras: Sequence[Camera], count: int, *, key: bool = False
) -> None:
    for i in range(count):
        world.run(FRAME)
        for camera in cameras:
            client.send(*camera.frame(key=key and i == 0))


def scene(killed_at: int, *, viewers: int = 2) -> tuple[list[list[Seen]], int]:
    """A camera that is killed after ``killed_at`` packets of the tenth frame on; -1: never."""
    world = KeptWorld()
    alice = world.client()
    others = [world.client(profile) for profile in (0x0007, 0x0001, 0x0008)[:viewers]]
    producer = world.produce(alice, video())
    for other in others:
        world.consume(other, producer)
    camera = Camera(parts=3)
    send_frames(world, alice, [camera], 10, key=True)
    packets = [packet for _ in range(20) for packet in camera.frame()]
    asked = requests(alice)
    for i, packet in enumerate(packets):
        if i == killed_at:
            world.kill(after=0)
        alice.send(packet)
        if i % 3 == 2:
            world.run(FRAME)
    assert not killed_at >= 0 or world.refused() == 0
    world.run(1)
    return [seen(other) for other in others], requests(alice) - asked


@pytest.mark.parametrize("killed_at", [0, 1, 2, 3, 31, 59])
def test_viewers_see_one_continuous_stream(killed_at: int) -> None:
    streams, asked = scene(killed_at)
    assert streams == scene(-1)[0]
    assert asked == 0
    assert all(len(stream) == 90 for stream in streams)


def meeting(settings: EngineSettings | None = None) -> tuple[KeptWorld, EngineClient, EngineClient]:
    world = KeptWorld(settings or EngineSettings())
    return world, world.client(), world.client()


def test_packets_that_came_before_are_refused_and_those_that_waited_are_sent() -> None:
    world, alice, bob = meeting()
    producer = world.produce(alice, video())
    world.consume(bob, producer)
    camera = Camera()
    first = [alice.protect(p) for p in camera.frame(key=True)]
    alice.send_raw(first[0])
    alice.send_raw(first[1])
    world.kill()
    alice.send_raw(first[1])
    alice.send_raw(first[0])
    assert world.counter("dropped_rtp_replayed") == 2
    alice.send(*camera.frame())
    assert [p.sequence_number for p in bob.rtp] == [
        (bob.rtp[0].sequence_number + i) & 0xFFFF for i in range(4)
    ]


@pytest.mark.parametrize("temporal", [0, 1])
def test_layers_that_are_left_out_leave_no_gap(temporal: int) -> None:
    def play(killed: bool) -> tuple[list[Seen], int]:
        world, alice, bob = meeting()
        producer = world.produce(alice, simulcast())
        consumer = world.consume(bob, producer)
        camera = LayeredCamera(alice)
        world.core.set_preferred_layers(consumer, 1, temporal)
        for i in range(60):
            if killed and i in (23, 41):
                world.kill(after=0)
                assert world.refused() == 0
            camera.step(world.now)
            world.run(0.05)
        return seen(bob), requests(alice)

    there, here = play(True), play(False)
    assert there[0] == here[0]
    assert there[1] == here[1]
    assert len(here[0]) > 50


def test_a_viewer_of_simulcast_keeps_its_layer_after_seconds() -> None:
    world, alice, bob = meeting()
    producer = world.produce(alice, simulcast())
    world.consume(bob, producer)
    cameras = layer_cameras()
    send_frames(world, alice, cameras, 30, key=True)
    asked, count = requests(alice), len(bob.rtp)
    world.kill(after=3)
    world.run(0.2)  # ticks before the first packet
    send_frames(world, alice, cameras, 30)
    assert requests(alice) == asked
    after = bob.rtp[count:]
    assert len(after) == 60
    assert all(b"r2" in p.payload for p in after)
    assert after[0].sequence_number == (bob.rtp[count - 1].sequence_number + 1) & 0xFFFF


def retransmission(number: int, timestamp: int, payload: bytes) -> RtpPacket:
    return RtpPacket(
        payload_type=97, sequence_number=number, timestamp=timestamp, ssrc=1001, payload=payload
    )


def test_a_missing_packet_is_asked_for_and_a_viewer_gets_it() -> None:
    world, alice, bob = meeting()
    producer = world.produce(alice, video())
    world.consume(bob, producer)
    camera = Camera()
    send_frames(world, alice, [camera], 10, key=True)
    alice.send(retransmission(7, camera.timestamp, struct.pack("!H", 1) + b"old"))
    world.kill()
    lost, *rest = camera.frame()
    alice.send(*rest, *camera.frame())
    world.run(0.2)
    (nack, *_) = alice.rtcp_of(Nack)
    assert lost.sequence_number in nack.lost
    prefix = struct.pack("!H", lost.sequence_number)
    alice.send(retransmission(8, lost.timestamp, prefix + lost.payload))
    assert world.counter("dropped_rtx_unwanted") == 0
    numbers = sorted((p.sequence_number - bob.rtp[0].sequence_number) & 0xFFFF for p in bob.rtp)
    assert numbers == list(range(24))


def test_retransmissions_go_on_with_their_own_numbers() -> None:
    world, alice, bob = meeting()
    producer = world.produce(alice, video())
    consumer = world.consume(bob, producer)
    camera = Camera()
    send_frames(world, alice, [camera], 10, key=True)

    def ask(packet: RtpPacket) -> RtpPacket:
        before = len(of(bob.rtp, consumer + 60_000))
        bob.send_rtcp(Nack(1, consumer + 50_000, (packet.sequence_number,)))
        world.run(0.05)
        again = of(bob.rtp, consumer + 60_000)
        assert len(again) == before + 1
        return again[-1]

    one = ask(of(bob.rtp, consumer + 50_000)[-1])
    old = of(bob.rtp, consumer + 50_000)[-1]
    world.kill()
    send_frames(world, alice, [camera], 3)
    other = ask(of(bob.rtp, consumer + 50_000)[-1])
    assert other.sequence_number == (one.sequence_number + 1) & 0xFFFF
    bob.send_rtcp(Nack(1, consumer + 50_000, (old.sequence_number,)))
    world.run(0.05)
    assert len(of(bob.rtp, consumer + 60_000)) == 2  # the history is not kept


def test_reports_and_transport_wide_numbers_go_on() -> None:
    world, alice, bob = meeting()
    producer = world.produce(alice, video())
    world.consume(bob, producer, header_extensions=VIEWED_ADAPTED)
    camera = Camera()
    send_frames(world, alice, [camera], 60, key=True)
    alice.send_rtcp(sender_report(1000, 1 << 32, camera.timestamp))
    world.run(1)
    counts = [r.packets for r in bob.rtcp_of(SenderReport)]
    world.kill()
    send_frames(world, alice, [camera], 60)
    world.run(1)
    stamps = [int.from_bytes(p.extensions[5], "big") for p in bob.rtp]
    steps = {(b - a) & 0xFFFF for a, b in itertools.pairwise(stamps)}
    assert steps == {1}
    reports = [r.packets for r in bob.rtcp_of(SenderReport)]
    assert reports == sorted(reports)
    assert reports[-1] > counts[-1] > 0
    blocks = [b for r in alice.rtcp_of(ReceiverReport) for b in r.reports]
    assert blocks[-1].cumulative_lost == 0
    assert blocks[-1].highest_sequence & 0xFFFF == (camera.sequence - 1) & 0xFFFF
    # SRTCP indices: the world's oracle, and libsrtp at the client, which refuses repeated ones


def test_a_client_that_is_silent_since_loses_its_consent() -> None:
    world, _, bob = meeting(EngineSettings(consent_timeout=5))
    world.kill(after=2)
    world.run(2)
    assert world.stats()["transports"][str(bob.number)]["address"]
    world.run(2)
    assert not world.stats()["transports"][str(bob.number)]["address"]


def test_an_audio_stream_goes_on() -> None:
    world, alice, bob = meeting()
    producer = world.produce(alice, audio())
    world.consume(bob, producer, rtx_ssrc=None, rtx_payload_type=None)

    def speak(first: int) -> None:
        for i in range(first, first + 20):
            packet = RtpPacket(
                payload_type=111,
                sequence_number=i,
                timestamp=960 * i,
                ssrc=2000,
                payload=b"opus%d" % i,
            )
            alice.send(packet)
            world.run(0.02)

    speak(1)
    world.kill()
    speak(21)
    assert [p.payload for p in bob.rtp] == [b"opus%d" % i for i in range(1, 41)]
    assert len({(p.sequence_number - i) & 0xFFFF for i, p in enumerate(bob.rtp)}) == 1
    assert len({(p.timestamp - 960 * i) & 0xFFFFFFFF for i, p in enumerate(bob.rtp)}) == 1


def test_a_consumer_that_is_not_kept_begins_with_a_key_frame_and_an_unused_index() -> None:
    world, alice, bob = meeting()
    producer = world.produce(alice, video())
    world.consume(bob, producer)
    camera = Camera()
    send_frames(world, alice, [camera], 10, key=True)
    asked = requests(alice)
    last = bob.rtp[-1].sequence_number

    world.kill(lambda kept: attrs.evolve(kept, consumers={}))
    world.run(0.1)
    assert requests(alice) > asked
    got = len(bob.rtp)
    send_frames(world, alice, [camera], 1, key=True)
    assert bob.rtp[got].sequence_number == (last + 1) & 0xFFFF


Damage = Callable[[bytes], bytes]
DAMAGES: tuple[Damage, ...] = (
    lambda blob: blob[:-1],
    lambda blob: blob + b"\0",
    lambda blob: blob[:1] + b"\xff" + blob[2:],  # a newer version
    lambda blob: blob[:1] + b"\0" + blob[2:],
    lambda blob: b"\x07" + blob[1:],
    lambda blob: b"\xff" * len(blob),
)


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("kind", ["transports", "producers", "consumers"])
def test_a_blob_that_does_not_fit_is_refused_and_counted(kind: str, damage: Damage) -> None:
    world, alice, bob = meeting()
    world.consume(bob, world.produce(alice, video()))
    send_frames(world, alice, [Camera()], 5, key=True)

    def spoil(kept: Kept) -> Kept:
        blobs = {number: damage(blob) for number, blob in getattr(kept, kind).items()}
        return attrs.evolve(kept, **{kind: blobs})

    world.kill(spoil, begin=False)
    world.core.begin()
    assert world.refused() == {"transports": 2, "producers": 1, "consumers": 1}[kind]


def silent(world: World) -> set[int]:
    return {event.transport for event in world.take_events(IceSilent)}


def forget_transports(kept: Kept) -> Kept:
    return attrs.evolve(kept, transports={})


def damage_transports(kept: Kept) -> Kept:
    damaged = {number: blob[:-1] for number, blob in kept.transports.items()}
    return attrs.evolve(kept, transports=damaged)


@pytest.mark.parametrize("lose", [forget_transports, damage_transports])
def test_a_transport_with_keys_of_before_that_is_not_resumed_sends_nothing(
    lose: Callable[[Kept], Kept],
) -> None:
    """Its indices would begin anew, and two packets would be encrypted with one key stream."""
    world, alice, bob = meeting()
    world.consume(bob, world.produce(alice, video()))
    camera = Camera()
    send_frames(world, alice, [camera], 10, key=True)
    world.kill(lose)
    assert silent(world) == {alice.number, bob.number}
    packets = len(bob.rtp), len(bob.rtcp), len(alice.rtcp)
    for client in (alice, bob):
        world.core.set_srtp(client.number, client.profile, bytes(28), bytes(28))
        world.core.restart_ice(client.number, client.ufrag, client.password)
        client.check()
    send_frames(world, alice, [camera], 60, key=True)
    world.run(2)
    assert (len(bob.rtp), len(bob.rtcp), len(alice.rtcp)) == packets
    assert world.counter("commands_refused") == 4
    world.core.remove_transport(bob.number)
    assert str(bob.number) not in world.stats()["transports"]


def test_nothing_is_kept_of_a_transport_that_was_not_resumed_yet() -> None:
    """Else the process after one that was killed in its start would take new indices for kept."""
    world, alice, bob = meeting()
    world.consume(bob, world.produce(alice, video()))
    world.kill(forget_transports, begin=False)
    kept = read_kept(world.file)
    assert not kept.transports
    assert kept.damaged == [f"transport {n}: it was not resumed itself" for n in (1, 2)]
    world.core.begin()
    assert not read_kept(world.file).transports


def test_a_transport_of_before_without_keys_begins_as_usual() -> None:
    world = KeptWorld()
    client = world.new_client()
    world.kill()
    assert silent(world) == set()
    client.check()
    client.set_keys()
    world.deliver()
    assert read_kept(world.file).transports.keys() == {client.number}


def test_a_consumer_does_not_fall_behind_what_its_transport_has_kept() -> None:
    world, alice, bob = meeting()
    consumer = world.consume(bob, world.produce(alice, video()))
    camera = Camera()
    send_frames(world, alice, [camera], 10, key=True)
    older = read_kept(world.file).consumers[consumer]
    send_frames(world, alice, [camera], 10)
    last = bob.rtp[-1].sequence_number
    world.kill(lambda kept: attrs.evolve(kept, consumers={consumer: older}))
    assert world.refused() == 1
    send_frames(world, alice, [camera], 1, key=True)
    after = [p.sequence_number for p in bob.rtp][40:]
    assert after == [(last + 1) & 0xFFFF, (last + 2) & 0xFFFF]


def test_after_the_beginning_nothing_is_resumed() -> None:
    world, alice, bob = meeting()
    world.consume(bob, world.produce(alice, video()))
    kept = world.kill()
    world.core.resume_transport(alice.number, kept.transports[alice.number])
    for number, blob in kept.producers.items():
        world.core.resume_producer(number, blob)
    for number, blob in kept.consumers.items():
        world.core.resume_consumer(number, blob)
    assert world.refused() == 3


def test_indices_of_an_older_blob_jump_ahead() -> None:
    world, alice, bob = meeting()
    producer = world.produce(alice, video())
    consumer = world.consume(bob, producer)
    camera = Camera()
    send_frames(world, alice, [camera], 10, key=True)

    def hide(kept: Kept) -> Kept:
        hidden.update(kept.consumers)
        return attrs.evolve(kept, consumers={})

    hidden: dict[int, bytes] = {}
    last = bob.rtp[-1].sequence_number
    world.kill(hide, begin=False)
    world.core.resume_consumer(consumer, hidden[consumer], False)
    world.core.begin()
    send_frames(world, alice, [camera], 3, key=True)
    # libsrtp at the client decrypts it: it has found the roll-over count
    assert bob.rtp[-6].sequence_number == (last + 1 + (1 << 14)) & 0xFFFF


def test_what_is_kept_of_what_was_resumed_is_the_same() -> None:
    world, alice, bob = meeting()
    producer = world.produce(alice, simulcast())
    consumer = world.consume(bob, producer, header_extensions=VIEWED_ADAPTED)
    camera = LayeredCamera(alice)
    world.core.set_preferred_layers(consumer, 2, 1)
    for _ in range(60):
        camera.step(world.now)
        world.run(0.05)
    before = world.kill(after=0, begin=False)
    after = world.kill(after=0, begin=False)
    again = world.kill(after=0, begin=False)
    header = 2 + 8  # and the time of the end
    assert before.consumers[consumer][header:] == after.consumers[consumer][header:]
    assert after == again
    assert before.transports.keys() == after.transports.keys()
    assert before.damaged == after.damaged == []


@pytest.mark.parametrize("waited", [0.3, 1.5])
def test_what_has_waited_is_no_burst_of_the_stream(waited: float) -> None:
    """The packets of a second come at once after the beginning. Counted as those of a tenth of a
    second, the viewer's link would seem too slow for the layer.
    """
    world, alice, bob = meeting()
    producer = world.produce(alice, simulcast())
    world.consume(bob, producer, header_extensions=VIEWED_ADAPTED)
    viewer = LinkedViewer.behind(bob, rate=3_000_000, queue=2.0)
    camera = LayeredCamera(alice)
    viewer.run(20, camera.step)
    asked = requests(alice)
    began = world.now
    world.kill(after=waited)
    for i in range(round(waited / 0.05)):
        camera.step(began + i * 0.05)
    viewer.run(3, camera.step)
    assert world.refused() == 0
    assert requests(alice) == asked

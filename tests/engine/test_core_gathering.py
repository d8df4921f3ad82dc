"""Packets that come together are forwarded together, consumer by consumer: each consumer gets what
it would get if they had come one by one.
"""

import random
from collections.abc import Callable
from typing import Any

import attrs
import pytest
from support.engine_pair import Pair
from support.engine_plain import PlainClient
from support.engine_world import (
    ORIENTATION_URI,
    PUBLISHED,
    VIEWED_ADAPTED,
    Camera,
    EngineClient,
    World,
    audio,
    layer_cameras,
    layers_of,
    of,
    simulcast,
    video,
)
from support.wire.demux import DatagramKind, classify
from support.wire.rtcp import Nack
from support.wire.rtp import RtpPacket
from support.wire.stun import binding_request, build_stun

from meet_trio.engine import EngineSettings

BATCH = 64  # packets that the core gathers of one producer


@attrs.frozen
class Sent:
    """A packet that a viewer gets, without what tells when it left."""

    ssrc: int
    sequence: int
    timestamp: int
    marker: bool
    payload: bytes


@attrs.define(eq=False)
class Scene:
    """One publisher with a camera of two layers, another camera and a microphone; some viewers."""

    world: World
    publisher: EngineClient
    viewers: list[EngineClient]
    producer: int
    choosers: list[int] = attrs.field(factory=list)
    """The consumers of the camera with two layers."""
    _protected: dict[tuple[int, int], bytes] = attrs.field(factory=dict)

    def protect(self, packet: RtpPacket) -> bytes:
        """The same bytes each time."""
        key = packet.ssrc, packet.sequence_number
        if key not in self._protected:
            self._protected[key] = self.publisher.protect(packet)
        return self._protected[key]

    @classmethod
    def open(cls, *, gso: bool = False) -> "Scene":
        world = World(EngineSettings(gso=gso, history_packets=256))
        publisher = world.client()
        layered = world.produce(publisher, simulcast(2, mid="v0"))
        camera = world.produce(publisher, video(mid="v1"))
        sound = world.produce(publisher, audio(mid="a0"))
        viewers = [world.client() for _ in range(3)]
        consumers = []
        for producer in (layered, camera, sound):
            for i, viewer in enumerate(viewers):
                adapted = i == 2  # its budget is shared by all that it gets, in the order of coming
                if adapted and producer != layered:
                    continue
                extensions = VIEWED_ADAPTED if adapted else {}
                nack = producer != sound
                number = world.consume(viewer, producer, nack=nack, header_extensions=extensions)
                consumers.append(number)
        return cls(world, publisher, viewers, layered, consumers[: len(viewers)])

    def give(self, batch: list[bytes], *, together: bool) -> None:
        if together:
            self.world.core.gather()
        for data in batch:
            self.world.core.datagram(*self.publisher.address, data)
        if together:
            self.world.core.forward()
        self.world.deliver()

    def got(self) -> list[dict[int, list[Sent]]]:
        """Of each viewer, by SSRC, in order."""
        out = []
        for viewer in self.viewers:
            found: dict[int, list[Sent]] = {}
            for p in viewer.rtp:
                found.setdefault(p.ssrc, []).append(
                    Sent(p.ssrc, p.sequence_number, p.timestamp, p.marker, p.payload)
                )
            out.append(found)
        return out


def traffic(seed: int) -> list[tuple[int, list[RtpPacket], list[RtpPacket]]]:
    """Batches as they are made and as they come, each with the microseconds before it: frames of
    all streams, some packets of which are lost, late, or there twice.
    """
    dice = random.Random(seed)
    layers = layer_cameras(2, mid="v0")
    camera = Camera(ssrc=1000, parts=3)
    sound = Camera(ssrc=2000, payload_type=111, parts=1)
    late: list[RtpPacket] = []
    batches = []
    for i in range(40):
        batch: list[RtpPacket] = []
        for _ in range(dice.choice((1, 1, 1, 2, 5))):
            frames = []
            for stream in (*layers, camera, sound):
                if dice.random() < 0.8:
                    stream.parts = 1 if stream is sound else dice.randrange(1, 9)
                    key = stream is not sound and dice.random() < 0.3 + (i == 0)
                    if dice.random() < 0.05:  # past all that the history keeps
                        jump = dice.choice((700, 4000))  # the second one is a new beginning
                        stream.sequence = (stream.sequence + jump) & 0xFFFF
                    frames.append(stream.frame(key=key))
            while frames := [frame for frame in frames if frame]:  # they overlap
                frame = dice.choice(frames[:2])
                batch += [frame.pop(0) for _ in frame[: dice.randrange(1, 9)]]
        made = list(batch)
        kept = [p for p in batch if dice.random() > 0.03]
        late, batch = [p for p in batch if p not in kept][:3], kept + late
        if dice.random() < 0.3:
            at = dice.randrange(len(batch) or 1)
            batch[at : at + 4] = reversed(batch[at : at + 4])
        if batch and dice.random() < 0.2:
            batch.append(dice.choice(batch))
        batches.append((dice.choice((0, 5_000, 33_000)), made, batch))
    return batches


@pytest.mark.parametrize("seed", range(12))
def test_each_viewer_gets_the_same(seed: int) -> None:
    one, other = Scene.open(), Scene.open()
    dice = random.Random(seed)
    for us, made, batch in traffic(seed):
        chooser, layer = dice.randrange(len(one.choosers)), dice.randrange(2)
        for scene, together in ((one, False), (other, True)):
            scene.world.core.set_preferred_layers(scene.choosers[chooser], layer)
            for packet in made:
                scene.protect(packet)
            scene.world.core.now += us
            scene.world.core.tick()
            scene.give([scene.protect(p) for p in batch], together=together)
    for scene in (one, other):
        scene.world.run(1.0)  # what the pacer holds
    assert one.got() == other.got()
    assert [len(viewer) for viewer in one.got()] == [3, 3, 1]
    assert one.world.counter("rtp_forwarded") == other.world.counter("rtp_forwarded")


def runs(sent: list[tuple[str, int, bytes]]) -> list[tuple[int, int]]:
    """The port, and the number of datagrams that go to it one after the other."""
    out: list[tuple[int, int]] = []
    for _, port, _ in sent:
        same = out and out[-1][0] == port
        out = [*out[:-1], (port, out[-1][1] + 1)] if same else [*out, (port, 1)]
    return out


@pytest.fixture
def scene() -> Scene:
    """Viewers of one camera, which has begun."""
    world = World(EngineSettings())
    publisher = world.client()
    producer = world.produce(publisher, video())
    viewers = [world.client() for _ in range(3)]
    for viewer in viewers:
        world.consume(viewer, producer, header_extensions={})
    return Scene(world, publisher, viewers, producer)


@pytest.fixture
def frame(scene: Scene) -> Callable[[int], list[bytes]]:
    """The next frame, of that many packets."""
    camera = Camera(tag=b"x" * 500)
    scene.give([scene.publisher.protect(p) for p in camera.frame(key=True)], together=True)

    def next_frame(parts: int) -> list[bytes]:
        camera.parts = parts
        return [scene.publisher.protect(p) for p in camera.frame()]

    return next_frame


def test_datagrams_of_a_frame_leave_viewer_by_viewer(
    scene: Scene, frame: Callable[[int], list[bytes]]
) -> None:
    scene.world.core.gather()
    for data in frame(8):
        scene.world.core.datagram(*scene.publisher.address, data)
    assert scene.world.core.take_sent() == []
    scene.world.core.forward()
    assert runs(scene.world.core.take_sent()) == [(v.address[1], 8) for v in scene.viewers]


def test_no_more_wait_than_a_batch(scene: Scene, frame: Callable[[int], list[bytes]]) -> None:
    scene.world.core.gather()
    for data in frame(BATCH + 1):
        scene.world.core.datagram(*scene.publisher.address, data)
    assert runs(scene.world.core.take_sent()) == [(v.address[1], BATCH) for v in scene.viewers]
    scene.world.core.forward()
    assert runs(scene.world.core.take_sent()) == [(v.address[1], 1) for v in scene.viewers]


def test_packets_that_wait_stay_in_the_history() -> None:
    """However short that is: the next packet would push them out of it."""
    world = World(EngineSettings(history=0))
    publisher, viewer = world.client(), world.client()
    world.consume(viewer, world.produce(publisher, video()), header_extensions={})
    camera = Camera(parts=6)
    world.core.gather()
    for packet in camera.frame(key=True):
        world.core.datagram(*publisher.address, publisher.protect(packet))
        world.core.now += 1000
    world.core.forward()
    world.deliver()
    assert [p.payload[-5:] for p in viewer.rtp] == [b"100.%d" % i for i in range(6)]


def test_fewer_wait_than_a_short_history_has() -> None:
    world = World(EngineSettings(history_packets=16))
    publisher, viewer = world.client(), world.client()
    world.consume(viewer, world.produce(publisher, video()), header_extensions={})
    camera = Camera(parts=40)
    world.core.gather()
    for packet in camera.frame(key=True):
        world.core.datagram(*publisher.address, publisher.protect(packet))
    world.core.forward()
    world.deliver()
    assert [p.payload.split(b".")[-1] for p in viewer.rtp] == [b"%d" % i for i in range(40)]


def test_a_viewer_who_begins_meanwhile_gets_each_packet_once(
    scene: Scene, frame: Callable[[int], list[bytes]]
) -> None:
    """It catches up with the key frame and what followed, but not with what waits."""
    late = PlainClient.open(scene.world, comedia=True)
    scene.world.consume(late, scene.producer, header_extensions={})
    scene.world.core.gather()
    for data in frame(4):
        scene.world.core.datagram(*scene.publisher.address, data)
    late.send(Camera(ssrc=5, parts=1).frame()[0])
    assert len(late.rtp) == 2
    scene.world.core.forward()
    scene.world.deliver()
    numbers = [p.sequence_number for p in late.rtp]
    assert numbers == list(range(numbers[0], numbers[0] + 6))


def a_command(scene: Scene) -> None:
    scene.world.core.set_producer_paused(scene.producer, True)


def a_tick(scene: Scene) -> None:
    """By then the history keeps none of the packets that wait."""
    scene.world.core.now += 10_000_000
    scene.world.core.tick()


def an_end_of_a_connection(scene: Scene) -> None:
    scene.world.core.tcp_closed(1, *scene.viewers[0].address)


CALLS = (a_command, a_tick, an_end_of_a_connection)


@pytest.mark.parametrize("call", CALLS)
def test_any_other_call_forwards_what_waits(
    scene: Scene, frame: Callable[[int], list[bytes]], call: Callable[[Scene], None]
) -> None:
    """Before it does what it is for: a viewer whose connection ends has got it, too."""
    by_tcp = scene.viewers[0]
    check = binding_request(
        remote_ufrag=by_tcp.ufrag, local_ufrag="theirs", tie_breaker=1, nominate=True
    )
    scene.world.core.tcp_datagram(1, *by_tcp.address, build_stun(check, by_tcp.password))
    scene.world.core.take_tcp_sent()
    scene.world.core.gather()
    for data in frame(4):
        scene.world.core.datagram(*scene.publisher.address, data)
    assert scene.world.core.take_sent() == scene.world.core.take_tcp_sent() == []
    call(scene)
    by_udp = [(v.address[1], 4) for v in scene.viewers[1:]]
    assert [run for run in runs(scene.world.core.take_sent()) if run[1] == 4] == by_udp
    sent = [classify(data) for _, data in scene.world.core.take_tcp_sent()]
    assert sent.count(DatagramKind.RTP) == 4


def test_packets_of_a_paused_producer_do_not_wait(
    scene: Scene, frame: Callable[[int], list[bytes]]
) -> None:
    scene.world.core.set_producer_paused(scene.producer, True)
    scene.give(frame(3), together=True)
    assert scene.world.core.take_sent() == []
    assert scene.world.counter("dropped_rtp_paused") == 3


@pytest.mark.parametrize("call", CALLS[1:])
def test_nothing_waits_after_it(
    scene: Scene, frame: Callable[[int], list[bytes]], call: Callable[[Scene], None]
) -> None:
    scene.world.core.gather()
    call(scene)
    scene.world.core.take_sent()
    for data in frame(2):
        scene.world.core.datagram(*scene.publisher.address, data)
        assert len(scene.world.core.take_sent()) == len(scene.viewers)


def bursts(*, together: bool) -> list[tuple[int, list[int]]]:
    """When datagrams of video leave for a viewer on a slow link, and how long those are that leave
    at that time.
    """
    world = World(EngineSettings(initial_outgoing_bitrate=400_000))
    publisher, viewer = world.client(), world.client()
    producer = world.produce(publisher, video())
    world.consume(viewer, producer, header_extensions=VIEWED_ADAPTED)
    scene = Scene(world, publisher, [viewer], producer)
    camera = Camera(tag=b"x" * 1100, parts=8)
    out = []
    for i in range(20):
        frame = [publisher.protect(p) for p in camera.frame(key=i == 0)]
        for step in range(33):
            viewer.raw.clear()
            scene.give([] if step else frame, together=together)
            world.core.tick()
            world.deliver()
            out.append((world.core.now, [len(data) for data in viewer.raw]))
            world.core.now += 1000
    return out


def test_a_slow_link_gets_no_larger_bursts() -> None:
    alone, gathered = bursts(together=False), bursts(together=True)
    assert gathered == alone
    assert sum(len(lengths) for _, lengths in gathered) > 50
    assert max(sum(lengths) for _, lengths in gathered) <= 3000 + 1200


# Several streams for one viewer


@attrs.define(eq=False)
class Meeting:
    """A camera, another camera and a microphone, each of a client of its own; viewers of all."""

    world: World
    publishers: list[EngineClient]
    producers: list[int]
    viewers: list[EngineClient]
    consumers: list[list[int]]
    """Of each viewer, in the order of ``producers``."""
    cameras: list[Camera]
    packets: list[list[bytes]] = attrs.field(factory=list)
    """Of each publisher, that have not come yet."""

    @classmethod
    def open(cls, **consuming: Any) -> "Meeting":
        world = World(EngineSettings(gso=False))
        publishers = [world.client() for _ in range(3)]
        specs = (video(), video(), audio())
        producers = [world.produce(p, spec) for p, spec in zip(publishers, specs, strict=True)]
        viewers = [world.client() for _ in range(3)]
        consumers = [[world.consume(v, p, **consuming) for p in producers] for v in viewers]
        cameras = [
            Camera(tag=b"x" * 500),
            Camera(tag=b"y" * 900),
            Camera(ssrc=2000, payload_type=111, tag=b"z" * 50),
        ]
        meeting = cls(world, publishers, producers, viewers, consumers, cameras)
        meeting.film(2, 2, 1, key=True)
        meeting.come()
        world.core.forward()
        world.deliver()
        for viewer in viewers:
            assert len(viewer.rtp) == 5
            viewer.rtp.clear()
            viewer.raw.clear()
        return meeting

    def film(self, *parts: int, key: bool = False) -> None:
        """As many packets of each."""
        self.packets = []
        for publisher, camera, n in zip(self.publishers, self.cameras, parts, strict=True):
            camera.parts = n
            frame = camera.frame(key=key and camera.ssrc == 1000)
            self.packets.append([publisher.protect(p) for p in frame])

    def come(self, seed: int = 0) -> None:
        """What was filmed comes mixed, and waits."""
        dice = random.Random(seed)
        turns = [i for i, packets in enumerate(self.packets) for _ in packets]
        dice.shuffle(turns)
        self.world.core.gather()
        for i in turns:
            self.world.core.datagram(*self.publishers[i].address, self.packets[i].pop(0))

    def forward(self) -> list[tuple[str, int, bytes]]:
        self.world.core.forward()
        sent: list[tuple[str, int, bytes]] = self.world.core.take_sent()
        for ip, port, data in sent:
            for viewer in self.viewers:
                if viewer.address == (ip, port):
                    viewer.receive(data)
                    self.world.watch(viewer, data)
        return sent


def ssrcs(viewer: EngineClient) -> list[int]:
    """In the order of coming, each as often as it came in a row."""
    return [p.ssrc for p in viewer.rtp]


def tags(viewer: EngineClient) -> dict[bytes, int]:
    found = [bytes(set(p.payload) & set(b"xyz")) for p in viewer.rtp]
    return {tag: found.count(tag) for tag in (b"x", b"y", b"z")}


@pytest.mark.parametrize("seed", range(4))
def test_datagrams_of_several_streams_leave_viewer_by_viewer(seed: int) -> None:
    """The longest first, since a shorter one can end a run."""
    meeting = Meeting.open(header_extensions={})
    meeting.film(4, 3, 1)
    meeting.come(seed)
    assert meeting.world.core.take_sent() == []
    assert runs(meeting.forward()) == [(v.address[1], 8) for v in meeting.viewers]
    for viewer, (small, large, sound) in zip(meeting.viewers, meeting.consumers, strict=True):
        assert ssrcs(viewer) == [50_000 + n for n in [large] * 3 + [small] * 4 + [sound]]
        lengths = [len(data) for data in viewer.raw]
        assert lengths == sorted(lengths, reverse=True)


def test_packets_of_several_streams_have_transport_wide_numbers_in_order() -> None:
    meeting = Meeting.open(header_extensions=VIEWED_ADAPTED)
    numbers: list[list[int]] = [[], [], []]
    for seed in range(5):
        meeting.film(2, 3, 1)
        meeting.come(seed)
        meeting.forward()
        meeting.world.run(0.033)
    for viewer, found in zip(meeting.viewers, numbers, strict=True):
        found += [int.from_bytes(p.extensions[5], "big") for p in viewer.rtp]
        assert len(found) == 30
        assert found == list(range(found[0], found[0] + len(found)))
        for ssrc in set(ssrcs(viewer)):
            own = [p.sequence_number for p in viewer.rtp if p.ssrc == ssrc]
            assert own == list(range(own[0], own[0] + len(own)))


def test_a_viewer_whose_address_changes_meanwhile_gets_all_there() -> None:
    meeting = Meeting.open(header_extensions={})
    moved = meeting.viewers[1]
    meeting.film(4, 3, 1)
    meeting.come()
    moved.check(address=("10.1.0.1", 6000))
    expected = [meeting.viewers[0].address[1], 6000, meeting.viewers[2].address[1]]
    assert runs(meeting.forward()) == [(port, 8) for port in expected]


@pytest.mark.parametrize(
    "end",
    [
        lambda m: m.world.core.remove_transport(m.viewers[1].number),
        lambda m: m.world.core.remove_producer(m.producers[0]),
        lambda m: m.world.core.set_producer_paused(m.producers[0], True),
    ],
    ids=["viewer", "producer", "paused"],
)
def test_what_ends_meanwhile_takes_nothing_from_anybody(end: Callable[[Meeting], None]) -> None:
    """All that waits has left before."""
    meeting = Meeting.open(header_extensions={})
    meeting.film(4, 3, 1)
    meeting.come()
    end(meeting)
    assert runs(meeting.forward()) == [(v.address[1], 8) for v in meeting.viewers]
    assert all(tags(v) == {b"x": 4, b"y": 3, b"z": 1} for v in meeting.viewers)
    meeting.film(2, 2, 1)
    meeting.come()
    meeting.forward()
    assert tags(meeting.viewers[2])[b"y"] == 5


def test_a_stream_that_may_wait_no_longer_leaves_alone() -> None:
    meeting = Meeting.open(header_extensions={})
    meeting.film(BATCH, 3, 1)
    meeting.come()
    sent = meeting.world.core.take_sent()
    assert runs(sent) == [(v.address[1], BATCH) for v in meeting.viewers]
    assert runs(meeting.forward()) == [(v.address[1], 4) for v in meeting.viewers]


# Equal lengths


def cut(packet: RtpPacket, size: int) -> RtpPacket:
    return attrs.evolve(packet, payload=packet.payload[:size])


def lengths(sizes: list[int], *, gso: bool = True) -> tuple[list[int], list[RtpPacket]]:
    """The lengths of the datagrams to a viewer for a frame with payloads of these sizes, and what
    the viewer reads.
    """
    world = World(EngineSettings(gso=gso))
    publisher, viewer = world.client(), world.client()
    producer = world.produce(publisher, video())
    world.consume(viewer, producer, header_extensions={})
    scene = Scene(world, publisher, [viewer], producer)
    camera = Camera(tag=b"x" * 900, parts=len(sizes))
    scene.give([publisher.protect(p) for p in camera.frame(key=True)], together=True)
    viewer.rtp.clear()
    viewer.raw.clear()
    frame = [cut(p, size) for p, size in zip(camera.frame(), sizes, strict=True)]
    scene.give([publisher.protect(p) for p in frame], together=True)
    return [len(data) for data in viewer.raw], viewer.rtp


def test_packets_of_a_frame_are_padded_to_one_length() -> None:
    sent, read = lengths([800, 800, 800, 801, 801])
    assert sent == [12 + 801 + 16] * 5
    assert [len(p.payload) for p in read] == [800, 800, 800, 801, 801]


@pytest.mark.parametrize(
    "sizes",
    [
        [800, 800, 802],  # more than a byte
        [801, 801, 800],  # the last one may be shorter
        [800],
        [800, 500, 801],
    ],
)
def test_other_lengths_stay(sizes: list[int]) -> None:
    sent, _ = lengths(sizes)
    padded = [size + 1 if size + 1 == max(sizes) and i < len(sizes) - 1 else size
              for i, size in enumerate(sizes)]  # fmt: skip
    assert sent == [12 + size + 16 for size in padded]


def test_nothing_is_padded_without_gso() -> None:
    sent, _ = lengths([800, 801], gso=False)
    assert sent == [12 + 800 + 16, 12 + 801 + 16]


def test_frames_are_padded_each_for_itself() -> None:
    world = World(EngineSettings())
    publisher, viewer = world.client(), world.client()
    world.consume(viewer, world.produce(publisher, video()), header_extensions={})
    scene = Scene(world, publisher, [viewer], 0)
    camera = Camera(tag=b"x" * 900, parts=1)
    scene.give([publisher.protect(p) for p in camera.frame(key=True)], together=True)
    viewer.raw.clear()
    batch = [cut(camera.frame()[0], size) for size in (800, 801, 802)]
    scene.give([publisher.protect(p) for p in batch], together=True)
    assert [len(data) for data in viewer.raw] == [12 + size + 16 for size in (800, 801, 802)]


def test_layers_are_padded_each_for_itself() -> None:
    """Their frames have one timestamp here, and their packets come in turn."""
    world = World(EngineSettings())
    publisher, viewer = world.client(), world.client()
    world.consume(viewer, world.produce(publisher, simulcast(2)), header_extensions={})
    scene = Scene(world, publisher, [viewer], 0)
    cameras = layer_cameras(2)
    for camera in cameras:
        camera.parts, camera.tag, camera.timestamp = 2, b"x" * 900, 5
        scene.give([publisher.protect(p) for p in camera.frame(key=True)], together=True)
    viewer.raw.clear()
    low, high = (camera.frame() for camera in cameras)
    batch = [cut(low[0], 801), cut(high[0], 800), cut(low[1], 801), cut(high[1], 800)]
    scene.give([publisher.protect(p) for p in batch], together=True)
    assert [len(data) for data in viewer.raw] == [12 + 800 + 16] * 2


def test_a_packet_without_room_is_not_padded() -> None:
    """A byte behind the largest one would be another packet's."""
    world = World(EngineSettings())
    publisher, viewer = PlainClient.open(world, comedia=True), world.client()
    world.consume(viewer, world.produce(publisher, video()), header_extensions={})
    camera = Camera(tag=b"x" * 1600, parts=2)
    publisher.send(*(cut(p, 500) for p in camera.frame(key=True)))
    sizes: list[int] = []
    viewer.receive_media = lambda data: sizes.append(len(data))  # libsrtp takes none so large
    orientation = {PUBLISHED[ORIENTATION_URI]: b"\1"}
    full, longer = camera.frame()
    world.core.gather()
    publisher.send(attrs.evolve(cut(full, 1499), extensions=orientation), cut(longer, 1500))
    assert sizes == []
    world.core.forward()
    world.deliver()
    assert sizes == [12 + size + 16 for size in (1499, 1500)]


@pytest.fixture
def pair() -> Pair:
    return Pair(EngineSettings())


def without_rtx(pair: Pair, client: EngineClient, producer: int) -> int:
    changes = {"rtx_ssrc": None, "rtx_payload_type": None, "header_extensions": {}}
    return pair.consume(client, producer, **changes) + 50_000


def test_each_engine_pads_for_itself(pair: Pair) -> None:
    """Packets cross as they came. Here they come one by one and are not padded, and the other
    engine takes them together and pads them. Viewers read the same, and what is sent again has the
    bytes of the first time.
    """
    publisher, near, far = pair.a.client(), pair.a.client(), pair.b.client()
    producer = pair.produce(publisher, video())
    viewers = [(viewer, without_rtx(pair, viewer, producer)) for viewer in (near, far)]
    camera = Camera(tag=b"x" * 900)
    pair.send(publisher, *camera.frame(key=True))
    for viewer, _ in viewers:
        viewer.rtp.clear()
        viewer.raw.clear()
    for p in [cut(p, size) for p, size in zip(camera.frame(), (800, 801), strict=True)]:
        pair.a.core.datagram(*publisher.address, publisher.protect(p))
    pair.b.core.cross()
    pair.a.deliver()
    pair.b.deliver()
    assert [len(data) for data in near.raw] == [12 + 800 + 16, 12 + 801 + 16]
    assert [len(data) for data in far.raw] == [12 + 801 + 16] * 2
    assert [p.payload[9:] for p in near.rtp] == [p.payload[9:] for p in far.rtp]
    pair.run(0.1)
    for viewer, ssrc in viewers:
        first = list(viewer.raw)
        viewer.drop = lambda _: True  # its SRTP takes no packet twice
        numbers = tuple(p.sequence_number for p in viewer.rtp)
        viewer.send_rtcp(Nack(sender_ssrc=1, media_ssrc=ssrc, lost=numbers))
        assert viewer.raw == first * 2
    home, mirror = pair.a.stats()["producers"], pair.b.stats()["mirrors"]
    counted = [all_of[str(producer)]["streams"][0]["byteCount"] for all_of in (home, mirror)]
    assert counted[0] == counted[1]


@pytest.mark.parametrize("size", [3, 64 + 3])
def test_another_engine_sees_a_batch_at_once(pair: Pair, size: int) -> None:
    """However often it looks while the batch is read, so it gathers whole frames. Of a long batch
    it sees 64 packets at once.
    """
    publisher, far = pair.a.client(), pair.b.client()
    producer = pair.produce(publisher, video())
    without_rtx(pair, far, producer)
    camera = Camera(tag=b"x" * 100)
    pair.send(publisher, *camera.frame(key=True))
    camera.parts = size
    before, seen = len(far.raw), []
    pair.a.core.gather()
    for p in camera.frame():
        pair.a.core.datagram(*publisher.address, publisher.protect(p))
        pair.b.core.cross()
        seen.append(pair.b.counter("relay_packets_in"))
    pair.a.core.forward()
    pair.b.core.cross()
    pair.b.deliver()
    assert [n - seen[0] for n in seen] == [64 * (n + 1 >= 64) for n in range(size)]
    assert len(far.raw) - before == size


def test_what_waits_is_not_sent_again(pair: Pair) -> None:
    """Only once it was sent, and then with those bytes."""
    publisher, viewer = pair.a.client(), pair.a.client()
    ssrc = without_rtx(pair, viewer, pair.produce(publisher, video()))
    camera = Camera(tag=b"x" * 900)
    pair.send(publisher, *camera.frame(key=True))
    last = viewer.rtp[-1].sequence_number
    asked = tuple(last + i & 0xFFFF for i in range(3))
    seen = len(viewer.raw)
    pair.a.core.gather()
    for p in [cut(p, size) for p, size in zip(camera.frame(), (800, 801), strict=True)]:
        pair.a.core.datagram(*publisher.address, publisher.protect(p))
    viewer.drop = lambda _: True
    pair.a.core.now += 100_000
    viewer.send_rtcp(Nack(sender_ssrc=1, media_ssrc=ssrc, lost=asked))
    assert viewer.raw[seen:] == viewer.raw[seen - 1 : seen]
    pair.a.core.forward()
    pair.a.deliver()
    sent = viewer.raw[seen + 1 :]
    assert [len(data) for data in sent] == [12 + 801 + 16] * 2
    viewer.send_rtcp(Nack(sender_ssrc=1, media_ssrc=ssrc, lost=asked[1:]))
    assert viewer.raw[seen + 3 :] == sent


def test_a_retransmission_by_rtx_is_not_padded() -> None:
    world = World(EngineSettings())
    publisher, viewer = world.client(), world.client()
    number = world.consume(viewer, world.produce(publisher, video()), header_extensions={})
    scene = Scene(world, publisher, [viewer], 0)
    camera = Camera(tag=b"x" * 900)
    scene.give([publisher.protect(p) for p in camera.frame(key=True)], together=True)
    frame = [cut(p, size) for p, size in zip(camera.frame(), (800, 801), strict=True)]
    scene.give([publisher.protect(p) for p in frame], together=True)
    padded = viewer.rtp[-2]
    assert padded.padding == 1
    world.run(0.1)
    lost = (padded.sequence_number,)
    viewer.send_rtcp(Nack(sender_ssrc=1, media_ssrc=number + 50_000, lost=lost))
    again = viewer.rtp[-1]
    assert (again.ssrc, again.padding) == (number + 60_000, 0)
    assert again.payload[2:] == padded.payload


def test_what_waits_in_a_mirror_comes_before_another_layer(pair: Pair) -> None:
    """A switch waits for the end of the frame, which waits itself when a better layer begins."""
    publisher, viewer = pair.a.client(), pair.b.client()
    consumer = pair.consume(viewer, pair.produce(publisher, simulcast(3)))
    low, middle, high = layer_cameras(3)
    pair.send(publisher, *low.frame(key=True))
    pair.b.core.set_preferred_layers(consumer, 1)  # packets of the best layer do not cross
    pair.send(publisher, *middle.frame())
    pair.run(0.2)
    pair.b.core.set_preferred_layers(consumer, 2)
    first, last = low.frame()
    frames = [first, *middle.frame(key=True), last, *high.frame()]
    publisher.send(*frames)
    pair.b.core.cross()
    pair.b.deliver()
    assert layers_of(of(viewer.rtp, consumer + 50_000)) == [b"r0", b"r1"]


def test_what_waits_in_a_mirror_comes_before_its_end(pair: Pair) -> None:
    publisher, viewer = pair.a.client(), pair.b.client()
    producer = pair.produce(publisher, video())
    pair.consume(viewer, producer)
    camera = Camera(parts=4)
    pair.send(publisher, *camera.frame(key=True))
    publisher.send(*camera.frame())
    pair.a.core.stop_relaying(producer, pair.b.core)
    pair.b.core.cross()
    pair.b.deliver()
    assert len(viewer.rtp) == 8


def test_what_crosses_together_leaves_viewer_by_viewer(pair: Pair) -> None:
    publisher, viewers = pair.a.client(), [pair.b.client() for _ in range(3)]
    producer = pair.produce(publisher, video())
    for viewer in viewers:
        pair.consume(viewer, producer)
    camera = Camera(parts=4)
    pair.send(publisher, *camera.frame(key=True))
    publisher.send(*camera.frame())
    pair.b.core.cross()
    assert runs(pair.b.core.take_sent()) == [(v.address[1], 4) for v in viewers]


def test_what_crosses_leaves_with_the_datagrams_of_the_turn(pair: Pair) -> None:
    """A viewer of streams of both engines gets the packets of all in one run."""
    far, near, viewers = pair.a.client(), pair.b.client(), [pair.b.client() for _ in range(3)]
    of_far, of_near = pair.produce(far, video()), pair.b.produce(near, video())
    for viewer in viewers:
        pair.consume(viewer, of_far)
        pair.consume(viewer, of_near)
    cameras = [(far, Camera(parts=4)), (near, Camera(parts=3))]
    for publisher, camera in cameras:
        pair.send(publisher, *camera.frame(key=True))
    pair.b.core.gather()
    far.send(*cameras[0][1].frame())
    pair.b.core.cross()
    assert pair.b.core.take_sent() == []
    for packet in cameras[1][1].frame():
        pair.b.core.datagram(*near.address, near.protect(packet))
    pair.b.core.forward()
    assert runs(pair.b.core.take_sent()) == [(v.address[1], 7) for v in viewers]


def test_what_crosses_does_not_wait_for_datagrams(pair: Pair) -> None:
    """A turn may bring none: its tick forwards what has crossed."""
    publisher, viewer = pair.a.client(), pair.b.client()
    pair.consume(viewer, pair.produce(publisher, video()))
    camera = Camera(parts=4)
    pair.send(publisher, *camera.frame(key=True))
    viewer.rtp.clear()
    pair.b.core.gather()
    publisher.send(*camera.frame())
    pair.b.core.cross()
    pair.b.core.tick()
    pair.b.deliver()
    assert len(viewer.rtp) == 4

"""SSRCs that come and go: the memory kept for them, and protection against replays."""

import attrs
from support.engine_world import Camera, EngineClient, World, layer_cameras, simulcast, video
from support.wire.rtcp import Bye
from support.wire.rtp import wrap_rtx

from meet_trio.engine import StreamStarted

LEDGER = 12_288
IDLE = 64
"""The number of ended SSRCs that are remembered, and of SSRCs without a stream that keep a whole
replay window.
"""


def start_camera(
    world: World, alice: EngineClient, generation: int, replays: list[bytes]
) -> tuple[int, list[Camera]]:
    """Send one frame of each layer of a simulcast camera with three layers, and an RTX packet of
    each. All datagrams are added to ``replays``.
    """
    producer = world.produce(alice, simulcast())
    cameras = layer_cameras()
    for i, camera in enumerate(cameras):
        camera.ssrc = 10_000_000 + 6 * generation + i
        packets = camera.frame(key=True)
        named = attrs.evolve(packets[0], extensions={9: b"v0", 11: b"r%d" % i})
        rtx = wrap_rtx(named, payload_type=97, ssrc=camera.ssrc + 3, sequence_number=generation)
        for data in map(alice.protect, [*packets, rtx]):
            replays.append(data)
            alice.send_raw(data)
    return producer, cameras


def test_a_camera_may_be_restarted_a_thousand_times() -> None:
    world = World()
    alice, bob = world.client(), world.client()
    replays: list[bytes] = []
    for generation in range(1000):
        producer, cameras = start_camera(world, alice, generation, replays)
        if generation < 999:
            world.core.remove_producer(producer)
    started = [e for e in world.take_events(StreamStarted) if e.producer == producer]
    assert len(started) == 3
    world.consume(bob, producer)
    for _ in range(2):
        for camera in cameras:
            alice.send(*camera.frame(key=True))
        world.run(0.2)
    assert b"r2" in bob.rtp[-1].payload
    assert world.counter("dropped_rtp_too_many_sources") == 0
    # Each of the 9,000 is replayed: it names the stream that runs now, and would take it over.
    count, dropped = len(bob.rtp), world.counter("dropped_rtp_replayed")
    for data in replays:
        alice.send_raw(data)
    assert world.counter("dropped_rtp_replayed") == dropped + len(replays)
    assert len(bob.rtp) == count
    assert [e for e in world.take_events(StreamStarted) if e.producer == producer] == []


def test_a_stream_that_has_ended_goes_on_where_it_was() -> None:
    world = World()
    alice, bob = world.client(), world.client()
    world.consume(bob, world.produce(alice, video()))
    camera = Camera(sequence=65_534)  # a roll-over, which must be remembered too
    alice.send(*camera.frame(key=True))
    lost, late = map(alice.protect, camera.frame(key=True))
    alice.send_raw(late)
    alice.send_rtcp(Bye((1000,)))
    for i in range(IDLE + 1):  # SSRCs without a stream, until the camera's end
        alice.send(Camera(ssrc=5000 + i).frame()[0])
    before = world.counter("dropped_rtp_replayed")
    alice.send_raw(late)
    alice.send_raw(lost)  # it never came, but the engine no longer knows that
    assert world.counter("dropped_rtp_replayed") == before + 2
    alice.send(*camera.frame(key=True))
    assert [p.marker for p in bob.rtp[-2:]] == [False, True]
    assert world.counter("dropped_rtp_unauthentic") == 0


def test_reports_of_what_has_ended_are_not_taken_twice() -> None:
    world = World()
    alice, bob = world.client(), world.client()
    world.consume(bob, world.produce(alice, video()))
    camera = Camera()
    alice.send(*camera.frame(key=True))
    assert alice.tx is not None
    bye = alice.tx.protect_rtcp(bytes([0x81, 203, 0, 1, *(1000).to_bytes(4, "big")]))
    alice.send_raw(bye)
    for i in range(IDLE + 1):
        alice.send(Camera(ssrc=5000 + i).frame()[0])
    alice.send(*camera.frame(key=True))
    before = world.counter("dropped_rtcp_unauthentic")
    alice.send_raw(bye)
    assert world.counter("dropped_rtcp_unauthentic") == before + 1


def test_ssrcs_without_end_cost_who_sends_them_and_no_more() -> None:
    world = World()
    alice, bob = world.client(), world.client()
    producer = world.produce(alice, video())
    world.consume(bob, producer)
    camera, stranger = Camera(), Camera()
    alice.send(*camera.frame(key=True))
    first = b""
    for i in range(LEDGER + IDLE + 10):
        stranger.ssrc = 100_000 + i
        data = alice.protect(stranger.frame()[0])
        first = first or data
        alice.send_raw(data)
    assert world.counter("dropped_rtp_too_many_sources") == 10
    alice.send_raw(first)
    assert world.counter("dropped_rtp_replayed") == 1
    count = len(bob.rtp)
    alice.send(*camera.frame())  # a running stream goes on
    assert len(bob.rtp) == count + 2
    carol = world.client()
    world.core.remove_producer(producer)
    producer = world.produce(carol, video())
    world.consume(bob, producer)
    carol.send(*Camera().frame(key=True))
    assert len(bob.rtp) == count + 4


def test_indices_are_remembered_while_thousands_of_consumers_come_and_go() -> None:
    world = World()
    alice, bob = world.client(), world.client()
    producer = world.produce(alice, video())
    camera = Camera()
    mine = world.consume(bob, producer, ssrc=7, rtx_ssrc=8)
    alice.send(*camera.frame(key=True))
    count, last = len(bob.rtp), bob.rtp[-1].sequence_number
    world.core.remove_consumer(mine)
    for i in range(LEDGER // 2 + 100):  # more than one ledger holds
        other = world.consume(
            bob, producer, ssrc=1_000_000 + i, rtx_ssrc=2_000_000 + i, paused=True
        )
        world.core.remove_consumer(other)
    world.consume(bob, producer, ssrc=7, rtx_ssrc=8)
    alice.send(*camera.frame(key=True))
    assert (bob.rtp[count].ssrc, bob.rtp[count].sequence_number) == (7, last + 1)


def test_two_consumers_have_no_ssrc_in_common() -> None:
    world = World()
    alice, bob = world.client(), world.client()
    producer = world.produce(alice, video())
    world.consume(bob, producer, ssrc=7, rtx_ssrc=8)
    for ssrc, rtx_ssrc in ((8, 9), (9, 7)):
        world.consume(bob, producer, ssrc=ssrc, rtx_ssrc=rtx_ssrc)
    assert world.counter("commands_refused") == 2
    assert len(world.stats()["consumers"]) == 1

"""Snapshots of a running engine: another engine goes on from one that is some seconds old. No index
is used by both, whatever either of them sends.
"""

from support.engine_kept import KeptWorld
from support.engine_world import Camera, EngineClient, World, layer_cameras, simulcast, video
from support.wire.rtp import RtpPacket
from support.wire.vp8 import parse_vp8_untrusted

from meet_trio.engine import Kept, SnapshotReady

SKIPPED = 16_384
"""Numbers by which indices jump."""
STEP = 100


def take(world: World, token: int = 1) -> Kept:
    world.core.request_snapshot(token)
    world.deliver()
    world.run(0.01)
    answers = [e for e in world.events if isinstance(e, SnapshotReady)]
    assert answers[-1].token == token
    return Kept.from_snapshot(0, answers[-1].snapshot)


def send(world: World, client: EngineClient, camera: Camera, frames: int) -> None:
    for _ in range(frames):
        world.run(1 / 30)
        client.send(*camera.frame())


def meeting() -> tuple[KeptWorld, EngineClient, EngineClient, Camera]:
    world = KeptWorld()
    alice, bob = world.client(), world.client()
    world.consume(bob, world.produce(alice, video()))
    camera = Camera()
    alice.send(*camera.frame(key=True))
    send(world, alice, camera, 10)
    return world, alice, bob, camera


def test_another_engine_goes_on_with_indices_that_jump() -> None:
    world, alice, bob, camera = meeting()
    snapshot = take(world)
    last = bob.rtp[-1].sequence_number
    send(world, alice, camera, 30)  # the older engine goes on for a second
    used = {p.sequence_number for p in bob.rtp}
    bob.rtp.clear()
    world.kill(lambda _: snapshot)
    assert world.refused() == 0
    alice.send(*camera.frame(key=True))
    send(world, alice, camera, 10)
    first, *_ = bob.rtp
    assert first.sequence_number == (last + 1 + SKIPPED) & 0xFFFF
    assert used.isdisjoint(p.sequence_number for p in bob.rtp)
    assert len(bob.rtp) == 22


def test_timestamps_and_pictures_go_on() -> None:
    """A receiver drops pictures that are older than its last one by either."""
    world, alice, bob, camera = meeting()
    take(world)
    snapshot = world.events[-1].snapshot  # type: ignore[union-attr]
    taken = world.now
    send(world, alice, camera, 30)
    last, sent = bob.rtp[-1], world.now
    bob.rtp.clear()
    world.kill(lambda _: Kept.from_snapshot(0, snapshot, age=sent + 1 - taken), after=1)
    alice.send(*camera.frame(key=True))
    first = bob.rtp[0]
    passed = (first.timestamp - last.timestamp) % 2**32 / 90_000
    assert abs(passed - (world.now - sent)) < 0.1
    assert 0 < (picture_of(first) - picture_of(last)) % 2**15 < 2**14


def picture_of(packet: RtpPacket) -> int:
    picture = parse_vp8_untrusted(packet.payload)[0].picture_id
    assert picture is not None
    return picture


def test_the_roll_over_count_of_what_comes_is_kept() -> None:
    world, alice, bob, camera = meeting()
    for at in (30_000, 60_000, 20_000):
        camera.sequence = at
        send(world, alice, camera, 2)
    snapshot = take(world)
    bob.rtp.clear()
    world.kill(lambda _: snapshot)
    alice.send(*camera.frame(key=True))
    world.run(0.1)
    assert world.counter("dropped_rtp_unauthentic") == 0
    assert bob.rtp


def test_streams_of_simulcast_keep_their_ssrcs() -> None:
    """Clients say which stream an SSRC is of at the beginning only."""
    world = KeptWorld()
    alice, bob = world.client(), world.client()
    producer = world.produce(alice, simulcast())
    world.consume(bob, producer)
    cameras = layer_cameras()
    for i in range(30):
        world.run(1 / 30)
        for camera in cameras:
            alice.send(*camera.frame(key=i == 0))
    snapshot = take(world)
    bob.rtp.clear()
    world.kill(lambda _: snapshot)
    for camera in cameras:
        camera.extensions = {}
    for i in range(30):
        world.run(1 / 30)
        for camera in cameras:
            alice.send(*camera.frame(key=i == 0))
    assert bob.rtp


def leap(world: World, client: EngineClient, camera: Camera, numbers: int) -> None:
    """So many numbers are used: most packets are lost on their way to the engine."""
    for _ in range(numbers // STEP + 1):
        camera.sequence = (camera.sequence + STEP - 2) & 0xFFFF
        send(world, client, camera, 1)


def test_no_index_is_used_that_a_successor_may_use() -> None:
    """Nothing is known to be stored but the first snapshot, and it may be by then."""
    world, alice, bob, camera = meeting()
    take(world)
    ceiling = bob.rtp[-1].sequence_number + 1 + SKIPPED
    leap(world, alice, camera, SKIPPED + 10)
    newest = bob.rtp[-1].sequence_number
    assert ceiling - STEP < newest < ceiling
    take(world, 2)
    alice.send(*camera.frame())
    world.core.snapshot_stored(1)  # not the newest
    alice.send(*camera.frame())
    assert bob.rtp[-1].sequence_number == newest
    world.core.snapshot_stored(2)
    alice.send(*camera.frame())
    assert bob.rtp[-1].sequence_number > ceiling


def test_an_engine_in_the_place_of_a_dead_one_has_its_ceilings() -> None:
    world, alice, bob, camera = meeting()
    take(world)
    ceiling = bob.rtp[-1].sequence_number + 1 + SKIPPED
    leap(world, alice, camera, SKIPPED - 3 * STEP)
    world.kill()
    leap(world, alice, camera, 4 * STEP)
    newest = bob.rtp[-1].sequence_number
    assert ceiling - STEP < newest < ceiling
    world.core.snapshot_stored(0)
    alice.send(*camera.frame())
    assert bob.rtp[-1].sequence_number > newest


def test_reports_go_on_with_other_indices() -> None:
    """``World.indices`` finds one that is used twice."""
    world, alice, _bob, camera = meeting()
    kept = take(world)
    send(world, alice, camera, 60)
    assert alice.rtcp
    alice.rtcp.clear()
    world.kill(lambda _: kept)
    send(world, alice, camera, 60)
    assert alice.rtcp


def test_without_stored_snapshots_there_is_no_ceiling() -> None:
    world, alice, bob, camera = meeting()
    take(world)
    ceiling = bob.rtp[-1].sequence_number + 1 + SKIPPED
    world.core.snapshot_stored(0)
    leap(world, alice, camera, SKIPPED)
    assert bob.rtp[-1].sequence_number >= ceiling


def test_nothing_is_sent_after_its_time() -> None:
    world, alice, bob, camera = meeting()
    world.core.send_until(world.core.now + 100_000)
    alice.send(*camera.frame())
    before = len(bob.rtp)
    world.run(0.2)
    bob.rtcp.clear()
    send(world, alice, camera, 30)
    world.run(3)
    assert (len(bob.rtp), bob.rtcp) == (before, [])
    assert world.counter("dropped_silenced") > 30
    world.core.send_until(0)
    alice.send(*camera.frame())
    assert len(bob.rtp) == before + 2

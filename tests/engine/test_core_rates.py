"""The bit rate that a client may send, and the packets that count."""

import os

import pytest
from support.engine_plain import PlainClient
from support.engine_world import Camera, EngineClient, World, audio, video
from support.wire.rtcp import ReceiverReport
from support.wire.rtp import RtpPacket

from meet_trio.engine import Core, EngineSettings

LIMIT = 1_500_000  # bit/s, the limit that clients are told
EXCESS, BURST = 2, 10.0  # multiple of the limit; seconds
SIZE = 1200  # bytes


@pytest.fixture
def world() -> World:
    return World(EngineSettings(consent_timeout=600))


def sound(sequence: int, size: int) -> RtpPacket:
    return RtpPacket(
        payload_type=111,
        sequence_number=sequence & 0xFFFF,
        timestamp=0,
        ssrc=2000,
        payload=b"x" * (size - 12),
    )


class Sender:
    """Sends datagrams of one stream."""

    def __init__(self, client: EngineClient) -> None:
        self.client = client
        self.sequence = 0

    def send(self, count: int) -> None:
        for _ in range(count):
            self.client.send(sound(self.sequence, SIZE - 16))
            self.sequence += 1


def limited(world: World, limit: int = LIMIT) -> tuple[EngineClient, EngineClient, Sender]:
    """A publisher with a limit, and a viewer."""
    alice, bob = world.client(), world.client()
    world.core.set_max_incoming_bitrate(alice.number, limit)
    world.consume(bob, world.produce(alice, audio()))
    return alice, bob, Sender(alice)


def stream(world: World, sender: Sender, bitrate: float, seconds: float) -> None:
    """Send at ``bitrate``, in steps of a twentieth of a second."""
    due = 0.0
    for _ in range(round(seconds * 20)):
        due += bitrate / 8 / 20 / SIZE
        sender.send(int(due))
        due -= int(due)
        world.run(0.05, step=0.01)


def test_of_too_much_the_rest_is_dropped(world: World) -> None:
    _, bob, sender = limited(world)
    stream(world, sender, 4 * LIMIT, 20)
    most = LIMIT / 8 * (BURST + EXCESS * 20) / SIZE
    assert len(bob.rtp) == pytest.approx(most, rel=0.01)
    assert world.counter("dropped_above_bitrate") == sender.sequence - len(bob.rtp)
    # After a return to the limit nothing is dropped.
    stream(world, sender, LIMIT, BURST)
    count, before = len(bob.rtp), sender.sequence
    stream(world, sender, LIMIT, 10)
    assert len(bob.rtp) - count == sender.sequence - before


def test_who_keeps_to_the_limit_is_never_touched(world: World) -> None:
    """A browser sends far more until it is told the limit, then slightly more than the limit. Every
    other second it sends a key frame of all layers, and at times a probe at six times the rate.
    """
    _, bob, sender = limited(world)
    stream(world, sender, 4 * LIMIT, 1.2)
    for second in range(30):
        stream(world, sender, 1.2 * LIMIT, 0.9)
        if second % 2:
            sender.send(100)
        stream(world, sender, (6 if second % 5 == 0 else 1) * LIMIT, 0.1)
    assert len(bob.rtp) == sender.sequence
    assert world.counter("dropped_above_bitrate") == 0


def test_a_stranger_with_a_clients_address_does_not_use_it_up(world: World) -> None:
    alice, bob, sender = limited(world)
    sender.send(1)
    forged = b"\x80\x6f" + os.urandom(SIZE - 2)
    for _ in range(5000):
        alice.send_raw(forged)
    assert world.counter("dropped_rtp_unauthentic") == 5000
    sender.send(1500)
    assert len(bob.rtp) == 1501


def test_what_is_above_is_not_decrypted(world: World) -> None:
    alice, bob, sender = limited(world)
    sender.send(2000)
    count = len(bob.rtp)
    assert count == int(LIMIT / 8 * BURST / SIZE) + 1
    alice.send_raw(b"\x80\x6f" + os.urandom(SIZE - 2))
    alice.send_rtcp(ReceiverReport(1, ()))
    stats = world.stats()["engine"]
    assert (stats["dropped_rtp_unauthentic"], stats["dropped_above_bitrate"]) == (0, 2002 - count)


def test_reports_count_too(world: World) -> None:
    alice, _, _ = limited(world)
    for _ in range(2000):
        alice.send_rtcp(*[ReceiverReport(1, ())] * 150)
    most = LIMIT / 8 * BURST / (150 * 8 + 20)
    assert 2000 - world.counter("dropped_above_bitrate") == pytest.approx(most, rel=0.01)


def test_plain_rtp_is_held_to_it_as_well(world: World) -> None:
    alice = PlainClient.open(world, comedia=True)
    bob = world.client()
    world.core.set_max_incoming_bitrate(alice.number, LIMIT)
    world.consume(bob, world.produce(alice, audio()))
    for i in range(2000):
        alice.send(sound(i, SIZE))
    assert len(bob.rtp) == int(LIMIT / 8 * BURST / SIZE) + 1


@pytest.mark.parametrize(("limit", "taken"), [(0, 3000), (10_000, 1_250_000 // SIZE + 1)])
def test_no_limit_and_one_below_all_that_browsers_do(world: World, limit: int, taken: int) -> None:
    _, bob, sender = limited(world, limit)
    sender.send(3000)
    assert len(bob.rtp) == taken


def test_nobody_else_is_held_to_it(world: World) -> None:
    _, bob, sender = limited(world)
    carol = world.client()
    world.core.set_max_incoming_bitrate(carol.number, LIMIT)
    world.consume(bob, world.produce(carol, video()))
    sender.send(2000)
    bob.rtp.clear()
    carol.send(*Camera(parts=400, tag=b"x" * 1000).frame(key=True))
    assert len(bob.rtp) == 400


def test_the_multiple_is_checked() -> None:
    for excess in (0.5, 1001):
        with pytest.raises(ValueError, match="incoming_excess"):
            Core(EngineSettings(incoming_excess=excess))
